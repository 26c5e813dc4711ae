"""Writes addons_*.npz: what tensorflow-addons 0.23.0 gives, for tests/contracts/test_addons.py.

Run by `make parity` in an environment of its own (addons_constraints.txt): tensorflow-addons has
come to its end and cannot be imported beside the TensorFlow of this project.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

DIRECTORY = Path(__file__).parent
# Kernel shapes, convolutions [height, width, inputs, filters] and dense [inputs, units].
KERNELS = ((3, 3, 4, 8), (1, 1, 16, 2), (4, 4, 8, 4), (3, 3, 2, 24), (64, 4), (5, 12))
SIGMAS = (0.6, 1.25, 2.5)
PADDINGS = ("CONSTANT", "REFLECT", "SYMMETRIC")


def main() -> None:
    """Writes the three files."""
    for name, content in (
        ("spectral", spectral_normalisation()),
        ("components", connected_components()),
        ("gaussian", gaussian_filter()),
    ):
        np.savez_compressed(DIRECTORY / f"addons_{name}.npz", **content)


def spectral_normalisation() -> dict[str, np.ndarray]:
    """One pass of tfa.layers.SpectralNormalization with 1 and with 500 power iterations.

    For kernel i: kernel_i, u_i before, inputs_i; then u_after_i_n, scaled_i_n (the normalised
    kernel) and outputs_i_n for n iterations.
    """
    content = {}
    for i, shape in enumerate(KERNELS):
        rng = np.random.default_rng(100 + i)
        kernel = rng.normal(size=shape).astype(np.float32)
        u = rng.normal(size=shape[-1]).astype(np.float32)
        inputs_shape = (2, 6, 6, shape[2]) if len(shape) == 4 else (3, shape[0])
        inputs = rng.normal(size=inputs_shape).astype(np.float32)
        content |= {f"kernel_{i}": kernel, f"u_{i}": u, f"inputs_{i}": inputs}
        for iterations in (1, 500):
            layer = (
                tf.keras.layers.Conv2D(shape[-1], shape[:2], padding="same", use_bias=False)
                if len(shape) == 4
                else tf.keras.layers.Dense(shape[-1], use_bias=False)
            )
            normalised = tfa.layers.SpectralNormalization(layer, iterations)
            normalised.build(inputs.shape)
            layer.kernel.assign(kernel)
            normalised.u.assign(u[None, :])
            outputs = normalised(inputs, training=True)
            content[f"u_after_{i}_{iterations}"] = normalised.u.numpy()[0]
            content[f"scaled_{i}_{iterations}"] = layer.kernel.numpy()
            content[f"outputs_{i}_{iterations}"] = outputs.numpy()
    return content


def connected_components() -> dict[str, np.ndarray]:
    """Labels of random masks, sparse to dense: masks and labels, [n, 48, 40]."""
    rng = np.random.default_rng(7)
    masks = np.stack([rng.random((48, 40)) < share for share in np.linspace(0.1, 0.7, 7)])
    # Smooth blobs, of which none touch by their corners alone.
    noise = rng.normal(size=(8, 48, 40, 1)).astype(np.float32)
    blobs = tfa.image.gaussian_filter2d(noise, (13, 13), 1.5).numpy()[..., 0]
    masks = np.concatenate([masks, blobs > 0.15])
    labels = tfa.image.connected_components(tf.constant(masks))
    return {"masks": masks, "labels": labels.numpy().astype(np.int16)}


def gaussian_filter() -> dict[str, np.ndarray]:
    """A mask [48, 40] filtered with every sigma and padding mode, cut at 4 sigma."""
    mask = np.random.default_rng(8).random((48, 40)) < 0.4
    content = {"mask": mask, "sigmas": np.array(SIGMAS)}
    for i, sigma in enumerate(SIGMAS):
        side = 2 * int(4 * sigma + 0.5) + 1
        for padding in PADDINGS:
            filtered = tfa.image.gaussian_filter2d(
                mask.astype(np.float32)[None, :, :, None], (side, side), sigma, padding
            )
            content[f"{padding}_{i}"] = filtered.numpy()[0, :, :, 0]
    return content


if __name__ == "__main__":
    main()
