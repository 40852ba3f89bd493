"""From what was asked to what is shown: the counterfactuals, the path, and what to do next."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likethat._double import double
from likethat._inputs import Inputs, kind_of, take
from likethat._status import Reason, Status, ended
from likethat.explainers.freemcg.log import Archive
from likethat.explainers.freemcg.spaces import LatentSpace, Space
from likethat.explanations.counterfactual import Change, Demand, Edit, SearchPath

_DEMANDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)  # from the decision to the demand of images


def range_note(space: Space, archive: Archive) -> tuple[str, ...]:
    """Say where a generator of images cannot make the source: the model gives what it rebuilds to another class.

    It costs one question; an image whose generator makes the source itself has nothing to say.
    """
    rebuilt = space.rebuilt if isinstance(space, LatentSpace) else None
    if rebuilt is None or archive.measure is not None:
        return ()
    found = archive.query(rebuilt[None])
    seen = int(found.probabilities[0].argmax()) if len(found) else archive.source_class
    if seen == archive.source_class:
        return ()
    names = archive.box.class_names
    return (
        f"the generator does not hold this source: what it makes of it unchanged is {names[seen]} to the model, not "
        f"{names[archive.source_class]}. Its changes may be smudges that this model alone takes for the target: train "
        "it longer, or give one that rebuilds such images",
    )


def edits_of(
    space: Space, archive: Archive, source: Inputs, *, confidence: float, target_margin: float, n: int
) -> tuple[Edit, ...]:
    """Return `n` counterfactuals that differ from each other, nearest first.

    Args:
        space: where they were sought.
        archive: what was asked.
        source: the source.
        confidence: that was asked for: those that have it come before all others.
        target_margin: that is enough where they are fewer.
        n: how many at most.
    """
    archive.found = []
    for margin in (max(math.log(confidence / (1 - confidence)), target_margin), target_margin):
        while len(archive.found) < n and (row := archive.nearest(margin)) is not None:
            archive.found.append(row)
    archive.found.sort(key=lambda row: float(archive.costs[row]))
    return tuple(edit_of(space, archive, row, source) for row in archive.found)


def edit_of(space: Space, archive: Archive, row: int, source: Inputs) -> Edit:
    """Return one input asked as an edit."""
    changed = archive.input(row)
    if isinstance(changed, Tensor) and isinstance(source, Tensor):
        l2 = float(double(changed.to(source) - source).pow(2).mean().sqrt())
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
        value=None if archive.measure is None else float(archive.measure.values(archive.probabilities[row])),
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
    p, measure = archive.probabilities, archive.measure
    if measure is not None:
        probability = measure.values(p)
    else:
        probability = 1 - p[:, archive.source_class] if archive.target is None else p[:, archive.target]
    return SearchPath(
        queries=np.asarray(archive.at_query, dtype=np.int64),
        probability=probability.numpy(),
        distance=archive.distances.numpy(),
    )


def curve_of(archive: Archive, by_column: Callable[[Inputs], Tensor]) -> tuple[Demand, ...]:
    """Return what each confidence costs a row: the fewest columns among all that were asked, and the least distance.

    Args:
        archive: of the search.
        by_column: (row, column) how far each column of rows is from the source's.
    """
    n_columns = torch.cat([(by_column(batch) > 0).sum(dim=1) for batch in archive.inputs])
    found = []
    for confidence in _DEMANDS:
        rows = (archive.margins >= math.log(confidence / (1 - confidence))) & archive.reals
        if not bool(rows.any()):
            break
        fewest = int(n_columns[rows].min())
        l1 = float(archive.distances[rows & (n_columns == fewest)].min())
        found.append(Demand(confidence=confidence, n_columns=fewest, l1=l1))
    return tuple(found)


def status_of(archive: Archive, *, reason: Reason, error: str, n: int, confidence: float) -> Status:
    """Return how the search ended, in a sentence that helps.

    Args:
        archive: what was asked and found.
        reason: why the search itself says that it ended.
        error: the sentence of what broke, where something did.
        n: how many were asked for.
        confidence: that was asked for.
    """
    found, values, measure = len(archive.found), path_of(archive).probability, archive.measure
    best = f"{float(values.max()):.2f}" if measure is None else measure.about.number(float(values[archive.nearest_to]))
    sought = "highest probability of the target" if measure is None else f"nearest {measure.about.name}"
    if reason == Reason.INTERRUPTED:
        kept = "the nearest counterfactual so far is" if found else "no counterfactual was found yet; the likeliest is"
        return ended("counterfactual", reason, reached=found >= n, queries=archive.box.queries, kept=kept)
    if found >= n and float(archive.margins[archive.found].min()) >= math.log(confidence / (1 - confidence)):
        return ended("counterfactual", Reason.REACHED)
    if found >= n:
        margins = archive.margins[archive.found]  # of those shown, not of all asked
        least = float(values[archive.found].min()) if measure is None else float(margins.min().sigmoid())
        return ended("counterfactual", Reason.LESS_CONFIDENT, reached=True, least=least, confidence=confidence)
    reason = Reason.BUDGET if reason == Reason.REACHED else reason  # one of several was, with its share of the budget
    if not found and reason != Reason.FAILED and archive.are_hard:
        reason = Reason.HARD_LABELS
    elif not found and reason == Reason.BUDGET and archive.n_typical:
        reason = Reason.OUT_OF_REACH
    few = f"{found} of {n} different counterfactuals were found."
    came = few if found else f"The {sought} was {best}."
    is_line = measure is not None and not measure.about.is_label
    or_else = "" if found else ", or another target" if is_line else ", another target, or a lower confidence"
    return ended(
        "counterfactual", reason, error=error, came=came, or_else=or_else, best=best,
        what=sought, n_asked=archive.box.queries, n_typical=archive.n_typical,
    )  # fmt: skip
