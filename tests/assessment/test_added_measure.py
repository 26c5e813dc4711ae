"""A measure that is added by a class and a place in the tuple: it is seen everywhere."""

import dataclasses
import html as python_html
import json
from collections.abc import Iterator, Mapping, Sequence

import pytest

from cgan_tf.assessment.base import Check, Measure, Row
from cgan_tf.assessment.measures import MEASURES
from cgan_tf.assessment.reading import PatchView, Readings
from cgan_tf.assessment.results import read_results
from cgan_tf.assessment.run import measure_quality
from cgan_tf.config import QualityConfig
from cgan_tf.pages import html
from cgan_tf.pages.html import Table
from cgan_tf.reporting.quality import quality
from cgan_tf.runs.errors import UserError
from tests.toys import quality_sets


@dataclasses.dataclass(frozen=True)
class Peaks:
    """Greatest grey levels of the synthetic and of the real patches."""

    synthetic: float
    real: float | None


class PeakMeasure(Measure[Peaks]):
    """Is any synthetic patch brighter than all real ones?"""

    name = "peaks"
    verdict_rank = -1  # before all others

    def patch_values(self, view: PatchView) -> Mapping[str, float]:
        return {"peak": float(view.patch.max())}

    def compute(self, readings: Readings) -> Peaks:
        ours, real = (
            each.values("peak").columns["peak"] for each in (readings.synthetic, readings.real)
        )
        return Peaks(float(ours.max()), float(real.max()))

    def verdict(self, values: Peaks, task: str) -> Sequence[Check]:
        text = f"{values.synthetic:.2f} of a {task}, real {values.real:.2f}"
        return [Check("too bright a patch", values.synthetic > values.real, text)]

    def rows(self, values: Peaks) -> Iterator[Row]:
        yield Row("peaks", "greatest", values.synthetic, values.real)

    def tables(self, values: Peaks, task: str) -> Sequence[Table]:
        return [Table("peaks", ("Peaks", "Synthetic"), [("Greatest", f"{values.synthetic:.2f}")])]


MORE = (*MEASURES, PeakMeasure())


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Of a set with one patch at the end of the grey scale."""
    root = tmp_path_factory.mktemp("added")
    patches = quality_sets.write_patches(root / "patches", lesions=24)

    def brighter(patch):
        changed = patch.copy()
        changed[0, 0] = 1.0
        return changed

    masses = quality_sets.write_masses(root / "mass", patches, quality_sets.honest, brighter)
    config = QualityConfig(
        patches_dir=str(patches),
        synthetic_dirs=(str(masses),),
        output_dir=str(root / "q"),
        splits=1,
    )
    measure_quality(config, MORE)
    return root / "q"


LINE = "too bright a patch: 1.00 of a mass, real 0."


def test_it_is_in_quality_json_and_comes_back(directory):
    content = json.loads((directory / "quality.json").read_text(encoding="utf-8"))["sets"]["mass"]
    assert content["peaks"]["synthetic"] == 1.0
    assert content["checks"][0]["name"] == "too bright a patch"
    values = read_results(directory / "quality.json", MORE)["mass"].of(PeakMeasure())
    assert values == Peaks(**content["peaks"])
    assert 0 < values.real < 1


def test_it_is_in_the_tables(directory):
    text = (directory / "quality.md").read_text(encoding="utf-8")
    assert f"- seen: {LINE}" in text
    assert "| peaks | greatest | 1 | 0." in text
    assert "\nmass,peaks,greatest,1.0,0." in (directory / "quality.csv").read_text(encoding="utf-8")


def test_it_is_in_the_report(directory):
    results = read_results(directory / "quality.json", MORE)
    section = quality(results, str(directory), MORE)
    parts = [each for part in section.parts for each in (part, *getattr(part, "parts", ()))]
    (table,) = (part for part in parts if getattr(part, "name", "") == "quality_mass_peaks")
    assert table.rows == [("Greatest", "1.00")]
    page = python_html.unescape(html.page("", "", [section]))
    name, told = LINE.split(": ")
    assert name in page
    assert told in page


def test_those_who_do_not_know_it_read_the_rest(directory):
    assert "peaks" not in read_results(directory / "quality.json")["mass"].values


def test_a_file_from_before_it_is_named(directory, tmp_path):
    content = json.loads((directory / "quality.json").read_text(encoding="utf-8"))
    del content["sets"]["mass"]["peaks"]
    (tmp_path / "quality.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match=r"quality.json: expected the key 'sets.mass.peaks'"):
        read_results(tmp_path / "quality.json", MORE)
