"""What an asker remembers."""

from typing import Any

import pytest
import torch
from lines import NAMES, Line
from torch import Tensor

from likethat.errors import NonFiniteError
from likethat.explainers.exemplars.asking import Asker, make_inputs
from likethat.models.black_box import BlackBox


class Words(Line):
    kind = "text"

    def __call__(self, latents: Tensor) -> Any:
        return [f"word {round(float(row[0]), 1)}" for row in latents]


def test_an_asker_remembers_rows_and_inputs() -> None:
    told: list[int] = []
    asker = Asker(Words(), BlackBox(lambda texts: [[0.5, 0.5]] * len(texts), class_names=NAMES[:2], budget=5))
    asker.tell_how = lambda: told.append(len(asker.known))
    assert asker.ask(torch.tensor([[0.11], [0.12], [0.5]])).shape == (3, 2)
    assert asker.ask(torch.tensor([[0.9], [0.5], [0.7], [0.8]])).shape[0] == 3  # .5 is known and costs nothing
    assert asker.ask(torch.tensor([[4.0]])).shape[0] == 0
    assert told == [3, 6]
    assert len(asker.known) == len(asker.digests) == 6
    assert asker.different == set(asker.digests)
    assert len(asker.different) == 4  # .11 and .12 make one text
    assert asker.digests[2] == asker.digests[4]


def test_pictures_a_hair_outside_the_range_are_brought_into_it() -> None:
    class Over(Line):
        def __call__(self, latents: Tensor) -> Tensor:
            return torch.tensor([1 + 1e-6, -1e-6]).reshape(-1, 1, 1, 1)

    assert make_inputs(Over(), torch.zeros(2, 1)).flatten().tolist() == [1.0, 0.0]  # type: ignore[union-attr]


def test_rows_of_numbers_must_be_finite_and_may_be_of_any_size() -> None:
    class Flat(Line):
        def __call__(self, latents: Tensor) -> Tensor:
            return latents * 1e3

    assert make_inputs(Flat(), torch.tensor([[-2.0]])).tolist() == [[-2000.0]]  # type: ignore[union-attr]
    with pytest.raises(NonFiniteError, match=r"generator\(latents\)"):
        make_inputs(Flat(), torch.tensor([[float("nan")]]))
