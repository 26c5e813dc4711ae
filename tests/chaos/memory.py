"""What a directory knows of earlier calls: a chaos may be run in pieces, and goes on."""

import dataclasses
import json
from pathlib import Path

from cgan_tf.runs.directory import write_json
from tests.chaos.disturbances import Result, Undisturbed

_FILE = "results.json"


class Memory:
    """Undisturbed runs by name, results by program and kind, and seconds at work in all."""

    def __init__(self, root: Path):
        self._path = root / _FILE
        content = json.loads(self._path.read_text()) if self._path.exists() else {}
        self.runs = {name: Undisturbed(**run) for name, run in content.get("runs", {}).items()}
        results = (
            Result(**{**r, "problems": tuple(r["problems"])}) for r in content.get("results", ())
        )
        self.results = {(r.program, r.kind): r for r in results}
        self.seconds: float = content.get("seconds", 0.0)

    def has(self, program: str, kind: str) -> bool:
        """Whether it was tried and everything was as it was."""
        known = self.results.get((program, kind))
        return known is not None and not known.problems

    def keep(self) -> None:
        """Writes everything down."""
        content = {
            "runs": {name: dataclasses.asdict(run) for name, run in self.runs.items()},
            "results": [dataclasses.asdict(result) for result in self.results.values()],
            "seconds": self.seconds,
        }
        write_json(self._path, content)
