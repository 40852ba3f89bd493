"""Which part of a tensor each number behind it is made of.

Labels of the parts go through the steps in the place of numbers: a step moves them, or reads along an axis on which all
are one, such as the channels of a cell. No number of any image is looked at, and where a step moves parts to places
that are found on the image nothing is said, so that what holds for one holds for all.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.fx import Node

from likethat.models._frozen_rules import GATES, filled, name_of

MANY = -1  # the label of a number that is made of several parts
SHAPED = frozenset(("view", "_unsafe_view", "_reshape_alias"))  # labels need not lie in memory as numbers do
_MOVES = (
    "reshape expand permute transpose t unsqueeze squeeze slice select cat stack split split_with_sizes unbind roll "
    "flip index index_select repeat pixel_shuffle pixel_unshuffle diagonal unfold constant_pad_nd narrow unsafe_split "
    "view_copy expand_copy permute_copy select_copy slice_copy squeeze_copy unsqueeze_copy t_copy transpose_copy "
    "channel_shuffle native_channel_shuffle getitem"
)
_ONE_BY_ONE = (
    "pow div neg clone contiguous _to_copy alias detach dropout lift_fresh lift_fresh_copy alias_copy copy masked_fill "
    "native_batch_norm _native_batch_norm_legit_no_training cudnn_batch_norm _fused_rms_norm add sub rsub mul where "
    "maximum minimum"
)
_MOVING = SHAPED | {*_MOVES.split()}
_POINTWISE = frozenset((*GATES.split(), *_ONE_BY_ONE.split()))


def labels_of(node: Node, labels: Mapping[Node, Any], own: Mapping[Node, Any]) -> Any:
    """Return the label of each number that a step gives: 0 for a constant, `MANY` where parts come together.

    Args:
        node: the step.
        labels: of what it is given, as far as that is made of parts.
        own: what every step gives for an image: of it only the shapes are read.
    """
    name, args = name_of(node), cast("Sequence[Any]", node.args)
    result = own[node]
    if name in _MOVING:
        is_told = any(_is_found(arg, labels, own) for arg in node.all_input_nodes)
        return many(result) if is_told else _moved(node, labels, own)
    first = result if isinstance(result, Tensor) else result[0]
    given = [labels[arg] for arg in node.all_input_nodes if arg in labels]
    axes = _read_along(name, args, labels, own)
    if name in _POINTWISE:
        found = _one(torch.stack([label.expand(first.shape) for label in given]), (0,))
    elif axes is not None and len(given) == 1:
        found = _one(given[0], axes)
    else:
        return many(result)
    found = found.reshape(first.shape) if found.numel() == first.numel() else found.expand(first.shape)
    return found if first is result else (found, *(torch.zeros_like(found) for _ in result[1:]))  # scales are held


def _is_found(node: Node, labels: Mapping[Node, Any], own: Mapping[Node, Any]) -> bool:
    """Whether these are places that are found on each image, an argmax say: on another one parts move otherwise."""
    value = own[node]
    if node in labels or not isinstance(value, Tensor) or value.is_floating_point():
        return False
    waiting, seen = [node], {node}
    while waiting:
        one = waiting.pop()
        if one in labels or one.op == "placeholder":
            return True
        new = [arg for arg in one.all_input_nodes if arg not in seen]
        waiting += new
        seen.update(new)
    return False


def many(result: Any) -> Any:
    """Return labels that know nothing."""
    if not isinstance(result, Tensor):
        return tuple(many(one) for one in result)
    return torch.tensor(MANY, dtype=torch.int32, device=result.device).expand(result.shape)


def _moved(node: Node, labels: Mapping[Node, Any], own: Mapping[Node, Any]) -> Any:
    """Apply a step that gives what it is given, elsewhere; constants have the label 0."""
    if name_of(node) == "getitem":
        return labels[node.args[0]][node.args[1]]  # type: ignore[index]

    def label(arg: Node) -> Any:
        value = own[arg]
        is_constant = arg not in labels and isinstance(value, Tensor) and value.is_floating_point()
        return torch.zeros_like(value, dtype=torch.int32) if is_constant else labels.get(arg, value)

    args: Any = torch.fx.map_arg(node.args, label)
    if name_of(node) in SHAPED:
        return args[0].reshape(args[1])
    function: Any = node.target
    return function(*(args[:2] if name_of(node) == "constant_pad_nd" else args), **filled(node.kwargs, own))


def _read_along(
    name: str, args: Sequence[Any], labels: Mapping[Node, Any], own: Mapping[Node, Any]
) -> tuple[int, ...] | None:
    """Return the axes of what is labelled that each number of a result is made of; None where that is not known."""
    if name in {"mm", "bmm", "addmm", "baddbmm"}:
        left, right = args[-2:] if name in {"mm", "bmm"} else args[1:3]
        return (-1,) if left in labels else (-2,) if right in labels else None
    if name == "native_layer_norm":
        return tuple(range(-len(args[1]), 0))
    if name in {"mean", "sum"}:
        return tuple(args[1]) if len(args) > 1 and args[1] else tuple(range(own[args[0]].ndim))
    if name == "convolution" and args[0] in labels:
        weight, (_, _, _, stride, padding, _, is_transposed, _, groups) = own[args[1]], args
        is_plain = set(weight.shape[2:]) == set(stride) == {1} and set(padding) == {0}
        return (1,) if is_plain and not is_transposed and groups == 1 else None
    return None


def _one(labels: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return the one label along some axes, constants aside."""
    most = labels.amax(axes, keepdim=True)
    least = torch.where(labels == 0, most, labels).amin(axes, keepdim=True)
    return torch.where(most == least, most, MANY)
