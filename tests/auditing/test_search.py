"""The search for two states, on rows whose states are known."""

import pytest
import torch
from planted import planted

from likethat.auditing import search as module
from likethat.auditing.search import gaussian_like, search, states_along, whitened
from likethat.functional.two_states import two_states


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a search climb a few steps: states so far apart are found by the first."""
    monkeypatch.setattr(module, "_CLIMB", 5)


def test_white_values_are_those_of_each_class_without_its_mean() -> None:
    rows, labels, _ = planted()
    white = whitened(rows.float(), labels, n_groups=4)  # a class may be empty
    assert white.features.dtype == torch.float64
    assert white.values.shape == (150, 4)
    torch.testing.assert_close(white.values.T @ white.values / 150, torch.eye(4).double(), atol=1e-6, rtol=0)
    for label in range(3):
        assert float(white.values[labels == label].mean(0).abs().max()) < 1e-6
    apart = rows - torch.stack([rows[labels == label].mean(0) for label in range(3)])[labels]
    torch.testing.assert_close(white.covariance, apart.T @ apart / 150, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(white.values, apart @ white.to_white, atol=1e-4, rtol=1e-4)


def test_what_does_not_vary_is_left_out_and_few_pictures_have_few_directions() -> None:
    rng = torch.Generator().manual_seed(0)
    rows = torch.randn(300, 80, generator=rng, dtype=torch.float64) * torch.linspace(1, 2, 80, dtype=torch.float64)
    groups = torch.zeros(300, dtype=torch.long)
    white = whitened(rows, groups, n_groups=1)
    assert white.values.shape[1] == 30  # one for ten pictures
    largest = torch.linalg.eigvalsh(white.covariance)[-30:]
    torch.testing.assert_close(1 / white.to_white.square().sum(0), largest, atol=1e-6, rtol=1e-6)
    assert whitened(rows[:15], groups[:15], n_groups=1).values.shape[1] == 2
    many = torch.randn(900, 80, generator=rng, dtype=torch.float64)
    assert whitened(many, torch.zeros(900, dtype=torch.long), n_groups=1).values.shape[1] == 64
    for scale, n in ((0.9e-3, 2), (1.1e-3, 3)):  # a millionth of the largest variance is kept, less is not
        flat = torch.randn(200, 3, generator=rng, dtype=torch.float64)
        flat = (flat - flat.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(flat.T, correction=0))).T
        flat[:, 2] *= scale
        assert whitened(flat, torch.zeros(200, dtype=torch.long), n_groups=1).values.shape[1] == n
    assert whitened(torch.ones(40, 3), torch.zeros(40, dtype=torch.long), n_groups=1).values.shape == (40, 0)


@pytest.mark.slow
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_planted_state_is_found_first_and_the_rarer_state_is_on(sign: float) -> None:
    rows, labels, is_on = planted()
    rows = sign * rows
    white = whitened(rows, labels, n_groups=3)
    found = search(white, n=4, seed=0)[0]
    assert torch.equal(found.states.on[0] > 0.5, is_on)
    assert float(found.reader @ found.written) == pytest.approx(1)
    assert float(found.states.gap[0]) == 1
    reading = rows @ found.reader
    assert float(reading[is_on & (labels == 0)].mean() - reading[~is_on & (labels == 0)].mean()) == pytest.approx(
        1, 0.1
    )
    assert torch.equal(reading > found.states.cut[0][labels], is_on)
    towards = torch.tensor([0.0, 0.0, 12.0, 6.0], dtype=torch.float64) * sign  # what the state writes
    assert float(torch.cosine_similarity(found.written, towards, dim=0)) > 0.95
    assert float(found.written.norm()) == pytest.approx(float(towards.norm()), rel=0.15)
    states = states_along(found.reader, rows, labels, n_groups=3)
    torch.testing.assert_close(states.on, found.states.on, atol=1e-6, rtol=0)
    torch.testing.assert_close(states.cut, found.states.cut, atol=1e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_state_that_most_pictures_have_is_turned_round() -> None:
    rows, labels, is_on = planted(gap=-12.0)
    found = search(whitened(rows, labels, n_groups=3), n=1, seed=0)[0]
    assert float(found.states.on.mean()) < 0.5
    assert torch.equal(found.states.on[0] > 0.5, is_on)


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_directions_are_of_different_states_the_clearest_first() -> None:
    rows, labels, _ = planted()
    rng = torch.Generator().manual_seed(9)
    second = torch.rand(150, generator=rng) < torch.tensor([0.1, 0.7, 0.1])[labels]
    rows[:, 0] += 10.0 * second
    white = whitened(rows, labels, n_groups=3)
    found = search(white, n=3, seed=0)
    assert 2 <= len(found) <= 3
    assert len(search(white, n=1, seed=0)) == 1
    scores = [float(one.states.score) for one in found]
    assert scores == sorted(scores, reverse=True)
    assert scores[1] > 0.3  # both are found
    units = torch.nn.functional.normalize(
        torch.stack([one.written @ white.to_white for one in found]), dim=1
    )  # of white readers: r' S r is their product
    alike = (units @ units.T - torch.eye(len(found)).double()).abs()
    assert float(alike.max()) < 0.7


@pytest.mark.slow
def test_it_can_begin_from_a_reader_and_ends_no_lower() -> None:
    rows, labels, is_on = planted()
    white = whitened(rows, labels, n_groups=3)
    rough = torch.tensor([[0.1, 0.1, 0.4, 0.2]], dtype=torch.float64)
    (found,) = search(white, n=3, seed=0, begin=rough)
    assert torch.equal(found.states.on[0] > 0.5, is_on)
    begun = two_states((rows @ rough[0])[None], labels, n_groups=3)
    assert float(found.states.score) > float(begun.score)
    (again,) = search(white, n=3, seed=5, begin=rough)
    assert torch.equal(again.reader, found.reader)  # chance is in the components alone


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_gaussian_rows_are_as_many_and_have_no_states() -> None:
    rows, labels, _ = planted()
    white = whitened(rows, labels, n_groups=3)
    gaussian = gaussian_like(white, seed=4)
    assert gaussian.values.shape == white.values.shape
    assert torch.equal(gaussian.groups, labels)
    drawn = torch.randn(150, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    assert torch.equal(gaussian.features, drawn)
    assert float(search(gaussian, n=1, seed=0)[0].states.score) < 0.4 * float(
        search(white, n=1, seed=0)[0].states.score
    )


def test_what_tells_errors_apart_is_climbed_from() -> None:
    """Where the model says class 0 of whatever has the mark, each contrast of its errors lies along the mark."""
    rows, labels, is_on = planted(600, gap=12.0)
    white = whitened(rows, labels, n_groups=3)
    predicted = torch.where(is_on, 0, torch.where(labels == 0, 1, labels))
    contrasts = module._errors(white, predicted)
    mark = torch.nn.functional.normalize(
        torch.stack([white.values[is_on & (labels == c)].mean(0) - white.values[~is_on & (labels == c)].mean(0)
                     for c in range(3)]).mean(0), dim=0)  # fmt: skip
    assert len(contrasts) >= 2
    assert float((contrasts @ mark).abs().min()) > 0.9  # either sign
    assert len(module._errors(white, labels)) == 0  # a model without errors tells nothing apart
    assert torch.equal(search(white, n=1, seed=0, predicted=labels)[0].reader, search(white, n=1, seed=0)[0].reader)
