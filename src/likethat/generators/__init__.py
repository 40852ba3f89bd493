"""Where made inputs come from: generators with a latent, and denoisers."""

from likethat.generators.base import Denoiser, Encoder, LatentGenerator, Prior

__all__ = ["Denoiser", "Encoder", "LatentGenerator", "Prior"]
