"""Candidates until the count is met: exact, repeatable, resumable, and honest about its sources."""

import dataclasses
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from cgan_tf.config import SynthesisConfig
from cgan_tf.data import patch_sets
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.data.provenance import manifest_sha256, patient_digest
from cgan_tf.data.records import LEVELS, decode_record
from cgan_tf.data.tfrecords import frame
from cgan_tf.gan import export
from cgan_tf.gan.card import GeneratorCard
from cgan_tf.runs.directory import read_json, read_manifest
from cgan_tf.runs.errors import UserError
from cgan_tf.synthesis import candidates, removal, run
from cgan_tf.synthesis.candidates import Candidates, candidate_scalars
from cgan_tf.synthesis.postprocess import box_pixels, expand
from cgan_tf.synthesis.removal import share_removed
from cgan_tf.synthesis.run import Synthesis, check_config, synthesize
from tests.toys.interruptions import interrupted_at
from tests.toys.pages import PageReader, levels_of
from tests.toys.patches import write_toy_patches
from tests.toys.tfds_reading import assert_read_alike

SIZE = 32
Y, X = np.mgrid[:SIZE, :SIZE]


def disks(sign=1.0, scale=1.0):
    """A generator of disks: z gives radius, place and whether there is a lesion at all."""

    def generate(image, z):
        lesions = []
        for radius, x, y, presence, *_ in z.numpy():
            distance = np.hypot(X - 16 - 5 * x, Y - 16 - 5 * y)
            lesion = 0.02 + 0.5 * (distance < scale * (4 + 8 * abs(radius)))
            lesions.append(lesion * (presence < 0.8))
        lesion = sign * np.stack(lesions)[..., None]
        return {"lesion": tf.constant(lesion.astype(np.float32))}

    return generate


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    directory = write_toy_patches(tmp_path_factory.mktemp("toy"), size=SIZE, per_class=9)
    return PatchSet(directory)


@pytest.fixture
def generator(monkeypatch):
    """The generator that synthesize will find; its function and card may be changed."""
    return with_disks(monkeypatch)


def with_disks(monkeypatch):
    found = {
        "function": disks(),
        "card": GeneratorCard("mass", SIZE, z_width=6, checksum="c" * 64),
    }
    monkeypatch.setattr(
        export, "load_generator", lambda directory: (found["function"], found["card"])
    )
    monkeypatch.setattr(candidates, "read_card", lambda directory: found["card"])
    return found


def change_card(generator, **changes):
    generator["card"] = dataclasses.replace(generator["card"], **changes)


@pytest.fixture
def config(patches, tmp_path, generator):
    return config_of(patches, tmp_path / "synthetic")


def config_of(patches, directory):
    return SynthesisConfig(
        generator="G",
        patches_dir=str(patches.directory),
        output_dir=str(directory),
        count=25,
        batch_size=8,
    )


@pytest.fixture(scope="module")
def made(patches, tmp_path_factory):
    """The set that `config` makes, made once; nobody writes into it."""
    directory = tmp_path_factory.mktemp("made") / "synthetic"
    with pytest.MonkeyPatch.context() as patch:
        with_disks(patch)
        synthesize(config_of(patches, directory))
    return directory


def at(config, directory, **changes):
    return dataclasses.replace(config, output_dir=str(directory), **changes)


def shard_bytes(directory):
    files = sorted(directory.rglob("*.tfrecord"))
    assert files
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def records_of(directory, name="malignant_mass", split="train"):
    index = PatchSet(directory).index(split, name)
    return [index.record(i) for i in range(len(index))]


def source_of(record, patches, *classes, split="train"):
    index = patches.index(split, *classes)
    found = [index.record(i) for i in range(len(index))]
    return next(source for source in found if source.patch_id == record.source_patch_id)


class TestConditional:
    """A generator with categories: --task picks one of them."""

    @pytest.fixture
    def asked(self, generator):
        plain, asked = disks(), []

        def generate(image, z, category):
            asked.append(category.numpy())
            return plain(image, z)

        generator["function"] = generate
        change_card(generator, task="conditional")
        return asked

    def test_the_category_is_handed_over_and_recorded(self, config, asked, tmp_path):
        synthesize(at(config, tmp_path / "c", task="calcification"))
        assert {value for batch in asked for value in batch} == {1}
        assert asked[0].dtype == np.int32
        assert len(asked[0]) == config.batch_size
        records = records_of(tmp_path / "c", "malignant_calcification")
        assert {(r.task, r.has_calcification, r.has_mass) for r in records} == {
            ("calcification", 1, 0)
        }
        assert read_manifest(tmp_path / "c", "synthesize")["task"] == "calcification"

    def test_a_category_is_needed(self, config, asked):
        with pytest.raises(UserError, match=r"--task: expected mass or .* found nothing"):
            synthesize(config)

    def test_a_generator_of_one_task_has_no_other(self, config, tmp_path):
        with pytest.raises(UserError, match="--task: expected mass for G, found removal"):
            synthesize(at(config, tmp_path / "s", task="removal"))


class TestOutput:
    def test_the_count_is_exact_and_the_numbers_add_up(self, config, tmp_path, capsys):
        synthesize(config)
        directory = tmp_path / "synthetic"
        manifest = read_manifest(directory, "synthesize")
        assert PatchSet(directory).count("train", "malignant_mass") == 25
        assert manifest["accepted"] == 25
        assert set(manifest["rejected"]) == {"empty", "too_small"}
        assert manifest["candidates"] == 25 + sum(manifest["rejected"].values())
        assert manifest["acceptance_rate"] == 25 / manifest["candidates"]
        assert manifest["task"] == "mass"
        assert manifest["generator_checksum"] == "c" * 64
        files = sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())
        assert files == [
            ".lock",
            "contact_sheet.png",
            "dataset_info.json",
            "features.json",
            "gallery.html",
            "manifest.json",
            "run.json",
            "train/malignant_mass-00000-of-00001.tfrecord",
        ]
        assert capsys.readouterr().out.startswith(f"{directory}: 25 mass patches, ")

    def test_the_gallery_shows_patches_of_the_sheet_over_their_sources(
        self, config, patches, tmp_path
    ):
        synthesize(dataclasses.replace(config, count=30))
        page = (tmp_path / "synthetic" / "gallery.html").read_text(encoding="utf-8")
        reader = PageReader(page)
        text = " ".join(reader.text)
        assert "Synthetic patches: mass, train" in text
        assert "24 of 30 patches, drawn at random (seed 0)" in text
        names = reader.values("img", "alt")[::3]
        assert names == [f"Pair {number}, original" for number in range(1, 25)]
        shown = reader.values("figure", "data-source")
        assert len(shown) == 24
        sources = {record.source_patch_id for record in records_of(tmp_path / "synthetic")}
        assert set(shown) <= sources
        for place in (0, 23):
            addresses = reader.values("img", "src")[3 * place : 3 * place + 2]
            before, after = map(levels_of, addresses)
            assert np.abs(after - before).max() > 20
            assert (after == before).mean() > 0.1  # outside the mask it is the source

    def test_the_gallery_takes_its_sources_by_number(self, config, patches):
        drawn = Candidates(config, patches)
        with ThreadPoolExecutor(1) as threads, ThreadPoolExecutor(1) as generating:
            batch = [f.result() for f in drawn.start(0, threads, generating).result()]
        records = [decode_record(c.frame[12:-4], "r") for c in batch if c.frame]
        assert len(records) > 3
        for record in records:
            assert drawn.source_of(record).patch_id == record.source_patch_id

    @pytest.mark.slow
    def test_tensorflow_datasets_reads_it(self, made):
        assert assert_read_alike(made) == 25

    def test_candidates_are_drawn_in_order_until_the_last_that_is_needed(self, made):
        numbers = [int(r.patch_id.rsplit("~mass", 1)[1]) for r in records_of(made)]
        assert numbers == sorted(set(numbers))
        manifest = read_manifest(made, "synthesize")
        assert numbers[-1] == manifest["candidates"] - 1

    def test_step_seven_adds_the_lesion_to_the_patch(self, made, patches):
        for record in records_of(made):
            source = source_of(record, patches, "source")
            expected = np.clip(source.patch + record.lesion, -1, 1)
            # Patch and lesion are rounded to a level each.
            np.testing.assert_allclose(record.patch, expected, rtol=0, atol=2.02 / LEVELS)
            outside = record.mask == 0
            assert 0 < outside.sum() < SIZE * SIZE
            np.testing.assert_array_equal(record.patch[outside], source.patch[outside])
            assert np.abs(record.patch - source.patch).max() > 0.1

    def test_the_lesion_is_the_masked_channel(self, made):
        for record in records_of(made):
            z = tf.constant([record.z])
            channel = disks()(None, z)["lesion"].numpy()[0, ..., 0]
            np.testing.assert_allclose(record.lesion, record.mask * channel, atol=2 / LEVELS)
            assert record.lesion_area_px == (channel > 0.1).sum()
            assert record.lesion_area_px >= 0.1 * SIZE * SIZE
            x0, y0, x1, y1 = map(int, record.box)
            assert (channel[y0:y1, x0:x1] > 0.1).sum() == record.lesion_area_px
            assert record.mask[y0:y1, x0:x1].max() == record.mask.max() > 0.5

    def test_a_record_says_where_it_came_from(self, made, patches):
        for record in records_of(made):
            source = source_of(record, patches, "source")
            number = int(record.patch_id.rsplit("~mass", 1)[1])
            assert record.patch_id == f"{source.patch_id}~mass{number}"
            np.testing.assert_array_equal(
                np.float32(record.z), candidate_scalars(0, "mass", number, 6)
            )
            assert (record.client_id, record.view) == (source.client_id, source.view)
            assert (record.synthetic, record.has_mass, record.has_calcification) == (1, 1, 0)
            assert record.task == "mass"
            assert record.threshold == pytest.approx(0.1)
            assert record.min_area_fraction == pytest.approx(0.1)
            assert record.generator_checksum == "c" * 64

    def test_removal_cleans_malignant_patches(self, config, generator, patches, tmp_path):
        change_card(generator, task="removal")
        generator["function"] = disks(sign=-1.0)
        synthesize(config)
        records = records_of(tmp_path / "synthetic", "normal")
        assert len(records) == 25
        kinds = set()
        for record in records:
            source = source_of(record, patches, "malignant_mass", "malignant_calcification")
            kinds.add(source.patch_class)
            assert record.box == ()
            assert (record.has_mass, record.has_calcification) == (0, 0)
            assert record.lesion.min() < -0.2
            assert (record.patch <= source.patch + 1e-6).all()
        assert kinds == {"malignant_mass", "malignant_calcification"}

    def test_in_the_box_healthy_tissue_takes_the_lesion_s_place(
        self, config, generator, patches, tmp_path
    ):
        """The test of the result rejects what is left; all else is the same bytes again."""
        change_card(generator, task="removal")
        generator["function"] = disks(sign=-1.0)
        ours = dataclasses.replace(
            config,
            objects="in_box",
            texture="tissue",
            min_area_fraction=0.0,
            min_share_removed=0.5,
        )
        synthesize(ours)
        manifest = read_manifest(tmp_path / "synthetic", "synthesize")
        assert set(manifest["rejected"]) <= {"lesion_left", "empty"}
        for record in records_of(tmp_path / "synthetic", "normal"):
            source = source_of(record, patches, "malignant_mass", "malignant_calcification")
            assert share_removed(source.patch, record.patch, source.box) > 0.49
            far = ~expand(box_pixels(source.box, SIZE), 1)
            np.testing.assert_array_equal(record.patch[far], source.patch[far])
        synthesize(at(ours, tmp_path / "again", batch_size=5))
        assert shard_bytes(tmp_path / "again") == shard_bytes(tmp_path / "synthetic")

    def test_a_critic_has_a_say(self, config, generator, monkeypatch, tmp_path):
        change_card(generator, task="removal")
        generator["function"] = disks(sign=-1.0)
        scores = {}

        def critic(patch):
            return scores.setdefault(patch.tobytes(), 0.3 if len(scores) % 3 else 0.7)

        monkeypatch.setattr(removal, "load_critic", lambda directory: critic)
        monkeypatch.setattr(run, "critic_manifest", lambda directory: {"weights_sha256": "w"})
        synthesize(dataclasses.replace(config, critic="C", max_critic_score=0.5))
        manifest = read_manifest(tmp_path / "synthetic", "synthesize")
        assert manifest["critic"] == "w"
        assert manifest["rejected"]["looks_malignant"] > 5
        rejected = sum(manifest["rejected"].values())
        assert manifest["candidates"] == 25 + rejected

    def test_other_classes_of_sources(self, config, patches, tmp_path):
        synthesize(dataclasses.replace(config, source_classes=("benign_mass",)))
        records = records_of(tmp_path / "synthetic")
        assert {record.source_patch_id.split("-")[1] for record in records} == {"benign_mass"}

    def test_shards_of_the_size_asked_for(self, config, tmp_path):
        synthesize(dataclasses.replace(config, count=400, shard_megabytes=1, batch_size=64))
        directory = tmp_path / "synthetic"
        sizes = [len(content) for content in shard_bytes(directory).values()]
        assert len(sizes) > 1
        assert min(sizes) > 0.66e6
        assert max(sizes) < 1.35e6
        ids = [record.patch_id for record in records_of(directory)]
        assert len(set(ids)) == 400


class TestPace:
    def test_a_batch_is_generated_while_the_one_before_it_is_kept(
        self, config, generator, monkeypatch
    ):
        being_kept = threading.Event()
        make, keep, calls = disks(), Synthesis._keep, []

        def generate(image, z):
            assert not calls or being_kept.wait(60)
            calls.append(len(image))
            return make(image, z)

        def slow_keep(self, batch):
            being_kept.set()
            return keep(self, batch)

        generator["function"] = generate
        monkeypatch.setattr(Synthesis, "_keep", slow_keep)
        synthesize(config)
        assert len(calls) > 2

    @pytest.mark.parametrize(("count", "batches"), [(8, 1), (9, 2), (24, 3)])
    def test_no_batch_is_made_in_vain(self, config, generator, tmp_path, count, batches):
        calls = []

        def generate(image, z):
            calls.append(len(image))
            lesions = np.zeros((len(z), SIZE, SIZE, 1), np.float32)
            lesions[:, 8:24, 8:24] = 0.5
            return {"lesion": tf.constant(lesions)}

        generator["function"] = generate
        synthesize(dataclasses.replace(config, count=count))
        assert calls == [8] * batches

    def test_a_fault_of_the_generator_is_not_lost_in_its_thread(self, config, generator):
        def generate(image, z):
            raise tf.errors.ResourceExhaustedError(None, None, "out of memory")

        generator["function"] = generate
        with pytest.raises(tf.errors.ResourceExhaustedError, match="out of memory"):
            synthesize(config)


class TestRepeatable:
    @pytest.fixture
    def expected(self, made):
        return shard_bytes(made)

    def test_the_same_seed_gives_the_same_bytes(self, config, expected, tmp_path):
        synthesize(config)
        assert shard_bytes(tmp_path / "synthetic") == expected

    def test_the_batch_size_changes_nothing(self, config, expected, tmp_path):
        synthesize(at(config, tmp_path / "other", batch_size=3))
        assert shard_bytes(tmp_path / "other") == expected

    def test_another_seed_gives_others(self, config, expected, tmp_path):
        synthesize(at(config, tmp_path / "other", seed=1))
        assert shard_bytes(tmp_path / "other") != expected

    @pytest.mark.parametrize(
        ("owner", "name", "calls"),
        [
            pytest.param(Synthesis, "_keep", 0, marks=pytest.mark.slow),
            pytest.param(Synthesis, "_keep", 2, marks=pytest.mark.slow),
            (candidates, "extract_lesion", 13),  # in the middle of a batch
            # Records written, not yet vouched for.
            pytest.param(run, "write_json", 1, marks=pytest.mark.slow),
            pytest.param(Synthesis, "_finish", 0, marks=pytest.mark.slow),
            pytest.param(patch_sets, "describe_shard", 0, marks=pytest.mark.slow),  # shards written
            pytest.param(run, "finish_run", 0, marks=pytest.mark.slow),
        ],
        ids=lambda value: getattr(value, "__name__", str(value)),
    )
    def test_interrupted_anywhere_the_same_bytes(
        self, config, expected, made, tmp_path, monkeypatch, owner, name, calls
    ):
        with interrupted_at(monkeypatch, owner, name, calls):
            synthesize(config)
        directory = tmp_path / "synthetic"
        with pytest.raises(UserError, match="unfinished run"):
            PatchSet(directory)
        synthesize(config)
        assert shard_bytes(directory) == expected
        for name in ("contact_sheet.png", "gallery.html"):
            assert (directory / name).read_bytes() == (made / name).read_bytes()
        one, two = (read_json(d / "manifest.json") for d in (directory, made))
        for manifest in (one, two):
            del manifest["flags"]
        assert one == two

    def test_what_the_progress_does_not_vouch_for_is_cut_off(
        self, config, expected, tmp_path, monkeypatch
    ):
        with interrupted_at(monkeypatch, Synthesis, "_keep", 2):
            synthesize(config)
        with (tmp_path / "synthetic" / "accepted.tfrecord").open("ab") as file:
            file.write(frame(b"a whole record") + b"and half of one")
        synthesize(config)
        assert shard_bytes(tmp_path / "synthetic") == expected

    def test_records_that_were_lost_are_made_again(self, config, expected, tmp_path, monkeypatch):
        with interrupted_at(monkeypatch, Synthesis, "_keep", 2):
            synthesize(config)
        pending = tmp_path / "synthetic" / "accepted.tfrecord"
        pending.write_bytes(pending.read_bytes()[:100])
        synthesize(config)
        assert shard_bytes(tmp_path / "synthetic") == expected

    def test_finished_there_is_nothing_to_do(self, config, expected, made, capsys):
        synthesize(at(config, made))
        assert capsys.readouterr().out.endswith(" is finished; nothing to do\n")
        assert shard_bytes(made) == expected

    def test_other_flags_are_refused(self, config, made):
        with pytest.raises(UserError, match=r"--threshold was 0\.1, is 0\.2"):
            synthesize(at(config, made, threshold=0.2))


class TestRefusal:
    @pytest.mark.parametrize("split", ["validation", "test"])
    def test_evaluation_data_would_leak(self, config, split, tmp_path):
        with pytest.raises(UserError, match=f"--source_split={split}: .*would leak into training"):
            synthesize(dataclasses.replace(config, source_split=split))
        assert not (tmp_path / "synthetic").exists()

    def test_unless_it_is_for_evaluation(self, config, generator, tmp_path):
        change_card(generator, task="removal")
        generator["function"] = disks(sign=-1.0)
        synthesize(
            dataclasses.replace(config, source_split="test", allow_evaluation_split=True, count=3)
        )
        records = records_of(tmp_path / "synthetic", "normal", "test")
        assert {record.source_patch_id.split("-")[0] for record in records} == {"test"}
        assert PatchSet(tmp_path / "synthetic").count("train", "normal") == 0

    def test_a_generator_that_learnt_from_women_to_be_tested(self, config, generator, tmp_path):
        women = [patient_digest(name) for name in ("test-case-0001", "train-case-0001", "other")]
        change_card(generator, patients=women, patches_manifest_sha256="a" * 64)
        with pytest.raises(UserError) as caught:
            synthesize(config)
        assert "G: 1 of its 3 women are in the test split (test-case-0001)" in str(caught.value)
        assert not (tmp_path / "synthetic").exists()

        synthesize(dataclasses.replace(config, allow_overlap=True))
        manifest = read_manifest(tmp_path / "synthetic", "synthesize")
        assert manifest["overlap"] == [
            {"name": "G", "split": "test", "patients": ["test-case-0001"], "patches": 0, "of": 3}
        ]
        assert manifest["generator_patients"] == women
        assert manifest["generator_patches_manifest_sha256"] == "a" * 64

    def test_women_of_the_training_split_behind_a_generator_are_no_leak(
        self, config, generator, patches
    ):
        women = [patient_digest("train-case-0001")]
        change_card(generator, patients=women, patches_manifest_sha256="a" * 64)
        synthesize(config)
        manifest = read_manifest(config.output_dir, "synthesize")
        assert manifest["overlap"] == []
        assert manifest["patches_manifest_sha256"] == manifest_sha256(patches)

    def test_flags_of_removal_with_another_task(self, config):
        with pytest.raises(UserError, match="--texture: is for removal, found the task mass"):
            synthesize(dataclasses.replace(config, texture="tissue"))

    def test_a_box_where_there_is_none_yet(self, config):
        with pytest.raises(UserError, match="--objects=in_box: is for removal"):
            synthesize(dataclasses.replace(config, objects="in_box"))

    def test_patches_of_another_size(self, config, generator):
        change_card(generator, size=64)
        with pytest.raises(UserError, match="expected patches of 64 px for G, found 32"):
            synthesize(config)

    def test_a_class_that_is_not_there(self, config):
        with pytest.raises(UserError, match="train/cyst: expected patches, found none"):
            synthesize(dataclasses.replace(config, source_classes=("cyst",)))

    @pytest.mark.parametrize("name", ["count", "batch_size", "patience", "shard_megabytes"])
    def test_numbers_that_make_no_set(self, config, name):
        with pytest.raises(UserError, match=f"--{name}: expected 1 or more, found 0"):
            check_config(dataclasses.replace(config, **{name: 0}))


class TestHopeless:
    def test_it_stops_and_names_what_would_help(self, config, generator, tmp_path):
        generator["function"] = disks(scale=0.5)  # at most 113 px, most of them less
        with pytest.raises(UserError) as caught:
            synthesize(
                dataclasses.replace(config, patience=24, min_area_fraction=0.2, min_acceptance=0.05)
            )
        message = str(caught.value)
        assert re.search(r"^G: 0 of 24 candidates accepted", message)
        assert "--min_area_fraction asks for 20.0%, --max_area_fraction for 100.0%" in message
        low, middle, high = map(float, re.findall(r"([\d.]+)%", message)[:3])
        z = [candidate_scalars(0, "mass", n, 6) for n in range(24)]
        channels = generator["function"](None, tf.constant(np.stack(z)))["lesion"]
        areas = (channels.numpy() > 0.1).sum(axis=(1, 2, 3)) / SIZE**2 * 100
        expected = np.percentile(areas, [5, 50, 95])
        np.testing.assert_allclose([low, middle, high], expected, atol=0.051)
        assert not (tmp_path / "synthetic" / "manifest.json").exists()

    def test_a_low_rate_that_was_asked_for_is_none(self, config, generator, tmp_path):
        generator["function"] = disks(scale=0.6)
        synthesize(dataclasses.replace(config, patience=8, min_acceptance=0.01, count=10))
        manifest = read_manifest(tmp_path / "synthetic", "synthesize")
        assert manifest["accepted"] == 10
        assert manifest["acceptance_rate"] < 0.5


class TestScalars:
    def test_uniform_in_their_range(self):
        draws = np.stack([candidate_scalars(0, "mass", n, 12) for n in range(2000)])
        assert draws.dtype == np.float32
        assert -1 <= draws.min() < -0.99
        assert 0.99 < draws.max() <= 1
        assert np.abs(draws.mean(axis=0)).max() < 0.06
        assert np.abs(np.corrcoef(draws.T) - np.eye(12)).max() < 0.1

    def test_a_function_of_seed_task_and_number(self):
        first = candidate_scalars(3, "mass", 5, 6)
        np.testing.assert_array_equal(first, candidate_scalars(3, "mass", 5, 6))
        for other in ((4, "mass", 5), (3, "removal", 5), (3, "mass", 6)):
            assert (candidate_scalars(*other, 6) != first).all()


def test_with_an_exported_generator(gan_run, tmp_path):
    """A threshold below every value accepts each candidate of the barely trained generator."""
    config = SynthesisConfig(
        generator=str(gan_run.finished / "generator"),
        patches_dir=gan_run.config.patches_dir,
        output_dir=str(tmp_path / "synthetic"),
        count=5,
        batch_size=3,
        threshold=-0.9,
    )
    synthesize(config)
    records = records_of(tmp_path / "synthetic", "malignant_calcification")
    assert len(records) == 5
    card = read_json(gan_run.finished / "generator" / "model.json")
    for record in records:
        assert record.generator_checksum == card["checksum"]
        assert record.lesion_area_px == SIZE * SIZE
        assert len(record.z) == 6
        assert np.abs(record.lesion[1:-1, 1:-1]).max() > 2 / LEVELS
        assert np.abs(record.lesion[:1]).max() <= 1.02 / LEVELS  # the frame
