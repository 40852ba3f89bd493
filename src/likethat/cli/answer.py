"""With ``--json``: one document on standard output, whatever a command does, and all else on standard error."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.console import Console

from likethat._version import __version__

if TYPE_CHECKING:
    from likethat.explanations.result import Result

__all__ = ["SCHEMA", "Answer", "answering", "current", "give", "out"]

SCHEMA = 1
"""Of the document (schemas/command.schema.json); docs/records.md says when it rises."""

out = Console(highlight=False)
"""Results in words: what a pipe should get without ``--json``."""


@dataclass(kw_only=True, eq=False)
class Answer:
    """What a command will have said.

    Attributes:
        command: its words, such as "fit epic".
        exit_code: 0, 1 for a fault of ours, 2 for a wrong call, 130 when stopped.
        error: kind and sentence of what went wrong.
        files: what was written, and where.
        values: what was measured or read, by name.
        results: banks, explanations, ..., as their `to_dict` says them.
        warnings: sentences.
    """

    command: str = ""
    exit_code: int = 0
    error: dict[str, str] | None = None
    files: list[dict[str, str]] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    results: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def fail(self, kind: str, sentence: str, exit_code: int) -> None:
        """Note what went wrong; what was found before stays."""
        self.error, self.exit_code = {"type": kind, "message": sentence}, exit_code

    def document(self) -> str:
        """Return the document as one line of JSON."""
        about = {"schema": SCHEMA, "library": "likethat", "version": __version__}
        return json.dumps({**about, **vars(self)}, allow_nan=False)


_current = [Answer()]
"""The answer of the command that runs."""


def current() -> Answer:
    """Return the answer of the command that runs."""
    return _current[-1]


def give(*results: "Result", values: Mapping[str, Any] | None = None) -> None:
    """Add results, or values by name, to the document; without ``--json`` nothing happens."""
    if not out.stderr:
        return
    from likethat.explanations.result import plain  # late: it brings torch

    current().results += [result.to_dict() for result in results]
    current().values |= plain(values or {})


@contextmanager
def answering(*, is_json: bool) -> Iterator[Answer]:
    """Yield the answer of a command; at its end, however it ends, print the document where it was asked for."""
    answer = Answer()
    _current.append(answer)
    out.stderr = is_json
    try:
        yield answer
    finally:
        _current.pop()
        out.stderr = False
        if is_json:
            sys.stdout.write(f"{answer.document()}\n")
            sys.stdout.flush()
