"""What parts are worth: density of evidence where they are, and what taking them away costs."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from toys import features_of, pictures, small_cnn

import likethat as lt
from likethat.coordinates import HeadParts
from likethat.explainers.parts import judging
from likethat.explainers.parts.judging import Taken, deletions, evidence_density, judge_by_deletion, owners
from likethat.explainers.parts.splitting import WEAK, ClassParts, ordered
from likethat.features import collect

pytestmark = pytest.mark.filterwarnings("ignore:The model gives only")  # its weights are random


def test_a_cell_belongs_to_the_part_it_has_most_of() -> None:
    cells = torch.tensor([[[3.0, 0.0, 1.0], [1.0, 2.0, 0.0]]])  # (image, channel, cell)
    assert owners(cells, torch.eye(2)).tolist() == [[0, 1, 0]]


def test_density_by_hand() -> None:
    cells = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    evidence = torch.tensor([4.0, 2.0, 1.0, 1.0])  # mean 2; the first part's cells hold 3, the second's 1
    detectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    assert evidence_density(cells, detectors, evidence).tolist() == [1.5, 0.5, 0.0]  # the third owns no cell
    assert evidence_density(cells, detectors, -evidence).isnan().all()  # no evidence to be dense anywhere
    assert evidence_density(cells, detectors, 0 * evidence).isnan().all()
    # Little evidence is evidence, and one cell has what it has: (4 + 2 + 1) / 3 and 1, each over 2.
    assert evidence_density(cells.index_fill(0, torch.tensor(2), 2.0), detectors, evidence / 8).tolist() == [
        pytest.approx(7 / 6), 0.5, 0.0,
    ]  # fmt: skip


def judged(monkeypatch: pytest.MonkeyPatch, n_images: int, slots: torch.Tensor, **more: Any) -> list[int]:
    """Which maps are judged by deletion, of a pass over so many images."""
    seen: list[int] = []

    def note(_model: object, _features: object, spread: torch.Tensor, _parts: object) -> Iterator[Taken]:
        seen.extend(spread.tolist())
        return iter(())

    monkeypatch.setattr(judging, "deletions", note)
    parts = HeadParts(torch.eye(2), torch.tensor([0, 1]), torch.eye(2))
    model = lt.split(small_cnn(), example=pictures(2))
    assert judge_by_deletion(model, features_of(torch.ones(n_images, 2, 1)), slots, parts, **more) == {}
    return seen


@pytest.mark.slow
def test_one_image_in_forty_is_judged_spread_over_those_kept_back(monkeypatch: pytest.MonkeyPatch) -> None:
    for n_images, n in ((100, 8), (400, 10), (4000, 32)):
        back = torch.arange(n_images // 5) * 5
        found = judged(monkeypatch, n_images, back)
        assert len(set(found)) == n
        assert (found[0], found[-1]) == (0, int(back[-1]))  # folders come by class: from the first to the last
        assert max(b - a for a, b in pairwise(found)) <= 2 * n_images / n
    assert judged(monkeypatch, 400, torch.tensor([3, 6, 9])) == [3, 6, 9]
    assert judged(monkeypatch, 400, torch.arange(80), most=3) == [0, 40, 79]


def test_agreement_is_that_of_ranks_and_nothing_agrees_with_what_never_differs() -> None:
    rising, square = [np.array([1.0, 2.0]), np.array([3.0])], [np.array([1.0, 4.0]), np.array([9.0])]
    assert judging._agreement(rising, square) == pytest.approx(1)
    assert judging._agreement(rising, [-one for one in square]) == pytest.approx(-1)
    alike = [np.array([0.5, 0.5]), np.array([0.5])]
    assert judging._agreement(rising, alike) == judging._agreement(alike, rising) == 0.0


def test_two_images_are_enough_for_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*_: object) -> Iterator[Taken]:
        for sign in (1.0, -1.0):
            claims = torch.tensor([1.0, 2.0, 3.0])
            yield Taken(units=torch.arange(3), claims=claims, drops=sign * claims, shifted=claims / 2, areas=claims)

    monkeypatch.setattr(judging, "deletions", told)
    parts = HeadParts(torch.eye(2), torch.tensor([0, 1]), torch.eye(2))
    model = lt.split(small_cnn(), example=pictures(2))
    found = judge_by_deletion(model, features_of(torch.ones(50, 2, 1)), torch.arange(10), parts)
    assert found["deletion_images"] == 2
    assert found["deletion_agreement"] == pytest.approx(0, abs=1e-6)
    # Drawn again with both images the agreement is 0, with one of them twice 1 or -1, each in a quarter of the draws.
    assert found["deletion_agreement_error"] == pytest.approx(0.5**0.5, abs=0.08)
    draws = np.random.default_rng(0).integers(2, size=(200, 2))  # the same in every fit: bytes of banks rest on it
    assert found["deletion_agreement_error"] == pytest.approx((1 - 2 * draws).mean(1).std())
    assert found["area_agreement"] == pytest.approx(1)
    assert (found["deletion_drop"], found["shifted_drop"]) == (0, 1)


def test_what_surrounds_the_object_stands_last() -> None:
    parts = ClassParts(
        target=0, vectors=torch.tensor([[3.0], [1.0], [2.0]]), centroids=torch.ones(3, 1), detectors=torch.ones(3, 1),
        surroundings=torch.tensor([True, False, False]),
    )  # fmt: skip
    assert ordered(parts, torch.ones(2, 1)).vectors.flatten().tolist() == [2.0, 1.0, 3.0]


def two_colours(n: int, n_red: int) -> torch.Tensor:
    """Pictures of 2 x 2 cells: `n_red` of them red, the others green."""
    images = torch.zeros(n, 3, 8, 8)
    for index in range(n):
        for cell in range(4):
            row, column = divmod((cell + index) % 4, 2)
            images[index, int(cell >= n_red), 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 1
    return images


def test_the_cost_of_a_part_by_hand() -> None:
    network = nn.Sequential(nn.AvgPool2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)).eval()
    with torch.no_grad():
        network[-1].weight.copy_(torch.tensor([[8.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))  # type: ignore[union-attr, operator]
        network[-1].bias.copy_(torch.tensor([0.0, -9.0]))  # type: ignore[union-attr, operator]
    images = two_colours(4, 1)
    model = lt.split(network, preprocess=None, example=images)
    parts = HeadParts(
        torch.tensor([[8.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]), torch.tensor([0, 0, 1]), model.head.weight,
    )  # fmt: skip
    found = judge_by_deletion(model, collect(model, lt.Images(images)), torch.arange(4), parts)
    # The mean colour is a quarter red, so the red cell filled: 2 - 8 * (1/4) / 4 less 1/4 * 3/4 more green.
    red = (8 - 1) * (1 - 0.25) / 4
    # The three green cells filled: each gets a quarter red and loses a quarter green.
    green = -(8 - 1) * 0.25 * 3 / 4
    assert found["deletion_drop"] == pytest.approx((red + green) / 2, abs=1e-4)  # 0 and 1 are exact in 8 bits
    # Half a picture further: a green cell in the red one's place, and the red with two green ones.
    green_one, most = -(8 - 1) * 0.25 / 4, (8 - 1) * (0.75 - 2 * 0.25) / 4
    assert found["shifted_drop"] == pytest.approx((green_one + most) / 2, abs=1e-4)
    assert found["deletion_agreement"] == pytest.approx(1)  # red claims 2 and costs more, green claims .75
    assert found["area_agreement"] == pytest.approx(-1)
    assert judge_by_deletion(model, collect(model, lt.Images(images)), torch.arange(1), parts) == {}


def test_a_mask_elsewhere_lies_half_a_picture_further_both_ways() -> None:
    network = nn.Sequential(nn.AvgPool2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)).eval()
    with torch.no_grad():
        network[-1].weight.copy_(torch.tensor([[8.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))  # type: ignore[union-attr, operator]
        network[-1].bias.copy_(torch.tensor([0.0, -9.0]))  # type: ignore[union-attr, operator]
    cells = torch.zeros(3, 2, 4)
    cells[0] = torch.arange(8.0).reshape(2, 4) / 8  # red, more from cell to cell
    cells[1, 0, 0] = 1.0  # the first is green
    image = cells.repeat_interleave(4, 1).repeat_interleave(4, 2)[None]
    model = lt.split(network, preprocess=None, example=torch.rand(2, 3, 8, 16))
    parts = HeadParts(
        torch.tensor([[0.0, 1.0, 0.0], [8.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), torch.tensor([0, 0, 1]), model.head.weight,
    )  # fmt: skip
    (taken,) = deletions(model, collect(model, lt.Images(image)), torch.tensor([0]), parts)
    assert taken.units.tolist() == [0, 1]
    assert taken.areas.tolist() == [1 / 8, 7 / 8]
    assert taken.claims.tolist() == pytest.approx([1 / 8, 28 / 8])
    # Half of 2 x 4 cells further lies the third of the second row: 6 / 8 red there, 3.5 / 8 and 1 / 8 green on average.
    assert float(taken.shifted[0]) == pytest.approx((8 * (6 / 8 - 3.5 / 8) - 1 / 8) / 8, abs=0.01)  # views have 8 bits


@pytest.mark.slow
def test_a_bank_of_parts_says_what_it_is_worth_on_other_images() -> None:
    images = pictures()
    model = lt.split(small_cnn(), example=images[:4], class_names=("ant", "bee", "cat"))
    bank = lt.PartPrototypes(n_prototypes=2).fit(model, images, labels=[index % 3 for index in range(90)])
    measures = bank.provenance.measures
    assert measures["held_out_images"] == 18
    assert {"held_out_purity", "own_purity", "deletion_agreement", "area_agreement", "shifted_drop"} <= measures.keys()
    assert isinstance(bank.coordinates, HeadParts)
    weak = bank.coordinates.surroundings
    assert bool(weak.any())
    assert [name.endswith(f"({WEAK})") for name in bank.unit_names] == weak.tolist()
    assert (bank.coordinates.measures["density"] < 0.75).tolist() == weak.tolist()
    for target in range(3):
        flags = weak[bank.coordinates.units_of(target)].int()
        assert bool((flags.diff() >= 0).all())
    for index in range(5):
        why = bank.explain(images[index])
        last = [row.name.endswith(f"({WEAK})") for row in why.rows]
        assert last == sorted(last)
        assert abs(why.gap()) < 1e-5


@pytest.mark.slow
def test_images_that_are_kept_back_teach_no_part() -> None:
    images, labels = pictures(60), torch.tensor([index % 2 for index in range(60)])
    model = lt.split(small_cnn(), example=images[:4])
    from likethat.explainers.parts.fit import PartFit
    from likethat.fitting.held_out import kept_back

    features = collect(model, lt.Images(images))
    back = kept_back(features, labels, seed=0)
    assert len(back) == 12

    def vectors() -> torch.Tensor:
        return PartFit(
            model=model, source=lt.Images(images), features=features, classes=labels,
            options=lt.PartPrototypes(cells_per_class=100), shares=lt.PartPrototypes().shares, back=back,
        ).run(None).vectors  # fmt: skip

    before = vectors()
    features.maps[back] = 5.0
    assert torch.equal(before, vectors())


@pytest.mark.slow
def test_one_part_for_a_whole_class_and_too_few_images_are_said() -> None:
    images = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))  # noise: no parts to agree on
    model = lt.split(small_cnn(), example=images[:4], class_names=("ant", "bee", "cat"))
    bank = lt.PartPrototypes("auto", n_prototypes=2).fit(model, images, labels=[0] * 4 + [1] * 4)
    assert [name for name in bank.unit_names if "part 2" in name] == []
    assert any("classes 'ant', 'bee' bear out no more than one part" in note for note in bank.provenance.notes)
    assert "Too few images of any class" in bank.provenance.warning
    assert not math.isnan(bank.provenance.measures["purity"])
