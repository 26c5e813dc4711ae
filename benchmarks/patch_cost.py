"""What one mammogram costs make_patches: CPU seconds by step, bytes kept, of items, of rows.

python -m benchmarks.patch_cost --phantom_dir=DIR [--patches=6] [--repeats=3]

Reads a tree in OMI-DB's layout (make_phantom draws one of a clinical size) and prints medians over
its images of each transfer syntax, of the fastest of the repeats, on one thread. docs/scaling.md
reckons with them.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom

from beam_pipelines.dicom import reading as dicom_reading
from beam_pipelines.patches import shards
from beam_pipelines.patches.breast_mask import breast_mask
from beam_pipelines.patches.cutting import cut_image
from beam_pipelines.patches.plan import Draw
from beam_pipelines.patches.shards import spill_name, work_item
from beam_pipelines.patches.windows import draw_key
from beam_pipelines.sources.base import Image
from beam_pipelines.sources.index import open_source
from beam_pipelines.storage import files
from cgan_tf.config import PatchesConfig


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phantom_dir", required=True)
    parser.add_argument("--patches", type=int, default=6, help="of each image")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    config = PatchesConfig(input_dir=arguments.phantom_dir, min_tissue=0.9)
    source = open_source(config)
    units = source.units()
    indexes, seconds = [], []
    for unit in units:
        index, spent = fastest(lambda unit=unit: source.read_unit(unit), arguments.repeats)
        indexes.append(index)
        seconds.append(spent)
    images = [image for index in indexes for image in index.images]
    print(f"{len(units)} clients, {len(images)} usable images, {arguments.patches} patches each")
    print(f"{'index, a client (ms)':<34}{1000 * statistics.median(seconds):>12.1f}")
    rows: dict[str, list[dict[str, float]]] = {}
    for image in images:
        rows.setdefault(transfer_syntax(image), []).append(cost_of(image, config, arguments))
    for syntax, costs in sorted(rows.items()):
        print(f"\n{syntax}, {len(costs)} images: median, least, most")
        for name in costs[0]:
            values = [cost[name] for cost in costs]
            print(
                f"  {name:<32}{statistics.median(values):>12.1f}"
                f"{min(values):>12.1f}{max(values):>12.1f}"
            )


def transfer_syntax(image: Image) -> str:
    """The name of how the file of an image is encoded."""
    return pydicom.dcmread(image.path, specific_tags=[]).file_meta.TransferSyntaxUID.name


def cost_of(image: Image, config: PatchesConfig, arguments: argparse.Namespace) -> dict[str, float]:
    """The costs of one image by name: milliseconds of CPU, bytes."""
    repeats = arguments.repeats
    data, reading = fastest(lambda: files.read_bytes(image.path), repeats)
    mammogram, decoding = fastest(lambda: dicom_reading.read_mammogram(data), repeats)
    _, masking = fastest(lambda: breast_mask(mammogram.grey), repeats)
    draws = draws_on(image, arguments.patches)
    outcome, whole = fastest(lambda: cut_image(image, draws, config), repeats)
    with tempfile.TemporaryDirectory() as folder:
        name = spill_name(image, draws)
        trailer, spilling = fastest(lambda: shards.write_spill(folder, name, outcome), repeats)
        spill = Path(folder, name).stat().st_size
    patches = max(1, len(outcome.cuts))
    return {
        "file (bytes)": len(data),
        "read (ms)": 1000 * reading,
        "decode, VOI (ms)": 1000 * decoding,
        "breast mask (ms)": 1000 * masking,
        "file to patches (ms)": 1000 * whole,
        "encode, write the spill (ms)": 1000 * spilling,
        "all of it (ms)": 1000 * (whole + spilling),
        "spill, a patch (bytes)": spill / patches,
        "work item, an image (bytes)": len(json.dumps(work_item(image, draws))),
        "rows, a patch (bytes)": len(json.dumps(trailer)) / patches,
    }


def draws_on(image: Image, count: int) -> list[Draw]:
    """Draws of the image's own class."""
    name = image.marks[0].patch_class if image.marks else "normal"
    keys = [draw_key(0, "train", image.sop_uid, name, index).hex() for index in range(count)]
    return [
        Draw(f"train/{name}", "train", name, index, key, float(index))
        for index, key in enumerate(keys)
    ]


def fastest(work: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """(the result, the least CPU seconds of some tries)."""
    spent = []
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        spent.append(time.process_time() - start)
    return result, float(np.min(spent))


if __name__ == "__main__":
    main()
