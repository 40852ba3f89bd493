"""Run the shape annotations of likethat: every array that is given or returned has the sizes that its hint says."""

from collections.abc import Callable
from typing import Any

from beartype import beartype
from jaxtyping import AbstractArray

_RETURNED = "ret0"
"""How jaxtyping names the result that it hands to a check after the call, beside the arguments."""


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a check of arrays alone, once a call is through: what does not fit, likethat's own sentence is to say."""
    hints = function.__annotations__
    arrays = {name: hint for name, hint in hints.items() if isinstance(hint, type(AbstractArray))}
    is_record = function.__name__ == "__init__"  # what comes from a file, the reader of files checks
    if _RETURNED not in hints or not arrays or is_record:
        return function
    function.__annotations__ = arrays
    return beartype(function)
