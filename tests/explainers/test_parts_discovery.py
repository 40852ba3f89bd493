"""Parts found without marks, worked out by hand where two or three parts can be."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from likethat.explainers.parts.cells import ClassCells
from likethat.explainers.parts.discovery import (
    Found,
    _Block,
    _by_size,
    _choose,
    _correlations,
    _matched,
    _Run,
    count_limit,
    discover,
    left_out_error,
)
from likethat.functional.factorisation import Factorisation, non_negative, rejoined

CPU = torch.device("cpu")


def member(cells: Tensor, images: Sequence[int]) -> ClassCells:
    return ClassCells(
        target=0, cells=cells, images=torch.tensor(images), places=torch.arange(len(cells)),
        rows=torch.tensor(sorted(set(images))), n_all=len(cells),
    )  # fmt: skip


def factorised(parts: Tensor, occurrence: Tensor | None = None, error: float = 0.0) -> Factorisation:
    """One class, as if it had been factorised."""
    shares = torch.ones(4, len(parts)) if occurrence is None else occurrence
    return Factorisation(occurrence=shares[None], parts=parts[None], error=torch.tensor([error]), rounds=1)


def run(whole: Factorisation, *others: Factorisation, signed: bool = False) -> _Run:
    """A run of which the second start and the halves found the same, or others."""
    again, first, second = others or (whole, whole, whole)
    return _Run(whole=whole, again=again, halves=(first, second), signed=signed)


def test_a_class_has_no_more_parts_than_cells_that_show_something_or_channels() -> None:
    few_cells = torch.tensor([[0.5, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, -2.0, 0.0]])
    assert count_limit(member(few_cells, [0, 0, 0])) == 2
    assert count_limit(member(torch.ones(5, 2), [0] * 5)) == 2


def test_what_is_below_zero_gets_channels_of_its_own_and_comes_back() -> None:
    cells = torch.tensor([[[3.0, -4.0], [0.0, 0.5]]])
    assert non_negative(cells, signed=True).tolist() == [[[3.0, 0.0, 0.0, 4.0], [0.0, 0.5, 0.0, 0.0]]]
    assert non_negative(cells, signed=False).tolist() == [[[3.0, 0.0], [0.0, 0.5]]]
    assert rejoined(torch.tensor([[3.0, 0.0, 0.0, 4.0]]), signed=True).tolist() == [pytest.approx([0.6, -0.8])]
    assert rejoined(torch.tensor([[3.0, 4.0]]), signed=False).tolist() == [[3.0, 4.0]]


def test_parts_that_hold_nothing_are_left_out_and_the_rest_stand_by_size() -> None:
    parts = torch.eye(4)
    parts[3] = 0.0  # a part of zeros is none, whatever it holds
    occurrence = torch.tensor([[0.2, 0.0, 0.5, 9.0], [0.0, 0.0, 0.4, 9.0]])
    found = run(factorised(parts, occurrence, error=0.25)).found(0, member(torch.ones(2, 4), [0, 1]))
    assert torch.equal(found.centroids, parts[[2, 0]])
    assert torch.equal(found.occurrence, occurrence[:, [2, 0]])
    assert found.error == 0.25


def test_where_nothing_is_held_one_part_stays() -> None:
    parts = torch.eye(2)
    found = run(factorised(parts, torch.zeros(2, 2))).found(0, member(torch.ones(2, 2), [0, 1]))
    assert torch.equal(found.centroids, parts[:1])


def test_dead_parts_never_stand_before_small_ones() -> None:
    occurrence = torch.tensor([[0.0, 0.1, 0.3]])
    assert _by_size(occurrence, torch.tensor([False, True, True])).tolist() == [2, 1]
    assert _by_size(torch.ones(1, 40), torch.arange(40) % 2 == 0).tolist() == list(range(0, 40, 2))  # equals in order


def test_how_steady_a_part_is_by_hand() -> None:
    parts, turned = torch.eye(2), torch.tensor([[0.0, 1.0], [0.6, 0.8]])
    found = run(factorised(parts), factorised(turned), factorised(parts), factorised(turned)).found(
        0, member(torch.ones(4, 2), [0, 0, 1, 1])
    )
    # Matched for the largest sum: (1, 0) with (.6, .8) and (0, 1) with (0, 1), not both with the second.
    assert found.between_starts.tolist() == pytest.approx([0.6, 1.0])
    assert found.between_halves.tolist() == pytest.approx([0.8, 1.0])  # the mean over the halves
    alone = run(factorised(parts)).found(0, member(torch.ones(4, 2), [3, 3, 3, 3]))
    assert alone.between_halves.isnan().all()  # one image has no halves


def test_a_part_without_a_match_is_unknown() -> None:
    cosines = _matched(torch.eye(3), torch.eye(3)[[2, 0]])
    assert cosines[[0, 2]].tolist() == [1.0, 1.0]
    assert bool(cosines[1].isnan())


def test_ownership_agrees_as_numpy_correlates() -> None:
    rng = torch.Generator().manual_seed(0)
    first, second = torch.rand(30, 3, generator=rng), torch.rand(30, 2, generator=rng)
    theirs = np.corrcoef(first.numpy().T, second.numpy().T)[:3, 3:]
    np.testing.assert_allclose(_correlations(first, second).numpy(), theirs, atol=1e-5)
    second[:, 1] = 0.5  # a part that holds the same of every cell tells nothing
    assert _correlations(first, second)[:, 1].tolist() == [0.0, 0.0, 0.0]


def test_two_parts_that_differ_between_the_halves_do_not_agree() -> None:
    # Cells of four kinds: one half finds parts {0, 1} and {2, 3}, the other {0, 2} and {1, 3}.
    cells = torch.eye(4).repeat(5, 1)
    one = factorised(torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1]]) / 2**0.5)
    two = factorised(torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1]]) / 2**0.5)
    turned = factorised(one.parts[0].flip(0))  # the same parts, the other first
    assert run(one, one, one, turned).agreement(0, cells) == pytest.approx(1.0)
    assert run(one, one, one, two).agreement(0, cells) == pytest.approx(0.0, abs=1e-6)
    single = factorised(torch.ones(1, 4) / 2)
    assert run(single, single, single, single).agreement(0, cells) == 1.0  # all cells are its own in both


def test_classes_are_padded_with_cells_of_zeros_that_are_in_no_half() -> None:
    long, short = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), torch.tensor([[7.0, 8.0]])
    block = _Block.of([member(short, [4]), member(long, [0, 1, 2])], signed=False, seed=0, device=CPU)
    assert block.cells.tolist() == [[[7.0, 8.0], [0.0, 0.0], [0.0, 0.0]], long.tolist()]
    assert block.first_half[..., 0].tolist() == [[1.0, 0.0, 0.0], [1.0, 0.0, 1.0]]


def test_each_half_is_factorised_from_its_own_images() -> None:
    # The first and third image show one thing, the second and fourth another.
    cells = torch.eye(2)[[0, 0, 1, 1, 0, 0, 1, 1]] * torch.arange(1.0, 9.0)[:, None]
    found = _Block.of([member(cells, [0, 0, 1, 1, 2, 2, 3, 3])], signed=False, seed=0, device=CPU).run(1)
    torch.testing.assert_close(found.halves[0].parts[0], torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(found.halves[1].parts[0], torch.tensor([[0.0, 1.0]]))


@pytest.mark.slow
def test_planted_parts_are_found_in_each_class_of_a_block() -> None:
    rng = torch.Generator().manual_seed(0)
    planted = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0.6, 0.8]])
    mixed = (torch.rand(40, 3, generator=rng) * (torch.rand(40, 3, generator=rng) < 0.5)) @ planted
    images = [index // 4 for index in range(40)]
    members = [member(mixed, images), member(mixed.flip(1), images)]
    for place, found in enumerate(discover(members, 3, signed=False, seed=0, device=CPU)):
        wanted = planted if place == 0 else planted.flip(1)
        assert (found.centroids @ wanted.T).amax(0).tolist() == pytest.approx([1.0, 1.0, 1.0], abs=1e-3)
        assert found.error < 1e-3
        assert found.errors == ()
        assert float(found.between_starts.min()) > 0.99
        assert float(found.between_halves.min()) > 0.95
        assert found.shares.sum(1)[mixed.any(1)].tolist() == pytest.approx([1.0] * int(mixed.any(1).sum()))
    for found in discover(members, "auto", signed=False, seed=0, device=CPU):
        assert len(found.centroids) == 3
        assert len(found.errors) == len(found.agreements) == 4  # as many as there are channels
        assert found.errors[0] > found.errors[1] > found.errors[2]


@pytest.mark.parametrize(
    ("errors", "agreements", "count"),
    [
        ((0.5, 0.4, 0.3, 0.2), (1.0, 0.95, 0.95, 0.95), 4),  # all is well up to the limit
        ((0.5, 0.4, 0.3, 0.2), (1.0, 0.95, 0.85, 0.95), 2),  # the halves differ about the third part
        ((0.5, 0.46, 0.42, 0.41), (1.0, 1.0, 1.0, 1.0), 3),  # the fourth takes 2 % of the first error, not 5
        ((1.0, 0.5, 0.46, 0.4), (1.0, 1.0, 1.0, 1.0), 2),  # 4 % of the first error, though 8 of the second
        ((0.5, 0.49, 0.2, 0.1), (1.0, 1.0, 1.0, 1.0), 1),  # what comes after is not looked at
    ],
)
def test_the_number_of_parts_goes_up_while_halves_agree_and_the_error_falls(
    errors: tuple[float, ...], agreements: tuple[float, ...], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Run, "agreement", lambda self, _place, _cells: agreements[self.whole.parts.shape[1] - 1])
    eye = torch.eye(4)
    runs = [run(factorised(eye[: n + 1], error=error)) for n, error in enumerate(errors)]
    found = _choose(runs, 0, member(torch.eye(4), [0, 0, 1, 1]))
    assert len(found.centroids) == count
    assert found.errors == pytest.approx(errors)
    assert found.agreements == agreements
    assert found.error == pytest.approx(errors[count - 1])


def test_no_more_parts_are_tried_than_a_class_can_have_and_one_always() -> None:
    runs = [run(factorised(torch.eye(4)[: n + 1], error=0.5)) for n in range(4)]

    def tried(cells: Tensor, images: Sequence[int]) -> Found:
        return _choose(runs, 0, member(cells, images))

    assert len(tried(torch.eye(4)[:2].repeat(2, 1) * torch.tensor([1.0, 1.0, 0, 0])[:, None], [0, 1, 0, 1]).errors) == 2
    assert len(tried(torch.zeros(4, 4), [0, 0, 1, 1]).errors) == 1
    assert all(np.isnan(value) for value in tried(torch.eye(4), [0, 0, 0, 0]).agreements)  # one image has no halves


@pytest.mark.slow
def test_no_more_than_eight_parts_are_tried() -> None:
    cells = torch.rand(20, 10, generator=torch.Generator().manual_seed(0))
    (found,) = discover([member(cells, [index // 2 for index in range(20)])], "auto", signed=False, seed=0, device=CPU)
    assert len(found.errors) == len(found.agreements) == 8  # docs/methods.md


def test_the_error_of_cells_left_out_by_hand() -> None:
    # Of (3, 0) nothing is lost along the first axis, of (0, 4) all.
    assert left_out_error(torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 0.0], [0.0, 4.0]])) == pytest.approx(16 / 25)
