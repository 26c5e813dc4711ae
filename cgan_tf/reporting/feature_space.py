"""Patches in a classifier's feature space: which ones, and the t-SNE map of Figures 4 and 5.

The choice of patches is kept apart from their features: Figure 5 maps the same patches again in
another classifier's features.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from cgan_tf.classifier.results import ScoredTest, read_features
from cgan_tf.config import ReportConfig
from cgan_tf.runs.errors import UserError

PCA_COMPONENTS = 50
LEAST_PATCHES = 10  # fewer make no map
_INITIAL_SPREAD = 1e-4  # of the first axis at the start, as scikit-learn scales its own


@dataclasses.dataclass(frozen=True, eq=False)
class MapPatches:
    """The patches of a map.

    Attributes:
      sources: validation, test or synthetic, text [n]. numbers: place in that source, int [n].
      groups: e.g. "real normal", "synthetic mass", text [n].
      topped_up: by real group, how many come from the test split because validation had too few.
    """

    sources: np.ndarray
    numbers: np.ndarray
    groups: np.ndarray
    topped_up: dict[str, int]

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """Rows [n, ...] out of one array for each source, e.g. the features of an evaluation."""
        kinds = [arrays[source] for source in ("validation", "test", "synthetic")]
        taken = np.zeros((len(self), *kinds[0].shape[1:]), kinds[0].dtype)
        for source in np.unique(self.sources):
            chosen = self.sources == source
            taken[chosen] = arrays[source][self.numbers[chosen]]
        return taken


def group_sizes(config: ReportConfig) -> dict[str, int]:
    """The largest number of patches of each group."""
    return {
        "real normal": config.tsne_normal,
        "real calcification": config.tsne_calcification,
        "real mass": config.tsne_mass,
        "synthetic mass": config.tsne_synthetic_mass,
        "synthetic calcification": config.tsne_synthetic_calcification,
    }


def choose_patches(
    features: Mapping[str, np.ndarray],
    test_classes: np.ndarray,
    sizes: Mapping[str, int],
    seed: int,
) -> MapPatches:
    """Random patches: real ones from validation first, synthetic ones made from training patches.

    Args:
      features: with `validation_class`, `synthetic_task` and `synthetic_split`.
      test_classes: normal, mass or calcification [n]. sizes: see `group_sizes`.
    """
    generator = np.random.default_rng(seed)
    validation = np.char.replace(features["validation_class"].astype(str), "malignant_", "")
    held = features["synthetic_split"] == "train"
    candidates = {
        "real": (("validation", validation), ("test", test_classes)),
        "synthetic": (("synthetic", np.where(held, features["synthetic_task"], "")),),
    }
    chosen: list[tuple[str, int, str]] = []
    topped_up = {}
    for group, size in sizes.items():
        origin, kind = group.split()
        room = size
        for source, classes in candidates[origin]:
            drawn = generator.permutation(np.flatnonzero(classes == kind))[:room]
            chosen += [(source, int(number), group) for number in drawn]
            room -= len(drawn)
            if source == "test" and len(drawn):
                topped_up[group] = len(drawn)
    sources, numbers, groups = zip(*chosen, strict=True) if chosen else ((), (), ())
    return MapPatches(
        np.array(sources, str), np.array(numbers, int), np.array(groups, str), topped_up
    )


def tsne(features: np.ndarray, seed: int, start: np.ndarray | None = None) -> np.ndarray:
    """Features [n, d] to a map float [n, 2]: the first 50 principal components, then t-SNE.

    `start` is another map of the same patches [n, 2] to begin from, so that the two can be
    compared; without it the first two components are.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    components = min(PCA_COMPONENTS, *features.shape)
    reduced = PCA(components, svd_solver="full").fit_transform(features.astype(np.float64))
    perplexity = min(30.0, (len(features) - 1) / 3)
    init: str | np.ndarray = "pca"
    if start is not None:
        init = (start / start[:, 0].std() * _INITIAL_SPREAD).astype(np.float32)
    with threadpool_limits(limits=1):  # the map must not depend on the number of cores
        return TSNE(perplexity=perplexity, init=init, random_state=seed).fit_transform(reduced)


@dataclasses.dataclass(frozen=True, eq=False)
class FeatureSpace:
    """The patches of the map in one classifier's features.

    Attributes:
      evaluation: of the classifier. arrays: what `read_features` gives. patches: of the map.
      points: where they lie, float [n, 2].
    """

    evaluation: ScoredTest
    arrays: dict[str, np.ndarray]
    patches: MapPatches
    points: np.ndarray

    @property
    def features(self) -> np.ndarray:
        """float32 [n, 2048]."""
        return self.patches.take(self.arrays)

    @property
    def logits(self) -> np.ndarray:
        """float64 [n]."""
        logits: dict[str, np.ndarray] = {
            name: self.arrays[f"{name}_logit"] for name in ("validation", "synthetic")
        }
        logits |= {"test": self.evaluation.logits}
        return self.patches.take(
            {name: values.astype(np.float64) for name, values in logits.items()}
        )

    @property
    def patch_ids(self) -> np.ndarray:
        """Text [n], as objects because ids have any length."""
        ids = {name: self.arrays[f"{name}_patch_id"] for name in ("validation", "synthetic")}
        ids |= {"test": self.evaluation.patch_ids}
        return self.patches.take({name: values.astype(object) for name, values in ids.items()})

    @property
    def malignant(self) -> np.ndarray:
        """Whether a patch is a real lesion, bool [n]."""
        return np.isin(self.patches.groups, ("real mass", "real calcification"))


def baseline_space(config: ReportConfig, baseline: ScoredTest) -> FeatureSpace | None:
    """The map of Figure 4; None with fewer than `LEAST_PATCHES` patches."""
    arrays = read_features(baseline)
    patches = choose_patches(arrays, baseline.classes, group_sizes(config), config.seed)
    if len(patches) < LEAST_PATCHES:
        return None
    return FeatureSpace(baseline, arrays, patches, tsne(patches.take(arrays), config.seed))


def same_patches(config: ReportConfig, space: FeatureSpace, other: ScoredTest) -> FeatureSpace:
    """The same patches in another classifier's features; its map starts from the first one.

    Raises `UserError` when the other evaluation scored other patches.
    """
    arrays = read_features(other)
    for name in ("validation_patch_id", "synthetic_patch_id"):
        if not np.array_equal(arrays[name], space.arrays[name]):
            raise UserError(
                f"{other.directory}: expected the {name.partition('_')[0]} patches of "
                f"{space.evaluation.directory}, found others"
            )
    points = tsne(space.patches.take(arrays), config.seed, start=space.points)
    return FeatureSpace(other, arrays, space.patches, points)
