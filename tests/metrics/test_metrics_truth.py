"""Measures against drawn truth, on a network that is right by construction."""

import math

import pytest
import torch
from torch import nn

import likethat as lt
from likethat.errors import InputError
from likethat.metrics import SURROUNDINGS, PartTruth, evaluate


def test_truth_is_that_of_the_source() -> None:
    source = lt.creatures(6, seed=4)
    truth = PartTruth(source)
    for box in ((0, 0, 8, 8), (40, 40, 56, 56), (30, 60, 70, 90)):
        assert truth.at(2, box) == (source.true_part(2, box) or SURROUNDINGS)
    centres = truth.centres(2)
    masks = source[2].masks
    for name, (x, y) in zip(truth.names, centres, strict=True):
        assert masks[name].any() == (not math.isnan(x))
        if masks[name].any():
            assert 0 <= y < 96


def test_sources_that_do_not_know() -> None:
    with pytest.raises(InputError, match="must know its parts"):
        PartTruth(lt.Images(torch.zeros(2, 3, 4, 4)))  # type: ignore[arg-type]


def test_evaluate_measures_parts_of_drawn_pictures() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 8, stride=8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
        ).eval()
    source = lt.creatures(24, seed=4)
    bank = lt.EPIC(n_prototypes=3).fit(lt.split(network, example=source[0].image[None]), source)
    measures = evaluate(bank, lt.creatures(16, seed=5), n_explained=8, n_deleted=2)
    for name in ("part_consistency", "box_match", "pip_net_purity", "huang_consistency", "huang_stability"):
        value = measures.row()[name]
        assert value is not None
        assert 0.0 <= value <= 1.0
    assert all(item.true_part for item in bank.prototypes)
