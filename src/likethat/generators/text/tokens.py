"""Texts as numbers, and back: words where they are common, characters where they are not, bytes for the rest."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from likethat._checks import check_count

PAD, START, END, HIDDEN = range(4)
"""Behind the end; before the beginning; the end; a token that is not shown."""

_N_SPECIAL, _N_BYTES = 4, 256  # padding, begin, end, unknown; what any character can be spelt with
_MOST_WORDS, _MOST_CHARACTERS = 4000, 3000  # bound the softmax; characters beyond are spelt in bytes
_PIECE = re.compile(r" ?\w+| ?[^\w\s]|\s")  # a word or a sign with the blank before it; every character is in one


class Tokens:
    """The way from texts to numbers and back; nothing that was learned is lost, whatever the script.

    Args:
        pieces: words and characters, each once.
        length: tokens a text has at most, its end included; longer ones are cut.
        has_bytes: whether characters that are no pieces are spelt in bytes; otherwise they are not shown.
    """

    def __init__(self, pieces: Sequence[str], length: int, *, has_bytes: bool = False) -> None:
        self.pieces = tuple(pieces)
        self.length = check_count(length, name="length", minimum=2)
        self.has_bytes = has_bytes
        self._first = _N_SPECIAL + (_N_BYTES if has_bytes else 0)
        self._place = {piece: self._first + index for index, piece in enumerate(self.pieces)}

    def __len__(self) -> int:
        """Return how many different tokens there are."""
        return self._first + len(self.pieces)

    @classmethod
    def learn(cls, texts: Iterable[str], *, max_tokens: int = 64) -> "Tokens":
        """Return the tokens of texts: words that occur twice or more, and their characters.

        Args:
            texts: to learn from.
            max_tokens: longer texts are cut.
        """
        texts = list(texts)
        words = Counter(piece for text in texts for piece in _PIECE.findall(text))
        characters = Counter(character for text in texts for character in text)
        common = [word for word, count in _ranked(words) if count > 1 and len(word) > 1][:_MOST_WORDS]
        pieces = [*common, *(character for character, _ in _ranked(characters)[:_MOST_CHARACTERS])]
        has_bytes = len(characters) > _MOST_CHARACTERS
        tokens = cls(pieces, 2, has_bytes=has_bytes)
        longest = max((len(tokens.numbers(text)) for text in texts), default=1)
        longest = max(1, min(check_count(max_tokens, name="max_tokens"), longest))
        return cls(pieces, longest + 1, has_bytes=has_bytes)

    def numbers(self, text: str) -> list[int]:
        """Return the tokens of one text, without its end.

        Example:
            >>> tokens = Tokens([" red", "a", "b"], 8)
            >>> tokens.numbers("ab red")
            [5, 6, 4]
        """
        found: list[int] = []
        for piece in _PIECE.findall(text):
            if piece in self._place:
                found.append(self._place[piece])
                continue
            for character in piece:
                place = self._place.get(character)
                found += [place] if place is not None else self._bytes(character)
        return found

    def _bytes(self, character: str) -> list[int]:
        if not self.has_bytes:
            return [HIDDEN]
        return [_N_SPECIAL + byte for byte in character.encode("utf-8", "replace")]

    def encode(self, texts: Sequence[str]) -> Int[Tensor, "n token"]:
        """Return texts as rows of one length: tokens, the end, padding."""
        rows = torch.full((len(texts), self.length), PAD)
        for row, text in zip(rows, texts, strict=True):
            found = [*self.numbers(text)[: self.length - 1], END]
            row[: len(found)] = torch.tensor(found)
        return rows

    def decode(self, rows: Int[Tensor, "n token"]) -> list[str]:
        """Return the text of each row, up to its end; bytes that are no characters are left out."""
        return [self._text(row) for row in rows.tolist()]

    def _text(self, row: Sequence[int]) -> str:
        made = bytearray()
        for number in row:
            if number == END:
                break
            if number >= self._first:
                made += self.pieces[number - self._first].encode("utf-8", "replace")
            elif number >= _N_SPECIAL:
                made.append(number - _N_SPECIAL)
        return made.decode("utf-8", "ignore")


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    """Return the most frequent first; equals in the order of the alphabet, so that the order of texts is nothing."""
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
