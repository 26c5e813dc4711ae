"""Report section on the baseline's feature space: the paper's Figure 4."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from cgan_tf import report_map_figures
from cgan_tf.config import ReportConfig
from cgan_tf.errors import UserError
from cgan_tf.report_content import Part, Plot, Section, section
from cgan_tf.report_data import ScoredTest, read_features
from cgan_tf.report_map import MapPatches, choose_patches, group_sizes, tsne

LEAST_PATCHES = 10  # fewer make no map


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
        logits = {name: self.arrays[f"{name}_logit"] for name in ("validation", "synthetic")}
        logits |= {"test": self.evaluation.logits}
        return self.patches.take({name: np.float64(values) for name, values in logits.items()})

    @property
    def patch_ids(self) -> np.ndarray:
        """Text [n]; objects, for ids have any length."""
        ids = {name: self.arrays[f"{name}_patch_id"] for name in ("validation", "synthetic")}
        ids |= {"test": self.evaluation.patch_ids}
        return self.patches.take({name: values.astype(object) for name, values in ids.items()})

    @property
    def malignant(self) -> np.ndarray:
        """Whether a patch is a real lesion, bool [n]."""
        return np.isin(self.patches.groups, ("real mass", "real calcification"))


def baseline_space(config: ReportConfig, baseline: ScoredTest) -> FeatureSpace | None:
    """The map of Figure 4; None where there are next to no patches."""
    arrays = read_features(baseline)
    patches = choose_patches(arrays, baseline.classes, group_sizes(config), config.seed)
    if len(patches) < LEAST_PATCHES:
        return None
    return FeatureSpace(baseline, arrays, patches, tsne(patches.take(arrays), config.seed))


def same_patches(config: ReportConfig, space: FeatureSpace, other: ScoredTest) -> FeatureSpace:
    """The patches of a map in another classifier's features, its map begun from the first one.

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


def figure_4(space: FeatureSpace, below: Sequence[Part]) -> Section | None:
    """The map, and the overlap numbers `below` it."""
    topped_up = space.patches.topped_up
    extra = (
        "Validation had too few patches; from the test split come "
        + ", ".join(f"{count:,} {group}" for group, count in topped_up.items())
        + ". "
        if topped_up
        else ""
    )
    caption = (
        "t-SNE of the last feature layer of the baseline classifier, trained on real patches only, "
        "in the paper's colours. Real patches are drawn from the validation split. "
        f"{extra}Distances between groups in such a map are no measure of overlap. (The paper's "
        "map shows 2,000 normal patches of a validation set that it says has 1,000.)"
    )
    figure = report_map_figures.tsne_figure(space.points, space.patches.groups)
    return section(
        "Figure 4. Real and synthetic patches in feature space",
        Plot("figure_4_tsne", figure, caption),
        *below,
    )
