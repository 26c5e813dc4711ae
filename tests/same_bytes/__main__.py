"""Whether two commits write the same bytes: every program at tiny size in both, compared.

    python -m tests.same_bytes --base=COMMIT [--head=COMMIT] [--keep=DIRECTORY] [--expected=GLOB]

Without --head it is the working tree. With --keep the base's outputs stay there, and later runs
with the same base only run the head. Both run on this machine, in the same directory one after the
other, with one thread. A line a kind of payload says whether all are identical, or which differ and
where first; the exit code is 1 if any differs that --expected does not name.
"""

import argparse
import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

from tests.same_bytes import chain
from tests.same_bytes.chain import ONE_THREAD, run_chain
from tests.same_bytes.compare import Outcome, compare, left_out

ROOT = Path(__file__).resolve().parents[2]
WORKING_TREE = "working tree"
SHOWN = 8  # differences of a kind


def main() -> None:
    """Runs both commits, prints what was compared, exits with 1 on a difference."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", required=True, help="commit to compare with")
    parser.add_argument("--head", default=WORKING_TREE, help="commit that must be the same")
    parser.add_argument("--keep", type=Path, help="directory for outputs; a temporary one")
    parser.add_argument(
        "--expected", action="append", default=[], metavar="GLOB",
        help="payloads that may differ, such as 'report/*'; may be repeated",
    )  # fmt: skip
    arguments = parser.parse_args()
    os.environ |= ONE_THREAD
    with tempfile.TemporaryDirectory(prefix="same-bytes-") as temporary:
        root = (arguments.keep or Path(temporary)).resolve()
        root.mkdir(parents=True, exist_ok=True)
        try:
            base = base_outputs(root, commit_id(arguments.base))
            head = outputs(root, arguments.head, root / "head", base)
        except subprocess.CalledProcessError as error:
            sys.exit(f"same_bytes: {error}")
        found = compare(base, head)
    text, same = summary(found, arguments.expected)
    print(text)
    sys.exit(not same)


def commit_id(name: str) -> str:
    """The full id of a commit."""
    command = ["git", "rev-parse", "--verify", f"{name}^{{commit}}"]
    found = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return found.stdout.strip()


def base_outputs(root: Path, commit: str) -> Path:
    """The outputs of a commit under `root`, made if they are not there.

    They are made anew for another chain, another Python or other packages.
    """
    packages = sorted(f"{d.name} {d.version}" for d in importlib.metadata.distributions())
    made_by = "\n".join([Path(chain.__file__).read_text(), platform.python_version(), *packages])
    kept = root / f"base-{commit[:12]}-{hashlib.sha256(made_by.encode()).hexdigest()[:8]}"
    return kept if kept.exists() else outputs(root, commit, kept)


def outputs(root: Path, commit: str, target: Path, base: Path | None = None) -> Path:
    """Runs the chain with the sources of a commit and moves what it wrote to `target`.

    The chain always runs in the same directory, since programs write down where they ran.
    """
    work = root / "work"
    for old in (work, target):
        shutil.rmtree(old, ignore_errors=True)
    work.mkdir()
    with tempfile.TemporaryDirectory(prefix="same-bytes-tree-") as tree:
        lay_out(commit, ROOT, Path(tree))
        print(f"{commit}:", flush=True)
        run_chain(Path(tree), work, base)
    return work.rename(target)


def lay_out(commit: str, repository: Path, tree: Path) -> None:
    """Writes the files of a commit, or of the working tree as it is now, to a directory."""
    if commit != WORKING_TREE:
        archive = subprocess.run(
            ["git", "archive", commit], cwd=repository, check=True, stdout=subprocess.PIPE
        )
        subprocess.run(["tar", "-x", "-C", tree], input=archive.stdout, check=True)
        return
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (repository / name).is_file():  # a deleted file is listed, too
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(repository / name, tree / name)


def summary(found: dict[str, Outcome], expected: list[str]) -> tuple[str, bool]:
    """What to print, and whether all is the same but for payloads that match `expected`."""
    lines, same = [], True
    for kind, outcome in found.items():
        told = {n: f"{n}: {place}" for n, place in sorted(outcome.differences.items())}
        allowed = [told.pop(n) for n in list(told) if any(fnmatch(n, e) for e in expected)]
        same = same and not told
        verdict = "identical" if not told else f"{len(told)} DIFFER"
        more = f", {len(allowed)} differ as expected" if allowed else ""
        lines.append(f"{kind}: {outcome.count} compared, {verdict}{more}")
        for places in (list(told.values()), allowed):
            lines += [f"    {line}" for line in places[:SHOWN]]
            lines += [f"    and {len(places) - SHOWN} more"] if len(places) > SHOWN else []
    lines += ["Not compared:", *(f"    {line}" for line in left_out())]
    return "\n".join(lines), same


if __name__ == "__main__":
    main()
