"""A network where a split model is expected."""

import pytest
import torch
from torch import nn

import likethat as lt
from likethat.errors import InputError, ModelError
from likethat.models import as_model


def network(side: int | None = None) -> nn.Module:
    """Return a network for any size, or for one alone."""
    flat = nn.AdaptiveAvgPool2d(1) if side is None else nn.AvgPool2d(side)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), flat, nn.Flatten(), nn.Linear(4, 2)).eval()


def test_a_split_model_stays_itself() -> None:
    model = lt.split(network(), example=torch.rand(1, 3, 8, 8))
    asked: list[int] = []
    assert as_model(model, lambda: asked.append(1)) is model
    assert not asked  # no image is read or made for nothing


def test_a_network_is_split_at_the_size_of_the_images() -> None:
    assert as_model(network(), lambda: torch.rand(3, 12, 10)).grid == (12, 10)


def test_an_image_that_the_network_does_not_take_is_no_obstacle() -> None:
    assert as_model(network(32), lambda: torch.rand(3, 7, 7)).grid == (32, 32)


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        ("zoo:digits", r"Load it first: likethat\.load\('zoo:digits'\)"),
        (nn.ReLU, "Make an instance"),
        (torch.zeros(1), "The model comes first"),
        (None, r"Make one with likethat\.split\(network\)"),
    ],
)
def test_what_is_no_model(model: object, advice: str) -> None:
    with pytest.raises(InputError, match=advice):
        as_model(model)


def test_a_network_that_cannot_be_split_says_so() -> None:
    with pytest.raises(ModelError, match="begins with a one-dimensional convolution, for series"):
        as_model(nn.Sequential(nn.Conv1d(3, 4, 1)).eval(), lambda: torch.rand(3, 8, 8))
