"""The t-SNE map of Figure 4: real and synthetic patches in the baseline's feature space."""

from collections.abc import Mapping

import numpy as np

PCA_COMPONENTS = 50


def map_groups(
    features: Mapping[str, np.ndarray], test_classes: np.ndarray, per_group: int, seed: int
) -> tuple[np.ndarray, np.ndarray, dict[str, int]]:
    """The patches of the map.

    Args:
      features: `test`, `validation` and `synthetic` float32 [n, 2048], with `validation_class`,
        `synthetic_task` and `synthetic_split`. test_classes: normal, mass or calcification [n].
      per_group: patches of a group, at most.

    Returns:
      features [n, 2048], the group of each, and per real group how many came from the test split
      because validation had too few. Synthetic patches are those of the training split.
    """
    generator = np.random.default_rng(seed)
    validation = np.array(
        [name.removeprefix("malignant_") for name in features["validation_class"]]
    )
    chosen, groups, topped_up = [], [], {}
    for kind in ("normal", "calcification", "mass"):
        own = generator.permutation(np.flatnonzero(validation == kind))[:per_group]
        others = generator.permutation(np.flatnonzero(test_classes == kind))
        others = others[: per_group - len(own)]
        chosen += [features["validation"][own], features["test"][others]]
        groups += [f"real {kind}"] * (len(own) + len(others))
        if len(others):
            topped_up[f"real {kind}"] = len(others)
    for kind in ("mass", "calcification"):
        of_task = (features["synthetic_task"] == kind) & (features["synthetic_split"] == "train")
        own = generator.permutation(np.flatnonzero(of_task))[:per_group]
        chosen.append(features["synthetic"][own])
        groups += [f"synthetic {kind}"] * len(own)
    return np.concatenate(chosen), np.array(groups), topped_up


def tsne(features: np.ndarray, seed: int) -> np.ndarray:
    """Features [n, d] to a map float [n, 2]: the first 50 principal components, then t-SNE."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    components = min(PCA_COMPONENTS, *features.shape)
    reduced = PCA(components, svd_solver="full").fit_transform(features.astype(np.float64))
    perplexity = min(30.0, (len(features) - 1) / 3)
    with threadpool_limits(limits=1):  # the map must not depend on the number of cores
        return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(reduced)
