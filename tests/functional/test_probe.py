"""The probe that spreads marks."""

import math

import pytest
import torch

from likethat.functional.probe import Probe, fit_probe


def test_tells_separate_cells_apart() -> None:
    rng = torch.Generator().manual_seed(0)
    cells = torch.randn(120, 6, generator=rng)
    names = (cells[:, 0] > 0).long()
    probe = fit_probe(cells, torch.nn.functional.one_hot(names, 2).float(), torch.arange(120) // 10)
    shares = probe.shares(cells)
    assert torch.allclose(shares.sum(1), torch.ones(120), atol=1e-5)
    assert float((shares.argmax(1) == names).float().mean()) > 0.95
    assert probe.accuracy > 0.85


def test_shares_of_cells_all_alike_are_those_of_the_targets() -> None:
    targets = torch.tensor([[0.25, 0.75]]).repeat(8, 1)
    probe = fit_probe(torch.ones(8, 3), targets, torch.arange(8) // 4, penalties=(1e-3,))
    assert torch.allclose(probe.shares(torch.ones(1, 3)), targets[:1], atol=1e-2)


def test_one_image_has_no_accuracy() -> None:
    probe = fit_probe(torch.randn(6, 2, generator=torch.Generator().manual_seed(0)), torch.eye(2).repeat(3, 1),
                      torch.zeros(6, dtype=torch.long))  # fmt: skip
    assert math.isnan(probe.accuracy)


def test_readers_rise_with_the_log_odds() -> None:
    # Weights (2, 0) and (0, 4) less their mean (1, 2), over scales (1, 2): (1, -2) -> (1, -1) and (-1, 2) -> (-1, 1).
    probe = Probe(
        weight=torch.tensor([[2.0, 0.0], [0.0, 4.0]]),
        bias=torch.zeros(2),
        centre=torch.zeros(2),
        scale=torch.tensor([1.0, 2.0]),
        penalty=0.1,
        accuracy=1.0,
    )
    assert probe.detectors().tolist() == [[1.0, -1.0], [-1.0, 1.0]]


def test_two_images_are_enough_for_an_accuracy() -> None:
    cells = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(4, 1)
    probe = fit_probe(cells, torch.eye(2).repeat(4, 1), torch.arange(8) // 4)
    assert probe.accuracy == pytest.approx(1.0)
