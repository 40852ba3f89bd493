"""Answers on disk: one SQLite file, for any number of predictors and processes, that a crash does not harm."""

import json
import os
import sqlite3
import threading
import warnings
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from likethat._files import storage_error
from likethat.errors import InputError, StorageError
from likethat.models.black_box.backend import Backend
from likethat.models.black_box.memory import Known, Memory, Store

_APPLICATION = 0x6C746262  # "ltbb"
_SCHEMA = 1  # of the table; another one is refused, not migrated: answers can be asked again
_TABLES = (
    "CREATE TABLE boxes (id INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE, class_names TEXT, output TEXT)",
    "CREATE TABLE answers (box INTEGER NOT NULL, input BLOB NOT NULL, probabilities BLOB NOT NULL,"
    " PRIMARY KEY (box, input)) WITHOUT ROWID",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_SCHEMA}",
)
_NAMES = {("table", "boxes"), ("table", "answers")}
_HEADER = 100  # bytes; where SQLite says what a file is
_ROUNDING = 1e-6  # how far from 1 the sum of kept probabilities may be: they were divided by their sum
_OUTPUTS = ("probabilities", "logits", "labels", "numbers")
_LARGEST = np.finfo(np.float64).max
_AT_ONCE = 500
"""Keys in one query; SQLite bounds the number of its parameters."""


def _fewest(output: str) -> int:
    """Return how many columns an answer has at least."""
    return 1 if output == "numbers" else 2


class AnswerFile:
    """Keeps answers in a file, each batch committed as it comes.

    It holds digests of inputs and probabilities: no input, no address, no credential. When the disk takes no more, it
    warns once and goes on in memory.

    Args:
        path: where the file is, or shall be.
        identity: tells this predictor's answers from those of others in the same file.
        timeout: seconds to wait for another process that writes.

    Raises:
        InputError: another file stands there, a damaged one, or one of another version of the library. It is left as
            it is.
        StorageError: the folder cannot be written, or another process holds the file.
    """

    def __init__(self, path: str | Path, *, identity: str, timeout: float = 30.0) -> None:
        if not isinstance(path, str | os.PathLike):
            raise InputError(f"`cache` must be the path of a file, got {type(path).__name__}.")
        self._path = Path(path).expanduser()
        self._identity, self._timeout = identity, timeout
        self._rest = Memory()  # what the disk did not take
        self._lock = threading.Lock()
        self._n_classes, self._output = 0, ""  # until known
        self.trouble = ""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._open()
        except OSError as error:
            raise storage_error(self._path, error) from error
        except sqlite3.Error as error:
            raise self._trouble_of(error) from error

    def facts(self) -> Known | None:
        """Return what is known of the predictor; None before its first answer was kept."""
        query = "SELECT class_names, output FROM boxes WHERE id = ?"
        try:
            names, output = self._connected().execute(query, (self._box,)).fetchone()
        except sqlite3.Error as error:
            raise self._trouble_of(error) from error
        if names is None:
            return None
        try:
            known = tuple(json.loads(names))
        except (TypeError, ValueError, RecursionError):
            raise self._damaged() from None
        if len(known) < _fewest(output) or output not in _OUTPUTS or not all(isinstance(x, str) for x in known):
            raise self._damaged()
        self._n_classes, self._output = len(known), output
        return Known(class_names=known, output=output)

    def known(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """Return the answers (class,) that it has, by digest."""
        found = self._rest.known(keys)
        wanted = list(dict.fromkeys(key for key in keys if key not in found))
        try:
            with self._lock:
                for start in range(0, len(wanted), _AT_ONCE):
                    found.update(self._select(wanted[start : start + _AT_ONCE]))
        except sqlite3.Error as error:
            self._warn(error)
        return found

    def keep(self, answers: Mapping[bytes, np.ndarray], *, class_names: Sequence[str], output: str) -> None:
        """Keep answers, on disk before this returns."""
        self._n_classes, self._output = len(class_names), output
        if self.trouble:
            self._rest.keep(answers, class_names=class_names, output=output)
            return
        rows = [(self._box, key, values.astype("<f8").tobytes()) for key, values in answers.items()]
        try:
            with self._lock:
                self._insert(rows, class_names=json.dumps(list(class_names)), output=output)
        except sqlite3.Error as error:
            self._warn(error)
            self._rest.keep(answers, class_names=class_names, output=output)

    def _select(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        marks = ",".join("?" * len(keys))
        query = f"SELECT input, probabilities FROM answers WHERE box = ? AND input IN ({marks})"  # noqa: S608
        rows = self._connected().execute(query, (self._box, *keys))
        return {key: self._answer(values) for key, values in rows}

    def _answer(self, values: object) -> np.ndarray:
        """Return the probabilities of one row, checked: others may have written into the file."""
        try:
            answer = np.frombuffer(values, dtype="<f8").astype(np.float64)  # type: ignore[call-overload]
        except (TypeError, ValueError):
            raise self._damaged() from None
        if not self._output:
            self.facts()  # another process may have been the first to ask
        is_short = len(answer) < _fewest(self._output) or len(answer) != (self._n_classes or len(answer))
        is_off = self._output in ("probabilities", "logits") and not abs(answer.sum() - 1) <= _ROUNDING
        lowest, highest = (-_LARGEST, _LARGEST) if self._output == "numbers" else (0, 1 + _ROUNDING)
        if is_short or is_off or not ((answer >= lowest) & (answer <= highest)).all():
            raise self._damaged()
        return np.asarray(answer)

    def _insert(self, rows: Sequence[tuple[int, bytes, bytes]], *, class_names: str, output: str) -> None:
        connection = self._connected()
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", rows)
            connection.execute(
                "UPDATE boxes SET class_names = ?, output = ? WHERE id = ? AND class_names IS NULL",
                (class_names, output, self._box),
            )
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _connected(self) -> sqlite3.Connection:
        if os.getpid() != self._owner:  # a connection does not survive a fork
            self._open()
        return self._connection

    def _open(self) -> None:
        self._refuse_other_files()
        self._owner = os.getpid()
        self._connection = sqlite3.connect(
            self._path, timeout=self._timeout, isolation_level=None, check_same_thread=False
        )
        weakref.finalize(self, self._connection.close)
        self._connection.execute("BEGIN IMMEDIATE")
        self._prepare_tables()
        self._connection.execute("INSERT OR IGNORE INTO boxes (identity) VALUES (?)", (self._identity,))
        row = self._connection.execute("SELECT id FROM boxes WHERE identity = ?", (self._identity,)).fetchone()
        self._connection.execute("COMMIT")
        self._box = int(row[0])
        self._write_ahead()

    def _refuse_other_files(self) -> None:
        """Look at the first bytes before SQLite does: it would finish a transaction left open in another's database."""
        if not self._path.exists():
            return
        if not self._path.is_file():
            raise self._not_ours()
        with self._path.open("rb") as file:
            head = file.read(_HEADER)
        if not head:
            return
        if head[:16] != b"SQLite format 3\0" or len(head) < _HEADER:
            raise self._not_ours()
        schema, application = (int.from_bytes(head[place : place + 4], "big") for place in (60, 68))
        if application != _APPLICATION:
            raise self._not_ours()
        if schema != _SCHEMA:
            raise self._other_schema(schema)

    def _prepare_tables(self) -> None:
        found = set(self._connection.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"))
        if not found:
            for statement in _TABLES:
                self._connection.execute(statement)
        elif found != _NAMES:
            self._connection.close()
            raise self._damaged()

    def _write_ahead(self) -> None:
        """Readers then do not wait for writers. Where the disk cannot do it, plain journalling is as safe."""
        try:
            self._connection.execute("PRAGMA journal_mode = WAL").fetchone()
            self._connection.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.OperationalError:
            return

    def _not_ours(self) -> InputError:
        return InputError(
            f"`cache` must be a new file or one of answers kept before, got {str(self._path)!r}, which is something "
            "else. Name another file."
        )

    def _other_schema(self, schema: int) -> InputError:
        return InputError(
            f"`cache` must be a file of answers of schema {_SCHEMA}, got {schema} in {str(self._path)!r}. Name a "
            "new file, or use the version of likethat that wrote it."
        )

    def _damaged(self) -> InputError:
        return InputError(
            f"`cache` must be a file of answers as they were kept, got {str(self._path)!r}, which is damaged. Name "
            "another file; this one is left as it is."
        )

    def _trouble_of(self, error: sqlite3.Error) -> InputError | StorageError:
        """Return one sentence for what SQLite says."""
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return StorageError(
                f"`cache` must be free to be written, and another process has held {str(self._path)!r} for "
                f"{self._timeout:g} s. Wait for it to end, or name another file."
            )
        if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_ERROR", "SQLITE_MISMATCH", "SQLITE_CONSTRAINT")):
            return self._damaged()
        return storage_error(self._path, OSError(str(error)))

    def _warn(self, error: sqlite3.Error) -> None:
        if not self.trouble:
            self.trouble = f"answers are kept in memory alone, as {self._path.name} could not be used ({error})"
            warnings.warn(f"{self.trouble}. Free space and start again: what was kept stays.", stacklevel=6)


def recall(cache: str | Path | None, *, key: str | None, backend: Backend, settings: Sequence[object]) -> Store:
    """Return the memory of a predictor: a dictionary, or a file.

    Args:
        cache: the file; None for a dictionary.
        key: the user's name for the predictor.
        backend: the way to it, which may know what tells it from others.
        settings: what else changes its answers.

    Raises:
        InputError: nothing tells the predictor from others.
    """
    if cache is None:
        return Memory()
    if key is None and backend.facts.identity is None:
        raise InputError(
            f"`key` must name {backend.facts.name} when its answers are kept in a file: nothing else tells it from "
            "another predictor. Choose a text, and another one when the predictor changes."
        )
    return AnswerFile(cache, identity=json.dumps([backend.facts.identity if key is None else ["key", key], *settings]))
