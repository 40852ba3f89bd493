"""Parts of a map that are followed together for as long as they stay apart: the same as each of them alone."""

from collections.abc import Callable

import pytest
import torch
from model_networks import randomise
from torch import Tensor, nn

import likethat as lt
from likethat.models._frozen import FrozenTail
from likethat.models._frozen_search import Counting
from likethat.models._trace import relative_error

_CELLS, _WIDTH = 12, 8


class ClassAttention(nn.Module):
    """As CaiT and VOLO end: a token looks twice at patches that nothing changes, past a norm and a wide layer."""

    def __init__(self, tail: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.token, self.norm = nn.Parameter(torch.randn(1, 1, _WIDTH)), nn.LayerNorm(_WIDTH)
        self.query, self.both, self.tail = nn.Linear(_WIDTH, _WIDTH), nn.Linear(_WIDTH, 2 * _WIDTH), tail

    def forward(self, x: Tensor) -> Tensor:
        token, patches = self.token, x.flatten(2).transpose(1, 2)
        for _ in range(2):
            tokens = self.norm(torch.cat([token, patches], 1))
            keys, values = self.both(tokens).reshape(1, -1, 2, _WIDTH).unbind(2)
            weights = (self.query(tokens[:, :1]) @ keys.transpose(1, 2)).softmax(-1)
            token = token + weights @ values
        return self.tail(torch.cat([token, patches], 1))


def _reversed(x: Tensor) -> Tensor:
    """Flip half of the channels: two parts meet in a product of both."""
    left, right = x.chunk(2, 1)
    return torch.cat([left * left.mean((2, 3), keepdim=True), left * right.flip(3)], 1)


TAILS: dict[str, Callable[[], nn.Module | Callable[[Tensor], Tensor]]] = {
    "token": lambda: ClassAttention(lambda tokens: tokens[:, 0]),
    "token and maximum": lambda: ClassAttention(lambda tokens: tokens[:, 0] + tokens[:, 1:].tanh().amax(1)),
    "cells first": lambda: nn.Sequential(
        nn.Conv2d(_WIDTH, 9, 1), nn.BatchNorm2d(9), nn.GELU(), nn.Conv2d(9, 6, 1, groups=3), nn.AdaptiveAvgPool2d(1)
    ),
    "neighbours": lambda: nn.Sequential(nn.Conv2d(_WIDTH, 9, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4)),
    "one over the other": lambda: _reversed,
    "rows are moved": lambda: lambda x: (x.roll(1, 3).flip(2) + x[:, :, :1]).sigmoid().mul(x).transpose(2, 3).sum(3),
    "padded": lambda: nn.Sequential(nn.ConstantPad2d(1, 2.0), nn.PixelUnshuffle(1), nn.SiLU(), nn.AvgPool2d(2)),
}


def _tail(name: str) -> tuple[FrozenTail, Tensor]:
    torch.manual_seed(0)
    tail, value = TAILS[name](), torch.randn(1, _WIDTH, 3, 4)
    if isinstance(tail, nn.Module):
        tail = randomise(tail) if name != "padded" else tail.eval()
    cells = torch.arange(1, 1 + _CELLS, dtype=torch.int32).reshape(1, 1, 3, 4).expand(value.shape)
    return FrozenTail(lambda x: tail(x).flatten(), value, cells), value


@torch.no_grad()
@pytest.mark.parametrize("by_channels", [False, True])
@pytest.mark.parametrize("name", TAILS)
def test_parts_together_are_each_part_alone(name: str, by_channels: bool) -> None:
    tail, _ = _tail(name)
    value = torch.randn(1, _WIDTH, 3, 4)  # another image than the one it was followed with: other gates are open
    own = tail.run(value)
    empty = tail.frozen(0 * value, own)
    alone = [value * one for one in torch.eye(_CELLS).reshape(-1, 1, 1, 3, 4)]
    expected = torch.stack([tail.frozen(part, own) - empty for part in alone])
    assert relative_error(tail.given(value, own, by_channels=by_channels), expected) <= 1e-5


@torch.no_grad()
def test_what_is_apart_is_computed_once() -> None:
    tail, value = _tail("token")
    own = tail.run(value)
    with Counting() as once:
        tail.run(value)
    with Counting() as counted:
        tail.given(value, own, by_channels=False)
    assert counted.total < 5 * once.total  # cell by cell 12 and more


class Pick(nn.Module):
    """Takes the patch of the highest score, as CLIP's text tower takes the last word."""

    def __init__(self, pick: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.norm, self.score = nn.Conv2d(3, 16, 8, stride=8), nn.LayerNorm(16), nn.Linear(16, 1)
        self.mixed, self.head, self.pick = nn.Linear(16, 16), nn.Linear(16, 4), pick

    def tokens(self, x: Tensor) -> Tensor:
        return self.norm(self.stem(x).relu().flatten(2).transpose(1, 2))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.tokens(x)
        picked = self.pick(tokens, self.score(tokens)[..., 0].argmax(1))
        return self.head(nn.functional.gelu(self.mixed(picked)))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "pick",
    [
        lambda tokens, at: tokens[torch.arange(len(tokens)), at],
        lambda tokens, at: tokens.gather(1, at[:, None, None].expand(-1, 1, 16))[:, 0],
    ],
)
def test_a_place_that_is_found_on_the_image_is_another_on_another(pick: Callable[[Tensor, Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    network = Pick(pick).eval()
    model = lt.split(network, example=torch.rand(2, 3, 64, 64))
    for seed in range(4):
        image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(seed))
        taken = int(network.score(network.tokens(image)).argmax())
        assert int(model.heat_map(image, 1).abs().argmax()) == taken
