"""Checks of options: numbers, flags, paths, names. Each takes what a user may write, or says so in one sentence."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from likethat.errors import InputError

_UNITS = " kmgt"
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_LONGEST_PATH, _LONGEST_NAME = 4095, 255  # of the usual file systems
_MOST_SHOWN = 80  # characters of a value in a sentence


def shown(value: object) -> str:
    """Return a value as a sentence shows it: one short line, the type alone where the value says nothing.

    Example:
        >>> shown("a"), shown(object()), shown(int), shown([1] * 99)[-6:]
        ("'a'", 'an object', 'the class int', ', 1, …')
    """
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if value is None or isinstance(value, bool | int | float | str | bytes | list | tuple | set | dict):
        try:
            text = " ".join(repr(value).split())
        except Exception:  # something in it that cannot be shown
            text = f"a {type(value).__name__}"
        return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 2]} …"
    if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:
        return str(value)
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def check_number(
    value: Any,
    *,
    name: str,
    low: float = 0.0,
    high: float = float("inf"),
    with_low: bool = True,
    with_high: bool = True,
) -> float:
    """Return a finite number between two bounds; NumPy's and torch's single numbers are numbers, truth values not.

    Raises:
        InputError: something else.

    Example:
        >>> check_number(3, name="condition", low=1)
        3.0
    """
    number = _as_float(value)
    fits = (low <= number if with_low else low < number) and (number <= high if with_high else number < high)
    if not fits or number == float("inf"):  # NaN fits nothing
        least = f"{'of at least' if with_low else 'above'} {low:g}"
        most = "" if high == float("inf") else f" and {'at most' if with_high else 'below'} {high:g}"
        if most and with_low and with_high:
            least, most = f"from {low:g}", f" to {high:g}"
        raise InputError(f"`{name}` must be a number {least}{most}, got {shown(value)}.")
    return number


def _as_float(value: Any) -> float:
    """Return a single real number, NaN where it is none."""
    kind = type(value).__module__.partition(".")[0]
    is_single = isinstance(value, int | float) or (kind in ("numpy", "torch") and getattr(value, "ndim", 1) == 0)
    if isinstance(value, bool) or not is_single or "bool" in str(getattr(value, "dtype", "")):
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return float("nan")


def check_flag(value: Any, *, name: str) -> bool:
    """Return True or False; texts such as "no", which Python takes for true, and numbers are refused.

    Raises:
        InputError: something else.
    """
    if not isinstance(value, bool) and type(value).__name__ not in ("bool", "bool_"):
        raise InputError(f"`{name}` must be True or False, got {shown(value)}.")
    return bool(value)


def check_text(value: Any, *, name: str) -> str:
    """Return a text.

    Raises:
        InputError: something else.
    """
    if not isinstance(value, str):
        raise InputError(f"`{name}` must be text, got {shown(value)}.")
    return value


def check_path(value: Any, *, name: str = "path") -> Path:
    """Return the path that a text or `Path` names; whether anything lies there is not asked.

    Raises:
        InputError: something else, an empty text, or a character that no path has.
    """
    if isinstance(value, bytes) or not isinstance(value, str | os.PathLike):
        raise InputError(f"`{name}` must be a path, as text or pathlib.Path, got {shown(value)}.")
    text = os.fspath(value)
    is_possible = isinstance(text, str) and bool(text.strip()) and "\0" not in text
    if not is_possible:
        raise InputError(f"`{name}` must be a path, as text or pathlib.Path, got {shown(text)}.")
    longest = max(map(len, Path(text).parts), default=0)
    if len(os.fsencode(text)) > _LONGEST_PATH or longest > _LONGEST_NAME:
        raise InputError(
            f"`{name}` must be a path of names of at most {_LONGEST_NAME} signs, {_LONGEST_PATH:,} bytes in all, got "
            f"{shown(text)}, with a name of {longest} signs. Choose a shorter one."
        )
    return Path(text)


def check_callable(value: Any, *, name: str, takes: str) -> Callable[..., Any] | None:
    """Return a function, or None where there is none.

    Raises:
        InputError: something that cannot be called, or a class, of which an instance is meant.
    """
    if value is not None and (not callable(value) or isinstance(value, type)):
        raise InputError(f"`{name}` must be a function of {takes}, or None, got {shown(value)}.")
    found: Callable[..., Any] | None = value
    return found


def check_names(value: Any, *, name: str = "class_names") -> tuple[str, ...]:
    """Return names in their order; numbers count as names, a single text does not count as letters.

    Raises:
        InputError: no list of names, or one with something else in it.
    """
    is_list = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | set | frozenset | type)
    names = list(value) if is_list else [None]
    if not all(isinstance(item, str) or (hasattr(item, "__index__") and not isinstance(item, bool)) for item in names):
        raise InputError(f"`{name}` must be a list of names, one a class, got {shown(value)}.")
    return tuple(str(item) for item in names)


def check_columns(value: Any, *, name: str = "columns") -> list[str]:
    """Return names of columns in their order, at least one.

    Raises:
        InputError: no list of names.
    """
    try:
        names = list(check_names(value, name=name))
    except InputError:
        names = []
    if not names:
        raise InputError(f"`{name}` must be a list of names of columns, got {shown(value)}.")
    return names


def byte_count(value: Any, *, name: str = "memory_budget") -> int:
    """Return the bytes of a size: a whole number, or a text such as ``"2GB"`` or ``"1.5 GiB"``.

    Raises:
        InputError: it is no size, or none at all.

    Example:
        >>> byte_count("2GB"), byte_count("1.5 GiB"), byte_count(500_000)
        (2000000000, 1610612736, 500000)
    """
    if isinstance(value, str):
        match = _SIZE.fullmatch(value)
        base = 0 if match is None else (1024 if match[3] else 1000) ** _UNITS.index(match[2].lower() or " ")
        size = 0 if match is None else float(match[1]) * base
    else:
        size = _as_float(value)
    if not 1 <= size < 2**63:
        raise InputError(f"`{name}` must be a size such as 500MB or 2GB, got {shown(value)}.")
    return int(size)
