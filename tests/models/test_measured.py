"""Tails that no `nn.Linear` shows: weights are measured, the split is exact on images not seen, or there is none."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from model_networks import Tokens, randomise, small_cnn, timm_network
from torch import Tensor, nn
from torch.nn import functional

from likethat.models import SplitModel, _measured_search, split
from likethat.models._measured import _cover
from likethat.models._probe import probe_images


class Own(nn.Module):
    """A network whose tail is code of its own, behind a map of 12 channels."""

    def __init__(self, tail: Callable[[Any, Tensor], Tensor], n_classes: int = 4) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Conv2d(8, 12, 3, stride=2), nn.BatchNorm2d(12), nn.ReLU()
        )
        self.weight, self.prior = nn.Parameter(torch.randn(12, n_classes)), nn.Parameter(torch.randn(n_classes))
        self.scale = nn.Parameter(torch.tensor(1.7))
        self.head, self.other, self.norm = nn.Linear(12, n_classes), nn.Linear(12, n_classes), nn.LayerNorm(12)
        self.down, self.up = nn.Linear(12, 2, bias=False), nn.Linear(2, n_classes, bias=False)
        self.coarse, self.flat = nn.AdaptiveAvgPool2d(2), nn.Linear(48, n_classes)
        self.tail = tail

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self, self.trunk(x))


class Mean(nn.Module):
    """The mean of several networks, each with its own way to look at the image."""

    def __init__(self, *networks: nn.Module, views: tuple[Callable[[Tensor], Tensor], ...]) -> None:
        super().__init__()
        self.networks, self.views = nn.ModuleList(networks), views

    def forward(self, x: Tensor) -> Tensor:
        each = [self.networks[place % len(self.networks)](view(x)) for place, view in enumerate(self.views)]
        return torch.stack(each).mean(0)


def mean(x: Tensor) -> Tensor:
    return x.mean((2, 3))


def adapted(self: Own, vector: Tensor) -> Tensor:
    return self.head(vector) + 2 * self.up(self.down(vector))


def falling(x: Tensor) -> Tensor:
    return x * torch.linspace(1.0, 0.2, x.shape[-1])


CASES: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "x @ W": (lambda: Own(lambda s, x: mean(x) @ s.weight + s.prior), "mean"),
    "F.linear of sums": (lambda: Own(lambda s, x: functional.linear(x.sum((2, 3)), s.weight.T)), "mean"),
    "a learned scale and a prior": (lambda: Own(lambda s, x: s.head(mean(x)) * s.scale + s.prior), "mean"),
    "an adapter beside the head": (lambda: Own(lambda s, x: adapted(s, mean(x))), "mean"),
    "the mean of two heads": (lambda: Own(lambda s, x: (s.head(mean(x)) + s.other(mean(x))) / 2), "mean"),
    "a norm, an adapter": (lambda: Own(lambda s, x: adapted(s, s.norm(mean(x)))), "mean, layer norm"),
    "the maximum, an adapter": (lambda: Own(lambda s, x: adapted(s, x.amax((2, 3)))), "max"),
    "weights of unit length": (lambda: Own(lambda s, x: mean(x) @ functional.normalize(s.weight, dim=0)), "mean"),
    "8-bit weights": (
        lambda: Own(lambda s, x: mean(x) @ ((s.weight * 40).round().to(torch.int8).float() / 40)),
        "mean",
    ),
    "a softmax of its own": (lambda: Own(lambda s, x: (mean(x) @ s.weight + s.prior).softmax(1)), "mean"),
    "cells that count more": (lambda: Own(lambda s, x: s.head(mean(falling(x)))), "weighted mean"),
    "2 x 2 cells": (lambda: Own(lambda s, x: s.flat(s.coarse(x).flatten(1))), "weights per cell"),
    "flattened": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 5)
        ),
        "weights per cell",
    ),
    "three networks, other grids": (
        lambda: Mean(
            small_cnn(),
            Own(lambda s, x: s.head(mean(x)), 5),
            nn.Sequential(
                nn.Conv2d(3, 8, 7, stride=7), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
            ),
            views=(lambda x: x,) * 3,
        ),
        "mean",
    ),
    "an image and its mirror image": (
        lambda: Mean(small_cnn(), views=(lambda x: x, lambda x: x.flip(-1))),
        "mean",
    ),
    "two tokens, two heads": (
        lambda: timm_network("deit_tiny_distilled_patch16_224", img_size=64, depth=2, num_classes=4),
        "2 tokens, followed",
    ),
    "registers in the mean": (lambda: Tokens(lambda t: t[:, 1:].mean(1), prefix=5), "4 tokens + mean, followed"),
}


@pytest.fixture(scope="module", params=list(CASES))
def case(request: pytest.FixtureRequest) -> tuple[str, nn.Module, SplitModel]:
    torch.manual_seed(0)
    build, pooling = CASES[request.param]
    network = randomise(build())
    return pooling, network, split(network, preprocess=None, example=torch.rand(1, 3, 64, 64))


def relative(values: Tensor, expected: Tensor) -> float:
    return float(((values - expected).abs().max() / expected.abs().max()).detach())


@pytest.mark.slow
def test_it_is_exact_on_images_not_seen(case: Any) -> None:
    pooling, network, model = case
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(9))
    output, own = model.forward(images), network(images)
    assert (model.pooling, model.is_linear) == (pooling, True)
    assert output.feature_map[0, 0].numel() > 1
    assert relative(output.pooled @ model.head.weight.T + model.head.bias, output.logits) <= 1e-5
    means = output.feature_map.mean(dim=(2, 3))
    assert relative(model.spatial_weight * means + model.remainder(images), output.pooled) <= 1e-5
    if model.spatially_additive:
        assert relative(means, output.pooled) <= 1e-5
    ends_in_softmax = bool((own.sum(1) - 1).abs().max() < 1e-5)
    assert relative(output.logits.softmax(1) if ends_in_softmax else output.logits, own) <= 1e-5


@pytest.mark.parametrize(
    "tail",
    [
        lambda s, x: s.head(mean(x)).relu() @ s.weight[:4],
        lambda s, x: 9 * functional.normalize(mean(x)) @ s.weight,
        lambda s, x: mean(x * x) @ s.weight,
        lambda s, x: (mean(x) @ s.weight).tanh(),
    ],
)
def test_what_is_not_affine_gets_no_weights(tail: Any) -> None:
    network = randomise(Own(tail))
    assert split(network, example=torch.rand(1, 3, 64, 64)).how == "frozen"


@pytest.mark.slow
def test_gates_that_no_probe_moves_are_found_by_scaled_channels() -> None:
    network = randomise(Own(lambda s, x: mean(x) @ s.weight))
    probes = torch.cat([probe_images(2, 3, (64, 64), seed=0), probe_images(3, 3, (64, 64), seed=1)])
    limit = 1.1 * mean(network.trunk(probes)).detach().max(0).values  # closed on every image that split looks at
    network.tail = lambda s, x: mean(x) @ s.weight + 5 * (mean(x) - limit).relu().sum(1, keepdim=True)
    assert split(network, example=torch.rand(1, 3, 64, 64)).how == "frozen"


def test_small_numbers_make_no_line_of_a_curve() -> None:
    network = randomise(Own(lambda s, x: functional.hardswish(s.head(mean(x))) @ s.weight[:4]))
    with torch.no_grad():
        network.head.weight.mul_(1e-6)
        network.head.bias.zero_()
    assert split(network, example=torch.rand(1, 3, 64, 64)).how == "frozen"


def test_maps_of_mirror_images_are_turned_back() -> None:
    network = randomise(Mean(small_cnn(), views=(lambda x: x, lambda x: x.flip(-1), lambda x: x.flip(-2))))
    images = torch.rand(1, 3, 64, 64)
    model = split(network, example=images)
    assert model.n_channels == 36
    marked = images.clone()
    marked[..., :16, 48:] = 1 - marked[..., :16, 48:]  # the upper right corner
    moved = (model.features(marked) - model.features(images)).detach().abs().reshape(3, 12, 16, 16).sum(1)
    for one in moved:
        rows, columns = divmod(int(one.argmax()), 16)
        assert rows < 8 <= columns


def test_weights_of_a_flattened_map_are_the_layers_own() -> None:
    network = randomise(CASES["flattened"][0]())
    images = torch.rand(2, 3, 64, 64)
    model = split(network, example=images)
    contributions = torch.einsum("kr,nrhw->nkhw", model.head.weight, model.features(images)) / 64
    weight = network[4].weight.reshape(5, 8, 8, 8)
    expected = torch.einsum("kchw,nchw->nkhw", weight, network[:3](images))  # what each cell gives each class
    assert relative(contributions, expected) <= 1e-5


def test_the_rim_that_a_fixed_pooling_drops_is_no_reason_to_stay_at_a_size() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.AvgPool2d(24), nn.Flatten(), nn.Linear(4, 10))
    model = split(randomise(network))
    assert (model.pooling, model.size) == ("mean", (28, 28))


def test_cover_by_hand() -> None:
    # three cells over two: the middle one lies half on each
    assert torch.allclose(_cover(2, 3, torch.zeros(1)), torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]))


@pytest.mark.parametrize(
    "activation",
    [
        functional.leaky_relu,
        functional.hardswish,
        functional.elu,
        functional.mish,
        lambda x: functional.gelu(x, approximate="tanh"),
        lambda x: functional.leaky_relu(x, 0.2),
        functional.selu,
        functional.softplus,
        functional.relu6,
        torch.tanh,
    ],
)
def test_activations_called_as_functions(activation: Any) -> None:
    network = randomise(Own(lambda s, x: s.head(mean(activation(s.norm2(x))))))
    network.norm2 = randomise(nn.BatchNorm2d(12))
    model = split(network, example=torch.rand(1, 3, 64, 64))
    assert model.is_linear
    images = torch.rand(2, 3, 64, 64)
    assert relative(model.features(images), activation(network.norm2(network.trunk(images)))) <= 1e-6


class Gated(nn.Module):
    """Fresh weights leave such small numbers before the gate that on any images it looks like a line."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.Conv2d(8, 12, 3, stride=4))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.wide, self.gate, self.head = nn.Linear(12, 20), gate, nn.Linear(20, 5)
        nn.init.normal_(self.wide.weight, std=1e-4)
        nn.init.zeros_(self.wide.bias)
        nn.init.normal_(self.head.weight, std=1e3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gate(self.wide(self.pool(self.trunk(x)).flatten(1))))


def test_what_only_looks_like_a_line_is_given_up_before_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    for name in ("measure_part", "measure_head"):
        measure = getattr(_measured_search, name)
        monkeypatch.setattr(
            _measured_search, name, lambda *args, name=name, measure=measure: (asked.append(name), measure(*args))[1]
        )
    torch.manual_seed(0)
    assert split(Gated(nn.Hardswish()).eval()).how == "frozen"
    assert not asked
    assert split(Gated(nn.Identity()).eval()).how == "traced"  # the same without a gate is a line, and is found


def test_a_head_that_was_tried_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_measured_search, "measure_head", lambda *_: pytest.fail("the last layer was read before"))
    torch.manual_seed(0)
    assert split(randomise(Gated(nn.ReLU()))).how == "frozen"
