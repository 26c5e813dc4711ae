"""Classical augmentation: a real patch bent, with another contrast and more noise.

It is not in the paper, whose patches are flipped, rotated and resized when they are cut; it is the
arm that asks whether synthetic lesions do more than simple means would.
"""

import dataclasses

import cv2
import numpy as np

from cgan_tf.config import ClassifierConfig
from cgan_tf.data.keyed import keyed_generator
from cgan_tf.labels import PAPER_SIZE

GRAIN = 1 / 12  # of the side: the Gaussian's sigma that makes a displacement smooth


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Changes a patch; what it does depends on the seed and the number of the sample alone.

    Attributes:
      elastic: standard deviation of a pixel's displacement along each axis, in pixels at 256.
      contrast: differences from the mean are multiplied by 1 - contrast to 1 + contrast.
      noise: standard deviation of white noise, in grey levels of [-1, 1].
    """

    seed: int
    elastic: float
    contrast: float
    noise: float

    def __call__(self, patch: np.ndarray, sample: int) -> np.ndarray:
        """A patch float32 [size, size] in [-1, 1], changed."""
        draws = keyed_generator(self.seed, "augmentation", sample)
        bent = _bent(patch, draws, self.elastic * len(patch) / PAPER_SIZE)
        mean = bent.mean()
        contrast = draws.uniform(1 - self.contrast, 1 + self.contrast)
        noise = self.noise * draws.standard_normal(patch.shape)
        return (mean + (bent - mean) * contrast + noise).clip(-1, 1).astype(np.float32)


def augmentation_of(config: ClassifierConfig) -> Augmentation:
    """What the flags give."""
    return Augmentation(
        config.seed, config.augment_elastic, config.augment_contrast, config.augment_noise
    )


def _bent(patch: np.ndarray, draws: np.random.Generator, deviation_px: float) -> np.ndarray:
    """The patch with every pixel moved by a smooth random field; its border is mirrored."""
    if not deviation_px:
        return patch
    size = len(patch)
    moves = []
    for _ in range(2):
        rough = draws.standard_normal((size, size)).astype(np.float32)
        field = cv2.GaussianBlur(rough, (0, 0), GRAIN * size)
        moves.append(field * np.float32(deviation_px / field.std()))
    y, x = np.mgrid[:size, :size].astype(np.float32)
    # Linear interpolation would take noise away, and its lack would tell the arm's patches apart.
    return cv2.remap(
        patch, x + moves[0], y + moves[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
