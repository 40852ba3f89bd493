"""Where questions to the models wait their turn: few at once, a bounded number in the queue, the rest refused."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from starlette.exceptions import HTTPException

from likethat.serve.limits import Limits

_Done = TypeVar("_Done")
_AGAIN = "5"  # seconds: several explanations are done by then


class Desk:
    """Runs what takes a model's time in threads of its own, so that pages are served meanwhile.

    Args:
        limits: how many at once, and how many may wait.
    """

    def __init__(self, limits: Limits) -> None:
        self._pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="likethat-serve")
        self._most, self._waiting = limits.waiting, 0

    async def run(self, work: Callable[[], _Done]) -> _Done:
        """Return what `work` returns, once it had its turn.

        Raises:
            HTTPException: 503 where too many wait already.
        """
        if self._waiting >= self._most:
            raise HTTPException(
                503, f"{self._waiting} questions wait already. Ask again in a moment.", {"Retry-After": _AGAIN}
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1
