"""EPIC's coordinates: an invertible matrix on the channels, undone in the head."""

from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from likethat.errors import InputError
from likethat.functional import purity


class Rotation:
    """Channels mixed by an invertible matrix; the head takes the inverse, so logits stay.

    Args:
        mixing: (channel, channel), the papers' U: ``mixed = mixing @ features`` at every cell.
        head_weight: (class, channel), the network's own.
        orthogonal: whether the inverse is the transpose.

    Source:
        Borycki et al. (2026), EPIC, Remark 3.1: A U^-1 (U v) = A v.
    """

    def __init__(
        self,
        mixing: Float[Tensor, "channel channel"],
        head_weight: Float[Tensor, "class channel"],
        *,
        orthogonal: bool = True,
    ) -> None:
        n_channels = head_weight.shape[1]
        if mixing.shape != (n_channels, n_channels):
            raise InputError(
                f"`mixing` must be (channel, channel) = ({n_channels}, {n_channels}) for this head, got "
                f"{tuple(mixing.shape)}."
            )
        self._mixing = mixing.detach().float().cpu()
        self._head_weight = head_weight.detach().float().cpu()
        self.orthogonal = orthogonal

    def matrix(self) -> Float[Tensor, "channel channel"]:
        """Return the mixing matrix."""
        return self._mixing

    def inverse(self) -> Float[Tensor, "channel channel"]:
        """Return its inverse, in float64."""
        return self._inverse

    @cached_property
    def _exact(self) -> Float[Tensor, "channel channel"]:
        return self._mixing.double()

    @cached_property
    def _inverse(self) -> Float[Tensor, "channel channel"]:
        return self._exact.T if self.orthogonal else torch.linalg.inv(self._exact)

    @cached_property
    def _is_identity(self) -> bool:
        return torch.equal(self._mixing, torch.eye(len(self._mixing), dtype=self._mixing.dtype))

    @cached_property
    def mixed_head(self) -> Float[Tensor, "class channel"]:
        """The head in mixed channels, A U^-1, in float64."""
        head = self._head_weight.double()
        return head if self._is_identity else head @ self._inverse

    @property
    def n_units(self) -> int:
        """The number of channels."""
        return self._mixing.shape[0]

    @cached_property
    def unit_names(self) -> tuple[str, ...]:
        """``"channel 0"`` and so on."""
        return tuple(f"channel {index}" for index in range(self.n_units))

    def units_of(self, target: int) -> Int[Tensor, " unit"]:  # noqa: ARG002 - every class uses every channel
        """Return all channels: every class reads all of them."""
        return torch.arange(self.n_units)

    def summands(self, target: int) -> Float[Tensor, "unit channel"]:
        """Return row k = (A U^-1)[target, k] * U[k], in float64; the rows add up to A[target]."""
        return self.mixed_head[target, :, None] * self._exact

    def supplied(
        self,
        target: int,
        vectors: Float[Tensor, "*batch channel"],
        place: int | None = None,
        *,
        against: int | None = None,
    ) -> Float[Tensor, "*batch unit"]:
        """Return what each channel, or one, supplies to a logit, or to one less another, in float64."""
        rows = slice(None) if place is None else slice(place, place + 1)
        head, vectors = self.mixed_head[target, rows], vectors.double()
        if against is not None:
            head = head - self.mixed_head[against, rows]
        return (vectors[..., rows] if self._is_identity else vectors @ self._exact[rows].T) * head

    def supplied_each(
        self, targets: Int[Tensor, " batch"], vectors: Float[Tensor, "batch channel"]
    ) -> Float[Tensor, "batch unit"]:
        """Return what each channel supplies to a class of each vector's own, in float64."""
        vectors, head = vectors.double(), self._head_weight[targets].double()
        return vectors * head if self._is_identity else (vectors @ self._exact.T) * (head @ self._inverse)

    def detectors(self, units: Int[Tensor, " unit"]) -> Float[Tensor, "unit channel"]:
        """Return rows of the mixing matrix."""
        return self._mixing[units]

    def purity(self, vectors: Float[Tensor, "unit channel"], units: Int[Tensor, " unit"]) -> Float[Tensor, " unit"]:
        """Return the cosine between each mixed vector and its channel's axis."""
        if not self.orthogonal:
            return purity(vectors @ self._mixing.T, units)
        along = (vectors * self._mixing[units]).sum(1)  # a rotation keeps lengths: the other channels are not needed
        lengths = torch.linalg.vector_norm(vectors, dim=1).clamp_min(torch.finfo(vectors.dtype).tiny)
        return (along / lengths).clamp(-1, 1)
