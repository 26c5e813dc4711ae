"""make_patches, evaluate and quality on sets of several sizes, made for benchmarks/growth.py.

Each function writes its inputs below `root` and returns the work by size. A run wants a directory
of its own.
"""

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

Works = dict[int, Callable[[], object]]

PATCHES_OF_AN_IMAGE = 6
PATCH = 32  # pixels


def cut_images(root: Path, counts: Iterable[int]) -> Works:
    """make_patches on so many images, six patches each."""
    works = {}
    for count in counts:
        tree = _healthy_women(root / f"of_{count}", count)
        works[count] = _cut(tree, PATCHES_OF_AN_IMAGE * count)
    return works


def cut_patches(root: Path, counts: Iterable[int], images: int = 16) -> Works:
    """make_patches for so many patches of the same images."""
    tree = _healthy_women(root / "same", images)
    return {count: _cut(tree, count) for count in counts}


def cut_pixels(root: Path, sides: Iterable[int], images: int = 4) -> Works:
    """make_patches on a few images of so many pixels."""
    works = {}
    for side in sides:
        tree = _healthy_women(root / f"side_{side}", images, (side, side))
        works[side * side] = _cut(tree, PATCHES_OF_AN_IMAGE * images)
    return works


def _healthy_women(root: Path, count: int, shape: tuple[int, int] | None = None) -> Path:
    """An OMI-DB tree with an image of each."""
    from tests.toys.omidb_tree import SHAPE, Tree

    tree = Tree(root / "tree")
    for number in range(count):
        tree.client(f"demd{number + 1}", {"LCC": None}, shape=shape or SHAPE)
    return tree.root


def _cut(tree: Path, patches: int) -> Callable[[], object]:
    from beam_pipelines.patches.job import make_patches
    from cgan_tf.config import PatchesConfig

    numbers = itertools.count()
    names = (name for name in vars(PatchesConfig()) if name.startswith(("train_", "eval_")))
    none = dict.fromkeys(set(names) - {"train_fraction"}, 0)

    def work() -> None:
        config = PatchesConfig(
            input_dir=str(tree),
            output_dir=str(tree.with_name(f"patches_{patches}_{next(numbers)}")),
            size=PATCH,
            all_in_split="train",
            **none | {"train_normal": patches},
        )
        make_patches(config)

    return work


def evaluate_patches(root: Path, counts: Iterable[int]) -> Works:
    """evaluate on so many test patches, as many of validation, and half as many synthetic ones;
    the classifier is loaded before."""
    from cgan_tf.classifier.training import train_classifier
    from tests.toys.classifier import toy_config, write_toy_sets

    works: Works = {}
    for count in counts:
        sets = write_toy_sets(root / f"evaluated_{count}", per_class=count // 3)
        if not works:
            train_classifier(toy_config(sets, root / "classifier", samples=8, validate_every=8))
        works[count] = _evaluate(root / "classifier", sets)
    return works


def _evaluate(classifier: Path, sets: Path) -> Callable[[], object]:
    from cgan_tf.classifier.evaluation import Evaluation
    from cgan_tf.config import EvaluateConfig
    from cgan_tf.labels import TASKS
    from cgan_tf.runs.directory import open_run

    config = EvaluateConfig(
        classifier=str(classifier),
        patches_dir=str(sets / "patches"),
        synthetic_dirs=tuple(str(sets / task) for task in TASKS),
    )
    evaluation, numbers = Evaluation(config), itertools.count()

    def work() -> None:
        with open_run(sets / f"evaluation_{next(numbers)}", "evaluate", config) as run:
            evaluation.run(run.directory)

    return work


def compare_sets(root: Path, counts: Iterable[int]) -> Works:
    """quality of so many synthetic masses, beside twice as many real ones."""
    from tests.toys import quality_sets

    works = {}
    for count in counts:
        sets = root / f"compared_{count}"
        quality_sets.write_patches(sets / "patches", count)
        quality_sets.write_masses(sets / "mass", sets / "patches", quality_sets.honest)
        works[count] = _compare(sets)
    return works


def _compare(sets: Path) -> Callable[[], object]:
    from cgan_tf.assessment.run import measure_quality
    from cgan_tf.config import QualityConfig

    numbers = itertools.count()

    def work() -> None:
        config = QualityConfig(
            patches_dir=str(sets / "patches"),
            synthetic_dirs=(str(sets / "mass"),),
            output_dir=str(sets / f"quality_{next(numbers)}"),
        )
        measure_quality(config)

    return work
