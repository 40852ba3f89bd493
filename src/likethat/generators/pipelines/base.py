"""What generators on pipelines share: input checks of latents, seeds and images, and changes that undo themselves."""

import dataclasses
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat._inputs import Kind
from likethat._session import in_own_session
from likethat.errors import InputError, NonFiniteError
from likethat.search.base import Prior


def mixture_weights(logits: Float[Tensor, "*batch part"]) -> Float[Tensor, "*batch part"]:
    """Return softmax(s * logits) with s = 2 sqrt(2 ln K) for K parts: no more than a few count for logits of N(0, 1).

    The mean sum of the squared weights is then .79 for 2 parts, .58 for 1,000, and 1/2 in the limit, where s = 1 would
    give a thousand parts nearly equal weights (.003). Zero logits still give equal weights.

    Source:
        Derrida, "Random-energy model", Physical Review B 24, 1981: the sum of squared weights is 1 - s_c / s above the
        critical s_c = sqrt(2 ln K).

    Example:
        >>> mixture_weights(torch.zeros(2))
        tensor([0.5000, 0.5000])
        >>> many = mixture_weights(torch.randn(500, 1000, generator=torch.Generator().manual_seed(0)))
        >>> round(many.square().sum(1).mean().item(), 1)
        0.6
    """
    n_parts = logits.shape[-1]
    return (2 * math.sqrt(2 * math.log(max(1, n_parts))) * logits).softmax(-1)


class _ClampThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:  # noqa: ARG004
        return images.clamp(0, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return gradient


def clamp_through(images: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return images clamped to [0, 1] with the gradient of the identity, so that saturated pixels keep theirs.

    Example:
        >>> bright = torch.tensor([2.0], requires_grad=True)
        >>> clamp_through(bright).backward()
        >>> bright.grad
        tensor([1.])
    """
    made: Tensor = _ClampThrough.apply(images)  # type: ignore[no-untyped-call]
    return made


def check_steerable_latents(latents: Any, dim: int) -> Tensor:
    """Return latents as they are, with their gradients.

    Raises:
        InputError: another shape, or whole numbers.
        NonFiniteError: NaN or infinity.
    """
    if not isinstance(latents, Tensor) or latents.ndim != 2 or latents.shape[1] != dim:
        came = f"shape {tuple(latents.shape)}" if isinstance(latents, Tensor) else type(latents).__name__
        raise InputError(
            f"`latents` must be (n, latent) = (n, {dim}), got {came}. Draw some with prior.sample(n, rng=...)."
        )
    if not latents.is_floating_point():
        raise InputError(f"`latents` must be floating point, got {latents.dtype}. Use latents.float().")
    if not bool(torch.isfinite(latents.detach()).all()):
        raise NonFiniteError("`latents` must be finite, got NaN or infinity. A smaller step size may help.")
    return latents


def check_seeds(seeds: Any, n: int) -> list[int]:
    """Return one seed a latent; None is 0 for all.

    Raises:
        InputError: another number of seeds than latents, or a seed that is no whole number of at least 0.
    """
    if seeds is None:
        return [0] * n
    if isinstance(seeds, Tensor):
        seeds = seeds.tolist()
    if not isinstance(seeds, Sequence) or len(seeds) != n:
        came = f"{len(seeds)} of them" if hasattr(seeds, "__len__") else repr(seeds)
        raise InputError(f"`seeds` must be one whole number a latent, {n} in all, got {came}.")
    try:
        numbers = [operator.index(seed) for seed in seeds]
    except TypeError as error:
        raise InputError(f"`seeds` must be whole numbers, got {list(seeds)!r}.") from error
    if any(not 0 <= number < 2**63 for number in numbers):
        raise InputError(f"`seeds` must be at least 0 and less than 2**63, got {list(seeds)!r}.")
    return numbers


def start_rng(seed: int) -> torch.Generator:
    """Return what start noise is drawn from: on the CPU, so that a seed means the same noise on every device."""
    return torch.Generator().manual_seed(seed)


def finished(image: Float[Tensor, "1 channel height width"], *, what: str) -> Float[Tensor, "1 channel height width"]:
    """Return an image in float32, clamped to [0, 1] by `clamp_through`.

    Raises:
        NonFiniteError: NaN or infinity, which half precision gives where numbers grow beyond its range.
    """
    if not bool(torch.isfinite(image.detach()).all()):
        raise NonFiniteError(
            f"the image that {what} made must be finite, got NaN or infinity in {image.dtype}. Load it in bfloat16, "
            "put its VAE in float32 (pipe.vae.to(torch.float32)), or draw latents nearer to the prior."
        )
    return clamp_through(image.float())


def refuse_offloading(pipe: Any) -> None:
    """Refuse pipelines that move weights between devices while they run.

    Raises:
        InputError: CPU offloading is on.
    """
    if getattr(pipe, "_all_hooks", None) or any(
        hasattr(part, "_hf_hook") for part in pipe.components.values() if isinstance(part, nn.Module)
    ):
        raise InputError(
            f"{type(pipe).__name__} moves its weights between devices while it runs (CPU offload), which breaks "
            "gradients. Load it without offloading."
        )


def freeze(pipe: Any) -> None:
    """Put every network of a pipeline in evaluation mode, without gradients of its own, and stop its progress bar."""
    pipe.set_progress_bar_config(disable=True)
    for part in pipe.components.values():
        if isinstance(part, nn.Module):
            part.eval().requires_grad_(False)


def saved_memory(pipe: Any, networks: Sequence[nn.Module | None], *, checkpointing: bool, tiling: bool) -> None:
    """Turn on gradient checkpointing of networks that know it, and tiling of the VAE.

    Raises:
        InputError: tiling of a pipeline whose VAE has none.
    """
    for network in networks:
        if checkpointing and getattr(network, "_supports_gradient_checkpointing", False):
            network.enable_gradient_checkpointing()  # type: ignore[union-attr, operator]
    if tiling:
        vae = getattr(pipe, "vae", None)
        if not hasattr(vae, "enable_tiling"):
            raise InputError(f"`tiling` must be False for {type(pipe).__name__}, whose decoder has no tiles.")
        vae.enable_tiling()  # type: ignore[union-attr]


@contextmanager
def swapped(owner: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """Put a function in the place of a method of one object, for as long as the context lasts."""
    before = vars(owner).get(name)
    object.__setattr__(owner, name, function)
    try:
        yield
    finally:
        if before is None:
            object.__delattr__(owner, name)  # the class's own again
        else:
            object.__setattr__(owner, name, before)


def settle_precision(pipe: Any) -> None:
    """Bring a VAE to float32 for good where the pipeline would do so for each image and undo it before the gradient."""
    vae = getattr(pipe, "vae", None)
    if vae is not None and vae.dtype == torch.float16 and getattr(vae.config, "force_upcast", False):
        vae.to(torch.float32)


@contextmanager
def decoded(pipe: Any) -> Iterator[list[Tensor]]:
    """Note what the VAE decodes, with its gradient; the pipeline goes on with a copy that has none."""
    seen: list[Tensor] = []
    vae = getattr(pipe, "vae", None)
    if vae is None:
        yield seen
        return
    decode: Callable[..., Any] = vae.decode

    def note(latents: Tensor, *args: Any, **kwargs: Any) -> Any:
        made = decode(latents.to(vae.dtype), *args, **kwargs)
        is_tuple = isinstance(made, tuple)
        seen.append(made[0] if is_tuple else made.sample)
        return (seen[-1].detach(),) if is_tuple else dataclasses.replace(made, sample=seen[-1].detach())

    with swapped(vae, "decode", note):
        yield seen


def unclamped(pipe: Any, seen: Sequence[Tensor], made: Any) -> Float[Tensor, "1 channel height width"]:
    """Return the decoded image on the scale of [0, 1], or the pipeline's own where it decodes none or shows none."""
    shown = getattr(made, "images", None)
    if not isinstance(shown, Tensor) or shown.ndim != 4:
        raise InputError(f"{type(pipe).__name__} must make images (n, channel, height, width), and does not.")
    if not seen:
        return shown
    if any(getattr(made, "nsfw_content_detected", None) or []):
        return shown + 0 * seen[-1].sum()  # black, with a gradient of 0
    raw = seen[-1][:, :, 0] if seen[-1].ndim == 5 else seen[-1]  # image models with the decoder of a video model
    processor = getattr(pipe, "image_processor", None)
    if raw.shape != shown.shape and processor is not None:  # it draws in a size it knows and cuts that to size
        raw = processor.resize_and_crop_tensor(raw, shown.shape[3], shown.shape[2])
    is_centred = getattr(getattr(processor, "config", None), "do_normalize", True)
    return raw / 2 + 0.5 if is_centred else raw


@in_own_session
class SteeredPipeline(ABC):
    """A diffusers pipeline that draws one image a latent, differentiably."""

    kind: Kind = "image"
    differentiable = True
    takes_seeds = True
    prior: Prior
    _pipe: Any
    _shape: tuple[int, int, int] | None = None

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where it runs."""

    @abstractmethod
    def _drawn(self, latent: Tensor, seed: int) -> Float[Tensor, "1 channel height width"]:
        """Return the image of one latent, in [0, 1] but for what `finished` cuts off."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channel, height, width) of an image; makes one if none was made yet."""
        if self._shape is None:
            with torch.no_grad():
                self(torch.zeros(1, self.prior.dim, dtype=torch.float32))
        assert self._shape is not None
        return self._shape

    def __call__(
        self, latents: Float[Tensor, "n latent"], *, seeds: Sequence[int] | None = None
    ) -> Float[Tensor, "n channel height width"]:
        """Return the image that each latent is drawn as, in [0, 1]; differentiable.

        Args:
            latents: of any floating type; what the network sees is in its own.
            seeds: of the start noise (and of any that the scheduler adds), one a latent; None for 0 for all, so that a
                latent always makes the same image. Row *i* depends on its own latent and seed alone.

        Raises:
            InputError: latents or seeds of another length.
            NonFiniteError: NaN in the latents, or in an image, as half precision gives.
        """
        check_steerable_latents(latents, self.prior.dim)
        numbers = check_seeds(seeds, len(latents))
        if not numbers:
            return torch.zeros(0, *self.shape, device=self.device, dtype=torch.float32)
        # one at a time: schedulers keep state, and rounding depends on the shape of a batch
        return torch.cat([self._picture(latent, seed) for latent, seed in zip(latents, numbers, strict=True)])

    def _picture(self, latent: Tensor, seed: int) -> Tensor:
        image = finished(self._drawn(latent, seed), what=type(self._pipe).__name__)
        self._shape = (image.shape[1], image.shape[2], image.shape[3])
        return image
