"""Does a phantom leave room? Test AUC of a classifier over the women whose lesions it learns from.

python -m benchmarks.phantom_room --phantom_dir=D --patches_dir=P --output_dir=OUT
    [--flagfile=configs/small_classifier.cfg] [--women=20,200] [--seeds=0,1,2,3,4]

For every seed the training women with malignant lesions are put in an order, and for every number
the first so many keep their lesions. Normal (and benign) patches stay, and so do the number of
samples seen, the validation and the test set. Each run is one of train_classifier and evaluate; a
finished one is not repeated. The goal: an AUC of .80 to .86 at 40 women or fewer, at least .05 more
at ten times as many, on at least 400 test women, and no lesion without contrast above the noise.

Writes room.csv (a row a run), room.json (means, gain, verdict) and room.png: the learning curve
and the contrast of the lesions over the noise of a pixel.
"""

import argparse
import csv
import dataclasses
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from beam_pipelines.phantom.breast import QUANTUM_NOISE, SPACINGS_MM
from beam_pipelines.phantom.lesions import VISIBLE
from cgan_tf.classifier.inputs import ClassifierSets, open_sets
from cgan_tf.config import ClassifierConfig, EvaluateConfig
from cgan_tf.pages.style import mark_as_phantom, png
from cgan_tf.runs.directory import MANIFEST_FILE, open_run, read_json, write_bytes, write_json
from cgan_tf.runs.flags import config_from_file
from cgan_tf.runs.machine import resolve_threads

POSITIVE = 1  # of mixing.STREAM_NAMES
GOAL = (0.80, 0.86)
GAIN = 0.05
FEW, TEST_WOMEN = 40, 400


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One classifier on the test split."""

    women: int
    seed: int
    patches: int
    auc: float
    auc_mass: float
    auc_calcification: float
    best_samples: int
    test_women: int


def main() -> None:
    """Trains what is missing, prints and writes what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phantom_dir", required=True)
    parser.add_argument("--patches_dir", required=True)
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--flagfile", default="configs/small_classifier.cfg")
    parser.add_argument("--women", default="20,200")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--threads", type=int, default=1, help="0: every core")
    arguments = parser.parse_args()
    root = Path(arguments.output_dir)
    root.mkdir(parents=True, exist_ok=True)
    outcomes = []
    for seed in _numbers(arguments.seeds):
        for women in _numbers(arguments.women):
            outcomes.append(_outcome(arguments, root / f"seed-{seed}" / f"women-{women}", women))
            _write_rows(root / "room.csv", outcomes)
    summary = summarised(outcomes)
    noise = contrast_to_noise(Path(arguments.phantom_dir))
    summary |= {"least_contrast_to_noise": float(noise.min())}
    write_json(root / "room.json", summary)
    write_bytes(root / "room.png", picture(outcomes, noise))
    print(json.dumps(summary, indent=1))


def _outcome(arguments: argparse.Namespace, directory: Path, women: int) -> Outcome:
    """Trains and evaluates one classifier, unless that is done."""
    from cgan_tf.classifier.evaluation import evaluate

    seed = int(directory.parent.name.removeprefix("seed-"))
    config = dataclasses.replace(
        config_from_file(ClassifierConfig, arguments.flagfile),
        patches_dir=arguments.patches_dir,
        output_dir=str(directory / "classifier"),
        seed=seed,
        intra_op_threads=arguments.threads,
        inter_op_threads=arguments.threads,
    )
    patches = _train(config, women)
    evaluation = directory / "evaluation"
    if not (evaluation / MANIFEST_FILE).exists():
        evaluate(
            EvaluateConfig(
                classifier=config.output_dir,
                patches_dir=config.patches_dir,
                output_dir=str(evaluation),
                grad_cams=0,
            )
        )
    metrics = read_json(evaluation / "metrics.json")
    manifest = read_json(Path(config.output_dir) / MANIFEST_FILE)
    return Outcome(
        women=women,
        seed=seed,
        patches=patches,
        auc=metrics["auc"]["overall"]["auc"],
        auc_mass=metrics["auc"]["mass"]["auc"],
        auc_calcification=metrics["auc"]["calcification"]["auc"],
        best_samples=manifest["best_samples"],
        test_women=metrics["clients"],
    )


def _train(config: ClassifierConfig, women: int) -> int:
    """Runs train_classifier on the lesions of so many women; returns the number of patches."""
    from cgan_tf.classifier.training import ClassifierTraining

    manifest = Path(config.output_dir) / MANIFEST_FILE
    if not manifest.exists():
        sets = with_lesions_of(open_sets(config), women, config.seed)
        training = ClassifierTraining(config, sets, resolve_threads(config, config.output_dir))
        with open_run(config.output_dir, "train_classifier", config) as run:
            training.run(run.directory)
    return int(read_json(manifest)["patches"]["real positive"])


def with_lesions_of(sets: ClassifierSets, women: int, seed: int) -> ClassifierSets:
    """The sets with malignant patches of `women` women: the first of an order keyed by the seed."""
    pool = sets.streams[POSITIVE]
    owners = np.array([record.client_id for record in pool.descriptions()])
    known = np.unique(owners)
    if women > len(known):
        raise SystemExit(f"--women: expected at most {len(known)}, found {women}")
    chosen = np.random.default_rng(seed).permutation(known)[:women]
    kept = pool.subset(np.flatnonzero(np.isin(owners, chosen)))
    streams = tuple(kept if n == POSITIVE else s for n, s in enumerate(sets.streams))
    names = hashlib.sha256("|".join(sorted(chosen)).encode()).hexdigest()
    return dataclasses.replace(
        sets, streams=streams, checksums=sets.checksums | {"real positive": names}
    )


def summarised(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Mean and deviation over the seeds by number of women, the gain, and whether it is enough."""
    curve = {}
    for women in sorted({outcome.women for outcome in outcomes}):
        found = np.array([outcome.auc for outcome in outcomes if outcome.women == women])
        spread = float(found.std(ddof=1)) if len(found) > 1 else None
        curve[women] = {"auc": float(found.mean()), "deviation": spread, "seeds": len(found)}
    test_women = min(outcome.test_women for outcome in outcomes)
    pairs = {
        women: curve[10 * women]["auc"] - curve[women]["auc"]
        for women in curve
        if women <= FEW and 10 * women in curve
    }
    met = [
        women
        for women, gain in pairs.items()
        if GOAL[0] <= curve[women]["auc"] <= GOAL[1] and gain >= GAIN
    ]
    return {
        "curve": curve,
        "gain_of_ten_times_the_women": pairs,
        "test_women": test_women,
        "met": bool(met) and test_women >= TEST_WOMEN,
    }


def contrast_to_noise(phantom: Path) -> np.ndarray:
    """Of every malignant lesion of a view: root mean square contrast of its visible part, over the
    noise of a pixel."""
    spacing = SPACINGS_MM[read_json(phantom / "run.json")["flags"]["image_size"]]
    with (phantom / "truth" / "lesions.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["pathology"] == "malignant"]
    found = []
    for row in rows:
        with np.load(phantom / "truth" / row["client"] / f"{row['sop']}.npz") as truth:
            layer = truth[f"layer_{row['place']}"].astype(np.float32)
        visible = layer[layer > min(VISIBLE, 0.25 * float(layer.max()))]
        noise = float(row.get("noise") or QUANTUM_NOISE * (0.28 / spacing) ** 0.6)
        found.append(float(np.sqrt((visible**2).mean())) / noise)
    return np.array(found)


def picture(outcomes: Sequence[Outcome], noise: np.ndarray) -> bytes:
    """The learning curve, a point a run, and the contrast-to-noise of the lesions, as PNG."""
    figure = Figure(figsize=(7.5, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    women = np.array([outcome.women for outcome in outcomes])
    for name, label in (
        ("auc", "all"),
        ("auc_mass", "masses"),
        ("auc_calcification", "calcifications"),
    ):
        values = np.array([getattr(outcome, name) for outcome in outcomes])
        places = np.unique(women)
        means = [values[women == place].mean() for place in places]
        line = left.plot(places, means, label=label, linewidth=2 if name == "auc" else 1)[0]
        if name == "auc":
            left.plot(women, values, "o", markersize=3, alpha=0.5, color=line.get_color())
    left.axhspan(*GOAL, alpha=0.1, color="grey")
    left.set_xscale("log")
    left.set_xticks(np.unique(women), [str(place) for place in np.unique(women)])
    left.minorticks_off()
    left.set_xlabel("women whose lesions are learnt from")
    left.set_ylabel("test AUC")
    left.legend(frameon=False)
    right.hist(noise, np.geomspace(0.5, 60, 30))
    right.set_xscale("log")
    right.set_xticks((1, 3, 10, 30), ("1", "3", "10", "30"))
    right.minorticks_off()
    right.axvline(1, color="grey", linestyle=":")
    right.set_xlabel("contrast / noise of a pixel")
    right.set_ylabel("lesions")
    mark_as_phantom(figure)
    return png(figure)


def _write_rows(path: Path, outcomes: Sequence[Outcome]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(Outcome)])
    writer.writeheader()
    writer.writerows(dataclasses.asdict(outcome) for outcome in outcomes)
    write_bytes(path, text.getvalue().encode())


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
