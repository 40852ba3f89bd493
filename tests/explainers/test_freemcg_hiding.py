"""Masks that hide a part or show it alone, and the map that answers to them allow, by hand."""

from itertools import product

import pytest
import torch
from torch import Tensor

import likethat as lt
from likethat.errors import InputError
from likethat.explainers.freemcg.hiding import Fills, Masks, check_fills, out_of_sight
from likethat.functional.inpainting import inpainted

SHADES = (0.25, 0.75)  # of the two fills; the picture is white


def shaded(kind: int, n: int) -> Tensor:
    return torch.full((n, 1, 16, 16), SHADES[kind])


def masks(size: tuple[int, int] = (16, 16), *, seed: int = 0) -> Masks:
    fills = Fills(n_kinds=2, make=lambda kind, hidden: torch.full((len(hidden), 1, *size), SHADES[kind]))
    return Masks(torch.ones(1, *size), fills, rng=torch.Generator().manual_seed(seed))


def test_questions_take_turns_in_hiding_and_showing_alone_and_in_what_hidden_pixels_show() -> None:
    asked = masks()
    for first, n in ((0, 6), (6, 10)):  # numbers go on over what was asked before
        for number, picture in enumerate(asked.ask(n), start=first):
            hidden = picture < 1
            assert set(picture[hidden].tolist()) == {SHADES[number // 2 % 2]}
            share = float(hidden.float().mean())
            assert 0.05 <= (share if number % 2 == 0 else 1 - share) <= 0.5
        asked.add(torch.zeros(n, dtype=torch.float64))
    assert len(asked.answers) == 16


def test_how_much_is_hidden_is_anything_between_a_twentieth_and_a_half() -> None:
    shares = masks().masks(4000)[::2].mean(dim=(1, 2))
    assert float(shares.min()) < 0.06
    assert float(shares.max()) > 0.49
    assert float(shares.mean()) == pytest.approx(0.275, abs=0.01)


def test_before_the_first_answer_a_cell_may_be_anything_of_variance_one() -> None:
    asked = masks((32, 32))
    drawn = asked._draws(3000).reshape(-1, 32, 32)[:, 12:20, 12:20]  # far from the edges
    assert float(drawn.square().mean()) == pytest.approx(1, abs=0.05)
    assert abs(float(drawn.mean())) < 0.05
    side = torch.stack([drawn[:, :, 0], drawn[:, :, 4]]).flatten(1)
    assert float(torch.corrcoef(side)[0, 1]) == pytest.approx(0.78, abs=0.04)  # exp(-4² / 4·4²): the blur is 4 wide


@pytest.mark.parametrize("size", [(16, 16), (16, 24), (64, 64), (128, 128)])
def test_the_map_of_a_sum_of_pixels_is_that_of_the_pixels(size: tuple[int, int]) -> None:
    # Answers: 3 where the upper left quarter is shown whole, and 5 more whenever a part is shown alone.
    asked, (height, width) = masks(size), size
    quarter = torch.zeros(size)
    quarter[: height // 2, : width // 2] = 12 / (height * width)
    for _ in range(8):
        pictures, kinds = asked.ask(24), asked.kinds(24)
        shown = (pictures[:, 0] - torch.tensor(SHADES)[kinds, None, None]) / (1 - torch.tensor(SHADES))[
            kinds, None, None
        ]
        alone = (len(asked.answers) + torch.arange(24)) % 2
        asked.add(((shown * quarter).sum(dim=(1, 2)) + 5 * alone).double())
    values, error = asked.map()
    assert values.shape == error.shape == size
    for down, across in product((0, 1), (0, 1)):
        inside = values[down * height // 2 :, across * width // 2 :][: height // 2, : width // 2]
        assert float(inside.sum()) == pytest.approx(3 if (down, across) == (0, 0) else 0, abs=0.4)
    assert float(error.max()) < 12 / (height * width)
    assert float(error.min()) > 0


def test_masks_go_where_the_map_is_not_known() -> None:
    # Answers say all of the left half, for only there anything was ever hidden; then masks differ on the right.
    asked = masks()
    left = torch.zeros(60, 16, 16)
    left[:, :, :8] = torch.rand(60, 16, 8, generator=torch.Generator().manual_seed(1)).round()
    asked._asked = left
    asked.add(-left[:, :, :4].sum(dim=(1, 2)).double() / 64)
    drawn = asked._draws(400).reshape(-1, 16, 16)
    assert float(drawn[:, :, 12:].std(dim=0).mean()) > 3 * float(drawn[:, :, :4].std(dim=0).mean())
    assert float(drawn[:, :, :4].mean()) > 0


def test_hidden_pixels_show_the_mean_the_picture_out_of_focus_and_noise() -> None:
    image = torch.rand(3, 40, 30, generator=torch.Generator().manual_seed(2))
    fills = out_of_sight(image, rng=torch.Generator().manual_seed(0))
    assert fills.n_kinds == 3
    mean, blurred, noise = (fills.make(kind, torch.zeros(4, 1, 40, 30)) for kind in range(3))
    assert mean.shape == blurred.shape == noise.shape == (4, 3, 40, 30)
    assert torch.allclose(mean, image.mean(dim=(1, 2))[:, None, None].expand(4, 3, 40, 30))
    assert 0 < float((blurred[0] - mean[0]).abs().max()) < 0.5 * float((image - mean[0]).abs().max())
    assert float(noise[0].std()) > 0.2
    assert not torch.equal(noise[0], noise[1])


def test_hidden_pixels_may_show_what_is_around_them() -> None:
    image = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(3))
    fills = out_of_sight(image, ("inpainting", "mean"), rng=torch.Generator().manual_seed(0))
    asked = Masks(image, fills, rng=torch.Generator().manual_seed(0))
    pictures, hidden = asked.ask(8), asked._asked[:, None]
    by_hand = torch.lerp(image, inpainted(image, hidden), hidden)
    kinds = torch.arange(8) // 2 % 2
    assert torch.equal(pictures[kinds == 0], by_hand[kinds == 0])
    assert not torch.allclose(pictures[kinds == 1], by_hand[kinds == 1])


def test_fills_are_named() -> None:
    assert check_fills("blur") == ("blur",)
    assert check_fills(None) == ("mean", "blur", "noise")
    for wrong in ([], "inpaint", ["mean", 3], 3, {"mean"}, ["mean", "mean"], iter(["mean"])):
        with pytest.raises(InputError, match="`fills` must be "):
            check_fills(wrong)  # type: ignore[arg-type]


def test_a_map_says_what_hidden_pixels_showed_and_a_denoiser_or_a_text_takes_no_fills() -> None:
    image = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(4))

    def left(images: Tensor) -> Tensor:
        share = images[:, :, :, :8].mean(dim=(1, 2, 3))
        return torch.stack([share, 1 - share], dim=1)

    made = lt.FreeMCG().attribute(lt.BlackBox(left), image, budget=64, fills="inpainting")
    assert made.options["fills"] == ["inpainting"]
    other = lt.FreeMCG().attribute(lt.BlackBox(left), image, budget=64)
    assert "fills" not in other.options
    assert not (made.heat_map == other.heat_map).all()
    with pytest.raises(InputError, match="`fills` must be left out for algorithm='freemcg'"):
        lt.FreeMCG(lt.load_generator("zoo:digits-flow")).attribute(lt.load("zoo:digits"), lt.digits()[0], fills="mean")
    with pytest.raises(InputError, match="`fills` must be left out for a text"):
        lt.FreeMCG().attribute(lt.BlackBox(lambda texts: [[0.5, 0.5]] * len(texts)), "a good film", fills="mean")


def test_a_long_picture_has_no_more_cells_than_a_square_one() -> None:
    image = torch.rand(1, 40, 1000, generator=torch.Generator().manual_seed(5))
    asked = Masks(image, out_of_sight(image, rng=torch.Generator().manual_seed(0)), rng=torch.Generator())
    assert asked.masks(2).shape == (2, 6, 160)


def test_what_a_fill_may_change_grows_with_the_cells_of_a_picture_of_any_shape() -> None:
    for size in ((16, 24), (24, 16)):
        offsets = masks(size)._offsets(4)
        assert offsets.sum(1).tolist() == pytest.approx([0.2 * 16 * 24] * 4)
        assert offsets.argmax(1).tolist() == [0, 1, 2, 3]  # hidden and alone of the first fill, then of the second
