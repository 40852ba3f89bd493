"""The network of a table VAE: a row to a latent, and a latent to a row."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat.generators.table.coding import Coded

_NOISE_FLOOR = 0.1  # in standard deviations: without it a column that is nearly constant takes all of the loss
KL_WEIGHT = 0.1
"""Below 1: the latent shall say almost everything of a row, since a row is the most likely one of its latent."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TableOutput:
    """What a latent says of a row.

    Attributes:
        scores: expected.
        logits: of the classes of every category, one behind the other.
        bits: logits of being missing.
    """

    scores: Float[Tensor, "n score"]
    logits: Float[Tensor, "n cls"]
    bits: Float[Tensor, "n bit"]


class TableNetwork(nn.Module):
    """Two small perceptrons.

    Args:
        n_scores: of a row.
        n_classes: of each category.
        n_bits: of a row.
        latent_dim: length of a latent.
        width: of the hidden layers.
    """

    def __init__(
        self, *, n_scores: int, n_classes: Sequence[int], n_bits: int, latent_dim: int, width: int = 192
    ) -> None:
        super().__init__()
        self.n_classes, self.latent_dim = list(n_classes), latent_dim
        self.sizes = (n_scores, sum(self.n_classes), n_bits)
        embedded = [min(16, 2 + math.ceil(n**0.5)) for n in self.n_classes]
        self.embeddings = nn.ModuleList(
            nn.Embedding(n + 1, length, dtype=torch.float32) for n, length in zip(self.n_classes, embedded, strict=True)
        )
        self.encoder = _perceptron(2 * n_scores + sum(embedded) + n_bits, width, 2 * latent_dim)
        self.decoder = _perceptron(latent_dim, width, sum(self.sizes))
        self.log_noise = nn.Parameter(torch.full((n_scores,), -1.0, dtype=torch.float32))

    def encode(self, rows: Coded) -> tuple[Float[Tensor, "n latent"], Float[Tensor, "n latent"]]:
        """Return mean and log-variance of the latent of each row."""
        is_known = ~torch.isnan(rows.scores)
        parts = [torch.nan_to_num(rows.scores), is_known.float(), rows.bits]
        parts += [embed(rows.classes[:, place]) for place, embed in enumerate(self.embeddings)]
        mean, log_variance = self.encoder(torch.cat(parts, dim=1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-10, 4)

    def decode(self, latents: Float[Tensor, "n latent"]) -> TableOutput:
        """Return what each latent says of its row."""
        scores, logits, bits = self.decoder(latents).split(self.sizes, dim=1)
        return TableOutput(scores=scores, logits=logits, bits=bits)

    def noise(self) -> Float[Tensor, " score"]:
        """Return the standard deviation of each score around what its latent says."""
        return _NOISE_FLOOR + nn.functional.softplus(self.log_noise)


def row_loss(network: TableNetwork, rows: Coded, latents: Float[Tensor, "n latent"]) -> Float[Tensor, " n"]:
    """Return how badly latents say their rows: the negative log-likelihood of all that is known of each, in nats."""
    output, noise = network.decode(latents), network.noise()
    is_known = ~torch.isnan(rows.scores)
    away = (torch.nan_to_num(rows.scores) - output.scores) / noise
    loss = ((0.5 * away**2 + noise.log()) * is_known).sum(1)
    for logits, classes in zip(output.logits.split(network.n_classes, dim=1), rows.classes.T, strict=True):
        loss = loss + nn.functional.cross_entropy(
            logits, classes, reduction="none", ignore_index=logits.shape[1]
        )  # the class behind the last is "unknown"
    return loss + nn.functional.binary_cross_entropy_with_logits(output.bits, rows.bits, reduction="none").sum(1)


def _perceptron(into: int, width: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(into, width, dtype=torch.float32),
        nn.SiLU(),
        nn.LayerNorm(width, dtype=torch.float32),
        nn.Linear(width, width, dtype=torch.float32),
        nn.SiLU(),
        nn.LayerNorm(width, dtype=torch.float32),
        nn.Linear(width, out, dtype=torch.float32),
    )
