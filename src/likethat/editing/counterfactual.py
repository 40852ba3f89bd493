"""A text's counterfactual, from the first question to the result."""

import difflib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from likethat._progress import Watcher
from likethat.editing.asked import Asked, Box
from likethat.editing.real import nearest_real
from likethat.editing.search import Plan, Seeker, Wanted
from likethat.errors import LikethatError, TargetError
from likethat.explanations.counterfactual import Change, Counterfactual, Edit, SearchPath
from likethat.explanations.status import Status
from likethat.functional.margins import margins_of
from likethat.generators.text.edits import TextEdits
from likethat.generators.text.proposer import Proposal
from likethat.generators.text.words import Words, split_words

__all__ = ["LEAST_BUDGET", "Demand", "edit_text"]

LEAST_BUDGET = 12
"""Questions: the text itself, a round of masks, a few edits, a few real texts."""
_READS_BADLY = 3.0  # nats: what a random word costs less one
_FOR_MASKS = 0.5  # share of the budget
_TO_SIMPLIFY = 4  # questions: edits that a plan has too many
_FOR_REAL, _MOST_REAL = 8, 12  # one question in eight goes to real texts; the nearest of them are asked first


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What is asked for.

    Attributes:
        target: class wanted; None for any but the source's.
        n: different counterfactuals.
        budget: questions in all.
        confidence: probability of the target, against the next class, that is enough; 0.5 is the decision.
        keep: words that stay, as they are counted (see `Words.keys`).
        seed: of all chance.
    """

    target: int | None
    n: int
    budget: int
    confidence: float
    keep: frozenset[str]
    seed: int

    @property
    def margin(self) -> float:
        """The log-odds wanted; above 0, for at 0 nothing is decided."""
        return max(math.log(self.confidence / (1 - self.confidence)), 1e-6)


def edit_text(
    edits: TextEdits, box: Box, text: str, demand: Demand, *, watch: Watcher | None, options: dict[str, Any]
) -> Counterfactual:
    """Edit a text until the model gives it to the target, and find the nearest real text of that class.

    Args:
        edits: what could stand in the text.
        box: with the budget of this search.
        text: the source.
        demand: what is asked for.
        watch: told of the questions; a KeyboardInterrupt leaves what was found.
        options: to note in the result.

    Raises:
        TargetError: the source is of the target already.
    """
    started = time.perf_counter()
    own = box([text])[0]
    source_class = int(own.argmax())
    if demand.target == source_class:
        raise TargetError(
            f"`target` must be another class than the source's, and the model gives it to "
            f"{box.class_names[source_class]!r} already. Name another target, or None for any other."
        )
    ask = Asked(
        box,
        lambda p: margins_of(p, target=demand.target, source_class=source_class),
        watch=watch,
        budget=demand.budget,
    )
    ask([text])
    seeker = _seeker(edits, ask, split_words(text), demand, source_class)
    found, real, reason = _sought(edits, seeker, demand, source_class)
    by_row = {asked: row for row, asked in reversed(list(enumerate(ask.texts)))}
    made = tuple(_edit(seeker.source, plan, ask, by_row[plan.text]) for plan in found)
    nearest = seeker.nearest()
    best = made[0] if made else _edit(seeker.source, nearest, ask, 0 if nearest is None else by_row[nearest.text])
    return Counterfactual(
        source=[text],
        source_probabilities=own.numpy(),
        target=demand.target,
        class_names=tuple(box.class_names),
        edits=made,
        best=best,
        mean=None,
        mask=None,
        path=_path(seeker, ask, source_class, demand.target),
        queries=box.queries,
        seconds=time.perf_counter() - started,
        status=_status(found, seeker, demand, reason),
        model=str(getattr(box, "name", type(box).__name__)),
        generator=edits.name,
        rule="edits",
        seed=demand.seed,
        options=options,
        notes=(*getattr(box, "notes", ()), *_notes(real)),
        real=None if real is None else _real(seeker.source, ask, real),
    )


def _seeker(edits: TextEdits, ask: Asked, source: Words, demand: Demand, source_class: int) -> Seeker:
    odds = edits.odds(ask.box.class_names)

    def expected(keys: Sequence[str]) -> Float[np.ndarray, " word"]:
        assert odds is not None
        return _towards(odds.of(keys), demand.target, source_class)

    def propose(text: str, place: int) -> list[Proposal]:
        stays = [key in demand.keep for key in source.keys]
        return [one for one in edits.proposals(text, place) if not any(stays[one.start : one.stop])]

    return Seeker(
        source=source,
        propose=propose,
        ask=ask,
        wanted=Wanted(margin=demand.margin, expected=None if odds is None else expected),
        rng=torch.Generator().manual_seed(demand.seed),
    )


def _towards(odds: Float[np.ndarray, "row cls"], target: int | None, source_class: int) -> Float[np.ndarray, " row"]:
    """Return by how much what is known of classes speaks for the target against the source's class."""
    if target is None:
        others = np.delete(odds, source_class, axis=1)
        found: Float[np.ndarray, " row"] = others.max(axis=1) - odds[:, source_class]
    else:
        found = odds[:, target] - odds[:, source_class]
    return found


def _sought(edits: TextEdits, seeker: Seeker, demand: Demand, source_class: int) -> tuple[list[Plan], int | None, str]:
    """Return the counterfactuals found, the row of the nearest real text, and why the search ended."""
    found: list[Plan] = []
    real, reason = None, "budget"
    box, first = seeker.ask.box, seeker.ask.box.queries
    n_real = max(2, min(_MOST_REAL, demand.budget // _FOR_REAL))
    room = demand.budget - n_real
    try:
        seeker.look(share=_FOR_MASKS)
        for left in range(demand.n, 0, -1):
            until = box.queries + max(0, room - box.queries) // left
            reason = seeker.seek(until=until - min(_TO_SIMPLIFY, (until - box.queries) // 4))
            seeker.simplify(until=until)
            best = seeker.best()
            if best is None:
                break
            found.append(best)
            seeker.banned |= set(best.edits)
        classes = edits.classes(box.class_names)
        lean = None if classes is None else _towards(classes, demand.target, source_class)
        real = nearest_real(edits, seeker.source.text, seeker.ask, lean=lean, most=demand.budget - box.queries)
    except KeyboardInterrupt:
        if box.queries <= first:
            raise
        reason = "interrupted"
    except LikethatError as error:
        if not seeker.plans:
            raise
        reason = str(error).rstrip(".")
    if not found and seeker.best() is not None:
        found = [plan for plan in [seeker.best()] if plan is not None]
    return sorted(found, key=lambda plan: plan.cost), real, reason


def _edit(source: Words, plan: Plan | None, ask: Asked, row: int) -> Edit:
    """Return a plan as an edit; the source itself where there was none."""
    text = source.text if plan is None else plan.text
    apart = words_apart(source.words, split_words(text).words)
    return Edit(
        input=[text],
        probabilities=ask.answers[row].numpy(),
        l1=apart,
        l2=math.sqrt(apart),
        is_valid=bool(ask.margins[row] > 0),
        changes=() if plan is None else tuple(_change(source, one) for one in plan.edits),
    )


def _change(source: Words, one: Proposal) -> Change:
    return Change(
        name="",
        before=source.stretch(one.start, one.stop),
        after=one.text,
        oddness=one.oddness,
        place=source.places[one.start][0] if one.start < len(source) else len(source.text),
    )


def _real(source: Words, ask: Asked, row: int) -> Edit:
    return _edit(source, Plan(edits=(), text=ask.texts[row], cost=0.0), ask, row)


def words_apart(first: Sequence[str], second: Sequence[str]) -> float:
    """Return the share of the words of two texts that are not common to both, in [0, 1].

    Example:
        >>> words_apart(["a", "b"], ["a", "c"])
        0.5
    """
    return 1 - difflib.SequenceMatcher(None, first, second, autojunk=False).ratio()


def _path(seeker: Seeker, ask: Asked, source_class: int, target: int | None) -> SearchPath:
    p = ask.probabilities
    words = seeker.source.words
    return SearchPath(
        queries=np.array(ask.at_query, dtype=np.int64),
        probability=(1 - p[:, source_class] if target is None else p[:, target]).numpy(),
        distance=np.array([words_apart(words, split_words(text).words) for text in ask.texts]),
    )


def _status(found: list[Plan], seeker: Seeker, demand: Demand, reason: str) -> Status:
    """Return how the search ended, in a sentence that helps."""
    odd = [one for plan in found for one in plan.edits if one.oddness > _READS_BADLY]
    if reason == "interrupted":
        kept = "the nearest counterfactual so far is" if found else "no counterfactual was found yet; the likeliest is"
        advice = f"Stopped after {seeker.ask.box.queries} queries: {kept} shown."
        return Status(reached=len(found) >= demand.n, reason=reason, advice=advice)
    if odd:
        worst = max(odd, key=lambda one: one.oddness)
        what = f"“{worst.text or seeker.source.stretch(worst.start, worst.stop)}”"
        advice = (
            f"The model gives it to the target, but it reads badly: {what} costs {worst.oddness:.1f} nats, and a "
            "random word costs about 4. Give more texts, a lower confidence, or look at the nearest real text."
        )
        return Status(reached=False, reason="implausible", advice=advice)
    if len(found) >= demand.n:
        return Status(reached=True, reason="reached")
    if found:
        advice = f"{len(found)} of {demand.n} different counterfactuals were found. Give more budget."
        return Status(reached=False, reason="budget", advice=advice)
    return Status(reached=False, reason=reason, advice=_advice(seeker, demand, reason))


def _advice(seeker: Seeker, demand: Demand, reason: str) -> str:
    p: Tensor = seeker.ask.probabilities
    if bool((p.amax(dim=0) - p.amin(dim=0) < 1e-9).all()):
        return "The model gave the same answer to every changed text. Check that it reads the text at all."
    nearest = seeker.nearest()
    if nearest is None:
        return "Nothing could be proposed in place of any word. Give more texts like this one, or another proposer."
    came = f"The best edit came to log-odds of {nearest.margin:.2f}, and {demand.margin:.2f} was wanted."
    more = "Give more budget" if reason == "budget" else "Give more texts, or their labels"
    return f"{came} {more}, or a lower confidence." if reason in ("budget", "no progress") else f"{reason}. {came}"


def _notes(real: int | None) -> tuple[str, ...]:
    return () if real is not None else ("No real text of the class wanted was found with the questions left.",)
