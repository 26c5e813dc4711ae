import numpy as np
import pytest

from beam_pipelines.patches.windows import Augmentation, cut_patch
from cgan_tf.classifier.windows import place_logits, score_dense, score_windows
from cgan_tf.detection.heat_maps import dense_grid, grid_of

SIZE = 64


@pytest.fixture(scope="module")
def grey():
    """A textured image, float32 [200, 170]."""
    generator = np.random.default_rng(0)
    return np.tanh(generator.normal(0, 0.5, (200, 170))).astype(np.float32)


@pytest.fixture(scope="module")
def small():
    from cgan_tf.models.networks import build_classifier

    return build_classifier("small", "inference")


def cut(grey, corners) -> np.ndarray:
    """The patches that the patch cutter makes at these places, as a batch."""
    plain = Augmentation(False, 0, SIZE)
    patches = [cut_patch(grey, int(x), int(y), plain, SIZE) for x, y in corners]
    return np.stack(patches)[..., None]


def test_logits_of_windows_are_those_of_patches_cut_there(small, grey):
    grid = grid_of(grey.shape, SIZE, 16)
    corners = grid.corners(np.ones(grid.shape, bool))
    assert len(corners) == 10 * 8
    logits = score_windows(small, grey, corners, SIZE, 16)
    patches = cut(grey, corners)
    batches = [small.infer(patches[n : n + 16])[0].numpy() for n in range(0, len(patches), 16)]
    np.testing.assert_array_equal(logits, np.concatenate(batches))  # to the last bit
    assert np.ptp(logits) > 1e-3
    # Another batch size changes no more than the last bits.
    np.testing.assert_allclose(score_windows(small, grey, corners, SIZE, 7), logits, atol=1e-4)


def test_no_window_has_no_logit(small, grey):
    assert score_windows(small, grey, np.zeros((0, 2), int), SIZE, 16).shape == (0,)


@pytest.fixture
def tiny_model(tiny):
    from cgan_tf.models.resnet import ResNetClassifier

    return ResNetClassifier()


def test_the_mean_of_the_places_is_the_logit(tiny_model, grey):
    patch = grey[None, :SIZE, :SIZE, None]
    places = tiny_model.infer_places(patch).numpy()
    assert places.shape[0] == 1
    assert places[0].size > 1
    np.testing.assert_allclose(places.mean(), tiny_model.infer(patch)[0].numpy()[0], rtol=1e-4)


class Fields:
    """A network of known answers: a place's logit is the mean of its 32 x 32 pixels and of those
    around it, as far as it is shown them."""

    def infer_places(self, image):
        rows, columns = (length // 32 for length in image.shape[1:3])
        padded = np.pad(image[0, ..., 0], 32)
        places = [
            [padded[32 * r : 32 * r + 96, 32 * c : 32 * c + 96].mean() for c in range(columns)]
            for r in range(rows)
        ]
        return _Tensor(np.array([places], np.float32))


class _Tensor:
    def __init__(self, values):
        self.values = values

    def __getitem__(self, index):
        return _Tensor(self.values[index])

    def numpy(self):
        return self.values


@pytest.mark.parametrize("shape", [(96, 96), (320, 160), (333, 191), (65, 512)])
def test_tiles_give_what_the_whole_image_gives(shape):
    grey = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    whole = place_logits(Fields(), grey, tile=1024, margin=256)
    assert whole.shape == (shape[0] // 32, shape[1] // 32)
    for tile in (32, 96):
        tiled = place_logits(Fields(), grey, tile=tile, margin=64)
        np.testing.assert_allclose(tiled, whole, atol=1e-5)
    # A margin narrower than the field of view does not.
    assert np.abs(place_logits(Fields(), grey, tile=32, margin=0) - whole).max() > 1e-3


def test_a_dense_window_is_the_mean_of_its_places():
    grey = np.random.default_rng(2).normal(size=(200, 170)).astype(np.float32)
    grid = dense_grid(grey.shape, SIZE, 32)
    found = score_dense(Fields(), grey, grid)
    places = place_logits(Fields(), grey)
    assert found.shape == grid.shape == (5, 4)
    for row in range(5):
        for column in range(4):
            expected = places[row : row + 2, column : column + 2].mean()
            assert found[row, column] == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
def test_resnet_sees_so_far_that_a_patch_is_its_own_image_and_tiles_need_their_margin():
    from cgan_tf.models.networks import build_classifier

    model = build_classifier("resnet50", "inference")
    grey = np.tanh(np.random.default_rng(3).normal(0, 0.5, (896, 64))).astype(np.float32)
    patch = grey[:SIZE]
    alone = score_dense(model, patch, dense_grid(patch.shape, SIZE, 32))
    exact = model.infer(patch[None, ..., None])[0].numpy()
    np.testing.assert_allclose(alone[0], exact, rtol=1e-3, atol=1e-5)
    whole = place_logits(model, grey)
    spread = whole.std()
    tiled = place_logits(model, grey, tile=128, margin=256)
    np.testing.assert_allclose(tiled, whole, atol=1e-3 * spread)
    narrow = place_logits(model, grey, tile=128, margin=64)
    assert np.abs(narrow - whole).max() > 1e-2 * spread
