"""Measures without truth: by hand, and at their ends."""

import numpy as np
import pytest
import torch
from reference import epic as reference
from torch import nn
from toys import pictures, small_cnn

import likethat as lt
from likethat.coordinates import Rotation
from likethat.errors import InputError
from likethat.features import collect
from likethat.functional import random_rotation
from likethat.metrics import channel_stability, evaluate, held_out_purity, mean_coverage, rank_agreement
from likethat.metrics.deletion import blank, delete_rows, window_round


@pytest.fixture(scope="module")
def model() -> lt.SplitModel:
    return lt.split(small_cnn(), example=pictures(4))


@pytest.mark.slow
def test_held_out_purity_against_loops(model: lt.SplitModel) -> None:
    features = collect(model, lt.Images(pictures(50, seed=3)))
    mixing = random_rotation(16, rng=torch.Generator().manual_seed(0))
    rotation = Rotation(mixing, model.head.weight)
    assert held_out_purity(features, rotation) == pytest.approx(
        reference.mean_purity(features.maps, mixing, 5), abs=1e-5
    )


def test_mean_coverage_by_hand(model: lt.SplitModel) -> None:
    features = collect(model, lt.Images(pictures(9)))
    rotation = Rotation(torch.eye(16), model.head.weight)
    expected = []
    for row in range(9):
        values = (features.means[row] * model.head.weight[features.predicted[row]]).clamp_min(0)
        expected.append(float(values.sort(descending=True).values[:4].sum() / values.sum()))
    assert mean_coverage(features, rotation) == pytest.approx(np.mean(expected), rel=1e-4)


def test_stability_of_shuffled_and_turned_channels() -> None:
    mixing = random_rotation(12, rng=torch.Generator().manual_seed(0))
    same = channel_stability(mixing, mixing[torch.randperm(12, generator=torch.Generator().manual_seed(1))] * 3)
    assert same.matched == 1.0
    assert same.cosine == pytest.approx(1.0)
    other = channel_stability(mixing, random_rotation(12, rng=torch.Generator().manual_seed(2)))
    assert other.matched < 0.2
    with pytest.raises(InputError, match="must have one shape"):
        channel_stability(mixing, torch.eye(3))


def test_rank_agreement_by_hand() -> None:
    # ranks 1 2 3 4 against 1 3 2 4: 1 - 6 * (0 + 1 + 1 + 0) / (4 * 15) = .8
    assert rank_agreement([1, 2, 3, 4], [10, 30, 20, 40]) == pytest.approx(0.8)
    assert rank_agreement([1, 1], [1, 2]) == 0.0


def test_windows_stay_inside_and_keep_their_area() -> None:
    for cell in ((0, 0), (11, 11), (5, 0)):
        left, top, right, bottom = window_round(cell, grid=(12, 12), size=(96, 96))
        assert right - left == bottom - top == 31  # 72 / 224 of 96
        assert left >= 0
        assert top >= 0
        assert max(right, bottom) <= 96


def test_blank_by_hand() -> None:
    view = torch.tensor([[[0.0, 1.0], [1.0, 1.0]]])
    assert blank(view, (0, 0, 1, 1)).tolist() == [[[0.75, 1.0], [1.0, 1.0]]]


def test_blur_by_hand() -> None:
    # sigma .1 of 10 pixels is 1: one bright pixel becomes (e^-d^2/2 / sum)^2 there; far from it nothing changes
    view = torch.zeros(1, 10, 10)
    view[0, 5, 5] = 1.0
    weights = [np.exp(-0.5 * d * d) for d in (-3, -2, -1, 0, 1, 2, 3)]
    blurred = blank(view, (5, 5, 7, 6), fill="blur")
    assert float(blurred[0, 5, 5]) == pytest.approx(1 / sum(weights) ** 2, rel=1e-5)
    assert float(blurred[0, 5, 6]) == pytest.approx(np.exp(-0.5) / sum(weights) ** 2, rel=1e-5)
    assert float(blurred[0, 4, 5]) == 0.0  # outside the box
    flat = torch.full((3, 12, 8), 0.3)
    assert torch.allclose(blank(flat, (0, 0, 8, 12), fill="blur"), flat)


@pytest.mark.slow
def test_evaluate_without_truth(model: lt.SplitModel) -> None:
    bank = lt.EPIC(n_prototypes=3).fit(model, pictures(60))
    measures = evaluate(bank, pictures(30, seed=5), n_explained=10, n_deleted=5)
    assert measures.n_images == 10
    assert measures.gap < 1e-4
    assert -1 <= measures.purity <= 1
    assert 0 < measures.coverage <= 1
    assert measures.box_match is None
    assert measures.single_deletion is None
    assert evaluate(bank, pictures(30, seed=5), n_explained=10, n_deleted=5) == measures  # same seed, same windows
    with pytest.raises(InputError, match="got a stream"):
        evaluate(bank, iter(pictures(3)))
    with pytest.raises(InputError, match="two images or more"):
        evaluate(bank, pictures(1))
    with pytest.raises(InputError, match="n_deleted"):
        evaluate(bank, pictures(3), n_deleted=0)
    with pytest.raises(InputError, match="must differ, got 3 images"):
        evaluate(bank, pictures(1).expand(3, -1, -1, -1))


def test_deletion_of_a_linear_network_by_hand() -> None:
    """Logits are means of the red and green halves: blanking a row's window takes away what the row supplies."""
    network = nn.Sequential(
        nn.Conv2d(2, 2, 4, stride=4, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)
    )
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].weight[0, 0] = network[0].weight[1, 1] = 1 / 16
        network[3].weight.copy_(torch.eye(2) + 0.5)
        network[3].bias.zero_()
    images = torch.zeros(40, 2, 16, 16)
    rng = torch.Generator().manual_seed(0)
    for place, image in enumerate(images):
        cells = torch.randperm(16, generator=rng)[:2].tolist()
        for channel, cell in enumerate(cells):
            row, column = divmod(cell, 4)
            image[channel, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = (1.0 - 0.5 * channel) / (place + 1)
    linear = lt.split(network.eval(), example=images[:4])
    bank = lt.EPIC(n_prototypes=3).fit(linear, images)
    why = bank.explain(images[0], target=0, top=2)
    found = delete_rows(linear, why, rng=np.random.default_rng(0))
    # red: 1 of 16 cells at weight 1.5; green: half a cell at weight .5. The window of 5 pixels covers a cell.
    assert [row.contribution for row in why.rows] == pytest.approx([1.5 / 16, 0.25 / 16], abs=1e-4)
    assert found.agreement == 1.0
    assert found.shown_drop > found.random_drop
