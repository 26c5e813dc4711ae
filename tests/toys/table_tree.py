"""Drawn images with a table, in the layouts that the ready mappings read."""

from pathlib import Path

import numpy as np
from PIL import Image

from beam_pipelines.sources.base import UnitIndex, merge
from beam_pipelines.sources.table import open_source
from cgan_tf.config import PatchesConfig

ROOT = Path(__file__).parents[2]
SHAPE = (200, 160)
MAPPING = """
[table]
path = "table.csv"
[image]
path = "file"
patient = "woman"
laterality = "side"
view = "view"
pseudonyms = false
[lesion]
type.column = "kind"
type.words = { mass = "mass", calc = "calcification", distortion = "other", healthy = "none" }
pathology = { column = "truth", words = { B = "benign", M = "malignant", "" = "none" } }
"""
BOX = """
[box]
x0 = "x0"
y0 = "y0"
x1 = "x1"
y1 = "y1"
"""


def drawn(shape=SHAPE, bright=(), value=3500):
    """uint16 [H, W], 12 bits: half a disc on black, with brighter discs at (x, y, radius)."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside = (rows - shape[0] / 2) ** 2 + columns**2 < (0.47 * shape[0]) ** 2
    texture = np.random.default_rng(0).integers(1500, 2000, shape)
    image = inside * texture
    for x, y, radius in bright:
        image[(columns - x) ** 2 + (rows - y) ** 2 < radius**2] = value
    return image.astype(np.uint16)


def write_image(path: Path, values: np.ndarray) -> Path:
    """An image in the format that its name says; 16 bits as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def write_table(root: Path, lines: list[str], mapping: str = MAPPING, name: str = "table.csv"):
    """A table, and the mapping beside the directory of the images."""
    root.mkdir(parents=True, exist_ok=True)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    path = root.parent / f"{root.name}.toml"
    path.write_text(mapping, encoding="utf-8")
    return path


def config_of(root: Path, mapping: Path | str, **changes) -> PatchesConfig:
    """The flags that read it."""
    return PatchesConfig(source="table", input_dir=str(root), mapping=str(mapping), **changes)


def ready(name: str) -> str:
    """The path of a mapping of the project."""
    return str(ROOT / "configs" / "sources" / f"{name}.toml")


def index_of(config: PatchesConfig) -> UnitIndex:
    """Everything that the source reads."""
    source = open_source(config)
    return merge(source.read_unit(unit) for unit in source.units())


def reasons(index: UnitIndex) -> dict[str, str]:
    """Reasons and details by the names of what is rejected, without directories."""
    return {
        item.name.rsplit("/", 1)[-1]: f"{item.reason} {item.detail}" for item in index.rejections
    }
