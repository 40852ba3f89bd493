"""The user's network comes back bit for bit: weights, statistics, modes, hooks, gradients, random state."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from model_networks import Functional, hf_vit, randomise, small_cnn, tiny_swin, torchvision_network
from torch import nn

from likethat.errors import ModelError
from likethat.models import split

HOOKS = [
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
]


def snapshot(network: nn.Module) -> dict[str, Any]:
    tensors = {name: value.detach().clone() for name, value in network.state_dict().items()}
    return {
        "tensors": tensors,
        "modes": {name: module.training for name, module in network.named_modules()},
        "hooks": {(n, hook): dict(getattr(m, hook)) for n, m in network.named_modules() for hook in HOOKS},
        "requires_grad": {name: value.requires_grad for name, value in network.named_parameters()},
        "grad": {name: value.grad for name, value in network.named_parameters()},
        "types": {name: (value.dtype, value.device, value.data_ptr()) for name, value in network.state_dict().items()},
        "attributes": {name: sorted(vars(module)) for name, module in network.named_modules()},
    }


def assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert before["tensors"].keys() == after["tensors"].keys()
    for name, value in before["tensors"].items():
        assert torch.equal(value, after["tensors"][name]), name
    for key in before.keys() - {"tensors"}:
        assert before[key] == after[key], key


def odd_modes(network: nn.Module) -> nn.Module:
    """Every other module in training mode, some weights frozen, hooks of the user's own."""
    for index, (name, module) in enumerate(network.named_modules()):
        module.training = index % 2 == 0
        if name.endswith("0"):
            module.register_forward_hook(lambda *_: None)
    for index, value in enumerate(network.parameters()):
        value.requires_grad_(index % 3 != 0)
    return network


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "sequential": small_cnn,
    "resnet18": lambda: torchvision_network("resnet18"),
    "in place": lambda: Functional(lambda x: x.relu_().mean([2, 3])),
    "swin": tiny_swin,
    "hugging face": hf_vit,
    "replay": lambda: nn.Sequential(*small_cnn()[:-1], nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, 2)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(BUILDERS))
@pytest.mark.filterwarnings("ignore:The network is in training mode")
def test_network_comes_back_untouched(name: str) -> None:
    network = odd_modes(randomise(BUILDERS[name]()))
    size = 32 if name == "hugging face" else 64
    images = torch.rand(2, 3, size, size)
    state = torch.get_rng_state()
    before = snapshot(network)
    model = split(network, example=images)
    assert_same(before, snapshot(network))
    model.forward(images.clone().requires_grad_())
    model.replay(model.features(images), images)
    assert_same(before, snapshot(network))
    assert torch.equal(torch.get_rng_state(), state)


def test_training_mode_warns_once_and_does_not_change_the_answer() -> None:
    network = randomise(small_cnn())
    images = torch.rand(2, 3, 64, 64)
    expected = network(images)
    network.train()
    with pytest.warns(UserWarning, match="training mode") as caught:
        model = split(network)
    assert len(caught) == 1
    assert torch.equal(model.logits(images), expected)
    assert network.training


@pytest.mark.filterwarnings("ignore:The network is in training mode")
def test_modes_and_hooks_come_back_after_an_error() -> None:
    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small_cnn()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.inner(x)
            raise RuntimeError("no such size")

    network = Failing().train()
    before = snapshot(network)
    with pytest.raises(ModelError, match="no such size"):
        split(network)
    assert_same(before, snapshot(network))


def test_a_forward_error_puts_everything_back() -> None:
    network = randomise(small_cnn())
    model = split(network)
    network.train()
    before = snapshot(network)
    network[9].forward = lambda *_: (_ for _ in ()).throw(RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        model.logits(torch.rand(1, 3, 64, 64))
    del network[9].forward
    assert_same(before, snapshot(network))


def test_a_network_that_counts_its_calls_is_put_back_by_split() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = randomise(small_cnn())
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return self.inner(x)

    network = Counting().eval()
    split(network)
    assert float(network.calls) == 0


def test_a_train_method_of_the_users_own_is_not_called() -> None:
    class Merging(nn.Sequential):
        def train(self, mode: bool = True) -> "Merging":
            raise AssertionError("train() merges weights here")

    network = Merging(*small_cnn())
    with pytest.warns(UserWarning, match="training mode"):
        split(network)
    assert network.training
