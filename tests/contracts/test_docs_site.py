"""The documentation as a site: it builds strictly, without a network, and holds every document."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="the extra dev is older than the site")

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs" / "site_hooks.py")
site_hooks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(site_hooks)
SITE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/results.md")


def built(target: Path, config: Path = ROOT / "mkdocs.yml") -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict"]  # --quiet counts no warning
    command += [f"--config-file={config}", f"--site-dir={target}"]
    offline = {"http_proxy": "http://0.0.0.0:9", "https_proxy": "http://0.0.0.0:9"}
    environment = {**os.environ, **offline, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    target = tmp_path_factory.mktemp("site")
    done = built(target)
    assert done.returncode == 0, done.stderr
    return target


def text_of(page: Path) -> str:
    return re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8"))


def test_every_document_is_a_page(site):
    names = {str(p.relative_to(site).with_suffix(".md")) for p in site.rglob("*.html")}
    documents = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    assert documents | {site_hooks.MOVED[name] for name in SITE} <= names
    assert "make demo" in text_of(site / "index.html")


def test_the_reference_has_every_name_and_its_words(site):
    import beam_pipelines
    import cgan_tf

    for package in (cgan_tf, beam_pipelines):
        page = (site / "reference" / f"{package.__name__}.html").read_text(encoding="utf-8")
        missing = [name for name in package.__all__ if not re.search(rf'id="[\w.]*\.{name}"', page)]
        assert missing == []
    assert "float32 [n, size, size] in [-1, 1]" in text_of(site / "reference" / "cgan_tf.html")


def test_pages_fetch_nothing_from_elsewhere(site):
    fetched = re.compile(r'<(?:script|img|iframe)[^>]+src="https?:|<link[^>]+href="https?:')
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25
    assert [page.name for page in pages if fetched.search(page.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    ("origin", "uri", "text", "expected"),
    [
        ("README.md", "index.md", "[a](docs/data.md#b)", "[a](data.md#b)"),
        ("README.md", "index.md", "[`docs/`](docs/decisions)", "[`docs/`](decisions/index.md)"),
        ("README.md", "index.md", "[`c`](cgan_tf/config.py), d", "`c`, d"),
        ("README.md", "index.md", "![p](docs/images/figure1.png)", "![p](images/figure1.png)"),
        ("docs/python.md", "python.md", "[n](../notebooks/lesions.ipynb)",
         "[n](notebooks/lesions.ipynb)"),
        ("docs/decisions/data.md", "decisions/data.md", "[a](../data.md) [b](demo.md)",
         "[a](../data.md) [b](demo.md)"),
        ("benchmarks/results.md", "benchmarks.md", "![g](growth/report.png)",
         "![g](benchmarks/growth/report.png)"),
        ("README.md", "index.md", "```\n[a](docs/data.md)\n```", "```\n[a](docs/data.md)\n```"),
        ("README.md", "index.md", "[a](docs/none.md)", "[a](docs/none.md)"),
    ],
)  # fmt: skip
def test_links_lead_to_pages_or_are_text(origin, uri, text, expected):
    assert site_hooks.linked(text, origin, uri) == expected


def test_a_link_leads_into_the_repository_where_it_has_an_address(monkeypatch):
    project = {"urls": {"Source": "https://forge.example/o/p"}}
    monkeypatch.setattr(site_hooks, "_project", lambda: project)
    found = site_hooks.linked("[c](cgan_tf/config.py)", "README.md", "index.md")
    assert found == "[c](https://forge.example/o/p/blob/main/cgan_tf/config.py)"


def test_a_broken_link_fails_the_build(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# A\n\n[b](none.md) [c](#nowhere)\n")
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    links = settings[settings.index("validation:") : settings.index("nav:\n  -")]
    (tmp_path / "mkdocs.yml").write_text(f"site_name: x\ntheme: mkdocs\n{links}")
    done = built(tmp_path / "out", tmp_path / "mkdocs.yml")
    assert done.returncode == 1
    assert "none.md" in done.stderr
    assert "#nowhere" in done.stderr
