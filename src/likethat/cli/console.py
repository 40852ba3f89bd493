"""Where the command line writes: results to standard output, everything else to standard error.

With ``--json`` one document stands on standard output, whatever a command does, and all else on standard error.
"""

import io
import json
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from likethat._version import __version__

if TYPE_CHECKING:
    from likethat.explanations.result import Result


SCHEMA = 1
"""Of the document (schemas/command.schema.json); docs/records.md says when it rises."""

out = Console(highlight=False)
"""Results in words: what a pipe should get without ``--json``."""

notes = Console(stderr=True, highlight=False)
"""Progress, notes and errors."""


def say(sentence: str, *, style: str = "") -> None:
    """Print one line of a result, never folded."""
    out.print(Text(sentence, style=style), soft_wrap=True)


def say_path(label: str, path: Path) -> None:
    """Print where something was written, so that it can be copied whole."""
    current().files.append({"what": label.strip(), "path": str(path)})
    out.print(Text.assemble((f"{label}  ", "dim"), (str(path), "bold cyan")), soft_wrap=True)


def say_error(sentence: str) -> None:
    """Print one red sentence to standard error."""
    notes.print(Text(sentence, style="bold red"), soft_wrap=True)


def say_table(rows: dict[str, object]) -> None:
    """Print names and values in two columns."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(Text(name), Text(str(value)))
    out.print(table)


def duration(seconds: float) -> str:
    """Return a time as one would say it.

    Example:
        >>> duration(0.4), duration(42.2), duration(200), duration(8000)
        ('1 s', '42 s', '3 min 20 s', '2 h 13 min')
    """
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


@contextmanager
def one_line_warnings() -> Iterator[None]:
    """Show warnings as one yellow line each, without file names."""

    def show(message: Warning | str, *_: object) -> None:
        current().warnings.append(str(message))
        notes.print(Text(f"warning: {message}", style="yellow"), soft_wrap=True)

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]
        yield


@dataclass(kw_only=True, eq=False)
class Answer:
    """What a command will have said.

    Attributes:
        command: its words, such as "fit epic".
        exit_code: 0, 1 for a fault of ours, 2 for a wrong call, 3 where a line of --fail-if holds, 130 when stopped.
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
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name on disk, or a ±, that it cannot show loses no result
            stream.reconfigure(errors="backslashreplace")
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
