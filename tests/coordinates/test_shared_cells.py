"""Shared cells: shares add up whatever the looks are, look-alikes are near and never two of one image."""

from typing import Any

import pytest
import torch

from likethat.coordinates import PhotoRegions, SharedCells, SuperclassParts
from likethat.errors import InputError
from likethat.functional.factorisation import regions_of


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def superclass_parts(*, wide: int = 1) -> SuperclassParts:
    basis = torch.rand(5, 8 * wide, generator=rng())
    groups = torch.tensor([0, 1, 1, 0])
    names = [f"part {one}" for one in range(5)]
    return SuperclassParts(basis, torch.tensor([0, 0, 0, 1, 1]), groups, n_channels=8, unit_names=names)


def regions(n_shown: int = 1, n_images: int = 6) -> PhotoRegions:
    """Image i is of class i; class i's row of the head is near i - 1's and i + 1's."""
    angle = torch.arange(n_images) * 0.4
    head = torch.stack([angle.cos(), angle.sin(), *torch.zeros(2, n_images)], dim=1)
    basis = torch.rand(2 * n_images, 4, generator=rng(1))
    owners = torch.arange(n_images).repeat_interleave(2)
    names = [f"region {one}" for one in range(2 * n_images)]
    classes = torch.arange(n_images)
    return PhotoRegions(basis, owners, classes, head_weight=head, unit_names=names, n_regions=2, n_shown=n_shown)


@pytest.mark.parametrize("coordinates", [superclass_parts(), superclass_parts(wide=2), regions()])
@pytest.mark.parametrize("kind", ["random", "signed", "zeros"])
def test_shares_of_a_cell_add_up_to_one(coordinates: Any, kind: str) -> None:
    assert isinstance(coordinates, SharedCells)
    cells = torch.rand(coordinates.n_channels, 9, generator=rng(2)) - (0.5 if kind == "signed" else 0)
    divided = coordinates.divide(cells * (kind != "zeros"), 1)
    assert torch.allclose(divided.shares.sum(0), torch.ones(9, dtype=torch.float64), atol=1e-12)
    assert float(divided.shares.min()) >= 0
    assert len(divided.names) == len(divided.units) == len(divided.alike) == len(divided.centroids)


def test_a_class_is_divided_among_its_superclass() -> None:
    coordinates = superclass_parts()
    cells = torch.rand(8, 9, generator=rng(2))
    assert coordinates.divide(cells, 2).units.tolist() == [3, 4]
    assert coordinates.divide(cells, 3).alike == ((0,), (1,), (2,))
    assert coordinates.n_owners == 2


def test_look_alikes_are_of_the_nearest_classes_one_an_image_and_most_alike_first() -> None:
    coordinates = regions()
    cells = torch.rand(4, 9, generator=rng(3))
    divided = coordinates.divide(cells, 3)
    cosines = torch.nn.functional.normalize(divided.centroids) @ torch.nn.functional.normalize(coordinates.basis).T
    for row, alike in zip(cosines, divided.alike, strict=True):
        images = [unit // 2 for unit in alike]
        assert set(images) <= {2, 3, 4}  # twice as many as are shown, and one
        assert len(images) == len(set(images)) == 2  # one more than is shown
        best = [float(row[2 * image : 2 * image + 2].max()) for image in (2, 3, 4)]
        assert [float(row[unit]) for unit in alike] == sorted(best, reverse=True)[:2]


def test_an_image_of_the_bank_finds_itself_first() -> None:
    other = regions(n_shown=2)
    cells = torch.rand(4, 9, generator=rng(4))
    basis = other.basis.clone()
    basis[4:6] = regions_of(cells.T[None], 2)[0]
    coordinates = PhotoRegions(
        basis, other.owners, other.image_classes, head_weight=torch.rand(6, 4), unit_names=other.unit_names, n_regions=2
    )
    assert [alike[0] for alike in coordinates.divide(cells, 2).alike] == [4, 5]


def test_detectors_find_their_own_look_beside_others_of_their_owner() -> None:
    coordinates = superclass_parts()
    units = torch.arange(5)
    answers = coordinates.detectors(units) @ coordinates.centroids.T
    assert bool((answers.diagonal() > 0).all())
    assert torch.allclose(coordinates.purity(3 * coordinates.centroids, units), torch.ones(5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"basis": torch.rand(5, 7)}, "`basis` must be"),
        ({"owners": torch.tensor([0, 0, 2, 2, 2])}, "`owners` must ascend from 0"),
        ({"owners": torch.tensor([1, 1, 1, 1, 1])}, "`owners` must ascend from 0"),
        ({"owners": torch.tensor([0, 0])}, "must be one a unit"),
        ({"class_groups": torch.tensor([0, 2, 0, 0])}, "`class_groups` must be from 0 to 1"),
        ({"unit_names": ["one"]}, "must be one a unit"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {
        "basis": torch.rand(5, 8),
        "owners": torch.tensor([0, 0, 0, 1, 1]),
        "class_groups": torch.tensor([0, 1, 1, 0]),
        "unit_names": ["a", "b", "c", "d", "e"],
    } | change
    with pytest.raises(InputError, match=message):
        SuperclassParts(given["basis"], given["owners"], given["class_groups"], n_channels=8,
                        unit_names=given["unit_names"])  # fmt: skip


def test_regions_of_no_such_class_are_refused() -> None:
    for classes, n, message in (([0, 9], 2, "`image_classes` must be"), ([0, 1], 0, "`n_regions` and")):
        with pytest.raises(InputError, match=message):
            PhotoRegions(torch.rand(2, 4), torch.tensor([0, 1]), torch.tensor(classes), head_weight=torch.rand(3, 4),
                         unit_names=["a", "b"], n_regions=n)  # fmt: skip


def test_one_region_and_one_shown_will_do() -> None:
    found = PhotoRegions(
        torch.rand(2, 4), torch.tensor([0, 1]), torch.tensor([0, 2]), head_weight=torch.rand(3, 4),
        unit_names=["a", "b"], n_regions=1, n_shown=1,
    )  # fmt: skip
    assert found.n_units == 2
