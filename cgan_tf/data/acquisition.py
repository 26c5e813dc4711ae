"""How an image was acquired: what a record may hold of it, and the bands of its sub-groups.

Headers and tables are written by many hands. A value outside the range of its attribute is in
another unit or wrong, and counts as unknown: nothing is converted by guess. Bands are the same for
every data set, so that groups of two sets can be compared; docs/decisions/data.md says why these.
"""

import dataclasses
import re
from collections.abc import Sequence

AGES = (18, 120)  # years
THICKNESSES_MM = (10.0, 150.0)  # compressed breasts have 20 to 110 mm
EXPOSURES_MAS = (1.0, 1000.0)  # of one mammogram: 20 to 400 mAs

_AGE = re.compile(r"(\d{1,3})(?:\.\d*)?Y?", re.ASCII)  # "061Y" of DICOM; 61 or 61.0 of tables
_SITE = re.compile(r"[A-Za-z0-9]{1,4}")


@dataclasses.dataclass(frozen=True)
class Bands:
    """Bands of a number: each ends at its limit, the limit included; the last has none."""

    limits: tuple[float, ...]
    names: tuple[str, ...]

    def of(self, value: float) -> str:
        """The name of the band that holds a value."""
        return self.names[sum(value > limit for limit in self.limits)]


# Ten years, open at both ends: who is rare among the women screened does not stand out.
AGE_BANDS = Bands(
    (49, 59, 69), ("under 50 years", "50 to 59 years", "60 to 69 years", "70 years and over")
)
# The breasts that 40, 50 and 60 mm of PMMA stand for in tests of mammography units (Dance et al.,
# Phys Med Biol 45:3225, 2000; European guidelines, 4th edition, 2006).
THICKNESS_BANDS = Bands(
    (45.0, 60.0, 75.0), ("up to 45 mm", "45 to 60 mm", "60 to 75 mm", "over 75 mm")
)
# Doubled from band to band: at one detector, twice the exposure is 0.71 of the relative noise.
EXPOSURE_BANDS = Bands(
    (50.0, 100.0, 200.0), ("up to 50 mAs", "50 to 100 mAs", "100 to 200 mAs", "over 200 mAs")
)
# Of the longer side of the annotated box. The limits are those of the TNM stages T1c, T2 and T3.
LESION_SIZE_BANDS = Bands(
    (10.0, 20.0, 50.0), ("up to 10 mm", "10 to 20 mm", "20 to 50 mm", "over 50 mm")
)


def age_band(said: object) -> str:
    """The band of an age in years, as a header or a table has it; empty where it is no such age.

    An age itself is a person's, and is kept nowhere.
    """
    found = _AGE.fullmatch(str(said).strip().upper())
    years = int(found[1]) if found else 0
    return AGE_BANDS.of(years) if AGES[0] <= years <= AGES[1] else ""


def site_code(said: object) -> str:
    """A site's code, up to four letters or digits; empty for other texts, which may be names."""
    code = said.strip() if isinstance(said, str) else ""
    return code if _SITE.fullmatch(code) else ""


def thickness_mm(said: object) -> float:
    """The thickness of a compressed breast in whole mm; 0 where it is none."""
    return float(round(_within(said, THICKNESSES_MM)))


def exposure_mas(*said: object) -> float:
    """The exposure in mAs, to 0.1, of what is said of it in mAs; 0 where it is none.

    Where several values are plausible, the first counts, and they must agree to 10%, or 1 mAs as
    DICOM's Exposure is a whole number: otherwise one is in another unit.
    """
    known = [value for value in (_within(one, EXPOSURES_MAS) for one in said) if value]
    if not known or max(known) - min(known) > max(1.0, 0.1 * max(known)):
        return 0.0
    return round(known[0], 1)


def _within(said: object, limits: Sequence[float]) -> float:
    """The number that is said, where it lies within the limits; otherwise 0."""
    try:
        value = float(str(said))
    except ValueError:
        return 0.0
    return value if limits[0] <= value <= limits[1] else 0.0
