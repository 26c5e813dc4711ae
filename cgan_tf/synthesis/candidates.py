"""Candidates for a synthetic set: source patch, generated lesion, post-processing, record.

The source patch and the random scalars of candidate k depend on (seed, task, k) alone, so an
interrupted run resumes with the same bytes. While the generator works on a batch, threads
post-process and encode the one before.
"""

import dataclasses
from concurrent.futures import Executor, Future

import numpy as np

from cgan_tf.config import GeneratedLesionsConfig, SynthesisConfig
from cgan_tf.data import tfrecords
from cgan_tf.data.keyed import SampleOrder, keyed_generator
from cgan_tf.data.patch_sets import PatchIndex, PatchSet
from cgan_tf.data.provenance import Origin, check_origins, manifest_sha256
from cgan_tf.data.records import PatchRecord, encode_record
from cgan_tf.gan.card import GeneratorCard, read_card, task_of
from cgan_tf.labels import (
    MALIGNANT_CALCIFICATION,
    MALIGNANT_CLASSES,
    MALIGNANT_MASS,
    NORMAL,
    SOURCE,
)
from cgan_tf.runs.errors import UserError
from cgan_tf.synthesis import removal
from cgan_tf.synthesis.postprocess import Lesion, extract_lesion, limited_extraction

# Class of the result by task: a cleaned patch is a normal one.
RESULT_CLASS = {
    "mass": MALIGNANT_MASS,
    "calcification": MALIGNANT_CALCIFICATION,
    "removal": NORMAL,
}


@dataclasses.dataclass(frozen=True)
class Candidate:
    """What became of one candidate.

    Attributes:
      number: k. area_px: pixels of the objects that were kept.
      rejected: empty, or the reason. frame: its record as a TFRecord frame, empty if rejected.
    """

    number: int
    area_px: int
    rejected: str
    frame: bytes


def candidate_scalars(seed: int, task: str, candidate: int, width: int) -> np.ndarray:
    """z of a candidate: float32 [width], "drawn uniformly from [-1,1]"."""
    generator = keyed_generator(seed, task, "z", candidate)
    return generator.uniform(-1, 1, width).astype(np.float32)


def source_classes(task: str) -> tuple[str, ...]:
    """Classes of the patches fed to a generator: normal ones set aside, or those with lesions."""
    return MALIGNANT_CLASSES if task == "removal" else (SOURCE,)


def open_sources(
    config: GeneratedLesionsConfig,
    patches: PatchSet,
    card: GeneratorCard,
    split: str,
    classes: tuple[str, ...],
) -> PatchIndex:
    """The patches fed to a generator; `UserError` when they are not of its size."""
    sources = patches.index(split, *classes)
    found = sources.pixels(0).shape[0]
    if found != card.size:
        raise UserError(
            f"{patches.directory}: expected patches of {card.size} px for "
            f"{config.generator}, found {found}"
        )
    return sources


def origin_of(config: GeneratedLesionsConfig, card: GeneratorCard) -> Origin:
    """The patches that a generator learnt from."""
    women = dict.fromkeys(card.patients, 0)
    return Origin(config.generator, card.patches_manifest_sha256, lambda: women)


class Candidates:
    """The candidates of one run: its generator and its source patches."""

    def __init__(self, config: SynthesisConfig, patches: PatchSet):
        self.config, self.card = config, read_card(config.generator)
        self.patches_manifest_sha256 = manifest_sha256(patches)
        self.overlaps = check_origins(patches, [origin_of(config, self.card)], config.allow_overlap)
        self.task = task_of(config, self.card)
        removal.check_flags(config, self.task)
        self.extraction = limited_extraction(config, self.card.size, removal=self.task == "removal")
        classes = config.source_classes or source_classes(self.task)
        self.sources = open_sources(config, patches, self.card, config.source_split, classes)
        self.tissue = removal.tissue_of(config, patches)
        self.acceptance = removal.acceptance_of(config)
        self.order = SampleOrder(config.seed, f"synthesis/{self.task}", len(self.sources))
        from cgan_tf.gan.export import load_generator  # TensorFlow: mistakes are told before it

        self.generator, _ = load_generator(config.generator)

    def start(
        self, first: int, threads: Executor, generating: Executor
    ) -> Future[list[Future[Candidate]]]:
        """The batch from candidate `first` on, begun: `threads` read its sources and post-process
        what the only thread of `generating` makes of them, one batch after another."""
        numbers = range(first, first + self.config.batch_size)
        # In the queue of `threads` before what other batches still bring: the generator waits.
        reads = [threads.submit(self.sources.record, self.order[n]) for n in numbers]
        return generating.submit(self._generated, numbers, reads, threads)

    def source_of(self, record: PatchRecord) -> PatchRecord:
        """The patch that an accepted candidate was made from."""
        number = int(record.patch_id.rpartition(f"~{self.task}")[2])
        return self.sources.record(self.order[number])

    def _generated(
        self, numbers: range, reads: list[Future[PatchRecord]], threads: Executor
    ) -> list[Future[Candidate]]:
        sources = [read.result() for read in reads]
        channels = self._lesions(numbers, sources)
        return [
            threads.submit(self._finished, *given)
            for given in zip(numbers, sources, channels, strict=True)
        ]

    def _lesions(self, numbers: range, sources: list[PatchRecord]) -> np.ndarray:
        """Lesion channels float32 [n, size, size] of candidates."""
        from cgan_tf.gan.export import generate

        z = np.stack([self._scalars(n) for n in numbers])
        images = np.stack([source.patch for source in sources])
        return generate(self.generator, self.card, self.task, images, z)

    def _scalars(self, number: int) -> np.ndarray:
        return candidate_scalars(self.config.seed, self.task, number, self.card.z_width)

    def _finished(self, number: int, source: PatchRecord, channel: np.ndarray) -> Candidate:
        lesion = self._lesion(number, source, channel)
        if lesion.rejected:
            return Candidate(number, lesion.area_px, lesion.rejected, b"")
        record = self._result(source, lesion, number)
        fault = self.acceptance.fault(source, record.patch)
        frame = b"" if fault else tfrecords.frame(encode_record(record))
        return Candidate(number, lesion.area_px, fault, frame)

    def _lesion(self, number: int, source: PatchRecord, channel: np.ndarray) -> Lesion:
        if self.tissue is None:
            return extract_lesion(channel, self.extraction, source.box)
        rng = keyed_generator(self.config.seed, self.task, "tissue", number)
        return removal.replaced_lesion(
            source.patch, channel, source.box, self.extraction, self.tissue, rng
        )

    def _result(self, source: PatchRecord, lesion: Lesion, number: int) -> PatchRecord:
        """Step 7, "Add the lesion channel to the base normal patch", and say where it came from."""
        assert lesion.lesion is not None
        assert lesion.box is not None
        cleaned = self.task == "removal"
        return dataclasses.replace(
            source,
            patch_id=f"{source.patch_id}~{self.task}{number}",
            patch=np.clip(source.patch + lesion.lesion, -1.0, 1.0),
            patch_class=RESULT_CLASS[self.task],
            has_mass=int(self.task == "mass"),
            has_calcification=int(self.task == "calcification"),
            box=() if cleaned else lesion.box,
            mark_id="",
            label_evidence="synthetic",
            conspicuity="",
            lesion_size_mm=0.0,
            synthetic=1,
            lesion=lesion.lesion,
            mask=lesion.mask,
            z=tuple(self._scalars(number)),
            source_patch_id=source.patch_id,
            task=self.task,
            lesion_area_px=lesion.area_px,
            threshold=self.config.threshold,
            min_area_fraction=self.config.min_area_fraction,
            generator_checksum=self.card.checksum,
        )
