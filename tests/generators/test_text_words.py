"""Texts as words and back, in many scripts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from likethat.generators.text.words import in_case_of, join_words, split_words

SCRIPTS = [
    ("Don't panic, it's fine...", ["Don't", "panic", ",", "it's", "fine", "..."]),
    ("Der Film war großartig – wirklich!", ["Der", "Film", "war", "großartig", "–", "wirklich", "!"]),
    ("यह फ़िल्म अच्छी थी।", ["यह", "फ़िल्म", "अच्छी", "थी", "।"]),
    ("الفيلم رائع، حقًا", ["الفيلم", "رائع", "،", "حقًا"]),
    ("この映画は良い。", ["こ", "の", "映", "画", "は", "良", "い", "。"]),
    ("영화가 정말 좋았다", ["영화가", "정말", "좋았다"]),
    ("great 👨‍👩‍👧 🇩🇪👍🏽!", ["great", "👨‍👩‍👧", "🇩🇪", "👍🏽", "!"]),
    ("It cost $5 :-(", ["It", "cost", "$", "5", ":", "-", "("]),
]


@pytest.mark.parametrize(("text", "words"), SCRIPTS)
def test_every_script_falls_into_words(text: str, words: list[str]) -> None:
    assert list(split_words(text).words) == words


@pytest.mark.slow
@given(st.text())
def test_words_put_together_are_the_text(text: str) -> None:
    assert split_words(text).text == text


@given(st.text(), st.integers(0, 20))
def test_a_word_put_back_in_its_place_changes_nothing(text: str, place: int) -> None:
    words = split_words(text)
    if place < len(words):
        assert words.replaced(place, place + 1, words.words[place]).text.casefold() == text.casefold()


@pytest.mark.parametrize(
    ("text", "start", "stop", "new", "made"),
    [
        ("The film is bad.", 3, 4, "good", "The film is good."),
        ("The film is bad.", 0, 1, "", "Film is bad."),
        ("The film is bad.", 3, 3, "not", "The film is not bad."),
        ("Bad. Very dull!", 2, 3, "", "Bad. Dull!"),
        ("so so  bad", 2, 3, "good", "so so  good"),
        ("この映画は良い。", 5, 6, "悪", "この映画は悪い。"),
        ("この映画は良い。", 5, 5, "大", "この映画は大良い。"),
        ("I like it 👍", 3, 4, "👎", "I like it 👎"),
        ("It was good, I think.", 3, 6, "", "It was good."),
        ("fine", 0, 1, "", ""),
    ],
)
def test_an_edit_keeps_blanks_signs_and_capitals(text: str, start: int, stop: int, new: str, made: str) -> None:
    assert split_words(text).replaced(start, stop, new).text == made


def test_places_and_stretches_are_those_of_the_text() -> None:
    text = "  Well,  it was good. "
    words = split_words(text)
    assert [text[start:stop] for start, stop in words.places] == list(words.words)
    assert words.stretch(2, 5) == "it was good"
    assert words.clauses() == [(0, 1), (2, 5)]


def test_words_are_joined_as_their_script_does() -> None:
    assert join_words(["very", "good", ",", "really"]) == "very good, really"
    assert join_words(["映", "画"]) == "映画"
    assert [in_case_of("bad", model) for model in ("GOOD", "Good", "good", "I")] == ["BAD", "Bad", "bad", "Bad"]
