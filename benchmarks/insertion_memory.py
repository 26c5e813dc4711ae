"""What insert_lesions needs in memory: the same for 10 and for 400 images.

python -m benchmarks.insertion_memory --generator=GENERATOR [--images=10,400] [--workers=2]

Inserts a lesion into small images on worker processes, once for every number of --images, and
prints the largest resident size that the kernel has seen of the program itself and of any worker.
Some clients of a phantom are drawn; the others are the same pixels again, by hard links, under
names and UIDs of their own.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.patch_memory import DRAWN_CLIENTS, RUNNER, SEED, WORKER, link_clients, watch
from cgan_tf.runs.directory import read_manifest

LARGEST_GROWTH = 1.15  # from the first to the last number of images
USABLE_OF_HEALTHY = 4  # images linked for each that is made: many have lesions


def main() -> None:
    """Prints the table; exit code 1 when a process grows with the images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", required=True, help="directory written by train_gan")
    parser.add_argument("--images", default="10,400", help="numbers of images, ascending")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--resample_spacing_mm", default="-1", help="as of insert_lesions")
    arguments = parser.parse_args()
    peaks = []
    print(f"{'images':>8}{'runner':>12}{'largest worker':>17}", flush=True)
    with tempfile.TemporaryDirectory() as root:
        phantom = Path(root) / "phantom"
        draw_phantom(phantom)
        for count in map(int, arguments.images.split(",")):
            images, peak = measure(phantom, Path(root) / str(count), count, arguments)
            row = f"{images:>8,}{peak[RUNNER]:>9,.0f} MB{peak[WORKER]:>14,.0f} MB"
            print(row, flush=True)
            peaks.append(peak)
    first, last = peaks[0], peaks[-1]
    raise SystemExit(any(last[role] > LARGEST_GROWTH * first[role] for role in (RUNNER, WORKER)))


def draw_phantom(directory: Path) -> None:
    """A few clients with small images."""
    command = [
        *(sys.executable, "-m", "beam_pipelines.make_phantom", f"--output_dir={directory}"),
        *(f"--clients={DRAWN_CLIENTS}", f"--seed={SEED}", "--broken_files=0"),
        "--image_size=small",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def measure(
    phantom: Path, root: Path, count: int, arguments: argparse.Namespace
) -> tuple[int, dict[str, float]]:
    """(images made, largest megabytes by role) of one run for `count` images."""
    link_clients(phantom, root / "tree", USABLE_OF_HEALTHY * count)
    beam = (f"--direct_num_workers={arguments.workers}", "--direct_running_mode=multi_processing")
    command = [
        *(sys.executable, "-m", "beam_pipelines.insert_lesions", f"--images={count}"),
        *(f"--generator={arguments.generator}", f"--input_dir={root / 'tree'}"),
        *(f"--output_dir={root / 'out'}", "--previews=0", "--min_area_fraction=0.01"),
        f"--resample_spacing_mm={arguments.resample_spacing_mm}",
        *(f"--beam={option}" for option in beam),
    ]
    peak = watch(subprocess.Popen(command, stdout=subprocess.DEVNULL))
    return read_manifest(root / "out", "insert_lesions")["images"], peak


if __name__ == "__main__":
    main()
