"""From what a user calls a target to an aim."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lines import NAMES
from torch import Tensor

from likethat import Above, Label
from likethat.errors import InputError
from likethat.explainers.exemplars.target import Aim, read_target


@pytest.mark.parametrize("values", [[0.3333, 0.3333, 0.3333], [0.334, 0.333, 0.3335]])
def test_rounded_shares_are_brought_to_a_sum_of_one(values: list[float]) -> None:
    aim = read_target(values, NAMES, tolerance=0.05, threshold=None)
    assert aim.wanted is not None
    assert float(aim.wanted.sum()) == pytest.approx(1, abs=1e-12)
    assert (aim.index, aim.slack) == (-1, 0.05)
    with pytest.raises(InputError, match="sum to 1"):
        read_target([value * 0.997 for value in values], NAMES, tolerance=0.05, threshold=None)


def test_a_target_is_described() -> None:
    def read(target: Any, threshold: float | None = None) -> Aim:
        return read_target(target, NAMES, tolerance=0.05, threshold=threshold)

    assert (read("bee").description, read("bee").index, read("bee").slack) == ("bee", 1, 0.05)
    assert (read([0.0, 0.0, 1.0]).description, read([0.0, 0.0, 1.0]).index) == ("cat", 2)
    assert read(torch.tensor([1.0, 0.0, 0.0])).index == 0
    assert read({"ant": 0.25, "cat": 0.5, 0: 0.25}).description == "50 % ant, 50 % cat"  # named twice: the sum
    response: Callable[[Tensor], Tensor] = lambda p: p[:, 0]  # noqa: E731
    assert read(response).description == "high response"
    assert read(response, 0.75).description == "response of at least 0.75"
    assert (read(response).index, read(response).wanted) == (-1, None)
    assert read(response, 0.75).errors(torch.tensor([[0.5, 0.5]])).tolist() == [0.25]
    assert read(response).errors(torch.tensor([[0.5, 0.5]])).tolist() == [-0.5]  # the higher, the less
    assert read("bee").errors(torch.tensor([[0.25, 0.75, 0.0]])).tolist() == pytest.approx([0.25])
    with pytest.raises(InputError, match="a number from 0 to 1"):
        read({"ant": 1.5})
    with pytest.raises(InputError, match="a number"):
        read(response, float("nan"))
    with pytest.raises(InputError, match="`target` must be"):
        read([-0.1, 0.6, 0.5])


def test_a_vector_may_be_off_by_what_rounding_takes_and_no_share_by_more() -> None:
    aim = read_target([0.0, 1.0005, 0.0], NAMES, tolerance=0.05, threshold=None)
    assert (aim.index, aim.wanted.tolist()) == (1, [0.0, 1.0, 0.0])  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"`target` must be a number from 0 to 1\.001, got 1\.5"):
        read_target([0.0, 1.5, 0.0], NAMES, tolerance=0.05, threshold=None)


def test_a_label_is_reached_where_it_is_as_sure_as_a_class_would_be() -> None:
    answers = torch.tensor([[0.97, 0.2, 0.9], [0.04, 0.2, 0.9]])
    on = read_target("ant", NAMES, tolerance=0.05, threshold=None, output="labels")
    assert (on.index, on.wanted, on.slack) == (-1, None, 0.05)
    assert (on.goal.shortfall(answers) <= 0).tolist() == [True, False]
    off = read_target(Label("ant", on=False), NAMES, tolerance=0.05, threshold=None, output="labels")
    assert (off.index, off.wanted) == (-1, None)
    assert (off.goal.shortfall(answers) <= 0).tolist() == [False, True]


def test_a_number_is_reached_beyond_its_line_and_without_one_never() -> None:
    answers = torch.tensor([[10.0, 0.0, 0.0], [30.0, 0.0, 0.0]])
    above = read_target(Above(20, of="ant"), NAMES, tolerance=0.05, threshold=None, output="numbers")
    assert (above.index, above.slack) == (-1, 0.0)
    assert (above.goal.shortfall(answers) <= 0).tolist() == [False, True]
    most = read_target("ant", NAMES, tolerance=0.05, threshold=None, output="numbers")
    assert most.description == "high ant"
    assert most.goal.shortfall(answers).argsort().tolist() == [1, 0]
