"""How far a generator's lesions differ: over the random scalars, over patches, beside real ones.

A GAN that gives every patch the same lesion at the same place can have fine losses. Four sets of
lesions are measured alike, through assessment.lesions: one patch with many draws of z, many patches
with one z, many patches with a z each (what synthesize makes), and real ones of the training split.

Diversity as a table, as a plot and as sheets of patches.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure

from cgan_tf.assessment.lesions import LesionFigures, estimate_lesion, figures_of, spread_of
from cgan_tf.config import DiversityConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.labels import MALIGNANT_CLASSES
from cgan_tf.pages.patches import mosaic, patch_levels
from cgan_tf.pages.style import LINE_COLOURS, PAGE_INCHES, house_style
from cgan_tf.runs import console
from cgan_tf.runs.directory import finish_run, open_run, write_bytes, write_json
from cgan_tf.runs.errors import UserError
from cgan_tf.synthesis.postprocess import extract_lesion

SHEET_COLUMNS = 8
UNDEFINED = "–"


def diversity_table(task: str, spreads: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown; `spreads` are those of lesions.spread_of, by what was measured."""
    lines = [
        f"Diversity of the {task} generator's lesions",
        "",
        "| | lesions | position: spread | area: mean ± spread | contrast: mean ± spread |",
        "|---|---|---|---|---|",
    ]
    for name, spread in spreads.items():
        found = f"{spread['measured']} of {spread['measured'] + spread['without']}"
        cells = [UNDEFINED] * 3
        if spread["position"] is not None:
            cells = [
                f"{spread['position']:.1%}",
                f"{spread['area']:.1%} ± {spread['area_spread']:.1%}",
                f"{spread['contrast']:.2f} ± {spread['contrast_spread']:.2f}",
            ]
        lines.append(f"| {' | '.join([name, found, *cells])} |")
    lines += [
        "",
        "Position: root mean square distance of the centres from their mean, of the patch's side.",
        "Area: of the patch. Contrast: grey levels above the background, of a range of 2.",
        "Spreads are standard deviations.",
    ]
    return "\n".join(lines) + "\n"


@house_style
def scatter_figure(sets: Mapping[str, Sequence[LesionFigures | None]]) -> Figure:
    """Above, where the lesions are in their patches; below, area and contrast of each."""
    figure = Figure(figsize=(PAGE_INCHES, 2.5 * 2), layout="constrained")
    above = figure.subplots(2, len(sets), sharex="row", sharey="row")
    for number, (name, lesions) in enumerate(sets.items()):
        found = [lesion for lesion in lesions if lesion is not None]
        style = {"s": 9, "color": LINE_COLOURS[number], "alpha": 0.6, "linewidths": 0}
        place, looks = above[:, number]
        place.scatter([f.x for f in found], [f.y for f in found], **style)
        place.set(xlim=(0, 1), ylim=(1, 0), aspect="equal", title=name)
        place.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
        looks.scatter([100 * f.area for f in found], [f.contrast for f in found], **style)
        looks.set_xlabel("area, % of the patch")
    above[0, 0].set_ylabel("centre in the patch")
    above[1, 0].set_ylabel("contrast, grey levels")
    return figure


def sheet(patches: np.ndarray) -> bytes:
    """Patches [n, s, s] in [-1, 1] in rows of eight, as a grey PNG."""
    framed = np.pad(patch_levels(patches), ((0, 0), (1, 1), (1, 1)))
    picture = mosaic(framed, SHEET_COLUMNS)
    return cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()


PROGRAM = "measure_diversity"
BATCH = 16


@dataclasses.dataclass(frozen=True, eq=False)
class LesionSet:
    """Patches with lesions, and what was measured of each.

    Attributes:
      patches: float32 [n, size, size], grey levels in [-1, 1]. figures: n, None without a lesion.
    """

    patches: np.ndarray
    figures: Sequence[LesionFigures | None]


def measure_diversity(config: DiversityConfig) -> None:
    """Writes diversity.json, diversity.md, diversity.png and a sheet of patches for each set."""
    check_config(config)
    console.quiet_tensorflow()
    patches = PatchSet(config.patches_dir)
    with open_run(config.output_dir, PROGRAM, config) as run:
        if not run.finished:
            card, sets = lesion_sets(config, patches)
            content = {"task": card["task"], "generator_checksum": card["checksum"]}
            _write(run.directory, content, sets)
            finish_run(run.directory, PROGRAM, content)
        print((run.directory / "diversity.md").read_text(encoding="utf-8"), end="")


def check_config(config: DiversityConfig) -> None:
    """Raises `UserError` for numbers that have no spread."""
    for name in ("draws", "patches", "real_lesions"):
        if getattr(config, name) < 2:
            raise UserError(f"--{name}: expected 2 or more, found {getattr(config, name)}")


@dataclasses.dataclass(frozen=True, eq=False)
class Trials:
    """A generator and what it is tried on.

    Attributes:
      function, card: of load_generator. task: the one asked for.
      images: float32 [n, size, size], source patches. z: float32 [m, z_width], m >= n.
    """

    config: DiversityConfig
    function: Any
    card: dict[str, Any]
    task: str
    images: np.ndarray
    z: np.ndarray

    def made(self, images: np.ndarray, z: np.ndarray) -> LesionSet:
        """The lesions of patches and scalars, one each."""
        from cgan_tf.gan.export import generate

        batches = [slice(start, start + BATCH) for start in range(0, len(images), BATCH)]
        channels = np.concatenate(
            [generate(self.function, self.card, self.task, images[b], z[b]) for b in batches]
        )
        return synthetic_set(images, channels, self.task == "removal", self.config)

    def over_z(self) -> LesionSet:
        """One patch with many draws of the scalars."""
        draws = self.config.draws
        return self.made(self.images[:1].repeat(draws, axis=0), self.z[:draws])


def open_trials(config: DiversityConfig, patches: PatchSet) -> Trials:
    """Loads the generator and draws patches and scalars."""
    from cgan_tf.data.keyed import SampleOrder
    from cgan_tf.gan.card import task_of
    from cgan_tf.gan.export import load_generator
    from cgan_tf.synthesis.candidates import candidate_scalars, open_sources, source_classes

    function, card = load_generator(config.generator)
    task = task_of(config, card)
    sources = open_sources(config, patches, card, "train", source_classes(task))
    key, width = f"diversity/{task}", card["z_width"]
    order = SampleOrder(config.seed, key, len(sources))
    images = np.stack([sources.pixels(order[n]) for n in range(min(config.patches, len(sources)))])
    count = max(config.draws, len(images))
    z = np.stack([candidate_scalars(config.seed, key, n, width) for n in range(count)])
    return Trials(config, function, card, task, images, z)


def lesion_sets(
    config: DiversityConfig, patches: PatchSet
) -> tuple[dict[str, Any], dict[str, LesionSet]]:
    """The generator's card, with the task asked for, and the sets by what they show."""
    from cgan_tf.gan.data import CLASSES

    trials = open_trials(config, patches)
    lesion_classes = MALIGNANT_CLASSES if trials.task == "removal" else CLASSES[trials.task]["real"]
    images, z = trials.images, trials.z
    sets = {
        "one patch, many draws": trials.over_z(),
        "many patches, one draw": trials.made(images, z[:1].repeat(len(images), axis=0)),
        "many patches, a draw each": trials.made(images, z[: len(images)]),
        "real lesions": _real_set(patches, lesion_classes, config),
    }
    return trials.card | {"task": trials.task}, sets


def synthetic_set(
    images: np.ndarray, channels: np.ndarray, removal: bool, config: DiversityConfig
) -> LesionSet:
    """Patches as synthesize makes them, none too small: [n, size, size] and lesion channels alike.

    Of removal, what it takes away is measured, which needs no background.
    """
    size = images.shape[1]
    made, figures = [], []
    for image, channel in zip(images, channels, strict=True):
        lesion = extract_lesion(
            channel,
            removal=removal,
            min_area_fraction=0.0,
            **config.postprocessing(size),
        )
        if lesion.lesion is None or lesion.box is None:
            made.append(image)
            figures.append(None)
            continue
        made.append(np.clip(image + lesion.lesion, -1, 1))
        difference = image - made[-1] if removal else estimate_lesion(made[-1], lesion.box)
        figures.append(figures_of(difference, config.threshold))
    return LesionSet(np.stack(made), figures)


def _real_set(patches: PatchSet, classes: Sequence[str], config: DiversityConfig) -> LesionSet:
    """Real lesions, spread evenly over the training split."""
    index = patches.index("train", *classes)
    count = min(config.real_lesions, len(index))
    records = [index.record(n * len(index) // count) for n in range(count)]
    figures = [
        figures_of(estimate_lesion(record.patch, record.box), config.threshold)
        if record.box
        else None
        for record in records
    ]
    return LesionSet(np.stack([record.patch for record in records]), figures)


def _write(directory: Path, content: dict[str, Any], sets: dict[str, LesionSet]) -> None:
    from cgan_tf.pages.style import png

    spreads = {name: spread_of(lesions.figures) for name, lesions in sets.items()}
    by_key = {_key(name): spread for name, spread in spreads.items()}
    write_json(directory / "diversity.json", content | {"sets": by_key})
    table = diversity_table(content["task"], spreads)
    write_bytes(directory / "diversity.md", table.encode())
    figures = {name: lesions.figures for name, lesions in sets.items()}
    write_bytes(directory / "diversity.png", png(scatter_figure(figures)))
    for name, lesions in sets.items():
        write_bytes(directory / f"{_key(name)}.png", sheet(lesions.patches[:64]))


def _key(name: str) -> str:
    return name.replace(",", "").replace(" ", "_")
