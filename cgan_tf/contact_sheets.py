"""A patch set as contact sheets: a random choice of every split and class, spread over the women.

Nothing is picked by hand: the choice depends on the seed and on the patch set alone.
"""

import collections
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cgan_tf.config import PATCH_CLASSES, SPLITS, ShowPatchesConfig
from cgan_tf.contact_sheet_figure import sheet_png
from cgan_tf.errors import UserError
from cgan_tf.patch_sets import PatchIndex, PatchSet
from cgan_tf.progress import progress_bar
from cgan_tf.records import PatchRecord, decode_text
from cgan_tf.run_directory import finish_run, open_run, write_bytes

PROGRAM = "show_patches"
FOLDER = "contact_sheets"  # in the patch set, when no other place is asked for
# Patches looked at for each one shown: enough to find other women, few enough for a large set.
CANDIDATES = 8


def show_patches(config: ShowPatchesConfig) -> None:
    """Writes a PNG for every split and class that has patches, and a manifest that lists them.

    Raises `UserError` for a directory that is no finished patch set, unknown or absent classes and
    a count below 1.
    """
    check_config(config)
    patches = PatchSet(config.patches_dir)
    groups = groups_of(patches, config)
    with open_run(config.output_dir or patches.directory / FOLDER, PROGRAM, config) as run:
        if run.finished:
            print(f"{run.directory}: the sheets are there; nothing to do")
            return
        sheets = []
        with progress_bar(len(groups), "Contact sheets", "sheets") as bar:
            for split, name in groups:
                sheets.append(write_sheet(run.directory, patches, split, name, config))
                bar.update()
        finish_run(run.directory, PROGRAM, {"sheets": sheets})
        print(f"{run.directory}: {', '.join(sheet['file'] for sheet in sheets)}")


def check_config(config: ShowPatchesConfig) -> None:
    """Raises `UserError` for classes that there are not, and for no patches at all."""
    unknown = sorted(set(config.classes) - set(PATCH_CLASSES))
    if unknown:
        raise UserError(f"--classes: expected some of {', '.join(PATCH_CLASSES)}, found {unknown}")
    if config.count < 1:
        raise UserError(f"--count: expected 1 or more, found {config.count}")


def groups_of(patches: PatchSet, config: ShowPatchesConfig) -> list[tuple[str, str]]:
    """(split, class) of every sheet; `UserError` when a class asked for has no patch."""
    splits = (config.split,) if config.split else SPLITS
    classes = config.classes or PATCH_CLASSES
    groups = [(s, name) for s in splits for name in classes if patches.count(s, name)]
    missing = sorted(set(config.classes) - {name for _, name in groups})
    if missing or not groups:
        found = [f"{s}/{name}" for s in SPLITS for name in PATCH_CLASSES if patches.count(s, name)]
        raise UserError(
            f"{patches.directory}: expected patches of {', '.join(missing) or 'any class'} in "
            f"{' or '.join(splits)}, found {', '.join(found) or 'none at all'}"
        )
    return groups


def write_sheet(
    directory: Path, patches: PatchSet, split: str, name: str, config: ShowPatchesConfig
) -> dict[str, Any]:
    """Writes one sheet; returns its entry in the manifest."""
    index = patches.index(split, name)
    content, records = draw_sheet(index, split, name, config.count, config.seed)
    file = f"{split}_{name}.png"
    write_bytes(directory / file, content)
    return {
        "file": file,
        "split": split,
        "class": name,
        "patches": len(index),
        "clients_shown": len({record.client_id for record in records}),
        "patch_ids": [record.patch_id for record in records],
    }


def draw_sheet(
    index: PatchIndex, split: str, name: str, count: int, seed: int
) -> tuple[bytes, list[PatchRecord]]:
    """(a sheet of at most `count` patches as PNG, the patches on it)."""
    key = [seed, SPLITS.index(split), PATCH_CLASSES.index(name)]
    records = choose_patches(index, count, np.random.default_rng(key))
    clients = len({record.client_id for record in records})
    women = f"{clients} {'woman' if clients == 1 else 'women'}"
    choice = f"{len(records):,} of {len(index):,} patches, drawn at random (seed {seed})"
    kind = f", synthetic ({records[0].task})" if records[0].task else ""
    title = f"{split}: {name.replace('_', ' ')}{kind}"
    return sheet_png(title, f"{choice}, from {women}", records), records


def choose_patches(
    index: PatchIndex, count: int, generator: np.random.Generator
) -> list[PatchRecord]:
    """At most `count` random patches of as many women as can be, those of a woman side by side."""
    drawn = generator.permutation(len(index))[: count * CANDIDATES]
    clients = [decode_text(index.payload(int(i)), "client_id", index.name) for i in drawn]
    chosen = spread_over_clients(clients, count)
    chosen.sort(key=lambda place: (clients[place], drawn[place]))
    return [index.record(int(drawn[place])) for place in chosen]


def spread_over_clients(clients: Sequence[str], count: int) -> list[int]:
    """Places of `count` patches, the first of every client before the second of any."""
    seen: collections.Counter[str] = collections.Counter()
    turns = []
    for place, client in enumerate(clients):
        turns.append((seen[client], place))
        seen[client] += 1
    return [place for _, place in sorted(turns)[:count]]
