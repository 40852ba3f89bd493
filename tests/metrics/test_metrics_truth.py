"""Measures against drawn truth, on a network that is right by construction."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import likethat as lt
from likethat.errors import InputError
from likethat.metrics import SURROUNDINGS, Measures, PartTruth, evaluate
from likethat.metrics._against_truth import Explained, remove_parts


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


@pytest.mark.slow
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
    assert measures.single_deletion is not None
    assert -1.0 <= measures.single_deletion <= 1.0
    assert all(item.true_part for item in bank.prototypes)


@pytest.mark.slow
def test_pictures_may_wear_different_parts() -> None:
    source = lt.creatures(12, seed=6, removed_parts=1.0)
    truth = PartTruth(source)
    assert len(truth.names) == 7
    centres = truth.centres_of(range(12))
    assert centres.shape == (12, 8, 2)
    for index in range(12):
        worn = [name for name, centre in zip(truth.names, centres[index], strict=True) if not math.isnan(centre[0])]
        assert (
            set(worn) == {name for name, mask in source[index].masks.items() if mask.any()} == set(truth.masks(index))
        )


class Tails:
    """A model whose first logit is 1 unless the picture is the one without its tail."""

    def __init__(self, bald: torch.Tensor) -> None:
        self.bald = bald

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.tensor([float(not torch.equal(image, self.bald)), 0.0]) for image in images])


@pytest.mark.slow
@pytest.mark.parametrize(("part", "expected"), [("tail", 1.0), ("wing", -0.2)])
def test_single_deletion_by_drawing_again(part: str, expected: float) -> None:
    """One of 6 removable parts has all importance, the tail all the drop. Elsewhere ranks are 6 and five times 3:

    with deviations 2.5 and five times -.5, the correlation of two such rankings with different tops is
    (2 * 2.5 * -.5 + 4 * .25) / (2.5^2 + 5 * .25) = -1.5 / 7.5 = -.2.
    """
    source = lt.creatures(1, seed=4)
    heat_map = source[0].masks[part].astype(np.float32)
    why = SimpleNamespace(target=0, logit=1.0, rows=(SimpleNamespace(heat_map=heat_map),))
    explained = Explained(indices=[0], explanations=[why])  # type: ignore[list-item]
    model = Tails(source.without(0, "tail").image)
    assert remove_parts(model, source, PartTruth(source), explained, n=1) == pytest.approx(expected)  # type: ignore[arg-type]


def test_every_measure_says_what_it_means() -> None:
    meanings = Measures.meanings()
    assert list(meanings) == [each.name for each in dataclasses.fields(Measures)]
    assert meanings["blur_drop"] == "the same with the windows out of focus instead of blank"
    assert meanings["single_deletion"].endswith("when the picture is drawn without it, in [-1, 1]")
