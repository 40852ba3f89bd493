"""Ascent is Adam in whitened latents, from the best that is known."""

import pytest
import torch
from torch import Tensor

from likethat.generators.priors import StandardNormal
from likethat.search import GradientAscent, HighResponse, Known, Problem
from likethat.search.whitening import Whitening

PEAK = torch.tensor([1.0, -0.5], dtype=torch.float64)


def uphill(latents: Tensor, goal: object) -> Tensor:
    """Return the gradient of -3 |latents - PEAK|²."""
    return -6 * (latents - PEAK)


def problem(known: Tensor | None = None, **options: object) -> Problem:
    responses = None if known is None else -(known - PEAK).square().sum(1, keepdim=True)
    return Problem(
        prior=StandardNormal(2),
        goal=HighResponse(response=lambda responses: responses[:, 0]),
        rng=torch.Generator().manual_seed(0),
        known=Known.nothing(2) if known is None else Known(latents=known, responses=responses),
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("options", [{}, {"step": 0.4, "prior_weight": 2.0}], ids=str)
def test_steps_are_those_of_torchs_adam_on_fitness_and_density(options: dict[str, float]) -> None:
    start = torch.tensor([[2.0, 2.0]], dtype=torch.float64)
    search = GradientAscent(fitness_gradient=uphill, **options).begin(problem(start))  # type: ignore[arg-type]
    whitening = Whitening.of(StandardNormal(2), torch.Generator().manual_seed(0))
    white = whitening.to(start).requires_grad_(True)
    adam = torch.optim.Adam([white], lr=options.get("step", 0.15), betas=(0.9, 0.99), eps=1e-8)
    for _ in range(6):
        latents = search.ask()
        torch.testing.assert_close(latents, whitening.back(white.detach()))
        search.tell(torch.zeros(1))
        adam.zero_grad()
        at = whitening.back(white)
        density = -0.5 * at.square().sum()
        (3 * (at - PEAK).square().sum() - options.get("prior_weight", 0.05) * density).backward()
        adam.step()


def test_a_gradient_that_is_no_number_moves_nothing() -> None:
    start = torch.tensor([[2.0, 2.0]], dtype=torch.float64)
    still = GradientAscent(fitness_gradient=lambda latents, _: torch.full_like(latents, torch.nan))
    search = still.begin(problem(start))
    search.ask()
    search.tell(torch.zeros(1))
    assert torch.equal(search.ask(), start)


def test_climbs_from_the_best_that_are_no_finds_and_from_samples_where_these_are_too_few() -> None:
    known = torch.tensor([[3.0, 3.0], [1.0, -0.4], [0.0, 0.0], [1.1, -0.5]], dtype=torch.float64)
    two, one = GradientAscent(fitness_gradient=uphill, starts=2), GradientAscent(fitness_gradient=uphill)
    # squared distances from the peak: 16.25, .01, 1.25, .01 (the first of equals in float: rows 1 and 3)
    assert {tuple(row) for row in two.begin(problem(known)).ask().tolist()} == {(1.0, -0.4), (1.1, -0.5)}
    assert len(one.begin(problem(known)).ask()) == 1
    away = {"avoid": PEAK[None], "radius": 0.5}
    assert two.begin(problem(known, **away)).ask().tolist() == [[0.0, 0.0], [3.0, 3.0]]
    three = GradientAscent(fitness_gradient=uphill, starts=3).begin(problem(known, **away)).ask()
    assert three[:2].tolist() == [[0.0, 0.0], [3.0, 3.0]]
    rng = torch.Generator().manual_seed(0)
    StandardNormal(2).sample(2000, rng=rng)  # what the prior was measured on
    assert torch.equal(three[2:], StandardNormal(2).sample(1, rng=rng).double())
    assert one.n_screen == 4


def test_the_function_is_left_out_of_the_name() -> None:
    assert "function" not in repr(GradientAscent(fitness_gradient=uphill))
