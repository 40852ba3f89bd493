"""What could stand in a text instead of what stands there: one interface, and the one fed by the user's own texts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from likethat.generators.text.ngrams import NGrams
from likethat.generators.text.vectors import WordVectors
from likethat.generators.text.words import Words, in_case_of, is_wordlike, join_words, split_words

_LEAST_COSINE, _NEAREST = 0.3, 200  # below .3 words of another kind come; of 200, twenty or so fit their neighbours
_COMMONEST, _SHARE_COMMON = 80, 0.02
"""The words that carry a sentence, such as "the" and "of", in whose place nothing can stand: so many at most, and so
large a share of all words that there are."""
_INSERTED, _EXCHANGED = 20, 20  # proposals at a place: more read worse than what is taken
_LONGEST_CLAUSE = 9  # words; with a longer one the text is another
_MOST_CLAUSES = 50_000  # compared one by one within milliseconds
_MOST_WORDS = 2_000_000  # counted in seconds; more tells a trigram model little that edits need
_ODDEST = 8.0  # nats; a random word in a random place costs 4 on the mean: beyond this nobody would read on
Tagger = Callable[[Sequence[str]], Sequence[str]]


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A change of a text.

    Attributes:
        start: first word that goes.
        stop: first word that stays; `start` where something is only put in.
        text: what comes there; "" where words only go.
        oddness: how much worse the text reads then, in nats: 0 as good as before, about 4 a random word.
        unlikeness: how unlike the new words are used to those that go, in [0, 1]: a verb for a noun reads badly even
            where a trigram model does not see it. A search prefers what is like.
    """

    start: int
    stop: int
    text: str
    oddness: float
    unlikeness: float = 0.0


class Proposer(Protocol):
    """Says what could stand at a place of a text: any function of this form is one."""

    def __call__(self, text: str, position: int) -> Sequence[Proposal]:
        """Return changes of the word at a position (see `split_words`), or of words around it."""
        ...


class CorpusProposer:
    """Proposes what the user's own texts make likely: no network, no model from elsewhere, trained in seconds.

    Args:
        texts: in the language and manner of those that are to be explained; more are better, labels are not needed.
        tagger: called with the words of a text, returns a tag for each; words are only swapped for words of their tag.
    """

    def __init__(self, texts: Sequence[str], *, tagger: Tagger | None = None) -> None:
        split = [split_words(text) for text in _as_many(texts)]
        self._tagger = tagger
        self._model = NGrams.count([words.keys for words in split])
        self._vectors = WordVectors.learn(self._model)
        self._names = ["", "", "", *self._model.numbers]
        self._counted = {words.keys for words in split}
        often = self._model.one
        n_common = min(_COMMONEST, round(_SHARE_COMMON * len(self._model.numbers)))
        self._commonest = set(often.keys[np.argsort(-often.counts, kind="stable")[:n_common]].tolist())
        self._is_word = np.array([bool(name) and is_wordlike(name) for name in self._names])
        self._clauses = _Clauses(split, self._model, self._vectors)
        self._last: tuple[str, Words, NGrams, float] = ("", split_words(""), self._model, 0.0)

    def __call__(self, text: str, position: int) -> list[Proposal]:
        """Return deletions, swaps, insertions and exchanges of clauses at a position, best first."""
        words = self._read(text)[0]
        if not 0 <= position < len(words):
            return []
        spans = [*self._deletions(words, position), *self._swaps(words, position), *self._insertions(words, position)]
        spans += self._clause_edits(words, position)
        oddness = self.oddness(text, spans)
        found = [
            Proposal(
                start=start,
                stop=stop,
                text=new,
                oddness=float(odd),
                unlikeness=self._unlikeness(words, start, stop, new),
            )
            for (start, stop, new), odd in zip(spans, oddness, strict=True)
            if odd <= _ODDEST
        ]
        return sorted(self._of_same_tag(words, found), key=lambda one: one.oddness)

    def oddness(self, text: str, spans: Sequence[tuple[int, int, str]]) -> NDArray[np.float64]:
        """Return by how much worse a text reads with each of some changes, see `Proposal.oddness`.

        It is the fall of SLOR times the length of the text: what the edit costs, however long the text is.
        """
        words, model, total = self._read(text)
        if not spans:
            return np.zeros(0)
        keys, pieces = words.keys, [split_words(new).keys for _, _, new in spans]
        before = model.slor([_near(keys, start, stop, keys[start:stop]) for start, stop, _ in spans])
        near = [_near(keys, start, stop, new) for (start, stop, _), new in zip(spans, pieces, strict=True)]
        n = len(words) + 1  # the end is a word as well
        longer = np.array([len(new) - (stop - start) for (start, stop, _), new in zip(spans, pieces, strict=True)])
        found: NDArray[np.float64] = total - (total + model.slor(near) - before) / (n + longer) * n
        return found

    def known(self, keys: Sequence[str]) -> list[bool]:
        """Return of each word of another text, its punctuation left out, whether it stands anywhere in the texts."""
        return [key in self._model.numbers for key in keys if is_wordlike(key)]

    def slor(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the SLOR of texts, a word: how well they read, in nats; a text of the corpus not counted itself."""
        found = []
        for text in texts:
            words, _, total = self._read(text)
            found.append(total / (len(words) + 1))
        return np.array(found)

    def _read(self, text: str) -> tuple[Words, NGrams, float]:
        """Return the words of a text, the model without it, and its SLOR; the last one is remembered."""
        if self._last[0] != text or not text:
            words = split_words(text)
            model = self._model.without(words.keys) if words.keys in self._counted else self._model
            self._last = (text, words, model, float(model.slor([words.keys])[0]))
        return self._last[1:]

    def _swaps(self, words: Words, position: int) -> list[tuple[int, int, str]]:
        number = self._model.numbers.get(words.keys[position], 2)
        if not words.is_word[position] or number in self._commonest:
            return []
        near = self._vectors.near(number, least=_LEAST_COSINE, most=_NEAREST)
        near = near[self._is_word[near] & ~np.isin(near, list(self._commonest))]
        before, after = self._beside(words, position, position + 1)
        model = self._last[2]
        own = np.array([number])
        left, right = model.knows_pairs(before, near), model.knows_pairs(near, after)
        own_left, own_right = (bool(model.knows_pairs(*pair)[0]) for pair in ((before, own), (own, after)))
        attested = (left | right) & (left | (not own_left)) & (right | (not own_right))
        case = words.words[position]
        return [(position, position + 1, in_case_of(self._names[new], case)) for new in near[attested]]

    def _deletions(self, words: Words, position: int) -> list[tuple[int, int, str]]:
        before, after = self._beside(words, position, position + 1)
        return [(position, position + 1, "")] if self._last[2].knows_pairs(before, after)[0] else []

    def _insertions(self, words: Words, position: int) -> list[tuple[int, int, str]]:
        if not words.is_word[position]:
            return []
        before, after = self._beside(words, position, position)
        fits = self._model.between(int(before[0]), int(after[0]))
        fits = fits[self._is_word[fits]]
        texts = [self._names[new] for new in fits]
        if not texts:
            return []
        own = words.keys
        near = [_near(own, position, position, (text,)) for text in texts]
        best = np.argsort(-self._last[2].slor(near), kind="stable")[:_INSERTED]
        return [(position, position, texts[place]) for place in best]

    def _unlikeness(self, words: Words, start: int, stop: int, new: str) -> float:
        """Return one less the cosine of a swap; half for what is put in, whose like nothing says."""
        if stop != start + 1 or not new:
            return 0.0 if stop > start else 0.5
        one, other = (self._vectors.of(self._model.numbers.get(key, 2)) for key in (words.keys[start], new.casefold()))
        return 0.5 if one is None or other is None else float(np.clip(1 - one @ other, 0, 1))

    def _clause_edits(self, words: Words, position: int) -> list[tuple[int, int, str]]:
        span = next(((a, b) for a, b in words.clauses() if a <= position < b), None)
        if span is None or span[1] - span[0] > _LONGEST_CLAUSE or span[1] - span[0] < 2:
            return []
        start, stop = span
        found = []
        if start > 0 and words.words[start - 1] in (",", "，", "、", "،"):
            found.append((start - 1, stop, ""))
        elif stop < len(words) and words.words[stop] in (",", "，", "、", "،"):
            found.append((start, stop + 1, ""))
        own = words.words[start]
        return found + [(start, stop, in_case_of(new, own)) for new in self._clauses.like(words, start, stop)]

    def _of_same_tag(self, words: Words, found: list[Proposal]) -> list[Proposal]:
        """Leave out swaps of a word for one of another tag."""
        if self._tagger is None:
            return found
        tags = list(self._tagger(words.words))

        def fits(one: Proposal) -> bool:
            if one.stop != one.start + 1 or not one.text:
                return True
            swapped = words.replaced(one.start, one.stop, one.text)
            assert self._tagger is not None
            return list(self._tagger(swapped.words))[one.start] == tags[one.start]

        return [one for one in found if fits(one)]

    def _beside(self, words: Words, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        numbers = self._model.numbered(words.keys)
        before = numbers[start - 1] if start else 0
        after = numbers[stop] if stop < len(numbers) else 1
        return np.array([before], dtype=np.int64), np.array([after], dtype=np.int64)


class _Clauses:
    """The short clauses of texts, by the signs around them and by what they speak of."""

    def __init__(self, split: Sequence[Words], model: NGrams, vectors: WordVectors) -> None:
        self._model, self._vectors = model, vectors
        self._rows = {number: row for row, number in enumerate(vectors.numbers.tolist())}
        texts: dict[str, tuple[str, str]] = {}
        means = []
        for words in split:
            for start, stop in words.clauses():
                text = join_words(words.keys[start:stop])
                if 2 <= stop - start <= _LONGEST_CLAUSE and text not in texts and len(texts) < _MOST_CLAUSES:
                    texts[text] = _around(words, start, stop)
                    means.append(self._mean(words.keys[start:stop]))
        self._texts = list(texts)
        self._between: dict[tuple[str, str], list[int]] = {}
        for place, around in enumerate(texts.values()):
            self._between.setdefault(around, []).append(place)
        self._means = np.stack(means) if means else np.zeros((0, vectors.vectors.shape[1]), dtype=np.float32)

    def like(self, words: Words, start: int, stop: int) -> list[str]:
        """Return clauses that stood between the same signs and speak of like things, the nearest first."""
        own = join_words(words.keys[start:stop])
        fits = np.array(self._between.get(_around(words, start, stop), []), dtype=np.int64)
        cosine = self._means[fits] @ self._mean(words.keys[start:stop])
        order = fits[np.argsort(-cosine, kind="stable")[: _EXCHANGED + 1]]
        return [self._texts[place] for place in order if self._texts[place] != own][:_EXCHANGED]

    def _mean(self, keys: Sequence[str]) -> NDArray[np.float32]:
        rows = [row for key in keys if (row := self._rows.get(self._model.numbers.get(key, 2))) is not None]
        mean = self._vectors.vectors[rows].sum(axis=0)
        found: NDArray[np.float32] = mean / np.float32(max(float(np.linalg.norm(mean)), 1e-12))
        return found


def _around(words: Words, start: int, stop: int) -> tuple[str, str]:
    return words.words[start - 1] if start else "", words.words[stop] if stop < len(words) else ""


def _near(keys: Sequence[str], start: int, stop: int, new: Sequence[str]) -> tuple[str, ...]:
    """Return some words changed with the two on each side: a trigram model judges all others as before."""
    return (*keys[max(0, start - 2) : start], *new, *keys[stop : stop + 2])


def _as_many(texts: Sequence[str]) -> list[str]:
    """Return an even choice of texts, of so many words as can be counted in seconds."""
    n_words = sum(text.count(" ") + 1 for text in texts)
    step = -(-n_words // _MOST_WORDS)
    return list(texts[:: max(step, 1)])
