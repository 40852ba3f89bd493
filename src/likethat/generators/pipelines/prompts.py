"""Text-to-image pipelines as generators whose latents are prompts: one low-rank conditioning a latent."""

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._checks import check_count
from likethat._options import shown
from likethat._session import in_own_session
from likethat.errors import InputError
from likethat.generators.pipelines.base import (
    SteeredPipeline,
    decoded,
    freeze,
    mixture_weights,
    refuse_offloading,
    saved_memory,
    settle_precision,
    start_rng,
    unclamped,
)
from likethat.generators.pipelines.encoding import (
    Encoding,
    check_takes_embeddings,
    denoiser_of,
    encode_anchors,
    filled_in,
)
from likethat.generators.priors import StandardNormal
from likethat.search.base import Prior


@in_own_session
@dataclass(frozen=True, kw_only=True)
class PromptLatents:
    """What the numbers of a prompt's latent are: ``[anchor logits | left factor | right factor | pooled delta]``.

    Raises:
        InputError: a rank larger than the tokens or their width.

    Example:
        FLUX.1 and 2,048 channels: 0.44 GiB. Of rank 128, with gradients for all and an anchor for each, it were 34 GiB.

        >>> flux = PromptLatents(n_anchors=1, n_tokens=512, width=4096, n_pooled=768, rank=4)
        >>> flux.dim, round(flux.memory(2048) / 2**30, 2)
        (19200, 0.44)
    """

    n_anchors: int
    """Prompts that are mixed; one of them needs no logits."""
    n_tokens: int
    """Tokens that the denoiser attends to."""
    width: int
    """Numbers of a token."""
    n_pooled: int
    """Numbers of the pooled embedding; 0 where there is none."""
    rank: int
    """Of the delta."""

    def __post_init__(self) -> None:
        check_count(self.rank, name="rank")
        if self.rank > min(self.n_tokens, self.width):
            raise InputError(
                f"`rank` must be at most the attended tokens and their width, ({self.n_tokens}, {self.width}), got "
                f"{self.rank}. Take a smaller rank, or longer anchors where the pipeline masks the tokens behind them."
            )

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many numbers each of the four parts has."""
        n_logits = self.n_anchors if self.n_anchors > 1 else 0
        return n_logits, self.n_tokens * self.rank, self.rank * self.width, self.n_pooled

    @property
    def dim(self) -> int:
        """Length of a latent: ``anchors (0 for one) + rank * (tokens + width) + pooled``."""
        return sum(self.lengths)

    def memory(self, n_channels: int) -> int:
        """Return the bytes of float32 latents and the two moments that Adam keeps of them: ``4 * 3 * n * dim``."""
        return 4 * 3 * check_count(n_channels, name="n_channels") * self.dim

    def parts(self, latent: Float[Tensor, " latent"]) -> tuple[Tensor, ...]:
        """Return a latent's anchor weights, left factor (token, rank), right factor (rank, width), pooled delta."""
        logits, left, right, pooled = latent.split(list(self.lengths))
        weights = mixture_weights(logits) if len(logits) else latent.new_ones(1)
        return weights, left.view(self.n_tokens, self.rank), right.view(self.rank, self.width), pooled


@in_own_session
class PromptGenerator(SteeredPipeline):
    """A text-to-image pipeline that draws a learnable prompt; latents are N(0, I).

    With anchors E (anchor, token, width), the encodings of a few prompts, a latent (a, L, R, p) stands for the prompt

        softmax(s a) E + reach * rms(E) * L R / sqrt(rank),    s = 2 sqrt(2 ln anchors)

    and likewise for the pooled embedding e: softmax(s a) e + reach * rms(e) * p. For a latent of N(0, I) every entry of
    the delta has the standard deviation ``reach * rms``, so a draw is a variation of its anchors, and one or two
    anchors count. The zero latent is the anchor itself, or the mean of several. Only the anchors are dense, and all
    latents share them.

    Any pipeline serves that takes ``prompt_embeds`` and has an ``encode_prompt`` (Flux, Stable Diffusion 1 to 3, XL,
    PixArt, Sana, ...): its own call is used, with its own sampler, without the ``no_grad`` round it. Which argument is
    which is read from the shapes and tried once. Where the pipeline masks tokens, the mask lets through what it does
    for any anchor, and only those tokens have a left factor.

    Images come of the VAE before the pipeline clamps them; our clamp to [0, 1] passes gradients on as if it were not
    there, so saturated pixels keep theirs. A pipeline without a VAE clamps itself. What the pipeline's safety checker
    refuses is black, as it is from the pipeline.

    From now on the pipeline belongs to the generator: its networks are frozen and in evaluation mode, checkpointing and
    tiling stay on, and a half-precision VAE that the pipeline would bring to float32 for each image stays there. Its
    scheduler keeps state: one generator and one thread a pipeline.

    Args:
        pipe: the pipeline.
        anchors: prompts to start from: ``("",)``, or the names of a few classes.
        rank: of the delta.
        n_steps: of the sampler; None for the pipeline's own default.
        size: (height, width) in pixels; None for its own default.
        guidance: its ``guidance_scale``; None for its own default. A distilled model may make nothing of it.
        reach: standard deviation of the delta for a latent of the prior, over the root mean square of the anchors.
        checkpointing: compute activations again instead of keeping them for gradients: less memory, more time.
        tiling: decode large images in tiles.
        **call: further arguments of the pipeline's call, such as ``max_sequence_length``.

    Raises:
        InputError: a pipeline that takes no prompt embeddings, does not run, or moves its weights between devices;
            anchors that are no strings; a rank larger than the tokens or their width; an argument it does not take.

    Source:
        Borycki et al., "ProDG", 2026 (arXiv 2605.08858): a prompt for each channel, as an anchor and a low-rank delta
        in the space of embeddings.

    Differs:
        Factors of rank 4 instead of 128; anchors are shared instead of copied for each channel; no noise is learned.
        The sampler is the pipeline's official call; the release's sigmas are 1, .667, .334, .001, 0. To have those on
        Flux pass ``sigmas=[1, .667, .334, .001]``.
    """

    def __init__(
        self,
        pipe: Any,
        *,
        anchors: Sequence[str] = ("",),
        rank: int = 4,
        n_steps: int | None = None,
        size: tuple[int, int] | None = None,
        guidance: float | None = None,
        reach: float = 0.25,
        checkpointing: bool = False,
        tiling: bool = False,
        **call: Any,
    ) -> None:
        if not reach > 0:
            raise InputError(f"`reach` must be above 0, got {shown(reach)}.")
        self.anchors, self.reach = _checked_anchors(anchors), float(reach)
        check_takes_embeddings(pipe)
        refuse_offloading(pipe)
        wanted = {
            "num_inference_steps": None if n_steps is None else check_count(n_steps, name="n_steps"),
            **_checked_size(size),
            "guidance_scale": guidance,
        }
        self._call = filled_in(pipe, wanted, call)
        self._pipe, self._run = pipe, inspect.unwrap(type(pipe).__call__)
        freeze(pipe)
        settle_precision(pipe)
        self._encoding = encode_anchors(pipe, self._run, self.anchors, self._call)
        self.layout = _layout(self._encoding, rank)
        self._token_scale = _rms(self._encoding.tokens[:, self._encoding.attended])
        self._pooled_scale = 0.0 if self._encoding.pooled is None else _rms(self._encoding.pooled)
        self.prior: Prior = StandardNormal(self.layout.dim)
        saved_memory(pipe, [denoiser_of(pipe), getattr(pipe, "vae", None)], checkpointing=checkpointing, tiling=tiling)

    @property
    def device(self) -> torch.device:
        """Where the pipeline runs."""
        return torch.device(self._pipe.device)

    def to(self, device: str | torch.device) -> "PromptGenerator":
        """Move the pipeline and the encoded anchors; returns self."""
        self._pipe.to(device)
        self._encoding = self._encoding.to(device)
        return self

    def memory(self, n_channels: int) -> int:
        """Return the bytes that the latents of `n_channels` and Adam's two moments take: ``4 * 3 * n_channels * dim``.

        The encoded anchors come on top, once for all: see `PromptLatents`.
        """
        return self.layout.memory(n_channels)

    def conditioning(self, latent: Float[Tensor, " latent"]) -> tuple[Float[Tensor, "token width"], Tensor | None]:
        """Return the embedded prompt that a latent stands for, and its pooled embedding, in at least float32."""
        anchors, pooled = self._encoding.tokens, self._encoding.pooled
        latent = latent.to(anchors.device, torch.promote_types(latent.dtype, torch.float32))
        weights, left, right, shift = self.layout.parts(latent)
        # in the anchors' own dtype: a copy of all of them in float32 for each image would be what sharing them saves
        mixed = (weights.to(anchors) @ anchors.flatten(1)).view(anchors.shape[1:]).to(latent)
        delta = self.reach * self._token_scale / math.sqrt(self.layout.rank) * (left @ right)
        tokens = mixed.index_add(0, self._encoding.attended.nonzero()[:, 0].to(latent.device), delta.to(mixed))
        if pooled is None:
            return tokens, None
        return tokens, (weights.to(pooled) @ pooled).to(latent) + self.reach * self._pooled_scale * shift

    def _drawn(self, latent: Tensor, seed: int) -> Tensor:
        return self._render(*self.conditioning(latent), seed=seed)

    def _render(self, tokens: Tensor, pooled: Tensor | None, *, seed: int) -> Tensor:
        """Return what the VAE decodes, on the scale of [0, 1] and in its own precision."""
        dtype = self._encoding.tokens.dtype
        prompt = self._encoding.call(tokens[None].to(dtype), None if pooled is None else pooled[None].to(dtype))
        with decoded(self._pipe) as seen:
            made = self._run(self._pipe, **{**self._call, **prompt}, generator=start_rng(seed), output_type="pt")
        return unclamped(self._pipe, seen, made)


def _checked_anchors(anchors: Any) -> tuple[str, ...]:
    if isinstance(anchors, str) or not isinstance(anchors, Sequence) or not anchors:
        raise InputError(
            f"`anchors` must be one or more prompts, such as ('',) or ('a wolf', 'a dog'), got {shown(anchors)}."
        )
    for anchor in anchors:
        if not isinstance(anchor, str):
            raise InputError(f"every anchor must be a string, got {shown(anchor)}. Give prompts, not their embeddings.")
    return tuple(anchors)


def _checked_size(size: Any) -> dict[str, int | None]:
    if size is None:
        return {"height": None, "width": None}
    if not isinstance(size, Sequence) or len(size) != 2:
        raise InputError(f"`size` must be (height, width) in pixels, got {shown(size)}.")
    return {"height": check_count(size[0], name="size[0]"), "width": check_count(size[1], name="size[1]")}


def _layout(encoding: Encoding, rank: int) -> PromptLatents:
    return PromptLatents(
        n_anchors=len(encoding.tokens),
        n_tokens=int(encoding.attended.sum()),
        width=encoding.tokens.shape[2],
        n_pooled=0 if encoding.pooled is None else encoding.pooled.shape[1],
        rank=rank,
    )


def _rms(anchors: Float[Tensor, "anchor *shape"]) -> float:
    return math.sqrt(sum(float(anchor.float().square().mean()) for anchor in anchors) / len(anchors))
