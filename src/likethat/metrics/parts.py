"""Whether units show true parts: measures that need to know what is where."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from likethat._session import in_own_session
from likethat.metrics.truth import SURROUNDINGS


@dataclass(frozen=True, kw_only=True)
class PartConsistency:
    """Whether each unit's prototypes show one and the same part.

    Attributes:
        consistent: share of units with at least `threshold` of their prototypes on one part; surroundings are no part.
        modal_share: mean share of a unit's prototypes that show its most frequent part (or the surroundings).
        surroundings: share of all prototypes that show no part.
        modal: the most frequent of each unit.
    """

    consistent: float
    modal_share: float
    surroundings: float
    modal: dict[int, str]


@in_own_session
def part_consistency(parts: Mapping[int, Sequence[str]], *, threshold: float = 0.8) -> PartConsistency:
    """Count how often a unit's prototypes show the same true part.

    1: every unit stands for a part; 0: none does.

    Args:
        parts: for each unit, the part in each of its prototypes' boxes.
        threshold: share of prototypes that makes a unit consistent.

    Example:
        >>> part_consistency({0: ["eye", "eye"], 1: ["eye", "surroundings"]}).consistent
        0.5
    """
    modal, shares, consistent, total, outside = {}, [], 0, 0, 0
    for unit, shown in parts.items():
        if not shown:
            continue
        name, count = Counter(shown).most_common(1)[0]
        modal[unit] = name
        shares.append(count / len(shown))
        consistent += count / len(shown) >= threshold and name != SURROUNDINGS
        total += len(shown)
        outside += sum(part == SURROUNDINGS for part in shown)
    n_units = max(len(shares), 1)
    return PartConsistency(
        consistent=consistent / n_units,
        modal_share=sum(shares) / n_units,
        surroundings=outside / max(total, 1),
        modal=modal,
    )


@in_own_session
def box_match(shown: Sequence[tuple[int, str]], modal: Mapping[int, str]) -> float:
    """Return how often the box on an explained image shows the part that the unit's prototypes show.

    1: "this looks like that" is always true; 0: never.

    Args:
        shown: for each shown row of each explanation, its unit and the part in its box.
        modal: the part that each unit's prototypes show most often.
    """
    known = [(unit, part) for unit, part in shown if unit in modal]
    return sum(modal[unit] == part for unit, part in known) / max(len(known), 1)


@in_own_session
def parts_in_windows(
    peaks: Float[NDArray[np.float32], "pair 2"],
    centres: Float[NDArray[np.float32], "pair part 2"],
    *,
    window: float,
) -> Bool[NDArray[np.bool_], "pair part"]:
    """Return which parts' centres lie in a square window of `window` pixels a side round each peak.

    Args:
        peaks: x and y of each peak, in pixels.
        centres: x and y of each part in the same image; NaN where it is not visible.
        window: side in pixels.
    """
    with np.errstate(invalid="ignore"):
        distance = np.abs(centres - peaks[:, None, :]).max(axis=2)
        inside: NDArray[np.bool_] = distance <= window / 2
    return inside


@in_own_session
def pip_net_purity(units: Int[NDArray[np.int64], " pair"], inside: Bool[NDArray[np.bool_], "pair part"]) -> float:
    """Return the mean over units of the largest share of its top patches that hold one true part's centre.

    1: every unit's patches hold the same part; 0: they hold none.

    Args:
        units: the unit of each patch (its ten strongest images).
        inside: which parts' centres lie in each patch.

    Source:
        Nauta et al. (2023), PIP-Net, section 5.2: patches of 32 of 224 pixels.
    """
    shares = [inside[units == unit].mean(axis=0).max() for unit in np.unique(units)]
    return float(np.mean(shares)) if shares else 0.0


@in_own_session
def huang_consistency(
    units: Int[NDArray[np.int64], " pair"],
    inside: Bool[NDArray[np.bool_], "pair part"],
    visible: Bool[NDArray[np.bool_], "pair part"],
    *,
    threshold: float = 0.8,
) -> float:
    """Return the share of units for which some part lies in the window in at least `threshold` of the images.

    Only images in which the part is visible count for it.

    Source:
        Huang et al. (2023), Evaluation and Improvement of Interpretability for Self-Explainable Part-Prototype
        Networks, ICCV: windows of 72 of 224 pixels, threshold 0.8.

    Differs:
        The measure is defined for prototypes of a class on the test images of it. A channel belongs to no class: its
        images are those in whose explanation it is shown.
    """
    consistent = []
    for unit in np.unique(units):
        of_unit = units == unit
        seen = visible[of_unit].sum(axis=0)
        hits = (inside[of_unit] & visible[of_unit]).sum(axis=0)
        consistent.append(bool(np.any((seen > 0) & (hits >= threshold * np.maximum(seen, 1)))))
    return float(np.mean(consistent)) if consistent else 0.0


@in_own_session
def huang_stability(
    inside: Bool[NDArray[np.bool_], "pair part"], inside_under_noise: Bool[NDArray[np.bool_], "pair part"]
) -> float:
    """Return the share of (unit, image) pairs whose set of parts in the window is the same under noise.

    Source:
        Huang et al. (2023), ICCV: noise N(0, 0.2) clipped at 0.25 on the normalised input.
    """
    return float((inside == inside_under_noise).all(axis=1).mean()) if len(inside) else 0.0
