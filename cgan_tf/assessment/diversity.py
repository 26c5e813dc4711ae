"""The measure_diversity program: how much a generator's lesions differ, beside real ones.

A GAN that gives every patch the same lesion at the same place can have fine losses. Four sets of
lesions are measured the same way: one patch with many draws of z, many patches with one z, many
patches with a z each (what synthesize makes), and real lesions of the training split.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgan_tf.assessment.lesions import (
    LesionShape,
    Spread,
    estimate_lesion,
    lesion_shape,
    lesion_spread,
)
from cgan_tf.assessment.reading import lesion_classes
from cgan_tf.config import DiversityConfig
from cgan_tf.data.lesion_layer import Box
from cgan_tf.data.patch_sets import PatchIndex, PatchSet
from cgan_tf.gan.card import GeneratorCard, task_of
from cgan_tf.pages.patches import mosaic, patch_levels
from cgan_tf.pages.style import LINE_COLOURS, PAGE_INCHES, house_style, png
from cgan_tf.runs import console
from cgan_tf.runs.directory import Run, finish_run, run_to_the_end, write_bytes, write_json
from cgan_tf.runs.flags import check_ranges
from cgan_tf.synthesis.postprocess import extract_lesion, extraction_of

PROGRAM = "measure_diversity"
Advance = Callable[[int], object]
BATCH = 16
SHEET_COLUMNS = 8
UNDEFINED = "–"


def diversity_table(task: str, spreads: Mapping[str, Spread]) -> str:
    """Markdown, a row for each set of lesions."""
    lines = [
        f"Diversity of the {task} generator's lesions",
        "",
        "| | lesions | position: spread | area: mean ± spread | contrast: mean ± spread |",
        "|---|---|---|---|---|",
        *(f"| {' | '.join([name, *_cells(spread)])} |" for name, spread in spreads.items()),
        "",
        "Position: root mean square distance of the centres from their mean, of the patch's side.",
        "Area: of the patch. Contrast: grey levels above the background, of a range of 2.",
        "Spreads are standard deviations.",
    ]
    return "\n".join(lines) + "\n"


def _cells(spread: Spread) -> list[str]:
    count = f"{spread.measured} of {spread.measured + spread.without}"
    if spread.position is None:
        return [count] + [UNDEFINED] * 3
    return [
        count,
        f"{spread.position:.1%}",
        f"{spread.area:.1%} ± {spread.area_spread:.1%}",
        f"{spread.contrast:.2f} ± {spread.contrast_spread:.2f}",
    ]


@house_style
def scatter_figure(sets: Mapping[str, Sequence[LesionShape | None]]) -> Figure:
    """Where the lesions are in their patches (above), and their area and contrast (below)."""
    figure = Figure(figsize=(PAGE_INCHES, 2.5 * 2), layout="constrained")
    axes = figure.subplots(2, len(sets), sharex="row", sharey="row", squeeze=False)
    for number, (name, lesions) in enumerate(sets.items()):
        shapes = [lesion for lesion in lesions if lesion is not None]
        dots = functools.partial(
            Axes.scatter, s=9, color=LINE_COLOURS[number], alpha=0.6, linewidths=0
        )
        place, looks = axes[:, number]
        dots(place, [s.x for s in shapes], [s.y for s in shapes])
        place.set(xlim=(0, 1), ylim=(1, 0), aspect="equal", title=name)
        place.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        dots(looks, [100 * s.area for s in shapes], [s.contrast for s in shapes])
        looks.set_xlabel("area, % of the patch")
    axes[0, 0].set_ylabel("centre in the patch")
    axes[1, 0].set_ylabel("contrast, grey levels")
    return figure


def sheet(patches: np.ndarray) -> bytes:
    """Patches float [n, size, size] in [-1, 1], in rows of eight, as a grey PNG."""
    framed = np.pad(patch_levels(patches), ((0, 0), (1, 1), (1, 1)))
    picture = mosaic(framed, SHEET_COLUMNS)
    return cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()


@dataclasses.dataclass(frozen=True, eq=False)
class LesionSet:
    """Patches with lesions, and the shape of each lesion.

    Attributes:
      patches: float32 [n, size, size], grey levels in [-1, 1]. shapes: n, None without a lesion.
    """

    patches: np.ndarray
    shapes: Sequence[LesionShape | None]


def measure_diversity(config: DiversityConfig) -> None:
    """Writes diversity.json, diversity.md, diversity.png and a sheet of patches for each set."""
    check_ranges(config)
    console.quiet_tensorflow()

    def open_inputs() -> tuple[Trials, PatchIndex]:
        patches = PatchSet(config.patches_dir)
        trials = open_trials(config, patches)
        return trials, patches.index("train", *lesion_classes(trials.task))

    def work(inputs: tuple[Trials, PatchIndex], run: Run) -> None:
        trials, real = inputs
        content = {"task": trials.task, "generator_checksum": trials.card.checksum}
        total = config.draws + 2 * len(trials.images) + min(config.real_lesions, len(real))
        with console.progress_bar(total, f"{trials.task} lesions", "patches") as bar:
            sets = lesion_sets(trials, real, bar.update)
        _write(run.directory, content, sets)
        finish_run(run.directory, PROGRAM, content)

    run_to_the_end(config.output_dir, PROGRAM, config, open_inputs, work)
    print((Path(config.output_dir) / "diversity.md").read_text(encoding="utf-8"), end="")


@dataclasses.dataclass(frozen=True, eq=False)
class Trials:
    """A generator and what it is tried on.

    Attributes:
      function, card: of load_generator. task: the one asked for.
      images: float32 [n, size, size], source patches. boxes: of the lesions in them, () for none.
      z: float32 [m, z_width], m >= n.
      advance: is told the patches of each batch, for a progress bar.
    """

    config: DiversityConfig
    function: Any
    card: GeneratorCard
    task: str
    images: np.ndarray
    boxes: Sequence[Box]
    z: np.ndarray
    advance: Advance = lambda patches: None

    def made(self, images: np.ndarray, boxes: Sequence[Box], z: np.ndarray) -> LesionSet:
        """The lesions of patches with the boxes of theirs and scalars, one each."""
        from cgan_tf.gan.export import generate

        channels = []
        for start in range(0, len(images), BATCH):
            batch = slice(start, start + BATCH)
            channels.append(generate(self.function, self.card, self.task, images[batch], z[batch]))
            self.advance(len(channels[-1]))
        return synthetic_set(
            images, np.concatenate(channels), boxes, self.task == "removal", self.config
        )

    def over_z(self) -> LesionSet:
        """One patch with many draws of the scalars."""
        draws = self.config.draws
        images, boxes = self.images[:1].repeat(draws, axis=0), [self.boxes[0]] * draws
        return self.made(images, boxes, self.z[:draws])


def open_trials(config: DiversityConfig, patches: PatchSet) -> Trials:
    """Loads the generator and draws patches and scalars."""
    from cgan_tf.data.keyed import SampleOrder
    from cgan_tf.gan.export import load_generator
    from cgan_tf.synthesis.candidates import candidate_scalars, open_sources, source_classes

    function, card = load_generator(config.generator)
    task = task_of(config, card)
    sources = open_sources(config, patches, card, "train", source_classes(task))
    key, width = f"diversity/{task}", card.z_width
    order = SampleOrder(config.seed, key, len(sources))
    records = [sources.record(order[n]) for n in range(min(config.patches, len(sources)))]
    images = np.stack([record.patch for record in records])
    count = max(config.draws, len(images))
    z = np.stack([candidate_scalars(config.seed, key, n, width) for n in range(count)])
    return Trials(config, function, card, task, images, [record.box for record in records], z)


def lesion_sets(trials: Trials, real: PatchIndex, advance: Advance) -> dict[str, LesionSet]:
    """The sets, by what they show."""
    trials = dataclasses.replace(trials, advance=advance)
    images, boxes, z = trials.images, trials.boxes, trials.z
    return {
        "one patch, many draws": trials.over_z(),
        "many patches, one draw": trials.made(images, boxes, z[:1].repeat(len(images), axis=0)),
        "many patches, a draw each": trials.made(images, boxes, z[: len(images)]),
        "real lesions": _real_set(real, trials.config, advance),
    }


def synthetic_set(
    images: np.ndarray,
    channels: np.ndarray,
    boxes: Sequence[Box],
    removal: bool,
    config: DiversityConfig,
) -> LesionSet:
    """Patches as synthesize makes them, with lesions of any size.

    For removal, what is taken away is measured, which needs no background.

    Args:
      images, channels: float [n, size, size], source patches and their lesion channels in [-1, 1].
      boxes: [n], of the lesions in the patches, () for none.
    """
    how = extraction_of(config, images.shape[1], removal=removal, min_area_fraction=0.0)
    made: list[np.ndarray] = []
    shapes: list[LesionShape | None] = []
    for image, channel, box in zip(images, channels, boxes, strict=True):
        lesion = extract_lesion(channel, how, box)
        if lesion.lesion is None or lesion.box is None:
            made.append(image)
            shapes.append(None)
            continue
        made.append(np.clip(image + lesion.lesion, -1, 1))
        difference = image - made[-1] if removal else estimate_lesion(made[-1], lesion.box)
        shapes.append(lesion_shape(difference, config.threshold))
    return LesionSet(np.stack(made), shapes)


def _real_set(index: PatchIndex, config: DiversityConfig, advance: Advance) -> LesionSet:
    """Real lesions, spread evenly over the training split."""
    count = min(config.real_lesions, len(index))
    records = [index.record(n * len(index) // count) for n in range(count)]
    shapes = [
        lesion_shape(estimate_lesion(record.patch, record.box), config.threshold)
        if record.box
        else None
        for record in records
    ]
    advance(count)
    return LesionSet(np.stack([record.patch for record in records]), shapes)


def _write(directory: Path, content: dict[str, str], sets: dict[str, LesionSet]) -> None:
    spreads = {name: lesion_spread(lesions.shapes) for name, lesions in sets.items()}
    by_key = {_key(name): dataclasses.asdict(spread) for name, spread in spreads.items()}
    write_json(directory / "diversity.json", content | {"sets": by_key})
    table = diversity_table(content["task"], spreads)
    write_bytes(directory / "diversity.md", table.encode())
    shapes = {name: lesions.shapes for name, lesions in sets.items()}
    write_bytes(directory / "diversity.png", png(scatter_figure(shapes)))
    for name, lesions in sets.items():
        write_bytes(directory / f"{_key(name)}.png", sheet(lesions.patches[:64]))


def _key(name: str) -> str:
    return name.replace(",", "").replace(" ", "_")
