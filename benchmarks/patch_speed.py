"""How fast make_patches cuts: beside the script one would write first, beside its own decoder and
encoder, beside a plain loop, and with two workers. pip install -e '.[bench]' first.

python -m benchmarks.patch_speed [--phantom_dir=DIR] [--parts=plain,bound,beam,workers]

The images are of a phantom of clinical size (3328x2560), coded as JPEG lossless; six patches are
cut of each. The first three parts compare CPU seconds of one process, so that it matters little
what else the machine does; for the last one, two cores must be free.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pydicom

from beam_pipelines import dicom_file
from beam_pipelines.beam_work import beam_options, run_work
from beam_pipelines.decoders import decode_pixels
from beam_pipelines.image_work import CutToSpill, work_item
from beam_pipelines.plan import Draw
from beam_pipelines.sampling import draw_key
from beam_pipelines.shards import WriteShard, shard_plan
from beam_pipelines.sources import HEALTHY, Image, open_source, read_index
from beam_pipelines.spills import Row
from benchmarks.patch_memory import draw_phantom
from cgan_tf.config import NORMAL, PatchesConfig
from cgan_tf.progress import quiet_tensorflow
from cgan_tf.records import LEVELS, PNG_SETTINGS, decode_record
from cgan_tf.tfrecords import read_shard

PATCHES_OF_AN_IMAGE = 6
DIFFERENT_IMAGES = 4
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
PARTS = ("plain", "bound", "beam", "workers")
# What each part has to reach.
PLAIN, BOUND, BEAM, WORKERS = 4.0, 0.7, 1.15, 1.7
TWO_WORKERS = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")


def main() -> None:
    """Prints a line for each part; exit code 1 when one is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phantom_dir", help="a phantom of clinical size; drawn where missing")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5, help="of plain and bound")
    parser.add_argument("--beam_images", type=int, default=200)
    parser.add_argument("--worker_images", type=int, default=800)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)  # as in a worker
    with tempfile.TemporaryDirectory() as root:
        phantom = Path(arguments.phantom_dir or Path(root) / "phantom")
        if not phantom.exists():
            draw_phantom(phantom)
        images = list(lossless_images(phantom, Path(root) / "images"))
        bench = Bench(images, Path(root), arguments)
        met = [getattr(bench, part)() for part in arguments.parts.split(",")]
    raise SystemExit(not all(met))


def lossless_images(phantom: Path, directory: Path) -> Iterator[Image]:
    """Some healthy images of different women, coded anew in JPEG lossless."""
    directory.mkdir()
    config = PatchesConfig(input_dir=str(phantom))
    found = {}
    for image in read_index(open_source(config)).images:
        if image.use == HEALTHY:
            found.setdefault(image.client_id, image)
    for image in list(found.values())[:DIFFERENT_IMAGES]:
        header, data = dicom_file.read_file(Path(image.path).read_bytes())
        pixels = decode_pixels(header, data)
        stream = imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=header.BitsStored)
        header.file_meta.TransferSyntaxUID = JPEG_LOSSLESS
        header.PixelData = pydicom.encaps.encapsulate([stream])
        header["PixelData"].VR = "OB"
        path = directory / f"{image.sop_uid}.dcm"
        pydicom.dcmwrite(path, header, enforce_file_format=True)
        yield Image(**{**_values(image), "path": str(path)})


class Bench:
    """The four parts. `images`: of clinical size, in JPEG lossless."""

    def __init__(self, images: list[Image], root: Path, arguments: argparse.Namespace):
        self.images = images
        self.root = root
        self.arguments = arguments
        self.config = PatchesConfig()
        self._runs = 0

    def plain(self) -> bool:
        """CPU seconds a patch, of the plain script and of ours, shards included; turn about."""
        quiet_tensorflow()
        import tensorflow as tf

        from benchmarks.plain_patches import cut_plainly

        seconds: tuple[list[float], list[float]] = ([], [])
        for number in range(self.arguments.rounds + 1):
            generator = np.random.default_rng(number)
            with tf.io.TFRecordWriter(str(self.root / "plain.tfrecord")) as writer:
                for image in self.images:
                    count = PATCHES_OF_AN_IMAGE
                    taken, cut = _cpu(cut_plainly, image.path, count, generator, writer)
                    if number and cut == count:  # the first round warms up
                        seconds[0].append(taken / cut)
            taken, _ = _cpu(self.loop, self.items(len(self.images)))
            if number:
                seconds[1].append(taken / (PATCHES_OF_AN_IMAGE * len(self.images)))
        theirs, ours = map(statistics.median, seconds)
        print(f"plain script  {1e3 * theirs:7.1f} ms of CPU a patch")
        print(f"make_patches  {1e3 * ours:7.1f} ms of CPU a patch")
        return _verdict("patches a CPU second, of the plain script's", theirs / ours, PLAIN, 1)

    def bound(self) -> bool:
        """CPU seconds an image: its decoder and its encoder alone, and all that is done."""
        seconds: tuple[list[float], list[float], list[float]] = ([], [], [])
        frames = [_frame_of(image) for image in self.images]
        levels = self.levels_of_patches()
        for _ in range(self.arguments.rounds):
            decoding, encoding = [], []
            for frame in frames:
                decoding.append(_cpu(imagecodecs.jpeg8_decode, frame)[0])
            for patch in levels:
                encoding.append(_cpu(cv2.imencode, ".png", patch, PNG_SETTINGS)[0])
            whole, _ = _cpu(self.loop, self.items(len(self.images)))
            for times, value in zip(seconds, (sum(decoding), sum(encoding), whole), strict=True):
                times.append(1e3 * value / len(self.images))
        decoding, encoding, whole = map(statistics.median, seconds)
        print(f"decoding {decoding:.1f} + encoding {encoding:.1f} of {whole:.1f} ms an image")
        return _verdict(
            "decoding and encoding, of the whole", (decoding + encoding) / whole, BOUND, 1
        )

    def beam(self) -> bool:
        """CPU seconds of a Beam job and of a loop over the same items."""
        count = self.arguments.beam_images
        self.job(self.items(1))  # Beam imports much at its first job
        loop, _ = _cpu(self.loop, self.items(count), False)
        job, _ = _cpu(self.job, self.items(count))
        print(f"{count} images: a loop {loop:.1f} s, Beam {job:.1f} s of CPU")
        return _verdict("Beam, of a plain loop", job / loop, BEAM, -1)

    def workers(self) -> bool:
        """Seconds on the clock of one worker and of two, their start included."""
        count = self.arguments.worker_images
        seconds = []
        for flags in ((), TWO_WORKERS):
            started = time.perf_counter()
            self.job(self.items(count), flags)
            seconds.append(time.perf_counter() - started)
        print(f"{count} images: one worker {seconds[0]:.1f} s, two {seconds[1]:.1f} s")
        return _verdict("two workers, of one", seconds[0] / seconds[1], WORKERS, 1)

    def items(self, count: int) -> list[dict[str, Any]]:
        """Work items of images with names of their own, so that each is cut anew."""
        self._runs += 1
        return [self._item(number) for number in range(count)]

    def loop(self, items: list[dict[str, Any]], shards: bool = True) -> list[Row]:
        """The work of make_patches on each item, and the shards, without Beam."""
        directory = str(self.root / f"loop{self._runs}")
        work = CutToSpill(self.config, directory)
        rows = [Row(*values) for item in items for values in work(item)["rows"]]
        assert len(rows) == PATCHES_OF_AN_IMAGE * len(items)
        if shards:
            for item in shard_plan(rows, self.config.shard_megabytes * 1_000_000):
                WriteShard(directory, directory)(item)
        return rows

    def job(self, items: list[dict[str, Any]], flags: tuple[str, ...] = ()) -> None:
        """The work of make_patches on each item, by Beam."""
        directory = str(self.root / f"job{self._runs}")
        run_work(CutToSpill(self.config, directory), items, directory, "cut", beam_options(flags))

    def levels_of_patches(self) -> list[np.ndarray]:
        """uint16 patches of all images, as they are given to the encoder."""
        self.loop(self.items(len(self.images)))
        directory = self.root / f"loop{self._runs}"
        payloads = [
            payload for path in directory.rglob("*.tfrecord") for payload in read_shard(path)
        ]
        patches = [decode_record(payload, "a shard").patch for payload in payloads]
        return [np.rint((patch + 1) / 2 * LEVELS).astype(np.uint16) for patch in patches]

    def _item(self, number: int) -> dict[str, Any]:
        image = self.images[number % len(self.images)]
        image = Image(**{**_values(image), "sop_uid": f"{image.sop_uid}.{self._runs}.{number}"})
        draws = []
        for index in range(PATCHES_OF_AN_IMAGE):
            key = draw_key(0, "train", image.sop_uid, NORMAL, index).hex()
            draws.append(Draw(f"train/{NORMAL}", "train", NORMAL, index, key, index))
        return work_item(image, draws)


def _values(image: Image) -> dict[str, Any]:
    return {name: getattr(image, name) for name in Image.__slots__}


def _frame_of(image: Image) -> bytes:
    dataset = pydicom.dcmread(image.path)
    return next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))


def _cpu(function: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """(CPU seconds of this process in all its threads, result)."""
    started = time.process_time()
    result = function(*arguments)
    return time.process_time() - started, result


def _verdict(what: str, found: float, wanted: float, sign: int) -> bool:
    met = sign * found >= sign * wanted
    print(f"{what}: {found:.2f} ({'at least' if sign > 0 else 'at most'} {wanted})", flush=True)
    return met


if __name__ == "__main__":
    main()
