"""A text as words and what stands between them, in any script; put together again it is the same text."""

import itertools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Scripts without blanks between words: Thai, Lao, Burmese, Khmer, kana, ideographs. Each character is a word here."""
_PLAIN = re.compile(r"[A-Za-z0-9_]+(?:['-][A-Za-z0-9_]+)*(?=[\x00-\x26\x28-\x2c./:-@[-^`{-\x7f]|$)")
"""Most words of most texts: found at once, without looking at each letter."""
_JOINER, _WITHIN = "\u200d", "'’-·"
_SKIN = re.compile("[\U0001f3fb-\U0001f3ff]")
_CLAUSE = re.compile('[,;:.!?…—–()"“”«»、。，；：！？｡؟،؛।॥]')


@dataclass(frozen=True, kw_only=True)
class Words:
    """The words and signs of a text, in order.

    Attributes:
        words: each a word, a sign, or an emoji with all that belongs to it.
        gaps: what stands before each: blanks, or nothing.
        tail: what stands behind the last.
    """

    words: tuple[str, ...]
    gaps: tuple[str, ...]
    tail: str = ""

    def __len__(self) -> int:
        return len(self.words)

    @property
    def text(self) -> str:
        """The text itself, to the letter."""
        return "".join(gap + word for gap, word in zip(self.gaps, self.words, strict=True)) + self.tail

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The words as they are counted: without upper case."""
        return tuple(word.casefold() for word in self.words)

    @cached_property
    def is_word(self) -> tuple[bool, ...]:
        """Whether each is a word or an emoji; else it is a sign of punctuation."""
        return tuple(is_wordlike(word) for word in self.words)

    @cached_property
    def places(self) -> list[tuple[int, int]]:
        """Where each word begins and ends in the text, in characters."""
        found, place = [], 0
        for gap, word in zip(self.gaps, self.words, strict=True):
            found.append((place + len(gap), place + len(gap) + len(word)))
            place = found[-1][1]
        return found

    def stretch(self, start: int, stop: int) -> str:
        """Return some of the words with what stands between them."""
        pairs = zip(self.gaps[start:stop], self.words[start:stop], strict=True)
        return "".join(gap + word for gap, word in pairs).removeprefix(self.gaps[start] if start < stop else "")

    def clauses(self) -> list[tuple[int, int]]:
        """Return (start, stop) of the stretches between signs that end a clause; those signs are in none.

        Example:
            >>> split_words("Well, it was good.").clauses()
            [(0, 1), (2, 5)]
        """
        ends = [place for place, word in enumerate(self.words) if _CLAUSE.fullmatch(word[0])]
        starts = [0, *(end + 1 for end in ends)]
        return [(start, stop) for start, stop in zip(starts, [*ends, len(self)], strict=True) if stop > start]

    def replaced(self, start: int, stop: int, text: str) -> "Words":
        """Return the words with some of them replaced; blanks and a capital at the start stay as they were.

        Args:
            start: first word to go.
            stop: first word to stay; `start` for an insertion.
            text: what comes in their place; "" for a deletion.

        Example:
            >>> split_words("Very good, I say!").replaced(0, 1, "").text
            'Good, I say!'
        """
        new = split_words(text)
        gaps = list(new.gaps)
        if new.words:
            gaps[0] = self._gap_before(start, stop, new.words[0])
        words = [*self.words[:start], *new.words, *self.words[stop:]]
        all_gaps = [*self.gaps[:start], *gaps, *self.gaps[stop:]]
        if not new.words and stop < len(self) and is_wordlike(self.words[stop]):
            all_gaps[start] = self.gaps[start]  # the gap of what went: at the beginning there is none
        if new.words and stop == start < len(self) and not all_gaps[start + len(new)] and start == 0:
            all_gaps[start + len(new)] = "" if _UNSPACED.match(self.words[start]) else " "
        where = start + len(new) if not new.words else start
        if where < len(words) and start < len(self) and self._begins(start) and self.words[start][:1].isupper():
            words[where] = words[where][:1].upper() + words[where][1:]
        return Words(words=tuple(words), gaps=tuple(all_gaps), tail=self.tail)

    def _gap_before(self, start: int, stop: int, first: str) -> str:
        if start == 0:
            return self.gaps[0] if self.gaps else ""
        if stop > start:
            return self.gaps[start]
        beside = _UNSPACED.match(first) or not is_wordlike(first)
        return "" if beside else " "

    def _begins(self, place: int) -> bool:
        """Return whether a word is the first of a sentence."""
        return place == 0 or self.words[place - 1][0] in ".!?…。！？।॥"


def split_words(text: str) -> Words:
    """Return a text's words and signs.

    Example:
        >>> split_words("Don't  panic, 東京 👍🏽!").words
        ("Don't", 'panic', ',', '東', '京', '👍🏽', '!')
    """
    words: list[str] = []
    gaps: list[str] = []
    gap, place = "", 0
    while place < len(text):
        if text[place].isspace():
            gap += text[place]
            place += 1
            continue
        plain = _PLAIN.match(text, place)
        stop = plain.end() if plain is not None else _end_of(text, place)
        words.append(text[place:stop])
        gaps.append(gap)
        gap, place = "", stop
    return Words(words=tuple(words), gaps=tuple(gaps), tail=gap)


def is_wordlike(word: str) -> bool:
    """Return whether a piece of a text says something: letters, figures, or an emoji."""
    return _is_letter(word[0]) or unicodedata.category(word[0]) in ("So", "Sk", "Sc")


def in_case_of(word: str, model: str) -> str:
    """Return a word written as another is: in capitals, with a capital, or as it stands.

    Example:
        >>> in_case_of("bad", "GOOD"), in_case_of("bad", "Good"), in_case_of("bad", "good")
        ('BAD', 'Bad', 'bad')
    """
    if len(model) > 1 and model.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if model[:1].isupper() else word


def join_words(words: Sequence[str]) -> str:
    """Return words with blanks between them, where their script has blanks."""
    pieces = [words[0]] if words else []
    for before, word in itertools.pairwise(words):
        blank = is_wordlike(word) and not (_UNSPACED.match(word) and _UNSPACED.match(before[-1]))
        pieces.append(f" {word}" if blank else word)
    return "".join(pieces)


def _end_of(text: str, place: int) -> int:
    """Return where the word or sign that begins at `place` ends."""
    stop = place + 1
    if _UNSPACED.match(text[place]):
        return _after_marks(text, stop)
    if _is_letter(text[place]):
        while stop < len(text) and _goes_on(text, stop):
            stop += 1
        return stop
    if unicodedata.category(text[place]) in ("So", "Sk"):
        return _after_emoji(text, stop)
    while stop < len(text) and text[stop] == text[place]:  # "..." and "!!!" are one sign
        stop += 1
    return stop


def _goes_on(text: str, place: int) -> bool:
    if _is_letter(text[place]) or unicodedata.category(text[place])[0] == "M":
        return not _UNSPACED.match(text[place])
    if text[place] in ("\u200c", _JOINER):  # Persian and Indic scripts write them within words
        return True
    within = text[place] in _WITHIN and place + 1 < len(text) and _is_letter(text[place + 1])
    return within and not _UNSPACED.match(text[place + 1])


def _after_marks(text: str, place: int) -> int:
    while place < len(text) and unicodedata.category(text[place])[0] == "M":
        place += 1
    return place


def _after_emoji(text: str, place: int) -> int:
    while place < len(text):
        if text[place] == _JOINER and place + 1 < len(text):
            place += 2
        elif _SKIN.match(text[place]) or unicodedata.category(text[place])[0] == "M":
            place += 1
        elif _is_flag(text[place]) and _is_flag(text[place - 1]):
            return place + 1
        else:
            break
    return place


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _is_letter(character: str) -> bool:
    return character.isalnum() or character == "_"
