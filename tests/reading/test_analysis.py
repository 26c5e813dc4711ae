"""From files of answers to results: known abilities recovered, faults named, women counted once."""

import dataclasses
import json
import math

import numpy as np
import pytest
from scipy.stats import norm

from cgan_tf.config import ReaderStudyConfig
from cgan_tf.pages.html import Notes, Plot, Table
from cgan_tf.reading.analysis import ALL, _clusters, analyse
from cgan_tf.reading.answers import read_answers
from cgan_tf.reading.results import read_results, result_parts, study_parts, write_analysis
from cgan_tf.reading.run import run_reader_study
from cgan_tf.reading.study import KeyCase, KeyPicture, read_key, read_pictures
from cgan_tf.runs.errors import UserError
from cgan_tf.statistics.auc import exact_auc
from cgan_tf.statistics.readers import BOTH
from tests.toys.reader_study import write_real, write_study, write_synthetic
from tests.toys.readers import positive, write_answers

QUESTIONS = ("real_or_synthetic", "two_alternatives", "lesion")
ABILITIES = (0.6, 1.0, 1.4, 0.9, 1.1)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    write_real(root / "real", 160, each=1)
    for kind, seed in (("mass", 1), ("normal", 2)):
        write_synthetic(root / f"made_{kind}", kind, 100, seed)
    return root


@pytest.fixture(scope="module")
def studies(root):
    return {
        question: write_study(
            root, root / question, kinds=("mass", "normal"), question=question, cases=120, repeats=8
        )
        for question in QUESTIONS
    }


@pytest.fixture
def study(studies):
    return studies["real_or_synthetic"]


def analysed(study, folder):
    key = read_key(study)
    return analyse(key, read_answers([str(folder)], key))


def pictures_of(study):
    return read_pictures(study, read_key(study).study)


def mean_of(analysis, test=None):
    test = test or next(iter(analysis.tests))
    return next(m for m in analysis.means if (m.test, m.varies) == (test, BOTH))


@pytest.mark.parametrize("question", QUESTIONS)
class TestKnownPanel:
    def test_every_reader_is_recovered(self, studies, tmp_path, question):
        """Their d' are in the intervals; of 5 at 95%, one may lie outside."""
        folder = write_answers(studies[question], tmp_path / "a", ABILITIES, seed=1)
        found = analysed(studies[question], folder)
        inside = [
            reader.d_prime.low <= ability <= reader.d_prime.high
            for reader, ability in zip(found.readers, ABILITIES, strict=True)
        ]
        assert sum(inside) >= 4

    def test_the_panel_is_recovered(self, studies, tmp_path, question):
        true = np.mean([norm.cdf(ability / math.sqrt(2)) for ability in ABILITIES])
        covered = []
        for seed in range(4):
            folder = write_answers(studies[question], tmp_path / str(seed), ABILITIES, seed)
            mean = mean_of(analysed(studies[question], folder))
            covered.append(mean.low <= true <= mean.high)
        assert np.mean(covered) >= 0.75  # ratings of six levels cost a little of the AUC

    def test_a_section_can_be_made(self, studies, tmp_path, question):
        study = studies[question]
        found = analysed(study, write_answers(study, tmp_path / "a", ABILITIES))
        parts = result_parts(found, pictures_of(study))
        names = [part.name for part in parts if isinstance(part, Table | Plot)]
        assert names[:2] == ["reader_study_readers"] * 2
        assert {"reader_study_panel", "reader_study_power_1", "reader_study_cases"} <= set(names)


def test_readers_who_guess_are_called_so(studies, tmp_path):
    """The level of the whole way for forced choices; tests/statistics has that of AUCs."""
    study, p_values = studies["two_alternatives"], []
    for seed in range(5):
        folder = write_answers(study, tmp_path / str(seed), [0.0] * 5, seed)
        p_values.append(mean_of(analysed(study, folder)).p_value)
    assert np.mean(np.array(p_values) < 0.05) <= 0.2


class TestFiles:
    def test_results_are_written_and_read_again(self, studies, tmp_path, capsys):
        study = studies["two_alternatives"]
        folder = write_answers(study, tmp_path / "a", ABILITIES)
        run_reader_study(ReaderStudyConfig(analyse=(str(folder),), output_dir=str(study)))
        assert f"{study / 'analysis'}: 5 readers" in capsys.readouterr().out
        assert read_results(study) == analysed(study, folder)
        names = {path.name for path in (study / "analysis").iterdir()} - {".lock"}
        assert names == {"results.json", "results.html", "readers.csv", "cases.csv"}
        assert len((study / "analysis" / "cases.csv").read_text().splitlines()) == 121
        assert len(study_parts(study)) > 8


class TestValues:
    def test_aucs_are_those_of_the_ratings(self, study, tmp_path):
        folder = write_answers(study, tmp_path / "a", ABILITIES)
        key = read_key(study)
        answers = json.loads((folder / "R2.json").read_text())["answers"][: len(key.cases)]
        ratings = np.array([answer["answer"] for answer in answers])
        kinds = np.array([case.pictures[0].kind for case in key.cases])
        found = analysed(study, folder)
        estimates = found.readers[1].of_tests
        assert list(estimates) == [ALL, "made_mass", "made_normal"]
        assert estimates[ALL].value == pytest.approx(exact_auc(positive(key), ratings))
        for name, kind in (("made_mass", "mass"), ("made_normal", "normal")):
            own = kinds == kind
            expected = exact_auc(positive(key)[own], ratings[own])
            assert estimates[name].value == pytest.approx(expected)
        assert found.tests == {ALL: 120, "made_mass": 60, "made_normal": 60}

    def test_tests_of_the_lesion_question(self, studies, tmp_path):
        study = studies["lesion"]
        found = analysed(study, write_answers(study, tmp_path / "a", ABILITIES))
        # 30 each: real lesions, synthetic ones, real normals, removals.
        assert found.tests == {ALL: 120, "real lesions": 60, "made_mass": 60, "made_normal": 60}
        assert len(found.differences) == 9
        assert all(0 <= row.holm <= 1 for row in found.differences)

    def test_yes_and_no(self, root, tmp_path):
        study = write_study(root, tmp_path / "s", kinds=("mass",), answers="yes_no", cases=60)
        found = analysed(study, write_answers(study, tmp_path / "a", (1.0, 1.5)))
        assert found.readers[0].d_prime is None
        right = [case.right for case in found.cases]
        panel = np.mean([reader.of_tests["made_mass"].value for reader in found.readers])
        assert np.mean(right) == pytest.approx(panel)  # balanced: proportion correct

    def test_agreement(self, study, tmp_path):
        found = analysed(study, write_answers(study, tmp_path / "a", [1.0] * 4, seed=3))
        within = np.mean([reader.within.value for reader in found.readers])
        # Half of the variance is common to readers, and to a reader's two answers.
        assert found.between.value == pytest.approx(within, abs=0.15)
        assert 0.3 < found.between.low < found.between.value < found.between.high < 0.8

    def test_cases_are_ordered_by_what_readers_saw(self, studies, tmp_path):
        study = studies["two_alternatives"]
        found = analysed(study, write_answers(study, tmp_path / "a", [1.0] * 8))
        assert {case.origin for case in found.cases} == {"made_mass", "made_normal"}
        assert all(reader.left is not None for reader in found.readers)
        mean = np.mean([case.right for case in found.cases])
        assert mean == pytest.approx(mean_of(found).value)

    def test_times_leave_out_what_was_interrupted(self, study, tmp_path):
        folder = write_answers(study, tmp_path / "a", [1.0])
        path = folder / "R1.json"
        content = json.loads(path.read_text())
        for number, answer in enumerate(content["answers"]):
            answer["seconds"] = 3.0 if number % 2 else 1000.0
            if number % 2 == 0:
                answer["interrupted"] = True
        path.write_text(json.dumps(content))
        (reader,) = analysed(study, folder).readers
        assert reader.seconds == 3.0


class TestPatients:
    def test_pairs_that_share_a_woman_are_one(self):
        def case(name, *women):
            pictures = tuple(KeyPicture("real", "mass", 1.0, f"{name}{w}", w, "") for w in women)
            return KeyCase(name, pictures)

        a, b, c, d = _clusters(
            [case("1", "A", "B"), case("2", "C", "D"), case("3", "E", "D"), case("4", "F", "B")]
        )
        assert a == d != b == c

    def test_cases_of_few_women_widen_the_interval(self, study, tmp_path):
        key = read_key(study)
        readers = read_answers([str(write_answers(study, tmp_path / "a", ABILITIES))], key)
        few = dataclasses.replace(
            key,
            cases=tuple(
                KeyCase(c.case, (dataclasses.replace(c.pictures[0], client_id=f"w{n % 12}"),))
                for n, c in enumerate(sorted(key.cases, key=lambda c: c.pictures[0].origin))
            ),
        )
        errors = [
            np.mean(
                [r.of_tests[ALL].high - r.of_tests[ALL].low for r in analyse(k, readers).readers]
            )
            for k in (key, few)
        ]
        assert errors[0] != errors[1]


def changed(folder, change):
    path = folder / "R1.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return folder


class TestFaults:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda c: c.update(study="f" * 64), "expected answers to study .* 'ffffffff'"),
            (lambda c: c.update(reader="../R1"), "expected a reader code"),
            (lambda c: c.update(answers="none"), "expected answers that the page"),
            (lambda c: c["answers"][0].update(answer=7), "answer 7 to case"),
            (lambda c: c["answers"][0].update(answer=True), "answer True"),
            (lambda c: c["answers"][0].update(case="x"), "case 'x'"),
            (lambda c: c["answers"][0].update(seconds=-1), "-1.0 seconds"),
            (lambda c: c["answers"][0].pop("seconds"), "KeyError"),
            (lambda c: c["answers"].append(c["answers"][0]), "expected one answer to case"),
            (lambda c: c["answers"].append(3), "expected an answer to a case"),
        ],
    )
    def test_a_wrong_file_is_named(self, study, tmp_path, change, message):
        folder = changed(write_answers(study, tmp_path / "a", [1.0]), change)
        with pytest.raises(UserError, match=rf"R1\.json: .*{message}"):
            analysed(study, folder)

    def test_nothing_is_written_for_a_wrong_file(self, root, tmp_path):
        study = write_study(root, tmp_path / "s", kinds=("mass",))
        folder = changed(write_answers(study, tmp_path / "a", [1.0]), lambda c: c.pop("study"))
        with pytest.raises(UserError, match="expected answers that the page of a study saved"):
            write_analysis(study, [str(folder)])
        assert not (study / "analysis").exists()

    def test_no_file_and_no_folder(self, study, tmp_path):
        (tmp_path / "empty").mkdir()
        for name, message in (("empty", "found none"), ("gone", "found nothing")):
            with pytest.raises(UserError, match=message):
                read_answers([str(tmp_path / name)], read_key(study))

    def test_readers_who_have_not_finished_are_left_out_and_told(self, study, tmp_path):
        folder = write_answers(study, tmp_path / "a", (1.0, 1.0, 1.0))
        changed(folder, lambda c: (c.pop("finished"), c.update(answers=c["answers"][:50])))
        found = analysed(study, folder)
        assert (len(found.readers), found.left_out) == (2, {"R1": 50})
        notes = next(p for p in result_parts(found, pictures_of(study)) if isinstance(p, Notes))
        assert "Left out, as they have not finished: R1 (50 cases)." in notes.texts
        only = tmp_path / "a" / "R1.json"
        with pytest.raises(UserError, match="found R1 50 of 120"):
            analysed(study, only)

    def test_of_two_files_of_a_reader_the_longer_counts(self, study, tmp_path):
        folder = write_answers(study, tmp_path / "a", [1.0])
        whole = json.loads((folder / "R1.json").read_text())
        part = {**whole, "answers": whole["answers"][:30]}
        del part["finished"]
        (folder / "R1_rest.json").write_text(json.dumps(part))
        assert len(analysed(study, folder).readers) == 1
        part["answers"][3]["answer"] = 7 - part["answers"][3]["answer"]
        (folder / "R1_rest.json").write_text(json.dumps(part))
        with pytest.raises(UserError, match="give each reader a code of her own"):
            analysed(study, folder)

    def test_a_single_reader(self, study, tmp_path):
        found = analysed(study, write_answers(study, tmp_path / "a", [1.0]))
        assert "one reader does not show how readers differ" in mean_of(found).note
        assert found.power == ()
        assert found.between.note == "undefined: nothing was read twice"

    def test_readers_who_all_answer_the_same(self, study, tmp_path):
        folder = write_answers(study, tmp_path / "a", [1.0, 1.0])
        for path in folder.iterdir():
            content = json.loads(path.read_text())
            for answer in content["answers"]:
                answer["answer"] = 4
            path.write_text(json.dumps(content))
        found = analysed(study, folder)
        assert mean_of(found).value == 0.5
        assert result_parts(found, pictures_of(study))

    def test_restart_is_refused(self, study, tmp_path):
        config = ReaderStudyConfig(analyse=("a",), output_dir=str(study), restart=True)
        with pytest.raises(UserError, match="--restart: not with --analyse"):
            run_reader_study(config)
