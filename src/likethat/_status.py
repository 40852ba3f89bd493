"""Whether a search or a training reached what it was asked for, why it ended, what to do next: all of it, once."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, TypeAlias


class Reason(StrEnum):
    """Why a search or a training ended: a closed set, which docs/records.md and the schema of ``--json`` list too."""

    REACHED = "reached"
    """All that was asked for was found."""
    LESS_CONFIDENT = "less confident"
    """The model gives it to the target, less surely than was asked for."""
    BUDGET = "budget"
    """The queries were spent."""
    NO_PROGRESS = "no progress"
    """Queries were left, and nothing that could be asked with them would have helped."""
    OUT_OF_REACH = "out of reach"
    """Neither inputs near the source nor typical ones were given to the target."""
    COLLAPSED = "collapsed"
    """All particles got the same answer, so none leads anywhere."""
    HARD_LABELS = "hard labels"
    """The model answers with labels alone, so nothing says which way to go."""
    CONSTANT = "constant"
    """The model gave the same answer whatever was changed."""
    NOTHING_TO_CHANGE = "nothing to change"
    """Nothing was proposed that could stand in place of any of it."""
    IMPLAUSIBLE = "implausible"
    """The model gives it to the target, and it reads as nobody writes."""
    STEPS = "steps"
    """All steps were taken."""
    LITTLE_LEARNED = "little learned"
    """What was kept back from a training comes out no better than without it, or too badly to be searched with."""
    UNFAMILIAR = "unfamiliar"
    """The model gives it to the target, and nothing is known that could say how it reads."""
    INTERRUPTED = "interrupted"
    """It was stopped from outside; what was found until then is kept."""
    FAILED = "failed"
    """An error ended it; what was found until then is kept."""


Sought: TypeAlias = Literal[
    "counterfactual", "edited text", "exemplars", "real texts", "heat map", "words", "generator"
]
"""What a search, or a training, is for."""

_GO_ON = "The same call, of the same box or with its cache, goes on from here."
_STOPPED = f"Stopped after {{queries}} queries: {{kept}} shown. {_GO_ON}"
_STOPPED_ASKING = f"Stopped before the budget was spent: the standard error is that of the answers so far. {_GO_ON}"
_KEPT = "{error}. The best so far is kept."
_COUNTERFACTUAL = {
    Reason.LESS_CONFIDENT: (
        "The model gives it to the target, with probability {least:.2f}; {confidence:.2f} was asked for."
    ),
    Reason.BUDGET: "{came} Give more budget{or_else}.",
    Reason.NO_PROGRESS: (
        "{came} The generator makes the same inputs again and again. Take one with more variety, or another seed."
    ),
    Reason.OUT_OF_REACH: (
        "Of {n_asked} inputs asked, {n_typical} of them as the generator makes them anywhere, none came there; "
        "the {what} was {best}. The model may give hardly anything to it: more budget is "
        "unlikely to help. Name another target, or free columns that are kept."
    ),
    Reason.COLLAPSED: (
        "The model gave the same answer to every particle. Raise n_particles, or check that it reads the input at all."
    ),
    Reason.HARD_LABELS: (
        "The model answers with labels alone, so nothing says which way to go. A latent generator searches widest; "
        "attribute(algorithm='patches') still shows what the label depends on."
    ),
    Reason.STEPS: (
        "{came} The sampler took all its steps, so more budget would not be spent. Raise n_steps=, or take another "
        "seed, or likethat.FreeMCG, which searches on{or_else}."
    ),
    Reason.INTERRUPTED: _STOPPED,
    Reason.FAILED: _KEPT,
}
_EDITED_TEXT = {
    Reason.BUDGET: "{came} Give more budget{or_else}.",
    Reason.NO_PROGRESS: "{came} Give more texts, or their labels{or_else}.",
    Reason.CONSTANT: "The model gave the same answer to every changed text. Check that it reads the text at all.",
    Reason.NOTHING_TO_CHANGE: (
        "Nothing could be proposed in place of any word. Give more texts like this one, or another proposer."
    ),
    Reason.IMPLAUSIBLE: (
        "The model gives it to the target, but it reads badly: {what} costs {oddness:.1f} nats, and a random word "
        "costs about 4. Give more texts, a lower confidence, or look at the nearest real text."
    ),
    Reason.UNFAMILIAR: (
        "The model gives it to the target, but {known} of the {n} words of the source are in the texts given, so "
        "nothing says how an edit of it reads. Give texts of its language and manner."
    ),
    Reason.INTERRUPTED: _STOPPED,
    Reason.FAILED: _KEPT,
}
_EXEMPLARS = {
    Reason.BUDGET: "{came} within the budget of {budget} queries. Raise budget=, or tolerance=, or lower n=.",
    Reason.NO_PROGRESS: "{came}; the generator makes the same inputs again and again. Lower n= or spacing=.",
    Reason.INTERRUPTED: f"{{came}} before it was stopped. {_GO_ON}",
}
_REAL_TEXTS = {
    Reason.BUDGET: (
        "{came} after {asked} texts were asked, the budget of {budget} queries. Raise budget=, or tolerance=, or "
        "lower n=."
    ),
    Reason.NO_PROGRESS: (
        "{came} after {asked} texts were asked: more questions bring little. Give more texts, raise tolerance=, or "
        "lower n=."
    ),
    Reason.INTERRUPTED: f"{{came}} before it was stopped. {_GO_ON}",
}
_HEAT_MAP = {
    Reason.BUDGET: "{answers} changed images were answered, too few to tell pixels apart. Give more budget.",
    Reason.CONSTANT: "The model gave the same answer to every changed image, so no pixel can be told from another.",
    Reason.INTERRUPTED: _STOPPED_ASKING,
}
_WORDS = {
    Reason.BUDGET: "{answers} changed texts were answered, too few to tell words apart. Give more budget.",
    Reason.CONSTANT: "The model gave the same answer whatever was left out, so no word can be told from another.",
    Reason.INTERRUPTED: _STOPPED_ASKING,
}
_GENERATOR = {
    Reason.STEPS: (
        "The loss on what was kept back had not stopped falling when all {steps:,} steps were taken: more of them "
        "({more}=) may bring more."
    ),
    Reason.LITTLE_LEARNED: ("{came} Searches with it would say little: give more data, or train longer ({more}=)."),
}

ADVICE: Mapping[Sought, Mapping[Reason, str]] = MappingProxyType(
    {
        "counterfactual": _COUNTERFACTUAL,
        "edited text": _EDITED_TEXT,
        "exemplars": _EXEMPLARS,
        "real texts": _REAL_TEXTS,
        "heat map": _HEAT_MAP,
        "words": _WORDS,
        "generator": _GENERATOR,
    }
)
"""What came and what to try, by what was sought and why it ended; all can be reached, which needs no advice."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """How a search or a training ended.

    Attributes:
        reached: whether everything asked for was found.
        reason: why it ended, of a closed set.
        advice: a sentence on what came and what to try; empty where all was reached.
    """

    reached: bool
    reason: Reason
    advice: str = ""

    @property
    def is_interrupted(self) -> bool:
        """Whether it was stopped from outside."""
        return self.reason == Reason.INTERRUPTED

    def __bool__(self) -> bool:
        return self.reached

    def __str__(self) -> str:
        return self.reason if self.reached or not self.advice else f"{self.reason}: {self.advice}"


def ended(sought: Sought, reason: Reason, *, reached: bool = False, **facts: object) -> Status:
    """Return how a search or a training ended, with the advice that belongs to it.

    Args:
        sought: what it was for.
        reason: why it ended; where all was reached, nothing is advised.
        reached: whether everything was found nevertheless.
        facts: what the advice speaks of.

    Example:
        >>> str(ended("heat map", Reason.BUDGET, answers=3))
        'budget: 3 changed images were answered, too few to tell pixels apart. Give more budget.'
    """
    if reason == Reason.REACHED:
        return Status(reached=True, reason=reason)
    return Status(reached=reached, reason=reason, advice=ADVICE[sought][reason].format(**facts))
