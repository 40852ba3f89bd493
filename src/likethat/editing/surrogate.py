"""A Bayesian linear model of what edits do to a model's answer: of words that go, and of words that come."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

_SPREADS = (0.05, 0.1, 0.2, 0.3, 0.45, 0.7, 1.0, 1.6, 3.2)
"""Of a word's effect, in log-odds: 0.05 is that of a word that says nothing, 3.2 decides alone."""
_NOISES = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Of what is not linear, a changed word; log-odds."""
_SLOPE, _SLOPE_SPREAD = 0.5, 1.0
"""Of what is known of words before: label log-odds are larger than a model's as often as smaller."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Belief:
    """What is known before anything is asked.

    Attributes:
        expected: (feature,) effect of each word that goes, then of each that may come; zeros where nothing is known.
    """

    expected: Float[Tensor, " feature"]


class LinearBelief:
    """Effects w of features on the margin: margin = margin of the source + row @ w + noise.

    w = slope * expected + N(0, spread^2), and the noise grows with the number of changed words, since what is not
    linear lies between them. Spread and noise are those under which the answers are likeliest (empirical Bayes).

    Args:
        belief: what is known before.

    Source:
        MacKay (1992), Bayesian interpolation; Matheron's rule for draws (Wilson et al. 2020).
    """

    def __init__(self, belief: Belief) -> None:
        self._expected = belief.expected.double()
        self._rows: list[Tensor] = []
        self._values: list[float] = []
        self._spread, self._noise = 0.8, 0.3
        self._root = torch.zeros(0, 0, dtype=torch.float64)

    def add(self, rows: Sequence[Float[Tensor, " feature"]], values: Sequence[float]) -> None:
        """Take in answers: margins less that of the source."""
        self._rows += list(rows)
        self._values += list(values)
        self._choose()

    def mean(self) -> Float[Tensor, " feature"]:
        """Return the expected effects."""
        return self._updated(_SLOPE * self._expected, None)

    def draw(self, rng: torch.Generator) -> Float[Tensor, " feature"]:
        """Return effects as they may well be."""
        slope = _SLOPE + _SLOPE_SPREAD * float(torch.randn(1, generator=rng, dtype=torch.float64))
        free = torch.randn(len(self._expected), generator=rng, dtype=torch.float64)
        return self._updated(slope * self._expected + self._spread * free, rng)

    def outcomes(self, rows: Any) -> tuple[Float[NDArray[np.float64], " row"], Float[NDArray[np.float64], " row"]]:
        """Return what is expected of rows, and how unsure that is, as standard deviations without noise.

        Args:
            rows: (row, feature), a sparse table.
        """
        expected = self._expected.numpy()
        squares = np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
        known = rows @ expected
        variance = self._spread**2 * squares + _SLOPE_SPREAD**2 * known**2
        if self._rows:
            X = self._seen()[0].numpy()
            shared = self._spread**2 * (rows @ X.T) + _SLOPE_SPREAD**2 * np.outer(known, X @ expected)
            white = torch.linalg.solve_triangular(self._root, torch.from_numpy(shared.T.copy()), upper=False)
            variance = variance - white.square().sum(dim=0).numpy()
        return rows @ self.mean().numpy(), np.sqrt(np.maximum(variance, 0))

    def _updated(self, effects: Tensor, rng: torch.Generator | None) -> Tensor:
        """Return effects drawn before the answers as they are after them."""
        if not self._rows:
            return effects
        X, changes, y = self._seen()
        left = y - X @ effects
        if rng is not None:
            noise = torch.randn(len(y), generator=rng, dtype=torch.float64)
            left = left - self._noise * changes.sqrt() * noise
        known = X @ self._expected
        dual = torch.cholesky_solve(left[:, None], self._root)[:, 0]
        return effects + self._spread**2 * (X.T @ dual) + _SLOPE_SPREAD**2 * self._expected * (known @ dual)

    def _seen(self) -> tuple[Tensor, Tensor, Tensor]:
        X = torch.stack(self._rows)
        return X, X.abs().sum(1).clamp_min(1), torch.tensor(self._values, dtype=torch.float64)

    def _choose(self) -> None:
        """Take the spread and the noise under which the answers are likeliest."""
        X, changes, y = self._seen()
        known = X @ self._expected
        tried = torch.cartesian_prod(*(torch.tensor(one, dtype=torch.float64) for one in (_SPREADS, _NOISES)))
        spread, noise = tried.square()[:, :, None, None].unbind(1)
        gram = spread * (X @ X.T) + _SLOPE_SPREAD**2 * torch.outer(known, known) + torch.diag(changes) * noise
        roots = torch.linalg.cholesky(gram + 1e-9 * torch.eye(len(y), dtype=torch.float64))
        white = torch.linalg.solve_triangular(roots, (y - _SLOPE * known)[:, None], upper=False)
        evidence = -0.5 * white.square().sum(dim=(1, 2)) - roots.diagonal(dim1=1, dim2=2).log().sum(dim=1)
        best = int(evidence.argmax())
        (self._spread, self._noise), self._root = tried[best].tolist(), roots[best]
