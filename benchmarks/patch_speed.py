"""How fast make_patches cuts: beside the script one would write first, beside its own decoder and
encoder, beside a plain loop, and with two workers. pip install -e '.[bench]' first.

python -m benchmarks.patch_speed [--phantom_dir=DIR] [--parts=plain,bound,beam,workers]

The images are of a phantom of clinical size (3328x2560), coded as JPEG lossless; six patches are
cut of each. The first three parts compare CPU seconds of one process, so that it matters little
what else the machine does; for the last one, two cores must be free, and the seconds are those on
the clock, the start of the workers included.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pydicom

from beam_pipelines.dicom import reading
from beam_pipelines.dicom.pixels import decode_pixels
from beam_pipelines.jobs.options import beam_options
from beam_pipelines.jobs.work import run_work
from beam_pipelines.patches.plan import Draw
from beam_pipelines.patches.shards import CutToSpill, Row, WriteShard, shard_plan, work_item
from beam_pipelines.patches.windows import draw_key
from beam_pipelines.sources.base import HEALTHY, Image
from beam_pipelines.sources.index import open_source, read_index
from benchmarks import frame
from benchmarks.patch_memory import draw_phantom
from cgan_tf.config import PatchesConfig
from cgan_tf.data.records import LEVELS, PNG_SETTINGS, decode_record
from cgan_tf.data.tfrecords import Payloads
from cgan_tf.labels import NORMAL
from cgan_tf.runs.console import quiet_tensorflow

PATCHES_OF_AN_IMAGE = 6
DIFFERENT_IMAGES = 4
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
OPTIONS = {
    "phantom_dir": "",
    "parts": "plain,bound,beam,workers",
    "rounds": 5,  # of plain and bound
    "beam_images": 200,
    "worker_images": 1600,
}
QUICK = {"parts": "plain,bound", "rounds": 1}
SCRIPT, CODECS = "pydicom, scikit-image and Pillow", "decoder and encoder alone"
LOOP, ONE_WORKER = "a loop without Beam", "one worker"
# The smallest ratios to each of them; Beam may take 15% more than the loop.
PROMISES = {SCRIPT: 4.0, CODECS: 0.7, LOOP: 1 / 1.15, ONE_WORKER: 1.7}
TWO_WORKERS = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")


def cases(options: frame.Options) -> Iterator[frame.Case]:
    """A case for each part."""
    cv2.setNumThreads(1)  # as in a worker
    with tempfile.TemporaryDirectory() as root:
        phantom = Path(options.phantom_dir or Path(root) / "phantom")
        if not phantom.exists():
            draw_phantom(phantom)
        bench = Bench(list(lossless_images(phantom, Path(root) / "images")), Path(root), options)
        for part in options.parts.split(","):
            yield getattr(bench, part)()


def lossless_images(phantom: Path, directory: Path) -> Iterator[Image]:
    """Some healthy images of different women, coded anew in JPEG lossless."""
    directory.mkdir()
    config = PatchesConfig(input_dir=str(phantom))
    found = {}
    for image in read_index(open_source(config)).images:
        if image.use == HEALTHY:
            found.setdefault(image.client_id, image)
    for image in list(found.values())[:DIFFERENT_IMAGES]:
        header, data = reading.read_file(Path(image.path).read_bytes())
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

    def __init__(self, images: list[Image], root: Path, options: frame.Options):
        self.images = images
        self.root = root
        self.options = options
        self.config = PatchesConfig()
        self._runs = 0

    def plain(self) -> frame.Case:
        """CPU seconds of a patch, by the plain script and by ours, shards included."""
        quiet_tensorflow()
        import tensorflow as tf

        from benchmarks.plain_patches import cut_plainly

        generator = np.random.default_rng(0)

        def script() -> None:
            with tf.io.TFRecordWriter(str(self.root / "plain.tfrecord")) as writer:
                for image in self.images:
                    cut_plainly(image.path, PATCHES_OF_AN_IMAGE, generator, writer)

        works = {frame.OURS: lambda: self.loop(self.items(len(self.images))), SCRIPT: script}
        return self._case("a patch, CPU seconds", works, PATCHES_OF_AN_IMAGE * len(self.images))

    def bound(self) -> frame.Case:
        """CPU seconds of an image: its decoder and its encoder alone, and all that is done."""
        streams = [_stream_of(image) for image in self.images]
        levels = self.levels_of_patches()

        def codecs() -> None:
            for stream in streams:
                imagecodecs.jpeg8_decode(stream)
            for patch in levels:
                cv2.imencode(".png", patch, PNG_SETTINGS)

        works = {frame.OURS: lambda: self.loop(self.items(len(self.images))), CODECS: codecs}
        return self._case("an image of six patches, CPU seconds", works, len(self.images), CODECS)

    def beam(self) -> frame.Case:
        """CPU seconds of a Beam job and of a loop over the same items."""
        count = self.options.beam_images
        self.job(self.items(1))  # Beam imports much at its first job
        loop = _cpu(lambda: self.loop(self.items(count), shards=False))
        job = _cpu(lambda: self.job(self.items(count)))
        return _one_round(f"{count} images by Beam, CPU seconds", {frame.OURS: job, LOOP: loop})

    def workers(self) -> frame.Case:
        """Seconds on the clock of one worker and of two."""
        count = self.options.worker_images
        seconds = {}
        for name, flags in ((ONE_WORKER, ()), (frame.OURS, TWO_WORKERS)):
            started = time.perf_counter()
            self.job(self.items(count), flags)
            seconds[name] = time.perf_counter() - started
        return _one_round(f"{count} images by two workers", seconds)

    def _case(
        self, name: str, works: dict[str, Callable[[], object]], parts: int, bound: str = ""
    ) -> frame.Case:
        """The works turn about; seconds are those of one of so many equal parts."""
        seconds = frame.take_turns(works, self.options.rounds, clock=time.process_time)
        shares = {name: [value / parts for value in values] for name, values in seconds.items()}
        return frame.Case(name, shares, bound, _promises(seconds))

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
                WriteShard(directory, directory)(item.as_item())
        return rows

    def job(self, items: list[dict[str, Any]], flags: tuple[str, ...] = ()) -> None:
        """The work of make_patches on each item, by Beam."""
        directory = str(self.root / f"job{self._runs}")
        run_work(CutToSpill(self.config, directory), items, directory, "cut", beam_options(flags))

    def levels_of_patches(self) -> list[np.ndarray]:
        """uint16 patches of all images, as they are given to the encoder."""
        self.loop(self.items(len(self.images)))
        directory = self.root / f"loop{self._runs}"
        payloads = [payload for path in directory.rglob("*.tfrecord") for payload in Payloads(path)]
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


def _stream_of(image: Image) -> bytes:
    dataset = pydicom.dcmread(image.path)
    return next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))


def _cpu(work: Callable[[], object]) -> float:
    """CPU seconds of this process in all its threads."""
    started = time.process_time()
    work()
    return time.process_time() - started


def _one_round(name: str, seconds: dict[str, float]) -> frame.Case:
    ours = {frame.OURS: [seconds[frame.OURS]]}
    return frame.Case(
        name, ours | {key: [value] for key, value in seconds.items()}, "", _promises(seconds)
    )


def _promises(names: Iterable[str]) -> dict[str, float]:
    return {name: PROMISES[name] for name in names if name in PROMISES}


if __name__ == "__main__":
    frame.main(__doc__, cases, OPTIONS, QUICK)
