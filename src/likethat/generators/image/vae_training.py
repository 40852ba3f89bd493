"""One step of training an image VAE, and what is known after each."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat.generators.image.blocks import channels_last, half_precision
from likethat.generators.image.networks import Critic
from likethat.generators.image.vae import build_networks
from likethat.options import VaeRecipe


def default_config(shape: tuple[int, int, int], *, latent_dim: int) -> dict[str, Any]:
    """Return networks that suit images of a shape: about six cells a side in the middle.

    Example:
        >>> default_config((1, 32, 32), latent_dim=16)["widths"]
        [56, 96, 160]
    """
    channels, height, width = shape
    side = min(height, width)
    patch = 2 if side >= 48 else 1
    n_levels = min(4, max(1, round(math.log2(side / patch / 6))))
    return {
        "channels": channels,
        "size": [height, width],
        "latent_dim": latent_dim,
        "patch": patch,
        "widths": [56, 96, 160, 224, 224][: n_levels + 1],
        "encoder_widths": [32, 64, 128, 192, 192][: n_levels + 1],
    }


@dataclass(kw_only=True, eq=False)
class VaeRun:
    """The networks, their averages and their optimisers while they learn.

    Source:
        Larsen et al., "Autoencoding beyond pixels using a learned similarity metric", ICML 2016, for the critic.

    Differs:
        The critic judges patches, joins at the end only, and its layers add to the pixels' loss, not replace it.
    """

    config: Mapping[str, Any]
    recipe: VaeRecipe
    device: str = "cpu"
    networks: nn.ModuleDict = field(init=False)
    averages: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        encoder, decoder = build_networks(self.config)
        n_halvings = max(1, min(4, int(math.log2(min(self.config["size"]))) - 1))
        critic = Critic(channels=self.config["channels"], widths=[32, 64, 128, 128][:n_halvings])
        self.networks = nn.ModuleDict({"encoder": encoder, "decoder": decoder, "critic": critic})
        self.networks.to(self.device)
        channels_last(self.networks)
        self.averages = {key: value.detach().clone() for key, value in self._state().items()}
        rate = self.recipe.learning_rate
        self._optimizer = torch.optim.AdamW(list(self._learned()), lr=rate, betas=(0.9, 0.99), weight_decay=1e-3)
        self._critics = torch.optim.AdamW(critic.parameters(), lr=rate / 2, betas=(0.5, 0.99))

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Both optimisers, by name."""
        return {"networks": self._optimizer, "critic": self._critics}

    def step(self, images: Float[Tensor, "n channel height width"], number: int, rng: torch.Generator) -> float:
        """Learn from a batch; return its loss in nats a number."""
        self.networks.train()
        self._set_rates(number)
        images = images.to(self.device).contiguous(memory_format=torch.channels_last)
        noise = torch.randn(len(images), self.config["latent_dim"], generator=rng, dtype=torch.float32).to(self.device)
        is_polishing = number >= (1 - self.recipe.polish) * self.recipe.steps
        with half_precision(self.device):
            made, loss = self._elbo(images, noise, warmth=min(1.0, number / min(500, max(1, self.recipe.steps // 4))))
            total = loss + self._polish(images, made, number) if is_polishing else loss
        self._optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(self._learned(), 1.0)
        self._optimizer.step()
        if is_polishing:
            self._teach_critic(images, made.detach())
        self._average(number)
        return float(loss.detach())

    def _elbo(self, images: Tensor, noise: Tensor, *, warmth: float) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.networks["encoder"](images)
        made = self.networks["decoder"](mean + noise * (log_variance / 2).exp())
        missed = (images - made).abs().mean() / self.recipe.scale
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()
        return made, missed + self.recipe.kl * warmth * divergence / images[0].numel()

    def _polish(self, images: Tensor, made: Tensor, number: int) -> Tensor:
        """Return what the critic adds to the loss, faded in over a tenth of the steps."""
        since = number / self.recipe.steps - (1 - self.recipe.polish)
        weight = min(1.0, since / 0.1) * 0.03 / self.recipe.scale
        critic = self.networks["critic"].requires_grad_(False)
        _, seen = critic(images)
        verdict, remade = critic(made)
        critic.requires_grad_(True)
        matching = torch.stack([(one - other).abs().mean() for one, other in zip(seen, remade, strict=True)]).sum()
        return weight * (self.recipe.matching * matching - self.recipe.fooling * verdict.float().mean())

    def _teach_critic(self, images: Tensor, made: Tensor) -> None:
        with half_precision(self.device):
            real, _ = self.networks["critic"](images)
            drawn, _ = self.networks["critic"](made)
            loss = torch.relu(1 - real.float()).mean() + torch.relu(1 + drawn.float()).mean()
        self._critics.zero_grad()
        loss.backward()
        self._critics.step()

    @torch.no_grad()
    def held_out_loss(self, images: Float[Tensor, "n channel height width"]) -> float:
        """Return the loss of the averaged networks on a batch, from the mean of the posterior."""
        own = {key: value.detach().clone() for key, value in self._state().items()}
        self.load_averages()
        self.networks.eval()
        zeros = torch.zeros(len(images), self.config["latent_dim"], device=self.device, dtype=torch.float32)
        _, loss = self._elbo(images.to(self.device), zeros, warmth=1.0)
        self._load(own)
        return float(loss)

    def load_averages(self) -> None:
        """Put the averaged weights into the networks: the end of training."""
        self._load(self.averages)

    def state(self) -> dict[str, Tensor]:
        """Return weights and averages, for a checkpoint."""
        own = {f"network.{key}": value for key, value in self.networks.state_dict().items()}
        return own | {f"average.{key}": value for key, value in self.averages.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a checkpoint."""
        self.networks.load_state_dict(
            {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}
        )
        for key, value in self.averages.items():
            value.copy_(state[f"average.{key}"])

    def _learned(self) -> Iterator[nn.Parameter]:
        yield from self.networks["encoder"].parameters()
        yield from self.networks["decoder"].parameters()

    def _state(self) -> dict[str, Tensor]:
        return {key: value for key, value in self.networks.state_dict().items() if not key.startswith("critic.")}

    def _load(self, state: Mapping[str, Tensor]) -> None:
        self.networks.load_state_dict(state, strict=False)

    def _average(self, number: int) -> None:
        weight = 1 - min(0.998, (1 + number) / (10 + number))
        state = self._state()
        torch._foreach_lerp_(list(self.averages.values()), [state[key] for key in self.averages], weight)

    def _set_rates(self, number: int) -> None:
        share = number / self.recipe.steps
        warm_up = min(200, max(1, self.recipe.steps // 10))
        factor = min(1.0, (1 + number) / warm_up) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * share)))
        for optimizer, top in ((self._optimizer, 1.0), (self._critics, 0.5)):
            for group in optimizer.param_groups:
                group["lr"] = self.recipe.learning_rate * top * factor
