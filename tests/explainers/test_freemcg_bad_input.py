"""What FreeMCG does with wrong inputs, models that break and denoisers that do: one sentence, and the best is kept."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from _ids import said
from torch import Tensor

import likethat as lt
from likethat import papers
from likethat._progress import Progress
from likethat.errors import (
    BlackBoxError,
    BudgetError,
    InputError,
    LikethatError,
    ModelError,
    NonFiniteError,
    TargetError,
)

SIZE = 8


class Squares:
    """The exact denoiser of pictures with a Gaussian brightness in each quarter."""

    shape, sigma_max = (1, SIZE, SIZE), 4.0

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        quarters = torch.nn.functional.avg_pool2d(x, SIZE // 2)
        share = 0.09 / (0.09 + (sigma[:, None, None, None] / (SIZE // 2)) ** 2)
        return torch.nn.functional.interpolate(0.5 + share * (quarters - 0.5), scale_factor=SIZE // 2)


def brightest(x: Tensor) -> Tensor:
    """Four classes: which quarter is brightest."""
    return torch.nn.functional.avg_pool2d(x, SIZE // 2).flatten(1) * 12


def picture() -> Tensor:
    return torch.tensor([[[0.8, 0.4], [0.3, 0.2]]]).repeat_interleave(4, 1).repeat_interleave(4, 2)


def box(**options: Any) -> lt.BlackBox:
    return lt.BlackBox(brightest, class_names=["a", "b", "c", "d"], **options)


def with_value(value: float) -> Tensor:
    changed = picture()
    changed[0, 3, 3] = value
    return changed


@pytest.mark.parametrize(
    ("source", "error", "words"),
    [
        (torch.rand(1, 9, 9), InputError, "= (1, 8, 8) as the generator makes images, got (1, 9, 9). Resize"),
        (torch.rand(3, SIZE, SIZE), InputError, "got (3, 8, 8)"),
        (np.random.default_rng(0).random((SIZE, SIZE, 1)), InputError, "got (8, 8, 1)"),
        (torch.rand(0, 1, SIZE, SIZE), InputError, "must be one input, got 0"),
        (with_value(float("nan")), NonFiniteError, "`source` must be finite, got 1 NaN or infinite of 64"),
        (with_value(float("inf")), NonFiniteError, "fill in what is missing"),
        (picture() * 255, InputError, "must lie in [0, 1], got values from 51 to 204"),
        ((picture() * 255).byte(), InputError, "got torch.uint8. Divide by 255"),
        ("a photo", InputError, "must be of the generator's kind, which is image, got a text"),
        ("photo.png", InputError, "must be a file that is there, or a text, got photo.png, which does not exist"),
        (None, InputError, "must be "),
    ],
    ids=said,
)
def test_sources(source: Any, error: type[LikethatError], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        lt.FreeMCG(Squares()).counterfactual(box(), source, 1)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (0, "gives it to 'a' already. Name another target"),
        (-1, "must be from 0 to 3, got -1"),
        (4, "must be from 0 to 3, got 4"),
        (1.5, "a class index or a class name, got float"),
        (True, "a class index or a class name, got bool"),
        ("wolf", "must be a class of the model"),
    ],
)
def test_targets(target: Any, words: str) -> None:
    with pytest.raises(TargetError, match=re.escape(words)):
        lt.FreeMCG(Squares()).counterfactual(box(), picture(), target)
    if target != 0:
        with pytest.raises(TargetError, match=re.escape(words)):
            lt.FreeMCG().attribute(box(), picture(), target)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mask": np.ones((9, 9))}, "= (8, 8), got shape (9, 9)"),
        ({"mask": np.ones((1, SIZE, SIZE))}, "got shape (1, 8, 8)"),
        ({"mask": np.zeros((SIZE, SIZE), dtype=bool)}, "it is false everywhere"),
        ({"budget": 0}, "must be a whole number of at least 1, got 0"),
        ({"budget": 1.5}, "must be a whole number of at least 1, got 1.5"),
        ({"budget": 11}, "(the source, a check, and 1 generation of 10 particles), got 11"),
        ({"budget": None}, "must be a number of queries, got None"),
        ({"n": 0}, "must be a whole number of at least 1, got 0"),
        ({"n": 50}, "and 50 generations of 10 particles), got 200"),
    ],
    ids=said,
)
def test_options(options: dict[str, Any], words: str) -> None:
    before = box()
    with pytest.raises(InputError, match=re.escape(words)):
        lt.FreeMCG(Squares(), n_particles=10).counterfactual(before, picture(), 1, **options)
    assert before.queries == 0


def test_a_budget_that_is_spent_asks_nothing() -> None:
    spent = box(budget=1)
    spent(picture().flip(1)[None])
    with pytest.raises(BudgetError, match="Nothing was asked"):
        lt.FreeMCG(Squares()).counterfactual(spent, picture(), 1)
    with pytest.raises(BudgetError, match="Nothing was asked"):
        lt.FreeMCG().attribute(spent, picture())


def test_the_budget_of_the_box_holds_too() -> None:
    small = box(budget=15)
    result = lt.FreeMCG(Squares()).counterfactual(small, picture(), "d")
    assert result.queries <= 15
    assert small.queries <= 15
    assert np.isfinite(result.best.probabilities).all()


def test_more_than_there_are_says_how_many_were_found() -> None:
    """Where one quarter alone may change, there is one way to make it brightest."""
    mask = torch.zeros(SIZE, SIZE)
    mask[4:, 4:] = 1
    result = lt.FreeMCG(Squares(), n_particles=10).counterfactual(box(), picture(), "d", n=4, budget=200, mask=mask)
    assert 1 <= len(result.edits) < 4
    assert not result.status
    assert f"{len(result.edits)} of 4 different counterfactuals were found" in result.status.advice
    assert result.queries <= 200


def test_no_way_through_a_small_mask_changes_nothing_else() -> None:
    mask = torch.zeros(SIZE, SIZE)
    mask[0, 0] = 1
    result = lt.FreeMCG(Squares()).counterfactual(box(), picture(), "d", mask=mask, budget=60)
    assert not result.status
    assert result.edits == ()
    changed = (result.best.input[0] != picture()).any(0)
    assert int(changed.sum()) <= 1


class Breaks:
    """A model that answers so many times, and then does something else."""

    def __init__(self, at: int, how: Callable[[Tensor], Tensor]) -> None:
        self.at, self.how, self.asked = at, how, 0

    def __call__(self, x: Tensor) -> Tensor:
        self.asked += len(x)
        p = brightest(x).softmax(1)
        return self.how(p) if self.asked >= self.at else p


def down(_: Tensor) -> Tensor:
    raise ConnectionError("the service is down")


def nan(p: Tensor) -> Tensor:
    return p * torch.nan


def fewer(p: Tensor) -> Tensor:
    return p[:-1]


def other_classes(p: Tensor) -> Tensor:
    return p[:, :2] / p[:, :2].sum(1, keepdim=True)


@pytest.mark.parametrize("rule", ["kalman", "paper"])
@pytest.mark.parametrize("how", [down, nan, fewer, other_classes])
def test_a_model_that_breaks_at_query_50_keeps_the_best_so_far(how: Callable[[Tensor], Tensor], rule: str) -> None:
    kind = lt.FreeMCG if rule == "kalman" else papers.FreeMCG
    method = kind(Squares(), n_particles=10)
    result = method.counterfactual(lt.BlackBox(Breaks(50, how)), picture(), 3)
    assert 10 < result.queries < 60  # the generation that broke may count
    assert len(result.path.queries) >= 10
    p = result.best.probabilities
    assert float(p[3]) > float(result.source_probabilities[3])
    assert torch.allclose(brightest(result.best.input).softmax(1)[0], torch.as_tensor(p).float(), atol=1e-5)


@pytest.mark.parametrize(("how", "words"), [(down, "the service is down"), (nan, "must answer with finite numbers")])
def test_a_model_that_never_answered_says_why(how: Callable[[Tensor], Tensor], words: str) -> None:
    for at in (1, 2):
        with pytest.raises(BlackBoxError, match=words):
            lt.FreeMCG(Squares()).counterfactual(lt.BlackBox(Breaks(at, how)), picture(), 3)
    with pytest.raises(BlackBoxError, match=words):
        lt.FreeMCG().attribute(lt.BlackBox(Breaks(1, how)), picture())


def test_what_was_answered_before_a_heat_map_broke_is_not_asked_again() -> None:
    model = Breaks(50, down)
    remembering = lt.BlackBox(model)
    with pytest.raises(BlackBoxError, match="the service is down"):
        lt.FreeMCG().attribute(remembering, picture(), budget=64)
    model.at, model.asked = 10_000, 0
    assert lt.FreeMCG().attribute(remembering, picture(), budget=64).status
    assert model.asked <= 64


class Changed(Squares):
    """A denoiser that does something else after so many calls."""

    def __init__(self, how: Callable[[Tensor], Any], *, after: int = 0) -> None:
        self.how, self.after, self.calls = how, after, 0

    def denoise(self, x: Tensor, sigma: Tensor) -> Any:
        self.calls += 1
        good = super().denoise(x, sigma)
        return good if self.calls <= self.after else self.how(good)


BROKEN: list[Any] = [
    (lambda y: y * torch.nan, NonFiniteError, "the denoiser must return finite images"),
    (lambda y: y[:, :, :4], ModelError, "= (10, 1, 8, 8), got (10, 1, 4, 8)"),
    (lambda y: y[:1], ModelError, "= (10, 1, 8, 8), got (1, 1, 8, 8)"),
    (lambda y: None, ModelError, "got NoneType"),
    (lambda y: y.reshape(3, 3), ModelError, "the denoiser raised RuntimeError at sigma = "),
]


@pytest.mark.parametrize(("how", "error", "words"), BROKEN, ids=[case[2][:25] for case in BROKEN])
def test_denoisers_that_break(how: Callable[[Tensor], Any], error: type[LikethatError], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        lt.FreeMCG(Changed(how), n_particles=10).counterfactual(box(), picture(), 3)
    late = lt.FreeMCG(Changed(how, after=2), n_particles=10).counterfactual(box(), picture(), 3)
    assert len(late.path.queries) > 10
    assert float(late.best.probabilities[3]) > float(late.source_probabilities[3])


@pytest.mark.parametrize("how", [lambda y: y * 0 + 0.5, lambda y: y * 255], ids=["constant", "in 0..255"])
def test_a_denoiser_without_variety_is_said_to_be(how: Callable[[Tensor], Tensor]) -> None:
    result = lt.FreeMCG(Changed(how)).counterfactual(box(), picture(), 3)
    assert not result.status
    assert "the same inputs again and again" in result.status.advice
    assert result.queries < 60


@pytest.mark.parametrize("generations", [1, 4])
def test_what_was_found_survives_an_interruption(generations: int) -> None:
    model, told = box(), []

    def stop(report: Progress) -> None:
        told.append(report.done)
        if len(told) > generations:
            raise KeyboardInterrupt

    result = lt.FreeMCG(Changed(lambda y: y), n_particles=10).counterfactual(model, picture(), 3, watch=stop)
    assert result.status.reason == "interrupted"
    assert f"Stopped after {result.queries} queries" in result.status.advice
    assert result.queries == model.queries == told[-1]
    assert result.status.reached == result.best.is_valid
    assert len(result.path.queries) >= 10 * generations


def test_before_anything_was_asked_an_interruption_is_one() -> None:
    def stop(report: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lt.FreeMCG(Changed(lambda y: y)).counterfactual(box(), picture(), 3, watch=stop)


def test_a_heat_map_of_the_answers_so_far_survives_an_interruption() -> None:
    def stop(report: Progress) -> None:
        if report.done >= 60:
            raise KeyboardInterrupt

    stopped = lt.FreeMCG().attribute(box(), picture(), 3, budget=128, watch=stop)
    assert stopped.status.reason == "interrupted"
    assert 60 <= stopped.queries < 128
    whole = lt.FreeMCG().attribute(box(), picture(), 3, budget=stopped.queries)
    np.testing.assert_allclose(stopped.heat_map, whole.heat_map, atol=1e-5)


def test_heat_maps_through_particles_need_a_denoiser() -> None:
    with pytest.raises(InputError, match="must be a denoiser for algorithm='freemcg', got none"):
        lt.FreeMCG().attribute(box(), picture(), algorithm="freemcg")
    with pytest.raises(InputError, match="algorithm='patches' needs none"):
        lt.FreeMCG(lt.load_generator("zoo:digits")).attribute(box(), picture(), algorithm="freemcg")
