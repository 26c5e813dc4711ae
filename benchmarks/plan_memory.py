"""Memory of an index, its listing and its plan, for a copy of OMI-DB of two million images.

python -m benchmarks.plan_memory [IMAGES]

The images are made up, with names as long as OMI-DB's; no file is read. Prints the peak memory of
this process after each step and exits with 1 when it is above 4 GB.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from beam_pipelines.patches.listing import TABLES, table
from beam_pipelines.patches.plan import draws_of, next_draws, quotas_of
from beam_pipelines.patches.shards import by_image, work_item
from beam_pipelines.rejections import IMAGES, MARKS
from beam_pipelines.sources.base import HEALTHY, LESION, Image, Mark, UnitIndex, merge
from beam_pipelines.storage import files
from cgan_tf.config import PatchesConfig
from cgan_tf.labels import LESION_CLASSES

MOST_GIGABYTES = 4.0
IMAGES_OF_A_CLIENT = 12
CONFIG = PatchesConfig(input_dir="/data/omi-db", output_dir="patches", allow_shortfall=True)


def main() -> None:
    """Prints the table; exit code 1 when it takes too much."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    print(f"{count:,} images{'':<22}{'seconds':>9}{'peak GB':>9}")
    clock = time.process_time()

    def show(step: str) -> None:
        print(f"{step:<36}{time.process_time() - clock:>9.0f}{_peak():>9.2f}", flush=True)

    show("start")
    index = merge(_clients(count // IMAGES_OF_A_CLIENT))
    show("index")
    with tempfile.TemporaryDirectory() as directory:
        for name in TABLES:
            files.write_atomically_from(str(Path(directory) / name), table(name, index, CONFIG))
        show("listing")
    quotas = quotas_of(index.images, CONFIG)
    show("quotas")
    orders = {quota.group: draws_of(quota, CONFIG) for quota in quotas}
    batch = [
        pair
        for quota in quotas
        for pair in next_draws(quota, orders[quota.group], quota.count, set(), 0)
    ]
    show(f"draws ({len(batch):,})")
    items = sum(1 for image, draws in by_image(batch) if work_item(image, draws))
    show(f"work items ({items:,})")
    raise SystemExit(_peak() > MOST_GIGABYTES)


def _clients(count: int) -> Iterator[UnitIndex]:
    """Clients of three studies with four views; every tenth has a marked lesion in two of them."""
    for number in range(count):
        client = f"demd{number:06}"
        images = tuple(_images(client, number))
        marks = sum(len(image.marks) for image in images)
        yield UnitIndex(images, (), {IMAGES: len(images), MARKS: marks})


def _images(client: str, number: int) -> Iterator[Image]:
    for place in range(IMAGES_OF_A_CLIENT):
        study = f"1.2.826.0.1.3680043.9.3218.1.1.{number}.{place // 4}.1372540873546.17"
        sop = f"{study}.{place % 4}.{hash((number, place)) % 10**12}"
        marked = number % 10 == 0 and place < 2
        name = LESION_CLASSES[number // 10 % len(LESION_CLASSES)]
        box = (1000.0 + number, 1200.0, 1100.0 + number, 1300.5)
        mark = Mark(str(number), box, name, 1, 0, "SURGERY H5 of lesion 1", "Obvious")
        yield Image(
            path=f"/data/omi-db/IMAGES/{client}/{study}/{sop}.dcm",
            client_id=client,
            study_uid=study,
            sop_uid=sop,
            laterality="LR"[place % 2],
            view=("CC", "MLO")[place // 2 % 2],
            use=LESION if marked else HEALTHY,
            marks=(mark,) if marked else (),
            evidence="" if marked else "episode status N",
        )


def _peak() -> float:
    """GB of resident memory, at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
