"""One step of training a flow, and what is known after each."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat.generators.image.blocks import channels_last, half_precision
from likethat.generators.image.unet import UNet
from likethat.options import FlowRecipe


def default_unet(shape: tuple[int, int, int]) -> dict[str, Any]:
    """Return a U-Net that suits images of a shape: about 24 cells a side at its finest level.

    Example:
        >>> default_unet((3, 96, 96))["patch"]
        4
    """
    channels, height, width = shape
    patch = 1
    while min(height, width) // patch > 32:
        patch *= 2
    return {
        "channels": channels,
        "size": [height, width],
        "widths": [96, 128, 160],
        "patch": patch,
        "blocks": 1,
        "code": 128,
    }


@dataclass(kw_only=True, eq=False)
class FlowRun:
    """The U-Net, its average and its optimiser while it learns.

    Source:
        Lipman et al., "Flow matching for generative modeling", ICLR 2023; times as in Esser et al., "Scaling
        rectified flow transformers", ICML 2024, section 3.1.
    """

    config: Mapping[str, Any]
    recipe: FlowRecipe
    device: str = "cpu"
    network: UNet = field(init=False)
    averages: dict[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        options = {**self.config, "size": tuple(self.config["size"])}
        self.network = UNet(**options).to(self.device)
        channels_last(self.network)
        self.averages = {key: value.detach().clone() for key, value in self.network.state_dict().items()}
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self.recipe.learning_rate, betas=(0.9, 0.99), weight_decay=1e-3
        )

    @property
    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The one optimiser."""
        return {"network": self._optimizer}

    def step(self, images: Float[Tensor, "n channel height width"], number: int, rng: torch.Generator) -> float:
        """Learn from a batch; return the mean squared error of the velocity."""
        self.network.train()
        share = number / self.recipe.steps
        warm_up = min(200, max(1, self.recipe.steps // 10))
        factor = min(1.0, (1 + number) / warm_up) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * share)))
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * factor
        loss = self._loss(images, rng)
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self._optimizer.step()
        weight = 1 - min(0.998, (1 + number) / (10 + number))
        state = self.network.state_dict()
        torch._foreach_lerp_(list(self.averages.values()), [state[key] for key in self.averages], weight)
        return float(loss.detach())

    def _loss(self, images: Tensor, rng: torch.Generator) -> Tensor:
        clean = (2 * images - 1).to(self.device)
        times = torch.sigmoid(torch.randn(len(images), generator=rng, dtype=torch.float32) + self.recipe.time_mean).to(
            self.device
        )
        noise = torch.randn(clean.shape, generator=rng, dtype=torch.float32).to(self.device)
        mixed = torch.lerp(clean, noise, times[:, None, None, None])
        with half_precision(self.device):
            velocity = self.network(mixed.contiguous(memory_format=torch.channels_last), times)
        return ((velocity - (noise - clean)) ** 2).mean()

    @torch.no_grad()
    def held_out_loss(self, images: Float[Tensor, "n channel height width"]) -> float:
        """Return the loss of the averaged network on images, at noise that never changes."""
        own = {key: value.detach().clone() for key, value in self.network.state_dict().items()}
        self.load_averages()
        self.network.eval()
        loss = float(self._loss(images, torch.Generator().manual_seed(0)))
        self.network.load_state_dict(own)
        return loss

    def load_averages(self) -> None:
        """Put the averaged weights into the network: the end of training."""
        self.network.load_state_dict(self.averages)

    def state(self) -> dict[str, Tensor]:
        """Return weights and averages, for a checkpoint."""
        own = {f"network.{key}": value for key, value in self.network.state_dict().items()}
        return own | {f"average.{key}": value for key, value in self.averages.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a checkpoint."""
        self.network.load_state_dict(
            {key.removeprefix("network."): value for key, value in state.items() if key.startswith("network.")}
        )
        for key, value in self.averages.items():
            value.copy_(state[f"average.{key}"])
