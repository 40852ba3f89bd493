"""A search for exemplars: its streams of chance, its end, and what is said of it."""

from typing import Any

import pytest
import torch
from lines import NAMES, Fixed, Line, Once, finds_of
from spread import Sums
from torch import Tensor

import likethat as lt
from likethat._progress import Progress
from likethat.errors import BudgetError, InputError
from likethat.explainers.exemplars.method import Exemplars, _tell
from likethat.explanations.status import Reason, Status
from likethat.models.black_box import BlackBox
from likethat.search import CMAES, Evolution, PriorSampling, Surrogate


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


@pytest.mark.slow
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


def test_a_generator_of_texts_that_keeps_too_few_words_is_refused() -> None:
    class Poor(Line):
        kind, card = "text", {"words_kept": 0.4}

    with pytest.raises(InputError, match="must give back at least 50% of the words"):
        Exemplars(Poor())


def test_what_makes_no_inputs_of_latents_is_refused() -> None:
    class Unmade:
        kind, prior = "image", Line().prior

    class Nameless:
        def __call__(self, latents: Tensor) -> Tensor:
            return latents

    for made in (Unmade(), Nameless(), lambda latents: latents):
        with pytest.raises(InputError, match="`generator` must be a LatentGenerator"):
            Exemplars(made)


def test_the_prior_is_asked_one_by_one_by_a_strategy_without_a_batch() -> None:
    generator = Line()
    box = BlackBox(two, class_names=NAMES[:2], check_determinism=False)
    method = Exemplars(generator, algorithm=Fixed([[0.1]], n_screen=3), tolerance=1e-9)
    method.search(box, 0, n=1, budget=4)
    assert generator.asked[:4] == [1, 1, 1, 1]


def test_progress_says_what_was_asked_and_what_may_be_asked_still() -> None:
    """Of two targets three each, of 20 questions together; the second has one and has asked seven."""
    said: list[tuple[int, int, int]] = []

    class Told:
        def __call__(self, done: int, *, timed: int, to_do: int) -> None:
            said.append((done, timed, to_do))

    finds = finds_of([0.6, 0.1], n=3, radius=0.0)
    finds.look()
    finds.asker.box = BlackBox(two, class_names=NAMES[:2], check_determinism=False)
    finds.asker.box(torch.rand(7, 1, 1, 1))
    _tell(Told(), 1, finds, 20)  # type: ignore[arg-type]
    assert said == [(4, finds.asker.timed, 13)]


@pytest.mark.parametrize("targets", ["a", "", [], (), 3])
def test_targets_are_a_list_with_at_least_one(targets: Any) -> None:
    box = lt.BlackBox(lambda x: [[0.5, 0.5]] * len(x), class_names=["a", "b"], budget=40)
    with pytest.raises(InputError, match="`targets` must be a list with at least one target"):
        lt.Exemplars(Sums("image")).search_all(box, targets, n=1, budget=20)


def test_ctrl_c_before_the_first_answer_and_no_budget_are_told_apart() -> None:
    def stopped(_: Tensor) -> Tensor:
        raise KeyboardInterrupt

    method = Exemplars(Line(), algorithm=PriorSampling(batch=5))
    with pytest.raises(KeyboardInterrupt):
        method.search(BlackBox(stopped, class_names=NAMES, check_determinism=False), 0, n=1)
    with pytest.raises(BudgetError, match="at least one query"):
        method.search(BlackBox(three, class_names=NAMES, budget=0, check_determinism=False), 0, n=1)
