"""The package of a generator: SavedModel, ONNX file, card, contact sheet."""

import dataclasses
import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cgan_tf.config import PackageConfig
from cgan_tf.data.patch_sets import PatchSet
from cgan_tf.data.records import PatchRecord
from cgan_tf.gan.card import GeneratorCard, config_of, read_card, write_card
from cgan_tf.gan.data import CLASSES, learnt_from
from cgan_tf.gan.export import convert, generate, load_generator
from cgan_tf.labels import SOURCE, UNLABELLED
from cgan_tf.pages.contact_sheets import COLUMNS, sheet_png
from cgan_tf.release.cards import (
    TASKS_IN_WORDS,
    citation,
    front_matter,
    licence_fields,
    render,
    tags_of,
    write_licence,
)
from cgan_tf.release.measured import Measured, measured_generator, number_rows
from cgan_tf.release.origin import (
    DataSource,
    Licence,
    data_source,
    open_patches,
    released_flags,
    slug_of,
)
from cgan_tf.runs.directory import write_bytes, write_json

SAVED_MODEL, ONNX, SHEET = "saved_model", "generator.onnx", "contact_sheet.png"
_ROWS = 4  # source patches on the contact sheet, with a row of draws each


def pack_generator(config: PackageConfig, directory: Path) -> str:
    """Writes the package of `config.generator` into an empty directory; returns what it holds."""
    card = read_card(config.generator)
    recorded = str(card.flags.get("patches_dir", ""))
    patches = open_patches(config, recorded, card.patches_manifest_sha256, config.generator)
    source = data_source(patches)
    measured = measured_generator(config.quality_dir, card.checksum) if config.quality_dir else None
    card = released_card(card, config)
    shutil.copytree(config.generator, directory / SAVED_MODEL)
    write_card(directory / SAVED_MODEL, card)
    onnx = write_onnx(directory, card)
    write_json(directory / "flags.json", card.flags)
    licence = Licence(card.licence)
    write_licence(directory, licence)
    if config.contact_sheet:
        write_bytes(directory / SHEET, contact_sheet(directory, patches, source, config.seed))
    title = config.title or title_of(card, source)
    write_bytes(directory / "README.md", readme(config, title, card, source, measured, onnx))
    abstract = f"A generator that {what_it_does(card)}, made from {source.name}."
    cff = citation(title, config.authors, licence, "software", abstract)
    write_bytes(directory / "CITATION.cff", cff)
    return f"the {card.task} generator of step {card.step:,}, {_formats(card, onnx)}"


def _formats(card: GeneratorCard, onnx: bool) -> str:
    if onnx:
        return "SavedModel and ONNX"
    if card.conditional:
        return "SavedModel; a conditional generator has no ONNX file"
    return "SavedModel; for an ONNX file, pip install '.[onnx]' first"


def released_card(card: GeneratorCard, config: PackageConfig) -> GeneratorCard:
    """The card without paths and, unless asked for, without the patients' digests."""
    return dataclasses.replace(
        card,
        patients=card.patients if config.list_patients else [],
        licence=config.licence or card.licence,
        flags=released_flags(card.flags),
    )


def write_onnx(directory: Path, card: GeneratorCard) -> bool:
    """Writes the ONNX file where the extra `onnx` is installed and the generator has one task."""
    missing = [name for name in ("onnx", "tf2onnx") if importlib.util.find_spec(name) is None]
    if missing or card.conditional:
        return False
    write_bytes(directory / ONNX, convert(directory / SAVED_MODEL).SerializeToString())
    return True


def contact_sheet(directory: Path, patches: PatchSet, source: DataSource, seed: int) -> bytes:
    """Rows of a source patch and what the generator makes of it with several draws of z."""
    function, card = load_generator(directory / SAVED_MODEL)
    task, rng = card.tasks[0], np.random.default_rng(seed)
    records: list[PatchRecord] = []
    for number, patch in enumerate(source_patches(patches, task, rng), 1):
        images = np.repeat(patch[None], COLUMNS - 1, axis=0)
        z = rng.uniform(-1, 1, (len(images), card.z_width)).astype(np.float32)
        made = np.clip(images + generate(function, card, task, images, z), -1, 1)
        names = [f"patch {number}", *(f"draw {draw} of z" for draw in range(1, COLUMNS))]
        records += [
            PatchRecord(f"{number} {name}", each, UNLABELLED, client_id=name)
            for name, each in zip(names, [patch, *made], strict=True)
        ]
    subtitle = "Each row: a patch, then what seven draws of z make of it, before post-processing."
    legend = f"Made on {source.name}."
    kind = "phantom: drawn tissue, no patient's" if source.phantom else "synthetic"
    return sheet_png(f"Generator: {task}, step {card.step:,} ({kind})", subtitle, records, legend)


def source_patches(patches: PatchSet, task: str, rng: np.random.Generator) -> Sequence[np.ndarray]:
    """Random patches that a generator of the task is fed, float32 [size, size] each."""
    wanted = ("train", SOURCE) if task != "removal" and patches.count("train", SOURCE) else None
    index = patches.index(*(wanted or ("train", *CLASSES[task]["source"])))
    return [index.pixels(int(number)) for number in rng.permutation(len(index))[:_ROWS]]


def what_it_does(card: GeneratorCard) -> str:
    """A generator's task in words."""
    return "; ".join(TASKS_IN_WORDS[task] for task in card.tasks)


def title_of(card: GeneratorCard, source: DataSource) -> str:
    """The title of a card that was given none."""
    return f"Contextual GAN for mammograms: {card.task}" + (" (phantom)" if source.phantom else "")


def readme(
    config: PackageConfig,
    title: str,
    card: GeneratorCard,
    source: DataSource,
    measured: Measured | None,
    onnx: bool,
) -> bytes:
    """README.md."""
    licence = Licence(card.licence)
    metrics = measured.metrics() if measured else []
    fields: dict[str, object] = {
        **licence_fields(licence),
        "library_name": "tensorflow",
        "pipeline_tag": "image-to-image",
        "tags": tags_of(source, card.task, "tensorflow", *(["onnx"] if onnx else [])),
        "datasets": [source.slug],
    }
    if metrics:
        fields["metrics"] = list(dict.fromkeys(str(each["type"]) for each in metrics))
        task = {"type": "image-to-image", "name": f"Lesions on mammogram patches: {card.task}"}
        dataset = {"type": source.slug, "name": source.name, "split": "validation and test"}
        results = [{"task": task, "dataset": dataset, "metrics": metrics}]
        fields["model-index"] = [{"name": slug_of(title), "results": results}]
    learnt = learnt_from(config_of(card))
    text = render(
        "generator.md.j2",
        women={name: count for name, count in source.women.items() if name in learnt and count},
        title=title,
        notice=config.notice,
        card=card,
        does=what_it_does(card),
        source=source,
        licence=licence,
        measured=measured,
        numbers=number_rows(measured, source.real) if measured else [],
        onnx=onnx,
        sheet=config.contact_sheet,
        patients=config.list_patients,
    )
    return f"{front_matter(fields)}\n\n{text}".encode()
