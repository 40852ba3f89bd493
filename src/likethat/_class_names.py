"""Which class of a model is meant: what a user asks for, and what the classes of a source are called."""

import difflib
import operator
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from likethat._checks import type_name
from likethat._imagenet import described, imagenet_index, imagenet_synonyms, is_wnid
from likethat._options import shown
from likethat.errors import TargetError

_SHOWN = 6  # names in an error
_KEPT = 12  # of three spellings each: the models that one process explains at a time
_WHOLE = re.compile(r"[+-]?\d{1,18}(\.0*)?")  # class names that stand for whole numbers


def resolve_target(target: int | str, class_names: Sequence[str]) -> int:
    """Return the class index of an index or a class name.

    Names are found as `find_classes` finds them. A whole number is an index. Where classes are named by numbers in
    another order (an estimator fitted on labels 1 and 2), it could as well be a label, and is refused.

    Raises:
        TargetError: out of range, unknown, or ambiguous.

    Example:
        >>> resolve_target(2, ["0", "1", "2"]), resolve_target("2", ["1", "2"]), resolve_target("CAT", ["dog", "cat"])
        (2, 1, 1)
    """
    if isinstance(target, bool | np.bool_) and str(target) in class_names:
        target = str(target)
    if not isinstance(target, str):
        return _unmistaken(_index_of(target), class_names)
    found = find_classes(target, class_names)
    if len(found) == 1:
        return found[0]
    if found:
        raise TargetError(f"`target` {target!r} names {len(found)} classes {found}. Give the index.")
    known = ", ".join(map(repr, class_names[:_SHOWN])) + (", …" if len(class_names) > _SHOWN else "")
    close = difflib.get_close_matches(target, class_names, n=1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    raise TargetError(f"`target` must be a class of the model, got {shown(target)}. It knows {known}.{meant}")


def _index_of(target: object) -> int:
    try:
        if not isinstance(target, bool | np.bool_ | type):
            return operator.index(target)  # type: ignore[arg-type]  # what is none, it says itself
    except TypeError:  # no whole number, or a tensor of several
        pass
    raise TargetError(f"`target` must be a class index or a class name, got {type_name(target)}.")


def _unmistaken(index: int, class_names: Sequence[str]) -> int:
    """Return an index if no other class is named by that number."""
    named = [at for at, name in enumerate(class_names) if _WHOLE.fullmatch(name) and float(name) == index]
    if not 0 <= index < len(class_names):
        hint = f" The class of that name is {class_names[named[0]]!r}, as text." if named else ""
        raise TargetError(f"`target` must be from 0 to {len(class_names) - 1}, got {index}.{hint}")
    if named and index not in named:
        label, other = class_names[named[0]], class_names[index]
        raise TargetError(
            f"`target` must be a class that is meant beyond doubt, got {index}: the class named {label!r}, or the one "
            f"at index {index}, which is {other!r}. Give the name as text, {label!r} or {other!r} (in a command, "
            f"name:{label} or name:{other})."
        )
    return index


@dataclass(kw_only=True, eq=False)
class ClassMatch:
    """The classes of a source beside those of a model.

    Attributes:
        partners: the model's class index of each source class that has a partner.
        ambiguous: the model's class indices of each that could be several, and therefore has none.
        unmatched: source classes that are no class of the model.
        assumed: what was taken for granted where names do not decide it, in one sentence; "" where they do.
    """

    partners: dict[str, int] = field(default_factory=dict)
    ambiguous: dict[str, tuple[int, ...]] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)
    assumed: str = ""


def match_classes(given: Sequence[str], known: Sequence[str]) -> ClassMatch:
    """Find the partner of each class of a source among the classes of a model.

    Each name is looked up as `find_classes` does; where it finds several there is no partner. A model whose classes
    have no names takes numbers as indices, or as many names as it has classes in the source's order; `assumed` says so.

    Args:
        given: names of the source's classes, in its order, each once.
        known: names of the model's classes; two may be the same.

    Example:
        >>> match_classes(["Cat", "guinea_pig", "yeti"], ["dog", "cat", "guinea pig"]).partners
        {'Cat': 1, 'guinea_pig': 2}
    """
    match = ClassMatch()
    for name in given:
        found = find_classes(name, known)
        if len(found) == 1:
            match.partners[name] = found[0]
        elif found:
            match.ambiguous[name] = tuple(found)
        else:
            match.unmatched.append(name)
    if given and are_unnamed(known) and not match.partners:
        return _by_place(given, len(known))
    return match


def are_unnamed(names: Sequence[str]) -> bool:
    """Return whether names are those that likethat or transformers give to classes without names.

    Example:
        >>> are_unnamed(["class 0", "class 1"]), are_unnamed(["LABEL_0"]), are_unnamed(["class 1", "cat"])
        (True, True, False)
    """
    return all(name in (f"class {index}", f"LABEL_{index}") for index, name in enumerate(names))


def find_classes(name: str, class_names: Sequence[str]) -> list[int]:
    """Return the classes of a model that a name can mean: none, one, or several that it does not tell apart.

    The first of these steps that finds any decides: the name as it stands; one of the synonyms that commas separate,
    as it stands ("Cardigan" is a dog, "cardigan" a garment); name or synonym without regard to case, and with spaces
    for underscores and hyphens; where the model's classes are ImageNet's, all words of WordNet for them. A WordNet
    number ("n01440764") is the class that it stands for.

    Example:
        >>> find_classes("Tinca_tinca", ["tench, Tinca tinca", "crane", "crane"])
        [0]
        >>> find_classes("crane", ["tench, Tinca tinca", "crane", "crane"])
        [1, 2]
    """
    names = tuple(class_names)
    index = imagenet_index(name, names) if is_wnid(name) else None
    if index is not None:
        return [index]
    for spelled, asked in ((_itself, _itself), (_synonyms, _itself), (_loosely, _loosely)):
        if found := _found(asked(name), _places(names, spelled)):
            return found
    words = imagenet_synonyms(names)
    return [] if words is None else _found(_loosely(name), _places(words, _loosely))


def _found(keys: list[str], places: dict[str, list[int]]) -> list[int]:
    return sorted({place for key in keys for place in places.get(key, ())})


@lru_cache(maxsize=_KEPT)
def _places(names: tuple[str, ...], spelled: Callable[[str], list[str]]) -> dict[str, list[int]]:
    """Return where each spelling of the names stands."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        for key in set(spelled(name)):
            places.setdefault(key, []).append(place)
    return places


def _itself(name: str) -> list[str]:
    return [name]


def _synonyms(name: str) -> list[str]:
    return [word for piece in name.split(",") if (word := piece.strip())]


def _loosely(name: str) -> list[str]:
    text = (described(name) or name) if is_wnid(name) else name
    # NFKC: a name from a macOS disk has its accents as letters of their own.
    plain = [unicodedata.normalize("NFKC", piece).casefold() for piece in (text, *_synonyms(text))]
    return [spelled for piece in plain if (spelled := " ".join(re.split(r"[-_\s]+", piece)).strip())]


def _by_place(given: Sequence[str], n_classes: int) -> ClassMatch:
    """Match with classes that have no names: by number, or in order where there are as many."""
    by_number = {name: int(name) for name in given if name.isascii() and name.isdecimal()}
    is_numbered = len(by_number) == len(given) and max(by_number.values()) < n_classes
    in_order = {name: index for index, name in enumerate(given)} if len(given) == n_classes else None
    advice = "Give the model its class names in their order: split(network, class_names=[...]), --class-names FILE."
    if is_numbered and in_order not in (None, by_number):
        return ClassMatch(
            unmatched=list(given),
            assumed="The classes of the images are numbered, and the model's have no names: the numbers could be its "
            f"class indices, or count as text, in whose order '10' comes before '2'. No label was used. {advice}",
        )
    if is_numbered:
        return ClassMatch(
            partners=by_number,
            assumed="The model's classes have no names: the numbers that the classes of the images are called by were "
            "taken for its class indices.",
        )
    if in_order is not None:
        first = ", ".join(f"{name!r} is class {index}" for name, index in list(in_order.items())[:3])
        return ClassMatch(
            partners=in_order,
            assumed=f"The model's classes have no names: the {n_classes:,} classes of the images were taken for them "
            f"in their order ({first}{', …' if n_classes > 3 else ''}). If that is wrong: {_lower(advice)}",
        )
    return ClassMatch(
        unmatched=list(given),
        assumed=f"The model's {n_classes:,} classes have no names, so nothing says which of them the {len(given):,} "
        f"of the images are. {advice}",
    )


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]
