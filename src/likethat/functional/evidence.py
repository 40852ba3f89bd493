"""A linear function read from few noisy values, with how sure each weight is."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearFit:
    """Weights of a linear function.

    Attributes:
        mean: (feature,) posterior mean.
        noise: variance of what is not linear.
        spread: prior variance of a weight, before its kernel.
        seen: what the fit was made from; see `draws`.
    """

    mean: Float[Tensor, " feature"]
    noise: float
    spread: float
    seen: "Seen" = field(repr=False)

    def draws(self, prior: Float[Tensor, "draw feature"], *, rng: torch.Generator) -> Float[Tensor, "draw feature"]:
        """Turn draws from the prior N(0, K) into draws from the posterior, for errors of anything made of the weights.

        They are not of the likeliest variances alone, but of all, as likely as each is.

        Args:
            prior: drawn from N(0, K); standard normal where K is the identity.
            rng: of what the rows leave open.

        Source:
            Matheron's rule (Wilson et al. 2020, Efficiently sampling functions from Gaussian process posteriors).
        """
        seen, free, n = self.seen, prior.double(), len(prior)
        which = torch.multinomial(seen.chance, n, replacement=True, generator=rng)
        ratio = seen.ratios[which][:, None]
        noise, others = torch.randn(2, n, len(seen.size), generator=rng, dtype=torch.float64)
        spread = seen.spreads[which][:, None] / others.square().mean(dim=1, keepdim=True)
        answers = free @ seen.X.T @ seen.basis + ratio.sqrt() * noise
        filtered = (seen.rotated - spread.sqrt() * answers) / (seen.size + ratio)
        return (spread.sqrt() * free + filtered @ seen.basis.T @ seen.KX).to(self.mean)


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What was fitted, and how likely each amount of noise is.

    Attributes:
        X: centred rows.
        KX: X @ K.
        basis: eigenvectors of X @ K @ X.T, but for the one of what all rows have in common.
        size: its eigenvalues.
        rotated: basis.T @ centred values.
        ratios: noise over spread, as many as were tried.
        spreads: the likeliest spread under each.
        chance: of each ratio, given the values.
    """

    X: Float[Tensor, "row feature"]
    KX: Float[Tensor, "row feature"]
    basis: Float[Tensor, "row eigen"]
    size: Float[Tensor, " eigen"]
    rotated: Float[Tensor, " eigen"]
    ratios: Float[Tensor, " ratio"]
    spreads: Float[Tensor, " ratio"]
    chance: Float[Tensor, " ratio"]


def linear_fit(
    design: Float[Tensor, "row feature"],
    values: Float[Tensor, " row"],
    *,
    smoothed: Float[Tensor, "row feature"] | None = None,
) -> LinearFit:
    """Fit values = b + design @ w + noise with the prior w ~ N(0, spread K); ridge regression where K is the identity.

    Both variances are those under which the values are likeliest, so nothing is to be tuned. It works in the space of
    rows: features may be many.

    Args:
        design: one row a value.
        values: what was observed.
        smoothed: design @ K; the design itself when None.

    Source:
        MacKay (1992), Bayesian interpolation: evidence maximisation.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
        >>> fit = linear_fit(x, torch.tensor([1.0, 3.0, 5.0, 7.0]))
        >>> round(float(fit.mean[0]), 3)
        2.0
        >>> rng = torch.Generator().manual_seed(0)
        >>> float(fit.draws(torch.randn(100, 1, generator=rng), rng=rng).std()) < 0.01
        True
    """
    X = (design - design.mean(dim=0)).double()
    KX = X if smoothed is None else (smoothed - smoothed.mean(dim=0)).double()
    y = (values - values.mean()).double()
    gram = X @ KX.T
    size, basis = torch.linalg.eigh(gram + 2 * (gram.trace() + 1) / len(X))  # rows are centred: what is common to all
    size, basis = size[:-1].clamp_min(0), basis[:, :-1]  # of them comes last, and tells nothing
    scale = float(size.max().clamp_min(1e-30))
    seen = basis.T @ y
    ratios = scale * torch.logspace(-6, 3, 46, dtype=torch.float64)
    spreads = torch.stack([(seen**2 / (size + ratio)).mean() for ratio in ratios]).clamp_min(1e-30)
    logs = torch.stack([torch.log(size + ratio).mean() for ratio in ratios]) + spreads.log()
    best = int(logs.argmin())  # -2/n times the log evidence
    ratio, spread = float(ratios[best]), float(spreads[best])
    mean = (basis @ (seen / (size + ratio))) @ KX
    return LinearFit(
        mean=mean.to(values),
        noise=spread * ratio,
        spread=spread,
        seen=Seen(
            X=X,
            KX=KX,
            basis=basis,
            size=size,
            rotated=seen,
            ratios=ratios,
            spreads=spreads,
            chance=(-0.5 * len(size) * logs).softmax(dim=0),
        ),
    )
