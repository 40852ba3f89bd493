"""The sentences at the top of an explanation and of its rows."""

import numpy as np

from likethat.explanations.explanation import Explanation
from likethat.explanations.records import Contribution
from likethat.report.text import count, percent, shorten, signed
from likethat.report.views import class_name, noun_of

__all__ = [
    "headline",
    "lead",
    "part_sentence",
    "share_sentence",
    "surroundings_sentence",
    "truth_sentence",
    "unlocated_sentence",
]


def _quoted(explanation: Explanation, index: int) -> str:
    return f"“{shorten(class_name(explanation.class_names, index), 60)}”"


def headline(explanation: Explanation) -> str:
    """Return what the page is about, in plain words."""
    target = _quoted(explanation, explanation.target)
    if explanation.against is not None:
        return f"Why {target} and not {_quoted(explanation, explanation.against)}"
    if explanation.target == explanation.predicted:
        return f"The model says {target} ({percent(explanation.probability)})"
    return f"What speaks for {target} ({percent(explanation.probability)})"


def lead(explanation: Explanation, decimals: int) -> str:
    """Return what the shown rows amount to."""
    noun = noun_of(explanation.provenance)
    n_for = sum(row.total > 0 for row in explanation.rows)
    n_against = sum(row.total < 0 for row in explanation.rows)
    if explanation.against is not None:
        return _contrast_lead(explanation, decimals, n_for, n_against)
    says = _quoted(explanation, explanation.predicted)
    start = "" if explanation.target == explanation.predicted else f"The model says {says} instead. "
    if n_for == 0:
        return f"{start}No {noun} shown here speaks for it."
    carry = "carries" if n_for == 1 else "carry"
    share = f"{_capital(count(n_for, noun))} {carry} {percent(min(explanation.coverage, 1.0))} of the evidence for it"
    return f"{start}{share}; {_speak(n_against, noun)} against it." if n_against else f"{start}{share}."


def _contrast_lead(explanation: Explanation, decimals: int, n_for: int, n_against: int) -> str:
    noun = noun_of(explanation.provenance)
    against = explanation.against if explanation.against is not None else explanation.target
    pair = (_quoted(explanation, explanation.target), _quoted(explanation, against))
    ahead, behind = pair if explanation.logit >= 0 else pair[::-1]
    size = signed(abs(explanation.logit), decimals).removeprefix("+")
    start = f"{ahead} is ahead of {behind} by a logit of {size}"
    if explanation.logit == 0:
        start = f"{pair[0]} and {pair[1]} have the same logit"
    shown = [f"{_speak(n, noun)} for {name}" for n, name in zip((n_for, n_against), pair, strict=True) if n]
    return f"{start}. Of those shown, {' and '.join(shown)}." if shown else f"{start}."


def _speak(n: int, noun: str) -> str:
    return f"{count(n, noun)} {'speaks' if n == 1 else 'speak'}"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def share_sentence(explanation: Explanation, row: Contribution) -> str:
    """Return which share of the evidence, for or against, a row carries."""
    totals = explanation.contributions.astype(np.float64) + explanation.unlocated
    side = float(np.abs(totals[totals * row.total > 0]).sum())
    if not row.total or not side:
        return "no evidence either way"
    target = _quoted(explanation, explanation.target)
    if explanation.against is not None:
        name = target if row.total > 0 else _quoted(explanation, explanation.against)
        return f"{percent(min(abs(row.total) / side, 1.0))} of the evidence for {name}"
    return (
        f"{percent(min(abs(row.total) / side, 1.0))} of the evidence {'for' if row.total > 0 else 'against'} {target}"
    )


def part_sentence(explanation: Explanation, row: Contribution) -> str:
    """Return whether box and prototypes show the same true part; "" where the truth is not known.

    Where one row's part is known the picture's truth is, and a box without a part is on none.
    """
    if not _knows_truth(explanation):
        return ""
    if row.true_part is None:
        return "This box is on no part."
    start = f"This box is on: {shorten(row.true_part, 40)}."
    if not any(item.true_part for item in row.prototypes):
        return start
    same = sum(item.true_part == row.true_part for item in row.prototypes)
    n = len(row.prototypes)
    return f"{start} {same} of {n} prototype{'' if n == 1 else 's'} {'shows' if same == 1 else 'show'} the same part."


def _knows_truth(explanation: Explanation) -> bool:
    return any(row.true_part is not None for row in explanation.rows)


def truth_sentence(explanation: Explanation) -> str:
    """Return in how many rows most prototypes show the part under the box; "" where no truth is known."""
    judged = [row for row in explanation.rows if any(item.true_part for item in row.prototypes)]
    if not judged or not _knows_truth(explanation):
        return ""
    right = sum(
        2 * sum(row.true_part is not None and item.true_part == row.true_part for item in row.prototypes)
        > len(row.prototypes)
        for row in judged
    )
    return (
        f"Checked against the true parts: {right} of {len(judged)} box{'' if len(judged) == 1 else 'es'} "
        f"{'is' if right == 1 else 'are'} on the part that most of the prototypes show."
    )


def unlocated_sentence(explanation: Explanation) -> str:
    """Return what hatched bars mean; "" where nothing is hatched."""
    if explanation.spatially_additive or not np.any(explanation.unlocated):
        return ""
    name = next(iter(explanation.remainder_terms), "") or "part of the head that reads no place"
    return (
        f"Hatched bars come from the {shorten(name, 60)}: they count towards the logit exactly, but no place in the "
        "picture can be shown for them."
    )


def surroundings_sentence(explanation: Explanation) -> str:
    """Return what share of the evidence comes from the surroundings, or "" where that is not known."""
    if explanation.surroundings is None:
        return ""
    return f" {percent(explanation.surroundings)} of the evidence that speaks for it comes from the surroundings."
