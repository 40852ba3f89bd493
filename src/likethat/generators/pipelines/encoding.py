"""What a text-to-image pipeline makes of a prompt, found by watching it once instead of by a list of pipelines."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from likethat._options import shown
from likethat.errors import InputError
from likethat.generators.pipelines.base import start_rng, swapped

_POOLED = ("pooled_prompt_embeds", "prompt_embeds_pooled")
_MASKS = ("prompt_attention_mask", "prompt_embeds_mask", "attention_mask")
_OURS = ("prompt", "latents", "generator", "output_type", "return_dict", "num_images_per_prompt", "prompt_embeds")


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoding:
    """The anchors as a pipeline's text encoders see them, in its own dtype and on its device."""

    tokens: Float[Tensor, "anchor token width"]
    """What is passed as ``prompt_embeds``."""
    pooled: Float[Tensor, "anchor pooled"] | None
    """What is passed under `pooled_name`; None where the pipeline has none."""
    pooled_name: str
    """The call's name of `pooled`; empty where there is none."""
    attended: Bool[Tensor, " token"]
    """Which tokens any anchor's attention mask lets through; all of them without a mask."""
    fixed: Mapping[str, Tensor | None]
    """Further arguments of the call: masks, negative embeddings, and None for the prompts they stand for."""

    def to(self, device: str | torch.device) -> "Encoding":
        """Return it on another device."""
        return replace(
            self,
            tokens=self.tokens.to(device),
            pooled=None if self.pooled is None else self.pooled.to(device),
            fixed={name: None if value is None else value.to(device) for name, value in self.fixed.items()},
        )

    def call(self, tokens: Float[Tensor, "1 token width"], pooled: Tensor | None) -> dict[str, Any]:
        """Return the arguments that stand for a prompt."""
        named = {self.pooled_name: pooled} if pooled is not None else {}
        return {**self.fixed, "prompt_embeds": tokens, **named}


class _Probed(Exception):  # noqa: N818 - not an error: it ends a run that has shown what was wanted
    """The pipeline came to its denoiser."""


def denoiser_of(pipe: Any) -> nn.Module:
    """Return the network that a pipeline calls at every step.

    Raises:
        InputError: neither a transformer nor a U-Net.
    """
    for name in ("transformer", "unet"):
        network = getattr(pipe, name, None)
        if isinstance(network, nn.Module):
            return network
    raise InputError(f"{type(pipe).__name__} must have a `transformer` or a `unet`, and has neither.")


def check_takes_embeddings(pipe: Any) -> None:
    """Refuse pipelines that draw no embedded prompts.

    Raises:
        InputError: the call has no ``prompt_embeds``, or the pipeline no `encode_prompt`.
    """
    known = inspect.signature(inspect.unwrap(type(pipe).__call__)).parameters
    if "prompt_embeds" not in known or not hasattr(pipe, "encode_prompt"):
        raise InputError(
            f"{type(pipe).__name__} takes no prompt embeddings (`prompt_embeds`), so its prompts cannot be learned. "
            "Search its start noise instead: by='noise'."
        )


def filled_in(pipe: Any, wanted: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a pipeline's call, refusing those it does not take.

    Args:
        pipe: the pipeline.
        wanted: what the generator's own options say; None leaves the call's default.
        extra: what the user gave by the call's own names, None included.

    Raises:
        InputError: an argument that the call does not take, or that the generator sets itself.
    """
    known = inspect.signature(inspect.unwrap(type(pipe).__call__)).parameters
    given = {**{name: value for name, value in wanted.items() if value is not None}, **extra}
    for name, value in given.items():
        if name not in known:
            raise InputError(f"the call of {type(pipe).__name__} must take `{name}`, and does not. Leave it out.")
        if name in _OURS:
            raise InputError(f"`{name}` must be left to the generator, got {shown(value)}. Leave it out.")
    return given


def encode_anchors(pipe: Any, run: Callable[..., Any], anchors: Sequence[str], call: Mapping[str, Any]) -> Encoding:
    """Encode prompts by the pipeline's own `encode_prompt`, with the arguments that its own call gives it.

    The pipeline runs twice, up to the first step: with the first anchor as a prompt, and with its encoding. Its
    denoiser must see the same both times; that proves that every encoding went to the right argument.

    Args:
        pipe: the pipeline.
        run: its call, without `no_grad`.
        anchors: the prompts.
        call: further arguments of the call.

    Raises:
        InputError: the pipeline does not run, or sees something else in the second run.
    """
    known = inspect.signature(run).parameters
    name = type(pipe).__name__
    used: list[dict[str, Any]] = []
    with swapped(pipe, "encode_prompt", _noting(pipe, used)):
        plain = _first_inputs(pipe, run, {**call, "prompt": anchors[0]})
    if not used:
        raise InputError(f"{name} must encode its prompt by `encode_prompt`, and did not. Use by='noise'.")
    with torch.no_grad():
        alone = _sorted_out(_encoded(pipe, anchors[:1], used[0]), known, name)
        again = _first_inputs(pipe, run, {**call, **alone.call(alone.tokens, alone.pooled)})
        if not _same(plain, again):
            raise InputError(
                f"{name} must draw the same of a prompt and of its embeddings, and does not: it takes arguments that "
                "likethat does not know. Use by='noise'."
            )
        return alone if len(anchors) == 1 else _sorted_out(_encoded(pipe, anchors, used[0]), known, name)


def _noting(pipe: Any, used: list[dict[str, Any]]) -> Callable[..., Any]:
    """Return an `encode_prompt` that notes what it was called with."""
    encode = pipe.encode_prompt
    signature = inspect.signature(encode)

    def note(*args: Any, **kwargs: Any) -> Any:
        used.append(dict(signature.bind(*args, **kwargs).arguments))
        return encode(*args, **kwargs)

    return note


def _first_inputs(pipe: Any, run: Callable[..., Any], call: Mapping[str, Any]) -> list[Tensor]:
    """Return the tensors that the denoiser is given at the first step."""
    seen: list[Tensor] = []

    def stop(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.extend(item for item in [*args, *kwargs.values()] if isinstance(item, Tensor))
        raise _Probed

    hook = denoiser_of(pipe).register_forward_pre_hook(stop, with_kwargs=True)
    try:
        with torch.no_grad():
            run(pipe, **call, generator=start_rng(0))
    except _Probed:
        return seen
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        shown = {name: value for name, value in call.items() if not isinstance(value, Tensor)}
        raise InputError(f"{type(pipe).__name__} does not run with {shown}: {reason}") from error
    finally:
        hook.remove()
    raise InputError(f"{type(pipe).__name__} never called its denoiser. Give at least one step.")


def _encoded(pipe: Any, anchors: Sequence[str], used: Mapping[str, Any]) -> list[Tensor]:
    """Return the outputs of `encode_prompt`, one row an anchor; text ids and what is None are left out."""
    prompts = [name for name, value in used.items() if name.startswith("prompt") and value == used["prompt"]]

    def encode(prompt: str | list[str]) -> list[Tensor]:
        made = pipe.encode_prompt(**{**used, **dict.fromkeys(prompts, prompt)})
        rows = list(made) if isinstance(made, tuple | list) else [made]
        wide = [item for item in rows if isinstance(item, Tensor) and item.ndim in (2, 3) and item.shape[-1] != 3]
        return [item for item in wide if len(item) == (1 if isinstance(prompt, str) else len(prompt))]

    one_by_one = [encode(anchor) for anchor in anchors]
    if any([part.shape for part in row] != [part.shape for part in one_by_one[0]] for row in one_by_one):
        return encode(list(anchors))  # padded to the longest of them
    return [torch.cat(parts) for parts in zip(*one_by_one, strict=True)]


def _sorted_out(rows: Sequence[Tensor], known: Mapping[str, Any], name: str) -> Encoding:
    """Give every output its argument: embeddings, pooled ones and masks by their shapes, the negative ones last."""
    tokens = next((row for row in rows if row.ndim == 3 and row.is_floating_point()), None)
    if tokens is None:
        raise InputError(f"{name} must encode a prompt to (prompt, token, width), and does not. Use by='noise'.")
    n_tokens, width = tokens.shape[1:]
    pooled_name = next((item for item in _POOLED if item in known), "")
    mask_name = next((item for item in _MASKS if item in known), "")
    named: dict[str, Tensor] = {}
    for row in rows:
        is_mask = mask_name and row.ndim == 2 and row.shape[1] in (n_tokens, n_tokens * width)  # AuraFlow: by number
        argument = "prompt_embeds" if row.ndim == 3 else mask_name if is_mask else pooled_name
        argument = argument if argument not in named else f"negative_{argument}"
        if argument in known:
            named[argument] = row
    pooled = named.pop(pooled_name, None)
    del named["prompt_embeds"]
    mask = named.get(mask_name)
    seen = torch.ones(1, n_tokens, dtype=torch.float32) if mask is None else (mask > 0).any(0, keepdim=True)
    fixed: dict[str, Tensor | None] = {key: row[:1] for key, row in named.items()}
    if mask is not None:
        fixed[mask_name] = seen.to(mask)
    attended = seen.reshape(n_tokens, -1).bool().any(1).cpu()
    silent = ["prompt"] + (["negative_prompt"] if "negative_prompt_embeds" in named else [])
    fixed |= {key: None for key in known if key.removesuffix("_2").removesuffix("_3") in silent}
    return Encoding(tokens=tokens, pooled=pooled, pooled_name=pooled_name, attended=attended, fixed=fixed)


def _same(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return len(one) == len(other) and all(
        a.shape == b.shape and torch.allclose(a.float(), b.float(), rtol=0, atol=0, equal_nan=True)
        for a, b in zip(one, other, strict=True)
    )
