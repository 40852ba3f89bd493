"""FreeMCG on objects small enough to know the answer: bright squares, a row of four columns, three words."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import likethat as lt
from likethat import papers
from likethat.errors import ArgumentError, InputError, NonFiniteError, TargetError
from likethat.explanations.attribution import Attribution
from likethat.explanations.counterfactual import Counterfactual

SIZE = 8


class Squares:
    """The exact denoiser of pictures with a Gaussian brightness in each quarter."""

    shape = (1, SIZE, SIZE)
    sigma_max = 4.0

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        quarters = torch.nn.functional.avg_pool2d(x, SIZE // 2)
        noise = (sigma[:, None, None, None] / (SIZE // 2)) ** 2
        share = 0.09 / (0.09 + noise)
        return torch.nn.functional.interpolate(0.5 + share * (quarters - 0.5), scale_factor=SIZE // 2)


def brightest(x: Tensor) -> Tensor:
    """Four classes: which quarter is brightest."""
    return torch.nn.functional.avg_pool2d(x, SIZE // 2).flatten(1) * 12


def picture() -> Tensor:
    quarters = torch.tensor([[0.8, 0.4], [0.3, 0.2]])
    return quarters.repeat_interleave(4, 0).repeat_interleave(4, 1)[None]


def box(**options: Any) -> lt.BlackBox:
    return lt.BlackBox(brightest, class_names=["a", "b", "c", "d"], **options)


def found(**options: Any) -> Counterfactual:
    return lt.FreeMCG(Squares()).counterfactual(box(), picture(), "d", **options)


class Normal:
    """N(0, I)."""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def sample(self, n: int, *, rng: torch.Generator) -> Tensor:
        return torch.randn(n, self.dim, generator=rng)

    def log_prob(self, latents: Tensor) -> Tensor:
        return -0.5 * (latents**2).sum(1)


class People:
    """Rows of a table from four latents; it encodes too."""

    kind = "table"
    differentiable = False
    prior = Normal(4)

    def __call__(self, latents: Tensor) -> pd.DataFrame:
        z = latents.double().numpy()
        return pd.DataFrame({
            "age": (40 + 10 * z[:, 0]).round().astype(np.int64), "income": 30.0 + 8 * z[:, 1],
            "debt": 5.0 + 2 * z[:, 2], "sex": np.where(z[:, 3] > 0, "f", "m"),
        })  # fmt: skip

    def encode(self, inputs: pd.DataFrame) -> Tensor:
        z = [(inputs["age"] - 40) / 10, (inputs["income"] - 30) / 8, (inputs["debt"] - 5) / 2]
        return torch.tensor(np.stack([*z, np.where(inputs["sex"] == "f", 1.0, -1.0)], axis=1)).float()


def credit(frame: pd.DataFrame) -> np.ndarray:
    """Good where income is high and debt is low; age counts a little, sex not at all."""
    score = 0.5 * (frame["income"] - 36) - (frame["debt"] - 5) + 0.05 * (frame["age"] - 40)
    p = 1 / (1 + np.exp(-score.to_numpy(dtype=float)))
    return np.stack([1 - p, p], axis=1)


def person() -> pd.DataFrame:
    return pd.DataFrame({"age": [41], "income": [27.5], "debt": [6.25], "sex": ["f"]})


def good(**options: Any) -> Counterfactual:
    method = lt.FreeMCG(People(), confidence=0.9)
    return method.counterfactual(lt.BlackBox(credit, class_names=["bad", "good"]), person(), "good", **options)


def test_an_image_arrives_near_the_source_within_the_budget() -> None:
    result = found(budget=150)
    assert result.status, result.status
    assert result.best.is_valid
    assert result.best.predicted == 3
    assert result.queries <= 150
    assert math.log(result.best.probabilities[3] / np.delete(result.best.probabilities, 3).max()) >= math.log(49)
    assert result.best.l1 == pytest.approx(np.abs(result.difference()).mean(), rel=1e-5)
    # The whole way is at least (0.8 - 0.2 + log(49) / 12) / 4 when it is made by two quarters alone.
    assert result.best.l1 < 2 * (0.6 + math.log(49) / 12) / 4
    assert len(result.path.queries) == len(result.path.distance)
    assert result.frames(5).shape == (5, 1, SIZE, SIZE)


def test_the_same_seed_gives_the_same_result() -> None:
    first, second = found(budget=100), found(budget=100)
    assert torch.equal(first.best.input, second.best.input)  # type: ignore[arg-type]
    np.testing.assert_array_equal(first.path.probability, second.path.probability)


def test_outside_the_mask_nothing_changes() -> None:
    mask = torch.ones(SIZE, SIZE, dtype=torch.bool)
    mask[:4, :4] = False
    result = found(mask=mask)
    assert result.best.is_valid
    assert torch.equal(result.best.input[..., ~mask], picture()[None][..., ~mask])  # type: ignore[index, call-overload]


@pytest.mark.slow
def test_several_are_different() -> None:
    result = lt.FreeMCG(Squares(), confidence=0.9).counterfactual(box(), picture(), None, n=2, budget=300)
    assert len(result.edits) == 2
    assert all(edit.predicted != 0 for edit in result.edits)
    assert result.target_name == "anything but a"
    gap = float((result.edits[0].input - result.edits[1].input).abs().mean())  # type: ignore[operator]
    assert gap > 0.3 * result.edits[0].l1


def test_the_budget_is_spent_before_more_is_asked_for() -> None:
    def quarters(latents: torch.Tensor) -> torch.Tensor:
        cells = torch.sigmoid(latents).reshape(-1, 1, 2, 2)
        return cells.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)

    def brightness_of_one(images: torch.Tensor) -> torch.Tensor:  # other quarters may change or not
        over = 12 * (images[:, 0, 0, 0] - 0.8)
        return torch.stack([-over, over], dim=1)

    method = lt.FreeMCG(lt.load_generator(quarters, latent_dim=4), seed=5)
    source = quarters(torch.tensor([[-1.0, 0, 0, 0]]))[0]
    result = method.counterfactual(lt.BlackBox(brightness_of_one), source, 1, n=3, budget=150)
    assert len(result.edits) >= 2
    assert len(result.edits) == 3 or result.queries >= 0.95 * 150


@pytest.mark.parametrize("algorithm", ["paper", "release"])
def test_the_published_rules_ask_particles_times_steps(algorithm: Any) -> None:
    method = papers.FreeMCG(Squares(), algorithm=algorithm, n_particles=6, n_steps=8)
    result = method.counterfactual(box(check_determinism=False), picture(), 1, budget=60)
    assert result.queries == 1 + 6 * 8 + 1  # the source, the particles, their mean
    assert result.mean is not None


@pytest.mark.slow
def test_a_table_changes_few_columns_and_the_rest_is_the_source_bit_for_bit() -> None:
    result = good()
    assert result.status, result.status
    changed = {change.name for change in result.best.changes}
    assert "sex" not in changed
    assert len(changed) <= 2
    assert isinstance(result.best.input, pd.DataFrame)
    for name in set(person().columns) - changed:
        assert result.best.input[name].iloc[0] == person()[name].iloc[0]
    assert list(result.best.input.dtypes) == list(person().dtypes)
    assert any(str(change).startswith("income rises from 27.5 to") for change in result.best.changes)


@pytest.mark.slow
def test_limits_hold_in_every_counterfactual() -> None:
    result = good(immutable=["age"], ranges={"income": (20, 36.5)}, directions={"debt": "down"}, budget=250)
    row = result.best.input
    assert result.best.is_valid, result.status
    assert row["age"].iloc[0] == 41  # type: ignore[call-overload]
    assert row["income"].iloc[0] <= 36.5  # type: ignore[call-overload]
    assert row["debt"].iloc[0] < 6.25  # type: ignore[call-overload]


def test_texts_too() -> None:
    class Sentences:
        kind = "text"
        differentiable = False
        prior = Normal(2)

        def __call__(self, latents: Tensor) -> list[str]:
            nouns, words = ("soup", "film", "room"), ("awful", "fair", "great")
            places = (latents * 1.2 + 1.5).clamp(0, 2.99).long().tolist()
            return [f"the {nouns[first]} was {words[second]}" for first, second in places]

    def mood(texts: list[str]) -> np.ndarray:
        p = np.array([{"awful": 0.02, "fair": 0.4, "great": 0.99}[text.split()[-1]] for text in texts])
        return np.stack([1 - p, p], axis=1)

    result = lt.FreeMCG(Sentences()).counterfactual(lt.BlackBox(mood), "the film was awful", 1, budget=80)
    assert result.best.input == ["the film was great"]
    assert result.best.l1 == pytest.approx(0.25)  # one word of four


def shown(**options: Any) -> Attribution:
    return lt.FreeMCG(**options.pop("method", {})).attribute(box(), picture(), **options)


@pytest.mark.parametrize("generator", [None, Squares()])
def test_the_heat_map_finds_what_speaks_for_the_class(generator: Any) -> None:
    result = shown(method={"generator": generator}, budget=100)
    assert result.target_name == "a"
    assert result.queries <= 100
    quarters = result.heat_map.reshape(2, 4, 2, 4).sum((1, 3))
    assert quarters[0, 0] == quarters.max() > 0
    assert (result.error >= 0).all()
    assert bool(result.status)


def test_more_queries_make_the_error_smaller() -> None:
    assert shown(budget=240).error.mean() < shown(budget=60).error.mean()


def test_any_model_of_the_library_is_asked_in_the_same_way() -> None:
    network = torch.nn.Sequential(torch.nn.AvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(4, 2))
    for model in (network, lt.BlackBox(network)):
        assert lt.FreeMCG().attribute(model, picture(), 1, budget=40).heat_map.shape == (SIZE, SIZE)


def test_constant_answers_are_said_to_be() -> None:
    flat = lt.BlackBox(lambda x: torch.tensor([[0.7, 0.3]]).repeat(len(x), 1))
    result = lt.FreeMCG(Squares()).counterfactual(flat, picture(), 1)
    assert not result.status
    assert result.status.reason == "collapsed"
    assert result.queries < 60
    assert "same answer" in lt.FreeMCG().attribute(flat, picture(), 1).status.advice


def test_hard_labels_are_searched_as_far_as_they_go() -> None:
    def label(x: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(brightest(x).argmax(1), 4).float()

    result = lt.FreeMCG(Squares()).counterfactual(lt.BlackBox(label), picture(), 1)
    assert result.best.is_valid
    out_of_reach = lt.FreeMCG(Squares()).counterfactual(
        lt.BlackBox(lambda x: torch.tensor([[1.0, 0.0]]).repeat(len(x), 1)), picture(), 1
    )
    assert out_of_reach.status.reason in {"hard labels", "collapsed"}


def test_an_unreachable_target_keeps_the_best_so_far() -> None:
    result = lt.FreeMCG(Squares()).counterfactual(
        lt.BlackBox(lambda x: torch.cat([x.flatten(1)[:, :1] * 0 + 5, x.mean((1, 2, 3))[:, None]], 1)), picture(), 1,
        budget=60,
    )  # fmt: skip
    assert not result.status
    assert result.edits == ()
    assert "more budget" in result.status.advice
    assert result.queries <= 60


def test_a_denoiser_that_breaks_half_way_loses_nothing() -> None:
    class Breaks(Squares):
        calls = 0

        def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
            self.calls += 1
            return super().denoise(x, sigma) * (torch.nan if self.calls > 2 else 1)

    result = lt.FreeMCG(Breaks()).counterfactual(box(), picture(), 3)
    assert result.status or (result.status.reason == "failed" and "must return finite" in result.status.advice)
    assert len(result.path.queries) > 10

    class Never(Squares):
        def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
            return x * torch.nan

    with pytest.raises(NonFiniteError, match="the denoiser must return finite images"):
        lt.FreeMCG(Never()).counterfactual(box(), picture(), 3)


def test_bad_calls_are_one_sentence() -> None:
    method = lt.FreeMCG(Squares())
    with pytest.raises(TargetError, match="another class than the source's"):
        method.counterfactual(box(), picture(), "a")
    with pytest.raises(TargetError, match="must be a class of the model"):
        method.counterfactual(box(), picture(), "e")
    with pytest.raises(InputError, match=r"Resize the image first"):
        method.counterfactual(box(), torch.rand(1, 4, 4), 1)
    with pytest.raises(InputError, match="`source` must be one input, got 2"):
        method.counterfactual(box(), torch.rand(2, 1, SIZE, SIZE), 1)
    with pytest.raises(InputError, match="`budget` must be at least 12"):
        method.counterfactual(box(), picture(), 1, budget=5)
    with pytest.raises(InputError, match=r"`mask` must be \(height, width\) = \(8, 8\)"):
        method.counterfactual(box(), picture(), 1, mask=np.ones((2, 2)))
    with pytest.raises(InputError, match="false everywhere"):
        method.counterfactual(box(), picture(), 1, mask=np.zeros((8, 8)))
    with pytest.raises(InputError, match="are for tables"):
        method.counterfactual(box(), picture(), 1, immutable=["sex"])
    with pytest.raises(InputError, match="`algorithm` must be one of"):
        papers.FreeMCG(Squares(), algorithm="best")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="must be a denoiser for algorithm='release'"):
        papers.FreeMCG(People(), algorithm="release")
    with pytest.raises(TargetError, match="must be a class for algorithm='paper', got None"):
        papers.FreeMCG(Squares()).counterfactual(box(), picture())
    with pytest.raises(ArgumentError, match=r"`rule` is no argument of FreeMCG\. .* likethat\.papers\.FreeMCG"):
        lt.FreeMCG(Squares(), rule="paper")  # type: ignore[call-arg]
    with pytest.raises(ArgumentError, match=r"`method` is no argument of FreeMCG\.attribute\. It is `algorithm` now"):
        lt.FreeMCG().attribute(box(), picture(), method="patches")  # type: ignore[call-arg]
    with pytest.raises(InputError, match=r"`confidence` must be a number of at least 0\.5 and below 1"):
        lt.FreeMCG(Squares(), confidence=1.0)
    with pytest.raises(InputError, match="algorithm='patches'"):
        lt.FreeMCG().counterfactual(box(), picture(), 1)
    with pytest.raises(InputError, match="algorithm='patches'"):
        lt.FreeMCG().attribute(box(), picture(), algorithm="freemcg")
    with pytest.raises(InputError, match="`image` must be an image or one text"):
        lt.FreeMCG().attribute(box(), pd.DataFrame({"age": [1.0]}))


def test_bad_limits_are_one_sentence() -> None:
    for options, words in (
        ({"immutable": ["height"]}, "`immutable` must name columns of the source, got 'height'"),
        ({"ranges": {"age": (50, 60)}}, "must hold the source's own value"),
        ({"ranges": {"sex": (0, 1)}}, "must be of columns with an order"),
        ({"directions": {"age": "left"}}, "must be one of 'up', 'down'"),
        ({"mask": np.ones((2, 2))}, "must be left out for tables"),
    ):
        with pytest.raises(InputError, match=words):
            good(**options)
