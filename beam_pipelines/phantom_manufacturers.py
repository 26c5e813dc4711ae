"""Four manufacturers with habits of their own: bits, windows, photometry, transfer syntax.

The names and models are those of UK screening; which habit belongs to whom is the phantom's choice.
"""

import dataclasses

import numpy as np

from beam_pipelines.phantom_encoding import LINEAR, LINEAR_EXACT, LUT, SIGMOID, GreyMapping

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_2000 = "1.2.840.10008.1.2.4.90"


@dataclasses.dataclass(frozen=True)
class Manufacturer:
    """Habits of a manufacturer's images for presentation, and of its raw twin.

    Attributes:
      voi: weights of the grey-level mappings it uses. view_prefix: ViewPosition has the side in
        front (LCC). view_code: ViewCodeSequence is present. empty_function: LINEAR windows have an
        empty VOILUTFunction. explanations: several windows, the first one counts.
    """

    name: str
    model: str
    bits: int
    photometric: str
    voi: dict[str, float]
    syntax: str
    raw_bits: int
    raw_photometric: str
    pixel_spacing: bool
    view_prefix: bool
    view_code: bool
    several_windows: bool


MANUFACTURERS = (
    Manufacturer(
        name="HOLOGIC, Inc.",
        model="Selenia Dimensions",
        bits=12,
        photometric="MONOCHROME2",
        voi={LINEAR: 0.6, SIGMOID: 0.4},
        syntax=JPEG_LOSSLESS,
        raw_bits=14,
        raw_photometric="MONOCHROME1",
        pixel_spacing=False,
        view_prefix=False,
        view_code=True,
        several_windows=True,
    ),
    Manufacturer(
        name="GE MEDICAL SYSTEMS",
        model="Senographe Essential VERSION ADS_54.10",
        bits=14,
        photometric="MONOCHROME2",
        voi={LUT: 0.5, SIGMOID: 0.5},
        syntax=EXPLICIT,
        raw_bits=14,
        raw_photometric="MONOCHROME1",
        pixel_spacing=False,
        view_prefix=False,
        view_code=True,
        several_windows=False,
    ),
    Manufacturer(
        name="SIEMENS",
        model="MAMMOMAT Inspiration",
        bits=12,
        photometric="MONOCHROME2",
        voi={LINEAR: 1.0},
        syntax=JPEG_2000,
        raw_bits=14,
        raw_photometric="MONOCHROME2",
        pixel_spacing=True,
        view_prefix=False,
        view_code=True,
        several_windows=False,
    ),
    Manufacturer(
        name="FUJIFILM Corporation",
        model="AMULET Innovality",
        bits=10,
        photometric="MONOCHROME1",
        voi={LINEAR_EXACT: 0.6, LINEAR: 0.4},
        syntax=IMPLICIT,
        raw_bits=12,
        raw_photometric="MONOCHROME1",
        pixel_spacing=True,
        view_prefix=True,
        view_code=False,
        several_windows=False,
    ),
)


def draw_mapping(rng: np.random.Generator, manufacturer: Manufacturer) -> GreyMapping:
    """The grey-level mapping of one image: windows differ a little from image to image."""
    voi = list(manufacturer.voi)[
        int(rng.choice(len(manufacturer.voi), p=list(manufacturer.voi.values())))
    ]
    levels = 1 << manufacturer.bits
    if voi == LUT:
        return GreyMapping(manufacturer.bits, manufacturer.photometric, voi)
    if voi == SIGMOID:
        # 2.2 half ranges: the background decodes to within 0.025 of black and white.
        centre = round(levels * rng.uniform(0.48, 0.52))
        return GreyMapping(manufacturer.bits, manufacturer.photometric, voi, centre, levels * 0.42)
    width = round(levels * rng.uniform(0.75, 0.95))
    centre = round(width / 2 + (levels - width) * rng.uniform(0.2, 0.8))
    return GreyMapping(manufacturer.bits, manufacturer.photometric, voi, centre, width)
