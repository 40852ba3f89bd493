"""Results of many inputs: in memory, or one by one in a folder that grows, and goes on where it stopped.

::

    many.json       what was asked: names of the inputs, and the key by which the same call goes on
    failures.json   by place, the sentence of an input that could not be explained
    rows.json       by place, what the table says of a result, so that nobody reads it again for that
    00012/          a result as its `save` writes it; 00012.html its page
    index.html      all of them, and table.csv, when all is done
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

from likethat._calls import public
from likethat._cells import csv_of
from likethat._documents import Damaged, digest_of, read_json, typed
from likethat._files import OwnFolder
from likethat._seals import is_sealed
from likethat._session import in_own_session
from likethat.errors import InputError, MissingExtraError
from likethat.explanations.attribution import Attribution
from likethat.explanations.counterfactual import Counterfactual
from likethat.explanations.explanation import Explanation
from likethat.explanations.result import SCHEMA_VERSION, Result
from likethat.explanations.saved import RECORD, read_result
from likethat.explanations.word_attribution import WordAttribution

MANY, _FAILURES, _ROWS = "many.json", "failures.json", "rows.json"
_KINDS: dict[str, type[Result]] = {
    kind.__name__: kind for kind in (Explanation, Counterfactual, Attribution, WordAttribution)
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the table says of one input.

    Attributes:
        name: of the input.
        kind: of its result; "" without one.
        target: what was explained, or wanted.
        probability: of it: of the input itself, or of the changed one; None without a result.
        changed: columns, or words, that differ from the source; None where nothing is changed.
        coverage: share of the evidence that the shown rows carry; None where it is not explained by parts.
        queries: the model answered; None where it was read.
        status: why a search ended, or the sentence of what went wrong.
    """

    name: str
    kind: str = ""
    target: str = ""
    probability: float | None = None
    changed: int | None = None
    coverage: float | None = None
    queries: int | None = None
    status: str = ""


def row_of(name: str, result: Result | None, failure: str = "") -> Row:
    """Return the row of one input."""
    if isinstance(result, Explanation):
        known: dict[str, Any] = {"probability": result.probability, "coverage": result.coverage}
    elif isinstance(result, Counterfactual):
        changed = None if result.kind == "image" else len(result.best.changes)
        known = {"probability": result.probability(result.best), "changed": changed}
    elif isinstance(result, Attribution | WordAttribution):
        is_class = result.measured is None
        known = {"probability": float(result.probabilities[result.target]) if is_class else result.value}
    else:
        return Row(name=name, status=failure)
    status = getattr(result, "status", None)
    return Row(
        name=name,
        kind=type(result).__name__,
        target=str(result.target_name),
        queries=getattr(result, "queries", None),
        status="" if status is None else str(status.reason),
        **known,
    )


class _Kept(Sequence[Result | None]):
    """The results in a folder, each read when it is asked for."""

    def __init__(self, folder: Path, n: int) -> None:
        self._folder, self._n = folder, n

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, place: int) -> Result | None: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Result | None]: ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(self._n))]
        place = range(self._n)[place]
        return read_result(_place(self._folder, place), _KINDS) if self.has(place) else None

    def has(self, place: int) -> bool:
        """Tell whether a result lies there."""
        return (_place(self._folder, place) / RECORD).is_file()


@public
@in_own_session
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Many(Result):
    """The results of many inputs, in their order.

    Attributes:
        rows: one an input: what the table says.
        results: one an input; None where there is none. Of a folder each is read when it is asked for.
        folder: where they lie; None for results in memory.
        is_interrupted: it was stopped; with a folder the same call goes on.
    """

    rows: tuple[Row, ...]
    results: Sequence[Result | None] = field(repr=False)
    folder: Path | None = None
    is_interrupted: bool = False

    @property
    def failures(self) -> dict[str, str]:
        """What went wrong, by the name of the input; what an interruption left is not among it."""
        return {row.name: row.status for row in self.rows if not row.kind and row.status}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Result | None:
        return self.results[place]

    def __iter__(self) -> Iterator[Result | None]:
        return iter(self.results)

    def page_of(self, place: int) -> str:
        """Return the page of one result, below the folder; "" without one."""
        there = self.folder is not None and self.rows[place].kind and _page(self.folder, place).is_file()
        return f"{place:05d}.html" if there else ""

    def _write(self, path: Path, *, overwrite: bool) -> Path:  # noqa: ARG002 - other results are never given up for it
        growing = Growing(path, names=[row.name for row in self.rows], key={"saved": _mark_of(self)})
        for place, result in enumerate(self.results):
            growing.put(place, self.rows[place].status if result is None else result)
        growing.close(is_interrupted=self.is_interrupted)
        return path

    def _facts(self) -> Mapping[str, Any]:
        return {"rows": self.rows, "is_interrupted": self.is_interrupted}

    def _columns(self) -> dict[str, Sequence[Any]]:
        names = [*Row.__dataclass_fields__]
        return {name: [getattr(row, name) for row in self.rows] for name in names}

    def _line(self) -> str:
        done, wrong = sum(bool(row.kind) for row in self.rows), len(self.failures)
        left = len(self.rows) - done - wrong
        more = "".join(f", {n:,} {what}" for n, what in ((wrong, "failed"), (left, "not reached")) if n)
        return f"<Many: {done:,} of {len(self.rows):,} inputs explained{more}>"


class Growing:
    """A folder of results that grows by one at a time.

    Args:
        path: of the folder.
        names: of all inputs.
        key: what makes it the same work: the same call goes on, another is refused.

    Raises:
        InputError: the folder holds something else, or results of another call.
        StorageError: it cannot be written.
    """

    def __init__(self, path: Path, *, names: Sequence[str], key: Mapping[str, Any]) -> None:
        self.path, self.names = path, tuple(names)
        self._own = OwnFolder(path)
        self.failures: dict[int, str] = {}
        self._rows: dict[int, Row] = {}  # of what was put here, now or before
        document = {"library": "likethat", "schema": SCHEMA_VERSION, "names": list(names), "key": dict(key)}
        found = _document(path) if self._own.has_list else None
        if found is not None:
            if found != json.loads(json.dumps(document)):
                raise InputError(
                    f"`into` must be a new folder, or that of the same call, got {path}, which holds results of other "
                    "inputs, another model or other options. Choose another folder; where the model is the same and "
                    "only changes while it is asked, give it as BlackBox(..., key=...) from the start."
                )
            self.failures = _failures(path)  # told as long as nothing better has come
            self._rows = _known_rows(path, self.names)
            return
        self._own.claim(name="into", marker=MANY)
        self._own.write(MANY, json.dumps(document, ensure_ascii=False).encode())

    @property
    def done(self) -> list[int]:
        """The places whose results lie there; what failed is tried again."""
        return [place for place in range(len(self.names)) if (_place(self.path, place) / RECORD).is_file()]

    def put(self, place: int, result: Result | str) -> None:
        """Write one result with its page, or the sentence of why there is none."""
        if isinstance(result, str):
            self.failures[place] = result
            self._write_failures()
            return
        if self.failures.pop(place, None) is not None:
            self._write_failures()
        page = _page(self.path, place)
        try:
            if os.path.lexists(page) and (page.is_symlink() or not is_sealed(page, page.suffix)):
                raise InputError(f"{page} is not what likethat wrote. It was left as it is; move it, and call again.")
            result.save(_place(self.path, place), overwrite=True)
        except InputError as refused:  # of what somebody put there since
            self.put(place, str(refused))
            return
        self._rows[place] = row_of(self.names[place], result)
        result.save(page, overwrite=True)

    def give_up(self) -> None:
        """Leave nothing behind of a call that came to nothing."""
        self._own.remove()

    def _write_failures(self) -> None:
        self._own.write(_FAILURES, json.dumps({str(place): why for place, why in self.failures.items()}).encode())

    def close(self, *, is_interrupted: bool) -> Many:
        """Write the page of all and the table; return what lies there."""
        kept = _Kept(self.path, len(self.names))
        rows = _rows(self.names, kept, self.failures, self._rows)
        known = {str(place): vars(row) for place, row in enumerate(rows) if row.kind}
        self._own.write(_ROWS, json.dumps(known).encode())
        found = Many(rows=rows, results=kept, folder=self.path, is_interrupted=is_interrupted)
        found.save(self.path / "index.html", overwrite=True)
        with suppress(MissingExtraError):
            self._own.write("table.csv", csv_of(found.to_frame()).encode("utf-8", "surrogatepass"))
        return found


def read_many(path: Path) -> Many:
    """Return what `explain_all` wrote into a folder.

    Raises:
        InputError: damaged.
    """
    document = _document(path)
    try:
        names = typed((document or {})["names"], list[str])
    except (Damaged, KeyError) as error:
        raise InputError(f"`path` must be a folder of results, got {path}, whose {MANY} is damaged.") from error
    kept = _Kept(path, len(names))
    rows = _rows(names, kept, _failures(path), _known_rows(path, names))
    return Many(rows=rows, results=kept, folder=path)


def _mark_of(found: Many) -> str:
    return digest_of({"rows": [vars(row) for row in found.rows]})


def _document(path: Path) -> dict[str, Any] | None:
    try:
        return typed(read_json(path / MANY, follow=False), dict[str, Any])
    except Damaged:
        return None


def _failures(path: Path) -> dict[int, str]:
    try:
        found = typed(read_json(path / _FAILURES, follow=False), dict[str, str])
        return {int(place): why for place, why in found.items()}
    except (Damaged, ValueError):
        return {}


def _known_rows(path: Path, names: Sequence[str]) -> dict[int, Row]:
    """Return the rows that were written of results which lie there; none where they do not fit."""
    try:
        found = typed(read_json(path / _ROWS, follow=False), dict[str, Row])
    except Damaged:
        return {}
    return {place: row for place, name in enumerate(names) if (row := found.get(str(place))) and row.name == name}


def _rows(names: Sequence[str], kept: _Kept, failures: Mapping[int, str], known: Mapping[int, Row]) -> tuple[Row, ...]:
    """Return the rows of all; a result is read where no row of it is known."""
    return tuple(
        known[at] if at in known and kept.has(at) else row_of(name, kept[at], failures.get(at, ""))
        for at, name in enumerate(names)
    )


def _place(path: Path, place: int) -> Path:
    return path / f"{place:05d}"


def _page(path: Path, place: int) -> Path:
    return path / f"{place:05d}.html"
