"""The network of a text VAE: a text to a latent, and a latent to a text."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from likethat.generators.text.tokens import END, HIDDEN, PAD, START


class TextNetwork(nn.Module):
    """An encoder of convolutions, and a recurrent decoder that sees the latent at every token.

    Args:
        n_tokens: how many different ones there are.
        latent_dim: length of a latent.
        length: of the longest text.
        width: of the decoder.
        embedded: length of a token's vector.

    Source:
        Bowman et al., "Generating sentences from a continuous space", CoNLL 2016.
    """

    def __init__(self, *, n_tokens: int, latent_dim: int, length: int, width: int = 160, embedded: int = 64) -> None:
        super().__init__()
        self.width, self.latent_dim, self.length = width, latent_dim, length
        self.embedding = nn.Embedding(n_tokens, embedded, dtype=torch.float32)
        self.place = nn.Parameter(0.1 * torch.randn(length, embedded, dtype=torch.float32))
        self.near = nn.Conv1d(embedded, width, 5, padding=2, dtype=torch.float32)
        self.far = nn.Conv1d(width, width, 3, padding=1, dtype=torch.float32)
        self.summary = nn.Linear(2 * width, 2 * latent_dim, dtype=torch.float32)
        self.start = nn.Linear(latent_dim, width, dtype=torch.float32)
        self.writer = nn.GRU(embedded + latent_dim, width, dtype=torch.float32)
        self.vocabulary = nn.Linear(width, n_tokens, dtype=torch.float32)

    def encode(self, tokens: Int[Tensor, "n token"]) -> tuple[Float[Tensor, "n latent"], Float[Tensor, "n latent"]]:
        """Return mean and log-variance of the latent of each text; padding is not looked at."""
        is_text = (tokens != PAD)[:, None]
        seen = (self.embedding(tokens) + self.place[: tokens.shape[1]]).transpose(1, 2) * is_text
        near = nn.functional.silu(self.near(seen)) * is_text
        far = (near + nn.functional.silu(self.far(near))) * is_text
        mean_of = far.sum(2) / is_text.sum(2).clamp_min(1)
        mean, log_variance = self.summary(torch.cat([mean_of, far.amax(2)], dim=1)).chunk(2, dim=1)
        return mean, log_variance.clamp(-10, 4)

    def forward(
        self, shown: Int[Tensor, "n token"], latents: Float[Tensor, "n latent"]
    ) -> Float[Tensor, "token n vocabulary"]:
        """Return the logits of each next token, given those before it as far as they are shown."""
        logits: Tensor = self.vocabulary(self._write(shown, latents, self._begin(latents))[0])
        return logits

    def greedy(self, latents: Float[Tensor, "n latent"]) -> Int[Tensor, "n token"]:
        """Return the most likely token at each place, given those chosen before it."""
        state, token = self._begin(latents), torch.full((len(latents), 1), START)
        made = torch.full((len(latents), self.length), PAD)
        has_ended = torch.zeros(len(latents), 1, dtype=torch.bool)
        for place in range(self.length):
            hidden, state = self._write(token, latents, state)
            token = self.vocabulary(hidden[0])[:, None, END:].argmax(2) + END
            token = token.masked_fill(has_ended, PAD)
            made[:, place : place + 1] = token
            has_ended |= token == END
            if bool(has_ended.all()):
                break
        return made

    def _begin(self, latents: Tensor) -> Tensor:
        return torch.tanh(self.start(latents))[None]

    def _write(self, tokens: Tensor, latents: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        seen = latents[None].expand(tokens.shape[1], -1, -1)
        hidden, last = self.writer(torch.cat([self.embedding(tokens.T), seen], dim=2), state)
        return hidden, last


def text_loss(
    network: TextNetwork,
    tokens: Int[Tensor, "n token"],
    latents: Float[Tensor, "n latent"],
    *,
    hidden: float,
    rng: torch.Generator,
) -> Float[Tensor, " n"]:
    """Return how badly latents say their texts: the negative log-likelihood of each, in nats.

    Args:
        network: with its decoder.
        tokens: of the texts.
        latents: one a text.
        hidden: share of the tokens before each that the decoder does not see, so that it must ask the latent.
        rng: of what is hidden.
    """
    before = nn.functional.pad(tokens[:, :-1], (1, 0), value=START)
    is_hidden = (torch.rand(before.shape, generator=rng, dtype=torch.float32) < hidden) & (before > END)
    logits = network(before.masked_fill(is_hidden, HIDDEN), latents)
    wanted = tokens.T.flatten()
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), wanted, reduction="none", ignore_index=PAD)
    return loss.reshape(tokens.shape[1], -1).sum(0)
