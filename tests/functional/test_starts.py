"""Where a factorisation starts: at cells, each in proportion to what the ones before it leave."""

import pytest
import torch

from likethat.functional.starts import start_parts


@pytest.mark.parametrize("draw", [0.0, 0.3, 0.999])
def test_what_is_explained_is_not_drawn_again(draw: float) -> None:
    # Two cells along one axis, one along another: once the first axis is taken only the other is left.
    cells = torch.tensor([[[3.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.5, 0.0]]])
    found = start_parts(cells, torch.tensor([[0.0, draw]]))
    assert found.tolist() == [[[3.0, 0.0, 0.0], [0.0, 0.5, 0.0]]]


@pytest.mark.parametrize(
    ("draw", "row"), [(0.0, 1), (0.19, 1), (0.21, 3), (0.999, 3)]  # squares 0, 1, 0, 4, 0: one fifth and four
)  # fmt: skip
def test_cells_are_drawn_by_their_square_and_those_of_zeros_never(draw: float, row: int) -> None:
    cells = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 2.0], [0.0, 0.0]])[None]
    assert torch.equal(start_parts(cells, torch.tensor([[draw]]))[0, 0], cells[0, row])


def test_what_is_left_is_measured_across_all_parts_before() -> None:
    # (1, 1, 0) and (0, 0, 1) leave of (1, 0, 0) half its square, of (1, 1, 1) nothing: the third draw has no choice.
    cells = torch.tensor([[[4.0, 4.0, 0.0], [0.0, 0.0, 3.0], [1.0, 1.0, 1.0], [0.1, 0.0, 0.0]]])
    found = start_parts(cells, torch.tensor([[0.0, 0.5, 0.5]]))
    torch.testing.assert_close(found[0], cells[0, [0, 1, 3]])


def test_each_class_draws_for_itself() -> None:
    cells = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 5.0]]])
    found = start_parts(cells, torch.tensor([[0.9, 0.1], [0.0, 0.0]]))
    assert found[0].tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert found[1, 0].tolist() == [0.0, 5.0]


def test_nothing_but_zeros_gives_zeros() -> None:
    assert start_parts(torch.zeros(1, 3, 2), torch.tensor([[0.0, 0.9]])).tolist() == [[[0.0, 0.0]] * 2]
