"""The quality program: measures every synthetic set beside held-out real patches."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from threadpoolctl import threadpool_limits

from cgan_tf.assessment.base import Pair
from cgan_tf.assessment.features import Features, Points, feature_spaces
from cgan_tf.assessment.lesions import SIDE, LesionShape
from cgan_tf.assessment.measures import MEASURES
from cgan_tf.assessment.membership import discriminator_attackers
from cgan_tf.assessment.pictures import write_pictures
from cgan_tf.assessment.reading import (
    CriticScores,
    DiscriminatorScores,
    Reader,
    Readings,
    TrainingLesions,
    differing_lesions,
    lesion_classes,
    read_normals,
    read_real,
    read_synthetic,
    read_training,
    real_pool,
)
from cgan_tf.assessment.results import (
    CONTENT,
    PICTURES,
    Measures,
    SetResult,
    by_table_rank,
    checks_of,
    quality_csv,
    quality_markdown,
    read_results,
    write_results,
)
from cgan_tf.config import DiversityConfig, LesionsConfig, QualityConfig, SynthesisConfig
from cgan_tf.data.patch_sets import PatchPool, PatchSet, whole_sets
from cgan_tf.gan.card import GENERATOR, card_path
from cgan_tf.labels import SPLITS, TASKS
from cgan_tf.runs import console
from cgan_tf.runs.directory import (
    Run,
    finish_run,
    read_json,
    read_manifest,
    run_to_the_end,
    write_bytes,
)
from cgan_tf.runs.errors import UserError
from cgan_tf.runs.flags import check_ranges
from cgan_tf.synthesis.candidates import RESULT_CLASS
from cgan_tf.synthesis.postprocess import extraction_of
from cgan_tf.synthesis.removal import critic_manifest

PROGRAM = "quality"
POST_PROCESSING = ("threshold", "dilation", "smoothing", "objects", "near")  # flags
LESION_SPACE = "lesion shape"  # needs no network
HELD_OUT = ("validation", "test")


@dataclasses.dataclass(frozen=True)
class SyntheticSet:
    """A set that synthesize made.

    Attributes:
      name: in quality.json. generator_checksum: of the generator that made it.
      flags: of synthesize, those that post-process. min_area_fraction, max_area_fraction: as well.
      critic: checksum of the one that chose its patches, or empty.
    """

    name: str
    directory: str
    task: str
    generator_checksum: str
    flags: LesionsConfig
    min_area_fraction: float
    max_area_fraction: float
    critic: str = ""


def open_set(directory: str, taken: Collection[str] = ()) -> SyntheticSet:
    """The set that a directory of synthesize holds; `taken`: names of the sets before it."""
    manifest = read_manifest(directory, "synthesize")
    flags = manifest["flags"]
    return SyntheticSet(
        name=set_name(manifest["task"], tuple(manifest["splits"]), taken),
        directory=directory,
        task=manifest["task"],
        generator_checksum=manifest["generator_checksum"],
        flags=LesionsConfig(**{name: flags[name] for name in POST_PROCESSING}),
        min_area_fraction=flags["min_area_fraction"],
        max_area_fraction=flags.get("max_area_fraction", SynthesisConfig().max_area_fraction),
        critic=manifest.get("critic", "") if flags["max_critic_score"] else "",
    )


def set_name(task: str, splits: Sequence[str], taken: Collection[str]) -> str:
    """mass, removal_test, mass-2: the task, the split unless it is train, a number if need be.

    The name becomes part of file names: `UserError` for an unknown task or split.
    """
    for names, known in (([task], TASKS), (splits, SPLITS)):
        strange = sorted(set(names) - set(known))
        if strange:
            raise UserError(
                f"a synthetic set's manifest: expected {' or '.join(known)}, found {strange[0]!r}"
            )
    name = "_".join([task, *(split for split in splits if split != "train")])
    count = 1 + sum(other.partition("-")[0] == name for other in taken)
    return name if count == 1 else f"{name}-{count}"


def match_generators(
    directories: Sequence[str], sets: Sequence[SyntheticSet], what: str = "a generator that"
) -> list[str]:
    """The generator of each synthetic set, or ""; `UserError` for one that made none of them."""
    checksums = [each.generator_checksum for each in sets]
    known = {}
    for directory in directories:
        checksum = read_json(card_path(directory)).get("checksum")
        if checksum not in checksums:
            raise UserError(f"{directory}: expected {what} made one of --synthetic_dirs")
        known[checksum] = directory
    return [known.get(checksum, "") for checksum in checksums]


def match_runs(directories: Sequence[str], sets: Sequence[SyntheticSet]) -> list[str]:
    """The train_gan run of each synthetic set, or ""; `UserError` for one that made none."""
    for directory in directories:
        read_manifest(directory, "train_gan")
    generators = [str(Path(directory) / GENERATOR) for directory in directories]
    found = match_generators(generators, sets, "a run whose generator")
    return [str(Path(generator).parent) if generator else "" for generator in found]


@dataclasses.dataclass(frozen=True, eq=False)
class SetAssessment:
    """One synthetic set to be measured.

    Attributes:
      generator: directory of the one that made it, or empty. gan_dir: of its run, or empty.
      spaces: networks' features, by name.
      measures: what is measured.
    """

    config: QualityConfig
    patches: PatchSet
    subject: SyntheticSet
    generator: str
    gan_dir: str
    spaces: Mapping[str, Features]
    measures: Measures = MEASURES

    def measure(self, output: Path) -> SetResult:
        """Every measure and verdict; writes pictures into `output`."""
        task, readings = self.subject.task, self._read()
        values = {each.name: each.compute(readings) for each in self.measures}
        return SetResult(
            task=task,
            directory=self.subject.directory,
            patches=len(readings.synthetic),
            real_patches=len(readings.real),
            values=values,
            pictures_by=next(iter(readings.points), ""),
            pictures=write_pictures(
                self._pairs(readings, values),
                PatchSet(self.subject.directory),
                self.patches,
                output / PICTURES,
                self.subject.name,
            ),
            checks=checks_of(values, task, self.measures),
        )

    def _pairs(self, readings: Readings, values: Mapping[str, object]) -> list[Pair]:
        return [
            pair
            for measure in by_table_rank(self.measures)
            for pair in measure.pairs(readings, values[measure.name])
        ]

    def _read(self) -> Readings:
        task, config = self.subject.task, self.config
        pool, _ = whole_sets([PatchSet(self.subject.directory)])
        if not len(pool):
            raise UserError(f"{self.subject.directory}: expected synthetic patches, found none")
        held_out = real_pool(self.patches, config.real_splits, lesion_classes(task))
        real = real_pool(self.patches, config.real_splits, (RESULT_CLASS[task],))
        removal = task == "removal"
        third = real if removal else real_pool(self.patches, ("train",), lesion_classes(task))
        total = len(pool) + len(held_out) + len(third)
        with console.progress_bar(total, self.subject.name, "patches") as bar:
            values_of = [measure.patch_values for measure in self.measures]
            reader = Reader(self.subject.flags.threshold, values_of, bar.update)
            synthetic = read_synthetic(self.patches, pool, removal, reader)
            lesions = read_real(held_out, reader)
            readings = Readings(
                task=task,
                seed=config.seed,
                splits=config.splits,
                synthetic=synthetic,
                lesions=lesions,
                real=read_normals(real, synthetic, reader) if removal else lesions,
            )
            if not removal:
                readings = self._with_training(readings, read_training(third, reader))
        return dataclasses.replace(
            readings,
            critic=self._critic_scores(pool, real, held_out) if removal else None,
            discriminator=self._discriminator_scores(real) if self.gan_dir else None,
            over_z=self._over_z() if self.generator else None,
            points=self._network_points(readings, pool, real) | lesion_points(readings),
        )

    def _with_training(self, readings: Readings, training: TrainingLesions) -> Readings:
        subject, seed = self.subject, self.config.seed
        how = extraction_of(
            subject.flags,
            SIDE,
            removal=False,
            min_area_fraction=subject.min_area_fraction,
            max_area_fraction=subject.max_area_fraction,
        )
        differing = differing_lesions(training, readings.synthetic.backgrounds, how, seed)
        return dataclasses.replace(readings, training=training.described, differing=differing)

    def _critic_scores(
        self, cleaned: PatchPool, normals: PatchPool, lesions: PatchPool
    ) -> CriticScores | None:
        directory = self.config.critic
        if not directory:
            return None
        from cgan_tf.classifier.scoring import load_classifier, score

        manifest = critic_manifest(directory)
        model = load_classifier(directory, manifest)
        ours, real, others = (
            score(model, pool, self.config.batch_size)[0] for pool in (cleaned, normals, lesions)
        )
        selected = manifest["weights_sha256"] == self.subject.critic
        return CriticScores(ours, real, others, selected)

    def _discriminator_scores(self, others: PatchPool) -> DiscriminatorScores:
        task, batch_size = self.subject.task, self.config.batch_size
        sides = discriminator_attackers(self.gan_dir, self.patches, others, task, batch_size)
        return DiscriminatorScores(*sides)

    def _network_points(
        self, readings: Readings, pool: PatchPool, real: PatchPool
    ) -> dict[str, tuple[Points, Points]]:
        return {
            name: (
                readings.synthetic.points(features(pool, readings.synthetic.patch_ids)),
                readings.real.points(features(real, readings.real.patch_ids)),
            )
            for name, features in self.spaces.items()
        }

    def _over_z(self) -> Sequence[LesionShape | None]:
        from cgan_tf.assessment.diversity import open_trials

        config = DiversityConfig(
            generator=self.generator,
            patches_dir=self.config.patches_dir,
            task=self.subject.task,
            **{name: getattr(self.subject.flags, name) for name in POST_PROCESSING},
            seed=self.config.seed,
            draws=self.config.draws,
            patches=1,
        )
        return open_trials(config, self.patches).over_z().shapes


def lesion_points(readings: Readings) -> dict[str, tuple[Points, Points]]:
    """(synthetic, real) lesions in the space of their descriptions; empty without any."""
    described = (readings.synthetic.described, readings.lesions.described)
    if readings.training is None or not all(map(len, described)):
        return {}
    ours, real = (Points(each.vectors, each.patients, each.patch_ids) for each in described)
    return {LESION_SPACE: (ours, real)}


def measure_quality(config: QualityConfig, measures: Measures = MEASURES) -> None:
    """Writes quality.json, quality.md, quality.csv and pictures/; prints the verdicts."""
    check_config(config)
    console.quiet_tensorflow()

    def work(assessments: list[SetAssessment], run: Run) -> None:
        results = measure_sets(assessments, run.directory, measures)
        write_bytes(run.directory / "quality.csv", quality_csv(results, measures))
        markdown = quality_markdown(results, measures)
        write_bytes(run.directory / "quality.md", markdown.encode())
        finish_run(run.directory, PROGRAM, {"sets": list(results)})

    run_to_the_end(
        config.output_dir, PROGRAM, config, lambda: open_assessments(config, measures), work
    )
    results = read_results(Path(config.output_dir) / CONTENT, measures)
    for name, result in results.items():
        print(f"{name}: {result.patches:,} patches of {result.directory}")
        print("\n".join(f"  {check.line}" for check in result.checks))


def check_config(config: QualityConfig) -> None:
    """Raises `UserError` for values that measure nothing, or what a generator has learned."""
    wrong = [split for split in config.real_splits if split not in HELD_OUT]
    if wrong or not config.real_splits:
        raise UserError(
            f"--real_splits: expected {' or '.join(HELD_OUT)}, found "
            f"{wrong[0] if wrong else 'nothing'}"
        )
    check_ranges(config)


def open_assessments(config: QualityConfig, measures: Measures = MEASURES) -> list[SetAssessment]:
    """What is to be measured; every input that the flags name is opened."""
    patches = PatchSet(config.patches_dir)
    if config.critic:
        critic_manifest(config.critic)
    sets: list[SyntheticSet] = []
    for directory in config.synthetic_dirs:
        sets.append(open_set(directory, [each.name for each in sets]))
    generators = match_generators(config.generators, sets)
    runs = match_runs(config.gan_dirs, sets)
    spaces = feature_spaces(config)
    return [
        SetAssessment(config, patches, subject, generator, gan_dir, spaces, measures)
        for subject, generator, gan_dir in zip(sets, generators, runs, strict=True)
    ]


def measure_sets(
    assessments: Sequence[SetAssessment], directory: Path, measures: Measures = MEASURES
) -> dict[str, SetResult]:
    """The result of every set, by name; sets that `quality.json` already has are kept.

    The file grows by a set at a time, so that an interrupted run goes on with the next one.
    """
    path = directory / CONTENT
    results = read_results(path, measures) if path.exists() else {}
    # Numbers must not depend on the cores, nor a run beside others wait for them.
    with threadpool_limits(limits=1):
        for each in assessments:
            if each.subject.name not in results:
                results[each.subject.name] = each.measure(directory)
                write_results(path, results)
    return results
