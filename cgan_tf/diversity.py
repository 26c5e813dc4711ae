"""How far a generator's lesions differ: over the random scalars, over patches, beside real ones.

A GAN that gives every patch the same lesion at the same place can have fine losses. Four sets of
lesions are measured alike, through lesion_estimate: one patch with many draws of z, many patches
with one z, many patches with a z each (what synthesize makes), and real ones of the training split.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cgan_tf import progress
from cgan_tf.config import MALIGNANT_CLASSES, DiversityConfig
from cgan_tf.errors import UserError
from cgan_tf.lesion_estimate import estimate_lesion
from cgan_tf.lesion_figures import LesionFigures, figures_of, spread_of
from cgan_tf.patch_sets import PatchSet
from cgan_tf.postprocess import extract_lesion
from cgan_tf.run_directory import finish_run, open_run, write_bytes, write_json

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
    progress.quiet_tensorflow()
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
        from cgan_tf.export import generate

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
    from cgan_tf.candidates import candidate_scalars, open_sources, source_classes
    from cgan_tf.export import load_generator
    from cgan_tf.gan_data import SampleOrder
    from cgan_tf.generator_card import task_of

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
    from cgan_tf.gan_data import CLASSES

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
    from cgan_tf.diversity_figures import diversity_table, scatter_figure, sheet
    from cgan_tf.report_style import png

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
