"""Two states against one: worked out by hand, and against the formula written with loops."""

import math

import pytest
import torch

from likethat.functional.two_states import step, two_states


def drawn(
    shares: list[float], n: int = 400, gap: float = 4.0, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Values of classes that lie apart, each with its own share of a state that adds `gap`."""
    rng = torch.Generator().manual_seed(seed)
    groups = torch.arange(n * len(shares)) % len(shares)
    on = torch.rand(len(groups), generator=rng) < torch.tensor(shares)[groups]
    return torch.randn(len(groups), generator=rng) + 10.0 * groups + gap * on, groups, on


def test_shares_of_each_class_and_the_states_come_back() -> None:
    values, groups, on = drawn([0.9, 0.1, 0.3])
    fit = two_states(values[None], groups, n_groups=3)
    assert fit.share[0].tolist() == pytest.approx([0.9, 0.1, 0.3], abs=0.05)
    assert float(((fit.on[0] > 0.5) == on).double().mean()) > 0.96
    assert float(fit.gap[0]) == pytest.approx(4, abs=0.2)
    assert float(fit.separation[0]) == pytest.approx(4, abs=0.3)
    assert float(fit.spread[0]) == pytest.approx(0.8, abs=0.05)
    assert torch.equal(values > fit.cut[0][groups], fit.on[0] > 0.5)


def test_one_state_gains_next_to_nothing_and_rows_do_not_mix() -> None:
    values, groups, _ = drawn([0.0, 0.0])
    other, _, _ = drawn([0.5, 0.5])
    fit = two_states(torch.stack([values, other]), groups, n_groups=2)
    alone = two_states(other[None], groups, n_groups=2)
    assert float(fit.gain[0]) < 0.01
    assert float(fit.gain[1]) > 0.1
    assert torch.allclose(fit.on[1], alone.on[0])


def test_units_and_places_of_classes_do_not_matter() -> None:
    values, groups, _ = drawn([0.9, 0.1])
    fit, other = (two_states(each[None], groups, n_groups=2) for each in (values, 1e3 * values - 7.0 * groups))
    assert torch.allclose(fit.gains, other.gains, atol=1e-6)
    assert float(other.gap[0]) == pytest.approx(1e3 * float(fit.gap[0]), rel=1e-5)


def test_a_class_of_one_state_says_nothing_of_its_share() -> None:
    values, groups, _ = drawn([0.3, 0.0, 1.0])
    assert float(two_states(values[None], groups, n_groups=3).spread[0]) == 0  # a single class has both


def test_constant_values_and_empty_classes_are_no_states() -> None:
    fit = two_states(torch.ones(1, 9), torch.zeros(9, dtype=torch.long), n_groups=4)
    assert bool(torch.isfinite(fit.gain).all() & torch.isfinite(fit.share).all())
    assert float(fit.score[0]) == 0


def test_a_step_is_the_formula() -> None:
    values, groups, _ = drawn([0.8, 0.2], n=20)
    z = torch.stack([values.double() - 10.0 * groups - 2])
    z = (z - torch.stack([z[0][groups == g].mean() for g in range(2)])[groups]) / z.std()
    z = z / z.square().mean().sqrt()
    z = z + torch.tensor([0.4, -0.3], dtype=torch.float64)[groups]  # states are told apart wherever a group lies
    on = torch.rand(1, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    fit = step(z, groups, on, n_groups=2)
    s, x = on[0].tolist(), z[0].tolist()
    rows = {g: [i for i in range(40) if int(groups[i]) == g] for g in range(2)}
    mean_s = {g: sum(s[i] for i in rows[g]) / 20 for g in rows}
    top = sum((s[i] - mean_s[g]) * x[i] for g in rows for i in rows[g])
    gap = top / sum(s[i] - mean_s[g] * s[i] for g in rows for i in rows[g])
    low = {g: sum(x[i] - gap * s[i] for i in rows[g]) / 20 for g in rows}
    left = [(1 - s[i]) * (x[i] - low[g]) ** 2 + s[i] * (x[i] - low[g] - gap) ** 2 for g in rows for i in rows[g]]
    variance = sum(left) / 40
    share = {g: (20 * mean_s[g] + 0.5) / 21 for g in rows}
    for i in range(40):
        g = int(groups[i])
        odds = [
            math.log(p) - (x[i] - m) ** 2 / 2 / variance for p, m in ((1 - share[g], low[g]), (share[g], low[g] + gap))
        ]
        two = math.log(sum(map(math.exp, odds))) - math.log(variance) / 2
        assert float(fit.gains[0, i]) == pytest.approx(two + x[i] ** 2 / 2)
        assert float(fit.on[0, i]) == pytest.approx(1 / (1 + math.exp(odds[0] - odds[1])))


def test_a_class_of_one_picture_lies_at_its_own_mean() -> None:
    values, groups, _ = drawn([0.9, 0.1])
    values, groups = torch.cat([values, torch.tensor([50.0])]), torch.cat([groups, torch.tensor([2])])
    with_one = two_states(values[None], groups, n_groups=3)
    assert float(with_one.gap[0]) == pytest.approx(
        float(two_states(values[None, :-1], groups[:-1], n_groups=2).gap[0]), rel=0.02
    )
