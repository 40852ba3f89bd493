"""Diffusers pipelines: any of them as a generator, the unconditional ones as denoisers too."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._checks import check_choice, check_count, require
from likethat._inputs import Kind
from likethat._session import in_own_session
from likethat.errors import InputError, ModelError
from likethat.generators.pipelines.base import freeze, refuse_offloading
from likethat.generators.priors import StandardNormal


def load_pipeline(
    name: str | Path, *, device: str | torch.device | None = None, dtype: torch.dtype | None = None, **options: Any
) -> Any:
    """Load a diffusers pipeline from a folder or the hub.

    Args:
        name: a folder that `save_pretrained` wrote, or ``"org/name"`` on the hub.
        device: where to put it; None leaves it on the CPU.
        dtype: of its weights, such as ``torch.bfloat16``; None for float32.
        **options: ``by`` (see `adapt`), and those of the class behind it.

    Raises:
        InputError: not a pipeline, or one that makes no images.
        ModelError: it does not load, or would run code of its own.
        MissingExtraError: diffusers is not installed.
    """
    diffusers = require("diffusers", purpose="a diffusers pipeline")
    how = {} if dtype is None else {"torch_dtype": dtype}
    try:
        pipe = diffusers.DiffusionPipeline.from_pretrained(
            str(name), use_safetensors=True, trust_remote_code=False, local_files_only=Path(name).is_dir(), **how
        )
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"the pipeline {name} could not be loaded: {reason} Give a folder that save_pretrained wrote with "
            "safetensors, or org/name on the hub."
        ) from error
    if device is not None:
        pipe = pipe.to(device)
    return adapt(pipe, **options)


def adapt(pipe: Any, *, by: str = "noise", **options: Any) -> Any:
    """Wrap a pipeline that is loaded.

    Args:
        pipe: the pipeline.
        by: what a latent is: ``"noise"``, the start noise; ``"prompt"``, a text-to-image pipeline's conditioning
            (`PromptGenerator`); ``"label"``, a class-conditional pipeline's mixture of classes (`LabelGenerator`).
        **options: of the class behind it.

    Returns:
        A `LatentGenerator`. By noise, unconditional pipelines are `Denoiser`s too.

    Raises:
        InputError: the pipeline takes no prompts or labels, or an option that it does not know.
    """
    if check_choice(by, name="by", choices=("noise", "prompt", "label")) == "prompt":
        from likethat.generators.pipelines.prompts import PromptGenerator

        return PromptGenerator(pipe, **options)
    if by == "label":
        from likethat.generators.pipelines.labels import LabelGenerator

        return LabelGenerator(pipe, **options)
    network = getattr(pipe, "unet", None)
    is_plain = network is not None and type(network).__name__ == "UNet2DModel" and not hasattr(pipe, "vae")
    return UnconditionalPipeline(pipe, **options) if is_plain else PipelineGenerator(pipe, **options)


@in_own_session
class UnconditionalPipeline:
    """A pipeline of a pixel U-Net and a scheduler (DDPM, DDIM, ...), its start noise as the latent.

    Args:
        pipe: the pipeline.
        n_steps: DDIM steps from noise to image when it generates.

    Raises:
        InputError: the U-Net wants class labels, or the scheduler has no table of noise levels.

    Source:
        Song, Meng and Ermon, "Denoising diffusion implicit models", ICLR 2021, equation 12 with eta = 0.

    Differs:
        The loop over noise levels is ours: the pipelines' own ends in NumPy, without gradients.
    """

    kind: Kind = "image"
    differentiable = True

    def __init__(self, pipe: Any, *, n_steps: int = 20) -> None:
        config = pipe.unet.config
        if getattr(config, "num_class_embeds", None) or getattr(config, "class_embed_type", None):
            raise InputError(
                f"the U-Net of {type(pipe).__name__} wants class labels; give an unconditional one, or a function of "
                "latents to load_generator."
            )
        table = getattr(pipe.scheduler, "alphas_cumprod", None)
        if table is None:
            raise InputError(
                f"the scheduler of {type(pipe).__name__} must have alphas_cumprod, as DDPM's and DDIM's have, got "
                f"{type(pipe.scheduler).__name__}. Give your own denoise function instead."
            )
        side = config.sample_size
        height, width = (side, side) if isinstance(side, int) else side
        self.shape: tuple[int, int, int] = (int(config.in_channels), int(height), int(width))
        self.n_steps = check_count(n_steps, name="n_steps")
        self.prior = StandardNormal(self.shape[0] * self.shape[1] * self.shape[2])
        self.predicts = pipe.scheduler.config.prediction_type
        self._network = pipe.unet.eval().requires_grad_(False)
        self._alphas = table.double()
        self._spreads = ((1 - self._alphas) / self._alphas).sqrt()  # noise over signal, on the scale of [-1, 1]

    @property
    def sigma_max(self) -> float:
        """The largest noise level, on the scale of images in [0, 1]."""
        return float(self._spreads[-1]) / 2

    @property
    def device(self) -> torch.device:
        """Where the U-Net lies."""
        return next(iter(self._network.parameters())).device

    def denoise(
        self, x: Float[Tensor, "n channel height width"], sigma: Float[Tensor, " n"]
    ) -> Float[Tensor, "n channel height width"]:
        """Return the expected clean image of each noisy one; the noise level is taken to the nearest step."""
        steps = (self._spreads[None] - 2 * sigma.cpu().double()[:, None]).abs().argmin(1)
        alphas = self._alphas[steps].to(x)[:, None, None, None]
        y = (2 * x - 1) * alphas.sqrt()
        return (self._clean(y, steps) + 1) / 2

    def _clean(self, y: Tensor, steps: Tensor) -> Tensor:
        alphas = self._alphas[steps].to(y)[:, None, None, None]
        answer = self._network(y.to(self.device), steps.to(self.device)).sample
        if self.predicts == "epsilon":
            return (y - (1 - alphas).sqrt() * answer) / alphas.sqrt()
        if self.predicts == "v_prediction":
            return alphas.sqrt() * y - (1 - alphas).sqrt() * answer
        return answer  # "sample"

    def __call__(self, latents: Float[Tensor, "n latent"]) -> Float[Tensor, "n channel height width"]:
        """Return the image that each start noise is denoised to, in [0, 1]; differentiable."""
        y = latents.to(self.device).reshape(-1, *self.shape)
        steps = torch.linspace(len(self._alphas) - 1, 0, self.n_steps, dtype=torch.float32).round().long()
        for place, step in enumerate(steps):
            clean = self._clean(y, step.expand(len(y))).clamp(-1, 1)
            if place + 1 == len(steps):
                return (clean + 1) / 2
            now, then = self._alphas[step].to(y), self._alphas[steps[place + 1]].to(y)
            noise = (y - now.sqrt() * clean) / (1 - now).sqrt()
            y = then.sqrt() * clean + (1 - then).sqrt() * noise
        raise AssertionError  # n_steps is at least 1


class _Probed(Exception):  # noqa: N818 - not an error: it carries a shape out of a pipeline
    """The pipeline came to its start noise."""


@in_own_session
class PipelineGenerator:
    """Any other pipeline (text to image, class to image) by its own call, its start noise as the latent.

    The call's sampler is used as it is, without the ``no_grad`` round it, so gradients reach the noise.

    Args:
        pipe: the pipeline.
        prompt: what text-to-image pipelines draw; every latent is another picture of it.
        n_steps: of its sampler; None for its own default.
        size: (height, width) in pixels; None for its own default.
        guidance: its ``guidance_scale``; None for its own default.
        **call: further arguments of the pipeline's call.

    Raises:
        InputError: it takes no start noise, or its weights are moved between devices while it runs.
    """

    kind: Kind = "image"
    differentiable = True

    def __init__(
        self,
        pipe: Any,
        *,
        prompt: str = "",
        n_steps: int | None = None,
        size: tuple[int, int] | None = None,
        guidance: float | None = None,
        **call: Any,
    ) -> None:
        self._run: Callable[..., Any] = inspect.unwrap(type(pipe).__call__)
        known = inspect.signature(self._run).parameters
        self._refuse(pipe, known)
        wanted = {
            "prompt": prompt,
            "num_inference_steps": n_steps,
            "height": size[0] if size else None,
            "width": size[1] if size else None,
            "guidance_scale": guidance,
            **call,
        }
        self._call = {key: value for key, value in wanted.items() if value is not None and key in known}
        self._pipe = pipe
        freeze(pipe)
        self._noise_shape = self._probe()
        self.prior = StandardNormal(self._noise_shape.numel())

    @staticmethod
    def _refuse(pipe: Any, known: Any) -> None:
        if "latents" not in known or not hasattr(pipe, "prepare_latents"):
            raise InputError(
                f"{type(pipe).__name__} takes no start noise (`latents`), so it cannot be searched. Wrap it in a "
                "function of latents instead."
            )
        refuse_offloading(pipe)

    def _probe(self) -> torch.Size:
        """Return the shape of one start noise, as the pipeline itself makes it."""
        seen: list[Tensor] = []
        prepare = self._pipe.prepare_latents

        def note(*args: Any, **kwargs: Any) -> None:
            made = prepare(*args, **kwargs)
            seen.append(made[0] if isinstance(made, tuple) else made)
            raise _Probed

        self._pipe.prepare_latents = note
        try:
            with torch.no_grad():
                self._run(self._pipe, **self._call)
        except _Probed:
            return seen[0].shape[1:]
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(f"{type(self._pipe).__name__} does not run with {self._call}: {reason}") from error
        finally:
            del self._pipe.prepare_latents  # the class's own again
        raise InputError(f"{type(self._pipe).__name__} never asked for start noise; it cannot be searched.")

    def _fixed_noise(self) -> dict[str, Any]:
        """Return what makes samplers that add noise on the way add the same every time."""
        if "generator" not in inspect.signature(self._run).parameters:
            return {}
        return {"generator": torch.Generator(self._pipe.device).manual_seed(0)}

    @property
    def device(self) -> torch.device:
        """Where the pipeline runs."""
        return torch.device(self._pipe.device)

    def __call__(self, latents: Float[Tensor, "n latent"]) -> Float[Tensor, "n channel height width"]:
        """Return the picture that each start noise becomes, in [0, 1]; differentiable."""
        pictures = []
        for latent in latents:  # one at a time: schedulers keep state, and a batch would share it
            noise = latent.to(self._pipe.device, self._pipe.dtype).reshape(1, *self._noise_shape)
            made = self._run(self._pipe, **self._call, **self._fixed_noise(), latents=noise, output_type="pt")
            pictures.append(made.images.float().clamp(0, 1))
        return torch.cat(pictures)
