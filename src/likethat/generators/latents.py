"""What generators of tables and texts share: input checks of latents, and rows that do not depend on each other."""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._checks import check_finite
from likethat.errors import InputError

_CHUNK = 64  # rows at a time, always: a row's result does not depend on who else is asked


def check_latents(latents: Float[Tensor, "n latent"], dim: int) -> Float[Tensor, "n latent"]:
    """Return latents as float32 on the CPU.

    Raises:
        InputError: another shape.
        NonFiniteError: NaN or infinity.
    """
    if not isinstance(latents, Tensor) or latents.ndim != 2 or latents.shape[1] != dim:
        shape = f"shape {tuple(latents.shape)}" if isinstance(latents, Tensor) else type(latents).__name__
        raise InputError(
            f"`latents` must be (n, latent) = (n, {dim}), got {shape}. Draw some with prior.sample(n, rng=...)."
        )
    return check_finite(latents.detach().cpu().float(), name="latents")


def in_chunks(
    function: Callable[[Tensor], Mapping[str, Tensor]], rows: Tensor, *, size: int = _CHUNK
) -> dict[str, Tensor]:
    """Apply a function to chunks of one size, the last one padded: rounding depends on the shape of a batch.

    Example:
        >>> in_chunks(lambda part: {"double": 2 * part}, torch.arange(3), size=2)
        {'double': tensor([0, 2, 4])}
    """
    n = max(1, -(-len(rows) // size))
    padded = torch.cat([rows, rows.new_zeros(n * size - len(rows), *rows.shape[1:])])
    made = [function(part) for part in padded.split(size)]
    return {name: torch.cat([part[name] for part in made])[: len(rows)] for name in made[0]}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
