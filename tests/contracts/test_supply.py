"""What gets installed: pinned, and under licences that leave the user free."""

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = "contextual-gan-mammography"
EXTRAS = (
    "demo",
    "onnx",
    "sr",
    "detector",
    "dev",
    "fuzz",
)  # cuda and gcp are for machines that tests do not run on
INSTALLERS = {"pip", "setuptools", "wheel"}  # come with the environment
# By SPDX, and how older metadata write the same. A library under MPL-2.0 may be used by anything.
ALLOWED = (
    r"apache(-2\.0| 2\.0| license,? (version )?2\.0| software license)?",
    r"bsd|(bsd[- ][23][- ]clause|3-clause bsd)( license)?|bsd license|0bsd",
    r"mit|mit-0|mit license|mit-cmu|isc|zlib|cc0-1\.0",
    r"psf-2\.0|python software foundation license",
    r"mpl-2\.0|mozilla public license 2\.0( \(mpl 2\.0)?",
)
# Their metadata say nothing; their repositories do.
TOLD_ELSEWHERE = {"namex": "Apache-2.0", "atheris": "Apache-2.0", "mlcroissant": "Apache-2.0"}


def reachable(name: str, extras: tuple[str, ...] = ()) -> dict[str, Distribution]:
    """Every installed distribution that a requirement leads to, by normalised name."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    queue = [(canonicalize_name(name), extra) for extra in ("", *extras)]
    while queue:
        name, extra = queue.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # of an extra that is not installed
            continue
        for text in found[name].requires or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                wanted = canonicalize_name(requirement.name)
                queue += [(wanted, part) for part in ("", *requirement.extras)]
    return found


def licences(installed: Distribution) -> list[str]:
    """The licences of a distribution, as its metadata name them; alternatives are one text."""
    metadata = installed.metadata
    name = canonicalize_name(metadata["Name"])
    if name in TOLD_ELSEWHERE:
        return [TOLD_ELSEWHERE[name]]
    if metadata.get("License-Expression"):
        return [metadata["License-Expression"]]
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in metadata.get_all("Classifier", [])
        if text.startswith("License :: OSI Approved :: ")
    ]
    written = (metadata.get("License") or "").strip()
    return classifiers or [written.splitlines()[0] if written else "none"]


def is_allowed(licence: str) -> bool:
    """Whether every licence that holds at once, or one of those to choose from, is allowed."""
    return any(
        all(
            any(re.fullmatch(pattern, part.strip("() "), re.IGNORECASE) for pattern in ALLOWED)
            for part in re.split(r" AND ", choice)
        )
        for choice in re.split(r" OR ", licence)
    )


@pytest.fixture(scope="module")
def installed():
    found = reachable(PROJECT, EXTRAS)
    assert len(found) > 60
    del found[canonicalize_name(PROJECT)]
    return {name: item for name, item in found.items() if name not in INSTALLERS}


@pytest.fixture(scope="module")
def pins():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.partition("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, _, version in rows}


def test_every_installed_distribution_is_pinned(installed, pins):
    assert sorted(installed.keys() - pins.keys()) == []


def test_every_installed_version_is_the_pinned_one(installed, pins):
    found = {name: item.version for name, item in installed.items()}
    assert found == {name: pins[name] for name in found}


def test_every_licence_is_allowed(installed):
    wrong = {
        name: found
        for name, item in installed.items()
        if not all(map(is_allowed, found := licences(item)))
    }
    assert wrong == {}


def test_what_runs_is_a_part_of_what_is_installed(installed):
    at_run_time = reachable(PROJECT, ("demo", "onnx"))
    assert {"tensorflow", "apache-beam", "pydicom", "onnx"} <= at_run_time.keys()
    assert not {"pytest", "hypothesis", "atheris", "mypy"} & at_run_time.keys()
    assert at_run_time.keys() - {canonicalize_name(PROJECT)} - INSTALLERS < installed.keys()


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("MPL-2.0 AND MIT", True),
        ("GPL-3.0-only OR MIT", True),
        ("BSD-3-Clause AND GPL-2.0", False),
        ("GNU General Public License v3 (GPLv3)", False),
        ("LGPL-2.1", False),
        ("AGPL-3.0-or-later", False),
        ("Proprietary", False),
        ("none", False),
    ],
)
def test_the_rule_tells_licences_apart(licence, allowed):
    assert is_allowed(licence) is allowed
