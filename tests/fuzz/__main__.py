"""Coverage-guided fuzzing of the DICOM or the JSON reader.

    python -m tests.fuzz dicom [--seconds=1800] [--directory=fuzz]    # needs the extra fuzz

DIRECTORY/dicom/corpus keeps what reaches new code, for the next time; whatever breaks a promise of
`targets` is written to DIRECTORY/dicom/found/ and ends the program with another exit code than 0.
A file may take `SECONDS_A_FILE` seconds, the process `MEGABYTES`.
"""

import argparse
import json
import random
import sys
from pathlib import Path

import atheris

from tests.fuzz import targets
from tests.fuzz.seeds import SEPARATOR, dicom_files, json_seeds
from tests.toys.random_damage import change_value

with atheris.instrument_imports(
    include=["beam_pipelines", "pydicom"], enable_loader_override=False
):
    from tests.fuzz import targets


SECONDS_A_FILE, MEGABYTES = 10, 1024
LONGEST = {"dicom": 8192, "json": 8192}  # bytes


def main() -> None:
    """Runs libFuzzer; does not come back."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=("dicom", "json"))
    parser.add_argument("--seconds", type=int, default=1800)
    parser.add_argument("--directory", type=Path, default=Path("fuzz"))
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    root = arguments.directory / arguments.target
    for name in ("corpus", "found"):
        (root / name).mkdir(parents=True, exist_ok=True)
    seeds = dicom_files() if arguments.target == "dicom" else json_seeds()
    for number, content in enumerate(seeds.values()):
        (root / "corpus" / f"seed-{number:02d}").write_bytes(content)
    options = [
        *(sys.argv[0], str(root / "corpus"), f"-artifact_prefix={root / 'found'}/"),
        *(f"-max_total_time={arguments.seconds}", f"-seed={arguments.seed}"),
        *(f"-timeout={SECONDS_A_FILE}", f"-rss_limit_mb={MEGABYTES}"),
        *(f"-max_len={LONGEST[arguments.target]}", "-print_final_stats=1"),
    ]
    if arguments.target == "dicom":
        atheris.Setup(options, targets.read_dicom)
    else:
        atheris.Setup(options, targets.read_client, custom_mutator=mutate_documents)
    atheris.Fuzz()


def mutate_documents(data: bytes, longest: int, seed: int) -> bytes:
    """Changes one value or name of one document; bytes at random where there is no JSON."""
    rng = random.Random(seed)
    parts = data.split(SEPARATOR, 2)
    place = rng.randrange(len(parts))
    try:
        content = json.loads(parts[place])
        if rng.random() < 0.25 or not isinstance(content, dict | list) or not content:
            raise ValueError
        for _ in range(rng.randrange(1, 4)):
            change_value(content, rng)
        parts[place] = json.dumps(content).encode()
    except (ValueError, RecursionError):
        parts[place] = bytes(atheris.Mutate(parts[place], max(64, len(parts[place]))))
    return SEPARATOR.join(parts)[:longest]


if __name__ == "__main__":
    main()
