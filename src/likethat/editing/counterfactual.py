"""A text's counterfactual, from the first question to the result."""

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from likethat._progress import Clock, Watcher
from likethat._queries import Asked
from likethat._responses import Measure
from likethat._status import Reason, Status, ended
from likethat.editing.asked import AskedTexts
from likethat.editing.real import nearest_real
from likethat.editing.search import Plan, Seeker, Wanted
from likethat.errors import LikethatError, TargetError
from likethat.explanations.counterfactual import Change, Counterfactual, Edit, SearchPath
from likethat.functional.margins import margins_of
from likethat.generators.text.edits import TextEdits
from likethat.generators.text.proposer import CorpusProposer, Proposal
from likethat.generators.text.words import Words, split_words

LEAST_BUDGET = 12
"""Questions: the text itself, a round of masks, a few edits, a few real texts."""
_READS_BADLY = 3.0  # nats: what a random word costs less one
_FAMILIAR = 0.5  # share of known words: below it a sentence of any language that the texts know reads better than it
_FOR_MASKS = 0.25  # share of the budget: an edit that is asked tells as much of its words, and may be the answer
_TO_SIMPLIFY = 4  # questions: edits that a plan has too many
_FOR_REAL, _MOST_REAL = 8, 12  # one question in eight goes to real texts; the nearest of them are asked first


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What is asked for.

    Attributes:
        target: class wanted; None for any but the source's, or where `measure` says what is.
        measure: reads the number that is asked about off the answers; None where that is a class.
        n: different counterfactuals.
        budget: questions in all.
        confidence: probability of the target, against the next class, that is enough; 0.5 is the decision.
        keep: places of the words that stay.
        seed: of all chance.
    """

    target: int | None
    n: int
    budget: int
    confidence: float
    keep: frozenset[int]
    seed: int
    measure: Measure | None = None

    @property
    def margin(self) -> float:
        """The log-odds wanted; above 0, for at 0 nothing is decided."""
        return max(math.log(self.confidence / (1 - self.confidence)), 1e-6)


def edit_text(
    edits: TextEdits, box: Asked, text: str, demand: Demand, *, watch: Watcher | None, options: dict[str, Any]
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
    clock, measure = Clock(), demand.measure
    own = box([text])[0]
    source_class = int(own.argmax())
    if demand.target == source_class:
        raise TargetError(
            f"`target` must be another class than the source's, and the model gives it to "
            f"{box.class_names[source_class]!r} already. Name another target, or None for any other."
        )
    ask = AskedTexts(
        box=box,
        margin=measure.margins if measure else lambda p: margins_of(p, target=demand.target, source_class=source_class),
        watch=watch,
        budget=demand.budget,
    )
    ask([text])
    seeker = _seeker(edits, ask, split_words(text), demand, source_class)
    sought = _sought(edits, seeker, demand, source_class)
    by_row = {asked: row for row, asked in reversed(list(enumerate(ask.texts)))}
    made = tuple(_edit(seeker.source, plan, ask, by_row[plan.text], measure) for plan in sought.found)
    nearest = seeker.nearest()
    best = (
        made[0] if made else _edit(seeker.source, nearest, ask, 0 if nearest is None else by_row[nearest.text], measure)
    )
    return Counterfactual(
        source=[text],
        source_probabilities=own.numpy(),
        target=demand.target,
        class_names=tuple(box.class_names),
        edits=made,
        best=best,
        mean=None,
        mask=None,
        path=_path(seeker, ask, source_class, demand),
        queries=box.queries,
        seconds=clock.seconds,
        status=_status(sought, seeker, demand, None if edits.proposer is not edits.reader else edits.reader),
        model=str(getattr(box, "name", type(box).__name__)),
        generator=edits.name,
        rule="edits",
        seed=demand.seed,
        options=options,
        notes=(*getattr(box, "notes", ()), *_notes(sought.real)),
        real=None if sought.real is None else _real(seeker.source, ask, sought.real, measure),
        measured=None if measure is None else measure.about,
    )


def _seeker(edits: TextEdits, ask: AskedTexts, source: Words, demand: Demand, source_class: int) -> Seeker:
    odds = None if demand.measure else edits.odds(ask.box.class_names)  # labels say nothing of a number

    def expected(keys: Sequence[str]) -> Float[np.ndarray, " word"]:
        assert odds is not None
        return _towards(odds.of(keys), demand.target, source_class)

    def propose(text: str, place: int) -> list[Proposal]:
        stays = [place in demand.keep for place in range(len(source))]
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


@dataclass(frozen=True, kw_only=True)
class _Sought:
    """The counterfactuals found, nearest first, the row of the nearest real text, and why the search ended."""

    found: list[Plan]
    real: int | None
    reason: Reason
    error: str


def _sought(edits: TextEdits, seeker: Seeker, demand: Demand, source_class: int) -> _Sought:
    """Seek one counterfactual after the other, then real texts; what ends it, what was found is kept."""
    found: list[Plan] = []
    real, reason, broken = None, Reason.BUDGET, ""
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
        classes = None if demand.measure else edits.classes(box.class_names)
        lean = None if classes is None else _towards(classes, demand.target, source_class)
        real = nearest_real(edits, seeker.source.text, seeker.ask, lean=lean, most=demand.budget - box.queries)
    except KeyboardInterrupt:
        if box.queries <= first:
            raise
        reason = Reason.INTERRUPTED
    except LikethatError as error:
        if not seeker.plans:
            raise
        reason, broken = Reason.FAILED, str(error).rstrip(".")
    if not found and seeker.best() is not None:
        found = [plan for plan in [seeker.best()] if plan is not None]
    return _Sought(found=sorted(found, key=lambda plan: plan.cost), real=real, reason=reason, error=broken)


def _edit(source: Words, plan: Plan | None, ask: AskedTexts, row: int, measure: Measure | None) -> Edit:
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
        value=None if measure is None else float(measure.values(ask.answers[row])),
    )


def _change(source: Words, one: Proposal) -> Change:
    return Change(
        name="",
        before=source.stretch(one.start, one.stop),
        after=one.text,
        oddness=one.oddness,
        place=source.places[one.start][0] if one.start < len(source) else len(source.text),
    )


def _real(source: Words, ask: AskedTexts, row: int, measure: Measure | None) -> Edit:
    return _edit(source, Plan(edits=(), text=ask.texts[row], cost=0.0), ask, row, measure)


def words_apart(first: Sequence[str], second: Sequence[str]) -> float:
    """Return the share of the words of two texts that are not common to both, in [0, 1].

    Example:
        >>> words_apart(["a", "b"], ["a", "c"])
        0.5
    """
    return 1 - difflib.SequenceMatcher(None, first, second, autojunk=False).ratio()


def _path(seeker: Seeker, ask: AskedTexts, source_class: int, demand: Demand) -> SearchPath:
    p, target = ask.probabilities, demand.target
    words = seeker.source.words
    of_class = 1 - p[:, source_class] if target is None else p[:, target]
    return SearchPath(
        queries=np.array(ask.at_query, dtype=np.int64),
        probability=(of_class if demand.measure is None else demand.measure.values(p)).numpy(),
        distance=np.array([words_apart(words, split_words(text).words) for text in ask.texts]),
    )


def _status(sought: _Sought, seeker: Seeker, demand: Demand, reader: CorpusProposer | None) -> Status:
    """Return how the search ended, in a sentence that helps; `reader` is what says how edits read, if texts do."""
    found, reason = sought.found, sought.reason
    if reason == Reason.INTERRUPTED:
        kept = "the nearest counterfactual so far is" if found else "no counterfactual was found yet; the likeliest is"
        return ended("edited text", reason, reached=len(found) >= demand.n, queries=seeker.ask.box.queries, kept=kept)
    odd = [one for plan in found for one in plan.edits if one.oddness > _READS_BADLY]
    if odd:
        worst = max(odd, key=lambda one: one.oddness)
        what = f"“{worst.text or seeker.source.stretch(worst.start, worst.stop)}”"
        return ended("edited text", Reason.IMPLAUSIBLE, what=what, oddness=worst.oddness)
    known = [] if reader is None else reader.known(seeker.source.keys)
    if found and sum(known) < _FAMILIAR * len(known):
        return ended("edited text", Reason.UNFAMILIAR, known=sum(known), n=len(known))
    if len(found) >= demand.n:
        return ended("edited text", Reason.REACHED)
    if reason == Reason.FAILED:
        return ended("edited text", reason, error=sought.error)
    came = f"{len(found)} of {demand.n} different counterfactuals were found."
    return ended("edited text", reason, came=came, or_else="") if found else _fruitless(seeker, demand, reason)


def _fruitless(seeker: Seeker, demand: Demand, reason: Reason) -> Status:
    """Return how a search ended that found nothing."""
    p: Tensor = seeker.ask.probabilities
    nearest = seeker.nearest()
    if len(p) > 1 and bool((p.amax(dim=0) - p.amin(dim=0) < 1e-9).all()):
        return ended("edited text", Reason.CONSTANT)
    if not seeker.n_proposed:
        return ended("edited text", Reason.NOTHING_TO_CHANGE)
    came = "No edit could be asked." if nearest is None else _came(nearest, demand)
    return ended("edited text", reason, came=came, or_else=", or a lower confidence")


def _came(nearest: Plan, demand: Demand) -> str:
    return f"The best edit came to log-odds of {nearest.margin:.2f}, and {demand.margin:.2f} was wanted."


def _notes(real: int | None) -> tuple[str, ...]:
    return () if real is not None else ("No real text of the class wanted was found with the questions left.",)
