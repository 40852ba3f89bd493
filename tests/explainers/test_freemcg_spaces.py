"""Where a counterfactual is sought: levels of noise, distances, what could be real."""

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from spread import Echo, Sums
from torch import Tensor

from likethat.explainers.freemcg import spaces
from likethat.explainers.freemcg.spaces import ImageSpace, LatentSpace
from likethat.generators.priors import StandardNormal


@pytest.mark.parametrize(
    ("size", "sigma_max", "noise", "top", "wide"),
    [
        ((32, 32), 80.0, None, 8.0, 8.0),
        ((64, 96), 80.0, None, 4.0, 8.0),
        ((16, 16), 80.0, None, 8.0, 8.0),
        ((32, 32), 2.0, None, 2.0, 2.0),
        ((64, 64), 80.0, 3.0, 3.0, 3.0),
        ((64, 64), 80.0, 12.0, 12.0, 12.0),
        ((32, 32), 0.25, None, 0.25, 0.25),
    ],
)
def test_levels_of_noise(size: tuple[int, int], sigma_max: float, noise: float | None, top: float, wide: float) -> None:
    space = ImageSpace(Echo(size, sigma_max), torch.zeros(1, *size), noise=noise)
    for levels, first in ((space.levels, top), (space.wider, wide)):
        assert len(levels) == 6
        assert levels[0] == pytest.approx(first)
        assert levels[-1] == pytest.approx(min(0.5, first))
        ratios = [after / before for before, after in pairwise(levels)]
        assert max(ratios) == pytest.approx(min(ratios))  # geometric
    assert space.near == pytest.approx(min(0.6, top))
    assert (space.exact, space.is_table) == (True, False)
    assert space.anywhere(5, rng=torch.Generator()) is None


def test_particles_of_images_are_noised_and_denoised_once() -> None:
    denoiser, source = Echo(), torch.full((1, 8, 8), 0.5)
    space = ImageSpace(denoiser, source, mask=torch.arange(64).reshape(8, 8) < 32)
    points = torch.zeros(200, 1, 8, 8)
    moved = space.perturb(points, 2.0, rng=torch.Generator().manual_seed(0))
    ((level, noisy),) = denoiser.levels
    assert level == 2.0
    assert float(noisy.std()) == pytest.approx(2.0, rel=0.05)
    assert torch.allclose(moved, torch.tensor(0.5))
    white = space.decode(torch.full((1, 1, 8, 8), 9.0))
    assert torch.equal(white[0, 0, 4:], source[0, 4:])  # outside the mask
    assert torch.allclose(white[0, 0, :4], torch.tensor(1.0))
    again = space.reproject(torch.zeros(1, 1, 8, 8), 3, rng=torch.Generator())
    assert again.shape == (3, 1, 8, 8)
    assert denoiser.levels[-1][0] == pytest.approx(0.5)
    published = ImageSpace(denoiser, source, as_published=True)
    near = torch.full((1, 1, 8, 8), 0.51)
    assert torch.equal(published.decode(near), near)
    assert float((space.decode(near) - 0.5).abs().max()) < 0.005  # a hair off is no change


def test_distances_of_images() -> None:
    space = ImageSpace(Echo((2, 2)), torch.zeros(1, 2, 2))
    some = torch.tensor([[[[0.0, 0.4], [0.0, 0.0]]], [[[0.4, 0.0], [0.0, 0.0]]], [[[0.0, 0.2], [0.0, 0.0]]]])
    assert space.distance(some).tolist() == pytest.approx([0.1, 0.1, 0.05])
    assert torch.equal(space.cost(some), space.distance(some))
    assert space.dissimilarity(some, some[:1]).tolist() == pytest.approx([0, 1, 0.2 / 0.6])
    assert space.dissimilarity(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)).tolist() == [0.0]
    cut = [space.components(some[:1], number) for number in range(4)]
    assert [None if one is None else len(one.sizes) for one in cut] == [16, 36, 64, None]


def test_the_latent_of_a_source_is_sought_where_nothing_encodes() -> None:
    wanted = torch.tensor([0.8, -1.2, 0.1, 1.5])
    image = Sums("image")(wanted[None])
    space = LatentSpace(Sums("image"), image, rng=torch.Generator().manual_seed(0))
    assert float((space.origin - wanted).abs().max()) < 0.2
    assert torch.allclose(space.decode(space.origin[None]), image, atol=1e-6)  # the rest is put back as details
    assert (space.exact, space.is_table, space.near) == (True, False, 0.3)
    assert space.levels == space.wider
    assert (len(space.levels), space.levels[0]) == (6, pytest.approx(1.0))
    assert space.levels[-1] == pytest.approx(0.3)
    assert space.anywhere(3, rng=torch.Generator()) is None
    assert space.reproject(image, 3, rng=torch.Generator()) is None
    moved = space.perturb(torch.zeros(4000, 4), 0.5, rng=torch.Generator().manual_seed(1))
    assert moved.std(0).tolist() == pytest.approx([0.5] * 4, rel=0.15)  # of a prior of spread 1
    masked = LatentSpace(
        Sums("image"), image, mask=torch.tensor([[True, False], [False, False]]), rng=torch.Generator()
    )
    changed = masked.decode(torch.full((1, 4), 5.0))
    assert torch.equal(changed[0, 0].flatten()[1:], image[0, 0].flatten()[1:])  # type: ignore[index]
    assert float(changed[0, 0, 0, 0]) > 0.9  # type: ignore[index]
    assert masked.revert_least_changed(changed, 0.5) is not None


def test_texts_are_as_far_as_their_words() -> None:
    space = LatentSpace(Sums("text"), ["1 0 -1 2"], rng=torch.Generator().manual_seed(0))
    assert (space.exact, space.is_table) == (False, False)
    assert space.decode(space.origin[None]) == ["1 0 -1 2"]
    assert space.distance(["1 0 -1 2", "1 0 -1 3", "5 5 5 5"]).tolist() == pytest.approx([0, 0.25, 1])
    assert space.dissimilarity(["1 0", "0 1"], ["1 0"]).tolist() == pytest.approx([0, 0.5])
    assert space.components(["1 0 -1 3"], 0) is None
    assert space.revert_least_changed(["1"], 0.5) is None
    assert space.share_as_odd(["1"]) is None
    assert space.notes() == ()
    assert space.n_dependences == 0


def rows(*values: tuple[float, float, str]) -> pd.DataFrame:
    return pd.DataFrame(values, columns=["age", "pay", "sex"])


class People:
    """Rows of two numbers and a word, with what is usual of them."""

    kind, differentiable, prior = "table", False, StandardNormal(3)
    usual = tuple(float(value) for value in range(101))

    def __call__(self, latents: Tensor) -> pd.DataFrame:
        z = latents.double().numpy()
        return pd.DataFrame({"age": 40 + 10 * z[:, 0], "pay": 30 + 5 * z[:, 1], "sex": np.where(z[:, 2] > 0, "f", "m")})

    def surprise(self, frame: pd.DataFrame) -> Tensor:
        return torch.tensor(frame["age"].to_numpy(dtype=float))


def people(**options: Any) -> LatentSpace:
    source = pd.DataFrame({"age": [50.0], "pay": [30.0], "sex": ["f"]})
    return LatentSpace(People(), source, rng=torch.Generator().manual_seed(0), **options)  # type: ignore[arg-type]


def test_rows_cost_their_columns_and_then_their_distance() -> None:
    space = people()
    some = rows((50.0, 30.0, "f"), (60.0, 30.0, "f"), (60.0, 30.0, "m"))
    far = space.by_column(some)
    age = float(far[1, 0])
    assert age == pytest.approx(1.0, rel=0.15)  # ten years are a standard deviation
    assert far.tolist() == [[0, 0, 0], [age, 0, 0], [age, 0, 1]]
    assert space.by_column(some) is far
    mean = [0, age / 3, (age + 1) / 3]
    assert space.distance(some).tolist() == pytest.approx(mean)
    steps = [0, max(age, 1), max(age, 1) + 1]
    expected = [n + one / (1 + one) for n, one in zip(steps, mean, strict=True)]
    assert space.cost(some).tolist() == pytest.approx(expected)
    leap, three = space.cost(rows((90.0, 30.0, "f"), (55.0, 31.0, "m"))).tolist()
    assert 3 < three < leap  # four spreads in one column cost more than three columns a little
    assert space.dissimilarity(some, rows((70.0, 30.0, "f"))).tolist() == [1.0, 0.0, 0.5]
    assert (space.is_table, space.exact) == (True, False)
    drawn = space.anywhere(7, rng=torch.Generator().manual_seed(0))
    assert drawn is not None
    assert drawn.shape == (7, 3)


@pytest.mark.slow
def test_rows_are_as_odd_as_real_ones() -> None:
    space = people()
    assert space.plausible(rows((94.0, 1.0, "f"), (95.0, 1.0, "f"), (95.1, 1.0, "f"))).tolist() == [True, True, False]
    assert space.share_as_odd(rows((95.0, 1.0, "f"))) == pytest.approx(6 / 101)
    odd = LatentSpace(People(), rows((99.0, 30.0, "f")), rng=torch.Generator().manual_seed(0))
    assert odd.plausible(rows((99.0, 1.0, "f"), (99.5, 1.0, "f"))).tolist() == [True, False]  # as the source

    class Silent(People):
        usual = ()

    silent = LatentSpace(Silent(), rows((50.0, 30.0, "f")), rng=torch.Generator().manual_seed(0))
    assert silent.plausible(rows((999.0, 1.0, "f"))).tolist() == [True]
    assert silent.share_as_odd(rows((999.0, 1.0, "f"))) is None


@pytest.mark.parametrize(("first", "last"), [(8.0, 0.5), (0.5, 0.5)])
def test_a_geometric_series(first: float, last: float) -> None:
    found = spaces._geometric(first, last, 5)
    assert found == pytest.approx([first * (last / first) ** (step / 4) for step in range(5)])


def test_a_latent_is_sought_among_1024_draws_and_twelve_times_64_near_the_best() -> None:
    class Counting(Sums):
        sizes: list[int] = []  # noqa: RUF012
        widths: list[float] = []  # noqa: RUF012

        def __call__(self, latents: Tensor) -> Any:
            self.sizes.append(len(latents))
            if len(latents) == 65:  # the best, and draws round it
                self.widths.append(float((latents[1:] - latents[0]).std()))
            return super().__call__(latents)

    LatentSpace(Counting("image"), Sums("image")(torch.zeros(1, 4)), rng=torch.Generator().manual_seed(0))
    assert sum(size for size in Counting.sizes if size > 64) == 1024 + 12 * 65
    assert (Counting.widths[0], Counting.widths[-1]) == pytest.approx((0.7, 0.05), rel=0.2)  # of the prior's spread
