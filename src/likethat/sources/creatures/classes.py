"""The 24 kinds of creature and the parts that tell them apart.

Six families of four. Inside a family three parts vary, each between two variants, as the half fraction of a 2 x 2 x 2
design: any two members differ in exactly two parts, so each of the three matters and yet none of them alone decides.
Every variant of a part is worn by creatures of at least two families, hence no single part gives the class away.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["bird", "beast"]

PART_NAMES: tuple[str, ...] = ("body", "head", "eye", "mouth", "crown", "wing", "tail", "legs")
"""The eight parts that every creature has, bird or beast."""

REMOVABLE_PARTS: tuple[str, ...] = ("eye", "mouth", "crown", "wing", "tail", "legs")
"""The parts that can be left out. Body and head carry the others: they can be swapped only."""

VARIANTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "body": ("spotted", "striped", "bellied", "scaled"),
        "head": ("capped", "masked", "hooded", "cheeked"),
        "eye": ("round", "ringed", "almond", "sleepy"),
        "mouth": ("cone", "curved", "hooked", "snout", "trunk"),
        "crown": ("tuft", "horns", "ears", "antlers"),
        "wing": ("barred", "pointed", "round", "leaf"),
        "tail": ("forked", "fan", "curled", "ringed"),
        "legs": ("thin", "webbed", "booted", "hoofed"),
    }
)
"""The variants of each part; any of them can be drawn on any creature."""


@dataclass(frozen=True, kw_only=True)
class _Family:
    kind: Kind
    shared: Mapping[str, str]
    varied: Mapping[str, tuple[str, str]]
    names: tuple[str, str, str, str]

    def members(self) -> list[dict[str, str]]:
        rows = []
        for levels in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)):
            chosen = {part: pair[level] for (part, pair), level in zip(self.varied.items(), levels, strict=True)}
            worn = {**self.shared, **chosen}
            rows.append({part: worn[part] for part in PART_NAMES})
        return rows


_FAMILIES = (
    _Family(
        kind="bird",
        shared={"body": "spotted", "head": "capped", "eye": "round", "wing": "round", "legs": "thin"},
        varied={"mouth": ("cone", "curved"), "crown": ("tuft", "horns"), "tail": ("forked", "fan")},
        names=("tufted swallow-finch", "horned fan-finch", "tufted sickle-finch", "horned sickle-finch"),
    ),
    _Family(
        kind="bird",
        shared={"body": "striped", "head": "masked", "mouth": "curved", "crown": "tuft", "tail": "forked"},
        varied={"eye": ("ringed", "round"), "wing": ("barred", "pointed"), "legs": ("thin", "webbed")},
        names=("ring-eyed reed wader", "ring-eyed paddle wader", "bright-eyed paddle wader", "bright-eyed dart wader"),
    ),
    _Family(
        kind="bird",
        shared={"eye": "almond", "crown": "ears", "wing": "pointed", "tail": "curled", "legs": "webbed"},
        varied={"mouth": ("cone", "hooked"), "head": ("capped", "hooded"), "body": ("spotted", "bellied")},
        names=("speckled cap owl", "russet hood owl", "russet hook owl", "speckled hook owl"),
    ),
    _Family(
        kind="beast",
        shared={"body": "bellied", "head": "hooded", "eye": "ringed", "wing": "barred", "legs": "booted"},
        varied={"mouth": ("snout", "trunk"), "tail": ("ringed", "curled"), "crown": ("ears", "antlers")},
        names=("long-eared lantern fox", "antlered curl fox", "antlered trunk fox", "long-eared trunk fox"),
    ),
    _Family(
        kind="beast",
        shared={"body": "scaled", "head": "cheeked", "crown": "horns", "tail": "fan", "legs": "hoofed"},
        varied={"mouth": ("snout", "trunk"), "wing": ("round", "leaf"), "eye": ("almond", "sleepy")},
        names=("plum meadow calf", "sleepy leaf calf", "sleepy trunk calf", "leaf-winged trunk calf"),
    ),
    _Family(
        kind="beast",
        shared={"eye": "sleepy", "mouth": "hooked", "crown": "antlers", "wing": "leaf", "tail": "ringed"},
        varied={"body": ("striped", "scaled"), "head": ("masked", "cheeked"), "legs": ("booted", "hoofed")},
        names=("masked river griffin", "rosy river griffin", "masked plum griffin", "rosy plum griffin"),
    ),
)

CLASS_NAMES: tuple[str, ...] = tuple(name for family in _FAMILIES for name in family.names)
"""The name of each class, by index."""

CLASS_PARTS: tuple[Mapping[str, str], ...] = tuple(
    MappingProxyType(member) for family in _FAMILIES for member in family.members()
)
"""The variant of each part that the creatures of a class wear, by class index."""

CLASS_KINDS: tuple[Kind, ...] = tuple(family.kind for family in _FAMILIES for _ in family.names)
"""Whether the creatures of a class are built as birds or as beasts, by class index."""
