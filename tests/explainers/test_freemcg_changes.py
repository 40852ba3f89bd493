"""Changes of pixels: of a model that is linear the map is known, and so is how far off it is."""

from typing import Any

import pytest
import torch
from torch import Tensor

import likethat as lt
from likethat._queries import QueryLog
from likethat.explainers.freemcg.attribution import HeatMap, heat_map
from likethat.explainers.freemcg.changes import Changes, hiding_masks, particles
from likethat.explainers.freemcg.inputs import explained_by
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
    mean = picture().mean(dim=(1, 2), keepdim=True)
    return heat_map(
        picture(),
        log,
        explained_by(target, None),
        Changes(picture(), lambda n: mean.expand(n, *picture().shape), rng=rng(seed)),
    )


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
