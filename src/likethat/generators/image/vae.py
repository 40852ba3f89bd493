"""An image VAE: one pass from a short latent to an image, and back."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._calls import public
from likethat._checks import check_images
from likethat._inputs import Inputs, Kind
from likethat._session import in_own_session
from likethat.errors import InputError
from likethat.generators.image.blocks import parameter_device
from likethat.generators.image.networks import Decoder, Encoder
from likethat.generators.priors import prior_from_state
from likethat.generators.storage import TrainedGenerator, filled
from likethat.search.base import Prior


@public
@in_own_session
class ImageVAE(TrainedGenerator):
    """Decodes latents to images; samples where the encodings of its training images lie.

    Args:
        encoder: image to mean and log-variance.
        decoder: latent to image.
        prior: of the latents: the aggregate posterior of the training images, as a mixture.
        config: what built the two networks: channels, size, latent_dim, patch, widths, encoder_widths.

    Source:
        Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014.

    Differs:
        The prior to sample is a Gaussian mixture fitted to the encodings, not N(0, I): between the encodings lie
        images that are none.
    """

    family = "image-vae"
    kind: Kind = "image"
    differentiable = True

    def __init__(self, encoder: Encoder, decoder: Decoder, *, prior: Prior, config: Mapping[str, Any]) -> None:
        self.encoder = encoder.eval().requires_grad_(False)
        self.decoder = decoder.eval().requires_grad_(False)
        self.prior = prior
        self._config = dict(config)
        self.card: dict[str, Any] = {}

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channel, height, width) of its images."""
        height, width = self._config["size"]
        return self._config["channels"], height, width

    @property
    def device(self) -> torch.device:
        """Where the networks lie."""
        return parameter_device(self.decoder)

    def to(self, device: str | torch.device) -> "ImageVAE":
        """Move the networks; returns self."""
        self.encoder.to(device)
        self.decoder.to(device)
        return self

    def __call__(self, latents: Float[Tensor, "n latent"]) -> Float[Tensor, "n channel height width"]:
        """Return the image of each latent, in [0, 1]; differentiable."""
        if latents.ndim != 2 or latents.shape[1] != self.prior.dim:
            raise InputError(
                f"`latents` must be (n, latent) = (n, {self.prior.dim}), got shape {tuple(latents.shape)}. "
                "Draw some with prior.sample(n, rng=...)."
            )
        images: Tensor = self.decoder(latents.to(self.device, torch.float32))
        return images

    def encode(self, inputs: Inputs) -> Float[Tensor, "n latent"]:
        """Return the latent that decodes to each image best: the mean of its posterior; differentiable.

        Images of another size are resized; of grey ones for a colour generator the channel is repeated.
        """
        if not isinstance(inputs, Tensor):
            raise InputError(f"`inputs` must be images (n, channel, height, width), got {type(inputs).__name__}.")
        images = check_images(inputs, name="inputs").to(self.device, torch.float32)
        channels, height, width = self.shape
        if images.shape[1] == 1 and channels == 3:
            images = images.expand(-1, 3, -1, -1)
        if images.shape[1] != channels:
            raise InputError(f"`inputs` must have {channels} channels as the generator, got {images.shape[1]}.")
        if images.shape[2:] != (height, width):
            images = torch.nn.functional.interpolate(
                images, size=(height, width), mode="bilinear", antialias=True, align_corners=False
            ).clamp(0, 1)
        mean: Tensor = self.encoder(images)[0]
        return mean

    def config(self) -> dict[str, Any]:
        """Return what builds the networks again."""
        return dict(self._config)

    def state(self) -> dict[str, Tensor]:
        """Return all weights and the prior."""
        return {
            **{f"encoder.{key}": value for key, value in self.encoder.state_dict().items()},
            **{f"decoder.{key}": value for key, value in self.decoder.state_dict().items()},
            **{f"prior.{key}": value for key, value in self.prior.state().items()},  # type: ignore[attr-defined]
        }

    @classmethod
    def from_state(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "ImageVAE":
        """Build it again from what `save` wrote."""
        encoder = filled(lambda: build_networks(config)[0], _under("encoder.", tensors))
        decoder = filled(lambda: build_networks(config)[1], _under("decoder.", tensors))
        return cls(encoder, decoder, prior=prior_from_state(_under("prior.", tensors)), config=config)


def build_networks(config: Mapping[str, Any]) -> tuple[Encoder, Decoder]:
    """Return encoder and decoder with fresh weights."""
    shared: dict[str, Any] = {
        "channels": config["channels"],
        "size": (config["size"][0], config["size"][1]),
        "latent_dim": config["latent_dim"],
        "patch": config["patch"],
    }
    return (
        Encoder(**shared, widths=list(config["encoder_widths"])),
        Decoder(**shared, widths=list(config["widths"])),
    )


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value.float() for key, value in tensors.items() if key.startswith(prefix)}
