"""What WordNet numbers ("n01440764") stand for, as timm knows them; nothing where timm is not installed."""

import re
from functools import lru_cache
from typing import Any

from likethat._checks import require
from likethat.errors import MissingExtraError

_WNID = re.compile(r"n\d{8}")
_ALIKE = 0.95  # share of names that must agree with ImageNet's for a model's classes to be ImageNet's
_LEAST = 1000  # classes of the smallest set
_ALL = 21843  # classes of the largest set that timm describes


def is_wnid(name: str) -> bool:
    """Return whether a name is the number of a WordNet noun, as ImageNet's folders are called."""
    return _WNID.fullmatch(name) is not None


def described(wnid: str) -> str | None:
    """Return the words that a WordNet number stands for, such as "tench, Tinca tinca"; None where not known."""
    return _words(_ALL).get(wnid)


def imagenet_names(n_classes: int) -> tuple[str, ...] | None:
    """Return the names of ImageNet's classes in their order (1,000, or a larger set); None for other numbers."""
    return tuple(_words(n_classes).values()) or None


def imagenet_synonyms(names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return all words for each class where class names are ImageNet's; None where they are not."""
    return imagenet_names(len(names)) if _are_imagenets(names) else None


@lru_cache(maxsize=4096)
def imagenet_index(wnid: str, names: tuple[str, ...]) -> int | None:
    """Return the index of a WordNet number among class names that are ImageNet's; None where they are not.

    Words alone do not tell: two of ImageNet's classes are called "crane".
    """
    wnids = list(_words(len(names))) if _are_imagenets(names) else []
    return wnids.index(wnid) if wnid in wnids else None


@lru_cache(maxsize=64)
def _are_imagenets(names: tuple[str, ...]) -> bool:
    words = [{piece.strip().casefold() for piece in (one, *one.split(","))} for one in _words(len(names)).values()]
    if not words:
        return False
    same = sum(name.casefold().partition(",")[0] in known for name, known in zip(names, words, strict=True))
    return same >= _ALIKE * len(names)


@lru_cache(maxsize=4)
def _words(n_classes: int) -> dict[str, str]:
    """Return what each WordNet number of ImageNet's set of that many classes stands for, in their order."""
    if n_classes < _LEAST:
        return {}  # without importing timm, which takes seconds
    try:
        timm: Any = require("timm.data.imagenet_info", purpose="Reading WordNet numbers")
    except MissingExtraError:
        return {}
    subset = timm.infer_imagenet_subset({"num_classes": n_classes})
    found: dict[str, str] = {} if subset is None else timm.ImageNetInfo(subset).label_descriptions(as_dict=True)
    return found if len(found) == n_classes else {}
