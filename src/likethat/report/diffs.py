"""Two texts as one, with what went and what came."""

import difflib
from dataclasses import dataclass, replace

from likethat.generators.text.words import split_words


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A piece of a text.

    Attributes:
        text: with the blanks before it.
        kind: "same", "gone" or "new".
    """

    text: str
    kind: str


def diff(before: str, after: str) -> list[Stretch]:
    """Return what two texts share, what went and what came, in order, by words.

    Example:
        >>> [(part.kind, part.text) for part in diff("a bad film", "a good film")]
        [('same', 'a'), ('gone', ' bad'), ('new', ' good'), ('same', ' film')]
        >>> "".join(part.text for part in diff("has an air", "an air"))
        'has an air'
    """
    one, other = (_pieces(text) for text in (before, after))
    left, right = ([piece.strip() for piece in pieces] for pieces in (one, other))
    found = []
    for kind, start, stop, first, last in difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if kind == "equal":
            found.append(Stretch(text="".join(other[first:last]), kind="same"))
            continue
        found.append(Stretch(text="".join(one[start:stop]), kind="gone"))
        found.append(Stretch(text="".join(other[first:last]), kind="new"))
    found = [part for part in found if part.text]
    if len(found) > 1 and found[0].kind == "gone":  # what follows began its text, and would touch what went
        gap = one[1][: len(one[1]) - len(one[1].lstrip())] if len(one) > 1 else ""
        found[1] = replace(found[1], text=gap + found[1].text)
    return found


def diff_line(before: str, after: str) -> str:
    """Return two texts as one line for a terminal, as wdiff writes it.

    Example:
        >>> diff_line("a bad film", "a good film")
        'a [-bad-] {+good+} film'
    """
    marks = {"same": ("", ""), "gone": ("[-", "-]"), "new": ("{+", "+}")}
    line = ""
    for part in diff(before, after):
        blank = part.text[: len(part.text) - len(part.text.lstrip())]
        left, right = marks[part.kind]
        line += blank + (left + part.text.lstrip() + right if part.text.strip() else "")
    return line


def _pieces(text: str) -> list[str]:
    words = split_words(text)
    pieces = [gap + word for gap, word in zip(words.gaps, words.words, strict=True)]
    return [*pieces, words.tail] if words.tail else pieces
