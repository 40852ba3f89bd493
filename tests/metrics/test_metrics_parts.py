"""Measures against the truth, by hand."""

import numpy as np
import pytest

from likethat.metrics import (
    SURROUNDINGS,
    box_match,
    huang_consistency,
    huang_stability,
    importance_of,
    part_at,
    part_consistency,
    parts_in_windows,
    pip_net_purity,
    single_deletion,
)


def test_part_at_by_hand() -> None:
    part_map = np.zeros((10, 10), dtype=np.uint8)
    part_map[:5, :5], part_map[5, 5] = 1, 2
    assert part_at(part_map, (0, 0, 10, 10), ["eye", "wing"]) == "eye"
    assert part_at(part_map, (5, 5, 7, 7), ["eye", "wing"]) == "wing"  # 1 of 4 pixels
    assert part_at(part_map, (5, 5, 10, 10), ["eye", "wing"]) == SURROUNDINGS  # 1 of 25


def test_consistency_by_hand() -> None:
    found = part_consistency(
        {0: ["eye"] * 5, 1: ["eye"] * 4 + ["wing"], 2: ["eye"] * 3 + ["wing"] * 2, 3: [SURROUNDINGS] * 5, 4: []}
    )
    assert found.consistent == 2 / 4  # 5/5 and 4/5; 3/5 is too few, surroundings are no part, none has no say
    assert found.modal_share == pytest.approx((1 + 0.8 + 0.6 + 1) / 4)
    assert found.surroundings == 5 / 20
    assert found.modal == {0: "eye", 1: "eye", 2: "eye", 3: SURROUNDINGS}


def test_box_match_by_hand() -> None:
    modal = {0: "eye", 1: "wing"}
    assert box_match([(0, "eye"), (0, "wing"), (1, "wing"), (7, "eye")], modal) == pytest.approx(2 / 3)
    assert box_match([], modal) == 0.0


def test_windows_by_hand() -> None:
    centres = np.array([[[10, 10], [14, 10], [16, 10], [np.nan, np.nan]]], dtype=np.float32)
    inside = parts_in_windows(np.array([[11, 9]], dtype=np.float32), centres, window=8)
    assert inside.tolist() == [[True, True, False, False]]


def test_pip_net_purity_by_hand() -> None:
    units = np.array([0, 0, 0, 0, 1, 1])
    inside = np.array([[1, 0], [1, 1], [1, 0], [0, 0], [0, 1], [0, 0]], dtype=bool)
    assert pip_net_purity(units, inside) == pytest.approx((3 / 4 + 1 / 2) / 2)


def test_huang_consistency_counts_visible_parts_alone() -> None:
    units = np.zeros(5, dtype=int)
    inside = np.array([[1, 0], [1, 0], [1, 0], [1, 0], [0, 0]], dtype=bool)
    assert huang_consistency(units, inside, np.ones((5, 2), dtype=bool)) == 1.0  # 4 of 5
    inside[3] = False
    assert huang_consistency(units, inside, np.ones((5, 2), dtype=bool)) == 0.0  # 3 of 5
    visible = np.array([[1, 1], [1, 1], [1, 1], [0, 1], [0, 1]], dtype=bool)
    assert huang_consistency(units, inside, visible) == 1.0  # 3 of the 3 where it is visible
    assert huang_consistency(units, np.zeros((5, 2), dtype=bool), np.zeros((5, 2), dtype=bool)) == 0.0


def test_huang_stability_by_hand() -> None:
    first = np.array([[1, 0], [1, 1], [0, 0]], dtype=bool)
    second = np.array([[1, 0], [1, 0], [0, 0]], dtype=bool)
    assert huang_stability(first, second) == pytest.approx(2 / 3)


def test_importances_add_up_to_the_heat_map() -> None:
    heat_map = np.array([[4.0, 1.0], [-2.0, 0.5]])
    left = np.zeros((6, 6), dtype=bool)
    left[:, :2] = True  # two of the three columns of the left cells
    assert importance_of(heat_map, left) == pytest.approx(2 / 3 * (4 - 2))
    assert importance_of(heat_map, left) + importance_of(heat_map, ~left) == pytest.approx(heat_map.sum())
    assert importance_of(np.ones((3, 3)), np.ones((10, 10), dtype=bool)) == pytest.approx(9)  # uneven cells


def test_single_deletion_by_hand() -> None:
    # 1 for the first image; ranks 1 2 3 against 2 1 3: 1 - 6 * (1 + 1) / (3 * 8) = .5; one part has no order
    assert single_deletion([[1, 2], [1, 2, 3], [7]], [[0.1, 0.2], [5, 4, 9], [1]]) == pytest.approx((1 + 0.5) / 2)
    assert single_deletion([[1, 2]], [[2, 1]]) == -1.0
    assert single_deletion([], []) == 0.0
