"""The run that makes a synthetic set (paper: "we generated 5000 examples each").

It draws candidates until enough are accepted. Accepted records wait in `accepted.tfrecord`, of
which `progress.json` says how much is valid.
"""

import dataclasses
import json
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cgan_tf.config import SynthesisConfig
from cgan_tf.data import tfrecords
from cgan_tf.data.patch_sets import PatchIndex, PatchSet, splits_json, write_patch_set
from cgan_tf.data.provenance import PHANTOM_NOTICE, are_drawn
from cgan_tf.data.tfds_files import write_tfds_files
from cgan_tf.pages.contact_sheets import draw_sheet
from cgan_tf.pages.patches import Pair
from cgan_tf.pages.viewer import gallery_page
from cgan_tf.runs import console
from cgan_tf.runs.dataclass_json import from_json, to_json
from cgan_tf.runs.directory import (
    finish_run,
    read_json,
    run_to_the_end,
    write_bytes,
    write_json,
)
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import check_ranges
from cgan_tf.runs.machine import core_count
from cgan_tf.synthesis.candidates import RESULT_CLASS, Candidate, Candidates
from cgan_tf.synthesis.postprocess import LARGEST
from cgan_tf.synthesis.removal import critic_manifest

PENDING = "accepted.tfrecord"
PROGRESS = "progress.json"
CONTACT_SHEET = "contact_sheet.png"
GALLERY = "gallery.html"
SHOWN = 24  # patches on the contact sheet and in the gallery
_BEGUN = 2  # batches: one is generated, one post-processed

Places = list[tuple[int, int]]  # (offset, length) of the accepted records


def synthesize(config: SynthesisConfig) -> None:
    """Runs or resumes a synthesis."""
    check_config(config)
    console.quiet_tensorflow()
    run_to_the_end(
        config.output_dir,
        "synthesize",
        config,
        lambda: Candidates(config, PatchSet(config.patches_dir)),
        lambda candidates, run: Synthesis(config, candidates, run.directory).run(),
        drop_scratch=lambda: _drop_scratch(Path(config.output_dir)),
    )


def _drop_scratch(directory: Path) -> None:
    (directory / PENDING).unlink(missing_ok=True)
    (directory / PROGRESS).unlink(missing_ok=True)


def check_config(config: SynthesisConfig) -> None:
    """Raises `UserError` for values that make no set, or one that would leak."""
    check_ranges(config)
    if config.source_split != "train" and not config.allow_evaluation_split:
        raise UserError(
            f"--source_split={config.source_split}: synthetic patches made from evaluation data "
            "would leak into training; --allow_evaluation_split permits it for evaluation"
        )


@dataclasses.dataclass
class Progress:
    """progress.json: how far a run is.

    Attributes:
      candidates: tried. accepted: of them. bytes: of the accepted records in `PENDING`.
      rejected: candidates by reason. areas: objects kept of the last candidates, in pixels.
    """

    candidates: int = 0
    accepted: int = 0
    bytes: int = 0
    rejected: dict[str, int] = dataclasses.field(default_factory=dict)
    areas: tuple[int, ...] = ()


class Synthesis:
    """One run: its candidates and what it has accepted so far."""

    def __init__(self, config: SynthesisConfig, candidates: Candidates, directory: Path):
        self.config, self.candidates, self.directory = config, candidates, directory
        self._resume()

    def _resume(self) -> None:
        """Goes back to the last state that `progress.json` vouches for."""
        self.state = Progress()
        pending, path = self.directory / PENDING, self.directory / PROGRESS
        if path.exists():
            saved = from_json(Progress, read_json(path), str(path))
            if pending.exists() and pending.stat().st_size >= saved.bytes:
                self.state = saved  # else records were lost with the machine: from the start
        with pending.open("ab") as file:
            file.truncate(self.state.bytes)

    def run(self) -> None:
        """Draws candidates until the count is met, then writes shards and manifest."""
        config, state = self.config, self.state
        label = f"{self.candidates.task} patches"
        with (
            console.progress_bar(config.count, label, "patches", state.accepted) as bar,
            ThreadPoolExecutor(core_count()) as threads,
            ThreadPoolExecutor(1) as generating,
        ):
            for batch in self._batches(threads, generating):
                bar.update(self._keep(batch))
                self._stop_if_hopeless()
        self._finish()

    def _batches(
        self, threads: Executor, generating: Executor
    ) -> Iterator[list[Future[Candidate]]]:
        """Batches until the count is met, each begun before the one before it is kept, unless that
        one may be the last.

        Whether a batch is made does not depend on how fast the others are.
        """
        size, first = self.config.batch_size, self.state.candidates
        begun: deque[Future[list[Future[Candidate]]]] = deque()
        while (missing := self.config.count - self.state.accepted) > 0:
            while len(begun) < _BEGUN and len(begun) * size < missing:
                begun.append(self.candidates.start(first, threads, generating))
                first += size
            yield begun.popleft().result()

    def _keep(self, batch: list[Future[Candidate]]) -> int:
        """Adds what is accepted, in order, up to the count; returns how many."""
        config, state = self.config, self.state
        frames, rejected, areas = [], Counter(state.rejected), list(state.areas)
        for future in batch:
            candidate = future.result()
            state.candidates = candidate.number + 1
            areas.append(candidate.area_px)
            if candidate.rejected:
                rejected[candidate.rejected] += 1
            else:
                frames.append(candidate.frame)
            if state.accepted + len(frames) == config.count:
                break
        with (self.directory / PENDING).open("ab") as file:
            file.writelines(frames)
        state.accepted += len(frames)
        state.bytes += sum(map(len, frames))
        state.rejected = dict(sorted(rejected.items()))
        state.areas = tuple(areas[-config.patience :])
        write_json(self.directory / PROGRESS, to_json(state))
        return len(frames)

    def _stop_if_hopeless(self) -> None:
        state, config = self.state, self.config
        if state.candidates < config.patience:
            return
        if state.accepted >= config.min_acceptance * state.candidates:
            return
        # Nothing that was kept is worth more than the freedom to try other flags here.
        (self.directory / PENDING).unlink()
        (self.directory / PROGRESS).unlink()
        areas = np.percentile(state.areas, [5, 50, 95]) / self.candidates.card.size**2
        low, middle, high = areas
        kept = "largest object covers" if config.objects == LARGEST else "objects kept cover"
        raise UserError(
            f"{config.generator}: {state.accepted} of {state.candidates} candidates "
            f"accepted {json.dumps(state.rejected)}; the {kept} {low:.1%} / "
            f"{middle:.1%} / {high:.1%} of the patch (5th / 50th / 95th percentile) and "
            f"--min_area_fraction asks for {config.min_area_fraction:.1%}, --max_area_fraction for "
            f"{config.max_area_fraction:.1%} at most"
        )

    def _finish(self) -> None:
        state, task = self.state, self.candidates.task
        split, name = self.config.source_split, RESULT_CLASS[task]
        accepted = tfrecords.Payloads(self.directory / PENDING)
        shard_bytes = self.config.shard_megabytes * 10**6
        with ThreadPoolExecutor(1) as beside:
            pictures = beside.submit(self._write_pictures, split, name, accepted.places)
            entry = write_patch_set(self.directory, split, name, accepted, shard_bytes, state.bytes)
            pictures.result()
        splits = {split: {name: entry}}
        write_tfds_files(self.directory, splits, self.candidates.card.size, synthetic=True)
        content = {
            "task": task,
            "candidates": state.candidates,
            "accepted": state.accepted,
            "acceptance_rate": state.accepted / state.candidates,
            "rejected": state.rejected,
            "generator_checksum": self.candidates.card.checksum,
            "patches_manifest_sha256": self.candidates.patches_manifest_sha256,
            "generator_patches_manifest_sha256": self.candidates.card.patches_manifest_sha256,
            "generator_patients": self.candidates.card.patients,
            "overlap": [dataclasses.asdict(each) for each in self.candidates.overlaps],
            "splits": splits_json(splits),
        }
        if are_drawn(PatchSet(self.config.patches_dir)):
            content["phantom"] = True
        if self.config.critic:
            content["critic"] = critic_manifest(self.config.critic)["weights_sha256"]
        finish_run(self.directory, "synthesize", content)
        print(
            f"{self.directory}: {state.accepted} {task} patches, "
            f"{content['acceptance_rate']:.0%} of the candidates accepted"
        )

    def _write_pictures(self, split: str, name: str, places: Places) -> None:
        """The same patches on a contact sheet and, over their sources, in a gallery."""
        pending, state = self.directory / PENDING, self.state
        of_shards = np.asarray([(0, *place) for place in places], np.int64)
        index = PatchIndex(f"{split}/{name}", (pending,), of_shards)
        phantom = are_drawn(PatchSet(self.config.patches_dir))
        content, records = draw_sheet(index, split, name, SHOWN, self.config.seed, phantom)
        write_bytes(self.directory / CONTACT_SHEET, content)
        facts = (
            f"{len(records):,} of {len(index):,} patches, drawn at random (seed "
            f"{self.config.seed}); {state.accepted / state.candidates:.0%} of the candidates "
            "were accepted."
        )
        pairs = [Pair(record, self.candidates.source_of(record)) for record in records]
        title = f"Synthetic patches: {self.candidates.task}, {split}"
        notice = PHANTOM_NOTICE if phantom else ""
        write_bytes(self.directory / GALLERY, gallery_page(title, facts, pairs, notice))
