"""What a search for exemplars can be told."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

from likethat.options.declaring import Declared, given, option, seed_option


@dataclass(frozen=True, eq=False)
class ExemplarOptions(Declared):
    """The options of `likethat.Exemplars`."""

    moved: ClassVar[Mapping[str, str]] = {"strategy": "It is `algorithm` now."}

    generator: Any = given(
        "a `LatentGenerator`; or `likethat.TextEdits`, of whose texts the best are found: none is made"
    )
    _: KW_ONLY
    algorithm: Literal["surrogate", "prior", "cma-es", "evolution"] | object = option(
        "surrogate",
        "how inputs to ask about are chosen: by a model of the answers, at random, or by the paper's evolution; in "
        "Python also a strategy of `likethat.search` with options of its own",
    )
    tolerance: float = option(
        0.05,
        "largest difference to the probability wanted, over the classes, that counts as reached: for one class, one "
        "minus the confidence",
        high=1.0,
        with_low=False,
        with_high=False,
    )
    batch: int | None = option(
        None, "inputs asked at once; 1 spends the fewest queries; when left out the strategy's own", low=1
    )
    spacing: float = option(
        0.25,
        "least distance between the latents of two exemplars, relative to the mean distance between samples of the "
        "prior",
        high=1.0,
    )
    seed: int = seed_option("of all chance")
