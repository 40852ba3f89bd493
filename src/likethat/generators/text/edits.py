"""`TextEdits`: what texts are explained with, in place of a generator: your own texts, and what could stand in them."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from likethat._calls import foreign, public
from likethat._class_names import resolve_target
from likethat._inputs import Kind
from likethat._options import check_callable, shown
from likethat._session import in_own_session
from likethat.errors import InputError
from likethat.generators.text.files import as_texts
from likethat.generators.text.odds import WordOdds
from likethat.generators.text.proposer import CorpusProposer, Proposal, Proposer, Tagger
from likethat.generators.text.words import split_words


@public
@in_own_session
class TextEdits:
    """Explains texts by editing them, with your own texts as what is known of the language.

    It stands where a generator stands: ``FreeMCG(TextEdits(texts))`` and ``Exemplars(TextEdits(texts))``. Nothing is
    loaded or trained elsewhere: word vectors and a trigram model are counted from the texts in seconds.

    Args:
        texts: sentences like those that are to be explained, or a file with one a line: 16 or more, thousands are
            better.
        labels: what is known of their classes, one a text: class names or indices, None where nothing is known; or a
            model's own answers (text, class). With them a search asks less. They need not be right.
        proposer: called with (text, position), returns `Proposal`s; None takes one fed by the texts. A language model
            is one, see `likethat.generators.MaskedModelProposer`.
        tagger: called with the words of a text, returns a tag for each, such as its part of speech; a word is then
            only swapped for one of its tag.

    Example:
        >>> from likethat.sources.sentences import sentences
        >>> edits = TextEdits(sentences(200)[0])
        >>> found = edits.proposals("The plot of this film was great and the acting was dull.", 6)
        >>> "wonderful" in [one.text for one in found if one.stop > one.start]
        True
    """

    kind: Kind = "text"

    def __init__(
        self,
        texts: Sequence[str] | str | Path,
        *,
        labels: Any = None,
        proposer: Proposer | None = None,
        tagger: Tagger | None = None,
    ) -> None:
        is_file, is_table = isinstance(texts, str | Path), hasattr(texts, "columns") or isinstance(texts, Mapping)
        given = list(texts) if isinstance(texts, Iterable) and not is_file and not is_table else texts
        self.texts = as_texts(given)
        check_callable(proposer, name="proposer", takes="a text and a position")
        check_callable(tagger, name="tagger", takes="the words of a text")
        if proposer is not None and tagger is not None:
            raise InputError("`tagger` must be left out beside `proposer`, which decides itself. Name one of them.")
        self._labels = _as_labels(labels, given if isinstance(given, list) else self.texts)
        self.reader = CorpusProposer(self.texts, tagger=tagger)
        self.proposer: Proposer = self.reader if proposer is None else proposer
        self._odds: dict[tuple[str, ...], WordOdds | None] = {}

    @property
    def name(self) -> str:
        """Printable name."""
        own = self.proposer is self.reader
        by = "" if own else f", {getattr(self.proposer, 'name', type(self.proposer).__name__)}"
        return f"edits from {len(self.texts):,} texts{by}"

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        labels = "no labels" if self._labels is None else "labels"
        return f"TextEdits({self.name}, {labels})"

    def proposals(self, text: str, position: int) -> list[Proposal]:
        """Return what could be changed at a position of a text.

        Raises:
            InputError: the proposer failed, or gave something else than proposals within the text.
        """
        with foreign("`proposer`"):
            found = list(self.proposer(text, position))
        n = len(split_words(text))
        for one in found:
            if not isinstance(one, Proposal) or not 0 <= one.start <= one.stop <= n or not np.isfinite(one.oddness):
                raise InputError(
                    f"`proposer` must return Proposals within the {n} words of the text, got {str(one)[:80]}."
                )
        return found

    def nearness(self, text: str) -> Float[NDArray[np.float64], " text"]:
        """Return how much of its words each of the texts shares with another, rare words counting more, in [0, 1]."""
        reader, table = self._table
        found: NDArray[np.float64] = np.asarray((table @ reader.transform([text]).T).todense()).ravel()
        return found

    @property
    def table(self) -> Any:
        """The words of the texts, (text, word), sparse, rows of length 1."""
        return self._table[1]

    @cached_property
    def vocabulary(self) -> list[str]:
        """The words of the columns of `table`."""
        return list(self._table[0].get_feature_names_out())

    @cached_property
    def _table(self) -> tuple[Any, Any]:
        from sklearn.feature_extraction.text import TfidfVectorizer

        reader = TfidfVectorizer(analyzer=lambda text: split_words(text).keys, sublinear_tf=True)
        return reader, reader.fit_transform(self.texts).tocsr()

    def classes(self, class_names: Sequence[str]) -> Float[NDArray[np.float64], "text cls"] | None:
        """Return the share of each class for each text, of a model's classes; None without labels.

        Raises:
            TargetError: a label that is no class of the model.
            InputError: answers of another number of classes.
        """
        if self._labels is None:
            return None
        if isinstance(self._labels, np.ndarray):
            if self._labels.shape[1] != len(class_names):
                raise InputError(
                    f"`labels` must have one column for each of {len(class_names)} classes, got "
                    f"{self._labels.shape[1]}."
                )
            return self._labels
        places = {label: resolve_target(label, class_names) for label in set(self._labels) if label is not None}
        shares = np.full((len(self._labels), len(class_names)), np.nan)
        for row, label in zip(shares, self._labels, strict=True):
            if label is not None:
                row[:] = np.arange(len(class_names)) == places[label]
        return shares

    def odds(self, class_names: Sequence[str]) -> WordOdds | None:
        """Return what the labels tell of words; None without labels of two classes or more."""
        names = tuple(class_names)
        if names not in self._odds:
            shares = self.classes(names)
            known = np.flatnonzero(np.isfinite(shares).all(axis=1)) if shares is not None else np.zeros(0, dtype=int)
            if shares is None or len(np.unique(shares[known].argmax(axis=1))) < 2:
                self._odds[names] = None
            else:
                self._odds[names] = WordOdds([split_words(self.texts[row]).keys for row in known], shares[known])
        return self._odds[names]


def _as_labels(labels: Any, texts: Sequence[str]) -> Any:
    """Return the labels of the texts that are not blank, as a list of names or indices, or as an array of answers."""
    if labels is None:
        return None
    values = labels.detach().cpu().numpy() if isinstance(labels, torch.Tensor) else labels
    if isinstance(values, str) or not hasattr(values, "__len__") or len(values) != len(texts):
        came = len(values) if hasattr(values, "__len__") and not isinstance(values, str) else shown(labels)
        raise InputError(f"`labels` must be one for each of {len(texts)} texts, got {came}.")
    kept = [place for place, text in enumerate(texts) if text.strip()]
    if getattr(values, "ndim", 1) == 2:
        array = np.asarray(values, dtype=np.float64)[kept]
        if not ((array >= 0) & (array <= 1)).all():
            raise InputError("`labels` must be probabilities from 0 to 1 where they are a table, got others.")
        return array
    found = list(values)
    return [found[place].item() if isinstance(found[place], np.generic) else found[place] for place in kept]
