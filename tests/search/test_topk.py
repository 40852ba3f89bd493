"""The highest and lowest rows, with ties, against sorting."""

import pytest
import torch

import likethat.search.topk as module
from likethat.search import top_rows, varying_units


def test_against_sorting(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    vectors, detectors = torch.randn(200, 12, generator=rng), torch.randn(30, 12, generator=rng)
    monkeypatch.setattr(module, "_BLOCK", 1000)  # several blocks
    rows, values = top_rows(vectors, detectors, 7)
    scores = detectors @ vectors.T
    for unit in range(30):
        expected = sorted(range(200), key=lambda row: -float(scores[unit, row]))[:7]
        assert rows[unit].tolist() == expected
        torch.testing.assert_close(values[unit], scores[unit, expected])


def test_equals_by_row() -> None:
    vectors = torch.tensor([[1.0], [2.0], [1.0], [2.0], [1.0]])
    assert top_rows(vectors, torch.ones(1, 1), 4)[0].tolist() == [[1, 3, 0, 2]]
    assert top_rows(vectors, torch.ones(1, 1), 4, lowest=True)[0].tolist() == [[0, 2, 4, 1]]


def test_all_equal() -> None:
    assert top_rows(torch.zeros(6, 2), torch.ones(3, 2), 3)[0].tolist() == [[0, 1, 2]] * 3


def test_more_than_there_are() -> None:
    assert top_rows(torch.tensor([[1.0], [3.0]]), torch.ones(1, 1), 9)[0].tolist() == [[1, 0]]


def test_the_lowest_against_sorting(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    vectors, detectors = torch.randn(40, 5, generator=rng), torch.randn(9, 5, generator=rng)
    scores = detectors @ vectors.T
    for block in (1, 100, 2**26):  # a unit at a time, two, all
        monkeypatch.setattr(module, "_BLOCK", block)
        rows, values = top_rows(vectors, detectors, 4, lowest=True)
        assert rows.tolist() == scores.argsort(dim=1)[:, :4].tolist()
        torch.testing.assert_close(values, scores.sort(dim=1).values[:, :4])


def test_equals_beyond_the_wanted_number_are_left_out_by_row() -> None:
    scores = torch.tensor([[5.0, 1.0, 7.0, 5.0, 5.0, 0.0], [2.0, 2.0, 2.0, 9.0, 9.0, 9.0]])
    assert top_rows(scores.T, torch.eye(2), 3)[0].tolist() == [[2, 0, 3], [3, 4, 5]]


def test_units_vary_by_a_millionth_of_the_one_that_varies_most(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = torch.tensor([[0.0], [1.0], [0.0]], dtype=torch.float64)
    detectors = torch.tensor([[1.0], [1.5e-6], [0.7e-6], [0.0], [-3e-6]], dtype=torch.float64)
    for block in (1, 7, 2**26):
        monkeypatch.setattr(module, "_BLOCK", block)
        assert varying_units(vectors, detectors).tolist() == [True, True, False, False, True]
    assert varying_units(vectors[:1], detectors).tolist() == [False] * 5
