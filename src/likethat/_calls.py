"""What a public function does about calls of it, and about functions of the user's that it calls itself."""

import difflib
import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from likethat.errors import ArgumentError, InputError, LikethatError

_Public = TypeVar("_Public", bound=Callable[..., Any])


def public(thing: _Public) -> _Public:
    """Say in one sentence which argument of a public function, or of a class's methods, does not exist or is missing.

    Python before 3.13 names no argument that may have been meant. Other errors pass as they are.

    Raises:
        ArgumentError: from the function, for a call that does not fit its signature.
    """
    if not isinstance(thing, type):
        return _told(thing, thing.__name__)
    for name, member in list(vars(thing).items()):
        if name.startswith("_") and name not in ("__init__", "__call__"):
            continue
        called = thing.__name__ if name == "__init__" else f"{thing.__name__}.{name}"
        if inspect.isfunction(member):
            setattr(thing, name, _told(member, called))
        elif isinstance(member, classmethod):
            setattr(thing, name, classmethod(_told(member.__func__, called)))
    return thing


def _told(function: Any, name: str) -> Any:
    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            if isinstance(error, LikethatError):
                raise
            complaint = _complaint(function, name, args, kwargs)
            if complaint:
                raise ArgumentError(complaint) from error
            raise

    return called


def _complaint(function: Any, name: str, args: Any, kwargs: dict[str, Any]) -> str:
    """Return what does not fit about a call, or "" where it fits."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        known = {each: one for each, one in signature.parameters.items() if each not in ("self", "cls")}
        strange = next((each for each in kwargs if each not in known), None)
        if strange is not None:
            moved = getattr(args[0], "moved", {}).get(strange) if args else None
            return f"`{strange}` is no argument of {name}.{f' {moved}' if moved else _meant(strange, list(known))}"
        places = [each for each, one in known.items() if one.kind is not one.KEYWORD_ONLY]
        n_given = len(args) - (len(signature.parameters) - len(known))
        if n_given > len(places):
            by_place = ", ".join(places) or "nothing"
            return f"{name} must be called with {by_place} and the rest by name, got {n_given} values."
        given = {*places[:n_given], *kwargs}
        missing = [each for each, one in known.items() if one.default is one.empty and each not in given]
        return f"{name} must be called with `{missing[0]}`, got none." if missing else f"{name}: {error}."
    return ""


def _meant(strange: str, known: list[str]) -> str:
    close = difflib.get_close_matches(strange, known, n=1, cutoff=0.5)
    return f" Did you mean `{close[0]}`?" if close else f" It takes {', '.join(known)}."


def known_options(options: Any, known: list[str], *, of: str) -> None:
    """Refuse options that nobody would read, with the closest that exists.

    Raises:
        ArgumentError: one that is not known.
    """
    strange = next((name for name in options if name not in known), None)
    if strange is not None:
        raise ArgumentError(f"`{strange}` is no option of {of}.{_meant(strange, known)}")


@contextmanager
def foreign(what: str, advice: str = "Try it alone first.") -> Iterator[None]:
    """Turn what a function of the user's raises into one sentence; our own errors and Ctrl-C pass.

    Args:
        what: the thing that was called, such as "`transform`".
        advice: what to do.

    Raises:
        InputError: it raised.
    """
    try:
        yield
    except LikethatError:
        raise
    except Exception as error:
        line = next(iter(str(error).strip().splitlines()), "")[:200]
        said = f"{type(error).__name__}: {line}" if line else type(error).__name__
        raise InputError(f"{what} must not fail, got {said.removesuffix('.')}. {advice}") from error


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line of the user's that called us, however deep we are and whoever's decorators lie between.

    Python from 3.12 on can nearly do it itself (`skip_file_prefixes`).
    """
    ours = str(Path(__file__).parent)
    outside, level, frame = 2, 2, sys._getframe(1)
    while frame.f_back is not None:
        frame, level = frame.f_back, level + 1
        file = frame.f_code.co_filename
        checks_shapes = level == outside + 1 and "jaxtyping" in Path(file).parts  # at run time, right round ours
        if file.startswith(ours) or checks_shapes:
            outside = level
    warnings.warn(message, category, stacklevel=outside + 1)
