"""What a long run has found so far, kept under out/ until the code changes, so that it can be run piece by piece."""

import argparse
import hashlib
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Pieces", "digest_of", "take_minutes"]

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Pieces:
    """The findings of one run, whichever process made them.

    Attributes:
        path: a line each.
        until: when no further one is begun, by `time.monotonic`.
    """

    path: Path
    until: float

    @classmethod
    def of(cls, name: str, *, minutes: float, **options: object) -> "Pieces":
        """Return what a run with the same options found on the same package, tests and benchmarks."""
        files = [path for place in ("src", "tests", "benchmarks") for path in sorted((ROOT / place).rglob("*.py"))]
        state = hashlib.sha256(f"{sorted(options.items())} {digest_of(files)}".encode()).hexdigest()[:16]
        return cls(ROOT / "out" / name / f"pieces-{state}.jsonl", time.monotonic() + 60 * minutes)

    @property
    def is_over(self) -> bool:
        """Whether the time of this piece has passed."""
        return time.monotonic() > self.until

    def read(self) -> dict[str, Any]:
        """Return what was found, by key; a killed run may have left half a line, which is passed over."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        return dict(json.loads(line) for line in lines if line.endswith("}]"))

    def add(self, key: str, found: dict[str, Any]) -> None:
        """Keep what was found."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps([key, found])}\n")


def take_minutes(parser: argparse.ArgumentParser) -> None:
    """Add the option of a piece's length."""
    said = "after which nothing further is begun; the same command goes on (default: no end)"
    parser.add_argument("--minutes", type=float, default=math.inf, help=said)


def digest_of(paths: list[Path]) -> str:
    """Return a digest of what some files hold."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]
