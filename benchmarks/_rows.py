"""Rows of measurements, each made once: a benchmark that was stopped goes on where it was."""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from _measure import markdown, write_results

Row = dict[str, Any]


class Rows:
    """Rows of all sections, kept in a JSON file between runs."""

    def __init__(self, store: Path, *, fresh: bool, quick: bool) -> None:
        self.store, self.quick, self.fresh = store, quick, fresh
        self.kept: dict[str, Row] = self._stored()
        self.made: set[str] = set()

    def add(self, section: str, name: str, make: Callable[[], Row], *, again: bool = False) -> None:
        """Make a row unless it was kept, or `again`; its seconds are those of making it, if it does not say.

        What a row has by a name that begins with "_" is kept and not shown.
        """
        key = self._key(section, name)
        if again or key not in self.kept or (self.fresh and key not in self.made):
            started = time.perf_counter()
            found = make()
            row = {"": name, **found, **({} if "s" in found else {"s": time.perf_counter() - started})}
            self.made.add(key)
            self.kept = self.kept | self._stored() | {key: row}  # another run may have stored some meanwhile
            self.store.parent.mkdir(exist_ok=True)
            self.store.write_text(json.dumps(self.kept), "utf-8")
        print(section, {name: one for name, one in self.kept[key].items() if name[:1] != "_"}, flush=True)

    def row(self, section: str, name: str) -> Row:
        """Return a row that was added."""
        return self.kept[self._key(section, name)]

    def _key(self, section: str, name: str) -> str:
        return f"{section}/{name}/{'quick' if self.quick else 'full'}"

    def _stored(self) -> dict[str, Row]:
        return json.loads(self.store.read_text("utf-8")) if self.store.exists() else {}  # type: ignore[no-any-return]

    def of(self, section: str) -> list[Row]:
        """Return the rows of a section."""
        mode = "quick" if self.quick else "full"
        return [row for key, row in self.kept.items() if key.split("/")[0] == section and key.endswith(mode)]

    def table(self, section: str, *, earlier: Sequence[Row] = ()) -> str:
        """Return the rows of a section as Markdown, with the columns of all of them.

        Args:
            section: of the page.
            earlier: rows as they stand on the page; those that were not made since are kept.
        """
        own = {row[""]: row for row in self.of(section)}
        found = [own.pop(row[""], row) for row in earlier] + list(own.values())
        names = list(dict.fromkeys(name for row in found for name in row if name[:1] != "_"))
        return markdown([{name: row.get(name) for name in names} for row in found])


def run(
    work: Mapping[str, Callable[[Rows], None]],
    *,
    store: Path,
    results: Path,
    title: str,
    headings: Mapping[str, str],
    notes: Mapping[str, str],
    description: str | None,
    unless_named: Sequence[str] = (),
) -> None:
    """Parse the command line, measure, and write the page after each section.

    Args:
        work: sections that can be asked for.
        store: JSON file of rows.
        results: the page.
        title: its title.
        headings: of the sections that rows are in, in the page's order.
        notes: what is said below a section.
        description: of the command.
        unless_named: sections that are left out where none is named.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*work, []])
    parser.add_argument("--quick", action="store_true", help="a few of everything; nothing is written")
    parser.add_argument("--fresh", action="store_true", help="measure finished rows again")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = Rows(store, fresh=given.fresh, quick=given.quick)
    for name in given.sections or [each for each in work if each not in unless_named]:
        work[name](rows)
        if not given.quick:
            earlier = _rows_of(results)  # of a run elsewhere: one section measured here must not lose the others
            page = [
                (heading, rows.table(key, earlier=earlier.get(heading, ())) + notes.get(key, ""))
                for key, heading in headings.items()
                if rows.of(key) or heading in earlier
            ]
            _write(results, title=title, sections=page)


def _rows_of(page: Path) -> dict[str, list[Row]]:
    """Return the rows of a page's tables, as they are written, by the heading above."""
    found: dict[str, list[Row]] = {}
    for part in page.read_text("utf-8").split("\n## ")[1:] if page.exists() else ():
        heading, *lines = part.splitlines()
        names, *rows = [line[2:-2].split(" | ") for line in lines if line[:2] == "| "] or [[]]
        found[heading] = [dict(zip(names, row, strict=True)) for row in rows]
    return found


def _write(results: Path, *, title: str, sections: Sequence[tuple[str, str]]) -> None:
    write_results(results, title=title, command=f"python benchmarks/{results.stem}.py", sections=list(sections))
