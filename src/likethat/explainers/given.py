"""The inputs of `explain_all`, in whatever form they come: their names, and each one when its turn comes."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from likethat._inputs import digests
from likethat.errors import InputError
from likethat.explainers.freemcg.inputs import is_file
from likethat.generators.reading import TABLES
from likethat.generators.table.files import read_table
from likethat.generators.text.files import read_texts
from likethat.sources import as_source
from likethat.sources.reading import name_of
from likethat.sources.signature import signature_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Given:
    """What is explained, one after the other.

    Attributes:
        names: of all.
        one: gives the input at a place, as `explain` takes it.
        kind: "image", "table" or "text".
        mark: a digest that the same inputs have again.
    """

    names: Sequence[str]
    one: Callable[[int], Any]
    kind: str
    mark: str


def read_given(inputs: Any) -> Given:
    """Take inputs in whatever form they come.

    Raises:
        InputError: none, or no inputs of one kind.
    """
    if isinstance(inputs, str | Path) and Path(inputs).suffix.lower() in (*TABLES, ".txt"):
        inputs = read_table(inputs) if Path(inputs).suffix.lower() in TABLES else read_texts(inputs)
    if hasattr(inputs, "columns") and hasattr(inputs, "iloc"):
        marks, names = digests(inputs), [f"row {label}" for label in inputs.index]
        return Given(names=_filled(names), one=lambda at: inputs.iloc[[at]], kind="table", mark=mark_of(marks))
    if isinstance(inputs, list | tuple | np.ndarray) and len(inputs) and all(isinstance(one, str) for one in inputs):
        texts = [str(one) for one in inputs]
        if not all(is_file(one) for one in texts):  # or a picture each
            names = [one if len(one) <= 80 else f"{one[:79]}…" for one in texts]
            return Given(names=names, one=lambda at: texts[at], kind="text", mark=mark_of(digests(texts)))
    return _images(inputs)


def _images(inputs: Any) -> Given:
    source: Any = as_source(inputs)
    if not hasattr(source, "__len__"):
        raise InputError("`inputs` must be images that can be counted, got a stream. Give list(stream).")
    names = _filled([name_of(source, at) for at in range(len(source))])
    return Given(names=names, one=lambda at: source[at], kind="image", mark=str(signature_of(source)))


def _filled(names: list[str]) -> list[str]:
    if not names:
        raise InputError("`inputs` must hold at least one input, got none.")
    return names


def mark_of(marks: Sequence[bytes]) -> str:
    """Return one digest of many."""
    return hashlib.sha256(b"".join(marks)).hexdigest()
