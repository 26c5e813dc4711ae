"""Readers of known ability for a study: the files that its page would save."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cgan_tf.reading.cases import LESION, TWO_ALTERNATIVES
from cgan_tf.reading.study import Key, read_key, real
from cgan_tf.runs.directory import read_json


def positive(key: Key) -> np.ndarray:
    """Of every case whether it is what is asked after; of two, the number of the synthetic one."""
    if key.question == TWO_ALTERNATIVES:
        return np.array([int(not real(case.pictures[1])) for case in key.cases])
    pictures = [case.pictures[0] for case in key.cases]
    return np.array(
        [int(p.kind != "normal" if key.question == LESION else not real(p)) for p in pictures]
    )


def answers_of(key: Key, d_prime: float, rng: np.random.Generator, hard: np.ndarray) -> np.ndarray:
    """A reader's answers to the cases: normal evidence of equal variance, half of it that of all
    readers (`hard`, [n, 2] for two pictures), and evenly spread thresholds."""
    truth = positive(key)
    noise = np.sqrt(0.5) * (hard + rng.standard_normal(hard.shape))
    if key.question == TWO_ALTERNATIVES:
        evidence = noise + d_prime * np.eye(2)[truth]
        return evidence.argmax(axis=1)
    evidence = noise[:, 0] + d_prime * (truth - 0.5)
    if key.answers == "yes_no":
        return (evidence > 0).astype(int)
    return 1 + np.searchsorted([-1.2, -0.5, 0, 0.5, 1.2], evidence)


def write_answers(
    study: Path, folder: Path, abilities: Sequence[float], seed: int = 0, finished: bool = True
) -> Path:
    """A file for each reader, R1 and so on, with these d'; every second case twice."""
    key, rng = read_key(study), np.random.default_rng(seed)
    hard = rng.standard_normal((len(key.cases), 2))
    folder.mkdir(exist_ok=True)
    for number, ability in enumerate(abilities, 1):
        own, again = (answers_of(key, ability, rng, hard) for _ in range(2))
        entries = [
            {"case": case.case, "answer": int(value), "seconds": round(float(rng.gamma(4, 2)), 2)}
            for case, value in zip(key.cases, own, strict=True)
        ]
        second = [
            {**entry, "answer": int(value), "repeat": True}
            for entry, value in zip(entries[::2], again[::2], strict=True)
        ]
        content = {
            "format": 1,
            "study": key.study,
            "reader": f"R{number}",
            "answers": entries + second,
            **({"finished": "2026-01-01T00:00:00Z"} if finished else {}),
        }
        (folder / f"R{number}.json").write_text(json.dumps(content))
    return folder


def manifest(study: Path) -> dict:
    """Of a study."""
    return read_json(study / "manifest.json")
