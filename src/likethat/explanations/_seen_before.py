"""Whether a bank has seen a picture, or anything like it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from likethat.explanations.records import Contribution, Prototype
from likethat.functional.familiarity import Familiar

_NEAR = 0.05
"""How far a unit's answers to one picture may be apart: half precision and 8 bits of a view move them by less."""
_SAME = 4.0
"""Mean difference of two pictures, in levels of 8 bits, below which they are one: a JPEG moves them by 1 to 3."""


def unlike_sentence(seen: Familiar | None, pooled: Float[Tensor, " channel"]) -> tuple[str, ...]:
    """Say where a picture's features lie beyond those of all pictures that the bank was made from."""
    if seen is None or not seen.is_unlike(pooled):
        return ()
    times = float(seen.distance(pooled[None])[0]) / seen.limit
    return (
        "This picture is unlike those that the bank was made from: what the network makes of it lies "
        f"{times:.2g} times as far out as a picture of their kind is expected to. The sum is exact; neither class "
        "nor prototypes need mean anything here.",
    )


def without_itself(
    rows: tuple[Contribution, ...], view: Float[Tensor, "channel height width"], images: Mapping[str, NDArray[np.uint8]]
) -> tuple[tuple[Contribution, ...], tuple[str, ...]]:
    """Leave a picture out of its own prototypes; return the rows, and a sentence where that was done.

    It is known by what it is, not by its name: by the answers of the units first, which cost nothing, and then by its
    pixels.
    """
    near = {item.image for row in rows for item in row.prototypes if _answers_alike(item, row)}
    own = {key for key in near if key in images and _same_picture(images[key], view)}
    if not own:
        return rows, ()
    kept = tuple(replace(row, prototypes=tuple(_others(row.prototypes, own))) for row in rows)
    return kept, ("This picture is one of those that the bank was made from: it is left out of its own prototypes.",)


def _others(prototypes: Iterable[Prototype], own: set[str]) -> Iterable[Prototype]:
    return (item for item in prototypes if item.image not in own)


def _answers_alike(item: Prototype, row: Contribution) -> bool:
    return (
        math.isclose(item.activation, row.activation, rel_tol=_NEAR, abs_tol=1e-6)
        and math.isclose(item.peak, float(row.activation_map.max()), rel_tol=_NEAR, abs_tol=1e-6)
        and math.isclose(item.purity, row.purity, abs_tol=_NEAR)
    )


def _same_picture(picture: NDArray[np.uint8], view: Float[Tensor, "channel height width"]) -> bool:
    """Compare with the view as pictures of a bank are made: its first three channels, or the first as grey."""
    own = (view[0] if view.shape[0] < 3 else view[:3].permute(1, 2, 0)).float().numpy() * 255
    return picture.shape == own.shape and float(np.abs(picture - own).mean()) < _SAME
