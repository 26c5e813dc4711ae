"""What a screening population shows: its lesions, and the findings that imitate them.

The mix follows published series; a recipe is a family that a reader would recognise, and no family
is common, so that few women show only some of them.

- Masses 48%, calcifications 31%, asymmetries 17%, distortions 3% of screen-detected cancers (Kayhan
  et al., Diagn Interv Radiol 22:508, 2016); asymmetries are drawn as masses that are hardly denser
  than tissue.
- Spiculated margins, irregular shapes and linear calcifications are malignant in 81, 73 and 81% of
  biopsies, circumscribed masses in few (Liberman et al., AJR 171:35, 1998).
- The median invasive cancer of a repeated screen is 12 mm in fatty and 15 mm in dense breasts
  (Breast Cancer Res 6, Suppl 1:P14, 2004).
- Morphology and distribution of calcifications, shape, margin and density of masses: D'Orsi et al.,
  ACR BI-RADS Atlas, 5th edition, 2013.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from beam_pipelines.phantom.lesions import CALCIFICATION, DISTORTION, MASS, MASS_WITH_CALCIFICATION
from beam_pipelines.phantom.screening_lesions import MassShape, ScreeningLook, Specks, Spicules

Recipe = Callable[[np.random.Generator, float, float], ScreeningLook]

SIZE_MM = {"malignant": (12.5, 0.38), "benign": (11.0, 0.38), "uncertain": (11.0, 0.38)}
SMALLEST_MM, LARGEST_MM = 5.0, 24.0
# Display contrast of a mass' centre: median and spread of its logarithm. The anatomy's own standard
# deviation over a centimetre is about 0.1, a pixel's quantum noise at 0.28 mm 0.014.
CONTRAST, CONTRAST_SPREAD = 0.28, 0.42
IMITATOR_SHARE = 0.8  # of a lesion's contrast: an imitator is a little fainter on average
FAINTEST, STRONGEST = 0.09, 0.60
SPECK_CONTRAST, SPECK_SPREAD = 0.42, 0.35


def _spiculated(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    shape = MassShape(rng.uniform(1, 1.5), 0.16, 0.05, rng.uniform(1.0, 2.5), 0.7, 0.2)
    spicules = Spicules(int(rng.integers(9, 22)), rng.uniform(1.4, 2.1), 0.38, 0.75)
    return _look(MASS, "spiculated", size * 0.8, contrast, mass=shape, spicules=spicules)


def _fine_spicules(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    shape = MassShape(1.2, 0.15, 0.0, 2.0, 1.2, 0.2)
    spicules = Spicules(int(rng.integers(14, 30)), rng.uniform(1.8, 2.4), 0.28, 0.95)
    return _look(MASS, "spiculated", size * 0.6, contrast, mass=shape, spicules=spicules)


def _irregular(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    shape = MassShape(rng.uniform(1.1, 1.8), 0.28, 0.10, rng.uniform(1.2, 2.4), 0.6, 0.35, 0.9)
    return _look(MASS, "ill_defined", size, contrast, mass=shape)


def _microlobulated(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    shape = MassShape(rng.uniform(1, 1.5), 0.06, 0.18, 0.45, 0.4, 0.12, 1.0)
    return _look(MASS, "ill_defined", size * 0.85, contrast, mass=shape)


def _dense_round(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    shape = MassShape(rng.uniform(1, 1.2), 0.03, 0.0, 0.6, 0.3, 0.15, 0.8)
    return _look(MASS, "well_defined", size * 0.75, 1.2 * contrast, mass=shape)


def _obscured(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    shape = MassShape(1.3, 0.1, 0.09, 0.6, 0.5, 0.2, 1.0, hidden=rng.uniform(0.4, 0.75))
    return _look(MASS, "ill_defined", size, contrast, mass=shape)


def _asymmetry(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    shape = MassShape(rng.uniform(1.2, 2.0), 0.2, 0.0, rng.uniform(2.0, 4), 0.8, 0.6, 0.6)
    spicules = Spicules(int(rng.integers(4, 9)), 1.4, 0.3, 0.4)
    return _look(MASS, "ill_defined", size * 1.1, 0.85 * contrast, mass=shape, spicules=spicules)


def _with_calcifications(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    base = _irregular(rng, size, contrast)
    specks = Specks(int(rng.integers(5, 14)), 0.45, 0.4, _speck(rng), 2.0, "grouped")
    return dataclasses.replace(base, kind=MASS_WITH_CALCIFICATION, calcifications=specks)


def _distorted(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    spicules = Spicules(int(rng.integers(10, 20)), rng.uniform(1.6, 2.2), 0.3, 0.9)
    return _look(DISTORTION, "spiculated", size, contrast, spicules=spicules)


def _cluster(
    rng: np.random.Generator,
    size: float,
    contrast: float,
    specks: Specks,
    morphology: str = "pleomorphic",
) -> ScreeningLook:
    """Calcifications in a trace of density, in half of the women."""
    density = MassShape(1.4, 0.2, 0.0, 3.0, 0.9, 0.3) if rng.uniform() < 0.5 else None
    return _look(
        CALCIFICATION,
        "ill_defined",
        size,
        0.45 * contrast,
        morphology,
        mass=density,
        calcifications=specks,
    )


def _fine_pleomorphic(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    specks = Specks(int(rng.integers(7, 25)), 0.40, 0.45, _speck(rng), 2.2, "grouped")
    return _cluster(rng, 0.75 * size, contrast, specks)


def _amorphous(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    specks = Specks(int(rng.integers(20, 60)), 0.24, 0.3, _speck(rng), 1.3, "grouped")
    return _cluster(rng, 0.8 * size, contrast, specks)


def _fine_linear(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    form = str(rng.choice(("linear", "branching")))
    specks = Specks(int(rng.integers(8, 26)), 0.30, 0.35, _speck(rng), 4.5, form)
    return _cluster(rng, 1.1 * size, contrast, specks, "linear")


def _coarse_heterogeneous(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    specks = Specks(int(rng.integers(5, 12)), 0.70, 0.4, 0.9 * _speck(rng), 1.6, "grouped")
    return _cluster(rng, 0.7 * size, contrast, specks)


def _segmental(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    specks = Specks(int(rng.integers(15, 40)), 0.35, 0.45, _speck(rng), 2.5, "segmental")
    return _cluster(rng, 1.4 * size, contrast, specks)


def _smooth_node(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    """A node of parenchyma: soft, its texture that of tissue."""
    shape = MassShape(rng.uniform(1, 1.9), 0.1, 0.0, rng.uniform(2.5, 6), 0.9, 0.2, 2.5)
    return _look(MASS, "ill_defined", size, contrast, mass=shape)


def _cyst(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    """A cyst or fibroadenoma: smooth, oval, with a halo."""
    halo = 0.18 * rng.uniform()
    shape = MassShape(rng.uniform(1.05, 1.7), 0.04, 0.0, 0.6, 0.5, 0.03, 3.0, halo=halo)
    return _look(MASS, "well_defined", 0.85 * size, contrast, mass=shape)


def _lymph_node(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    shape = MassShape(rng.uniform(1.3, 2.2), 0.04, 0.0, 0.6, 0.35, 0.05, 2.0, hilum=0.8)
    return _look(MASS, "well_defined", 0.7 * size, contrast, mass=shape)


def _crossing(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    """Strands that cross by chance, a node of tissue where they do."""
    shape = MassShape(rng.uniform(1, 1.8), 0.1, 0.0, 3.0, 1.0, 0.15, 2.5)
    strands = Spicules(int(rng.integers(3, 8)), rng.uniform(1.4, 2.3), 0.38, 0.6, order=0.0)
    return _look(MASS, "ill_defined", 0.8 * size, contrast, mass=shape, spicules=strands)


def _lobulated(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    """A lobule of gland: few smooth lobes."""
    shape = MassShape(rng.uniform(1.1, 1.7), 0.2, 0.0, rng.uniform(0.8, 2.0), 0.6, 0.12, 2.5)
    return _look(MASS, "well_defined", 0.9 * size, contrast, mass=shape)


def _punctate(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    """Round specks of one size, loosely scattered."""
    specks = Specks(int(rng.integers(3, 14)), 0.40, 0.08, _speck(rng), 1.0, "scattered")
    return _cluster(rng, size, contrast, specks, "round")


def _vascular(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    specks = Specks(int(rng.integers(14, 40)), 0.32, 0.3, 0.8 * _speck(rng), 3.0, "tram")
    return _cluster(rng, 1.3 * size, 0.0, specks, "linear")


def _rim(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    """Lucent-centred: a fat necrosis, or the skin's."""
    specks = Specks(int(rng.integers(16, 40)), 0.35, 0.15, 0.8 * _speck(rng), 2.0, "rim")
    return _cluster(rng, rng.uniform(2.0, 6.0), 0.0, specks, "round")


def _popcorn(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    specks = Specks(int(rng.integers(1, 4)), 1.4, 0.2, 0.9 * _speck(rng), 1.4, "grouped")
    return _cluster(rng, 5.0, contrast, specks, "round")


def _rods(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    """Secretory: few long smooth rods that run along one duct."""
    specks = Specks(int(rng.integers(2, 6)), 0.55, 0.1, _speck(rng), 7.0, "linear")
    return _cluster(rng, 1.4 * size, 0.0, specks, "linear")


def _dust(rng: np.random.Generator, size: float, contrast: float) -> ScreeningLook:
    """Artefacts of the film: pixels of any place, sharp and few."""
    specks = Specks(int(rng.integers(6, 30)), 0.20, 0.3, 0.8 * _speck(rng), 1.2, "scattered")
    return _look(CALCIFICATION, "ill_defined", 18.0, 0.0, "round", calcifications=specks)


MALIGNANT: dict[Recipe, float] = {
    _spiculated: 0.13,
    _fine_spicules: 0.08,
    _irregular: 0.11,
    _microlobulated: 0.06,
    _dense_round: 0.05,
    _obscured: 0.06,
    _asymmetry: 0.09,
    _with_calcifications: 0.09,
    _distorted: 0.03,
    _fine_pleomorphic: 0.10,
    _amorphous: 0.07,
    _fine_linear: 0.05,
    _coarse_heterogeneous: 0.05,
    _segmental: 0.03,
}
BENIGN: dict[Recipe, float] = {
    _cyst: 0.22,
    _lobulated: 0.12,
    _lymph_node: 0.05,
    _irregular: 0.06,
    _obscured: 0.06,
    _asymmetry: 0.06,
    _punctate: 0.16,
    _coarse_heterogeneous: 0.10,
    _amorphous: 0.09,
    _popcorn: 0.05,
    _fine_pleomorphic: 0.03,
}
# Expected findings of an image; each imitates a family above.
IMITATORS: dict[Recipe, float] = {
    _smooth_node: 4.3,
    _lobulated: 2.2,
    _cyst: 2.2,
    _lymph_node: 1.4,
    _crossing: 5.0,
    _punctate: 2.7,
    _vascular: 1.8,
    _rim: 1.8,
    _popcorn: 1.1,
    _rods: 1.1,
    _dust: 1.8,
}
# A woman has much of one kind and little of another: the count is the expectation times this.
WOMAN_SPREAD = 0.8


def screening_look(rng: np.random.Generator, pathology: str) -> ScreeningLook:
    """A lesion that was recalled, malignant, benign or uncertain."""
    recipes = MALIGNANT if pathology == "malignant" else BENIGN
    return _drawn(rng, list(recipes)[int(rng.choice(len(recipes), p=list(recipes.values())))])


def faded(look: ScreeningLook, factor: float) -> ScreeningLook:
    """The same lesion with its contrast times `factor`."""
    specks = look.calcifications
    if specks:
        specks = dataclasses.replace(specks, contrast=factor * specks.contrast)
    return dataclasses.replace(
        look,
        contrast=factor * look.contrast,
        speck_contrast=factor * look.speck_contrast,
        calcifications=specks,
    )


def imitators(woman: np.random.Generator, image: np.random.Generator) -> list[ScreeningLook]:
    """What an image shows and nobody marks; `woman` gives all images of a woman the same habit."""
    looks = []
    for recipe, expected in IMITATORS.items():
        habit = np.exp(WOMAN_SPREAD * woman.normal() - WOMAN_SPREAD**2 / 2)
        count = min(int(image.poisson(expected * habit)), 12)
        looks += [faded(_drawn(image, recipe), IMITATOR_SHARE) for _ in range(count)]
    return looks


def _drawn(rng: np.random.Generator, recipe: Recipe) -> ScreeningLook:
    median, spread = SIZE_MM["malignant"]
    size = float(np.clip(median * np.exp(rng.normal(0, spread)), SMALLEST_MM, LARGEST_MM))
    contrast = CONTRAST * np.exp(rng.normal(0, CONTRAST_SPREAD))
    look = recipe(rng, size, float(np.clip(contrast, FAINTEST, STRONGEST)))
    return dataclasses.replace(look, family=recipe.__name__.strip("_"))


def _speck(rng: np.random.Generator) -> float:
    return float(SPECK_CONTRAST * np.exp(rng.normal(0, SPECK_SPREAD)))


def _look(
    kind: str,
    margin: str,
    size: float,
    contrast: float,
    morphology: str = "pleomorphic",
    mass: MassShape | None = None,
    spicules: Spicules | None = None,
    calcifications: Specks | None = None,
) -> ScreeningLook:
    return ScreeningLook(
        kind=kind,
        margin=margin,
        morphology=morphology,
        size_mm=float(np.clip(size, 4.0, LARGEST_MM)),
        contrast=float(contrast),
        specks=calcifications.count if calcifications else 0,
        speck_contrast=calcifications.contrast if calcifications else 0.0,
        mass=mass,
        spicules=spicules,
        calcifications=calcifications,
    )
