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


def test_supplied_is_the_summands_times_the_vectors() -> None:
    parts, vectors = HeadParts(torch.ones(3, 2), torch.tensor([0, 1, 1]), 4 * torch.eye(2)), torch.tensor([[1.0, 2.0]])
    # The parts of class 1 make up (2, 2) of its row (0, 4): each gains (-1, 1), (0, 2), and (1, 2) . (0, 2) = 4.
    assert parts.supplied(1, vectors).tolist() == [[4.0, 4.0]]
    assert parts.supplied(1, vectors, 1).tolist() == [[4.0]]


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


def test_near_duplicates_come_most_alike_first_and_from_a_cosine_of_95_hundredths() -> None:
    # cosines with the first: .8, .96, 1, .94, and one of its own class
    rows = [[1.0, 0.0], [1.0, 0.0], [0.8, 0.6], [0.96, 0.28], [5.0, 0.0], [0.94, (1 - 0.94**2) ** 0.5]]
    class_of = torch.tensor([0, 0, 1, 1, 2, 2])
    found = HeadParts(torch.tensor(rows), class_of, torch.zeros(3, 2))
    assert found.near_duplicates(0) == (4, 3)
    assert found.near_duplicates(0, from_cosine=0.9) == (4, 3, 5)
    assert found.near_duplicates(0, from_cosine=-2.0) == (4, 3, 5, 2)
    assert found.near_duplicates(2) == (5,)  # .8 * .94 + .6 * .341 = .957
    alike = HeadParts(torch.ones(4, 2), torch.arange(4), torch.zeros(4, 2))
    assert alike.near_duplicates(2) == (0, 1, 3)  # equals by their number


def test_what_is_left_out_is_the_vectors_numbers_and_nothing() -> None:
    vectors = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    found = HeadParts(vectors, torch.tensor([0, 1, 1]), torch.zeros(2, 2))
    assert found.n_units == 3
    assert found.unit_names == ("class 0, part 1", "class 1, part 1", "class 1, part 2")
    assert torch.equal(found.centroids, vectors)
    assert torch.equal(found.detectors(torch.tensor([2, 0])), vectors[[2, 0]])
    assert found.surroundings.tolist() == [False] * 3
    assert (found.measures, found.curves) == ({}, {})


def test_what_is_given_is_kept_row_for_row() -> None:
    vectors, other, third = (torch.rand(3, 2, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
    found = HeadParts(
        vectors,
        torch.tensor([0, 1, 1]),
        torch.zeros(2, 2),
        centroids=other,
        detectors=third,
        unit_names=["beak", "wing", "sky"],
        surroundings=torch.tensor([False, False, True]),
        measures={"residual": torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)},
        curves={"error": torch.rand(2, 5)},
    )
    assert found.unit_names == ("beak", "wing", "sky")
    assert torch.equal(found.centroids, other)
    assert torch.equal(found.detectors(torch.tensor([1])), third[1:2])
    assert found.surroundings.tolist() == [False, False, True]
    assert found.measures["residual"].dtype == torch.float32
    assert found.curves["error"].shape == (2, 5)
    cosine = float(other[1] @ other[2] / other[1].norm() / other[2].norm())
    assert float(found.purity(other[1:2], torch.tensor([2]))[0]) == pytest.approx(cosine)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"centroids": torch.zeros(3, 4)}, r"`centroids` must be one row a unit, \(2, 4\), got \(3, 4\)"),
        ({"detectors": torch.zeros(2, 5)}, r"`detectors` must be one row a unit, \(2, 4\), got \(2, 5\)"),
        ({"surroundings": torch.zeros(1, dtype=torch.bool)}, r"`surroundings` must be one row a unit, \(2,\), got"),
        ({"measures": {"a": torch.zeros(2), "b": torch.zeros(3)}}, r"`measures\['b'\]` must be .* \(2,\), got \(3,\)"),
    ],
    ids=["centroids", "detectors", "surroundings", "measures"],
)
def test_rows_that_are_no_units_are_named(options: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(InputError, match=message):
        HeadParts(torch.zeros(2, 4), torch.tensor([0, 1]), torch.zeros(2, 4), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("vectors", [torch.zeros(4), torch.zeros(2, 2, 4)], ids=["one axis", "three axes"])
def test_vectors_have_two_axes(vectors: torch.Tensor) -> None:
    with pytest.raises(InputError, match="`vectors` must be"):
        HeadParts(vectors, torch.tensor([0, 1]), torch.zeros(2, 4))


def test_a_class_that_the_head_has_not_is_refused() -> None:
    with pytest.raises(InputError, match="and no other"):
        HeadParts(torch.zeros(3, 4), torch.tensor([0, 1, 2]), torch.zeros(2, 4))
