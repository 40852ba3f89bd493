"""The sentences at the top of an explanation and of its rows."""

from collections.abc import Sequence

import numpy as np

from likethat.coordinates.head_parts import WEAK
from likethat.explanations.explanation import Explanation
from likethat.explanations.records import Contribution
from likethat.report.text import chance, count, percent, shorten, signed
from likethat.report.views import class_name, noun_of


def _quoted(explanation: Explanation, index: int) -> str:
    return f"“{shorten(class_name(explanation.class_names, index), 60)}”"


def headline(explanation: Explanation) -> str:
    """Return what the page is about, in plain words."""
    target = _quoted(explanation, explanation.target)
    if explanation.against is not None:
        return _contrast_headline(explanation, target, _quoted(explanation, explanation.against))
    if explanation.is_yes_or_no and not explanation.given:
        return f"The model says not {target} ({chance(1 - explanation.probability)})"
    if explanation.target in explanation.given:
        return f"The model says {target} ({chance(explanation.probability)})"
    return f"What speaks for {target} ({chance(explanation.probability)})"


def _contrast_headline(explanation: Explanation, target: str, against: str) -> str:
    """Labels do not exclude each other: the model may say both."""
    if explanation.outputs == "softmax" or explanation.against is None:
        return f"Why {target} and not {against}"
    more = "more than" if explanation.logit > 0 else "less than" if explanation.logit < 0 else "as much as"
    first, second = (chance(float(explanation.probabilities[i])) for i in (explanation.target, explanation.against))
    return f"Why {target} ({first}) {more} {against} ({second})"


def verdict(explanation: Explanation) -> str:
    """Return what the model says of the picture, as short as a line of a console.

    Such as "owl, 97 %", "not tumour, 99 %", "cat, 97 %; dog, 80 %", "none of its 5 labels (cat, 32 %)".
    """

    def said(index: int) -> str:
        name = shorten(class_name(explanation.class_names, index), 60)
        known = index < len(explanation.probabilities)
        return f"{name}, {chance(float(explanation.probabilities[index]))}" if known else name

    given = explanation.given
    if explanation.is_yes_or_no and not given:
        name = shorten(class_name(explanation.class_names, 0), 60)
        return f"not {name}, {chance(1 - explanation.probability)}"
    if not given:
        return f"none of its {len(explanation.class_names):,} labels ({said(explanation.predicted)})"
    return "; ".join([*map(said, given[:3]), *([f"{len(given) - 3} more"] if len(given) > 3 else [])])


def lead(explanation: Explanation, decimals: int) -> str:
    """Return what the shown rows amount to."""
    noun = noun_of(explanation.provenance)
    n_for = sum(row.total > 0 for row in explanation.rows)
    n_against = sum(row.total < 0 for row in explanation.rows)
    if explanation.against is not None:
        return _contrast_lead(explanation, decimals, n_for, n_against)
    start = _others(explanation)
    if explanation.is_yes_or_no and not explanation.given:
        words, coverage = ("against it", "for it"), _carried(explanation, explanation.rows, -1)
        return _amounts(n_against, n_for, noun, coverage, words=words)
    it = _quoted(explanation, explanation.target) if start else "it"  # after another class's name, "it" would be that
    return f"{start}{_amounts(n_for, n_against, noun, explanation.coverage, words=(f'for {it}', 'against it'))}"


def _amounts(n_with: int, n_other: int, noun: str, covered: float, *, words: tuple[str, str]) -> str:
    """Say how much of the evidence the rows carry that go with what the model says, and how many do not."""
    if n_with == 0:
        return f"No {noun} shown here speaks {words[0]}."
    carry = "carries" if n_with == 1 else "carry"
    share = f"{_capital(count(n_with, noun))} {carry} {percent(min(covered, 1.0))} of the evidence {words[0]}"
    return f"{share}; {_speak(n_other, noun)} {words[1]}." if n_other else f"{share}."


def _carried(explanation: Explanation, rows: Sequence[Contribution], sign: int = 1) -> float:
    """Return the share of the evidence of one sign that some rows carry."""
    totals = sign * (explanation.contributions.astype(np.float64) + explanation.unlocated)
    whole = float(totals[totals > 0].sum())
    return sum(max(sign * row.total, 0.0) for row in rows) / whole if whole > 0 else 0.0


def _others(explanation: Explanation) -> str:
    """Say which other classes the model gives, or that it gives none; "" where it gives the target alone."""
    others = [index for index in explanation.given if index != explanation.target]
    if explanation.outputs == "softmax":
        return f"The model says {_quoted(explanation, others[0])} instead. " if others else ""
    if explanation.is_yes_or_no:
        return ""
    if not others:
        n_labels = len(explanation.class_names)
        return "" if explanation.given else f"The model gives the picture none of its {n_labels:,} labels. "
    named = [f"{_quoted(explanation, i)} ({chance(float(explanation.probabilities[i]))})" for i in others[:3]]
    if len(others) > 3:
        named.append(f"{count(len(others) - 3, 'label')} more")
    listed = " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))
    return f"The model {'also ' if explanation.target in explanation.given else ''}says {listed}. "


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
    name = next(iter(explanation.remainder_terms), "") or "part of the head that is not localised"
    return (
        f"Hatched bars come from the {shorten(name, 60)}: they count towards the logit exactly, but no place in the "
        "picture can be shown for them."
    )


def surroundings_sentence(explanation: Explanation) -> str:
    """Return what share of the evidence comes from the surroundings, or "" where no part is called so."""
    if explanation.surroundings is None:
        weak = [row for row in explanation.rows if row.name.endswith(f"({WEAK})") and row.total > 0]
        share, named = percent(_carried(explanation, weak)), count(len(weak), noun_of(explanation.provenance))
        return f" {share} of it comes from {named} whose places hold little evidence each: {WEAK}." if weak else ""
    return f" {percent(explanation.surroundings)} of the evidence that speaks for it comes from the surroundings."
