"""Names that people give units: what may be one, and how they stand in files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from likethat._checks import check_count
from likethat._documents import Damaged, read_json, typed
from likethat._options import shown
from likethat.errors import InputError

_LONGEST = 120  # signs: two lines of a page; a name is no description


def check_name(name: Any, unit: int, own: Sequence[str]) -> str:
    """Return a name for a unit, without blanks around it.

    Args:
        name: as given.
        unit: its number.
        own: the units' own names.

    Raises:
        InputError: no line of text, too long, or another unit's own name, which would stand for two.
    """
    given = name.strip() if isinstance(name, str) else ""
    if not given or not given.isprintable() or len(given) > _LONGEST:
        raise InputError(
            f"`name` must be one line of 1 to {_LONGEST} printable signs, got {shown(name)}. Give None to put the "
            "unit's own name back."
        )
    if given in own and own[unit] != given:
        raise InputError(f"`name` must not be another unit's own name, got {given!r} for unit {unit}. Choose another.")
    return given


def is_name(name: str, unit: int, own: Sequence[str]) -> bool:
    """Return whether a unit may be called so, see `check_name`."""
    try:
        return check_name(name, unit, own) == name
    except InputError:
        return False


def unit_called(unit: Any, called: Sequence[str]) -> int:
    """Return the number of a unit that is given by its number or by what it is called.

    Raises:
        InputError: no such unit, or several of that name.
    """
    if not isinstance(unit, str):
        number = check_count(unit, name="unit", minimum=0)
        if number >= len(called):
            raise InputError(f"`unit` must be from 0 to {len(called) - 1}, got {number}.")
        return number
    found = [number for number, name in enumerate(called) if name == unit]
    if len(found) != 1:
        several = f"of {', '.join(map(str, found[:5]))}" if found else "of none"
        raise InputError(
            f"`unit` must be the name of one unit, got {unit[:60]!r}, which is {several}. Give its number."
        )
    return found[0]


def read_names(path: str | Path) -> dict[int, str | None]:
    """Return names of units from a JSON file: ``{"12": "beak"}``; null puts a unit's own name back.

    Raises:
        InputError: no such file, or something else in it.
    """
    try:
        document = typed(read_json(path), dict[str, str | None])
        return {_number(key): name for key, name in document.items()}
    except Damaged as error:
        raise InputError(
            f'`path` must be a JSON file of names by unit, such as {{"12": "beak"}}, got {path}, which {error}.'
        ) from error


def names_of(named: Mapping[str, str] | None, own: Sequence[str]) -> dict[int, str]:
    """Return the names in a bank's manifest by unit.

    Raises:
        Damaged: a unit that the bank does not have, or what is no name.
    """
    found = {_number(key): name for key, name in (named or {}).items()}
    for unit, name in found.items():
        if unit >= len(own):
            raise Damaged(f"it names the unit {unit}, of {len(own)}")
        check_name(name, unit, own)
    return found


def _number(key: str) -> int:
    if not (key.isascii() and key.isdigit() and len(key) <= 9 and str(int(key)) == key):
        raise Damaged(f"names the unit {key[:40]!r}, which is no number")
    return int(key)
