"""How good counterfactuals are: whether they hold, how near they are, and whether the right things changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from likethat._session import in_own_session
from likethat.explanations.counterfactual import Counterfactual


@dataclass(frozen=True, kw_only=True)
class Validity:
    """Counterfactuals of many sources, in one row.

    Attributes:
        model: share that the model gives to the target.
        oracle: share that an independent classifier gives to it too; None where there was none.
        l1: mean distance of the valid ones, see `Edit.l1`.
        l2: likewise.
        queries: mean number asked.
        n: sources.
    """

    model: float
    oracle: float | None
    l1: float
    l2: float
    queries: float
    n: int


@in_own_session
def validity(found: Sequence[Counterfactual], *, oracle: Sequence[int] | None = None) -> Validity:
    """Sum up counterfactuals.

    Args:
        found: one a source.
        oracle: the class that an independent classifier gives the best edit of each.
    """
    valid = np.array([item.best.is_valid for item in found])
    agrees = None
    if oracle is not None:
        right = [
            label != item.source_class if item.target is None else label == item.target
            for item, label in zip(found, oracle, strict=True)
        ]
        agrees = float((valid & np.array(right)).mean())
    l1 = np.array([item.best.l1 for item in found])[valid]
    l2 = np.array([item.best.l2 for item in found])[valid]
    return Validity(
        model=float(valid.mean()),
        oracle=agrees,
        l1=float(l1.mean()) if len(l1) else float("nan"),
        l2=float(l2.mean()) if len(l2) else float("nan"),
        queries=float(np.mean([item.queries for item in found])),
        n=len(found),
    )


@dataclass(frozen=True, kw_only=True)
class ChangedParts:
    """Which true parts changed, beside which should have.

    Attributes:
        changed: parts whose pixels changed.
        precision: share of them that the two classes differ in; 1 where nothing changed.
        recall: share of the parts in which the classes differ that changed; 1 where they do not differ.
    """

    changed: tuple[str, ...]
    precision: float
    recall: float


@in_own_session
def changed_parts(
    difference: Float[NDArray[np.float32], "channel height width"],
    masks: Mapping[str, Bool[NDArray[np.bool_], "height width"]],
    differing: Sequence[str],
    *,
    threshold: float = 0.08,
) -> ChangedParts:
    """Return which parts of a drawn source changed: those whose pixels moved by `threshold` on average.

    Args:
        difference: counterfactual less source.
        masks: visible pixels of each part of the source.
        differing: parts in which the classes of source and target differ.
        threshold: mean absolute change of a part's pixels that counts.

    Example:
        >>> moved = np.zeros((1, 2, 2), np.float32)
        >>> moved[0, 0] = 1
        >>> top = np.array([[True, True], [False, False]])
        >>> changed_parts(moved, {"crown": top, "tail": ~top}, ["crown", "tail"])
        ChangedParts(changed=('crown',), precision=1.0, recall=0.5)
    """
    size = np.abs(difference).mean(axis=0)
    changed = tuple(name for name, mask in masks.items() if mask.any() and float(size[mask].mean()) >= threshold)
    right = len(set(changed) & set(differing))
    return ChangedParts(
        changed=changed,
        precision=right / len(changed) if changed else 1.0,
        recall=right / len(set(differing)) if differing else 1.0,
    )
