"""What make_patches needs in memory: at most 1.5 GB a process, and the same however many images.

python -m benchmarks.patch_memory [--images=50,400] [--workers=2] [--phantom_dir=DIR]

Cuts six patches of each image of a clinical size on worker processes, once for every number of
--images (50,400,1600 for the whole check), and prints the largest resident
size that the kernel has seen of the program itself and of any worker. Some clients of a phantom are
drawn; the others are the same pixels again, by hard links, under names and UIDs of their own.
"""

import argparse
import collections
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from beam_pipelines.sources.base import Image
from beam_pipelines.sources.index import open_source
from beam_pipelines.sources.optimam import Optimam
from cgan_tf.config import PatchesConfig
from cgan_tf.data.patch_sets import PatchSet

LARGEST_MB = 1500
LARGEST_GROWTH = 1.15  # from the first to the last number of images
PATCHES_OF_AN_IMAGE = 6
# The first eight clients of this seed are of all four manufacturers, and three are healthy.
DRAWN_CLIENTS, SEED = 8, 2
FIRST_NUMBER = 500_001  # of a linked client; those of the phantom's own are smaller
RUNNER, WORKER = "runner", "worker"
WORKER_MODULE = "sdk_worker_main"  # of Beam, in the command line of a worker
PAUSE = 0.05  # seconds between two looks


def main() -> None:
    """Prints the table; exit code 1 when a process is too large or grows with the images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", default="50,400", help="numbers of images, ascending")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--phantom_dir", help="a phantom of clinical size; drawn where missing")
    arguments = parser.parse_args()
    peaks = []
    print(f"{'images':>8}{'patches':>9}{'runner':>12}{'largest worker':>17}", flush=True)
    with tempfile.TemporaryDirectory(dir=_beside(arguments.phantom_dir)) as root:
        phantom = Path(arguments.phantom_dir or Path(root) / "phantom")
        draw_phantom(phantom)
        for count in map(int, arguments.images.split(",")):
            images, patches, peak = measure(phantom, Path(root) / str(count), count, arguments)
            row = f"{images:>8,}{patches:>9,}{peak[RUNNER]:>9,.0f} MB{peak[WORKER]:>14,.0f} MB"
            print(row, flush=True)
            peaks.append(peak)
    raise SystemExit(any(_too_large(peaks[0], peak) for peak in peaks))


def draw_phantom(directory: Path) -> None:
    """A few clients of clinical size; nothing happens when they are there."""
    command = [
        *(sys.executable, "-m", "beam_pipelines.make_phantom", f"--output_dir={directory}"),
        *(f"--clients={DRAWN_CLIENTS}", f"--seed={SEED}", "--broken_files=0"),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def measure(
    phantom: Path, root: Path, count: int, arguments: argparse.Namespace
) -> tuple[int, int, dict[str, float]]:
    """(images used, patches, largest megabytes by role) of one run over `count` images."""
    wanted = link_clients(phantom, root / "tree", count)
    out = root / "patches"
    beam = (f"--direct_num_workers={arguments.workers}", "--direct_running_mode=multi_processing")
    command = [
        *(sys.executable, "-m", "beam_pipelines.make_patches", f"--input_dir={root / 'tree'}"),
        *(f"--output_dir={out}", "--all_in_split=train", "--allow_shortfall"),
        *(f"--{name}={number}" for name, number in wanted.items()),
        *(f"--beam={option}" for option in beam),
    ]
    peak = watch(subprocess.Popen(command, stdout=subprocess.DEVNULL))
    patches = PatchSet(out)
    classes = patches.splits["train"]
    used = patches.manifest["ledger"]["images"]["used"]
    return used, patches.count("train", *classes), peak


def link_clients(phantom: Path, tree: Path, count: int) -> dict[str, int]:
    """Makes a tree with `count` usable images or a few more; the counts to ask of make_patches."""
    source = open_source(PatchesConfig(input_dir=str(phantom)))
    assert isinstance(source, Optimam)
    found = {unit: source.read_unit(unit).images for unit in source.units()}
    wanted: collections.Counter[str] = collections.Counter()
    images = 0
    for number, client in enumerate(itertools.cycle(found)):
        if images >= count:
            break
        images += len(found[client])
        wanted.update(_classes(found[client]))
        _link_client(phantom, tree, client, f"{FIRST_NUMBER + number}")
    flags = [name for name in vars(PatchesConfig()) if name.startswith("train_")]
    counts = {name: PATCHES_OF_AN_IMAGE * wanted[name.removeprefix("train_")] for name in flags}
    del counts["train_fraction"]
    evaluation = [name for name in vars(PatchesConfig()) if name.startswith("eval_")]
    return counts | dict.fromkeys(evaluation, 0)


def _classes(images: tuple[Image, ...]) -> Iterator[str]:
    """A class of each image: six patches of it are asked for."""
    for image in images:
        yield image.marks[0].patch_class if image.marks else "normal"


def _link_client(phantom: Path, tree: Path, client: str, number: str) -> None:
    """The client again: its number, which its UIDs hold too, is replaced wherever it stands."""
    old = client.lstrip("abcdefghijklmnopqrstuvwxyz")
    for part in ("DATA", "IMAGES"):
        for path in (phantom / part / client).rglob("*"):
            if path.is_dir():
                continue
            new = tree / str(path.relative_to(phantom)).replace(old, number)
            new.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".json":
                new.write_text(path.read_text().replace(old, number))
            else:
                os.link(path, new)


def watch(process: subprocess.Popen) -> dict[str, float]:
    """The largest resident sizes in megabytes, by role, until the process ends."""
    peaks = {RUNNER: 0.0, WORKER: 0.0}
    while process.poll() is None:
        for pid in descendants(process.pid):
            role = role_of(pid, process.pid)
            if role:
                peaks[role] = max(peaks[role], peak_megabytes(pid))
        time.sleep(PAUSE)
    if process.returncode:
        raise SystemExit(process.returncode)  # it has said why
    return peaks


def role_of(pid: int, root: int) -> str:
    """What a process is, empty for a shell or another helper."""
    if pid == root:
        return RUNNER
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:  # it has ended
        return ""
    return WORKER if any(WORKER_MODULE in word for word in command[1:3]) else ""


def peak_megabytes(pid: int) -> float:
    """The kernel's own high-water mark of the resident size; 0 when the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(
        (int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM")), 0.0
    )


def descendants(root: int) -> list[int]:
    """The process and all that it or its children have started."""
    children: dict[int, list[int]] = collections.defaultdict(list)
    for path in Path("/proc").glob("[0-9]*"):
        try:
            after_name = (path / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        children[int(after_name[1])].append(int(path.name))
    found = [root]
    for pid in found:
        found += children[pid]
    return found


def _too_large(first: dict[str, float], peak: dict[str, float]) -> bool:
    return any(
        peak[role] > min(LARGEST_MB, LARGEST_GROWTH * first[role]) or not peak[role]
        for role in (RUNNER, WORKER)
    )


def _beside(phantom: str | None) -> str | None:
    """Where links to the phantom are possible: its own file system."""
    return str(Path(phantom).resolve().parent) if phantom else None


if __name__ == "__main__":
    main()
