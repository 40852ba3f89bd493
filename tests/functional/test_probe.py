"""The probe that spreads marks."""

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

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


def marked(noise: float, n: int = 120) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return cells far from 0 in units of their own, their names of three, and the image each comes from."""
    rng = torch.Generator().manual_seed(1)
    names = torch.arange(n) % 3
    cells = torch.nn.functional.one_hot(names, 4).float() + noise * torch.randn(n, 4, generator=rng)
    return (
        cells * torch.tensor([1.0, 10.0, 0.1, 5.0]) + torch.tensor([5.0, -30.0, 1.0, 0.0]),
        names,
        torch.arange(n) // 7,
    )


def test_is_the_logistic_regression_of_scikit_learn() -> None:
    cells, names, images = marked(0.8)
    probe = fit_probe(cells, torch.nn.functional.one_hot(names, 3).float(), images, penalties=(0.02,))
    scaled = StandardScaler().fit(cells.numpy())
    assert probe.centre.tolist() == pytest.approx(scaled.mean_.tolist(), rel=1e-4)
    assert probe.scale.tolist() == pytest.approx(scaled.scale_.tolist(), rel=1e-4)
    theirs = LogisticRegression(C=1 / (0.02 * len(cells)), tol=1e-8, max_iter=1000)  # mean loss + .02 / 2 |w|²
    theirs.fit(scaled.transform(cells.numpy()), names.numpy())
    torch.testing.assert_close(probe.weight.double(), torch.from_numpy(theirs.coef_).double(), atol=2e-3, rtol=0)
    expected = torch.from_numpy(theirs.predict_proba(scaled.transform(cells.numpy())))
    torch.testing.assert_close(probe.shares(cells).double(), expected.double(), atol=1e-3, rtol=0)


def test_the_penalty_and_the_accuracy_are_those_of_images_left_out() -> None:
    cells, names, images = marked(0.8)
    penalties = (1.0, 0.02, 1e-4)
    probe = fit_probe(cells, torch.nn.functional.one_hot(names, 3).float(), images, penalties=penalties)
    x = StandardScaler().fit_transform(cells.numpy())
    losses, rights = dict.fromkeys(penalties, 0.0), dict.fromkeys(penalties, 0)
    for fold in range(4):
        out = (images % 4 == fold).numpy()
        for penalty in penalties:
            theirs = LogisticRegression(C=1 / (penalty * int((~out).sum())), tol=1e-8, max_iter=5000)
            theirs.fit(x[~out], names.numpy()[~out])
            answers = theirs.predict_log_proba(x[out])
            losses[penalty] -= answers[range(len(answers)), names.numpy()[out]].sum()
            rights[penalty] += int((answers.argmax(1) == names.numpy()[out]).sum())
    best = min(penalties, key=lambda penalty: losses[penalty])
    assert probe.penalty == best
    assert probe.accuracy == pytest.approx(rights[best] / len(cells), abs=0.009)  # one cell of 120, at a tie


@pytest.mark.parametrize(("noise", "penalty"), [(0.01, 1e-4), (50.0, 1e-1)])
def test_clear_cells_need_the_least_penalty_and_noise_the_most(noise: float, penalty: float) -> None:
    cells, names, images = marked(noise)
    assert fit_probe(cells, torch.nn.functional.one_hot(names, 3).float(), images).penalty == penalty


def test_a_channel_that_never_varies_is_left_as_it_is() -> None:
    cells, names, images = marked(0.5)
    cells[:, 3] = 7.0
    probe = fit_probe(cells, torch.nn.functional.one_hot(names, 3).float(), images, penalties=(0.1,))
    assert (float(probe.centre[3]), float(probe.scale[3])) == (7.0, 1.0)
    assert float(probe.weight[:, 3].abs().max()) == 0.0
    assert float(probe.scale[2]) < 0.1  # a small one keeps its own


def test_faint_cells_are_told_apart_as_bright_ones() -> None:
    rng = torch.Generator().manual_seed(0)
    cells, images = torch.randn(60, 4, generator=rng), torch.arange(60) // 6
    targets = torch.nn.functional.one_hot((cells[:, 0] > 0).long(), 2).float()
    plain, faint = (fit_probe(scale * cells, targets, images).shares(scale * cells) for scale in (1.0, 1e-5))
    torch.testing.assert_close(plain, faint, rtol=1e-3, atol=1e-3)
