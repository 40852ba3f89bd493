"""Parts of a head: exact for whatever parts, named, and clear about wrong ones."""

import pytest
import torch

from likethat.coordinates import HeadParts
from likethat.errors import InputError


def parts() -> tuple[HeadParts, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    head = torch.randn(3, 8, generator=rng)
    class_of = torch.tensor([0, 0, 1, 2, 2, 2])
    centroids = torch.rand(6, 8, generator=rng)
    centroids[4] = 2 * centroids[0] + 1e-3
    return HeadParts(torch.randn(6, 8, generator=rng), class_of, head, centroids=centroids), head


def test_summands_add_up_to_the_head_whatever_the_vectors() -> None:
    coordinates, head = parts()
    for target in range(3):
        total = coordinates.summands(target).sum(0)
        assert float((total - head[target]).norm() / head[target].norm()) < 1e-14
        single = coordinates.summands(target).float().sum(0)
        assert float((single - head[target]).norm() / head[target].norm()) < 1e-6


def test_leftover_is_shared_alike_by_hand() -> None:
    # v = (1, 2); parts sum to (1, 1.5), so each gets (0, 0.25).
    found = HeadParts(
        torch.tensor([[1.0, 0.0], [0.0, 1.5]]), torch.tensor([0, 0]), torch.tensor([[1.0, 2.0]])
    ).summands(0)
    assert torch.allclose(found.float(), torch.tensor([[1.0, 0.25], [0.0, 1.75]]))


def test_units_names_and_owners() -> None:
    coordinates, _ = parts()
    assert coordinates.units_of(2).tolist() == [3, 4, 5]
    assert coordinates.unit_names[4] == "class 2, part 2"
    assert int(coordinates.class_of[4]) == 2
    assert torch.equal(coordinates.detectors(torch.tensor([1])), coordinates.vectors[1:2])


def test_purity_is_the_cosine_with_the_look() -> None:
    coordinates, _ = parts()
    units = torch.tensor([0, 3])
    assert torch.allclose(coordinates.purity(3 * coordinates.centroids[units], units), torch.ones(2))
    assert coordinates.purity(torch.zeros(1, 8), torch.tensor([0])).tolist() == [0.0]


def test_twins_are_of_other_classes() -> None:
    coordinates, _ = parts()
    assert 4 in coordinates.near_duplicates(0, from_cosine=0.99)
    assert 0 in coordinates.near_duplicates(4, from_cosine=0.99)
    assert 1 not in coordinates.near_duplicates(0, from_cosine=-2.0)


@pytest.mark.parametrize(
    ("vectors", "class_of", "options", "message"),
    [
        (torch.zeros(2, 3), [0, 1], {}, r"`vectors` must be \(unit, channel\) = \(unit, 4\)"),
        (torch.zeros(2, 4), [1, 0], {}, "ascending"),
        (torch.zeros(2, 4), [0], {}, "`class_of` must be the class of each of 2 units"),
        (torch.zeros(2, 4), [0, 0], {}, "each of 2 classes at least once"),
        (torch.zeros(2, 4), [0, 1], {"unit_names": ["beak"]}, "one name a unit, 2, got 1"),
    ],
    ids=str,
)
def test_bad_parts(vectors: torch.Tensor, class_of: list[int], options: dict[str, list[str]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        HeadParts(vectors, torch.tensor(class_of), torch.zeros(2, 4), **options)  # type: ignore[arg-type]
