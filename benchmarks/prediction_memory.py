"""What predict_images needs in memory: the same for 10 and for 400 images.

python -m benchmarks.prediction_memory [--images=10,400] [--workers=2]

Scores small images on worker processes with a network of random weights, once for every number of
--images, and prints the largest resident size that the kernel has seen of the program itself and of
any worker. Some clients of a phantom are drawn; the others are the same pixels again, by hard
links, under names and UIDs of their own.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.insertion_memory import LARGEST_GROWTH, draw_phantom
from benchmarks.patch_memory import RUNNER, WORKER, link_clients, watch
from benchmarks.prediction_cost import write_classifier
from cgan_tf.runs.directory import read_manifest


def main() -> None:
    """Prints the table; exit code 1 when a process grows with the images."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", default="10,400", help="numbers of images, ascending")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    peaks = []
    print(f"{'images':>8}{'runner':>12}{'largest worker':>17}", flush=True)
    with tempfile.TemporaryDirectory() as root:
        phantom, classifier = Path(root) / "phantom", Path(root) / "classifier"
        draw_phantom(phantom)
        write_classifier(classifier, "small", 64)
        for count in map(int, arguments.images.split(",")):
            place = Path(root) / str(count)
            images, peak = measure(phantom, classifier, place, count, arguments.workers)
            row = f"{images:>8,}{peak[RUNNER]:>9,.0f} MB{peak[WORKER]:>14,.0f} MB"
            print(row, flush=True)
            peaks.append(peak)
    first, last = peaks[0], peaks[-1]
    raise SystemExit(any(last[role] > LARGEST_GROWTH * first[role] for role in (RUNNER, WORKER)))


def measure(
    phantom: Path, classifier: Path, root: Path, count: int, workers: int
) -> tuple[int, dict[str, float]]:
    """(images scored, largest megabytes by role) of one run over `count` images."""
    link_clients(phantom, root / "tree", count)
    beam = (f"--direct_num_workers={workers}", "--direct_running_mode=multi_processing")
    command = [
        *(sys.executable, "-m", "beam_pipelines.predict_images", f"--images={count}"),
        *(f"--classifier={classifier}", f"--input_dir={root / 'tree'}"),
        *(f"--output_dir={root / 'out'}", "--overlays=0", "--stride=128"),
        *(f"--beam={option}" for option in beam),
    ]
    peak = watch(subprocess.Popen(command, stdout=subprocess.DEVNULL))
    return read_manifest(root / "out", "predict_images")["images"], peak


if __name__ == "__main__":
    main()
