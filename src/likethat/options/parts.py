"""What part prototypes can be told."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from likethat.options.declaring import Declared, option, seed_option


@dataclass(frozen=True, eq=False)
class PartsOptions(Declared):
    """The options of `likethat.PartPrototypes`."""

    moved: ClassVar[Mapping[str, str]] = {"way": "It is `algorithm` now."}

    n_parts: int | Literal["auto"] = option(
        4,
        "parts a class; auto: one more, up to 8, while the parts of two halves of the class's images own the same "
        "cells (mean correlation at least .9) and each takes away at least a twentieth of the error of a single part; "
        "not used where parts are named; auto: 4 of superclasses and regions",
        low=1,
    )
    _: KW_ONLY
    algorithm: Literal["auto", "ownership", "shared", "named", "superclasses", "regions"] = option(
        "auto",
        "from parts that are found to parts that add up; auto: ownership, or where twenty classes or more have fewer "
        "than five images, typically, superclasses, and regions where the images are few even for these; ownership: "
        "each takes the evidence of the cells it occurs in, by regression; shared: the paper's, least squares and a "
        "shared residual; named: parts that marks name, spread by a probe, then as ownership, and only then is it "
        "known what surrounds the object; superclasses: of classes whose rows of the head are alike, of all their "
        "images; regions: each picture's own cells in n_parts regions, with look-alikes among images of near classes; "
        "the last two share out what each cell supplies",
    )
    sharing: Literal["closed-form", "equal"] = option(
        "closed-form",
        "of the residual (shared); closed-form changes the heat maps least, relative to their size",
    )
    n_prototypes: int = option(5, "images a part", low=1)
    ridge: float = option(1e-3, "of the ownership regression, relative to the features' mean square", with_low=False)
    cells_per_class: int = option(
        8192, "more cells than that are sampled at random; the error on those left out is measured", low=16
    )
    seed: int = seed_option("of the starts and the samples; the same seed, the same bank")
