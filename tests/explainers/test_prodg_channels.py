"""Where channels of ProDG begin, by hand."""

from typing import Any

import pytest
import torch
from painted import Painted, mixing
from reference import prodg as slow
from torch import nn
from toys import small_cnn

import likethat as lt
from likethat.explainers.prodg import controls
from likethat.explainers.prodg.channels import best_samples, channels_of_class, n_candidates_of, respond
from likethat.features import Features, collect
from likethat.generators import Generated


@pytest.fixture(scope="module")
def model() -> lt.SplitModel:
    return lt.split(small_cnn(), example=torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)))


@pytest.fixture(scope="module")
def features(model: lt.SplitModel) -> Features:
    return collect(model, Generated(Painted(), 40))


def of_two_channels(differences: list[float], predicted: list[int]) -> Features:
    """Samples whose logit of class 0 falls with their number; channel 0 leads channel 1 by these differences."""
    logits = torch.arange(len(differences), 0, -1).float() * 100
    gaps = torch.tensor(differences)
    pooled = torch.stack([logits + gaps, logits - gaps], 1) / 2
    given: Any = {"means": pooled, "pooled": pooled, "predicted": torch.tensor(predicted), "labels": None}
    given |= {"indices": None, "names": [""] * len(pooled), "kept": None, "maps": None, "views": None, "grid": (1, 1)}
    return Features(**given)


@pytest.mark.parametrize(
    ("differences", "n_own", "best"),
    [
        ([-1, -1, -1, -1, 5] + [-20] * 115, 0, 0),  # of 120 samples the five with the highest logit, whose sum is 1
        ([-1] * 9 + [10] + [-20] * 490, 0, 0),  # of 500 the fiftieth part: ten
        ([-1] * 3, 0, 1),  # three, where there are no more
        ([-9] * 10 + [1] * 5, 5, 0),  # five that are given to the class say more than logits
        ([-9] * 10 + [1] * 4, 4, 1),  # four are too few
    ],
)
def test_the_channels_of_a_class_are_read_off_its_most_typical_samples(
    differences: list[float], n_own: int, best: int
) -> None:
    predicted = [1] * (len(differences) - n_own) + [0] * n_own
    samples, head = of_two_channels(differences, predicted), torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    assert channels_of_class(samples, torch.eye(2), head, 0, 1).tolist() == [best]
    assert channels_of_class(samples, torch.eye(2), head, 0, 99).tolist() == [best, 1 - best]
    swapped = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert channels_of_class(samples, swapped, head, 0, 1).tolist() == [1 - best]  # numbers are those of the mixing


@pytest.mark.parametrize(
    ("n_samples", "n", "candidates"), [(1000, 5, 20), (2000, 5, 40), (10, 5, 10), (5, 5, 5), (100, 30, 30)]
)
def test_among_how_many_the_purest_are_chosen(n_samples: int, n: int, candidates: int) -> None:
    assert n_candidates_of(n_samples, n) == candidates


def test_a_black_map_is_of_no_purity() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 16, 4, stride=4, bias=False), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2)
    )
    silent = lt.split(network.eval(), example=torch.rand(2, 3, 16, 16))
    assert respond(silent, torch.zeros(2, 3, 16, 16), mixing()[[1, 2]]).purity.tolist() == [0.0, 0.0]
    _, purity = controls._answers(torch.zeros(2, 16, 4), mixing()[:3], mixing())
    assert purity.tolist() == [[0.0] * 3] * 2


def test_starts_are_the_purest_first(features: Features) -> None:
    starts = best_samples(features, mixing(), torch.tensor([7, 2]), 4)
    assert bool((starts.purity.diff(dim=1) <= 0).all())
    for place, unit in enumerate((7, 2)):
        for rank in range(4):
            purity = slow.purity(features.maps[starts.rows[place, rank]], mixing(), unit)
            assert float(starts.purity[place, rank]) == pytest.approx(purity, abs=1e-5)


def test_an_image_answers_with_the_purity_at_its_peak(model: lt.SplitModel) -> None:
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(6))
    found = respond(model, images, mixing()[[4, 4, 11]])
    with torch.no_grad():
        maps = model.features(model.preprocess.view(images)).flatten(2)
    for place, unit in enumerate((4, 4, 11)):
        assert float(found.purity[place].detach()) == pytest.approx(slow.purity(maps[place], mixing(), unit), abs=1e-5)
    torch.testing.assert_close(found.pooled.detach(), maps.mean(2))
