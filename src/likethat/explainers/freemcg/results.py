"""From what was asked to what is shown: the counterfactuals, the path, and what to do next."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likethat._inputs import Inputs, kind_of, take
from likethat.explainers.freemcg.log import Archive
from likethat.explainers.freemcg.spaces import LatentSpace, Space
from likethat.explanations.counterfactual import Change, Demand, Edit, SearchPath
from likethat.explanations.status import Status

__all__ = ["advice_for", "curve_of", "edit_of", "edits_of", "path_of"]

_DEMANDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)  # from the decision to the demand of images


def edits_of(space: Space, archive: Archive, source: Inputs, *, target_margin: float, n: int) -> tuple[Edit, ...]:
    """Return the nearest `n` counterfactuals that differ from each other, nearest first."""
    archive.found = []
    for _ in range(n):
        row = archive.nearest(target_margin)
        if row is None:
            break
        archive.found.append(row)
    return tuple(edit_of(space, archive, row, source) for row in archive.found)


def edit_of(space: Space, archive: Archive, row: int, source: Inputs) -> Edit:
    """Return one input asked as an edit."""
    changed = archive.input(row)
    if isinstance(changed, Tensor) and isinstance(source, Tensor):
        l2 = float((changed.to(source) - source).double().pow(2).mean().sqrt())
    elif isinstance(space, LatentSpace) and space.is_table:
        l2 = float(space.by_column(changed).pow(2).mean().sqrt())
    else:
        l2 = math.sqrt(float(archive.distances[row]))
    return Edit(
        input=changed,
        probabilities=archive.probabilities[row].numpy(),
        l1=float(archive.distances[row]),
        l2=l2,
        is_valid=bool(archive.margins[row] > 0),
        changes=_changes(space, source, changed),
        broken=space.broken(changed) if isinstance(space, LatentSpace) and space.is_table else (),
        share_as_odd=space.share_as_odd(changed) if isinstance(space, LatentSpace) else None,
    )


def _changes(space: Space, source: Inputs, changed: Inputs) -> tuple[Change, ...]:
    if kind_of(source) == "image":
        return ()
    if isinstance(source, list):
        same = source[0] == take(changed, [0])[0]
        return () if same else (Change(name="the text", before=source[0], after=changed[0]),)
    assert isinstance(space, LatentSpace)
    frame: Any = changed
    return space.changes(frame)


def path_of(archive: Archive) -> SearchPath:
    """Return every answer in order."""
    p = archive.probabilities
    probability = 1 - p[:, archive.source_class] if archive.target is None else p[:, archive.target]
    return SearchPath(
        queries=np.asarray(archive.at_query, dtype=np.int64),
        probability=probability.numpy(),
        distance=archive.distances.numpy(),
    )


def curve_of(archive: Archive) -> tuple[Demand, ...]:
    """Return what each confidence costs a row: the fewest columns among all that were asked."""
    found = []
    for confidence in _DEMANDS:
        rows = (archive.margins >= math.log(confidence / (1 - confidence))) & archive.reals
        if not bool(rows.any()):
            break
        row = int(torch.where(rows, archive.costs, torch.inf).argmin())
        n_columns = int(archive.costs[row])  # and a fraction for the distance
        found.append(Demand(confidence=confidence, n_columns=n_columns, l1=float(archive.distances[row])))
    return tuple(found)


def advice_for(archive: Archive, *, reason: str, n: int, confidence: float) -> Status:
    """Return how the search ended, in a sentence that helps."""
    found, best = len(archive.found), float(path_of(archive).probability.max())
    if reason == "interrupted":
        kept = "the nearest counterfactual so far is" if found else "no counterfactual was found yet; the likeliest is"
        advice = f"Stopped after {archive.box.queries} queries: {kept} shown."
        return Status(reached=found >= n, reason=reason, advice=advice)
    if found >= n and float(archive.margins[archive.found].min()) >= math.log(confidence / (1 - confidence)):
        return Status(reached=True, reason="reached")
    if found >= n:
        least = float(path_of(archive).probability[archive.found].min())  # of those shown, not of all asked
        return Status(
            reached=True,
            reason="less confident",
            advice=f"The model gives it to the target, with probability {least:.2f}; {confidence:.2f} was asked for.",
        )
    if found:
        advice = f"{found} of {n} different counterfactuals were found. Give more budget."
        return Status(reached=False, reason="budget", advice=advice)
    if archive.are_hard:
        advice = (
            "The model answers with labels alone, so nothing says which way to go. A latent generator searches widest; "
            "attribute(method='patches') still shows what the label depends on."
        )
        return Status(reached=False, reason="hard labels", advice=advice)
    advices = {
        "collapsed": "The model gave the same answer to every particle. Raise n_particles, or check that it reads "
        "the input at all.",
        "no progress": "The generator makes the same inputs again and again. Take one with more variety, or another "
        "seed.",
        "budget": _never(archive, best)
        if archive.n_typical
        else f"The highest probability of the target was "
        f"{best:.2f}. Give more budget, another target, or a lower confidence.",
    }
    return Status(reached=False, reason=reason, advice=advices.get(reason, f"{reason}. The best so far is kept."))


def _never(archive: Archive, best: float) -> str:
    """Say what it means that neither rows near the source nor typical ones were given to the target."""
    return (
        f"Of {len(archive.distances)} inputs asked, {archive.n_typical} of them as the generator makes them anywhere, "
        f"none was given to the target; the highest probability was {best:.2f}. The model may give hardly anything to "
        "it: more budget is unlikely to help. Name another target, or free columns that are kept."
    )
