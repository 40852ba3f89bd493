"""A flow-matching U-Net: a denoiser, and with its start noise as the latent a generator."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat._calls import public
from likethat._checks import check_count
from likethat._inputs import Kind
from likethat._session import in_own_session
from likethat.generators.image.blocks import parameter_device
from likethat.generators.image.unet import UNet
from likethat.generators.priors import StandardNormal
from likethat.generators.storage import TrainedGenerator, filled

SIGMA_MAX = 40.0  # noise beside which a picture of values in [-1, 1] vanishes, even at 64 x 64


@public
@in_own_session
class ImageFlow(TrainedGenerator):
    """Straightens noise into images; one network is both the denoiser and the generator.

    Inside, images lie in [-1, 1] and y_t = (1 - t) y_0 + t noise, t from 0 to 1; the network returns the velocity
    noise - y_0 at (y_t, t).

    Args:
        network: of `train_flow`, or any module of (n, channel, height, width) and (n,) to the same shape.
        shape: (channel, height, width) of its images.
        n_steps: steps from noise to image when it generates.

    Source:
        Lipman et al., "Flow matching for generative modeling", ICLR 2023, equation 23 with straight paths.

    Differs:
        Sampled by Heun's method for all but the last step, which halves the steps needed; from the noise alone, so a
        latent always makes the same image.
    """

    family = "image-flow"
    kind: Kind = "image"
    differentiable = True
    sigma_max = SIGMA_MAX

    def __init__(self, network: nn.Module, *, shape: tuple[int, int, int], n_steps: int = 8) -> None:
        self.network = network.eval().requires_grad_(False)
        self.shape = shape
        self.n_steps = check_count(n_steps, name="n_steps")
        self.prior = StandardNormal(shape[0] * shape[1] * shape[2])
        self.card: dict[str, Any] = {}

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return parameter_device(self.network)

    def to(self, device: str | torch.device) -> "ImageFlow":
        """Move the network; returns self."""
        self.network.to(device)
        return self

    def denoise(
        self, x: Float[Tensor, "n channel height width"], sigma: Float[Tensor, " n"]
    ) -> Float[Tensor, "n channel height width"]:
        """Return the expected clean image of each x = image + sigma * noise.

        Images are not clamped: an average of images may be asked for, and its gradient.
        """
        spread = 2 * sigma.to(x)[:, None, None, None]  # noise on the scale of [-1, 1]
        time = spread / (1 + spread)
        y = (2 * x - 1) / (1 + spread)
        clean = y - time * self.network(y, time[:, 0, 0, 0])
        return (clean + 1) / 2

    def __call__(self, latents: Float[Tensor, "n latent"]) -> Float[Tensor, "n channel height width"]:
        """Return the image that each start noise flows to, in [0, 1]; differentiable."""
        y = latents.to(self.device).reshape(-1, *self.shape)
        times = torch.linspace(1.0, 0.0, self.n_steps + 1, device=y.device, dtype=torch.float32)
        for now, then in pairwise(times):
            y = self._step(y, now, then)
        return ((y + 1) / 2).clamp(0, 1)

    def _step(self, y: Tensor, now: Tensor, then: Tensor) -> Tensor:
        velocity = self.network(y, now.expand(len(y)))
        ahead = y + (then - now) * velocity
        if float(then) == 0.0:
            return ahead
        return y + (then - now) * (velocity + self.network(ahead, then.expand(len(y)))) / 2

    def config(self) -> dict[str, Any]:
        """Return what builds the network again."""
        return {**unet_config(self.network), "n_steps": self.n_steps}

    def state(self) -> dict[str, Tensor]:
        """Return the weights."""
        return dict(self.network.state_dict())

    @classmethod
    def from_state(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "ImageFlow":
        """Build it again from what `save` wrote."""
        options = dict(config)
        n_steps = options.pop("n_steps")
        options["size"] = tuple(options["size"])
        network = filled(lambda: UNet(**options), tensors)
        return cls(network, shape=(options["channels"], *options["size"]), n_steps=n_steps)


def unet_config(network: nn.Module) -> dict[str, Any]:
    """Return the options a `UNet` was made with.

    Raises:
        InputError: another kind of network.
    """
    from likethat.errors import InputError

    if not isinstance(network, UNet):
        raise InputError(
            f"only a flow whose network is likethat's own U-Net can be saved, got {type(network).__name__}. "
            "Keep its weights yourself and hand the module over again."
        )
    return dict(network.options)
