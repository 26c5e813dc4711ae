"""Every benchmark of speed in turn, and benchmarks/results.md from what they say.

python -m benchmarks.run [--quick] [--only=gan_step,start_up] [--reuse]

Each benchmark is a process of its own that prints a line of JSON for each case (see
benchmarks/frame.py); other lines are shown as they are. A benchmark that fails is named in the
results, and the exit code is 1; a missed promise is said in its row.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.frame import OURS

# In the order of the chain; a module that is not there is left out.
BENCHMARKS = {
    "start_up": "Start-up",
    "patch_speed": "Patches",
    "gan_input": "Input pipeline of the GAN",
    "gan_step": "GAN step",
    "synthesis": "Synthesis",
    "classifier_step": "Classifier step",
    "prediction_cost": "Scoring mammograms",
    "auc_statistics": "Comparison of AUCs",
    "growth": "Growth",
}
EXPLANATION = (
    "Ours and the alternatives run alternately in one process. Times are medians. A ratio is the",
    "median over the rounds of the alternative's time divided by ours: above 1, ours is faster.",
    "The bound is the time for the unavoidable work alone; its ratio is its fraction of ours.",
)
KEPT = Path("build/benchmarks")  # what each printed last
VERSIONS = ("tensorflow", "keras", "torch", "apache-beam", "numpy", "scikit-learn")

Content = Mapping[str, Any]


def main() -> None:
    """Runs them, writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller, to see that all of it runs")
    parser.add_argument("--only", default=",".join(BENCHMARKS), help="names, with commas")
    parser.add_argument("--reuse", action="store_true", help="take what was printed before")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results.md"))
    arguments = parser.parse_args()
    found, texts, failed = {}, {}, []
    command = " ".join(["python -m benchmarks.run", *sys.argv[1:]])
    for name in arguments.only.split(","):
        if importlib.util.find_spec(f"benchmarks.{name}") is None:
            continue
        lines = printed(name, arguments)
        found[name] = [json.loads(line) for line in lines if line.startswith("{")]
        texts[name] = [line for line in lines if not line.startswith("{")]
        failed += [] if lines else [name]
        content = "\n".join(page(command, found, texts, failed, arguments.output.parent)) + "\n"
        arguments.output.write_text(content, encoding="utf-8")  # so far: all of it takes a while
    raise SystemExit(bool(failed))


def printed(name: str, arguments: argparse.Namespace) -> list[str]:
    """What a benchmark prints on standard output, now or, with --reuse, when it ran last."""
    kept = KEPT / f"{name}.txt"
    if not (arguments.reuse and kept.exists()):
        given = ("--quick",) if arguments.quick else ()
        command = [sys.executable, "-m", f"benchmarks.{name}", *given]
        print(f"{name} ({BENCHMARKS[name]}) ...", file=sys.stderr, flush=True)
        started = time.monotonic()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        KEPT.mkdir(parents=True, exist_ok=True)
        kept.write_text(done.stdout, encoding="utf-8")
    return kept.read_text(encoding="utf-8").splitlines()


def page(
    command: str,
    found: Mapping[str, list[Content]],
    texts: Mapping[str, list[str]],
    failed: Iterable[str],
    directory: Path,
) -> Iterator[str]:
    """The lines of results.md in `directory`, where pictures of a benchmark are in its folder."""
    yield "# How fast it is"
    yield ""
    yield f"Written by `{command}` ({time.strftime('%Y-%m-%d')}); `make bench` writes it again."
    yield ""
    yield from machine()
    yield ""
    yield from EXPLANATION
    for name in failed:
        yield f"\n`benchmarks.{name}` failed."
    for name, cases in found.items():
        yield f"\n## {BENCHMARKS[name]}\n\n`python -m benchmarks.{name}`\n"
        if cases:
            yield "| case | | time | ratio | promised | |"
            yield "|---|---|---:|---:|---:|---|"
        for case in cases:
            yield from rows(case)
        if texts[name]:  # a benchmark with a table of its own
            yield "\n".join(["```", *texts[name], "```"])
        for note in dict.fromkeys(case["note"] for case in cases if case["note"]):
            yield f"\n{note}"
        for picture in sorted((directory / name).glob("*.png")):
            yield f"\n![{picture.stem}]({name}/{picture.name})"


def machine() -> Iterator[str]:
    """Processor, memory and versions, a line each."""
    yield f"- {processor()}, {len(os.sched_getaffinity(0))} cores, {memory_gb():.0f} GB"
    installed = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions()}
    versions = ", ".join(f"{name} {installed[name]}" for name in VERSIONS if name in installed)
    yield f"- Python {platform.python_version()}, {versions}"


def processor() -> str:
    """The processor's name, and which fast arithmetic it has."""
    fields = dict.fromkeys(("model name", "flags"), "")
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in fields:
            fields[key.strip()] = value.strip()
    known = set(fields["flags"].split())
    fast = [name for name in ("avx2", "avx512f", "avx512_bf16") if name in known]
    fast.append("with AMX" if "amx_bf16" in known else "no AMX")
    return f"{fields['model name']} ({', '.join(fast)})"


def memory_gb() -> float:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def rows(case: Content) -> Iterator[str]:
    """A row for each alternative of a case, ours first."""
    for name, seconds in case["seconds"].items():
        ours, bound = name == OURS, name == case["bound"]
        ratio, least = case["ratios"].get(name), case["at_least"].get(name)
        promised = case["at_most_seconds"] if ours else least
        cells = [
            case["case"] if ours else "",
            "**ours**" if ours else f"bound: {name}" if bound else name,
            duration(seconds),
            "" if ratio is None else f"{ratio:.0%}" if bound else f"{ratio:.2f}",
            "" if promised is None else _promise(promised, ours, bound),
            _miss(case, name),
        ]
        yield f"| {' | '.join(cells)} |"


def _miss(case: Content, name: str) -> str:
    if name not in case["missed"]:
        return ""
    because = case["missed_because"] if name == OURS else ""
    return f"missed: {because}" if because else "missed"


def _promise(value: float, ours: bool, bound: bool) -> str:
    return f"≤ {value:g} s" if ours else f"≥ {value:.0%}" if bound else f"≥ {value:g}"


def duration(seconds: float) -> str:
    """Three digits, in seconds or milliseconds."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


if __name__ == "__main__":
    main()
