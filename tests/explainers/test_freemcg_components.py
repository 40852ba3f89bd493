"""The components of a change, by hand."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from likethat.explainers.freemcg import components
from likethat.explainers.freemcg.components import image_components, patches, revert, revert_least_changed, with_details


def test_soft_patches_by_hand() -> None:
    # Two cells on four pixels have centres .5 and 2.5 (between pixels); a pixel belongs to a cell by its distance.
    one_axis = torch.tensor([[1.0, 0.75, 0.25, 0.0], [0.0, 0.25, 0.75, 1.0]])
    found = patches((4, 4), 2)
    assert torch.allclose(found, torch.einsum("ah,bw->abhw", one_axis, one_axis).flatten(0, 1))
    assert patches((2, 6), 2).shape == (4, 2, 6)
    assert torch.allclose(patches((7, 5), 3).sum(dim=0), torch.ones(7, 5))


def test_a_change_of_an_image_comes_apart_and_together() -> None:
    rng = torch.Generator().manual_seed(0)
    source, changed = torch.rand(3, 8, 6, generator=rng), torch.rand(3, 8, 6, generator=rng)
    parts = image_components(source, changed, 2)
    assert float(parts.sizes.sum()) == pytest.approx(float((changed - source).abs().mean()), rel=1e-5)
    share = torch.tensor([[1.0, 1, 1, 1], [0, 0, 0, 0], [0.5, 0.5, 0.5, 0.5], [1, 0, 0, 0]])
    whole, none, half, corner = parts.compose(share)
    torch.testing.assert_close(whole, changed)
    assert torch.equal(none, source)
    torch.testing.assert_close(half, (source + changed) / 2)
    assert torch.equal(corner[:, 6:, 5:], source[:, 6:, 5:])
    torch.testing.assert_close(corner[:, 0, 0], changed[:, 0, 0])


@pytest.mark.parametrize(("size", "width"), [((8, 8), 0.7), ((128, 96), 1.5), ((96, 128), 1.5), ((64, 64), 1.0)])
def test_a_soft_edge_grows_with_the_shorter_side(size: tuple[int, int], width: float) -> None:
    assert components._softness(torch.zeros(3, *size)) == pytest.approx(width)


def test_details_come_back_where_little_changed() -> None:
    source, flat = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.full((1, 8, 8), 0.5)
    for amount in (0.0, 0.07, 0.14):
        # A change that is the same everywhere is blurred to itself (but at the border): exp(-(amount / .07)^2) is left.
        keep = math.exp(-((amount / 0.07) ** 2))
        detailed = with_details(source, (flat + amount)[None], rebuilt=flat)[0]
        expected = (flat + amount + keep * (source - flat)).clamp(0, 1)
        assert torch.allclose(detailed[:, 3:5, 3:5], expected[:, 3:5, 3:5], atol=0.02)
        back = with_details(flat, (flat + amount)[None])[0]
        assert torch.allclose(back[:, 3:5, 3:5], (flat + (1 - keep) * amount)[:, 3:5, 3:5], atol=0.005)


def test_the_share_that_goes_back_is_the_share_of_least_change() -> None:
    source, changed = torch.zeros(1, 32, 32), torch.zeros(1, 32, 32)
    changed[0, :, :16] = 0.1
    changed[0, :, 16:] = 1.0
    left = revert_least_changed(source, changed, 0.5)
    assert torch.equal(left[0, :, :12], source[0, :, :12])
    assert torch.allclose(left[0, :, 20:], changed[0, :, 20:], atol=1e-5)
    edge = left[0, 16, 13:19]
    assert bool((edge.diff() >= 0).all())
    assert 0 < float(edge[2]) < 1  # a soft edge
    assert torch.allclose(revert_least_changed(source, changed, 0.0)[0, 8:24, 20:], changed[0, 8:24, 20:], atol=1e-5)


class Weighed:
    """Stands where an archive stands: the margin is a weighed sum of what stays."""

    def __init__(self, weights: list[float], *, budget: int = 99) -> None:
        self.weights, self.rows, self.budget = torch.tensor(weights, dtype=torch.float64), [], budget  # type: ignore[var-annotated]
        self.reals = torch.ones(99, dtype=torch.bool)

    def ask(self, stays: Tensor) -> Tensor:
        given = stays[: self.budget - len(self.rows)]
        self.rows += given.tolist()
        return given.double() @ self.weights


def reverted(weights: list[float], sizes: list[float], *, target: float, **options: Any) -> list[list[float]]:
    archive = Weighed(weights, **({"budget": options.pop("budget")} if "budget" in options else {}))
    whole = components.Components(sizes=torch.tensor(sizes), compose=lambda stays: stays)
    revert(archive, whole, sum(weights), target_margin=target, **options)  # type: ignore[arg-type]
    return archive.rows


def test_small_components_go_back_unasked_and_the_rest_alone() -> None:
    # .02 of the whole of 10 is .2: two of .1 go at once, what is empty was never there.
    rows = reverted([3.0, 2.0, 0.1, 0.1, 0.0], [5.0, 4.8, 0.1, 0.1, 0.0], target=2.5)
    assert rows[:2] == [[0, 1, 0, 0, 0], [1, 0, 0, 0, 0]]
    assert rows[2:] == [[1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]  # the second loses less for its distance: it goes first
    assert reverted([1.0, 1.0], [5.0, 5.0], target=9.0, left=0.6)[:2] == pytest.approx(
        [pytest.approx([0.6, 1.0]), pytest.approx([1.0, 0.6])]
    )
    assert reverted([1.0], [0.0], target=0.5) == []
    assert reverted([1.0], [1.0], target=0.0) == [[0], [0]]  # the only one alone, and then without it
    assert len(reverted([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], target=0.5, budget=2)) == 2  # not all answered: it ends
    assert len(reverted([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], target=0.5, budget=3)) == 3
    assert reverted([1.0, 1.0], [1.0, 1.0], target=1.0)[2:] == [[0, 1], [0, 0]]  # just enough is enough
    assert reverted([1.0, 1.0], [1.0, 1.0], target=1.01)[2:] == [[0, 1]]


def test_the_border_of_a_picture_is_no_edge_of_its_change() -> None:
    source = torch.full((1, 16, 16), 0.25)
    left = revert_least_changed(source, source + 0.5, 0.5)
    assert torch.allclose(left, source + 0.5, atol=1e-5)  # it changed everywhere alike: nothing changed least


def test_half_of_the_least_changed_goes_back_and_the_edge_is_soft() -> None:
    # A change that grows from column to column: at half of the pixels lies the limit, whose change stays whole.
    source = torch.zeros(1, 32, 64)
    changed = (torch.arange(64) / 63).expand(1, 32, 64).clone()
    stays = revert_least_changed(source, changed, 0.5)[0, 16] / changed[0, 16].clamp_min(1e-9)
    assert torch.allclose(stays[36:60], torch.ones(24), atol=0.03)
    assert torch.allclose(stays[:20], torch.zeros(20))
    assert float(stays[26]) == pytest.approx(0.45, abs=0.1)  # a limit less .3 of it is where nothing stays
