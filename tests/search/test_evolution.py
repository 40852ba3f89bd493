"""Generations by their counts, their starts and their steps; the paper's twin is in test_search.py."""

import pytest
import torch
from torch import Tensor

from likethat.errors import InputError
from likethat.generators.priors import StandardNormal
from likethat.search import Evolution, HighResponse, Known, Problem


def problem(known: Tensor | None = None) -> Problem:
    return Problem(
        prior=StandardNormal(2),
        goal=HighResponse(response=lambda responses: responses[:, 0]),
        rng=torch.Generator().manual_seed(0),
        known=Known.nothing(2) if known is None else Known(latents=known, responses=known[:, :1]),
    )


def test_the_papers_settings() -> None:
    image = Evolution()
    assert (image.population, image.elites, image.momentum, image.sigma, image.loss) == (50, 10, 0.3, 0.5, "squared")
    assert image.n_screen == 0


def test_the_first_generation() -> None:
    uniform = Evolution(population=2000).begin(problem()).ask()
    assert float(uniform.min()) == pytest.approx(-5, abs=0.02)
    assert float(uniform.max()) == pytest.approx(5, abs=0.02)
    prior = Evolution(population=30, start="prior").begin(problem()).ask()
    samples = StandardNormal(2).sample(30, rng=torch.Generator().manual_seed(0)).double()
    assert torch.equal(prior, samples)
    assert torch.equal(Evolution(population=30, start="known").begin(problem()).ask(), samples)  # nothing is known


def test_goes_on_from_what_is_known() -> None:
    known = torch.tensor([[0.0, 0.0], [5.0, 1.0], [3.0, 2.0]], dtype=torch.float64)
    search = Evolution(elites=2, sigma=1e-6, start="known").begin(problem(known))
    torch.testing.assert_close(search.ask(), known[[1, 1, 2, 2]], atol=1e-4, rtol=0)
    assert len(Evolution(start="prior").begin(problem(known)).ask()) == 50  # as if nothing were


def test_two_children_an_elite_each_with_a_share_of_its_parents_step() -> None:
    """Of 4,000 elites at one place the noise is N(0, sigma²), and the next step .4 of the last with .6 of new noise."""
    known = torch.zeros(4000, 2, dtype=torch.float64)
    search = Evolution(elites=4000, population=4000, momentum=0.4, sigma=2.0, start="known").begin(problem(known))
    first = search.ask()
    assert first.shape == (8000, 2)
    assert first.std(0).tolist() == pytest.approx([2.0, 2.0], rel=0.05)  # what has not moved yet has noise alone
    fitness = torch.arange(8000, dtype=torch.float64)
    search.tell(fitness + 1)
    second = search.ask()
    parents = first[fitness.argsort(descending=True)[:4000]].repeat_interleave(2, 0)
    noise = (second - parents - 0.4 * parents) / 0.6  # each came from 0: its place is its last step
    assert noise.mean(0).tolist() == pytest.approx([0.0, 0.0], abs=0.1)
    assert noise.std(0).tolist() == pytest.approx([2.0, 2.0], rel=0.05)
    assert abs(float(torch.corrcoef(torch.stack([noise[:, 0], parents[:, 0]]))[0, 1])) < 0.05


def test_elites_stay_with_their_fitness_among_their_children() -> None:
    search = Evolution(population=6, elites=2).begin(problem())
    first = search.ask()
    search.tell(torch.tensor([0.0, 4.0, 1.0, 9.0, 2.0, 3.0]))
    second = search.ask()
    assert len(second) == 4
    search.tell(torch.tensor([5.0, 1.0, 1.0, 1.0]))
    assert search.fitness.tolist() == [9.0, 4.0, 5.0, 1.0, 1.0, 1.0]
    assert torch.equal(search.latents, torch.cat([first[[3, 1]], second]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"elites": 0}, "`elites` must be"),
        ({"population": 9}, "`population` must be"),
        ({"momentum": -0.1}, "`momentum` must be from 0"),
        ({"momentum": 1.0}, "`momentum` must be from 0"),
    ],
    ids=str,
)
def test_options_out_of_range(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Evolution(**options)  # type: ignore[arg-type]
    assert Evolution(population=10, elites=10, momentum=0.0).momentum == 0.0
