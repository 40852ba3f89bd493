"""The banks of a server, and what finds their units by words."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from starlette.exceptions import HTTPException

from likethat.errors import InputError
from likethat.explanations import Bank
from likethat.report.bank_page import units_by_usage
from likethat.report.views import class_name, label_of


def name_for(path: Path) -> str:
    """Return what a bank's folder is called in addresses.

    Example:
        >>> name_for(Path("my banks/Owls & gulls"))
        'Owls-gulls'
    """
    return re.sub(r"[^A-Za-z0-9_.]+", "-", path.resolve().name).strip("-.") or "bank"


@dataclass(frozen=True, kw_only=True, eq=False)
class Shelved:
    """A bank as it is served.

    Attributes:
        name: in addresses.
        bank: with its model.
    """

    name: str
    bank: Bank

    @cached_property
    def stamp(self) -> str:
        """What tells this bank's pictures from those of another that once had its name: browsers keep them."""
        about = self.bank.provenance
        return hashlib.sha256(f"{about.fingerprint} {about.created} {about.seed}".encode()).hexdigest()[:16]

    @cached_property
    def units(self) -> tuple[int, ...]:
        """Those that have prototypes, the most used first."""
        return tuple(units_by_usage(self.bank))

    @cached_property
    def classes(self) -> Mapping[int, frozenset[int]]:
        """The classes of each unit's positive prototypes: those that the data gives, else the model's answers."""
        found: dict[int, set[int]] = {}
        for item in self.bank.prototypes:
            index = item.predicted if item.label is None else item.label
            if item.kind == "positive" and index is not None:
                found.setdefault(item.unit, set()).add(index)
        return {unit: frozenset(indices) for unit, indices in found.items()}

    @cached_property
    def words(self) -> Mapping[int, str]:
        """What is said of each unit's prototypes, for finding it: classes, parts, and where pictures came from."""
        found: dict[int, set[str]] = {}
        for item in self.bank.prototypes:
            predicted = None if item.predicted is None else class_name(self.bank.class_names, item.predicted)
            said = (label_of(item, self.bank.class_names), predicted, item.true_part, item.source)
            found.setdefault(item.unit, set()).update(one.casefold() for one in said if one)
        return {unit: "\n".join(sorted(said)) for unit, said in found.items()}

    def source_of(self, key: str) -> str:
        """Return where a picture of the bank came from; its key, where that is not known."""
        found = next((item.source for item in self.bank.prototypes if item.image == key), "")
        return found.replace("\\", "/").rsplit("/", 1)[-1] or key

    def found(self, words: str, target: int | None, least: float, order: str) -> list[int]:
        """Return the units that match.

        Args:
            words: all of them stand in the unit's name, or in what is said of its prototypes.
            target: a class that one of its prototypes has; None for any.
            least: its purity at least.
            order: ``"usage"``, ``"purity"`` or ``"name"``.
        """
        names, purity = self.bank.unit_names, np.nan_to_num(self.bank.unit_purity, nan=-1.0)
        wanted = words.casefold().split()
        matching = [
            unit
            for unit in self.units
            if (target is None or target in self.classes.get(unit, ()))
            and (least <= -1 or purity[unit] >= least)
            and all(word in names[unit].casefold() or word in self.words.get(unit, "") for word in wanted)
        ]
        if order == "purity":
            matching.sort(key=lambda unit: -float(purity[unit]))
        elif order == "name":
            matching.sort(key=lambda unit: _natural(names[unit]))
        return matching


def _natural(name: str) -> list[tuple[int, int | str]]:
    """Return a key that puts channel 9 before channel 10."""
    return [(0, int(part)) if part.isdecimal() else (1, part.casefold()) for part in re.split(r"(\d{1,18})", name)]


class Shelf:
    """The banks of a server, in the order given.

    Args:
        banks: by name.

    Attributes:
        names: of all.

    Raises:
        InputError: there is none.
    """

    def __init__(self, banks: Mapping[str, Bank]) -> None:
        if not banks:
            raise InputError("`banks` must hold one bank or more, got none. Make one with likethat fit.")
        self._shelved = {name: Shelved(name=name, bank=bank) for name, bank in banks.items()}
        self.names = tuple(self._shelved)

    def named(self, name: str) -> Shelved:
        """Return the bank of a name; the first where none is named.

        Raises:
            HTTPException: 404, there is none.
        """
        if name and name not in self._shelved:
            raise HTTPException(404, f"No bank is called {name[:80]!r} here. There are: {', '.join(self.names)}.")
        return self._shelved[name or self.names[0]]
