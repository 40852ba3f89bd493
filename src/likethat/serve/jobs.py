"""Searches that visitors ask for: few at once, each says how far it is, and ends when it is told to."""

import dataclasses
import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from starlette.exceptions import HTTPException
from torch import Tensor

from likethat._progress import Clock, Progress, Watcher
from likethat.errors import LikethatError
from likethat.serve.limits import Limits

_log = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class Job:
    """A search that a visitor asked for.

    Attributes:
        visitor: who.
        bank: whose model is asked, by name.
        title: what is sought, in words.
        back: address of the page from which it was asked for.
        key: in addresses.
        progress: how far it was when it last said so; None before the model's first answer.
        since: tells how long ago that is.
        found: what it found, also where it was stopped; None until it has ended, or where it found nothing.
        said: why it found nothing; "" where it found something.
        is_running: whether it had its turn.
        has_ended: whether it is over.
        stopping: set by whoever wants it to end.
    """

    visitor: str
    bank: str
    title: str
    back: str
    key: str = field(default_factory=lambda: secrets.token_hex(16))  # nobody guesses one among 2 ** 128
    progress: Progress | None = None
    since: Clock = field(default_factory=Clock)
    found: Any = None
    said: str = ""
    is_running: bool = False
    has_ended: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)

    def watch(self, report: Progress) -> None:
        """Note how far it is; end the search, with what it has found, where somebody wants that."""
        self.progress, self.since = report, Clock()
        if self.stopping.is_set():
            raise KeyboardInterrupt

    @property
    def seconds_left(self) -> float | None:
        """How long it will take at most, at its pace; None where that is not known."""
        at = self.progress
        return None if at is None or at.seconds_left is None else max(0.0, at.seconds_left - self.since.seconds)

    @property
    def share(self) -> float | None:
        """How much of it is done, in [0, 1], by what it counts or by its time; None where neither is known."""
        at, left = self.progress, self.seconds_left
        if at is None or self.has_ended:
            return None if at is None else 1.0
        counted = at.done / at.total if at.total else None
        spent = at.seconds + self.since.seconds
        timed = None if left is None or not spent + left else spent / (spent + left)
        return max((min(1.0, one) for one in (counted, timed) if one is not None), default=None)

    def run(self, work: Callable[[Watcher], Any]) -> None:
        """Do the work, and note what came of it."""
        self.is_running = True
        try:
            if not self.stopping.is_set():
                self.found = work(self.watch)
        except LikethatError as error:
            self.said = str(error)
        except KeyboardInterrupt:
            pass  # before there was anything to keep
        except Exception:
            _log.exception("a search failed")
            self.said = "The search broke off; the server's log says where."
        if self.found is None:
            self.said = self.said or "It was stopped before the model's first answers: nothing was found."
        self.has_ended = True


class Jobs:
    """Runs searches in threads of their own, beside the pages and the explanations.

    Args:
        limits: how many at once, how many may wait, and how much of what they found is kept; the oldest goes first.
    """

    def __init__(self, limits: Limits) -> None:
        self._pool = ThreadPoolExecutor(limits.searches, thread_name_prefix="likethat-search")
        self._limits = limits
        self._kept: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, job: Job, work: Callable[[Watcher], Any]) -> None:
        """Let a search wait for its turn.

        Raises:
            HTTPException: 429 where the visitor has as many as one may, 503 where too many wait already.
        """
        with self._lock:
            waiting = [one for one in self._kept.values() if not one.has_ended]
            if sum(one.visitor == job.visitor for one in waiting) >= self._limits.asked:
                raise HTTPException(
                    429, f"You have {self._limits.asked} searches that have not ended. Stop one, or wait for it."
                )
            if len(waiting) >= self._limits.queued:
                raise HTTPException(503, f"{len(waiting)} searches wait already. Ask again later.")
            self._let_go(job.visitor)
            self._kept[job.key] = job
        self._pool.submit(job.run, work)

    def get(self, visitor: str, key: str) -> Job:
        """Return a visitor's own search.

        Raises:
            HTTPException: 404, it is gone, or somebody else's.
        """
        job = self._kept.get(key)
        if job is None or job.visitor != visitor:
            raise HTTPException(404, "That search is not here: older ones make place for new ones. Ask again.")
        return job

    def own(self, visitor: str, bank: str) -> list[Job]:
        """Return a visitor's searches in a bank's model, the latest first."""
        with self._lock:
            return [job for job in reversed(self._kept.values()) if (job.visitor, job.bank) == (visitor, bank)]

    def before(self, job: Job) -> int:
        """Return how many searches have their turn before one that waits."""
        with self._lock:
            earlier = list(self._kept)[: list(self._kept).index(job.key)]
            return sum(not self._kept[key].has_ended for key in earlier)

    def end(self) -> None:
        """Stop all searches, and wait until they have ended."""
        with self._lock:
            for job in self._kept.values():
                job.stopping.set()
        self._pool.shutdown(cancel_futures=True)

    def _let_go(self, visitor: str) -> None:
        """Let go of the oldest results, so that there is place for one more."""
        ended = [job for job in self._kept.values() if job.has_ended]
        own = [job for job in ended if job.visitor == visitor]
        gone = own[: max(0, len(own) + 1 - self._limits.results)]
        left = [job for job in ended if job not in gone]
        while left and sum(_size(job.found) for job in left) > self._limits.found:
            gone.append(left.pop(0))
        for job in gone:
            del self._kept[job.key]


def _size(found: Any) -> int:
    """Return about how many bytes a result takes: those of its arrays.

    Example:
        >>> _size((np.zeros(3), [np.zeros(2)], "abc"))
        40
    """
    if isinstance(found, Tensor | np.ndarray):
        return found.nbytes
    if dataclasses.is_dataclass(found):
        return sum(_size(getattr(found, one.name)) for one in dataclasses.fields(found))
    return sum(map(_size, found)) if isinstance(found, tuple | list) else 0
