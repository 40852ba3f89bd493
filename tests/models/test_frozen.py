"""The frozen run: each cell alone, pushed through by other means than the split's, and an affine run at the image."""

import re

import pytest
import torch
from model_networks import Tokens, randomise, small_cnn, torchvision_network
from torch import Tensor, nn

from likethat.errors import ModelError
from likethat.models import split
from likethat.models._frozen import FrozenTail, NotFrozenError
from likethat.models._frozen_rules import RULES
from likethat.models._frozen_search import Counting
from likethat.models._trace import relative_error


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return (self.one(x) + self.two(x).tanh()) / 2


def _behind(tail: nn.Module) -> nn.Module:
    features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=8), nn.ReLU())
    return randomise(nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), tail))


def _networks() -> dict[str, nn.Module]:
    return {
        "hardswish": _behind(nn.Sequential(nn.Linear(8, 9), nn.Hardswish(), nn.Linear(9, 3))),
        "gelu, norm": _behind(nn.Sequential(nn.Linear(8, 9), nn.GELU(), nn.LayerNorm(9), nn.Tanh(), nn.Linear(9, 3))),
        "two heads": _behind(TwoHeads()),
        "mobilenet": randomise(torchvision_network("mobilenet_v3_small"), size=64),
        "tokens": randomise(Tokens(lambda t: t.tanh().amax(1), prefix=2)),
    }


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("name", ["hardswish", "gelu, norm", "two heads", "mobilenet", "tokens"])
def test_cells_and_constant_add_up_on_images_not_seen(name: str) -> None:
    network = _networks()[name]
    model = split(network, example=torch.rand(1, 3, 64, 64))
    assert (model.how, model.pooling, model.is_linear) == ("frozen", "frozen run", True)
    images = torch.rand(3, 3, 64, 64)
    output, error = model._reader.error(model._inputs(images))
    assert error <= 1e-5
    assert relative_error(output.logits, network(images)) <= 1e-5
    again = nn.functional.linear(output.pooled, model.head.weight, model.head.bias)
    assert relative_error(again, output.logits) <= 1e-5
    assert relative_error(model.replay(model.features(images), images), output.logits) <= 1e-5


@pytest.mark.slow
@torch.no_grad()
def test_a_relu_tail_is_the_gates_by_hand() -> None:
    network = _behind(nn.Sequential(nn.Linear(8, 9), nn.ReLU(), nn.Linear(9, 3)))
    model = split(network, example=torch.rand(1, 3, 64, 64))
    images = torch.rand(2, 3, 64, 64)
    cells = network[0](images)
    hidden = network[3][0]
    gates = (hidden(cells.mean((2, 3))) > 0).float()
    by_hand = torch.einsum("kd,ndhw->nkhw", hidden.weight, cells) * gates[:, :, None, None]
    assert relative_error(model.features(images), by_hand) <= 1e-5
    assert relative_error(model.remainder(images), hidden.bias * gates) <= 1e-5


def _each_cell(feature_map: Tensor) -> Tensor:
    numbers = torch.arange(1, 1 + feature_map[0, 0].numel(), dtype=torch.int32)
    return numbers.reshape(1, 1, *feature_map.shape[2:]).expand(feature_map.shape)


@pytest.mark.parametrize("by_channels", [True, False])
def test_gradients_pass_to_the_map_through_the_coefficients_too(by_channels: bool) -> None:
    layers = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 9), nn.LayerNorm(9), nn.GELU()).double()
    feature_map, direction = torch.randn(2, 1, 8, 4, 4, dtype=torch.float64)
    tail = FrozenTail(layers, feature_map, _each_cell(feature_map))

    def value(x: Tensor) -> Tensor:
        return tail.given(x, tail.run(x), by_channels=by_channels).square().sum()

    (gradient,) = torch.autograd.grad(value(feature_map.requires_grad_()), feature_map)
    with torch.no_grad():
        slope = (value(feature_map + 1e-6 * direction) - value(feature_map - 1e-6 * direction)) / 2e-6
    assert torch.allclose((gradient * direction).sum(), slope, rtol=1e-5)


@torch.no_grad()
def test_by_channels_and_by_cells_are_the_same() -> None:
    model = split(_behind(nn.Sequential(nn.Linear(8, 9), nn.SiLU(), nn.Linear(9, 3))), example=torch.rand(1, 3, 64, 64))
    images = torch.rand(1, 3, 64, 64)
    raw, _, _ = model._reader._run(images)
    tail = model._reader._tail(images, raw)
    n_cells = raw[0, 0].numel()
    assert n_cells > 9  # so the split goes by channels
    by_cells = tail.given(raw, tail.run(raw), by_channels=False).T.reshape(-1, *raw.shape[2:]) * n_cells
    assert relative_error(model.features(images)[0], by_cells) <= 1e-5


@torch.no_grad()
@pytest.mark.parametrize("batch_first", [True, False])
def test_attention_is_written_out_whatever_path_it_takes(batch_first: bool) -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=batch_first).eval()
    tokens = torch.randn(1, 5, 8) if batch_first else torch.randn(5, 1, 8)

    def tail(x: Tensor) -> Tensor:
        return attention(x, x, x, need_weights=False)[0].flatten()

    frozen = FrozenTail(tail, tokens, torch.ones_like(tokens, dtype=torch.int32))
    other = torch.randn_like(tokens)
    own = frozen.run(other)
    constant = frozen.frozen(0 * other, own)
    whole = frozen.frozen(other, own)
    assert relative_error(whole, tail(other)) <= 1e-5
    assert relative_error(frozen.frozen(-other, own) - constant, constant - whole) <= 1e-5


def test_what_has_no_frozen_form_is_named() -> None:
    with pytest.raises(NotFrozenError, match="`sin`"):
        FrozenTail(lambda x: x.sin(), torch.rand(1, 3), torch.ones(1, 3, dtype=torch.int32))


def test_a_named_layer_goes_deeper() -> None:
    model = split(randomise(small_cnn()), layer="2", example=torch.rand(1, 3, 32, 32))
    assert (model.layer, model.how, model.remainder_name) == ("2", "frozen", "constant")
    assert model.grid > (2, 2)


@pytest.mark.slow
def test_a_map_of_one_cell_gives_way_to_the_map_before_it() -> None:
    body = [nn.Conv2d(3, 8, 4, stride=4), nn.ReLU(), nn.Conv2d(8, 10, 16), nn.ReLU(), nn.Flatten(), nn.Linear(10, 4)]
    model = split(randomise(nn.Sequential(*body)), example=torch.rand(1, 3, 64, 64))
    assert (model.layer, model.how, model.grid) == ("1", "frozen", (16, 16))
    assert "single cell" not in model.note


@pytest.mark.slow
def test_what_would_cost_too_much_is_for_those_who_name_the_layer() -> None:
    wide = [nn.Flatten(), nn.Linear(8 * 225, 300), nn.GELU(), nn.Linear(300, 300), nn.GELU(), nn.Linear(300, 4)]
    network = randomise(nn.Sequential(nn.Conv2d(3, 8, 8, stride=4), nn.ReLU(), *wide))
    model = split(network, example=torch.rand(1, 3, 64, 64))
    assert model.how == "replay"
    layer = re.search(r"would cost \d+ forwards an image, which split\(network, layer='(.+?)'\) takes", model.note)
    assert layer is not None
    named = split(network, layer=layer[1], example=torch.rand(1, 3, 64, 64))
    assert named.how == "frozen"
    costs = re.search(r"costs ([\d.]+) forwards", named.note)
    assert costs is not None
    assert float(costs[1]) > 6


@pytest.mark.slow
@torch.no_grad()
def test_it_goes_on_in_another_type_without_the_old_tail() -> None:
    network = _networks()["two heads"]
    model = split(network, example=torch.rand(1, 3, 64, 64))
    images = torch.rand(2, 3, 64, 64)
    before = model.features(images)
    network.double()
    again = split(network, example=images)
    assert relative_error(again.features(images), before) <= 1e-5
    assert relative_error(again._reader.read(images.double()).feature_map, before) <= 1e-5


@pytest.mark.slow
@torch.no_grad()
def test_a_tail_holds_the_network_s_own_weights_so_that_it_follows_them() -> None:
    network = _networks()["two heads"]
    model = split(network, example=torch.rand(1, 3, 64, 64))
    images = torch.rand(2, 3, 64, 64)
    model.features(images)
    network[3].one.weight.mul_(2)
    with pytest.raises(ModelError, match="changed since"):
        model.check_unchanged()
    _, error = model._reader.error(images)
    assert error <= 1e-5


@torch.no_grad()
def test_a_map_that_lies_channels_last_is_pooled_all_the_same() -> None:
    network = _behind(nn.Sequential(nn.Linear(8, 9), nn.GELU(), nn.Linear(9, 3))).to(memory_format=torch.channels_last)
    images = torch.rand(3, 3, 64, 64).to(memory_format=torch.channels_last)
    assert network[0](images).is_contiguous(memory_format=torch.channels_last)
    model = split(network, example=images)
    assert model.how == "frozen"
    assert model._reader.error(model._inputs(images))[1] <= 1e-5


def test_values_laid_otherwise_are_the_same_only_where_one_axis_is_longer_than_one() -> None:
    pooled, square = torch.rand(1, 8, 1, 1), torch.rand(1, 2, 2, 1)
    assert RULES["as_strided_"](None, [pooled], {}, [pooled], pooled) is pooled  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError):
        RULES["as_strided_"](None, [square], {}, [square], square)  # type: ignore[arg-type]


class TokenLabels(nn.Module):
    """As VOLO ends: a class token's logits, past a dropout, and half of the patches' largest, behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 16, 8, stride=8), nn.Parameter(torch.randn(1, 1, 16))
        self.take = nn.MultiheadAttention(16, 2, batch_first=True)
        self.norm, self.drop = nn.LayerNorm(16), nn.Dropout(0.1)
        self.head, self.other = nn.Linear(16, 5), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patches(x).flatten(2).transpose(1, 2)
        token = self.token.expand(len(x), -1, -1)
        tokens = torch.cat([token, patches], dim=1)
        tokens = self.norm(torch.cat([token + self.take(token, tokens, tokens)[0], patches], dim=1))
        logits: Tensor = self.head(tokens[:, 0]) + 0.5 * self.other(self.drop(tokens)[:, 1:]).max(dim=1)[0]
        return logits


@torch.no_grad()
def test_what_goes_past_a_dropout_is_not_overlooked() -> None:
    model = split(randomise(TokenLabels(), size=64), example=torch.rand(2, 3, 64, 64))
    assert (model.how, model.layer, model.grid) == ("frozen", "patches", (8, 8))
    images = torch.rand(3, 3, 64, 64)
    output = model.forward(images)
    parts = output.feature_map.mean(dim=(2, 3)) + model.remainder(images)
    logits = parts @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(logits, model.network(images), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_search_past_tokens_is_bounded() -> None:
    network = randomise(TokenLabels(), size=64)
    with Counting() as counted:
        model = split(network, example=torch.rand(2, 3, 64, 64))
    with Counting() as once:
        network(torch.rand(3, 3, 64, 64))
    assert model.how == "frozen"
    assert counted.total <= 25 * once.total
