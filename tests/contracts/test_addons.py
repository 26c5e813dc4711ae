"""Against tensorflow-addons 0.23.0, from the files that golden/make_addons.py wrote.

Where a convention differs, an explicit reference shows theirs and the difference is named.
"""

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from cgan_tf.models.layers import Conv, Dense
from cgan_tf.synthesis.postprocess import largest_object, smooth

GOLDEN = Path(__file__).parents[1] / "golden"
CROSS = ndimage.generate_binary_structure(2, 1)
KERNELS = range(6)


def golden(name):
    with np.load(GOLDEN / f"addons_{name}.npz") as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="module")
def spectral():
    return golden("spectral")


def layer_of(spectral, i):
    """Our layer with the kernel and the u that theirs started from."""
    kernel, u = spectral[f"kernel_{i}"], spectral[f"u_{i}"]
    if kernel.ndim == 4:
        layer = Conv(kernel.shape[3], kernel.shape[0], "conv", bias=False)
    else:
        layer = Dense(kernel.shape[1], "dense")
    layer.build((None, *spectral[f"inputs_{i}"].shape[1:]))
    layer.kernel.assign(kernel)
    layer.u.assign(u / np.linalg.norm(u))
    return layer


class TestSpectralNormalisation:
    @pytest.mark.parametrize("i", KERNELS)
    def test_one_power_iteration_is_theirs(self, spectral, i):
        layer = layer_of(spectral, i)
        layer.iterate()
        np.testing.assert_allclose(layer.u, spectral[f"u_after_{i}_1"], rtol=0, atol=1e-6)

    @pytest.mark.parametrize("i", KERNELS)
    def test_their_sigma_lies_between_ours(self, spectral, i):
        """Theirs is v'Wu of the new u and the v before it; ours |Wu| is v'Wu with the v after it,
        half an iteration further on. None is above the largest singular value."""
        kernel = spectral[f"kernel_{i}"].astype(np.float64)
        matrix = kernel.reshape(-1, kernel.shape[-1])
        theirs = np.median(kernel / spectral[f"scaled_{i}_1"])
        v = matrix @ spectral[f"u_{i}"]
        reference = np.linalg.norm(matrix.T @ (v / np.linalg.norm(v)))
        assert theirs == pytest.approx(reference, rel=1e-5)
        layer = layer_of(spectral, i)
        before = float(layer.sigma())
        layer.iterate()
        exact = np.linalg.svd(matrix, compute_uv=False)[0]
        assert before < theirs < float(layer.sigma()) <= exact * (1 + 1e-6)

    @pytest.mark.parametrize("i", KERNELS)
    def test_a_forward_pass_is_theirs_when_converged(self, spectral, i):
        layer = layer_of(spectral, i)
        layer.iterate(500)
        np.testing.assert_allclose(layer.weight(), spectral[f"scaled_{i}_500"], rtol=0, atol=1e-5)
        outputs = layer(spectral[f"inputs_{i}"])
        np.testing.assert_allclose(outputs, spectral[f"outputs_{i}_500"], rtol=0, atol=1e-5)

    @pytest.mark.parametrize("i", KERNELS)
    def test_a_forward_pass_with_their_sigma(self, spectral, i):
        layer = layer_of(spectral, i)
        layer.iterate()
        theirs = np.median(spectral[f"kernel_{i}"] / spectral[f"scaled_{i}_1"])
        outputs = layer(spectral[f"inputs_{i}"]) * float(layer.sigma()) / theirs
        np.testing.assert_allclose(outputs, spectral[f"outputs_{i}_1"], rtol=0, atol=1e-5)


class TestConnectedComponents:
    """Theirs are 4-connected; ours are 8-connected by decision (docs/decisions/synthesis.md)."""

    def test_theirs_are_four_connected(self):
        found = golden("components")
        for mask, labels in zip(found["masks"], found["labels"], strict=True):
            expected, count = ndimage.label(mask, CROSS)
            assert len({*zip(expected[mask], labels[mask], strict=True)}) == count
            assert len(np.unique(labels[mask])) == count
            assert not labels[~mask].any()

    def test_the_same_where_no_objects_touch_by_corners_alone(self):
        found = golden("components")
        compared = 0
        for mask, labels in zip(found["masks"], found["labels"], strict=True):
            four, eight = (ndimage.label(mask, s)[1] for s in (CROSS, np.ones((3, 3))))
            areas = np.bincount(labels[mask])
            if four != eight or np.sum(areas == areas.max()) > 1:
                continue
            object_, area = largest_object(mask)
            assert area == areas.max()
            np.testing.assert_array_equal(object_, labels == areas.argmax())
            compared += 1
        assert compared >= 4

    def test_ours_is_never_smaller(self):
        found = golden("components")
        differ = 0
        for mask, labels in zip(found["masks"], found["labels"], strict=True):
            theirs = np.bincount(labels[mask]).max()
            ours = largest_object(mask)[1]
            assert ours >= theirs
            differ += ours > theirs
        assert differ >= 3


class TestGaussianFilter:
    """Ours has zeros outside the patch, their padding CONSTANT."""

    # Their padding mode -> that of scipy.
    MODES = (("CONSTANT", "constant"), ("REFLECT", "mirror"), ("SYMMETRIC", "reflect"))

    def test_ours_is_their_constant_padding(self):
        found = golden("gaussian")
        for i, sigma in enumerate(found["sigmas"]):
            ours = smooth(found["mask"], sigma)
            np.testing.assert_allclose(ours, found[f"CONSTANT_{i}"], rtol=0, atol=1e-6)

    @pytest.mark.parametrize("padding", ["REFLECT", "SYMMETRIC"])
    def test_other_paddings_agree_inside_and_differ_at_the_border(self, padding):
        found = golden("gaussian")
        for i, sigma in enumerate(found["sigmas"]):
            reach = int(4 * sigma + 0.5)
            inside = (slice(reach, -reach), slice(reach, -reach))
            ours, theirs = smooth(found["mask"], sigma), found[f"{padding}_{i}"]
            np.testing.assert_allclose(ours[inside], theirs[inside], rtol=0, atol=1e-6)
            assert np.abs(ours[0] - theirs[0]).max() > 0.1

    @pytest.mark.parametrize(("padding", "mode"), MODES)
    def test_what_their_paddings_are(self, padding, mode):
        found = golden("gaussian")
        for i, sigma in enumerate(found["sigmas"]):
            mask = found["mask"].astype(np.float64)
            expected = ndimage.gaussian_filter(mask, sigma, mode=mode, truncate=4)
            np.testing.assert_allclose(found[f"{padding}_{i}"], expected, rtol=0, atol=1e-6)
