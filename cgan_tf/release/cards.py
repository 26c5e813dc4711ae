"""README.md of a package: front matter as model hubs read it, and a card for a stranger."""

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path

import jinja2

from cgan_tf import __version__
from cgan_tf.release.origin import PAPER, SOFTWARE, DataSource, Licence
from cgan_tf.runs.directory import write_bytes

_PACKAGE = "cgan_tf.release"
TASKS_IN_WORDS = {
    "mass": "adds malignant masses to healthy tissue",
    "calcification": "adds malignant calcifications to healthy tissue",
    "removal": "takes malignant lesions out of tissue",
}


def render(template: str, **values: object) -> str:
    """A template of assets/ as text; `jinja2.UndefinedError` for a value that is not there."""
    text = _environment().get_template(template).render(values)
    return "\n".join(line.rstrip() for line in text.split("\n")).strip() + "\n"


@functools.cache
def _environment() -> jinja2.Environment:
    def load(name: str) -> str:
        return resources.files(_PACKAGE).joinpath("assets", name).read_text(encoding="utf-8")

    return jinja2.Environment(
        loader=jinja2.FunctionLoader(load),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # Markdown, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
    )


def front_matter(values: Mapping[str, object]) -> str:
    """YAML between two lines of hyphens."""
    return "\n".join(["---", *_yaml_lines(values), "---"])


def to_yaml(values: Mapping[str, object]) -> bytes:
    """Mappings, lists and scalars as YAML in block style."""
    return ("\n".join(_yaml_lines(values)) + "\n").encode()


def _yaml_lines(value: object, indent: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _entry(f"{indent}{key}:", item, indent + "  ")
    elif isinstance(value, list | tuple):
        for item in value:
            if isinstance(item, Mapping):
                first, *rest = _yaml_lines(item, indent + "  ")
                yield f"{indent}- {first.strip()}"
                yield from rest
            else:
                yield f"{indent}- {_scalar(item)}"


def _entry(heading: str, item: object, indent: str) -> Iterator[str]:
    if isinstance(item, Mapping | list | tuple) and item:
        yield heading
        yield from _yaml_lines(item, indent)
    else:
        yield f"{heading} {_scalar(item)}"


def _scalar(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)  # JSON is YAML, but for 1e-05, which is a text
    if isinstance(value, float) and "e" in text and "." not in text:
        return text.replace("e", ".0e")
    return text


def licence_fields(licence: Licence) -> dict[str, object]:
    """`license`, with a name and the file LICENSE for one that hubs do not know."""
    fields: dict[str, object] = {"license": licence.hub}
    if licence.hub == "other":
        fields |= {"license_name": licence.name, "license_link": "LICENSE"}
    return fields


def write_licence(directory: Path, licence: Licence) -> None:
    """LICENSE of a licence that hubs do not know, which front matter links."""
    if licence.hub == "other":
        write_bytes(directory / "LICENSE", f"{licence.name}\n".encode())


def tags_of(source: DataSource, task: str, *more: str) -> list[str]:
    """Tags of both kinds of package."""
    tags = ["mammography", "breast-cancer", "synthetic-data", "gan", "medical", "research-only"]
    return [*tags, task, *more, *(["phantom"] if source.phantom else [])]


def citation(
    title: str, authors: Sequence[str], licence: Licence, kind: str, abstract: str
) -> bytes:
    """CITATION.cff; `kind`: software or dataset."""
    values: dict[str, object] = {
        "cff-version": "1.2.0",
        "message": "If you use this, please cite it, the paper and the software that made it.",
        "type": kind,
        "title": title,
        "abstract": abstract,
        "authors": [_author(each) for each in authors] or [{"name": "Authors not stated"}],
    }
    if licence.name and licence.hub != "other":
        values["license"] = licence.name
    values["references"] = [
        {
            "type": "article",
            "title": "Synthesizing lesions using contextual GANs improves breast cancer "
            "classification on mammograms",
            "authors": [
                {"family-names": "Wu", "given-names": "Eric"},
                {"family-names": "Wu", "given-names": "Kevin"},
                {"family-names": "Lotter", "given-names": "William"},
            ],
            "year": 2020,
            "url": PAPER,
        },
        {
            "type": "software",
            "title": SOFTWARE,
            "version": __version__,
            "authors": [{"name": f"The {SOFTWARE} maintainers"}],
        },
    ]
    return to_yaml(values)


def _author(text: str) -> dict[str, str]:
    family, comma, given = (part.strip() for part in text.partition(","))
    return {"family-names": family, "given-names": given} if comma and given else {"name": text}
