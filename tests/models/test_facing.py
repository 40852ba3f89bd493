"""Maps of networks that move the picture before them: put where the pixels are, or said to have no place."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from model_networks import Tokens, randomise
from torch import Tensor, nn

from likethat.errors import InputError, ModelError
from likethat.models import split
from likethat.models._facing import UPRIGHT, Facing, facings

_SIDE = 64
_ORDER = torch.randperm(64, generator=torch.Generator().manual_seed(0))  # of blocks of 8 x 8 pixels
MOVES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {  # and how a map is moved back
    "nothing": (lambda x: x, lambda x: x),
    "left and right": (lambda x: x.flip(3), lambda x: x.flip(3)),
    "upside down": (lambda x: x.flip(2), lambda x: x.flip(2)),
    "a quarter": (lambda x: x.rot90(1, (2, 3)), lambda x: x.rot90(3, (2, 3))),
    "a half": (lambda x: x.rot90(2, (2, 3)), lambda x: x.rot90(2, (2, 3))),
    "three quarters": (lambda x: x.rot90(3, (2, 3)), lambda x: x.rot90(1, (2, 3))),
    "rows for columns": (lambda x: x.transpose(2, 3), lambda x: x.transpose(2, 3)),
    "across the other diagonal": (lambda x: x.rot90(1, (2, 3)).flip(2), lambda x: x.flip(2).rot90(3, (2, 3))),
    "rolled": (lambda x: x.roll((32, 16), (2, 3)), lambda x: x.roll((-4, -2), (2, 3))),
}


class Moved(nn.Module):
    """Moves the picture, and then does what a network does."""

    def __init__(self, network: nn.Module, move: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.move = network, move

    def forward(self, images: Tensor) -> Tensor:
        return self.network(self.move(images))


def _shuffled(images: Tensor) -> Tensor:
    blocks = nn.functional.unfold(images, 8, stride=8)[:, :, _ORDER]
    return nn.functional.fold(blocks, (_SIDE, _SIDE), 8, stride=8)


def _cnn(tail: Callable[[], list[nn.Module]] = list) -> nn.Module:
    torch.manual_seed(0)
    convolutions = [layer for n in (3, 16, 16) for layer in (nn.Conv2d(n, 16, 3, 2, 1), nn.ReLU())]
    return nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), *tail(), nn.Linear(16, 4))


class Transformer(nn.Module):
    """Patches and a class token, two layers; the tokens come in any order."""

    def __init__(self, order: Tensor | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 32, 8, 8)
        self.token, self.places = nn.Parameter(torch.randn(1, 1, 32)), nn.Parameter(0.1 * torch.randn(1, 65, 32))
        self.layers = nn.Sequential(
            *(nn.TransformerEncoderLayer(32, 2, 64, 0.0, batch_first=True, norm_first=True) for _ in range(2))
        )
        self.norm, self.head, self.order = nn.LayerNorm(32), nn.Linear(32, 4), order

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = tokens if self.order is None else tokens[:, self.order]
        tokens = torch.cat([self.token.expand(len(images), -1, -1), tokens], dim=1) + self.places
        return self.head(self.norm(self.layers(tokens))[:, 0])


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "cut": _cnn,
    "frozen": lambda: _cnn(lambda: [nn.Linear(16, 16), nn.GELU()]),
    "weights per cell": lambda: nn.Sequential(*_cnn()[:6], nn.Flatten(), nn.Linear(1024, 4)),
    "class token": Transformer,
}


def _images() -> Tensor:
    return torch.rand(2, 3, _SIDE, _SIDE, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
@pytest.mark.parametrize(
    ("network", "move"),
    [
        *(("cut", move) for move in MOVES),
        *((name, move) for name in list(NETWORKS)[1:] for move in ("a quarter", "rolled")),
    ],
)
def test_cells_lie_where_their_pixels_do(network: str, move: str) -> None:
    images, (there, back) = _images(), MOVES[move]
    plain = split(randomise(NETWORKS[network]()), example=images)
    moved = split(Moved(randomise(NETWORKS[network]()), there).eval(), example=images)
    assert moved.grid == (8, 8)
    assert moved.how == plain.how
    assert moved.error <= 1e-5
    expected = back(plain.features(there(images)))
    assert torch.allclose(moved.features(images), expected, atol=1e-5)
    assert ("moves the picture" in moved.note) == (move != "nothing")
    again = moved.replay(moved.features(images), images)
    assert torch.allclose(again, moved.logits(images), atol=1e-4)


@torch.no_grad()
def test_tokens_in_reverse_are_put_back() -> None:
    images = _images()
    backwards = randomise(Tokens(lambda tokens: tokens.mean(1), patch=8))
    plain = split(deepcopy(backwards), example=images)
    backwards.embed.register_forward_hook(lambda _, __, output: output.flip((2, 3)))
    model = split(backwards, example=images)
    assert torch.allclose(model.features(images), plain.features(images), atol=1e-5)
    order = torch.arange(64).flip(0)
    assert split(randomise(Transformer(order)), example=images).note.count("back to front") == 2


@torch.no_grad()
@pytest.mark.parametrize("network", NETWORKS)
def test_shuffled_pixels_have_no_place_and_the_note_says_so(network: str) -> None:
    shuffled = Moved(randomise(NETWORKS[network]()), _shuffled).eval()
    model = split(shuffled, example=_images())
    assert model.grid == (1, 1)
    assert model.note.endswith("follow no one place of the picture each.")
    output = model.forward(_images())
    logits = nn.functional.linear(output.pooled, model.head.weight, model.head.bias)
    assert torch.allclose(logits, shuffled(_images()), atol=1e-4)


def test_a_map_in_no_order_that_only_a_replay_reads_is_refused() -> None:
    network = Moved(randomise(_cnn(lambda: [nn.Linear(16, 16), _Sorted()])), _shuffled).eval()
    with pytest.raises(ModelError, match="no one place of the picture each"):
        split(network, example=_images())


class _Sorted(nn.Module):
    """A step without a frozen form."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sort(dim=1).values


@torch.no_grad()
@pytest.mark.parametrize(("build", "turns"), [(_cnn, (0, 1, 2, 3)), (Transformer, (0, 2))])
def test_views_that_are_turned_are_each_put_right(build: Callable[[], nn.Module], turns: tuple[int, ...]) -> None:
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = build()

        def forward(self, x: Tensor) -> Tensor:
            return sum(self.network(x.rot90(n, (2, 3))) for n in turns) / len(turns)

    images = _images()
    model = split(randomise(Views()), example=images)
    cells = model.heat_map(images, 1)
    assert model.grid == (8, 8)
    for n in turns:  # each turn of the picture turns the map
        assert torch.allclose(model.heat_map(images.rot90(n, (2, 3)), 1), cells.rot90(n, (1, 2)), atol=1e-5)


def test_how_a_map_lies_by_hand() -> None:
    torch.manual_seed(0)
    first, second = torch.rand(2, 3, 16, 16), torch.rand(3, 3, 16, 16)

    def found(maps: Callable[[Tensor], Tensor], *, of_tokens: bool = True) -> Facing | None:
        return facings(lambda inputs: [maps(inputs)], first, second, of_tokens=[of_tokens])[0]

    def cells(inputs: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(inputs, 4)

    assert found(cells) == UPRIGHT
    assert found(lambda inputs: cells(inputs) + 3 * inputs.mean((2, 3), keepdim=True)) == UPRIGHT
    assert found(lambda inputs: cells(inputs).roll(1, 3)) == Facing(columns=(False, 0.25))
    latents = torch.rand(16, 16)
    assert found(lambda inputs: (cells(inputs).flatten(2) @ latents).reshape(-1, 3, 4, 4)) is None
    mixed = torch.rand(16, 16) * 0.01 + 1  # of all alike: images are taken as they come
    assert found(lambda inputs: (cells(inputs).flatten(2) @ mixed).reshape(-1, 3, 4, 4), of_tokens=False) == UPRIGHT
    assert found(lambda inputs: (cells(inputs).flatten(2) @ mixed).reshape(-1, 3, 4, 4)) is None
    assert found(lambda inputs: inputs.mean((2, 3), keepdim=True).expand(-1, -1, 4, 4)) == UPRIGHT  # one as another
    assert found(lambda inputs: torch.zeros(len(inputs), 3, 4, 4)) == UPRIGHT  # nothing says otherwise
    upper = Facing(window=((0.0, 0.5), (0.0, 1.0)))
    assert found(lambda inputs: cells(inputs)[:, :, :2], of_tokens=False) == upper
    assert found(lambda inputs: cells(inputs)[:, :, :2]) is None  # of tokens any may be left out, not those of a rim
    assert (
        found(lambda inputs: cells(nn.functional.pad(inputs[:, :, 1:], (0, 0, 1, 0)))) == UPRIGHT
    )  # within half a cell
    assert found(lambda inputs: inputs[:, :, ::4, ::4]) == UPRIGHT  # the last three of four are never read


def test_where_a_map_lies_is_known_at_the_size_it_was_seen_at() -> None:
    """What is cut off may be so many pixels, or a share; of turned pictures it makes no difference."""

    class Changed(nn.Module):
        def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
            super().__init__()
            self.change, self.stem = change, nn.Sequential(nn.Conv2d(3, 8, 8, stride=8), nn.ReLU())
            self.head = nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.stem(self.change(x)).mean((2, 3)))  # type: ignore[no-any-return]

    images, larger = _images(), nn.functional.interpolate(_images(), scale_factor=2)
    changes: list[Callable[[Tensor], Tensor]] = [lambda x: x[..., 16:-16, 16:-16], lambda x: x.roll(16, 3)]
    for change in changes:
        model = split(randomise(Changed(change)), example=images)
        model.heat_map(images, 1)
        with pytest.raises(InputError, match=r"this network cuts or rolls the picture.*Split it anew"):
            model.heat_map(larger, 1)
        split(randomise(Changed(change)), example=larger).heat_map(larger, 1)
    split(randomise(Changed(lambda x: x.flip(3))), example=images).heat_map(larger, 1)


def test_what_is_put_right_can_be_taken_back() -> None:
    feature_map = torch.rand(2, 3, 4, 6)
    facing = Facing(rows=(True, 0.25), columns=(False, 0.5), is_transposed=True)
    assert facing.upright(feature_map).shape == (2, 3, 6, 4)
    assert torch.equal(facing.own(facing.upright(feature_map)), feature_map)
    for begin, end in ((0.0, 0.7), (0.1, 0.83), (0.4, 1.0)):
        cut = Facing(rows=(True, 0.25), is_transposed=True, window=((begin, end), (end - begin, 1.0)))
        for size in (4, 6, 7, 14):
            feature_map = torch.rand(2, 3, size, size + 1)
            put = cut.upright(feature_map)
            torch.testing.assert_close(cut.own(put), feature_map)
            torch.testing.assert_close(put.mean((2, 3)), feature_map.mean((2, 3)))


@torch.no_grad()
def test_a_flip_is_seen_where_few_cells_answer_and_in_narrow_pictures() -> None:
    bright = nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    bright[0].weight.zero_()[[0, 1], [0, 1]] = 1 / 64
    bright[0].bias.fill_(-0.55)  # a cell of noise has .5, with a deviation of .04: under half of them answer
    flipped = Moved(bright, lambda x: x.flip(3)).eval()
    examples = [torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    assert all("columns back to front" in split(flipped, example=example).note for example in examples)
    narrow = torch.rand(2, 3, 8, 2, generator=torch.Generator().manual_seed(0))
    assert split(
        randomise(nn.Sequential(*_cnn()[1:2], nn.Conv2d(3, 16, 3, 1, 1), *_cnn()[6:])), example=narrow
    ).grid == (8, 2)


@torch.no_grad()
def test_patches_of_which_every_second_was_cut_off_are_no_map() -> None:
    class Pruned(Transformer):
        def forward(self, images: Tensor) -> Tensor:
            tokens = self.patches(images).flatten(2).transpose(1, 2)
            tokens = torch.cat([self.token.expand(len(images), -1, -1), tokens], dim=1) + self.places
            tokens = self.layers[0](tokens)
            return self.head(self.norm(self.layers[1](tokens[:, ::2]))[:, 0])

    assert split(randomise(Pruned()).eval(), example=_images()).grid != (5, 5)


def test_tokens_that_look_rolled_since_some_were_cut_off_have_no_place() -> None:
    def maps(images: Tensor) -> list[Tensor]:
        patches = nn.functional.avg_pool2d(images, 8).flatten(2)[..., ::2]  # 32 of 64
        return [patches[..., 7:].unflatten(2, (5, 5)) + 0.1 * patches.mean(2)[..., None, None]]

    first, second = (torch.rand(2, 3, _SIDE, _SIDE, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert facings(maps, first, second, of_tokens=[True]) == [None]


CUTS: dict[str, tuple[slice, slice]] = {  # of 64 pixels, with cells of 8 before the cut
    "middle": (slice(8, 56), slice(8, 56)),
    "one side": (slice(0, 64), slice(16, 64)),
    "one corner": (slice(20, 64), slice(0, 48)),
}


@torch.no_grad()
@pytest.mark.parametrize(
    ("network", "cut", "is_flipped"),
    [("cut", "middle", False), ("cut", "one side", True), ("cut", "one corner", False), ("frozen", "middle", True)],
)
def test_cells_lie_in_what_a_network_cuts_out(network: str, cut: str, is_flipped: bool) -> None:
    rows, columns = CUTS[cut]
    images = _images()
    inner = randomise(NETWORKS[network]())
    plain = split(inner, example=images[:, :, rows, columns])
    moved = Moved(inner, lambda x: (x.flip(3) if is_flipped else x)[:, :, rows, columns]).eval()
    model = split(moved, example=images)
    assert "The network looks at" in model.note
    given = plain.features((images.flip(3) if is_flipped else images)[:, :, rows, columns])
    given = given.flip(3) if is_flipped else given
    finer = given.repeat_interleave(1 if cut == "one side" else 2, 2).repeat_interleave(2, 3)
    top, left = rows.start // 4, (64 - columns.stop if is_flipped else columns.start) // 4  # of cells of 4 pixels
    cells = model.features(images)
    inside = cells[:, :, top : top + finer.shape[2], left : left + finer.shape[3]]
    share = cells[0, 0].numel() / finer[0, 0].numel()
    assert torch.allclose(inside, share * finer, atol=1e-5)
    assert torch.allclose(cells.sum((2, 3)), inside.sum((2, 3)), atol=1e-3)
    assert torch.allclose(model.replay(cells, images), model.logits(images), atol=1e-4)
