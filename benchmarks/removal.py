"""Does removal remove? A synthetic set of cleaned patches, measured against the phantom's truth.

python -m benchmarks.removal --phantom_dir=D --patches_dir=P --cleaned_dir=C --output_dir=OUT
    [--seeds=0,1] [--compare=removed,null,oracle]

C is an output directory of synthesize, made from patches P of women whom neither the generator nor
the critic of the demo has seen:

    python -m beam_pipelines.make_phantom --flagfile=configs/demo_phantom.cfg
        --first_client=200 --clients=260 --output_dir=D
    python -m beam_pipelines.make_patches --flagfile=configs/demo_patches.cfg
        --all_in_split=train --eval_normal=0 --eval_malignant_mass=0
        --eval_malignant_calcification=0 --train_benign_mass=0 --train_benign_calcification=0
        --train_normal=2400 --train_malignant_calcification=1000 --input_dir=D --output_dir=P

and synthesize with --count=1800, so that 1,000 are learnt from. The goals:
the median share of the bright part gone is at least 80% of the true layer; a fresh small network,
trained to its plateau on at least 1,000 patches of each kind and scored on other women, tells
cleaned patches from real normals with an AUC of .70 at most; at least half of the candidates are
accepted; nothing changes farther from the annotated box than the mask's expansion and edge.

The network has no part in making the set. Beside it stand its null (normals of some women against
those of others) and the oracle (the same sources without their true layers): what a perfect removal
would get, since tissue around lesions is other tissue. Writes removal.json and sheet.png: sources,
cleaned patches, oracle.
"""

import argparse
import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from beam_pipelines.patches.windows import Augmentation, cut_patch
from beam_pipelines.phantom.breast import IMAGE_SHAPES, SPACINGS_MM
from beam_pipelines.phantom.lesions import add_layer
from cgan_tf.data.keyed import unit_hash
from cgan_tf.data.patch_sets import PatchPool, PatchSet, find_sources, whole_sets
from cgan_tf.data.records import PatchRecord
from cgan_tf.labels import NORMAL, PAPER_SIZE, scaled_length
from cgan_tf.pages.patches import mosaic, patch_levels
from cgan_tf.runs.directory import read_json, read_manifest, write_bytes, write_json
from cgan_tf.statistics.auc import auc_interval
from cgan_tf.synthesis.background import harmonic_fill

GOAL_SHARE, GOAL_AUC, GOAL_ACCEPTED, LEAST_PATCHES = 0.8, 0.7, 0.5, 1000
BATCH, LEARNING_RATE, EPOCHS, PATIENCE = 32, 1e-3, 24, 6
LEARN, VALIDATE = 0.6, 0.15  # shares of the women; the rest judge
SHOWN = 16
SATURATED, VISIBLE = 0.999, 0.01  # grey levels


@dataclasses.dataclass(frozen=True, eq=False)
class Kind:
    """Patches of one kind, float32 [n, size, size], and the woman of each, text [n]."""

    patches: np.ndarray
    patients: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Cleaned:
    """Cleaned patches, their sources and the true layers of these, float32 [n, size, size]."""

    records: list[PatchRecord]
    sources: list[PatchRecord]
    patches: np.ndarray
    before: np.ndarray
    layers: np.ndarray

    @property
    def patients(self) -> np.ndarray:
        """Text [n]."""
        return np.array([record.client_id for record in self.records])


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("phantom_dir", "patches_dir", "cleaned_dir", "output_dir"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--compare", default="removed,null,oracle")
    arguments = parser.parse_args()
    output = Path(arguments.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    manifest = read_manifest(arguments.cleaned_dir, "synthesize")
    cleaned = open_cleaned(
        arguments.cleaned_dir, PatchSet(arguments.patches_dir), Path(arguments.phantom_dir)
    )
    write_bytes(output / "sheet.png", sheet(cleaned))
    content: dict[str, Any] = {
        "patches": len(cleaned.records),
        "women": len(set(cleaned.patients.tolist())),
        "acceptance_rate": manifest["acceptance_rate"],
        "rejected": manifest["rejected"],
        "share_removed": shares(cleaned),
        "beyond_reach": beyond_reach(cleaned, manifest["flags"]),
    }
    normals = normals_of(PatchSet(arguments.patches_dir))
    for name in filter(None, arguments.compare.split(",")):
        seeds = [int(seed) for seed in arguments.seeds.split(",")]
        pair = comparison(name, cleaned, normals)
        content[f"auc_{name}"] = [fresh_auc(*pair, seed) for seed in seeds]
        print(name, json.dumps(content[f"auc_{name}"]), flush=True)
    content["met"] = met(content)
    write_json(output / "removal.json", content)
    print(json.dumps(content, indent=1))


def open_cleaned(directory: str, patches: PatchSet, phantom: Path) -> Cleaned:
    """A set of synthesize with what the phantom knows of it."""
    pool, _ = whole_sets([PatchSet(directory)])
    records = [pool.record(number) for number in range(len(pool))]
    indices, numbers = find_sources(patches, [record.source_patch_id for record in records])
    found = PatchPool(indices)
    sources = [found.record(number) for number in numbers]
    return Cleaned(
        records,
        sources,
        np.stack([record.patch for record in records]),
        np.stack([source.patch for source in sources]),
        np.stack([true_layer(source, phantom) for source in sources]),
    )


def normals_of(patches: PatchSet) -> Kind:
    """All real normal patches of the training split."""
    index = patches.index("train", NORMAL)
    records = [index.record(number) for number in range(len(index))]
    return Kind(
        np.stack([record.patch for record in records]),
        np.array([record.client_id for record in records]),
    )


def true_layer(source: PatchRecord, phantom: Path) -> np.ndarray:
    """What the phantom added to the healthy breast in a patch: float32 [size, size]."""
    image = image_layer(phantom, source.client_id, source.sop_uid, source.pixel_spacing_mm)
    left, top, side = (int(value) for value in source.window)
    augmentation = Augmentation(bool(source.flip), source.rotation, side)
    return cut_patch(image, left, top, augmentation, len(source.patch))


@functools.lru_cache(maxsize=64)
def image_layer(phantom: Path, client: str, sop: str, spacing_mm: float) -> np.ndarray:
    """The lesion layers of an image, resampled as make_patches resamples the image."""
    size = read_json(phantom / "run.json")["flags"]["image_size"]
    image = np.zeros(IMAGE_SHAPES[size], np.float32)
    with np.load(phantom / "truth" / client / f"{sop}.npz") as truth:
        for name in truth.files:
            if name.startswith("layer_"):
                corner = truth[name.replace("layer", "corner")]
                add_layer(image, truth[name].astype(np.float32), tuple(map(int, corner)))
    factor = SPACINGS_MM[size] / spacing_mm
    height, width = (round(length * factor) for length in image.shape)
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, (width, height), interpolation=way)


def bright_part(layer: np.ndarray) -> np.ndarray:
    """Where a lesion's layer [size, size] is above half of its peak; the peak without outliers."""
    return layer > np.quantile(layer[layer > VISIBLE], 0.99) / 2


def share_gone(before: np.ndarray, after: np.ndarray, layer: np.ndarray) -> float:
    """The share of the layer over its bright part that is gone: 1 all, 0 nothing, above 1 more."""
    bright = bright_part(layer)
    return float((before - after)[bright].sum() / layer[bright].sum())


def shares(cleaned: Cleaned) -> dict[str, Any]:
    """Quartiles of the share gone, of all and by class, and how often nothing like it is gone.

    Patches at the very edge of a lesion's box, which show nothing of it, have no share.
    """
    shown = [number for number, layer in enumerate(cleaned.layers) if (layer > VISIBLE).any()]
    both = np.array(
        [share_gone(cleaned.before[n], cleaned.patches[n], cleaned.layers[n]) for n in shown]
    )
    classes = np.array([cleaned.sources[n].patch_class for n in shown])
    groups = {"all": np.ones(len(both), bool)}
    groups |= {name: classes == name for name in sorted(set(classes.tolist()))}
    return {
        name: {
            "patches": int(own.sum()),
            "quartiles": np.quantile(both[own], (0.25, 0.5, 0.75)).round(3).tolist(),
            "under_a_third": float((both[own] < 1 / 3).mean()),
            "over_1.5": float((both[own] > 1.5).mean()),
        }
        for name, own in groups.items()
    }


def beyond_reach(cleaned: Cleaned, flags: dict[str, Any]) -> float:
    """Greatest change farther from the annotated box than expansion and edge, in grey levels."""
    size = len(cleaned.patches[0])
    reach = scaled_length(flags["dilation"], size)
    reach += int(4 * flags["smoothing"] * size / PAPER_SIZE + 0.5)
    worst = 0.0
    for source, after in zip(cleaned.sources, cleaned.patches, strict=True):
        x0, y0, x1, y1 = source.box
        far = np.ones_like(after, bool)
        far[
            max(0, int(np.floor(y0)) - reach) : int(np.ceil(y1)) + reach,
            max(0, int(np.floor(x0)) - reach) : int(np.ceil(x1)) + reach,
        ] = False
        worst = max(worst, float(np.abs(source.patch - after)[far].max(initial=0)))
    return worst


def comparison(name: str, cleaned: Cleaned, normals: Kind) -> tuple[Kind, Kind]:
    """The two kinds of patches that a fresh network is to tell apart."""
    if name == "removed":
        return Kind(cleaned.patches, cleaned.patients), normals
    if name == "oracle":
        return Kind(without_layers(cleaned), cleaned.patients), normals
    first = np.array([unit_hash("null", patient) < 0.5 for patient in normals.patients])
    return tuple(Kind(normals.patches[own], normals.patients[own]) for own in (first, ~first))  # type: ignore[return-value]


def without_layers(cleaned: Cleaned) -> np.ndarray:
    """The sources as they would be without their lesions, float32 [n, size, size].

    Where a lesion is at the end of the grey scale, its layer is larger than what it shows, and the
    tissue around is continued.
    """
    healthy = []
    for source, layer in zip(cleaned.before, cleaned.layers, strict=True):
        lost = (source >= SATURATED) & (layer > VISIBLE)
        healthy.append(harmonic_fill(np.clip(source - layer, -1, 1), lost))
    return np.stack(healthy).astype(np.float32)


def fresh_auc(positive: Kind, negative: Kind, seed: int) -> dict[str, Any]:
    """A new small network's AUC on women it has not seen, at its best epoch on yet others.

    Patches are flipped and turned at random while it learns. It has reached its plateau when the
    validation AUC has not risen for `PATIENCE` epochs.
    """
    patches = np.concatenate([positive.patches, negative.patches])
    patients = np.concatenate([positive.patients, negative.patients])
    labels = np.repeat([1, 0], [len(positive.patches), len(negative.patches)])
    place = np.array([unit_hash(seed, "women", patient) for patient in patients])
    learn, judge = place < LEARN, place >= LEARN + VALIDATE
    validate = ~learn & ~judge
    logits, epoch, epochs = _trained(patches, labels, learn, validate, judge, seed)
    estimate = auc_interval(labels[judge], logits, patients[judge])
    return {
        "auc": round(estimate.auc, 4),
        "low": round(estimate.low, 4),
        "high": round(estimate.high, 4),
        "learnt_from": np.bincount(labels[learn]).tolist()[::-1],
        "judged": np.bincount(labels[judge]).tolist()[::-1],
        "judging_women": len(set(patients[judge].tolist())),
        "best_epoch": epoch,
        "epochs": epochs,
    }


def _trained(
    patches: np.ndarray,
    labels: np.ndarray,
    learn: np.ndarray,
    validate: np.ndarray,
    judge: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, int, int]:
    """(logits of the judged patches at the best epoch, that epoch, epochs trained)."""
    from cgan_tf.models.keras_setup import keras
    from cgan_tf.models.small import SmallClassifier
    from cgan_tf.statistics.auc import exact_auc

    keras.utils.set_random_seed(seed)
    model, rng = SmallClassifier(), np.random.default_rng(seed)
    step = _step_of(model, keras.optimizers.Adam(LEARNING_RATE))
    best, logits, best_epoch = -1.0, np.zeros(0), 0
    for epoch in range(1, EPOCHS + 1):
        order = _balanced(rng, labels, np.flatnonzero(learn))
        for start in range(0, len(order) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            batch = np.stack([_turned(rng, patches[n]) for n in chosen])
            step(batch[..., None], labels[chosen].astype(np.float32))
        auc = exact_auc(labels[validate], _scores(model, patches[validate]))
        if auc > best:
            best, best_epoch, logits = auc, epoch, _scores(model, patches[judge])
        if epoch - best_epoch >= PATIENCE:
            break
    return logits, best_epoch, epoch


def _step_of(model: Any, optimizer: Any) -> Callable[[np.ndarray, np.ndarray], Any]:
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def step(batch: Any, wanted: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(
                tf.nn.sigmoid_cross_entropy_with_logits(wanted, model(batch, training=True))
            )
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return step


def _balanced(rng: np.random.Generator, labels: np.ndarray, learn: np.ndarray) -> np.ndarray:
    """An epoch: as many of each kind as the rarer one has, in random order."""
    kinds = [rng.permutation(learn[labels[learn] == kind]) for kind in (0, 1)]
    size = min(map(len, kinds))
    return rng.permutation(np.concatenate([kind[:size] for kind in kinds]))


def _turned(rng: np.random.Generator, patch: np.ndarray) -> np.ndarray:
    turned = np.rot90(patch, rng.integers(4))
    return turned[:, ::-1] if rng.integers(2) else turned


def _scores(model: Any, patches: np.ndarray) -> np.ndarray:
    starts = range(0, len(patches), 256)
    return np.concatenate([model.infer(patches[s : s + 256, ..., None])[0].numpy() for s in starts])


def met(content: dict[str, Any]) -> dict[str, bool]:
    """Which goals are met; those that were not measured are left out."""
    goals = {
        "share": content["share_removed"]["all"]["quartiles"][1] >= GOAL_SHARE,
        "accepted": content["acceptance_rate"] >= GOAL_ACCEPTED,
        "near": content["beyond_reach"] == 0,
    }
    if "auc_removed" in content:
        runs = content["auc_removed"]
        enough = all(min(run["learnt_from"]) >= LEAST_PATCHES for run in runs)
        goals["indistinct"] = enough and float(np.mean([run["auc"] for run in runs])) <= GOAL_AUC
    return goals


def sheet(cleaned: Cleaned) -> bytes:
    """Rows of sources, of cleaned patches and of the oracle, as PNG."""
    chosen = np.linspace(0, len(cleaned.records) - 1, SHOWN).astype(int)
    before, after = cleaned.before[chosen], cleaned.patches[chosen]
    shown = Cleaned([], [], after, before, cleaned.layers[chosen])
    rows = np.concatenate([before, after, without_layers(shown)])
    framed = np.pad(patch_levels(rows), ((0, 0), (1, 1), (1, 1)))
    return cv2.imencode(".png", mosaic(framed, SHOWN))[1].tobytes()


if __name__ == "__main__":
    main()
