"""A linear probe: which part a cell shows, learned from a few marked cells."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

_PENALTIES = (1e-1, 1e-2, 1e-3, 1e-4)  # a decade apart, from nearly no fit to nearly none of the penalty
_FOLDS = 4  # by image: marked images are few, so a fold leaves out a quarter, not a half


@dataclass(frozen=True, kw_only=True, eq=False)
class Probe:
    """Multinomial logistic regression on scaled features.

    Attributes:
        weight: (name, channel).
        bias: (name,).
        centre, scale: (channel,) of the features.
        penalty: that was chosen.
        accuracy: share of left-out cells whose largest share is named rightly, in [0, 1]; NaN for one image.
    """

    weight: Float[Tensor, "name channel"]
    bias: Float[Tensor, " name"]
    centre: Float[Tensor, " channel"]
    scale: Float[Tensor, " channel"]
    penalty: float
    accuracy: float

    def shares(self, cells: Float[Tensor, "cell channel"]) -> Float[Tensor, "cell name"]:
        """Return how much of each cell shows each name; rows sum to 1."""
        return ((cells - self.centre) / self.scale @ self.weight.T + self.bias).softmax(1)

    def detectors(self) -> Float[Tensor, "name channel"]:
        """Return the direction along which the log-odds of each name beside the others rise, constants left out."""
        return (self.weight - self.weight.mean(0)) / self.scale


def fit_probe(
    cells: Float[Tensor, "cell channel"],
    targets: Float[Tensor, "cell name"],
    images: Int[Tensor, " cell"],
    *,
    penalties: tuple[float, ...] = _PENALTIES,
) -> Probe:
    """Learn which share of a cell shows each name, by cross-entropy with a squared penalty.

    The penalty is chosen by leaving images out.

    Args:
        cells: feature vectors.
        targets: shares, rows that sum to 1.
        images: the image each cell comes from: cells of one image are left out together.
        penalties: to choose from.
    """
    centre, scale = cells.mean(0), cells.std(0, correction=0)
    scale = torch.where(scale > 1e-6 * scale.max(), scale, 1.0)
    x = (cells - centre) / scale
    order = torch.searchsorted(torch.tensor(sorted(set(images.tolist()))), images)
    n_folds = min(_FOLDS, int(order.max()) + 1)
    losses, rights = dict.fromkeys(penalties, 0.0), dict.fromkeys(penalties, 0.0)
    for fold in range(n_folds if n_folds > 1 else 0):
        out = order % n_folds == fold
        for penalty in penalties:
            weight, bias = _descend(x[~out], targets[~out], penalty)
            logits = x[out] @ weight.T + bias
            losses[penalty] += float(-(targets[out] * logits.log_softmax(1)).sum())
            rights[penalty] += float((logits.argmax(1) == targets[out].argmax(1)).sum())
    best = min(penalties, key=lambda penalty: losses[penalty])
    weight, bias = _descend(x, targets, best)
    accuracy = rights[best] / len(cells) if n_folds > 1 else float("nan")
    return Probe(weight=weight, bias=bias, centre=centre, scale=scale, penalty=best, accuracy=accuracy)


def _descend(x: Tensor, targets: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    weight = torch.zeros(targets.shape[1], x.shape[1], requires_grad=True, dtype=torch.float32)
    bias = torch.zeros(targets.shape[1], requires_grad=True, dtype=torch.float32)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=100, tolerance_grad=1e-5, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = -(targets * (x @ weight.T + bias).log_softmax(1)).sum(1).mean() + penalty * weight.square().sum() / 2
        value.backward()
        return value

    with torch.enable_grad():
        optimiser.step(loss)
    return weight.detach(), bias.detach()
