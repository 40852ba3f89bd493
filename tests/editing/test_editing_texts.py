"""Counterfactuals and attributions of texts, from the public calls."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import likethat as lt
from likethat.errors import InputError, TargetError
from likethat.explainers.freemcg.inputs import kept_places, one_input
from likethat.explanations.counterfactual import Counterfactual
from likethat.explanations.word_attribution import WordAttribution
from likethat.generators.text.proposer import Proposal
from likethat.generators.text.words import split_words
from likethat.sources.sentences import SENTIMENTS, sentences

TEXTS, LABELS = sentences(200)
WEIGHTS = {
    "awful": -2.0,
    "dull": -2.0,
    "terrible": -2.0,
    "poor": -2.0,
    "great": 2.0,
    "lovely": 2.0,
    "superb": 2.0,
    "but": -0.5,
}
SOURCE = "Honestly, the plot of this film was great and the acting was lovely. Worth every cent."


def judge(texts: list[str]) -> Tensor:
    """Log-odds as the sum of the weights of a text's words: a model whose attributions are known."""
    odds = [sum(WEIGHTS.get(key, 0.0) for key in split_words(text).keys) for text in texts]
    p = torch.tensor(odds, dtype=torch.float64).sub(0.3).sigmoid()
    return torch.stack([1 - p, p], dim=1)


def box(predict: Callable[[list[str]], Tensor] = judge) -> lt.BlackBox:
    return lt.BlackBox(predict, class_names=["bad", "good"])


@pytest.fixture(scope="module")
def edits() -> lt.TextEdits:
    return lt.TextEdits(TEXTS, labels=[["bad", None, "good"][label] for label in LABELS])


@pytest.fixture(scope="module")
def found(edits: lt.TextEdits) -> Counterfactual:
    return lt.FreeMCG(edits).counterfactual(box(), SOURCE, budget=60)


def test_a_text_is_edited_until_the_decision_changes(found: Counterfactual) -> None:
    assert found.status
    assert found.queries <= 60
    text = found.best.input[0]
    assert judge([text])[0, 0] > 0.5
    assert 1 <= len(found.best.changes) <= 3
    assert text.startswith("Honestly, the")
    for change in found.best.changes:
        assert SOURCE[change.place :].startswith(change.before)
        assert change.oddness is not None
        assert change.oddness < 3.5


def test_the_edits_are_all_that_changes(found: Counterfactual) -> None:
    text = SOURCE
    for change in sorted(found.best.changes, key=lambda one: -one.place):
        assert change.before
        text = text[: change.place] + change.after + text[change.place + len(change.before) :]
    assert text == found.best.input[0]


def test_a_real_text_of_the_other_class_stands_beside(found: Counterfactual) -> None:
    assert found.real is not None
    assert found.real.input[0] in TEXTS
    assert found.real.is_valid
    assert judge(found.real.input)[0, 0] > 0.5  # type: ignore[arg-type]


@pytest.mark.slow
def test_more_is_asked_for_more_confidence(edits: lt.TextEdits) -> None:
    found = lt.FreeMCG(edits, confidence=0.8).counterfactual(box(), SOURCE, "bad", budget=100)
    assert found.status
    assert found.probability(found.best) >= 0.8


def test_the_same_seed_gives_the_same(edits: lt.TextEdits, found: Counterfactual) -> None:
    again = lt.FreeMCG(edits).counterfactual(box(), SOURCE, budget=60)
    assert again.best.input == found.best.input
    assert again.path.probability.tolist() == found.path.probability.tolist()


@pytest.mark.slow
def test_words_that_stay_stay_and_several_differ(edits: lt.TextEdits) -> None:
    kept = lt.FreeMCG(edits).counterfactual(box(), SOURCE, budget=100, immutable=["FILM", "lovely"])
    assert kept.edits
    assert "film" in kept.best.input[0]
    assert "lovely" in kept.best.input[0]
    found = lt.FreeMCG(edits).counterfactual(box(), SOURCE, n=2, budget=200)
    assert len(found.edits) == 2
    one, other = ({(change.place, change.after) for change in edit.changes} for edit in found.edits)
    assert not one & other


def test_what_reads_badly_is_called_implausible() -> None:
    def odd(_: str, place: int) -> list[Proposal]:
        return [Proposal(start=place, stop=place + 1, text="awful", oddness=5.0)]

    found = lt.FreeMCG(lt.TextEdits(TEXTS[:40], proposer=odd)).counterfactual(box(), SOURCE, budget=60)
    assert found.edits
    assert not found.status
    assert found.status.reason == "implausible"
    assert "reads badly: “awful” costs 5.0 nats" in found.status.advice


def test_a_text_that_the_texts_do_not_know_is_called_unfamiliar(edits: lt.TextEdits) -> None:
    unknown = "Ehrlich gesagt dachte ich gestern beim Frühstück: the acting was great"
    found = lt.FreeMCG(edits).counterfactual(box(), unknown, budget=60)
    assert found.edits
    assert not found.status
    assert found.status.reason == "unfamiliar"
    assert "4 of the 11 words of the source are in the texts given" in found.status.advice


def test_a_model_that_does_not_listen_is_said(edits: lt.TextEdits) -> None:
    def deaf(texts: list[str]) -> Tensor:
        return torch.tensor([[0.3, 0.7]]).repeat(len(texts), 1)

    found = lt.FreeMCG(edits).counterfactual(box(deaf), SOURCE, budget=40)
    assert not found.edits
    assert found.real is None
    assert "same answer to every changed text" in found.status.advice


def test_an_interruption_leaves_what_was_found(edits: lt.TextEdits) -> None:
    def stop(report: lt.Progress) -> None:
        if report.done >= 20:
            raise KeyboardInterrupt

    found = lt.FreeMCG(edits).counterfactual(box(), SOURCE, budget=60, watch=stop)
    assert found.status.reason == "interrupted"
    assert found.queries < 60


@pytest.mark.parametrize("budget", [12, 13, 20, 33])
def test_the_budget_is_never_exceeded(edits: lt.TextEdits, budget: int) -> None:
    asked: list[str] = []

    def counted(texts: list[str]) -> Tensor:
        asked.extend(texts)
        return judge(texts)

    lt.FreeMCG(edits).counterfactual(
        lt.BlackBox(counted, class_names=["bad", "good"], check_determinism=False), SOURCE, budget=budget
    )
    assert len(asked) <= budget


@pytest.mark.parametrize(
    ("source", "options", "error", "said"),
    [
        (SOURCE, {"budget": 5}, InputError, "`budget` must be at least 12 for texts, got 5"),
        (SOURCE, {"mask": np.ones((2, 2))}, InputError, "`mask` must be left out for texts"),
        (SOURCE, {"ranges": {"a": (0, 1)}}, InputError, "`ranges` must be left out for texts"),
        (SOURCE, {"target": "good"}, TargetError, "gives it to 'good' already"),
        (" ?!", {}, InputError, "a text with at least one word"),
        (torch.zeros(1, 4, 4), {}, InputError, "must be of the generator's kind, which is text"),
    ],
)
def test_bad_calls_are_one_sentence(
    edits: lt.TextEdits, source: object, options: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        lt.FreeMCG(edits).counterfactual(box(), source, **options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_an_attribution_of_words_is_the_weights_of_a_linear_model() -> None:
    text = "the plot was great and superb but the acting was dull and awful , really"
    found = lt.FreeMCG().attribute(box(), text, "good", budget=200)
    assert isinstance(found, WordAttribution)
    assert found.status
    for piece, value in zip(found.pieces, found.values, strict=True):
        assert value == pytest.approx(WEIGHTS.get(piece, 0.0), abs=0.05)


@pytest.mark.slow
def test_standard_errors_hold() -> None:
    """Of a model with interactions: the truth is the weight under very many masks."""

    def model(texts: list[str]) -> Tensor:
        keys = [set(split_words(text).keys) for text in texts]
        odds = [
            sum(0.7 * ((ord(word[1]) * 37) % 7 - 3) for word in one) / 3 - 1.5 * ("w3" in one and "w5" in one)
            + 1.2 * ("w1" in one) * ("w9" not in one)
            for one in keys
        ]  # fmt: skip
        p = torch.tensor(odds, dtype=torch.float64).sigmoid()
        return torch.stack([1 - p, p], dim=1)

    text = " ".join(f"w{place}" for place in range(16))
    truth = lt.FreeMCG(seed=99).attribute(box(model), text, 1, budget=2000)
    within = []
    for seed in range(12):
        found = lt.FreeMCG(seed=seed).attribute(box(model), text, 1, budget=48)
        assert isinstance(found, WordAttribution)
        within += (np.abs(found.values - truth.values) < 1.96 * found.error).tolist()  # type: ignore[union-attr]
    assert np.mean(within) > 0.88


@pytest.mark.slow
def test_a_long_text_is_told_apart_where_it_matters() -> None:
    clauses = [f"this is clause number {place} of it" for place in range(60)]
    clauses[17] = "this was an awful and dull thing"
    found = lt.FreeMCG().attribute(box(), ", ".join(clauses) + ".", "bad", budget=200)
    assert isinstance(found, WordAttribution)
    assert len(found.pieces) < 120
    strongest = [found.pieces[place] for place in np.argsort(-found.values)[:2]]
    assert set(strongest) == {"awful", "dull"}


@pytest.mark.slow
def test_several_classes_are_told_apart(edits: lt.TextEdits) -> None:
    def three(texts: list[str]) -> Tensor:
        odds = judge(texts)[:, 1].logit()
        return torch.stack([-odds, 1.5 - odds.abs(), odds], dim=1).softmax(1)

    many = lt.BlackBox(three, class_names=SENTIMENTS)
    known = lt.TextEdits(TEXTS, labels=[SENTIMENTS[label] for label in LABELS])
    found = lt.FreeMCG(known).counterfactual(many, SOURCE, "mixed", budget=120)
    assert found.status
    assert found.best.predicted == 1


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["", ".html", ".json", ".csv", ".svg"])
def test_results_of_texts_are_saved_and_opened(found: Counterfactual, ending: str, tmp_path: Path) -> None:
    words = lt.FreeMCG().attribute(box(), SOURCE, budget=40)
    for number, result in enumerate((found, words)):
        path = result.save(tmp_path / f"{number}{ending}")
        assert path.exists()
        if not ending:
            assert lt.open(path).to_dict() == result.to_dict()


@pytest.mark.slow
def test_exemplars_are_real_texts_with_what_speaks_for_them(edits: lt.TextEdits, tmp_path: Path) -> None:
    found = lt.Exemplars(edits).search(box(), "bad", n=2, budget=120)
    best = judge(TEXTS)[:, 0].sort(descending=True).values
    assert found.status
    assert found.queries <= 120
    assert set(found.inputs) <= set(TEXTS)
    assert float(found.confidence.max()) >= float(best[0]) - 0.01
    assert [one.text for one in found.attributions] == found.inputs
    for one in found.attributions:
        strongest = one.pieces[int(one.values.argmax())]
        assert WEIGHTS.get(strongest, 0) < 0
    assert lt.open(found.save(tmp_path / "found")).to_dict() == found.to_dict()
    page = found.save(tmp_path / "found.html").read_text("utf-8")
    assert "real texts, found with questions" in page
    assert 'class="for"' in page


@pytest.mark.slow
def test_all_targets_share_the_answers(edits: lt.TextEdits) -> None:
    good, bad = lt.Exemplars(edits).search_all(box(), n=1, budget=40)
    assert bad.shared_queries > 0
    assert good.target == 0
    assert len(good.curve) < len(bad.curve)


@pytest.mark.slow
def test_exemplars_of_a_boundary_come_near_it(edits: lt.TextEdits) -> None:
    found = lt.Exemplars(edits, tolerance=0.1).search(box(), {"bad": 0.5, "good": 0.5}, n=1, budget=60)
    assert float(found.errors[0]) < 0.1
    assert found.attributions == ()


def test_nothing_chooses_latents_of_texts(edits: lt.TextEdits) -> None:
    with pytest.raises(InputError, match="`algorithm` must be left out for texts"):
        lt.Exemplars(edits, algorithm="cma-es")


def test_phrases_that_stay_stand_wherever_they_occur_without_case_and_signs() -> None:
    text = "Worth every cent. Caf\u00e9, and worth it; every cent!"
    words = split_words(text).words
    assert [words[place] for place in sorted(kept_places(text, ["every CENT."]))] == ["every", "cent", "every", "cent"]
    assert [words[place] for place in kept_places(text, ["cafe\u0301"])] == ["Caf\u00e9"]  # an accent of its own
    for missing in ("great", "cent every", "!"):
        with pytest.raises(InputError, match="`immutable` must name words of the text, got"):
            kept_places(text, [missing])
    with pytest.raises(InputError, match="`immutable` must be a list of words or phrases, got 'cent'"):
        kept_places(text, "cent")


@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Series], ids=lambda kind: kind.__name__)
def test_texts_come_in_any_row_and_blank_ones_take_their_labels_with_them(kind: Any) -> None:
    texts = [f"text {place} of many" if place != 3 else " " for place in range(20)]
    labels = [place % 2 for place in range(20)]
    edits = lt.TextEdits(kind(texts), labels=labels)
    shares = edits.classes(["a", "b"])
    assert len(edits) == 19
    assert {type(text) for text in edits.texts} == {str}
    assert shares is not None
    assert shares[:, 1].tolist() == [label for place, label in enumerate(labels) if place != 3]


def test_what_is_no_row_of_texts_is_refused() -> None:
    texts = [f"text {place}" for place in range(20)]
    with pytest.raises(InputError, match=r"got a DataFrame\. Give the column that holds them"):
        lt.TextEdits(pd.DataFrame({"text": texts}))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"got a dict\. Give the column"):
        lt.TextEdits(dict.fromkeys(texts, 1))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="got NoneType in it"):
        lt.TextEdits([*texts, None])  # type: ignore[list-item]


def test_a_text_in_an_array_is_a_text() -> None:
    assert one_input(np.array(["a text"])) == ["a text"]
    with pytest.raises(InputError, match="must be one input, got 2"):
        one_input(np.array(["a", "b"]))
