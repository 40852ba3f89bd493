"""How much of a text a generator gives back, and that one which gives back less than half explains none."""

import difflib
from collections.abc import Sequence
from typing import Any

from likethat._status import Reason, Status, ended
from likethat.errors import InputError
from likethat.generators.text.words import split_words

_LEAST = 0.5  # of the words: below it a counterfactual differs from its source in more than it was asked to


def words_kept(generator: Any, texts: Sequence[str]) -> float:
    """Return the mean share of a text's words that are in the text made from its latent, in their order; in [0, 1]."""
    made = generator(generator.encode(list(texts)))
    return sum(_kept(text, again) for text, again in zip(texts, made, strict=True)) / len(texts)


def require_reconstruction(generator: Any) -> None:
    """Raise `InputError` for a generator of texts whose card says that it keeps less than half of the words."""
    kept = getattr(generator, "card", {}).get("words_kept") if getattr(generator, "kind", "") == "text" else None
    if kept is not None and kept < _LEAST:
        raise InputError(
            f"`generator` must give back at least {_LEAST:.0%} of the words of a text that it reads, got {kept:.0%}: "
            "what it makes says nothing of texts like yours. Take likethat.TextEdits(texts), or train on more texts."
        )


def status_of(kept: float, status: Status) -> Status:
    """Return how a training ended: with little learned where too few of the words come back, whatever the loss."""
    if kept >= _LEAST:
        return status
    came = f"{kept:.0%} of the words of texts that were kept back come out again; {_LEAST:.0%} are needed."
    return ended("generator", Reason.LITTLE_LEARNED, came=came, more="epochs")


def _kept(text: str, again: str) -> float:
    one, other = split_words(text).words, split_words(again).words
    blocks = difflib.SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / max(1, len(one))
