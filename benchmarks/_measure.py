"""Seconds and memory of one piece of work, and the table they are printed in."""

import gc
import os
import platform
import resource
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import torch
from rich.console import Console
from rich.table import Table

Result = TypeVar("Result")


def measured(work: Callable[[], Result]) -> tuple[Result, dict[str, float]]:
    """Run work and return its result with CPU seconds, wall seconds and how far memory rose above its start, in MiB."""
    before = _forget_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    seconds = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
    return result, seconds | {"peak_mib": (_peak() - before) / 1024}


def _forget_peak() -> int:
    """Let the peak of memory begin now (Linux; elsewhere it is the process's), and return what is in use, in KiB.

    Without this, what was freed before the work began would hide its peak.
    """
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _of_status("VmRSS")


def _peak() -> int:
    try:
        return _of_status("VmHWM")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _of_status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def machine() -> str:
    """Return one line about the machine and the versions."""
    threads = torch.get_num_threads()
    return (
        f"{os.cpu_count()} cores ({platform.machine()}), torch {torch.__version__} on "
        f"{'one thread' if threads == 1 else f'{threads} threads'}, "
        f"Python {platform.python_version()}, {datetime.now(UTC):%Y-%m-%d}"
    )


def shown(value: Any) -> str:
    """Return a figure as it stands in a table."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def print_rows(rows: list[dict[str, Any]], *, title: str) -> None:
    """Print rows; what a row has not is left out."""
    table = Table(title=title)
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "what" else "right")
    for row in rows:
        table.add_row(*(shown(row.get(name)) for name in rows[0]))
    Console(width=190).print(table)


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return rows as a Markdown table."""
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(shown(row.get(name)) for name in names) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def write_results(
    path: Path, *, title: str, command: str, sections: list[tuple[str, list[dict[str, Any]] | str]]
) -> None:
    """Write sections of rows or text as a results page."""
    text = f"# {title}\n\nMade by `{command}` on {machine()}.\n"
    for heading, content in sections:
        text += f"\n## {heading}\n\n" + (content if isinstance(content, str) else markdown(content))
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
