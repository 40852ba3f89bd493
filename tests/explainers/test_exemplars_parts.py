"""The parts of a search for exemplars on answers that can be reckoned: loop, stopping, distances, what is told."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor

import likethat as lt
from likethat._progress import Progress
from likethat.errors import BudgetError, InputError
from likethat.explainers.exemplars.asking import Asker, make_inputs
from likethat.explainers.exemplars.loop import Finds, pursue
from likethat.explainers.exemplars.method import Exemplars
from likethat.explainers.exemplars.plausibility import distance_to_real
from likethat.explainers.exemplars.result import Spacing, exemplar_set
from likethat.explainers.exemplars.target import Aim, read_target
from likethat.explanations.exemplars import ExemplarSet
from likethat.explanations.status import Reason, Status
from likethat.functional.diversity import mean_distance
from likethat.generators.priors import StandardNormal
from likethat.models.black_box import BlackBox
from likethat.search import CMAES, Evolution, HighResponse, Known, PriorSampling, Problem, Search, Surrogate

NAMES = ("ant", "bee", "cat")


class Line:
    """Latents as pictures of one pixel: the first number of each, between 0 and 1."""

    kind, differentiable = "image", True

    def __init__(self, dim: int = 1) -> None:
        self.prior, self.asked = StandardNormal(dim), []  # type: ignore[var-annotated]

    def __call__(self, latents: Tensor) -> Tensor:
        self.asked.append(len(latents))
        return latents[:, :1].sigmoid().reshape(-1, 1, 1, 1)


class Words(Line):
    kind = "text"

    def __call__(self, latents: Tensor) -> Any:
        return [f"word {round(float(row[0]), 1)}" for row in latents]


def bright(images: Tensor) -> Tensor:
    p = images.flatten(1)[:, :1]
    return torch.cat([1 - p, p], 1)


def finds_of(values: list[float], *, n: int, radius: float, names: list[str] | None = None, **options: Any) -> Finds:
    """Return finds among latents whose answers are given; a value of at least .5 will do."""
    generator = Line()
    asker = Asker(generator, BlackBox(bright, class_names=NAMES[:2], check_determinism=False))
    take_in(asker, list(range(len(values))), values, names)
    goal = HighResponse(response=lambda responses: responses[:, 0], threshold=0.5)
    aim = Aim(goal=goal, index=-1, description="high", wanted=None, slack=0.0)
    return Finds(asker=asker, aim=aim, n=n, radius=radius, **options)


def take_in(asker: Asker, latents: list[float], values: list[float], names: list[str] | None = None) -> None:
    rows = torch.tensor(latents, dtype=torch.float64)[:, None]
    asker.known = asker.known.joined(rows, torch.tensor(values, dtype=torch.float64)[:, None])
    asker.digests = [*asker.digests, *(names or [str(value) for value in latents])]  # type: ignore[list-item]


def test_the_best_of_what_was_asked_are_found_if_they_are_apart() -> None:
    finds = finds_of([0.6, 0.9, 0.1, 0.8, 0.5], n=2, radius=2.0)
    assert finds.look()
    assert finds.rows == [1, 3]  # .9 at 1, then .8 at 3; two apart is enough
    assert finds.is_done
    assert not finds.look()  # nothing came since
    close = finds_of([0.6, 0.9, 0.1, 0.8, 0.5], n=3, radius=2.5)
    close.look()
    assert close.rows == [1, 4]
    assert not close.is_done
    assert close.best() == [1, 4]  # no third one is far enough
    assert finds_of([0.49], n=1, radius=0).look() is False
    assert finds_of([0.5], n=1, radius=0).look() is True  # as much as was wanted will do
    assert finds_of([], n=1, radius=0).look() is False


def test_only_what_came_since_the_last_look_is_looked_at() -> None:
    finds = finds_of([0.6, 0.2], n=3, radius=1.0)
    finds.look()
    take_in(finds.asker, [5.0, 0.2, 9.0], [0.7, 0.95, 0.3])
    assert finds.look()
    assert finds.rows == [0, 2]  # .2 lies too near to what was found before, though it is better
    assert finds.best() == [2, 0, 4]  # the better first; behind them the nearest miss that lies apart
    take_in(finds.asker, [20.0], [0.1])
    assert finds.look() is False


def test_inputs_that_are_the_same_count_once_and_are_avoided() -> None:
    finds = finds_of([0.6, 0.9, 0.8, 0.2, 0.1], n=4, radius=0.0, names=["a", "a", "b", "c", "c"])
    assert finds.look()
    assert finds.rows == [1, 2]
    assert sorted(finds.avoid) == [0, 1, 2]  # the first makes the same input
    assert torch.equal(finds.avoided(), finds.asker.known.latents[finds.avoid])
    assert finds.best() == [1, 2, 3]
    take_in(finds.asker, [9.0], [0.99], ["b"])
    assert finds.look() is False


class Fixed:
    """A strategy that asks what it is told to, and notes what it hears."""

    loss = "log"

    def __init__(self, latents: list[list[float]], *, n_screen: int = 0) -> None:
        self.latents, self.n_screen = latents, n_screen
        self.problems: list[Problem] = []
        self.told: list[tuple[Tensor, Tensor]] = []

    def begin(self, problem: Problem) -> Any:
        self.problems.append(problem)
        strategy = self

        class Under(Search):
            def _propose(self) -> Tensor:
                now = strategy.latents[min(len(strategy.told), len(strategy.latents) - 1)]
                return torch.tensor(now, dtype=torch.float64)[:, None]

            def _learn(self, latents: Tensor, fitness: Tensor, responses: Tensor | None) -> None:
                assert responses is not None
                strategy.told.append((fitness, responses))

        return Under(1)


def pursued(strategy: Any, *, n: int = 1, budget: int | None = None, batch: int = 1, tolerance: float = 0.3) -> Any:
    generator, names = Line(), list(NAMES[:2])
    asker = Asker(generator, BlackBox(bright, class_names=names, check_determinism=False, budget=budget))
    aim = read_target(1, names, tolerance=tolerance, threshold=None)
    finds = Finds(asker=asker, aim=aim, n=n, radius=0.5)
    reason = pursue(finds, strategy, batch=batch, rng=torch.Generator().manual_seed(0))
    return reason, finds


def test_the_prior_is_asked_in_batches_first() -> None:
    strategy = Fixed([[9.0], [8.0]], n_screen=10)
    reason, finds = pursued(strategy, batch=4, tolerance=1e-9, budget=11)
    assert finds.asker.generator.asked == [4, 4, 2, 1, 1]
    assert reason == Reason.BUDGET
    assert len(strategy.problems[0].known) == 10


def test_the_prior_is_not_asked_further_than_it_must() -> None:
    reason, finds = pursued(Fixed([[9.0]], n_screen=100), batch=20, tolerance=0.6)
    assert reason == Reason.REACHED
    assert finds.asker.generator.asked == [20]
    strategy = Fixed([[9.0]], n_screen=100)
    reason, finds = pursued(strategy, batch=20, n=2, budget=10, tolerance=0.6)
    assert finds.asker.generator.asked == [20]  # ten of them were answered
    assert (reason, strategy.problems) == (Reason.REACHED, [])  # what the last queries brought counts too
    assert len(finds.asker.known) == 10
    reason, _ = pursued(strategy, batch=20, n=2, budget=10, tolerance=1e-9)
    assert (reason, strategy.problems) == (Reason.BUDGET, [])


def test_a_strategy_hears_what_came_of_what_it_asked() -> None:
    strategy = Fixed([[-2.0, -1.0], [0.0, 9.0]])
    reason, finds = pursued(strategy)
    assert (reason, finds.rows) == (Reason.REACHED, [3])
    (fitness, responses), *others = strategy.told
    assert not others  # there is nothing to tell once it is found
    assert torch.allclose(responses[:, 1], torch.tensor([-2.0, -1.0]).sigmoid().double())
    assert float(fitness[1]) > float(fitness[0])
    assert torch.allclose(fitness, finds.aim.goal.fitness(responses, loss="log"))


def test_each_exemplar_is_sought_anew_away_from_those_found() -> None:
    strategy = Fixed([[9.0, 5.0], [1.0], [2.0]])
    reason, _ = pursued(strategy, n=3)
    assert reason == Reason.REACHED
    assert [problem.avoid.flatten().tolist() for problem in strategy.problems] == [[], [9.0, 5.0]]
    assert len({id(problem.rng) for problem in strategy.problems}) == 1
    assert all(problem.radius == 0.5 for problem in strategy.problems)


def test_sixty_batches_that_bring_nothing_new_end_it() -> None:
    strategy = Fixed([[0.1], [0.2], *[[0.1]] * 30, [0.3], [0.1]])
    reason, finds = pursued(strategy, tolerance=0.01)
    assert reason == Reason.NO_PROGRESS
    assert len(finds.asker.different) == 3
    assert len(strategy.told) == 33 + 60  # counted from the last input that was new


def test_a_budget_that_ends_within_a_batch_ends_the_search() -> None:
    reason, finds = pursued(Fixed([[-1.0, -2.0, 9.0]]), budget=2)
    assert (reason, len(finds.asker.known)) == (Reason.BUDGET, 2)
    reason, finds = pursued(Fixed([[-1.0, 9.0, 3.0]]), budget=2)
    assert (reason, finds.rows) == (Reason.REACHED, [1])  # the last that was paid for was one


def test_an_asker_remembers_rows_and_inputs() -> None:
    told: list[int] = []
    asker = Asker(Words(), BlackBox(lambda texts: [[0.5, 0.5]] * len(texts), class_names=NAMES[:2], budget=5))
    asker.tell_how = lambda: told.append(len(asker.known))
    assert asker.ask(torch.tensor([[0.11], [0.12], [0.5]])).shape == (3, 2)
    assert asker.ask(torch.tensor([[0.9], [0.5], [0.7], [0.8]])).shape[0] == 3  # .5 is known and costs nothing
    assert asker.ask(torch.tensor([[4.0]])).shape[0] == 0
    assert told == [3, 6]
    assert len(asker.known) == len(asker.digests) == 6
    assert asker.different == set(asker.digests)
    assert len(asker.different) == 4  # .11 and .12 make one text
    assert asker.digests[2] == asker.digests[4]


def test_pictures_a_hair_outside_the_range_are_brought_into_it() -> None:
    class Over(Line):
        def __call__(self, latents: Tensor) -> Tensor:
            return super().__call__(latents) * 0 + 1 + 1e-6

    assert float(make_inputs(Over(), torch.zeros(1, 1)).max()) == 1.0  # type: ignore[union-attr]


# Stopping


class Once:
    """Raises the one interruption that a Ctrl-C is, at the n-th report."""

    def __init__(self, at: int) -> None:
        self.at, self.seen = at, 0

    def __call__(self, _: Progress) -> None:
        self.seen += 1
        if self.seen == self.at:
            raise KeyboardInterrupt


def three(images: Tensor) -> Tensor:
    return torch.softmax(torch.cat([images.flatten(1) * scale for scale in (-8, 8, 0.1)], 1), 1)


def test_one_interruption_ends_all_targets_even_when_the_first_is_found() -> None:
    """Ctrl-C comes once: whoever stops a search just when its target was found must not wait for the others."""
    box = BlackBox(three, class_names=NAMES, check_determinism=False)
    method = Exemplars(Line(), algorithm=PriorSampling(batch=50), tolerance=0.2)
    sets = method.search_all(box, ["bee", "ant", "bee", "cat"], n=1, watch=Once(1))
    assert sets[0].status.reason == Reason.REACHED
    assert [item.queries for item in sets] == [50, 0, 0, 0]
    assert sets[2].status.reason == Reason.REACHED  # what the others asked serves it
    assert sets[3].status.reason == Reason.INTERRUPTED


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


def test_words_that_are_interrupted_end_the_rest(edits: lt.TextEdits, monkeypatch: pytest.MonkeyPatch) -> None:
    from likethat.explainers.exemplars import texts as module

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


# Texts


def test_what_speaks_for_a_text_is_asked_with_what_is_left(
    edits: lt.TextEdits, monkeypatch: pytest.MonkeyPatch
) -> None:
    from likethat.explainers.exemplars import texts as module

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


# What is asked for, and how it is called


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [("surrogate", Surrogate), ("prior", PriorSampling), ("cma-es", CMAES), ("evolution", Evolution)],
)
def test_algorithms_have_names(algorithm: str, kind: type) -> None:
    if algorithm == "cma-es":
        pytest.importorskip("cma")
    assert type(Exemplars(Line(), algorithm=algorithm).strategy) is kind


def test_a_batch_is_the_strategys_own_unless_it_is_told() -> None:
    assert Exemplars(Line(), algorithm=PriorSampling(batch=7)).strategy.batch == 7  # type: ignore[attr-defined]
    assert Exemplars(Line(), algorithm=PriorSampling(batch=7), batch=3).strategy.batch == 3  # type: ignore[attr-defined]
    strategy = Fixed([[1.0]])
    assert Exemplars(Line(), algorithm=strategy, batch=3).strategy is strategy


def test_strategies_that_are_none() -> None:
    with pytest.raises(InputError, match=r"Make an instance: PriorSampling\(\)\."):
        Exemplars(Line(), algorithm=PriorSampling)
    with pytest.raises(InputError, match=r"got 3\. Try 'cma-es'"):
        Exemplars(Line(), algorithm=3)


def two(images: Tensor) -> Tensor:
    return torch.softmax(torch.cat([-9 * (images.flatten(1) - 0.5), 9 * (images.flatten(1) - 0.5)], 1), 1)


def test_progress_is_told_in_exemplars_of_all_targets() -> None:
    seen: list[Progress] = []
    box = BlackBox(two, class_names=NAMES[:2], check_determinism=False)
    sets = Exemplars(Line(2), algorithm=PriorSampling(batch=2), seed=1).search_all(box, n=3, watch=seen.append)
    assert all(len(item) == 3 for item in sets)
    assert {item.total for item in seen} == {6}
    done = [item.done for item in seen]
    assert done == sorted(done)
    assert 0 <= done[0] < done[-1] < 6
    assert {item.stage for item in seen} == {"finding exemplars"}


def test_five_exemplars_within_five_hundred_queries_unless_told() -> None:
    box = BlackBox(two, class_names=NAMES[:2], check_determinism=False)
    found = Exemplars(Line(2), algorithm=PriorSampling(batch=100), tolerance=1e-9).search(box, 0)
    assert (found.queries, len(found)) == (500, 5)
    both = Exemplars(Line(2), algorithm=PriorSampling(batch=100), tolerance=1e-9).search_all(box)
    assert [(item.queries, len(item)) for item in both] == [(500, 5), (500, 5)]


def test_what_a_set_says_of_its_search() -> None:
    box = BlackBox(two, class_names=NAMES[:2], check_determinism=False)
    strategy = PriorSampling(batch=9)
    found = Exemplars(Line(2), algorithm=strategy, tolerance=0.2, spacing=0.5, seed=7).search(box, 0, n=2, budget=50)
    assert found.method == "PriorSampling"
    assert found.seed == 7
    expected = {"n": 2, "budget": 50, "tolerance": 0.2, "spacing": 0.5, "batch": 9}
    assert {name: found.options[name] for name in expected} == expected
    own = Exemplars(Line(2), algorithm=Fixed([[-9.0, 9.0], [8.0, 3.0]])).search(box, 0, n=1, budget=50)
    assert own.options == {"n": 1, "budget": 50, "tolerance": 0.05, "spacing": 0.25}  # no record of what it is made of


def test_a_stream_of_chance_a_target() -> None:
    strategy = Fixed([[-0.1], [0.1]])
    box = BlackBox(two, class_names=NAMES[:2], check_determinism=False)
    Exemplars(Line(), algorithm=strategy, seed=5, tolerance=1e-9).search_all(box, n=1, budget=4)
    seeds = [problem.rng.initial_seed() for problem in strategy.problems]
    assert seeds == [1_000_008, 2_000_011]  # those of every version: the same seed, the same exemplars


def test_a_model_without_names_is_asked_once_for_them() -> None:
    box = BlackBox(two, check_determinism=False)
    found = Exemplars(Line(), algorithm=PriorSampling(batch=5), tolerance=1e-9).search(box, 1, n=1, budget=7)
    assert len(found.class_names) == 2
    assert found.queries == box.queries == len(found.curve) == 7
    spent = BlackBox(two, check_determinism=False, budget=1)
    spent(torch.rand(1, 1, 1, 1))
    with pytest.raises((BudgetError, lt.errors.TargetError)):
        Exemplars(Line()).search(spent, 1)


def test_a_function_is_a_model_and_a_class_is_none() -> None:
    found = Exemplars(Line(), algorithm=PriorSampling(batch=5), tolerance=0.2).search(two, 1, n=1)
    assert found.status
    with pytest.raises(InputError):
        Exemplars(Line()).search(BlackBox, 1)


def test_how_a_search_says_it_ended() -> None:
    def ended(target: Any = 0, *, threshold: float | None = None, budget: int = 20, n: int = 1) -> Status:
        box = BlackBox(lambda x: two(x).clamp(0.3, 0.7), class_names=NAMES[:2], check_determinism=False)
        method = Exemplars(Line(), algorithm=PriorSampling(batch=5), tolerance=0.1)
        return method.search(box, target, n=n, budget=budget, threshold=threshold).status

    assert "none found, the nearest is 0.300 away within the budget of 20 queries" in ended().advice
    assert not ended()
    sure = ended(lambda p: p[:, 0])
    assert (sure.reached, sure.reason, sure.advice) == (True, Reason.BUDGET, "")
    missed = ended(lambda p: p[:, 0], threshold=0.9)
    assert not missed
    assert "the nearest is 0.200 away" in missed.advice
    assert ended(lambda p: p[:, 0], threshold=0.6).reason == Reason.REACHED
    some = ended([0.7, 0.3], n=9)
    assert "of 9 found within the budget" in some.advice


# Targets


@pytest.mark.parametrize("values", [[0.3333, 0.3333, 0.3333], [0.334, 0.333, 0.3335]])
def test_rounded_shares_are_brought_to_a_sum_of_one(values: list[float]) -> None:
    aim = read_target(values, NAMES, tolerance=0.05, threshold=None)
    assert aim.wanted is not None
    assert float(aim.wanted.sum()) == pytest.approx(1, abs=1e-12)
    assert (aim.index, aim.slack) == (-1, 0.05)
    with pytest.raises(InputError, match="sum to 1"):
        read_target([value * 0.997 for value in values], NAMES, tolerance=0.05, threshold=None)


def test_a_target_is_described() -> None:
    def read(target: Any, threshold: float | None = None) -> Aim:
        return read_target(target, NAMES, tolerance=0.05, threshold=threshold)

    assert (read("bee").description, read("bee").index, read("bee").slack) == ("bee", 1, 0.05)
    assert (read([0.0, 0.0, 1.0]).description, read([0.0, 0.0, 1.0]).index) == ("cat", 2)
    assert read(torch.tensor([1.0, 0.0, 0.0])).index == 0
    assert read({"ant": 0.25, "cat": 0.5, 0: 0.25}).description == "50 % ant, 50 % cat"  # named twice: the sum
    response: Callable[[Tensor], Tensor] = lambda p: p[:, 0]  # noqa: E731
    assert read(response).description == "high response"
    assert read(response, 0.75).description == "response of at least 0.75"
    assert (read(response).index, read(response).wanted) == (-1, None)
    assert read(response, 0.75).errors(torch.tensor([[0.5, 0.5]])).tolist() == [0.25]
    assert read(response).errors(torch.tensor([[0.5, 0.5]])).tolist() == [-0.5]  # the higher, the less
    assert read("bee").errors(torch.tensor([[0.25, 0.75, 0.0]])).tolist() == pytest.approx([0.25])
    with pytest.raises(InputError, match="a number"):
        read(response, float("nan"))
    with pytest.raises(InputError, match="`target` must be"):
        read([-0.1, 0.6, 0.5])


# What is handed out


def set_of(values: list[float], *, n: int = 2) -> ExemplarSet:
    finds = finds_of(values, n=n, radius=0.0)
    finds.look()
    spacing = Spacing.of(finds.asker.generator.prior, seed=4)
    return exemplar_set(
        finds, status=Status(reached=True, reason=Reason.REACHED), queries=3, shared=1, spacing=spacing, data=None,
        about={"method": "test", "options": {}, "seed": 0, "seconds": 0.0},
    )  # fmt: skip


def test_a_set_holds_the_found_and_then_the_nearest_misses() -> None:
    found = set_of([0.1, 0.9, 0.3, 0.6], n=3)
    assert found.latents.flatten().tolist() == [1, 3, 2]
    assert found.reached.tolist() == [True, True, False]
    assert found.errors.tolist() == pytest.approx([-0.4, -0.1, 0.2])
    assert found.curve.tolist() == pytest.approx([0.4, -0.4, -0.4, -0.4])
    assert found.film.queries.tolist() == [1, 2]
    assert found.film.errors.tolist() == pytest.approx([0.4, -0.4])
    samples = StandardNormal(1).sample(1000, rng=torch.Generator().manual_seed(4))
    assert found.diversity == pytest.approx(mean_distance(found.latents) / mean_distance(samples[:300]))
    density = StandardNormal(1).log_prob(samples).double()
    assert found.prior_quantile.tolist() == pytest.approx(
        [float((density < value).double().mean()) for value in found.log_prior]
    )
    assert torch.equal(found.log_prior, StandardNormal(1).log_prob(found.latents.float()).double())
    assert torch.equal(found.typical, samples[:12].sigmoid().reshape(-1, 1, 1, 1))  # type: ignore[arg-type]


def test_a_long_film_keeps_its_first_frame_and_the_last_ones() -> None:
    rising = [value / 100 for value in range(40)]
    assert set_of(rising).film.queries.tolist() == [1, *range(18, 41)]
    assert set_of(rising[:24]).film.queries.tolist() == list(range(1, 25))
    assert set_of([0.3, 0.3, 0.2, 0.4]).film.queries.tolist() == [1, 4]  # as good as before is no news


# Distances to real inputs


def test_large_pictures_are_compared_as_small_copies() -> None:
    rng = torch.Generator().manual_seed(0)
    made, real = torch.rand(2, 1, 64, 16, generator=rng), torch.rand(5, 1, 64, 16, generator=rng)
    small = [torch.nn.functional.avg_pool2d(images, (2, 1)) for images in (made, real)]
    torch.testing.assert_close(distance_to_real(made, real), distance_to_real(*small))
    wide = [images.transpose(2, 3) for images in (made, real)]
    torch.testing.assert_close(distance_to_real(*wide), distance_to_real(made, real))
    noisy = torch.rand(5, 1, 32, 32, generator=rng)
    noise = noisy + 0.1 * torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(16, 16)
    assert float(distance_to_real(noise.clamp(0, 1), noisy).min()) > 0.05  # of 32 pixels a side nothing is averaged


def test_of_many_real_inputs_an_even_choice_of_two_thousand_is_taken() -> None:
    real = torch.arange(4000.0).reshape(-1, 1, 1, 1) / 4000
    found = distance_to_real(real[[0, 1, 2, 3, 3999]], real)
    assert found[[0, 2, 4]].tolist() == pytest.approx([0, 0, 0], abs=1e-3)  # every second one, both ends among them
    assert found[[1, 3]].tolist() == pytest.approx([0.5, 0.5], abs=0.01)


def test_real_inputs_that_are_all_the_same_have_no_spacing() -> None:
    real = torch.full((3, 1, 1, 1), 0.25)
    assert distance_to_real(torch.full((1, 1, 1, 1), 0.75), real).tolist() == [0.5]
    doubled = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.5, 0.75]).reshape(-1, 1, 1, 1)
    assert distance_to_real(torch.full((1, 1, 1, 1), 0.5 - 0.125), doubled).tolist() == [0.5]  # no copies


def test_distances_of_texts_see_the_order_of_words() -> None:
    # One and the same words in another order share the two words of five features: a cosine of 2 in 3.
    found = distance_to_real(["a b"], ["b a", "c d"])
    assert float(found[0]) == pytest.approx(((2 - 4 / 3) / 2) ** 0.5, abs=1e-6)
    with pytest.raises(InputError, match=r"`data` must have shape \(n, 1, 2, 2\), got \(n, 1, 3, 2\)"):
        distance_to_real(torch.rand(2, 1, 2, 2), torch.rand(2, 1, 3, 2))
    with pytest.raises(InputError, match="`data` must lie in"):
        distance_to_real(torch.rand(2, 1, 2, 2), 2 + torch.rand(2, 1, 2, 2))
    assert distance_to_real(torch.tensor([[1.0]]), torch.tensor([[3.0], [5.0]])).tolist() == [1.0]


def test_columns_that_are_missing_constant_or_true_or_false() -> None:
    real = pd.DataFrame({"gone": [None, 2.0, 4.0], "same": [5.0, 5.0, 5.0], "sure": [True, False, True]})
    # Missing is the mean: standard deviations 0, -1 and 1; of "sure" another value is 1 apart.
    made = pd.DataFrame({"gone": [3.0, 4.0], "same": [5.0, 7.0], "sure": [True, True]})
    spacing = torch.tensor([1.0, 2**0.5, 1.0]).median()
    assert distance_to_real(made, real).tolist() == pytest.approx([0.0, 2 / float(spacing)])
    with pytest.raises(InputError, match="got none named a, b, c, d, e"):
        distance_to_real(pd.DataFrame({name: [1.0] for name in "abcdef"}), real)


def test_known_answers_are_joined_in_order() -> None:
    known = Known.nothing(2).joined(torch.zeros(1, 2), torch.ones(1, 3)).joined(torch.ones(2, 2), torch.zeros(2, 3))
    assert known.latents.tolist() == [[0, 0], [1, 1], [1, 1]]
    assert known.responses.sum(1).tolist() == [3, 0, 0]
