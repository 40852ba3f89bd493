"""A VAE of texts: from a latent to a text, and back."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from likethat._calls import public
from likethat._checks import check_count
from likethat._inputs import Inputs, Kind
from likethat._session import in_own_session
from likethat.errors import InputError
from likethat.generators.latents import check_latents, in_chunks, under
from likethat.generators.priors import prior_from_state
from likethat.generators.storage import TrainedGenerator, filled
from likethat.generators.text.network import TextNetwork
from likethat.generators.text.tokens import Tokens
from likethat.search.base import Prior


@public
@in_own_session
class TextVAE(TrainedGenerator):
    """Decodes latents to texts, token by token, always the most likely one.

    Args:
        tokens: between a text and what the network sees.
        network: text to latent, latent to text.
        prior: of the latents: the aggregate posterior of the training texts, as a mixture.
        rereads: how often a text is read and written again. A latent between those of real texts may say two things
            that do not go together; what was read from a text goes together better, and real texts stay as they are.

    Source:
        Bowman et al., "Generating sentences from a continuous space", CoNLL 2016.

    Differs:
        The divergence counts a fifth and the decoder sees the latent at every token, so that the latent says the words
        and not only their manner; typical latents are then a fitted mixture, not N(0, I). A text is read again.
    """

    family = "text-vae"
    kind: Kind = "text"
    differentiable = False

    def __init__(self, tokens: Tokens, network: TextNetwork, *, prior: Prior, rereads: int = 1) -> None:
        self.tokens = tokens
        self.network = network.eval().requires_grad_(False)
        self.prior = prior
        self.rereads = check_count(rereads, name="rereads", minimum=0)
        self.card: dict[str, Any] = {}

    @torch.no_grad()
    def __call__(self, latents: Float[Tensor, "n latent"]) -> list[str]:
        """Return the text of each latent; it does not depend on the others."""
        points = check_latents(latents, self.prior.dim)
        return self.tokens.decode(in_chunks(lambda part: {"tokens": self._write(part)}, points)["tokens"])

    def _write(self, latents: Float[Tensor, "n latent"]) -> Int[Tensor, "n token"]:
        rows = self.network.greedy(latents)
        for _ in range(self.rereads):
            rows = self.network.greedy(self.network.encode(rows)[0])
        return rows

    @torch.no_grad()
    def encode(self, inputs: Inputs) -> Float[Tensor, "n latent"]:
        """Return the mean of the latent of each text; words never seen are read letter by letter.

        Raises:
            InputError: no list of texts.
        """
        if not isinstance(inputs, list) or not all(isinstance(text, str) for text in inputs):
            raise InputError(f"`inputs` must be a list of texts, got {type(inputs).__name__}.")
        rows = self.tokens.encode(inputs)
        return in_chunks(lambda part: {"mean": self.network.encode(part)[0]}, rows)["mean"]

    def config(self) -> dict[str, Any]:
        """Return the words and the sizes of the network."""
        return {
            "pieces": list(self.tokens.pieces),
            "has_bytes": self.tokens.has_bytes,
            "length": self.tokens.length,
            "latent_dim": self.prior.dim,
            "width": self.network.width,
            "rereads": self.rereads,
        }

    def state(self) -> dict[str, Tensor]:
        """Return all weights and the prior."""
        return {
            **{f"network.{key}": value for key, value in self.network.state_dict().items()},
            **{f"prior.{key}": value for key, value in self.prior.state().items()},  # type: ignore[attr-defined]
        }

    @classmethod
    def from_state(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "TextVAE":
        """Build it again from what `save` wrote."""
        tokens = Tokens(config["pieces"], config["length"], has_bytes=config["has_bytes"])
        sizes = {"latent_dim": config["latent_dim"], "length": tokens.length, "width": config["width"]}
        network = filled(lambda: TextNetwork(n_tokens=len(tokens), **sizes), under("network.", tensors))
        return cls(tokens, network, prior=prior_from_state(under("prior.", tensors)), rereads=config["rereads"])
