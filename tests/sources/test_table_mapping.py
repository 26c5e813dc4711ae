"""What a mapping may say, and the one line that each wrong one gets."""

import pytest

from beam_pipelines.rejections import Rejected
from beam_pipelines.sources.table_mapping import Value, read_mapping
from beam_pipelines.sources.table_rows import Row, text_of, words_of
from cgan_tf.runs.errors import UserError
from tests.toys.table_tree import BOX, MAPPING, ROOT


def _complaint(tmp_path, text):
    path = tmp_path / "m.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_mapping(str(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "sources").glob("*.toml")))
def test_every_ready_mapping_is_read_and_says_where_its_names_are_from(path):
    mapping = read_mapping(str(path))
    comments = path.read_text(encoding="utf-8").split("[table]")[0]
    assert all(line.startswith("#") for line in comments.strip().splitlines())
    assert mapping.patient
    for column in mapping.columns():
        assert column in comments, column


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('patient = "woman"\n', "", "[image]: missing key 'patient'"),
        ('view = "view"', 'veiw = "view"', "[image]: unknown key 'veiw'; known are patient,"),
        ('"view"', "3", "image.view: expected the name of a column, or a table of keys, found 3"),
        ('"view"', "{ colum = 'v' }", "[image.view]: unknown key 'colum'"),
        ('"view"', "{ column = 'v', constant = 'CC' }", "expected one of column, template"),
        ('"view"', "{ column = 'v', pattern = '(' }", "image.view.pattern: expected a regular"),
        ('"view"', "{ column = 'v', words = { A = 1 } }", "image.view.words.A: expected text"),
        ('M = "malignant"', 'M = "bad"', "words of pathology: expected one of malignant"),
        ('mass = "mass"', 'mass = "tumour"', "words of type: expected one of mass"),
        ("pseudonyms = false", "pseudonyms = 0", "image.pseudonyms: expected true or false"),
        ("pseudonyms = false", "bits = 40", "image.bits: expected 9 to 16, found 40"),
        ('x1 = "x1"\n', "", "box: expected x1 and y1, or width and height"),
        ("[box]", '[circle]\nx = "x"', "[circle]: unknown key 'x0'"),
        ("[box]", "[boxx]", "unknown key 'boxx'"),
        ('y1 = "y1"', 'y1 = "y1"\ny_from = "left"', "box.y_from: expected top or bottom"),
        ("[table]", "[table", "expected TOML"),
    ],
)
def test_a_wrong_mapping_gets_one_line_that_names_the_key(tmp_path, old, new, complaint):
    text = MAPPING + BOX
    assert old in text
    assert complaint in _complaint(tmp_path, text.replace(old, new, 1))


def test_a_missing_mapping_is_named(tmp_path):
    with pytest.raises(
        UserError, match=r"no.toml: expected a mapping of columns \(TOML\): No such"
    ):
        read_mapping(str(tmp_path / "no.toml"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Value(column="id"), "17"),
        (Value(constant="MLO"), "MLO"),
        (Value(template="a/{id}/{name}.png"), "a/17/mdb018 x.png"),
        (Value(column="name", per=2), "9"),
        (Value(column="name", pattern=r"mdb(\d+)"), "018"),
        (Value(column="name", pattern="x$", form="<{}>"), "<x>"),
        (Value(column="name", pattern="y", form="<{}>"), ""),
        (Value(from_path="_([0-9a-f]{4})_"), "00ff"),
        (Value(column="kind", words={"mass": "M", "*": "?"}), "M"),
        (Value(column="id", words={"mass": "M", "*": "?"}), "?"),
    ],
)
def test_values_of_a_row(value, expected):
    row = Row(2, {"id": "17.0", "name": "mdb018 x", "kind": "MASS"})
    assert text_of(value, row, "d/1_00ff_2.dcm") == expected


def test_a_cell_may_hold_a_list_of_words():
    value = Value(column="c", each="'([^']*)'", words={"mass": "mass", "no finding": "none"})
    assert words_of(value, Row(2, {"c": "['Mass', 'No Finding']"})) == ["mass", "none"]
    assert words_of(value, Row(2, {"c": "[]"})) == []
    with pytest.raises(Rejected) as caught:
        words_of(value, Row(7, {"c": "['Mass', 'Jane Doe']"}))
    assert caught.value.detail == "row 7: c"  # never the word, which may name a person
