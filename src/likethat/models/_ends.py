"""What a network puts between its last linear map and what it returns, found by trying it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat._double import double
from likethat.functional.links import Outputs
from likethat.models._probe import logits_of
from likethat.models._trace import relative_error

Change = Callable[[Tensor], Tensor]
_TINY = torch.finfo(torch.float32).tiny  # below it a logarithm would be infinite
_BELOW_ONE = 1 - torch.finfo(torch.float32).eps / 2  # the largest float32 below 1


@dataclass(frozen=True, kw_only=True, eq=False)
class End:
    """One way in which a network ends.

    Attributes:
        name: of it; "" where the network returns its logits.
        apply: from logits to what is returned.
        undo: the way back; what a softmax takes away (one number a row) stays away.
        outputs: what the logits stand for where the end tells.
    """

    name: str
    apply: Change
    undo: Change
    outputs: Outputs | None

    @property
    def is_blind_to_shifts(self) -> bool:
        """Whether a number added to all logits of a row is lost."""
        return self.outputs == "softmax"


ENDS = (
    End(name="", apply=lambda logits: logits, undo=lambda values: values, outputs=None),
    End(
        name="softmax",
        apply=lambda logits: logits.softmax(1),
        undo=lambda values: values.clamp_min(_TINY).log(),
        outputs="softmax",
    ),
    End(name="log_softmax", apply=lambda logits: logits.log_softmax(1), undo=lambda values: values, outputs="softmax"),
    End(
        name="sigmoid",
        apply=torch.sigmoid,
        undo=lambda values: values.clamp(_TINY, _BELOW_ONE).logit(),
        outputs="sigmoid",
    ),
    End(
        name="logsigmoid",
        apply=nn.functional.logsigmoid,
        undo=lambda values: values - (-torch.expm1(values)).clamp_min(_TINY).log(),
        outputs="sigmoid",
    ),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """An end together with the temperature before it: ``returned = end(scale * linear + shift)``.

    Attributes:
        end: how the network ends.
        scale: one over the temperature.
        shift: (class,) added to the logits; None for nothing.
        error: relative, on what it was fitted to.
    """

    end: End
    scale: float = 1.0
    shift: Float[Tensor, " cls"] | None = None
    error: float = 0.0

    def logits(self, linear: Float[Tensor, "*batch cls"]) -> Float[Tensor, "*batch cls"]:
        """Return the logits before the end, from what the linear map gave."""
        scaled = linear if self.scale == 1.0 else linear * self.scale
        return scaled if self.shift is None else scaled + self.shift.to(scaled)


def fit_end(
    end: End,
    linear: Float[Tensor, "batch cls"],
    returned: Float[Tensor, "batch cls"],
    *,
    tolerance: float,
    scaled: bool = False,
) -> Fitted | None:
    """Return the end where it makes what was returned of the linear map's values, else None.

    Args:
        end: that is tried.
        linear: values of the linear map.
        returned: by the network.
        tolerance: relative.
        scaled: whether to look for a temperature, and numbers added, between the two.
    """
    linear, returned = linear.float(), returned.float()
    fitted = _with_temperature(end, linear, returned) if scaled else Fitted(end=end)
    error = float("inf") if fitted is None else relative_error(end.apply(fitted.logits(linear)), returned)
    return None if fitted is None or error > tolerance else replace(fitted, error=error)


def _with_temperature(end: End, linear: Tensor, returned: Tensor) -> Fitted | None:
    """Fit one scale, and one shift a class, to how rows and classes differ."""
    values, wanted = double(linear), double(end.undo(returned))
    if end.is_blind_to_shifts:
        values, wanted = values - values.mean(1, keepdim=True), wanted - wanted.mean(1, keepdim=True)
    spread = values - values.mean(0)
    size = float(spread.square().sum())
    scale = float((spread * (wanted - wanted.mean(0))).sum()) / size if size > 0 else 0.0
    if scale == 0.0 or not torch.isfinite(torch.tensor(scale)):
        return None
    shift = (wanted - scale * values).mean(0)
    moves = float(shift.abs().max()) > 1e-5 * float(wanted.abs().max())
    return Fitted(end=end, scale=scale, shift=shift.float() if moves else None)


def end_of_values(returned: list[Tensor], last: str) -> End:
    """Return how a network ends whose last linear map is not known, from its answers to several batches.

    Args:
        returned: its answers.
        last: its last function, from `last_function`.
    """
    rows = torch.cat([values.float() for values in returned])
    probable = bool(((rows >= 0) & (rows <= 1)).all())
    if probable and rows.shape[1] > 1 and bool(((rows.sum(1) - 1).abs() <= 1e-3).all()):
        return ENDS[1]
    return ENDS[3] if probable and last == "sigmoid" else ENDS[0]


def last_function(network: nn.Module, inputs: Tensor) -> str:
    """Return "sigmoid" where that is the last thing a network computes, as autograd saw it; else ""."""
    with torch.enable_grad():
        node = logits_of(network(inputs.detach().requires_grad_()), len(inputs)).grad_fn
    while node is not None and node.name().startswith(_RESHAPING):
        node = node.next_functions[0][0]
    return "sigmoid" if node is not None and node.name().startswith("SigmoidBackward") else ""


_RESHAPING = ("View", "Reshape", "Squeeze", "Unsqueeze", "Select", "Slice", "Clone", "Permute", "Transpose", "ToCopy")
