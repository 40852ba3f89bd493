"""A network that has changed since it was split is noticed."""

from collections.abc import Callable

import pytest
import torch
import toys
from torch import nn

import likethat as lt
from likethat.errors import ModelError
from likethat.models._changes import Watch

Change = Callable[[nn.Sequential], None]


def scale_head(network: nn.Sequential) -> None:
    with torch.no_grad():
        network[-1].weight.mul_(2.0)


def write_data(network: nn.Sequential) -> None:
    network[3].weight.data.mul_(1.5)  # counted by nobody


def write_numpy(network: nn.Sequential) -> None:
    network[3].weight.detach().numpy()[:] = 0.5


def swap_data(network: nn.Sequential) -> None:
    network[0].weight.data = network[0].weight.data + 0.1


def new_parameter(network: nn.Sequential) -> None:
    network[0].bias = nn.Parameter(torch.ones(12))


def new_module(network: nn.Sequential) -> None:
    network[1] = nn.BatchNorm2d(12).eval()
    nn.init.constant_(network[1].weight, 0.5)


def statistics(network: nn.Sequential) -> None:
    network[1].running_mean.add_(1.0)


def trained(network: nn.Sequential) -> None:
    network.train()
    network(toys.pictures(8))
    network.eval()


def other_state(network: nn.Sequential) -> None:
    network.load_state_dict(toys.small_cnn(seed=1).state_dict())


CHANGES = [
    scale_head,
    write_data,
    write_numpy,
    swap_data,
    new_parameter,
    new_module,
    statistics,
    trained,
    other_state,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(change: Change) -> None:
    network = toys.small_cnn()
    model = lt.split(network, example=toys.pictures(2))
    model.check_unchanged()
    change(network)
    with pytest.raises(ModelError, match="have changed since"):
        model.check_unchanged()
    with pytest.raises(ModelError, match="have changed since"):
        model.check_unchanged(fully=True)


def test_the_same_numbers_again_are_no_change() -> None:
    network = toys.small_cnn()
    model = lt.split(network, example=toys.pictures(2))
    network.load_state_dict({name: value.clone() for name, value in network.state_dict().items()})
    assert not model._watch.is_same()
    model.check_unchanged()
    assert model._watch.is_same()


def test_what_is_put_back_is_no_change() -> None:
    network = toys.small_cnn()
    model = lt.split(network, example=toys.pictures(2))
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    scale_head(network)
    network.load_state_dict(kept)
    model.check_unchanged(fully=True)


def test_a_buffer_that_every_pass_changes_is_left_out() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = toys.small_cnn()
            self.register_buffer("passes", torch.zeros(3))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.passes += 1  # type: ignore[operator]
            logits: torch.Tensor = self.inner(images)
            return logits

    network = Counting().eval()
    model = lt.split(network, example=toys.pictures(2))
    model.logits(toys.pictures(2))
    model.check_unchanged()
    scale_head(network.inner)
    with pytest.raises(ModelError, match="have changed since"):
        model.check_unchanged()


def test_a_network_without_tensors() -> None:
    assert Watch(nn.ReLU()).is_same()
