"""The highest and lowest rows, with ties, against sorting."""

import pytest
import torch

import likethat.search.topk as module
from likethat.search import top_rows


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
