"""A mean of the splits of several layers: beside gradient times map, which is the frozen run where gates are ReLUs."""

from typing import Any

import pytest
import torch
from model_networks import randomise, timm_network
from torch import Tensor, nn

from likethat import EPIC, SplitModel
from likethat.errors import InputError, ModelError
from likethat.functional.spreading import spread
from likethat.models import split
from likethat.models._mixed_search import shares_of

pytestmark = pytest.mark.slow

SIZE = 32


class Stages(nn.Module):
    """Two stages, 16 x 16 and 8 x 8 cells, the second with a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.way = nn.Sequential(nn.Conv2d(6, 9, 3, stride=2, padding=1), nn.BatchNorm2d(9), nn.ReLU())
        self.shortcut = nn.Conv2d(6, 9, 1, stride=2)
        self.last = nn.ReLU()
        self.head = nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = self.last(self.way(x) + self.shortcut(x))
        return self.head(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def network() -> Stages:
    made = randomise(Stages(), size=SIZE)
    assert isinstance(made, Stages)
    return made


def _split(network: nn.Module, layer: str | None) -> SplitModel:
    return split(network, example=torch.rand(2, 3, SIZE, SIZE), layer=layer)


@pytest.fixture(scope="module")
def finer(network: Stages) -> SplitModel:
    return _split(network, "finer")


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5))


def _gradient_times_map(network: Stages, images: Tensor) -> Tensor:
    """Return (image, channel, height, width) what a cell of the first stage gives to the pooled vector, times 256."""
    fine = network.first(images).detach().requires_grad_()
    pooled = network.last(network.way(fine) + network.shortcut(fine)).mean(dim=(2, 3))
    columns = [torch.autograd.grad(pooled[:, d].sum(), fine, retain_graph=True)[0] for d in range(9)]
    return torch.stack([(column * fine).sum(1) * fine[0, 0].numel() for column in columns], dim=1).detach()


def test_finer_is_four_parts_of_the_last_map_and_one_of_the_next_finer(
    network: Stages, finer: SplitModel, images: Tensor
) -> None:
    assert (finer.layer, finer.how, finer.grid) == ("0.8 last + 0.2 first", "mixed", (16, 16))
    coarse = network.last(network.way(network.first(images)) + network.shortcut(network.first(images)))
    coarse = torch.nn.functional.interpolate(coarse, size=(16, 16), mode="bilinear", align_corners=False)
    fine = spread(_gradient_times_map(network, images), (16, 16), sigma=2**0.5)
    torch.testing.assert_close(finer.features(images), 0.8 * coarse + 0.2 * fine, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_cells_and_constant_add_up_to_the_networks_own_logits(
    network: Stages, finer: SplitModel, images: Tensor
) -> None:
    output = finer(images)
    torch.testing.assert_close(output.logits, network(images))
    located = output.feature_map.mean(dim=(2, 3)) + finer.constant(images)
    logits = nn.functional.linear(located, finer.head.weight, finer.head.bias)
    torch.testing.assert_close(logits, output.logits, rtol=1e-5, atol=1e-5)
    assert finer.error < 1e-5
    assert "80% from `last`, 20% from `first`" in finer.note
    assert "`first` held" in finer.note


def test_the_text_that_it_goes_by_is_the_same_split(network: Stages, finer: SplitModel, images: Tensor) -> None:
    again = _split(network, finer.layer)
    assert (again.layer, again.fingerprint) == (finer.layer, finer.fingerprint)
    assert torch.equal(again.features(images), finer.features(images))


def test_weights_of_ones_own_are_divided_by_their_sum(network: Stages, images: Tensor) -> None:
    mixed = _split(network, "3 last + 1 first").features(images)
    coarse = spread(_split(network, "last").features(images), (16, 16))
    fine = spread(_split(network, "first").features(images), (16, 16), sigma=2**0.5)
    torch.testing.assert_close(mixed, 0.75 * coarse + 0.25 * fine, rtol=1e-4, atol=1e-5)


def test_maps_of_one_grid_are_not_blurred(network: Stages, images: Tensor) -> None:
    mixed = _split(network, "1 first.2 + 1 first").features(images)
    torch.testing.assert_close(mixed, _split(network, "first").features(images), rtol=1e-4, atol=1e-5)


def test_other_sizes_are_checked_as_they_come(network: Stages) -> None:
    model = _split(network, "finer")
    model.follow((40, 48))
    assert model.grid == (20, 24)


def test_epic_explains_by_it(finer: SplitModel) -> None:
    images = torch.rand(24, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(6))
    bank = EPIC(seed=0).fit(finer, images)
    why = bank.explain(images[0])
    assert abs(why.gap()) < 1e-4
    assert bank.explain(images[1]).rows[0].heat_map.shape == (16, 16)


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.finer = nn.Conv2d(3, 6, 3)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.finer(x).relu().mean(dim=(2, 3)))  # type: ignore[no-any-return]


def test_a_module_of_that_name_is_meant_itself() -> None:
    assert _split(randomise(Named()), "finer").layer == "finer"


@pytest.mark.parametrize(
    "layer", ["0.8 last + first", "0.8 last + -1 first", "0 last + 1 first", "inf last + 1 first", "1 last + 1 first 2"]
)
def test_what_is_no_weight_and_name_is_said(network: Stages, layer: str) -> None:
    with pytest.raises(InputError, match=r"weights above 0 and names, such as '0\.8 layer3 \+ 0\.2 layer2', got"):
        _split(network, layer)


def test_a_name_in_a_mixture_is_looked_up(network: Stages) -> None:
    with pytest.raises(InputError, match=r"must name a module of the network, got 'fist'\. Close to it: 'first'"):
        _split(network, "1 last + 1 fist")
    with pytest.raises(InputError, match="must name a module of the network, got 'finer'"):
        _split(network, "1 last + 1 finer")


def test_a_network_of_one_grid_has_no_finer_map() -> None:
    flat = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    with pytest.raises(ModelError, match=r"no map that is finer than that of `1`.* Leave `layer` out\."):
        _split(randomise(flat), "finer")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("layer3", None),
        ("a.b", None),
        ("1 a + .5 b.0", [(1.0, "a"), (0.5, "b.0")]),
        ("2e-1 a + 8e-1 b", [(0.2, "a"), (0.8, "b")]),
    ],
)
def test_what_a_text_means(text: str, expected: Any) -> None:
    found = shares_of(text)
    assert (None if found is None else [(share.weight, share.layer) for share in found]) == expected


def test_what_timms_features_go_by_is_a_layer() -> None:
    network = randomise(timm_network("test_resnet", num_classes=3), size=64)
    example = torch.rand(2, 3, 64, 64)
    own = split(network, example=example)
    assert own.layer == "forward_features"
    assert split(network, example=example, layer=own.layer).fingerprint == own.fingerprint
    finer = split(network, example=example, layer="finer")
    assert finer.layer.startswith("0.8 forward_features + 0.2 ")
    assert finer.grid == (2 * own.grid[0], 2 * own.grid[1])
