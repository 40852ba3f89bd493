"""What each operation does once its coefficients are held at the values they have on one image: an affine map.

The table is of torch's own core operations, so that no architecture is named. What is not in it is refused.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

Rule = Callable[[Callable[..., Any], Sequence[Any], dict[str, Any], Sequence[Any], Any], Any]
"""(operation, arguments of the frozen run, keywords, arguments on the image, result on the image) -> frozen result."""


def name_of(node: Node) -> str:
    if isinstance(node.target, torch._ops.OpOverload):
        return node.target.overloadpacket.__name__
    return getattr(node.target, "__name__", str(node.target))


def filled(args: Any, values: Mapping[Node, Any]) -> Any:
    return torch.fx.map_arg(args, lambda node: values[node])


def _as_is(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], _: Sequence[Any], __: Any) -> Any:
    """Apply an operation that is affine in all that it is given."""
    return function(*args, **kwargs)


def _product(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], own: Sequence[Any], _: Any
) -> Any:
    """Freeze each of two factors in turn and take half of both: exact at the image, and affine."""
    moves = [place for place in (0, 1) if args[place] is not own[place]]
    if len(moves) == 1:
        return function(*args, **kwargs)
    first, second = args[:2]
    left = function(first, own[1], *args[2:], **kwargs)
    return (left + function(own[0], second, *args[2:], **kwargs)) / 2


def _sum_and_product(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], own: Sequence[Any], _: Any
) -> Any:
    """Freeze each factor in turn where something is added to a product, which is kept whole."""
    if args[1] is own[1] or args[2] is own[2]:
        return function(*args, **kwargs)
    left = function(args[0], args[1], own[2], **kwargs)
    return (left + function(args[0], own[1], args[2], **kwargs)) / 2


def _quotient(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], own: Sequence[Any], result: Any
) -> Any:
    """Hold the divisor."""
    return result if args[0] is own[0] else function(args[0], own[1], **kwargs)


def _gate(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], own: Sequence[Any], result: Any
) -> Any:
    """Hold by how much a value is let through, (f(x) - f(0)) / x, and what an empty input gives, f(0)."""
    share, added = _line(function, kwargs, own, result)
    return args[0] * share + added


def _line(
    function: Callable[..., Any], kwargs: dict[str, Any], own: Sequence[Any], result: Any
) -> tuple[Tensor, Tensor]:
    """Return by how much a value is let through, and what is added."""
    value = own[0]
    empty = function(torch.zeros_like(value), *own[1:], **kwargs)
    away = value.abs() > torch.finfo(value.dtype).tiny  # below, a quotient is no number
    share = torch.where(away, (result - empty) / torch.where(away, value, torch.ones_like(value)), 0.0)
    return share, torch.where(away, empty, result)


def _power(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], own: Sequence[Any], result: Any
) -> Any:
    """Hold x ** (p - 1); a negative power is a divisor, which is held whole."""
    exponent = own[1]
    least = float(exponent.detach().min()) if isinstance(exponent, Tensor) else float(exponent)
    return _gate(function, args, kwargs, own, result) if least > 0 and args[0] is not own[0] else result


def _scale(value: Tensor, axes: tuple[int, ...], eps: float) -> Tensor:
    """Return one over the standard deviation: torch's own is cut off from gradients."""
    return (value.var(dim=axes, correction=0, keepdim=True) + eps).rsqrt()


def _layer_norm(_: Any, args: Sequence[Any], __: dict[str, Any], own: Sequence[Any], result: Any) -> Any:
    """Hold the scale; the centring stays."""
    axes = tuple(range(-len(own[1]), 0))
    scale = _scale(own[0], axes, own[4])
    values = (args[0] - args[0].mean(dim=axes, keepdim=True)) * (scale if own[2] is None else scale * own[2])
    return (values if own[3] is None else values + own[3]), result[1], result[2]


def _group_norm(_: Any, args: Sequence[Any], __: dict[str, Any], own: Sequence[Any], result: Any) -> Any:
    """Hold the scale; the centring stays."""
    batch, groups, shape = own[3], own[6], own[0].shape
    values = args[0].reshape(batch, groups, -1)
    scale = _scale(own[0].reshape(batch, groups, -1), (2,), own[7])
    values = (values - values.mean(dim=2, keepdim=True)) * scale
    values = values.reshape(shape)
    per_channel = (1, -1, *(1,) * (len(shape) - 2))
    values = values if own[1] is None else values * own[1].reshape(per_channel)
    return (values if own[2] is None else values + own[2].reshape(per_channel)), result[1], result[2]


def _rms_norm(_: Any, args: Sequence[Any], __: dict[str, Any], own: Sequence[Any], result: Any) -> Any:
    """Hold the scale; torch's own is cut off from gradients."""
    axes = tuple(range(-len(own[1]), 0))
    eps = torch.finfo(own[0].dtype).eps if own[3] is None else own[3]
    values = args[0] * (own[0].square().mean(dim=axes, keepdim=True) + eps).rsqrt()
    return (values if own[2] is None else values * own[2]), result[1]


def _variance_and_mean(_: Any, args: Sequence[Any], kwargs: dict[str, Any], own: Sequence[Any], result: Any) -> Any:
    """Hold the variance; the mean stays."""
    axes = own[1] if len(own) > 1 and own[1] is not None else tuple(range(own[0].ndim))
    return result[0], args[0].mean(dim=axes, keepdim=kwargs.get("keepdim", False)).reshape(result[1].shape)


def _pooled_maximum(_: Any, args: Sequence[Any], __: dict[str, Any], ___: Sequence[Any], result: Any) -> Any:
    """Hold where the maximum was."""
    indices = result[1]
    found = args[0].flatten(-2).gather(-1, indices.flatten(-2))
    return found.reshape(indices.shape), indices


def _maximum_along(_: Any, args: Sequence[Any], __: dict[str, Any], own: Sequence[Any], result: Any) -> Any:
    """Hold where the maximum was."""
    axis = own[1] if len(own) > 1 else -1
    keeps = result[1].ndim == own[0].ndim
    indices = result[1] if keeps else result[1].unsqueeze(axis)
    found = args[0].gather(axis, indices)
    return (found if keeps else found.squeeze(axis)), result[1]


def _maximum_over(_: Any, args: Sequence[Any], __: dict[str, Any], own: Sequence[Any], result: Any) -> Any:
    """Hold where the maximum over some axes was; where several are the same, their mean."""
    axes = tuple(own[1]) if len(own) > 1 and own[1] else tuple(range(own[0].ndim))
    most = result if len(own) > 2 and own[2] else own[0].amax(dim=axes, keepdim=True)
    where = (own[0] == most).to(own[0].dtype)
    where = where / where.sum(dim=axes, keepdim=True)
    return (args[0] * where).sum(dim=axes).reshape(result.shape)


def _larger_of_two(_: Any, args: Sequence[Any], __: dict[str, Any], own: Sequence[Any], result: Any) -> Any:
    """Hold which of two was taken."""
    return torch.where(own[0] == result, args[0], args[1])


def _restrided(_: Any, args: Sequence[Any], __: dict[str, Any], own: Sequence[Any], result: Any) -> Any:  # noqa: ARG001
    """Return the same values: pooling lays its result in memory as its channels-last input lay."""
    if result.shape != args[0].shape or sum(size > 1 for size in result.shape) > 1:
        raise NotImplementedError("a tensor laid otherwise in memory")
    return args[0]


_AFFINE = (
    "view _unsafe_view reshape expand permute transpose t unsqueeze squeeze slice select cat stack split "
    "split_with_sizes unbind clone contiguous _to_copy alias detach lift_fresh_copy lift_fresh mean sum add sub rsub "
    "neg avg_pool1d avg_pool2d avg_pool3d _adaptive_avg_pool2d adaptive_avg_pool1d constant_pad_nd reflection_pad2d "
    "replication_pad2d upsample_bilinear2d upsample_nearest2d upsample_bicubic2d _upsample_bilinear2d_aa roll flip "
    "index index_select repeat im2col col2im pixel_shuffle pixel_unshuffle masked_fill select_scatter slice_scatter "
    "native_batch_norm _native_batch_norm_legit_no_training diagonal unfold channel_shuffle native_channel_shuffle "
    "view_copy expand_copy permute_copy select_copy slice_copy cumsum copy where gather _reshape_alias "
    "narrow unsafe_split squeeze_copy unsqueeze_copy t_copy transpose_copy alias_copy dropout cudnn_batch_norm"
)
GATES = (
    "relu gelu silu hardswish elu mish tanh leaky_relu hardtanh clamp clamp_min clamp_max softplus celu selu abs "
    "_prelu_kernel hardshrink softshrink relu6 threshold"
)
_CONSTANTS = (
    "sigmoid hardsigmoid _softmax _safe_softmax exp sqrt rsqrt var std norm linalg_vector_norm reciprocal erf "
    "zeros_like ones_like full_like new_zeros new_ones new_full empty_like new_empty eq ne lt gt le ge isfinite argmax "
    "logical_not any all sign"
)

RULES: dict[str, Rule] = {
    **dict.fromkeys(_AFFINE.split(), _as_is),
    **dict.fromkeys(GATES.split(), _gate),
    **dict.fromkeys(("mul", "mm", "bmm", "dot", "mv", "convolution"), _product),
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), _sum_and_product),
    "div": _quotient,
    "pow": _power,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "_fused_rms_norm": _rms_norm,
    "var_mean": _variance_and_mean,
    **dict.fromkeys(("max_pool2d_with_indices", "adaptive_max_pool2d"), _pooled_maximum),
    "max": _maximum_along,
    "amax": _maximum_over,
    "maximum": _larger_of_two,
    "minimum": _larger_of_two,
    "as_strided_": _restrided,
}

_HELD = frozenset(_CONSTANTS.split())


def is_constant(node: Node, name: str) -> bool:
    """Whether an operation gives a coefficient: it is held, whatever it is made of."""
    value = node.meta.get("value")
    return name in _HELD or (isinstance(value, Tensor) and not value.is_floating_point())


_GATE_NAMES = frozenset(GATES.split())
_ADDED: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), (0,)),
    **dict.fromkeys(("add", "sub", "rsub"), (0, 1)),
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm"), (2, 3)),
    **dict.fromkeys(("convolution", "native_group_norm", "masked_fill", "constant_pad_nd"), (2,)),
    "where": (1, 2),
}
_MAY_LACK = {"native_layer_norm": 3}  # may be given nothing to add, which adding zeros costs a pass over all numbers


def linear_part(
    name: str, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], held: Sequence[Any], own: Any
) -> Any:
    """Return the frozen form of an operation less all that it adds by itself.

    Args:
        name: of the operation.
        function: the operation.
        args: of the frozen run, with nothing added (see `without_added`).
        kwargs: its keywords.
        held: the same arguments on the image.
        own: its result on the image.
    """
    if name in _GATE_NAMES:
        return args[0] * _line(function, kwargs, held, own)[0]
    if name == "addmm" and not kwargs and args[0] is held[0] and (args[1] is held[1] or args[2] is held[2]):
        return torch.mm(*args[1:3])
    found = RULES[name](function, args, kwargs, held, own)
    if name not in ("pow", "div"):
        return found
    empty = [one if moved is one else torch.zeros_like(one) for moved, one in zip(args, held, strict=True)]
    return found - RULES[name](function, empty, kwargs, held, own)


def without_added(name: str, args: Sequence[Any], moves: Sequence[bool]) -> list[Any]:
    """Return an operation's arguments with nothing added to what moves: the frozen form is linear then.

    Args:
        name: of the operation.
        args: its arguments.
        moves: for each, whether it moves with the input.
    """
    changed = list(args)
    if name in _MAY_LACK and not moves[_MAY_LACK[name]]:
        changed[_MAY_LACK[name]] = None
    for place in _ADDED.get(name, ()):
        if place < len(changed) and not moves[place] and changed[place] is not None:
            value = changed[place]
            changed[place] = torch.zeros_like(value) if isinstance(value, Tensor) else type(value)(0)
    return changed
