"""What mkdocs does besides: pages from outside docs/, the reference, links as a site needs them.

The documents are written for a reader of the repository, where they link to one another and to
files. On the site a link to a document leads to its page. A link to any other file leads into the
public repository, if pyproject.toml has its address (`Source` of project.urls), and else is text.
"""

import posixpath
import re
import tomllib
from pathlib import Path

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
# Documents outside of docs/, and where they are on the site.
MOVED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/results.md": "benchmarks.md",
    "docs/decisions": "decisions/index.md",
}
COPIED = ("benchmarks/growth/*.png", "notebooks/*.ipynb")  # under the same name
# A fenced block of code, or a link (picture, text, path, anchor) into the repository.
LINK = re.compile(
    r"^```.*?^```|(!?)\[([^\]]*)\]\((?!https?:|#)([^)\s#]+)(#[^)\s]+)?\)", re.M | re.S
)
INSIDE = (
    "cgan_tf.labels", "cgan_tf.data.records", "cgan_tf.data.patch_sets", "cgan_tf.gan.losses",
    "cgan_tf.gan.schedules", "cgan_tf.gan.card", "cgan_tf.models.layers",
    "cgan_tf.synthesis.postprocess", "cgan_tf.statistics.auc", "cgan_tf.assessment.base",
    "beam_pipelines.rejections", "beam_pipelines.sources.base", "beam_pipelines.dicom.reading",
)  # fmt: skip
REFERENCE = {
    "reference/cgan_tf.md": "# cgan_tf\n\n::: cgan_tf.api\n    options:\n"
    "      show_root_heading: false\n      show_root_toc_entry: false\n",
    "reference/beam_pipelines.md": "# beam_pipelines\n\n::: beam_pipelines.api\n    options:\n"
    "      show_root_heading: false\n      show_root_toc_entry: false\n",
    "reference/inside.md": "# Inside\n\nModules that a loss, a source or a measure of your own is "
    "written against; see [Contributing](../contributing.md). They may change with a line in the "
    "changelog.\n\n"
    + "\n".join(f"::: {name}\n    options:\n      show_root_full_path: true\n" for name in INSIDE),
}


def on_files(files: Files, config) -> Files:
    """Adds the pages that are not in docs/."""
    decisions = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    pages = {
        "decisions/index.md": "# Decisions\n\nWhere the paper is silent or contradicts itself, and "
        "what was chosen.\n\n" + "\n".join(f"- [{_title(p)}]({p.name})" for p in decisions),
        **REFERENCE,
        **{to: _text(name) for name, to in MOVED.items() if name.endswith(".md")},
    }
    for uri, content in pages.items():
        files.append(File.generated(config, uri, content=content))
    for pattern in COPIED:
        for path in ROOT.glob(pattern):
            uri = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page, config, files: Files) -> str:
    """The text of a page with its links as the site has them."""
    origins = {to: name for name, to in MOVED.items()}
    uri = page.file.src_uri
    if uri in REFERENCE or uri == "decisions/index.md":
        return markdown
    return linked(markdown, origins.get(uri, f"docs/{uri}"), uri)


def linked(markdown: str, origin: str, uri: str) -> str:
    """`markdown` of the repository's file `origin` as the site's page `uri`."""

    def link(match: re.Match[str]) -> str:
        picture, text, path, anchor = match.groups()
        if path is None:  # code
            return match[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
        if not (ROOT / target).exists():
            return match[0]  # mkdocs tells it
        to = _on_site(target)
        if to:
            relative = posixpath.relpath(to, posixpath.dirname(uri) or ".")
            return f"{picture}[{text}]({relative}{anchor or ''})"
        source = _project().get("urls", {}).get("Source", "")
        return f"[{text}]({source}/blob/main/{target})" if source else text

    return LINK.sub(link, markdown)


def _on_site(target: str) -> str:
    if target in MOVED:
        return MOVED[target]
    if any(Path(target).match(pattern) for pattern in COPIED):
        return target
    return target.removeprefix("docs/") if target.startswith("docs/") else ""


def _project() -> dict:
    return tomllib.loads(_text("pyproject.toml"))["project"]


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _title(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
