"""What is known, what is new, and the turns of ask and tell."""

import pytest
import torch
from torch import Tensor

from likethat.errors import InputError
from likethat.generators.priors import StandardNormal
from likethat.search import HighResponse, Known, Problem, Search


class Recorded(Search):
    """A search that proposes the same three latents and remembers what it is told."""

    def _propose(self) -> Tensor:
        return torch.tensor([[1.0], [2.0], [3.0]])

    def _learn(self, latents: Tensor, fitness: Tensor, responses: Tensor | None) -> None:
        self.told = latents, fitness, responses


def problem(**options: object) -> Problem:
    goal = HighResponse(response=lambda responses: responses[:, 0])
    rng = torch.Generator().manual_seed(0)
    return Problem(prior=StandardNormal(2), goal=goal, rng=rng, known=Known.nothing(2), **options)  # type: ignore[arg-type]


def test_row_i_belongs_to_row_i() -> None:
    search = Recorded(1)
    assert search.dim == 1
    for responses in (None, torch.tensor([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]])):
        assert search.ask().tolist() == [[1.0], [2.0], [3.0]]
        search.tell(torch.tensor([3.0, 1.0, 2.0]), responses)
        latents, fitness, told = search.told
        assert latents.tolist() == [[1.0], [2.0], [3.0]]
        assert (fitness.tolist(), fitness.dtype) == ([3.0, 1.0, 2.0], torch.float64)
        assert told is None if responses is None else told.tolist() == responses.tolist()
    assert told.dtype == torch.float64


@pytest.mark.parametrize(
    ("fitness", "responses", "message"),
    [
        (torch.zeros(3, 1), None, r"`fitness` must be \(n,\) with n = 3, as asked for, got shape \(3, 1\)"),
        (torch.zeros(2), None, r"`fitness` must be \(n,\) with n = 3"),
        (torch.tensor([0.0, 0.0, torch.inf]), None, "`fitness` must be finite"),
        (torch.zeros(3), torch.zeros(4, 2), r"`responses` must be \(n, class\) with n = 3, as asked for, got shape"),
        (torch.zeros(3), torch.full((3, 2), torch.nan), "`responses` must be finite"),
    ],
    ids=["two axes", "too few", "infinite", "too many responses", "NaN"],
)
def test_what_was_not_asked_for_is_refused_and_can_be_told_again(
    fitness: Tensor, responses: Tensor | None, message: str
) -> None:
    search = Recorded(1)
    search.ask()
    with pytest.raises(InputError, match=message):
        search.tell(fitness, responses)
    search.tell(torch.zeros(3))
    assert len(search.ask()) == 3


def test_known_rows_are_joined_in_order() -> None:
    nothing = Known.nothing(2)
    assert (len(nothing), nothing.latents.shape, nothing.responses.shape) == (0, (0, 2), (0, 0))
    once = nothing.joined(torch.ones(1, 2), torch.zeros(1, 3))
    twice = once.joined(torch.full((2, 2), 5.0), torch.ones(2, 3))
    assert (len(once), len(twice)) == (1, 3)
    assert twice.latents.tolist() == [[1.0, 1.0], [5.0, 5.0], [5.0, 5.0]]
    assert twice.responses.tolist() == [[0.0] * 3, [1.0] * 3, [1.0] * 3]
    assert {rows.dtype for known in (nothing, once, twice) for rows in (known.latents, known.responses)} == {
        torch.float64
    }


def test_new_is_what_lies_a_radius_from_every_find() -> None:
    latents = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 2.0], [9.0, 9.0]])
    assert problem().is_new(latents).tolist() == [True] * 4
    found = torch.tensor([[0.0, 0.0], [9.0, 8.0]], dtype=torch.float64)
    assert problem(avoid=found, radius=2.0).is_new(latents).tolist() == [False, True, True, False]
    assert problem(avoid=found).is_new(latents).tolist() == [True] * 4  # a radius of 0
