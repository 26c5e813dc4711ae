"""Candidates from the generator, post-processed, until the count is met (paper, "Synthetic
dataset": "we generated 5000 examples each").

Candidate k takes a source patch and a z that depend on (seed, task, k) alone, so that an
interrupted run goes on with the same bytes. Accepted records wait in `accepted.tfrecord`; how far
they are valid is in `progress.json`.
"""

import dataclasses
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from cgan_tf import progress, tfrecords
from cgan_tf.config import (
    MALIGNANT_CALCIFICATION,
    MALIGNANT_CLASSES,
    MALIGNANT_MASS,
    NORMAL,
    SOURCE,
    GeneratedLesionsConfig,
    SynthesisConfig,
)
from cgan_tf.errors import UserError
from cgan_tf.patch_sets import PatchIndex, PatchSet, describe_shard, shard_count, shard_path
from cgan_tf.postprocess import Lesion, extract_lesion
from cgan_tf.records import PatchRecord, encode_record
from cgan_tf.run_directory import finish_run, open_run, read_json, write_json
from cgan_tf.tfds_files import write_tfds_files

# Class of the result by task: a cleaned patch is a normal one.
RESULT_CLASS = {
    "mass": MALIGNANT_MASS,
    "calcification": MALIGNANT_CALCIFICATION,
    "removal": NORMAL,
}
PENDING = "accepted.tfrecord"
PROGRESS = "progress.json"


def synthesize(config: SynthesisConfig) -> None:
    """Runs or resumes a synthesis."""
    check_config(config)
    progress.quiet_tensorflow()
    patches = PatchSet(config.patches_dir)
    with open_run(config.output_dir, "synthesize", config) as run:
        if run.finished:
            print(f"{run.directory}: synthesis is finished; nothing to do")
            return
        Synthesis(config, patches, run.directory).run()


def check_config(config: SynthesisConfig) -> None:
    """Raises `UserError` for values that make no set, or one that would leak."""
    if config.source_split != "train" and not config.allow_evaluation_split:
        raise UserError(
            f"--source_split={config.source_split}: synthetic patches made from evaluation data "
            "would leak into training; --allow_evaluation_split permits it for evaluation"
        )
    for name in ("count", "batch_size", "patience", "shard_megabytes"):
        if getattr(config, name) < 1:
            raise UserError(f"--{name}: expected 1 or more, found {getattr(config, name)}")


def candidate_scalars(seed: int, task: str, candidate: int, width: int) -> np.ndarray:
    """z of a candidate: float32 [width], "drawn uniformly from [-1,1]"."""
    digest = hashlib.blake2b(f"{seed}|{task}|z|{candidate}".encode(), digest_size=16).digest()
    generator = np.random.Generator(np.random.Philox(key=np.frombuffer(digest, np.uint64)))
    return generator.uniform(-1, 1, width).astype(np.float32)


def task_of(config: GeneratedLesionsConfig, card: dict[str, Any]) -> str:
    """The generator's task, or the category that --task names of a conditional one's."""
    known = card.get("categories", [card["task"]])
    task = config.task or card["task"]
    if task not in known:
        raise UserError(
            f"--task: expected {' or '.join(known)} for {config.generator}, "
            f"found {config.task or 'nothing'}"
        )
    return task


def source_classes(task: str) -> tuple[str, ...]:
    """Classes of the patches fed to a generator: normal ones set aside, or those with lesions."""
    return MALIGNANT_CLASSES if task == "removal" else (SOURCE,)


def open_sources(
    config: GeneratedLesionsConfig,
    patches: PatchSet,
    card: dict[str, Any],
    split: str,
    classes: tuple[str, ...],
) -> PatchIndex:
    """The patches fed to a generator; `UserError` when they are not of its size."""
    sources = patches.index(split, *classes)
    found = sources.pixels(0).shape[0]
    if found != card["size"]:
        raise UserError(
            f"{patches.directory}: expected patches of {card['size']} px for "
            f"{config.generator}, found {found}"
        )
    return sources


class Synthesis:
    """One run: its generator, its source patches, what it has accepted so far."""

    def __init__(self, config: SynthesisConfig, patches: PatchSet, directory: Path):
        from cgan_tf.export import load_generator
        from cgan_tf.gan_data import SampleOrder

        self.config, self.directory = config, directory
        self.generator, self.card = load_generator(config.generator)
        self.task = task_of(config, self.card)
        classes = config.source_classes or source_classes(self.task)
        self.sources = open_sources(config, patches, self.card, config.source_split, classes)
        self.order = SampleOrder(config.seed, f"synthesis/{self.task}", len(self.sources))
        self.areas: list[int] = []
        self._resume()

    def _resume(self) -> None:
        """Goes back to the last state that `progress.json` vouches for."""
        self.state: dict[str, Any] = {"candidates": 0, "accepted": 0, "bytes": 0, "rejected": {}}
        pending = self.directory / PENDING
        if (self.directory / PROGRESS).exists():
            saved = read_json(self.directory / PROGRESS)
            if pending.exists() and pending.stat().st_size >= saved["bytes"]:
                self.state = saved  # else records were lost with the machine: from the start
        with pending.open("ab") as file:
            file.truncate(self.state["bytes"])

    def run(self) -> None:
        """Draws candidates until the count is met, then writes shards and manifest."""
        config, state = self.config, self.state
        with progress.progress_bar(
            config.count, f"{self.task} patches", "patches", state["accepted"]
        ) as bar:
            while state["accepted"] < config.count:
                before = state["accepted"]
                self._add_batch()
                bar.update(state["accepted"] - before)
                self._stop_if_hopeless()
        self._finish()

    def _add_batch(self) -> None:
        config, state = self.config, self.state
        first = state["candidates"]
        numbers = range(first, first + config.batch_size)
        records = [self.sources.record(self.order[n]) for n in numbers]
        frames = []
        rejected = Counter(state["rejected"])
        for n, record, channel in zip(
            numbers, records, self._lesions(numbers, records), strict=True
        ):
            state["candidates"] = n + 1
            lesion = extract_lesion(channel, **self._settings())
            self.areas.append(lesion.area_px)
            if lesion.rejected:
                rejected[lesion.rejected] += 1
                continue
            frames.append(tfrecords.frame(encode_record(self._result(record, lesion, n))))
            if state["accepted"] + len(frames) == config.count:
                break
        with (self.directory / PENDING).open("ab") as file:
            file.writelines(frames)
        state["accepted"] += len(frames)
        state["bytes"] += sum(map(len, frames))
        state["rejected"] = dict(sorted(rejected.items()))
        write_json(self.directory / PROGRESS, state)

    def _lesions(self, numbers: range, records: list[PatchRecord]) -> np.ndarray:
        """Lesion channels float32 [n, size, size] of candidates."""
        from cgan_tf.export import generate

        width = self.card["z_width"]
        z = [candidate_scalars(self.config.seed, self.task, n, width) for n in numbers]
        images = np.stack([record.patch for record in records])
        return generate(self.generator, self.card, self.task, images, np.stack(z))

    def _settings(self) -> dict[str, Any]:
        return {
            "removal": self.task == "removal",
            "min_area_fraction": self.config.min_area_fraction,
            **self.config.postprocessing(self.card["size"]),
        }

    def _result(self, source: PatchRecord, lesion: Lesion, number: int) -> PatchRecord:
        """Step 7, "Add the lesion channel to the base normal patch", and say where it came from."""
        assert lesion.lesion is not None
        assert lesion.box is not None
        removal = self.task == "removal"
        return dataclasses.replace(
            source,
            patch_id=f"{source.patch_id}~{self.task}{number}",
            patch=np.clip(source.patch + lesion.lesion, -1.0, 1.0),
            patch_class=RESULT_CLASS[self.task],
            has_mass=int(self.task == "mass"),
            has_calcification=int(self.task == "calcification"),
            box=() if removal else lesion.box,
            mark_id="",
            label_evidence="synthetic",
            conspicuity="",
            lesion_size_mm=0.0,
            synthetic=1,
            lesion=lesion.lesion,
            mask=lesion.mask,
            z=tuple(candidate_scalars(self.config.seed, self.task, number, self.card["z_width"])),
            source_patch_id=source.patch_id,
            task=self.task,
            lesion_area_px=lesion.area_px,
            threshold=self.config.threshold,
            min_area_fraction=self.config.min_area_fraction,
            generator_checksum=self.card["checksum"],
        )

    def _stop_if_hopeless(self) -> None:
        state, config = self.state, self.config
        if state["candidates"] < config.patience:
            return
        if state["accepted"] >= config.min_acceptance * state["candidates"]:
            return
        low, middle, high = np.percentile(self.areas, [5, 50, 95]) / self.card["size"] ** 2
        raise UserError(
            f"{config.generator}: {state['accepted']} of {state['candidates']} candidates "
            f"accepted {json.dumps(state['rejected'])}; the largest object covers {low:.1%} / "
            f"{middle:.1%} / {high:.1%} of the patch (5th / 50th / 95th percentile) and "
            f"--min_area_fraction asks for {config.min_area_fraction:.1%}"
        )

    def _finish(self) -> None:
        state, pending = self.state, self.directory / PENDING
        places = tfrecords.shard_index(pending)
        split, name = self.config.source_split, RESULT_CLASS[self.task]
        total = shard_count(state["bytes"], self.config.shard_megabytes * 10**6)
        (self.directory / split).mkdir(exist_ok=True)
        shards = []
        for i in range(total):
            chunk = places[i * len(places) // total : (i + 1) * len(places) // total]
            file = shard_path(split, name, i, total)
            payloads = (tfrecords.read_payload(pending, *place) for place in chunk)
            tfrecords.write_shard(self.directory / file, payloads)
            shards.append(describe_shard(self.directory, file, len(chunk)))
        splits = {split: {name: {"count": len(places), "shards": shards}}}
        write_tfds_files(self.directory, splits, self.card["size"], synthetic=True)
        content = {
            "task": self.task,
            "candidates": state["candidates"],
            "accepted": state["accepted"],
            "acceptance_rate": state["accepted"] / state["candidates"],
            "rejected": state["rejected"],
            "generator_checksum": self.card["checksum"],
            "splits": splits,
        }
        finish_run(self.directory, "synthesize", content)
        pending.unlink()
        (self.directory / PROGRESS).unlink(missing_ok=True)
        print(
            f"{self.directory}: {state['accepted']} {self.task} patches, "
            f"{content['acceptance_rate']:.0%} of the candidates accepted"
        )
