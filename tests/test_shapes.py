"""The shape annotations of likethat are executed in every test (`_shapes.py`): here, that they are."""

import jaxtyping
import pytest
import torch

from likethat.coordinates import Rotation
from likethat.errors import InputError
from likethat.functional.fitness import squared_loss
from likethat.functional.kalman import anomalies


def test_sizes_of_one_name_are_the_same_size() -> None:
    probabilities = torch.full((4, 2), 0.5, dtype=torch.float32)
    assert squared_loss(probabilities, probabilities[0]).shape == (4,)
    with pytest.raises(jaxtyping.TypeCheckError, match="cls"):
        squared_loss(probabilities, probabilities[0, :1])  # torch would spread it over both classes without a word


def test_types_are_the_annotated_ones() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="Float"):
        anomalies(torch.ones(4, 2, dtype=torch.complex64))


def test_what_likethat_refuses_itself_keeps_its_own_sentence() -> None:
    with pytest.raises(InputError, match="must be"):
        Rotation(torch.eye(2, dtype=torch.float32), torch.ones(4, 3, dtype=torch.float32))
