"""Exemplars of texts: what is asked, told and stopped."""

from typing import Any

import pytest
import torch
from lines import Once
from torch import Tensor

import likethat as lt
from likethat.errors import BudgetError, InputError
from likethat.explainers.exemplars import texts as module
from likethat.explainers.exemplars.method import Exemplars
from likethat.explanations.exemplars import ExemplarSet
from likethat.explanations.status import Reason, Status
from likethat.functional.diversity import mean_distance
from likethat.models.black_box import BlackBox


@pytest.fixture(scope="module")
def edits() -> lt.TextEdits:
    words = ["good", "bad", "plain", "long", "short", "kind", "cold", "warm"]
    texts = [f"a {first} and {second} film" for first in words for second in words if first != second]
    return lt.TextEdits(texts)


def judge(texts: list[str]) -> Tensor:
    odds = torch.tensor([4.0 * ("good" in text) - 4.0 * ("bad" in text) for text in texts])
    return torch.stack([1 - odds.sigmoid(), odds.sigmoid()], 1)


@pytest.mark.parametrize("at", [1, 3])
def test_one_interruption_ends_all_targets_of_texts(at: int, edits: lt.TextEdits) -> None:
    box = BlackBox(judge, class_names=["no", "yes"], check_determinism=False)
    targets = ["yes", {"yes": 0.8, "no": 0.2}]
    sets = Exemplars(edits).search_all(box, targets, n=1, budget=60, watch=Once(at))
    assert [item.status.reason for item in sets] == [Reason.REACHED, Reason.INTERRUPTED]
    assert [item.queries for item in sets] == [8 * at, 0]
    assert box.queries == 8 * at
    assert [len(item) for item in sets] == [1, 1]
    assert all(item.attributions == () for item in sets)


@pytest.mark.slow
def test_words_that_are_interrupted_end_the_rest(edits: lt.TextEdits, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    attribute = module.attribute_words

    def stopped(box: Any, text: str, target: Any, *, budget: int, seed: int) -> Any:
        calls.append(text)
        return attribute(box, text, target, budget=budget, seed=seed, watch=Once(2))

    monkeypatch.setattr(module, "attribute_words", stopped)
    box = BlackBox(judge, class_names=["no", "yes"], check_determinism=False)
    sets = Exemplars(edits).search_all(box, n=2, budget=200)
    assert len(calls) == 1
    assert sets[0].attributions == sets[1].attributions == ()
    assert sets[1].queries == 0


@pytest.mark.slow
def test_what_speaks_for_a_text_is_asked_with_what_is_left(
    edits: lt.TextEdits, monkeypatch: pytest.MonkeyPatch
) -> None:
    budgets: list[int] = []
    attribute = module.attribute_words

    def watched(box: Any, text: str, target: Any, *, budget: int, seed: int) -> Any:
        budgets.append(budget)
        return attribute(box, text, target, budget=budget, seed=seed)

    monkeypatch.setattr(module, "attribute_words", watched)

    def found(**options: Any) -> ExemplarSet:
        box = BlackBox(judge, class_names=["no", "yes"], check_determinism=False)
        result = Exemplars(edits).search(box, **{"target": "yes", "n": 2, "budget": 200} | options)
        assert box.queries == result.queries <= options.get("budget", 200)
        return result

    whole = found()
    screened = len(whole.curve)
    assert budgets == [32, 32]
    assert whole.queries == screened + sum(one.queries for one in whole.attributions)
    assert [one.text for one in whole.attributions] == whole.inputs
    assert all(one.target == 1 for one in whole.attributions)
    assert len(found(budget=screened + 2 * 16).attributions) == 2
    assert budgets[2:] == [16, 16]
    assert found(budget=screened + 2 * 16 - 1).attributions == ()  # fifteen questions say too little of a text
    assert found(target={"yes": 0.5, "no": 0.5}).attributions == ()  # which class would they speak for?
    assert found(target=lambda p: p[:, 1]).attributions == ()


@pytest.mark.slow
def test_a_set_of_texts_tells_where_they_lie(edits: lt.TextEdits) -> None:
    box = BlackBox(judge, class_names=["no", "yes"], check_determinism=False)
    found = Exemplars(edits, seed=3).search(box, "yes", n=2, budget=40)
    assert found.status == Status(reached=True, reason=Reason.REACHED)
    assert found.reached.tolist() == [True, True]
    assert [edits.texts[int(row)] for row in found.latents[:, 0]] == found.inputs
    torch.testing.assert_close(found.probabilities, judge(found.inputs).double(), atol=1e-6, rtol=0)  # type: ignore[arg-type]
    assert torch.equal(found.log_prior, torch.from_numpy(edits.reader.slor(found.inputs)))
    usual = torch.randperm(len(edits), generator=torch.Generator().manual_seed(3))[:200].tolist()
    assert found.typical == [edits.texts[row] for row in usual[:12]]
    slor = torch.from_numpy(edits.reader.slor([edits.texts[row] for row in usual]))
    below = [float((slor < value).double().mean() + (slor == value).double().mean() / 2) for value in found.log_prior]
    assert found.prior_quantile.tolist() == pytest.approx(below)

    def apart(rows: list[int]) -> float:
        return mean_distance(torch.from_numpy(edits.table[rows].toarray()))

    assert found.diversity == pytest.approx(apart([int(row) for row in found.latents[:, 0]]) / apart(usual))
    assert bool((found.curve.diff() <= 0).all())
    assert found.film.errors.tolist() == sorted(set(found.curve.tolist()), reverse=True)
    for query, error, text in zip(found.film.queries, found.film.errors, found.film.inputs, strict=True):
        assert found.curve[int(query) - 1] == error
        assert int(query) == 1 or found.curve[int(query) - 2] > error
        assert float(1 - judge([text])[0, 1] - error) == pytest.approx(0, abs=1e-6)
    assert found.distance_to_real is None
    assert found.class_names == ("no", "yes")


@pytest.mark.slow
def test_how_a_search_for_texts_ended(edits: lt.TextEdits) -> None:
    def ended(target: Any, *, tolerance: float = 0.05, **options: Any) -> Status:
        box = BlackBox(judge, class_names=["no", "yes"], check_determinism=False)
        return Exemplars(edits, tolerance=tolerance).search(box, target, **options).status

    none = ended({"yes": 0.8, "no": 0.2}, n=1, budget=200)  # the films are at .018, .5 and .982
    assert (none.reached, none.reason) == (False, Reason.NO_PROGRESS)
    assert "0 of 1 found, the best is 0.182 away after" in none.advice
    few = ended({"yes": 0.8, "no": 0.2}, n=1, budget=8)
    assert few.reason == Reason.BUDGET
    assert f"8 of {len(edits)} texts were asked, the budget of 8 queries" in few.advice
    assert ended(lambda p: p[:, 1], n=1, budget=8) == Status(reached=True, reason=Reason.REACHED)  # no line to reach
    assert ended("yes", n=50, budget=30).reason == Reason.BUDGET


def test_texts_without_a_question_are_none(edits: lt.TextEdits) -> None:
    spent = BlackBox(judge, class_names=["no", "yes"], budget=1, check_determinism=False)
    spent(["a good film"])
    with pytest.raises(BudgetError, match="at least one query"):
        Exemplars(edits).search(spent, "yes")
    nameless = BlackBox(judge, budget=1, check_determinism=False)
    nameless(["a good film of another kind"])
    with pytest.raises((BudgetError, lt.errors.TargetError)):
        Exemplars(edits).search(nameless, 1)


@pytest.mark.slow
def test_a_film_begins_anew_with_every_better_text(edits: lt.TextEdits) -> None:
    def mixed(texts: list[str]) -> Tensor:
        p = torch.tensor([(sum(map(ord, text)) % 17 + 1) / 19 for text in texts])
        return torch.stack([1 - p, p], 1)

    is_early = False
    for seed in range(6):
        box = BlackBox(mixed, class_names=["no", "yes"], check_determinism=False)
        found = Exemplars(edits, seed=seed).search(box, "yes", n=1, budget=8)
        better = [1, *(at + 2 for at, step in enumerate(found.curve.diff().tolist()) if step < 0)]
        assert found.film.queries.tolist() == better
        is_early |= 2 in better
    assert is_early  # the second text was better than the first, once at least


def test_texts_have_no_other_algorithm(edits: lt.TextEdits) -> None:
    assert Exemplars(edits).algorithm == "surrogate"
    with pytest.raises(InputError, match="`algorithm` must be left out for texts"):
        Exemplars(edits, algorithm="prior")


def test_a_model_without_names_is_asked_about_one_text_for_them(edits: lt.TextEdits) -> None:
    asked: list[list[str]] = []

    def heard(texts: list[str]) -> Tensor:
        asked.append(list(texts))
        return judge(texts)

    found = Exemplars(edits).search(BlackBox(heard, check_determinism=False), 1, n=1, budget=9)
    assert len(found.class_names) == 2
    assert asked[0] == edits.texts[:1]
    assert sum(map(len, asked)) == found.queries <= 9


def test_each_target_has_a_stream_of_chance_and_a_response_a_line(
    edits: lt.TextEdits, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []
    screening = module.Screening

    def watched(**options: Any) -> Any:
        seeds.append(options["rng"].initial_seed())
        return screening(**options)

    monkeypatch.setattr(module, "Screening", watched)
    box = BlackBox(judge, class_names=["no", "yes"], check_determinism=False)
    Exemplars(edits, seed=5).search_all(box, ["yes", "no"], n=1, budget=8)
    assert seeds == [1_000_008, 2_000_011]  # those of every version: the same seed, the same texts
    missed = Exemplars(edits).search(box, lambda p: p[:, 1], n=1, budget=8, threshold=0.999)
    assert (missed.status.reached, missed.reached.tolist()) == (False, [False])  # there is a line, and none is over it
