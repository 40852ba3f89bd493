"""How parts are made to add up to the head vector, worked out by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor

from likethat.explainers.parts.cells import ClassCells
from likethat.explainers.parts.splitting import ClassParts, described, join, ordered, split_by_sharing, whole

AXES = torch.eye(3)


def of_cells(cells: Tensor) -> ClassCells:
    n = len(cells)
    return ClassCells(
        target=0, cells=cells, images=torch.arange(n), places=torch.zeros(n, dtype=torch.long), rows=torch.arange(n),
        n_all=n,
    )  # fmt: skip


def test_the_residual_is_shared_by_the_sizes_of_the_heat_maps() -> None:
    cells = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    # Along the first two axes the head vector (3, 4, 5) has 3 and 4; their maps are (3, 0) and (0, 4), of 9 and 16.
    found = split_by_sharing(cells, AXES[:2], torch.tensor([3.0, 4.0, 5.0]), shares=lambda sizes: sizes / sizes.sum())
    torch.testing.assert_close(found, torch.tensor([[3.0, 0.0, 1.8], [0.0, 4.0, 3.2]]).double())


def test_how_much_is_residual_and_what_it_moves() -> None:
    cells = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    head = torch.tensor([3.0, 4.0, 0.0])
    vectors = torch.tensor([[3.0, 0.0, 4.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.0]])
    found = described(cells, AXES, vectors, head)
    # Part 0 is 3 along its axis and 4 of residual; part 1 its axis alone; part 2 nothing at all.
    assert found["residual"].tolist() == pytest.approx([4 / 7, 0.0, 0.0])
    moved = 1 - np.corrcoef([3, 0, 0, 3], [3, 0, 4, 7])[0, 1]
    assert found["moved"].tolist() == pytest.approx([moved, 0.0, 1.0])


def test_a_class_that_is_not_split_is_read_by_its_look_where_it_has_one() -> None:
    head = torch.tensor([1.0, -2.0])
    for cells in (None, of_cells(torch.zeros(0, 2)), of_cells(torch.zeros(3, 2))):
        assert torch.equal(whole(0, head, cells).centroids, head[None])
    one = whole(2, head, of_cells(torch.tensor([[0.0, 1.0], [0.0, 3.0]])))
    assert torch.equal(one.centroids, torch.tensor([[0.0, 2.0]]))
    assert (one.target, one.names, one.surroundings.tolist()) == (2, ("whole",), [False])


def test_ordering_takes_all_of_a_part_along() -> None:
    parts = ClassParts(
        target=1, vectors=AXES, centroids=2 * AXES, detectors=3 * AXES, names=("low", "weak", "high"),
        surroundings=torch.tensor([False, True, False]), measures={"error": torch.tensor([0.0, 0.1, 0.2])},
        curves={"error": (0.5,)},
    )  # fmt: skip
    # They supply (1 + 3) / 2 = 2, 9 and (5 + 3) / 2 = 4; what surrounds the object stands last whatever it supplies.
    found = ordered(parts, torch.tensor([[1.0, 9.0, 5.0], [3.0, 9.0, 3.0]]))
    assert found.names == ("high", "low", "weak")
    assert torch.equal(found.vectors, AXES[[2, 0, 1]])
    assert torch.equal(found.centroids, 2 * AXES[[2, 0, 1]])
    assert torch.equal(found.detectors, 3 * AXES[[2, 0, 1]])
    assert found.surroundings.tolist() == [False, False, True]
    assert found.measures["error"].tolist() == pytest.approx([0.2, 0.0, 0.1])
    assert (found.target, found.curves) == (1, {"error": (0.5,)})


def test_parts_that_supply_as_much_keep_their_order() -> None:
    n = 40
    parts = ClassParts(
        target=0, vectors=torch.ones(n, 1), centroids=torch.arange(float(n))[:, None], detectors=torch.ones(n, 1),
        surroundings=torch.arange(n) % 3 == 0,
    )  # fmt: skip
    found = ordered(parts, torch.ones(2, 1)).centroids.flatten().int().tolist()
    assert found == [place for place in range(n) if place % 3] + list(range(0, n, 3))


def test_parts_of_all_classes_stand_by_class_and_what_is_not_known_is_nan() -> None:
    def parts(target: int, n: int, **more: object) -> ClassParts:
        return ClassParts(
            target=target, vectors=(target + 1) * AXES[:n], centroids=AXES[:n], detectors=AXES[:n],
            surroundings=torch.tensor([False] * (n - 1) + [True]), **more,  # type: ignore[arg-type]
        )  # fmt: skip

    marked = parts(0, 2, names=("beak", "surroundings"), measures={"moved": torch.tensor([0.5, 0.25])})
    tried = parts(1, 3, measures={"error": torch.tensor([0.1, 0.2, 0.3])}, curves={"error": (0.9, 0.8, 0.7)})
    less = parts(2, 1, curves={"error": (0.6,), "agreement": (1.0, 0.5)})
    head = torch.stack([item.vectors.sum(0) for item in (marked, tried, less)])
    found = join([less, marked, tried], head, ("ant", "bee", "cat"))
    assert list(found.unit_names) == [
        "ant, beak", "ant, surroundings", "bee, part 1", "bee, part 2", "bee, part 3 (surroundings / weak)",
        "cat, part 1 (surroundings / weak)",
    ]  # fmt: skip
    assert found.class_of.tolist() == [0, 0, 1, 1, 1, 2]
    assert torch.equal(found.summands(1).float(), 2 * AXES)
    assert list(found.measures) == ["error", "moved"]
    np.testing.assert_allclose(found.measures["error"], [np.nan, np.nan, 0.1, 0.2, 0.3, np.nan])
    np.testing.assert_allclose(found.measures["moved"], [0.5, 0.25, np.nan, np.nan, np.nan, np.nan])
    assert list(found.curves) == ["agreement", "error"]
    gap = [np.nan] * 3
    np.testing.assert_allclose(found.curves["error"], [gap, [0.9, 0.8, 0.7], [0.6, np.nan, np.nan]])
    np.testing.assert_allclose(found.curves["agreement"], [gap, gap, [1.0, 0.5, np.nan]])
