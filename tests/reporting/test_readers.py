"""The report's section on a reader study: before and after anyone has read."""

import pytest

from cgan_tf.pages.html import Links, Plot, Table
from cgan_tf.reading.analysis import analyse
from cgan_tf.reading.answers import read_answers
from cgan_tf.reading.study import read_key
from cgan_tf.reporting.page import table_csv
from cgan_tf.reporting.readers import section
from cgan_tf.runs.dataclass_json import to_json
from cgan_tf.runs.directory import write_json
from cgan_tf.runs.errors import UserError
from tests.toys.reader_study import write_sets, write_study
from tests.toys.readers import write_answers
from tests.toys.report import report_inputs


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = write_sets(tmp_path_factory.mktemp("sets"), ("mass",))
    return write_study(root, root / "a study", kinds=("mass",))


def inputs_of(study, **flags):
    return report_inputs(
        reader_study_dir=str(study), output=str(study.parent / "out" / "report.html"), **flags
    )


def link_of(found) -> str:
    (links,) = [part for part in found.parts if isinstance(part, Links)]
    return links.targets[0][1]


def test_without_a_study_there_is_no_section():
    assert section(report_inputs()) is None


def test_another_programs_directory_is_refused(study):
    with pytest.raises(UserError, match="expected a manifest of reader_study"):
        section(inputs_of(study.parent / "real"))


def test_before_anyone_has_read_it_links_the_page(study):
    found = section(inputs_of(study))
    assert found.title == "Reader study"
    assert "nobody's answers" in found.parts[0].text
    assert link_of(found) == "../a%20study/study.html"


def test_with_answers_it_shows_them(study, tmp_path):
    answers = write_answers(study, tmp_path / "a", (0.5, 1.5, 1.0))
    key = read_key(study)
    (study / "analysis").mkdir()
    analysis = analyse(key, read_answers([str(answers)], key))
    write_json(study / "analysis" / "results.json", to_json(analysis))
    found = section(inputs_of(study))
    tables = {part.name: part for part in found.parts if isinstance(part, Table)}
    assert [row[0] for row in tables["reader_study_readers"].rows] == ["R1", "R2", "R3"]
    assert table_csv(tables["reader_study_panel"]).startswith(b"test,varies,value,error")
    plots = [part.name for part in found.parts if isinstance(part, Plot)]
    assert plots == ["reader_study_readers", "reader_study_cases"]
    assert link_of(found) == "../a%20study/study.html"
