"""What features of another network foretell, beside the same worked out row by row."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from likethat.functional.foretold import Moments, unforeseen


def rows(n: int = 60, seed: int = 0) -> Tensor:
    """Three columns of one network, and four of another, of which one is its own."""
    rng = torch.Generator().manual_seed(seed)
    first = torch.randn(n, 3, generator=rng, dtype=torch.float64) + 1
    noise = torch.randn(n, 4, generator=rng, dtype=torch.float64)
    second = torch.stack([first[:, 0], first[:, 1] - first[:, 2], first[:, 0] + 0.1 * noise[:, 2], 2 * noise[:, 3]], 1)
    return torch.cat([first, second], 1)


def halves_of(values: Tensor) -> tuple[Moments, Moments]:
    made = (Moments.empty(values.shape[1]), Moments.empty(values.shape[1]))
    for half, moments in enumerate(made):
        for part in values[half::2].split(7):
            moments.add(part)
    return made


def test_row_by_row() -> None:
    values = rows()
    source, target = slice(0, 3), slice(3, 7)
    found = unforeseen(halves_of(values), source, target)
    wanted = np.zeros((60, 4))
    for half in (0, 1):
        learned, kept = values[1 - half :: 2].numpy(), values[half::2].numpy()
        for columns, sign in ((target, 1.0), (source, -1.0)):
            x = learned[:, columns]
            penalty = found.penalty * x.var(0).mean() * len(x)
            fit = Ridge(alpha=penalty).fit(x, learned[:, target])
            wanted[half::2] += sign * fit.predict(kept[:, columns])
    got = found.of(values, torch.arange(60) % 2 == 1)
    assert got.numpy() == pytest.approx(wanted, abs=1e-8)
    assert found.covariance.numpy() == pytest.approx(np.cov(wanted.T, bias=True), abs=1e-8)
    share = found.covariance.diagonal() / values[:, target].var(0)
    assert share[:2].max() < 0.01
    assert share[3] > 0.7  # what the second alone has


def test_the_penalty_is_the_one_that_foretells_most() -> None:
    rng = torch.Generator().manual_seed(1)
    noise, more = (torch.randn(40, n, generator=rng, dtype=torch.float64) for n in (30, 1))
    chosen = []
    for size in (0.1, 1.0, 3.0):
        values = torch.cat([noise, noise[:, :1] + size * more], 1).numpy()
        missed = {}
        for penalty in (1e-4, 1e-3, 1e-2, 1e-1, 1.0):
            missed[penalty] = 0.0
            for learned, kept in ((values[::2], values[1::2]), (values[1::2], values[::2])):
                alpha = penalty * learned[:, :30].var(0).mean() * len(learned)
                fit = Ridge(alpha=alpha).fit(learned[:, :30], learned[:, 30])
                missed[penalty] += float(np.square(fit.predict(kept[:, :30]) - kept[:, 30]).sum())
        found = unforeseen(halves_of(torch.from_numpy(values)), slice(0, 30), slice(30, 31))
        assert found.penalty == min(missed, key=lambda one: missed[one])
        chosen.append(found.penalty)
    assert len(set(chosen)) > 1


def test_nothing_is_unforeseen_of_the_same_features_even_where_rows_are_few() -> None:
    values = rows(8)[:, 3:]
    twice = torch.cat([values, values @ torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q], 1)
    found = unforeseen(halves_of(twice), slice(0, 4), slice(4, 8))
    assert float(found.covariance.abs().max()) < 1e-12


def test_columns_that_never_vary_are_no_error() -> None:
    values = torch.cat([torch.ones(20, 2, dtype=torch.float64), rows(20)[:, 6:]], 1)
    found = unforeseen(halves_of(values), slice(0, 2), slice(2, 3))
    assert float(found.covariance / values[:, 2].var()) == pytest.approx(1, abs=0.2)
