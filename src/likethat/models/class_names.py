"""Which class of a model each class of a source is: by its name, never by its place alone."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from likethat._checks import synonyms
from likethat.models._imagenet import described, imagenet_index, imagenet_synonyms, is_wnid


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

    A name is compared as it stands, with each synonym as it stands ("Cardigan" is a dog, "cardigan" a garment), then
    without regard to case, then with spaces for underscores and hyphens, then
    with each of the synonyms that a comma separates ("tench, Tinca tinca"), and a WordNet number ("n01440764") with
    what it stands for. Where one of these steps finds several classes there is no partner. A model whose classes have
    no names takes numbers as indices, or as many names as it has classes in the source's order; `assumed` says so.

    Args:
        given: names of the source's classes, in its order, each once.
        known: names of the model's classes; two may be the same.

    Example:
        >>> match_classes(["Cat", "guinea_pig", "yeti"], ["dog", "cat", "guinea pig"]).partners
        {'Cat': 1, 'guinea_pig': 2}
    """
    match = ClassMatch()
    names = _KnownNames(names=tuple(known))
    for name in given:
        found = names.find(name)
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


@dataclass(kw_only=True, eq=False)
class _KnownNames:
    """The classes of a model, to be found by name."""

    names: tuple[str, ...]

    def find(self, name: str) -> list[int]:
        """Return the classes that the first step which knows the name finds."""
        if is_wnid(name):
            index = imagenet_index(name, self.names)
            if index is not None:
                return [index]
        for spelled in (_itself, synonyms, _folded, _spaced):
            found = self._at(self._spelled[spelled], _itself(name) if spelled is synonyms else spelled(name))
            if found:
                return found
        return self._at(self._synonyms, _synonyms(name))

    @staticmethod
    def _at(index: dict[str, list[int]], keys: Iterable[str]) -> list[int]:
        return sorted({place for key in keys for place in index.get(key, ())})

    @cached_property
    def _spelled(self) -> dict[Callable[[str], list[str]], dict[str, list[int]]]:
        return {spelled: _index(self.names, spelled) for spelled in (_itself, synonyms, _folded, _spaced)}

    @cached_property
    def _synonyms(self) -> dict[str, list[int]]:
        index = _index(self.names, _synonyms)
        for place, words in enumerate(imagenet_synonyms(self.names) or ()):
            for key in _synonyms(words):
                index[key] = sorted({*index.get(key, ()), place})
        return index


def _index(known: Sequence[str], spelled: Callable[[str], list[str]]) -> dict[str, list[int]]:
    index: dict[str, list[int]] = {}
    for place, name in enumerate(known):
        for key in set(spelled(name)):
            index.setdefault(key, []).append(place)
    return index


def _itself(name: str) -> list[str]:
    return [name]


def _folded(name: str) -> list[str]:
    # NFKC: a name from a macOS disk has its accents as letters of their own.
    return [" ".join(unicodedata.normalize("NFKC", name).casefold().split())]


def _spaced(name: str) -> list[str]:
    return _folded(re.sub(r"[-_\s]+", " ", name))


def _synonyms(name: str) -> list[str]:
    text = (described(name) or name) if is_wnid(name) else name
    return [spelled for piece in (text, *text.split(",")) if (spelled := _spaced(piece)[0])]


def _by_place(given: Sequence[str], n_classes: int) -> ClassMatch:
    """Match with classes that have no names: by number, or in order where there are as many."""
    by_number = {name: int(name) for name in given if name.isascii() and name.isdecimal()}
    is_numbered = len(by_number) == len(given) and max(by_number.values()) < n_classes
    in_order = {name: index for index, name in enumerate(given)} if len(given) == n_classes else None
    advice = "Give the model its class names in their order: split(network, class_names=[...])."
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
