"""Where the command line writes: results to standard output, everything else to standard error."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from likethat.cli.answer import current, out

__all__ = ["duration", "notes", "one_line_warnings", "out", "say", "say_error", "say_path", "say_table"]

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


def say_table(rows: dict[str, object], *, title: str = "") -> None:
    """Print names and values in two columns."""
    table = Table(show_header=False, box=None, title=title or None, title_justify="left", padding=(0, 2, 0, 0))
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
