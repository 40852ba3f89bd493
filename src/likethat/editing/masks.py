"""Masks that leave every word out equally often, and groups of words for long texts."""

import itertools

import torch
from jaxtyping import Bool
from torch import Tensor

from likethat.generators.text.words import Words

MASK_SHARE = 0.25
"""Chance that a mask leaves a word out. Weights are those of this chance: a word means other things to a text of which
half is gone."""
_PARTS = round(1 / MASK_SHARE)
_MOST_GROUPS, _LONGEST_GROUP = 40, 12  # 16 masks rank 40 units at most; words of a clause without signs


def balanced_masks(n: int, *, rounds: int, rng: torch.Generator) -> Bool[Tensor, "mask word"]:
    """Return masks, true where a word is left out: in each round every word once, in a mask drawn for it alone.

    So in any one mask the words go independently of each other, and the weight of a linear fit to ever more answers is
    the mean effect of its word. Masks of one size would not tell how much all words together say.

    Args:
        n: words.
        rounds: of four masks each.
        rng: in which mask of a round each word goes.

    Example:
        >>> masks = balanced_masks(10, rounds=3, rng=torch.Generator().manual_seed(0))
        >>> masks.shape, masks.sum(0).tolist()
        (torch.Size([12, 10]), [3, 3, 3, 3, 3, 3, 3, 3, 3, 3])
    """
    which = torch.randint(_PARTS, (rounds, 1, n), generator=rng)
    return (which == torch.arange(_PARTS)[:, None]).reshape(rounds * _PARTS, n)


def masked(words: Words, mask: Bool[Tensor, " word"]) -> str:
    """Return a text without the words of a mask."""
    left = words
    for place in reversed(mask.nonzero()[:, 0].tolist()):
        left = left.replaced(place, place + 1, "")
    return left.text


def groups_of(words: Words) -> list[list[int]]:
    """Return the places of words in groups: each word by itself, or of a long text the words of a clause together.

    Signs of punctuation are in none: they go with nothing.
    """
    places = [place for place, says in enumerate(words.is_word) if says]
    if len(places) <= _MOST_GROUPS:
        return [[place] for place in places]
    groups = [
        [place for place in range(first, min(first + _LONGEST_GROUP, stop)) if words.is_word[place]]
        for start, stop in words.clauses()
        for first in range(start, stop, _LONGEST_GROUP)
    ]
    groups = [group for group in groups if group]
    size = -(-len(groups) // _MOST_GROUPS)
    return [list(itertools.chain(*groups[first : first + size])) for first in range(0, len(groups), size)]
