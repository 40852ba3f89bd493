"""Drawn reviews of films, restaurants, telephones and hotels, from a small grammar that can also read them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from likethat._checks import check_choice, check_count

SENTIMENTS = ("negative", "mixed", "positive")
TOPICS = ("film", "restaurant", "phone", "hotel")

_NOUNS: Mapping[str, tuple[str, ...]] = {
    "film": ("film", "movie", "thriller", "comedy"),
    "restaurant": ("restaurant", "bistro", "diner", "café"),
    "phone": ("phone", "smartphone", "device", "handset"),
    "hotel": ("hotel", "hostel", "guesthouse", "inn"),
}
_ASPECTS: Mapping[str, tuple[str, ...]] = {
    "film": ("plot", "acting", "ending", "soundtrack", "dialogue", "camera work"),
    "restaurant": ("food", "service", "wine", "dessert", "menu", "soup"),
    "phone": ("screen", "battery", "camera", "keyboard", "speaker", "software"),
    "hotel": ("room", "breakfast", "staff", "location", "bathroom", "view"),
}
_GOOD = ("great", "lovely", "superb", "charming", "excellent", "impressive", "wonderful", "perfect")
_BAD = ("awful", "dull", "terrible", "disappointing", "poor", "dreadful", "mediocre", "annoying")
_LIKED, _DISLIKED = ("loved", "enjoyed", "admired"), ("hated", "disliked", "regretted")
_OPENERS = ("", "Honestly, ", "To be fair, ", "For me, ", "In the end, ")
_DEGREES = ("", "really ", "quite ", "simply ", "surprisingly ")
_CLOSERS: Mapping[str, tuple[str, ...]] = {
    "negative": ("Never again!", "What a waste of money.", "Stay away."),
    "mixed": ("It is all right.", "Decide for yourself.", "I am torn."),
    "positive": ("I would come back!", "Worth every cent.", "Highly recommended."),
}


@dataclass(frozen=True, kw_only=True)
class Review:
    """What a sentence of the grammar says.

    Attributes:
        topic: one of `TOPICS`.
        sentiment: one of `SENTIMENTS`.
    """

    topic: str
    sentiment: str


def sentences(
    n: int = 4000, *, seed: int = 0, label: Literal["sentiment", "topic"] = "sentiment"
) -> tuple[list[str], np.ndarray]:
    """Return drawn reviews and a class for each.

    A review judges two sides of one thing and closes with a verdict: positive when both are good, negative when both
    are bad, mixed otherwise. Some ten million can be drawn.

    Args:
        n: number of reviews.
        seed: same seed, same reviews.
        label: what the class is: the sentiment (see `SENTIMENTS`) or the topic (see `TOPICS`).

    Returns:
        The texts, and the class of each, from 0.

    Example:
        >>> texts, labels = sentences(2)
        >>> texts[0], SENTIMENTS[labels[0]]
        ('...', '...')
    """
    check_choice(label, name="label", choices=("sentiment", "topic"))
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(check_count(n, name="n")):
        topic, sentiment = (int(rng.integers(len(names))) for names in (TOPICS, SENTIMENTS))
        texts.append(_draw(rng, TOPICS[topic], SENTIMENTS[sentiment]))
        labels.append(topic if label == "topic" else sentiment)
    return texts, np.array(labels, dtype=np.int64)


def read_sentence(text: str) -> Review | None:
    """Return what a review says; None if the grammar does not make it.

    Example:
        >>> read_sentence("The plot of this film was great and the acting was lovely. Worth every cent.")
        Review(topic='film', sentiment='positive')
        >>> read_sentence("The soup of this film was great and the acting was lovely. Worth every cent.") is None
        True
    """
    found = next((match for pattern in _PATTERNS if (match := pattern.fullmatch(text))), None)
    if found is None or found["first"] == found["second"]:
        return None
    is_good = (found["judged"] in (*_GOOD, *_LIKED), found["also"] in _GOOD)
    sentiment = SENTIMENTS[sum(is_good)]
    if found["close"] not in _CLOSERS[sentiment] or (found["join"] == "but") == (is_good[0] == is_good[1]):
        return None
    aspects = {found["first"], found["second"]}
    topics = [topic for topic in TOPICS if found["noun"] in _NOUNS[topic] and aspects <= set(_ASPECTS[topic])]
    return Review(topic=topics[0], sentiment=sentiment) if topics else None


def _draw(rng: np.random.Generator, topic: str, sentiment: str) -> str:
    def one(words: tuple[str, ...]) -> str:
        return words[int(rng.integers(len(words)))]

    is_good = {"negative": (False, False), "positive": (True, True)}.get(sentiment)
    is_good = is_good or ((True, False) if rng.random() < 0.5 else (False, True))
    noun, first = one(_NOUNS[topic]), one(_ASPECTS[topic])
    second = one(tuple(aspect for aspect in _ASPECTS[topic] if aspect != first))
    start = f"the {first} of this {noun} was {one(_DEGREES)}{one(_GOOD if is_good[0] else _BAD)}"
    if rng.random() < 0.4:
        start = f"I {one(_DEGREES[:2])}{one(_LIKED if is_good[0] else _DISLIKED)} the {first} of this {noun}"
    join = "and" if is_good[0] == is_good[1] else "but"
    text = f"{one(_OPENERS)}{start} {join} the {second} was {one(_GOOD if is_good[1] else _BAD)}. "
    return text[0].upper() + text[1:] + one(_CLOSERS[sentiment])


def _any_of(*groups: tuple[str, ...]) -> str:
    return "|".join(re.escape(word) for group in groups for word in group)


def _patterns() -> tuple[re.Pattern[str], ...]:
    """Return what reads each of the two ways to begin, at the start of a text and behind an opener."""
    what = f"(?P<first>{_any_of(*_ASPECTS.values())}) of this (?P<noun>{_any_of(*_NOUNS.values())})"
    adjectives = _any_of(_GOOD, _BAD)
    was = f"he {what} was (?:{_any_of(_DEGREES)})(?P<judged>{adjectives})"
    felt = f"I (?:{_any_of(_DEGREES[:2])})(?P<judged>{_any_of(_LIKED, _DISLIKED)}) the {what}"
    tail = f" (?P<join>and|but) the (?P<second>{_any_of(*_ASPECTS.values())}) was (?P<also>{adjectives})\\. "
    close = f"(?P<close>{_any_of(*_CLOSERS.values())})"
    opener = f"(?:{_any_of(_OPENERS[1:])})"
    starts = (f"T{was}", f"{opener}t{was}", f"(?:{opener})?{felt}")
    return tuple(re.compile(start + tail + close) for start in starts)


_PATTERNS = _patterns()
