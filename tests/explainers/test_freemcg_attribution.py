"""FreeMCG's heat maps: of a model that is linear they are known, and so is how far off they are."""

from typing import Any

import pytest
import torch
from torch import Tensor

import likethat as lt
from likethat._queries import QueryLog
from likethat.explainers.freemcg import attribution
from likethat.explainers.freemcg.attribution import HeatMap, heat_map, hiding_masks, mean_colour, particles
from likethat.explainers.freemcg.inputs import explained_by
from likethat.explanations.status import Reason
from likethat.functional.blur import gaussian_blur

SIZE = 16


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture() -> Tensor:
    return torch.rand(2, SIZE, SIZE, generator=rng(1))


def weights() -> Tensor:
    """What a pixel adds to the log-odds: something in one corner, the opposite in another."""
    weight = torch.zeros(2, SIZE, SIZE)
    weight[0, 2:7, 2:7], weight[1, 9:14, 9:14] = 0.2, -0.2
    return weight


class Linear:
    """Two classes; log-odds are a weighed sum of pixels, and a little that is not linear."""

    def __init__(self, *, scale: float = 1.0, noise: float = 0.0, budget: int | None = None) -> None:
        self.scale, self.noise, self.sizes = scale, noise, []  # type: ignore[var-annotated]
        self.box = lt.BlackBox(self, class_names=["a", "b"], check_determinism=False, budget=budget)

    def __call__(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        off = self.noise * torch.sin(1e4 * images.flatten(1).sum(1))
        odds = self.scale * (images * weights()).flatten(1).sum(1) + off
        return torch.stack([torch.sigmoid(-odds), torch.sigmoid(odds)], 1)


def found(model: Linear, target: int = 1, *, budget: int = 400, seed: int = 0, watch: Any = None) -> HeatMap:
    log = QueryLog(box=model.box.limited(budget), watch=watch)
    return heat_map(picture(), log, explained_by(target, None), mean_colour(picture()), rng=rng(seed))


def truth(scale: float = 1.0) -> Tensor:
    """What each pixel adds beyond the mean colour, as smooth as maps are."""
    image = picture()
    beyond = (scale * weights() * (image - image.mean(dim=(1, 2), keepdim=True))).sum(0)
    return gaussian_blur(beyond[None, None], SIZE / 16)[0, 0]


@pytest.mark.slow
def test_the_map_of_a_linear_model_is_its_own() -> None:
    made = found(Linear(), budget=600)
    assert float(torch.corrcoef(torch.stack([made.values.flatten(), truth().flatten()]))[0, 1]) > 0.9
    slope = float((made.values * truth()).sum() / truth().square().sum())
    assert slope == pytest.approx(1, abs=0.2)
    assert torch.allclose(found(Linear(), 0, budget=48).values, -found(Linear(), 1, budget=48).values, atol=1e-3)


@pytest.mark.slow
def test_errors_are_of_the_size_of_what_is_off() -> None:
    for noise in (0.02, 0.2):
        made = [found(Linear(noise=noise), budget=200, seed=seed) for seed in (1, 2)]
        off = [(one.values - truth()) / one.error for one in made]
        assert 0.3 < float(torch.stack(off).square().mean().sqrt()) < 2
    sure, unsure = (found(Linear(), budget=budget).error.mean() for budget in (400, 60))
    assert float(sure) < float(unsure)


def test_more_is_asked_each_time_as_estimates_get_better() -> None:
    model = Linear(budget=200)
    assert found(model, budget=200).n_answers == 200
    # 48 at first, then 16 at least or a third of what there is: 64 // 3, 85 // 3, 113 // 3, and what is left of 50.
    assert model.sizes == [48, 16, 21, 28, 37, 50]


def test_few_answers_say_nothing() -> None:
    for budget, reason in ((15, Reason.BUDGET), (16, Reason.REACHED)):
        made = found(Linear(budget=budget), budget=budget)
        assert made.status().reason == reason
        assert made.n_answers == budget
    few = found(Linear(budget=15), budget=15)
    assert bool((few.values == 0).all())
    assert bool(torch.isinf(few.error).all())
    assert few.values.shape == few.error.shape == (SIZE, SIZE)
    assert found(Linear(scale=0.0), budget=60).status().reason == Reason.CONSTANT
    assert found(Linear(scale=1e-6), budget=60).status().reason == Reason.REACHED  # a little is not the same


def test_sure_answers_are_cut_where_logarithms_end() -> None:
    made = found(Linear(scale=1e6), budget=60)
    assert bool(torch.isfinite(made.values).all())
    top = torch.logit(torch.tensor(1 - 1e-4, dtype=torch.float64))
    assert made.spread_of_answers <= 2 * float(top)
    reading = attribution._Reading(picture())
    seen: list[Tensor] = []
    reading.add = lambda moves, answers: seen.append(answers)  # type: ignore[method-assign]
    model = Linear(scale=1e6)
    log = QueryLog(box=model.box.limited(48))
    with pytest.raises(Exception):  # noqa: B017, PT011 - nothing was read, so nothing can be fitted
        attribution._fill(reading, picture(), log, explained_by(1, None), mean_colour(picture()), rng())
    assert sorted({round(abs(float(value)), 4) for value in seen[0]}) == [round(float(top), 4)]


class _Stop:
    def __init__(self, at: int) -> None:
        self.at, self.calls = at, 0

    def __call__(self, _: Any) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt


def test_a_map_that_is_stopped_says_so() -> None:
    made = found(Linear(), watch=_Stop(2))
    assert (made.n_answers, made.is_stopped, made.status().reason) == (64, True, Reason.INTERRUPTED)
    assert float(made.values.abs().max()) > 0
    assert not found(Linear(), budget=60).is_stopped
    with pytest.raises(KeyboardInterrupt):
        found(Linear(budget=15), budget=15, watch=_Stop(1))


@pytest.mark.parametrize("size", [(32, 32), (16, 40), (33, 17), (6, 5)])
def test_masks_hide_three_cells_of_ten_softly(size: tuple[int, int]) -> None:
    masks = hiding_masks(600, torch.ones(size), rng=rng())
    assert masks.shape == (600, *size)
    assert 0 <= float(masks.min()) <= float(masks.max()) <= 1 + 1e-6
    assert float(masks.mean()) == pytest.approx(0.3, abs=0.03)
    share = masks.mean(0)
    assert float(share.min()) > 0.2  # everywhere, the borders too
    assert float(share.max()) < 0.4


def test_masks_are_coarse_and_shifted() -> None:
    masks = hiding_masks(2000, torch.ones(32, 32), rng=rng()) - 0.3
    for axis in (1, 2):
        near, cell, far = (
            float((masks * masks.roll(-by, axis)).narrow(axis, 0, 32 - by).mean() / masks.square().mean())
            for by in (1, 4, 9)
        )
        assert near > 0.85  # a cell is four pixels wide
        assert 0.1 < cell < 0.6
        assert abs(far) < 0.1
    # Were they not shifted, some pixels would lie in the middle of a cell in every mask.
    spread = (masks + 0.3).var(0)
    assert float(spread.max() / spread.min()) < 2


def test_more_is_hidden_where_more_is_unknown_but_something_everywhere() -> None:
    weight = torch.zeros(32, 32)
    weight[:, 16:] = 1.0
    share = hiding_masks(2000, weight, rng=rng()).mean(0)
    assert float(share[:, :8].mean()) == pytest.approx(0.15, abs=0.02)  # half of .3 at least
    assert float(share[:, 24:].mean()) == pytest.approx(0.6, abs=0.03)  # .6 at most: twice the mean weight
    weight[:, 16:], weight[:, :16] = 1.5, 0.75  # beside a mean of 1.125: .4 and .2
    share = hiding_masks(2000, weight, rng=rng()).mean(0)
    assert float(share[:, :8].mean()) == pytest.approx(0.2, abs=0.02)
    assert float(share[:, 24:].mean()) == pytest.approx(0.4, abs=0.03)


def test_patches_are_hidden_behind_the_mean_colour() -> None:
    image = picture()
    made = mean_colour(image)(3)
    assert made.shape == (3, 2, SIZE, SIZE)
    for channel in range(2):
        assert torch.allclose(made[:, channel], image[channel].mean())


class Levels:
    """A denoiser that answers with the level of noise, of 100."""

    def __init__(self, sigma_max: float) -> None:
        self.sigma_max = sigma_max

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return (sigma / 100)[:, None, None, None].expand_as(x)


@pytest.mark.parametrize(
    ("size", "sigma_max", "levels"),
    [
        ((32, 48), 80.0, [1.8, 3.6, 7.2]),
        ((96, 64), 80.0, [3.6, 7.2, 14.4]),
        ((32, 32), 3.6, [1.8, 3.6]),
        ((32, 32), 1.0, [1.0]),
    ],
)
def test_particles_take_the_levels_in_turn(size: tuple[int, int], sigma_max: float, levels: list[float]) -> None:
    made = particles(torch.rand(1, *size), Levels(sigma_max), rng=rng())(7)  # type: ignore[arg-type]
    assert made.shape == (7, 1, *size)
    assert (100 * made[:, 0, 0, 0]).tolist() == pytest.approx([levels[place % len(levels)] for place in range(7)])
    assert torch.equal(made, made[..., :1, :1].expand_as(made))


def test_a_map_of_an_image_says_how_it_was_made() -> None:
    model = Linear()
    made = lt.FreeMCG(seed=3).attribute(model.box, picture(), budget=40)
    assert made.options == {"budget": 40, "algorithm": "patches"}
    assert (made.method, made.generator, made.seed, made.queries) == ("patches", "none", 3, 40)
    assert made.target == int(model(picture()[None]).argmax())
    assert lt.FreeMCG().attribute(Linear().box, picture()).queries == 128
    assert lt.FreeMCG().attribute(Linear().box, picture(), "b", budget=32).target == 1
    with pytest.raises(lt.errors.InputError, match="`budget` must be a whole number of at least 32"):
        lt.FreeMCG().attribute(Linear().box, picture(), budget=31)
    with pytest.raises(lt.errors.InputError, match="`budget` must be a whole number of at least 32"):
        lt.FreeMCG().attribute(lambda texts: [[0.5, 0.5]] * len(texts), "a text", budget=31)
