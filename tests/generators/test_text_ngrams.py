"""The trigram model, against the formula in loops."""

import itertools
import math

import numpy as np
import pytest

from likethat.generators.text.ngrams import NGrams

TEXTS = [["a", "good", "film"], ["a", "bad", "film"], ["a", "good", "plot"], ["good", "good"]]


def slow_slor(text: list[str]) -> float:
    """The formula, word by word, from lists of all trigrams."""
    threes = [three for one in TEXTS for three in _threes(one)]
    n_words = len({word for one in TEXTS for word in one}) + 3
    total = 0.0
    for u, v, w in _threes(text):
        alone = (sum(three[2] == w for three in threes) + 1) / (len(threes) + n_words)
        second = _mixed([three[2] for three in threes if three[1] == v], w, alone)
        third = _mixed([three[2] for three in threes if three[:2] == (u, v)], w, second)
        total += math.log(third) - math.log(alone)
    return total


def _threes(text: list[str]) -> list[tuple[str, str, str]]:
    padded = ["<s>", "<s>", *text, "</s>"]
    return list(zip(padded, padded[1:], padded[2:], strict=False))


def _mixed(followers: list[str], word: str, lower: float) -> float:
    if not followers:
        return lower
    seen, kinds = followers.count(word), len(set(followers))
    return (max(seen - 0.75, 0) + 0.75 * kinds * lower) / len(followers)


def test_slor_is_the_formula() -> None:
    model = NGrams.count(TEXTS)
    texts = [list(text) for n in (0, 1, 2, 3) for text in itertools.product(("a", "good", "film", "new"), repeat=n)]
    assert model.slor(texts) == pytest.approx([slow_slor(text) for text in texts])


def test_a_word_in_its_place_reads_better_than_out_of_it() -> None:
    model = NGrams.count(TEXTS)
    right, wrong = model.slor([["a", "good", "film"], ["film", "a", "good"]])
    assert right > wrong


def test_a_text_taken_out_was_never_counted() -> None:
    texts = [*TEXTS, ["bad"]]  # so that no word is in one text alone
    known, never = NGrams.count(texts).without(texts[1]), NGrams.count(texts[:1] + texts[2:])
    words = [["a", "bad", "film"], ["a", "good", "plot"]]
    np.testing.assert_allclose(known.slor(words), never.slor(words))
    assert not known.knows_pairs(*(np.array([known.numbers[word]]) for word in ("a", "bad"))).any()


def test_words_between_two_are_those_seen_there() -> None:
    model = NGrams.count(TEXTS)
    names = ["", "", "", *model.numbers]
    found = model.between(model.numbers["a"], model.numbers["film"])
    assert {names[number] for number in found} == {"good", "bad"}
