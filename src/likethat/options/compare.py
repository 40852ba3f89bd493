"""What a comparison can be told."""

from dataclasses import KW_ONLY, dataclass

from likethat.options.declaring import Declared, option, seed_option


@dataclass(frozen=True, eq=False)
class CompareOptions(Declared):
    """The options of `likethat.compare`."""

    _: KW_ONLY
    n_directions: int = option(3, "directions looked at of each model, at most", low=1)
    n_pictures: int = option(6, "pictures shown that have most of a direction, and that have least", low=1)
    n_units: int = option(12, "units of each state that changed whose prototypes are shown, at most")
    n_flips: int = option(12, "predictions that flipped that are shown, at most")
    seed: int = seed_option("of the halves, the null and the intervals; the same seed, the same comparison")
