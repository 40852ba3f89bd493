"""What many searches under way want computed: one call for the rows of all."""

import threading
from collections.abc import Callable
from typing import Any, TypeAlias

Wait: TypeAlias = Callable[[Callable[..., Any], tuple[Any, ...]], Any]

_here = threading.local()


def jointly(function: Callable[..., Any], *rows: Any) -> Any:
    """Return function(*rows); where searches take turns, in one call with the rows of others that want the same.

    Args:
        function: gives each row what it would alone; a tensor or a table, one row each.
        *rows: tensors or arrays, of as many rows each.

    Example:
        >>> jointly(abs, -3)
        3
    """
    wait: Wait | None = getattr(_here, "wait", None)
    return function(*rows) if wait is None else wait(function, rows)


def take_turns(wait: Wait) -> None:
    """From now on let `wait` compute what this thread wants jointly."""
    _here.wait = wait
