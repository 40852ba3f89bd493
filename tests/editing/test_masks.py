"""Balanced masks, and groups of words."""

import pytest
import torch

from likethat.editing.masks import balanced_masks, groups_of, masked
from likethat.generators.text.words import split_words


@pytest.mark.parametrize("n", [1, 3, 4, 21])
def test_every_word_is_left_out_once_a_round(n: int) -> None:
    masks = balanced_masks(n, rounds=5, rng=torch.Generator().manual_seed(0))
    assert masks.shape == (20, n)
    assert masks.sum(0).tolist() == [5] * n


def test_words_go_independently_of_each_other() -> None:
    masks = balanced_masks(6, rounds=4000, rng=torch.Generator().manual_seed(0)).double()
    assert torch.corrcoef(masks.T).fill_diagonal_(0).abs().max() < 0.03  # of masks of one size: -1 / 5
    sizes = masks.sum(1).long().bincount(minlength=7) / len(masks)
    assert sizes[:3].tolist() == pytest.approx([0.178, 0.356, 0.297], abs=0.01)  # binomial, 6 words of chance 1 / 4


def test_a_masked_text_is_still_written_properly() -> None:
    words = split_words("The film, sadly, is bad.")
    mask = torch.tensor([True, False, False, False, False, False, True, False])
    assert masked(words, mask) == "Film, sadly, is."


def test_words_of_a_short_text_stand_alone_and_of_a_long_one_in_groups() -> None:
    short = split_words("The film, sadly, is bad.")
    assert groups_of(short) == [[0], [1], [3], [5], [6]]
    long = split_words(", ".join(f"clause {place} is here" for place in range(120)))
    groups = groups_of(long)
    assert len(groups) <= 40
    assert sorted(place for group in groups for place in group) == [
        place for place, says in enumerate(long.is_word) if says
    ]
