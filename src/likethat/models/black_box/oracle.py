"""The loop behind a black box: look up what is known, ask the rest in batches, keep every answer as it comes."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from likethat._inputs import Inputs, digests, take
from likethat.errors import BlackBoxError, InputError, LikethatError
from likethat.models.black_box.answers import read_rows
from likethat.models.black_box.arrays import rows_of
from likethat.models.black_box.backends import Prepared
from likethat.models.black_box.budget import Account
from likethat.models.black_box.memory import Memory, Store
from likethat.models.black_box.reading import LABELS_NOTE, LOGITS_NOTE, Reader

_DRIFT = 1e-4
"""Largest difference in probability that rounding in another batch may make."""


class Oracle:
    """One predictor with its memory: what all views of a black box share.

    A row is counted when an answer to its batch came back, right or wrong; a batch that raised is not counted.

    Attributes:
        backend: the way to the predictor.
        reader: turns its rows into probabilities.
        class_names: its classes; empty until known.
        notes: sentences that the user should read.
        calls: batches answered so far.
        checks: whether one row is asked a second time.
        knew_names: whether the names of the classes were known before any answer.
        unit: batches of a model in this process are filled up to a multiple of it: rounding may depend on the number
            of rows, and an answer shall not depend on what is asked beside it.
    """

    def __init__(
        self,
        backend: Prepared,
        *,
        reader: Reader,
        store: Store,
        batch_size: int,
        class_names: tuple[str, ...],
        knew_names: bool,
        check_determinism: bool,
    ) -> None:
        self.backend, self.reader = backend, reader
        self.class_names = class_names
        self.notes: list[str] = list(backend.facts.notes)
        self.calls = 0
        self._store, self._batch_size = store, batch_size
        self._must_check = self.checks = check_determinism
        self.knew_names = knew_names
        self.unit = 1
        self._lock = threading.RLock()
        self._note_logits()

    def __getstate__(self) -> dict[str, Any]:
        """Leave the lock: another process has its own."""
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up what was left."""
        self.__dict__.update(state, _lock=threading.RLock())

    @property
    def binds(self) -> str:
        """Why it cannot be asked in several processes, each for itself; "" where it can."""
        if not isinstance(self._store, Memory):
            return "a cache"
        return "" if getattr(self.backend.backend, "requests", None) is None else "a service's rate limit"

    def affordable(self, inputs: Inputs, account: Account, keys: Sequence[bytes] | None = None) -> int:
        """Return how many leading rows an account can pay for; `keys` are their digests, where those are known."""
        keys = digests(inputs) if keys is None else keys
        with self._lock:
            return account.affordable(keys, self._store.known(keys).keys())

    def n_new(self, keys: Sequence[bytes]) -> int:
        """Count the rows, by their digests, that no answer is known to."""
        with self._lock:
            return len(set(keys) - self._store.known(keys).keys())

    def ask(self, inputs: Inputs, account: Account, keys: Sequence[bytes] | None = None) -> Float[Tensor, "n cls"]:
        """Return probabilities (n, class), asking only what is not known.

        Raises:
            BudgetError: more new rows than the account allows; nothing was asked.
            BlackBoxError: the predictor raised or answered nonsense; answers that came before are kept.
        """
        keys = digests(inputs) if keys is None else keys
        with self._lock:
            answers = self._store.known(keys)
            rows = _first_of_each(keys, set(answers))
            account.enter(keys, answers.keys(), name=self.backend.facts.name)
            try:
                if rows and answers and not self.calls and account.allows_check(len(rows)):
                    row = next(row for row, key in enumerate(keys) if key in answers)
                    self._check_memory(take(inputs, [row]), answers[keys[row]], account)
                for part, values in self._ask_rows(inputs, rows, account):
                    answers.update(self._keep([keys[row] for row in part], values))
            except BaseException:
                account.take_back([key for key in keys if key not in answers])
                raise
            if rows:
                self._check_again(take(inputs, [rows[0]]), answers[keys[rows[0]]], account)
        return torch.from_numpy(np.stack([answers[key] for key in keys]))

    def _ask_rows(self, inputs: Inputs, rows: list[int], account: Account) -> Iterator[tuple[list[int], Tensor]]:
        """Ask batch by batch; the first one alone, until it is decided what the answers are."""
        size = self._batch_size
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        while parts and (self.backend.facts.workers == 1 or not self.reader.is_decided):
            part = parts.pop(0)
            batch = take(inputs, part)
            yield part, self._read(self._call(batch), len(part), account)
        if parts:
            yield from self._ask_at_once(inputs, parts, account)

    def _ask_at_once(
        self, inputs: Inputs, parts: Sequence[list[int]], account: Account
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Ask several batches at a time; after a failure the ones under way are still read, and no more are sent."""
        failure: Exception | None = None
        with ThreadPoolExecutor(self.backend.facts.workers) as pool:
            futures = {pool.submit(self._call, take(inputs, part)): part for part in parts}
            try:
                for future in as_completed(futures):
                    try:
                        if not future.cancelled():
                            yield futures[future], self._read(future.result(), len(futures[future]), account)
                    except Exception as error:
                        failure = failure or error
                        _cancel(futures)
            finally:
                _cancel(futures)
        if failure is not None:
            raise failure

    def _call(self, batch: Inputs) -> Any:
        n = rows_of(batch)
        is_filled = self.unit > 1 and self.backend.answers_rows
        try:
            if is_filled:
                return self.backend(_in_one_order(take(batch, [*range(n), *[n - 1] * (-n % self.unit)])))[:n]
            return self.backend(batch)
        except LikethatError:
            raise
        except Exception as error:
            reason = (str(error).strip().splitlines() or ["no reason given"])[0][:300]
            raise BlackBoxError(
                f"{self.backend.facts.name} raised {type(error).__name__} ({reason}). Check that it takes these "
                "inputs, or give inputs=... to turn them into what it takes."
            ) from error

    def _read(self, answer: Any, n: int, account: Account) -> Float[Tensor, "row cls"]:
        self.calls += 1
        account.charge(n)
        rows = read_rows(answer, n=n, name=self.backend.facts.name, are_numbers=self.reader.output == "numbers")
        values = self.reader.probabilities(rows.values, rounding=rows.rounding)
        self._note_logits()
        for sentence in getattr(self.backend.backend, "notes", ()):
            self.note(sentence)
        if not self.class_names:
            self.class_names = rows.names or _numbered(values.shape[1])
        return values[:, self._order(rows.names, n_classes=values.shape[1])]

    def _order(self, names: tuple[str, ...], *, n_classes: int) -> list[int]:
        """Return where each class of ours stands in an answer."""
        who = self.backend.facts.name
        if len(self.class_names) != n_classes:
            raise InputError(
                f"`class_names` must hold {n_classes} names as {who} has {n_classes} classes, got "
                f"{len(self.class_names)}."
            )
        indices = list(range(n_classes))
        is_ours = set(names) == set(self.class_names) and len(set(names)) == n_classes
        if not names or (not is_ours and names == tuple(str(index) for index in indices)):
            return indices
        if not is_ours:
            raise InputError(
                f"`class_names` must be the classes that {who} names, {', '.join(map(repr, names[:6]))}, got "
                f"{', '.join(map(repr, self.class_names[:6]))}."
            )
        return [names.index(name) for name in self.class_names]

    def _keep(self, keys: Sequence[bytes], values: Tensor) -> dict[bytes, np.ndarray]:
        fresh = dict(zip(keys, values.numpy(), strict=True))
        self._store.keep(fresh, class_names=self.class_names, output=self.reader.output)
        if self._store.trouble:
            self.note(self._store.trouble)
        return fresh

    def _check_memory(self, row: Inputs, before: np.ndarray, account: Account) -> None:
        """Ask one row again that an earlier session kept: the predictor may be another one by now."""
        if not self._must_check:
            return
        again = self._check_again(row, before, account)
        if again is None or not account.allows_check():
            return
        third = self._read(self._call(row), 1, account)[0].numpy()
        if np.abs(third - again).max() <= _DRIFT:
            raise BlackBoxError(
                f"{self.backend.facts.name} must be the predictor whose answers the cache keeps, got another answer to "
                "the same input, twice the same. Give a new key=, or delete the cache."
            )

    def _check_again(self, row: Inputs, before: np.ndarray, account: Account) -> np.ndarray | None:
        """Ask one row a second time, once, where the budget has room; return the answer if it is another one."""
        if not self._must_check or not account.allows_check():
            return None
        again = self._read(self._call(row), 1, account)[0].numpy()
        self._must_check = False
        drift = float(np.abs(again - before).max())
        if drift <= _DRIFT:
            return None
        of = "" if self.reader.output == "numbers" else " in probability"
        self.note(
            f"not deterministic: the same input was answered differently by up to {drift:.2g}{of}; "
            "answers are kept as they came first"
        )
        return again

    def _note_logits(self) -> None:
        if self.reader.output == "logits":
            self.note(LOGITS_NOTE)
        if self.reader.output == "labels":
            self.note(LABELS_NOTE)

    def note(self, sentence: str) -> None:
        """Keep a sentence for the user, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)


def _numbered(n_classes: int) -> tuple[str, ...]:
    return ("answer",) if n_classes == 1 else tuple(str(index) for index in range(n_classes))


def _first_of_each(keys: Sequence[bytes], seen: set[bytes]) -> list[int]:
    rows = []
    for row, key in enumerate(keys):
        if key not in seen:
            seen.add(key)
            rows.append(row)
    return rows


def _in_one_order(batch: Inputs) -> Inputs:
    """Return a table column by column in memory: how its rows were put together decides that, and so the rounding."""
    if isinstance(batch, Tensor | list):
        return batch
    columns = {place: column.array.copy() for place, (_, column) in enumerate(batch.items())}
    return type(batch)(columns).set_axis(batch.columns, axis=1)


def _cancel(futures: dict[Future[Any], list[int]]) -> None:
    for future in futures:
        future.cancel()
