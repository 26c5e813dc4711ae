"""Patches of a mammogram by the script that one would write first, for patch_speed to compare with.

Every step is done by the usual library on the whole image: pydicom with gdcm, apply_voi_lut, the
Otsu of scikit-image, Pillow for resizing and PNG, TensorFlow for the records.
"""

import io
from typing import Any

import numpy as np
import pydicom
import skimage.filters
import tensorflow as tf
from PIL import Image
from pydicom.pixels import apply_voi_lut

SIZE = 256
SMALLEST_SCALE, LARGEST_SCALE = 0.8, 1.2
MIN_TISSUE = 0.9
MOST_TRIES = 1000


def cut_plainly(path: str, count: int, generator: np.random.Generator, writer: Any) -> int:
    """Writes `count` random, augmented patches of breast tissue; returns how many there are."""
    dataset = pydicom.dcmread(path)
    dataset.pixel_array_options(decoding_plugin="gdcm")
    values = apply_voi_lut(dataset.pixel_array, dataset)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        values = values.max() - values
    grey = 2.0 * (values / ((1 << dataset.BitsStored) - 1)) - 1.0
    tissue = grey > skimage.filters.threshold_otsu(grey)
    written = 0
    for _ in range(count):
        window = _window(grey, tissue, generator)
        if window is None:
            break
        writer.write(_example(_augmented(window, generator), dataset).SerializeToString())
        written += 1
    return written


def _window(
    grey: np.ndarray, tissue: np.ndarray, generator: np.random.Generator
) -> np.ndarray | None:
    side = round(SIZE / generator.uniform(SMALLEST_SCALE, LARGEST_SCALE))
    for _ in range(MOST_TRIES):
        top = generator.integers(0, grey.shape[0] - side + 1)
        left = generator.integers(0, grey.shape[1] - side + 1)
        if tissue[top : top + side, left : left + side].mean() >= MIN_TISSUE:
            return grey[top : top + side, left : left + side]
    return None


def _augmented(window: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    image = Image.fromarray(window.astype(np.float32))
    patch = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC)).clip(-1, 1)
    if generator.random() < 0.5:
        patch = np.fliplr(patch)
    return np.rot90(patch, generator.integers(4))


def _example(patch: np.ndarray, dataset: pydicom.Dataset) -> tf.train.Example:
    file = io.BytesIO()
    Image.fromarray(np.rint((patch + 1) / 2 * 65535).astype(np.uint16)).save(file, "PNG")
    texts = {
        "patch": file.getvalue(),
        "client_id": str(dataset.PatientID).encode(),
        "sop_uid": str(dataset.SOPInstanceUID).encode(),
        "laterality": str(dataset.ImageLaterality).encode(),
        "view": str(dataset.ViewPosition).encode(),
    }
    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for name, value in texts.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=feature))
