"""Writes the phantom: one client after another, each complete or absent.

Layout of the output directory::

    DATA/<client>/...     IMAGES/<client>/...        as OMI-DB has them
    truth/<client>/<sop>.npz                         the lesion layers and the breast's mask
    truth/images.csv  truth/marks.csv  truth/lesions.csv  truth/episodes.csv
    run.json  manifest.json

The truth is for tests; nothing else reads it. An npz holds, for lesion i of the image (in the order
of lesions.csv), `layer_i` (float16 display values) and `corner_i` (x, y of its top left pixel), and
`mask` (bits of the breast's mask reduced eight times, with its shape in `mask_shape`).
"""

import concurrent.futures
import concurrent.futures.process
import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import cv2
import numpy as np

from beam_pipelines.phantom.client import Row, draw_client
from beam_pipelines.phantom.plan import Client, plan_client
from beam_pipelines.storage.files import csv_parts
from cgan_tf.config import PhantomConfig
from cgan_tf.data.keyed import keyed_generator
from cgan_tf.runs.console import end_with_parent, progress_bar
from cgan_tf.runs.directory import Json, Run, finish_run, run_to_the_end, write_bytes
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import check_ranges

PROGRAM = "make_phantom"
DAMAGES = (
    "truncated",
    "no_pixels",
    "sidecar_broken",
    "sidecar_missing",
    "not_dicom",
    "image_missing",
    "frame_damaged",
    "unknown_syntax",
)
TABLES = ("images", "marks", "lesions", "episodes")


def run(config: PhantomConfig) -> None:
    """Draws every client that is not there yet, then the tables of the truth and the manifest."""
    check_ranges(config)
    run_to_the_end(config.output_dir, PROGRAM, config, lambda: config, _draw_and_finish)


def _draw_and_finish(config: PhantomConfig, state: Run) -> None:
    _draw_all(config, state.directory)
    for leftover in state.directory.glob(".*.tmp"):  # of a killed run
        shutil.rmtree(leftover, ignore_errors=True)
    counts = _write_tables(config, state.directory)
    finish_run(state.directory, PROGRAM, {"clients": config.clients, "counts": counts})
    print(f"{PROGRAM}: {config.clients} clients, {counts['images']} images in {state.directory}")


def damages_of(config: PhantomConfig, index: int) -> tuple[str, ...]:
    """The damage planned for a client: `broken_files` are dealt over the clients."""
    order = keyed_generator(config.seed, "damage").permutation(config.clients)
    return tuple(
        DAMAGES[number % len(DAMAGES)]
        for number in range(config.broken_files)
        if config.first_client + order[number % config.clients] == index
    )


def clients_of(config: PhantomConfig) -> range:
    """The numbers of the clients. Each depends on its number and the seed alone."""
    return range(config.first_client, config.first_client + config.clients)


def plan_of(config: PhantomConfig, index: int) -> Client:
    """The plan of a client under these flags."""
    damages = damages_of(config, index)
    return plan_client(config.seed, index, damages, config.difficulty, config.content == "lean")


def write_client(config: PhantomConfig, index: int) -> str:
    """Draws one client under a temporary name and renames it; returns the client's id."""
    root = Path(config.output_dir)
    client = plan_of(config, index)
    temporary = root / f".{client.client_id}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        for name, content in draw_client(config.seed, client, config.image_size):
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        _rename_parts(root, temporary, client.client_id)
    except OSError as error:
        raise UserError(f"{error.filename or root}: cannot be written: {error.strerror}") from error
    return client.client_id


def _rename_parts(root: Path, temporary: Path, client_id: str) -> None:
    for part in ("truth", "IMAGES", "DATA"):  # DATA last: it is the mark of a finished client
        (root / part).mkdir(exist_ok=True)
        final = root / part / client_id
        shutil.rmtree(final, ignore_errors=True)
        (temporary / part / client_id).mkdir(parents=True, exist_ok=True)
        (temporary / part / client_id).rename(final)
    shutil.rmtree(temporary)


def _draw_all(config: PhantomConfig, root: Path) -> None:
    todo = [
        index
        for index in clients_of(config)
        if not (root / "DATA" / plan_of(config, index).client_id).exists()
    ]
    workers = min(config.workers or os.cpu_count() or 1, max(1, len(todo)))
    with progress_bar(config.clients, "phantom", "clients", config.clients - len(todo)) as bar:
        if workers == 1:
            _one_thread()
            for index in todo:
                write_client(config, index)
                bar.update()
            return
        # spawn: a fork would copy the threads of whatever the caller has loaded.
        with concurrent.futures.ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), _start_worker, (os.getpid(),)
        ) as pool:
            jobs = [pool.submit(write_client, config, index) for index in todo]
            try:
                for job in concurrent.futures.as_completed(jobs):
                    job.result()
                    bar.update()
            except concurrent.futures.process.BrokenProcessPool as error:
                raise UserError("a worker was killed, by lack of memory? --workers=1") from error
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _one_thread() -> None:
    cv2.setNumThreads(1)  # the last bit of its filters depends on the number of threads


def _start_worker(parent: int) -> None:
    end_with_parent()
    if os.getppid() != parent:  # it was killed before this one could ask for that
        os._exit(1)
    _one_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle


def _write_tables(config: PhantomConfig, root: Path) -> Json:
    """Gathers the clients' rows into truth/*.csv; returns counts by kind."""
    rows: dict[str, list[Row]] = {table: [] for table in TABLES}
    kinds: dict[str, int] = {}
    for index in clients_of(config):
        client = plan_of(config, index)
        kinds[client.kind] = kinds.get(client.kind, 0) + 1
        truth = json.loads((root / "truth" / client.client_id / "rows.json").read_bytes())
        for table in TABLES:
            rows[table] += truth[table]
    for table in TABLES:
        if rows[table]:
            content = b"".join(csv_parts(list(rows[table][0]), rows[table]))
            write_bytes(root / "truth" / f"{table}.csv", content)
    return {
        **{table: len(rows[table]) for table in TABLES},
        "clients_by_kind": kinds,
        "lesions_by_kind": _count(rows["lesions"], "kind", "pathology"),
        "images_by_manufacturer": _count(rows["images"], "manufacturer"),
        "images_by_mapping": _count(rows["images"], "voi", "photometric", "bits"),
        "damages": _count([r for r in rows["images"] if r["damage"]], "damage"),
        "quirks": _count([r for r in rows["marks"] if r["quirk"]], "quirk"),
    }


def _count(rows: list[Row], *columns: str) -> dict[str, int]:
    keys = [" ".join(str(row[column]) for column in columns) for row in rows]
    values, counts = np.unique(np.array(keys, dtype=str), return_counts=True)
    return {str(value): int(count) for value, count in zip(values, counts, strict=True)}
