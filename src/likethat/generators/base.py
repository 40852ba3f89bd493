"""The two protocols of whatever makes inputs: from a latent, or out of noise."""

from typing import Any, Protocol, TypeGuard, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from likethat._inputs import Inputs, Kind
from likethat.search.base import Prior


@runtime_checkable
class LatentGenerator(Protocol):
    """Makes inputs from latents: a VAE's decoder, a GAN, a sampler as a function of its start noise.

    Attributes:
        kind: what it makes: images (n, channel, height, width) in [0, 1], a table in original units, or texts.
        prior: where typical latents lie; `prior.dim` is the length of a latent.
        differentiable: whether gradients flow from the inputs made to the latents (images only).
    """

    kind: Kind
    prior: Prior
    differentiable: bool

    def __call__(self, latents: Float[Tensor, "n latent"]) -> Inputs:
        """Return one input a latent; row *i* belongs to row *i*, whatever the size of the batch."""
        ...


@runtime_checkable
class SeededGenerator(Protocol):
    """A latent generator whose images also depend on a start noise that can be given.

    Attributes:
        takes_seeds: True.
    """

    takes_seeds: bool

    def __call__(self, latents: Float[Tensor, "n latent"], *, seeds: list[int] | None = None) -> Inputs:
        """Return one input a latent; the same latent and seed give the same input."""
        ...


def takes_seeds(generator: Any) -> TypeGuard[SeededGenerator]:
    """Return whether a generator can be told the seed of each image's start noise."""
    return bool(getattr(generator, "takes_seeds", False))


@runtime_checkable
class Encoder(Protocol):
    """A latent generator that can also go back."""

    def encode(self, inputs: Inputs) -> Float[Tensor, "n latent"]:
        """Return the latent that makes each input best."""
        ...


@runtime_checkable
class Denoiser(Protocol):
    """Takes Gaussian noise off images: x = image + sigma * noise, with images in [0, 1].

    Attributes:
        shape: (channel, height, width) of its images.
        sigma_max: the largest noise level it was trained for, on the scale of [0, 1] images.
    """

    shape: tuple[int, int, int]
    sigma_max: float

    def denoise(
        self, x: Float[Tensor, "n channel height width"], sigma: Float[Tensor, " n"]
    ) -> Float[Tensor, "n channel height width"]:
        """Return x0_hat, the expected clean image of each noisy one, at its own noise level; differentiable."""
        ...
