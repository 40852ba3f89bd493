"""The frozen run: a network's tail as an affine map of its input, with the coefficients that it has on one image."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.fx import Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode

from likethat.errors import ModelError
from likethat.models._frozen_rules import RULES, is_constant

_AT_ONCE = 2**24  # numbers of the largest tensor that cells pushed through together make: 64 MiB


class NotFrozenError(ModelError):
    """A tail holds an operation that has no frozen form, or cannot be followed."""


class _PlainAttention(TorchFunctionMode):
    """Writes attention out as products and a softmax: fused kernels keep their weights to themselves."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.nn.functional.scaled_dot_product_attention:
            return _written_out(*args, **kwargs)
        if func is torch.nn.functional.multi_head_attention_forward:
            wanted = kwargs.get("need_weights", True)
            output, weights = func(*args, **{**kwargs, "need_weights": True})
            return output, (weights if wanted else None)
        return func(*args, **kwargs)


def _written_out(  # noqa: PLR0917 - torch's own signature
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,  # noqa: ARG001 - evaluation
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return what `scaled_dot_product_attention` does, by its documented formula."""
    if enable_gqa:
        groups = query.shape[-3] // key.shape[-3]
        key, value = key.repeat_interleave(groups, -3), value.repeat_interleave(groups, -3)
    scores = query @ key.transpose(-2, -1) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(later, -torch.inf)
    if attn_mask is not None:
        is_bool = attn_mask.dtype == torch.bool
        scores = scores.masked_fill(~attn_mask, -torch.inf) if is_bool else scores + attn_mask
    return scores.softmax(dim=-1) @ value


class Tail:
    """A function of one tensor, as torch's core operations one by one.

    Args:
        function: from the tensor to another.
        value: a tensor to follow it with.

    Raises:
        NotFrozenError: it cannot be followed.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], value: Tensor) -> None:
        try:
            with torch.no_grad(), _PlainAttention():
                graph = make_fx(torch.func.functionalize(function, remove="mutations"), tracing_mode="real")(value)
        except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError, AssertionError) as error:
            line = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise NotFrozenError(f"what follows the map cannot be followed: {line}") from error
        graph.graph.eliminate_dead_code()
        graph.recompile()
        self._graph = graph
        self._nodes = list(graph.graph.nodes)

    def run(self, value: Tensor) -> dict[Node, Any]:
        """Return what every operation gives for a tensor."""
        own: dict[Node, Any] = {}
        for node in self._nodes:
            if node.op == "placeholder":
                own[node] = value
            elif node.op == "get_attr":
                own[node] = getattr(self._graph, str(node.target))
            elif node.op == "call_function":
                own[node] = node.target(*filled(node.args, own), **filled(node.kwargs, own))
        own[self._nodes[-1]] = own[self._nodes[-1].args[0]]
        return own


class FrozenTail(Tail):
    """A tail from a map to a vector, whose operations can be run with the coefficients that they have on one image.

    Args:
        tail: from the map to the vector.
        value: the map of one image.

    Raises:
        NotFrozenError: it cannot be followed, or an operation in it has no frozen form.
    """

    def __init__(self, tail: Callable[[Tensor], Tensor], value: Tensor) -> None:
        super().__init__(tail, value)
        with torch.no_grad():
            own = self.run(value)
        for node in self._nodes:
            node.meta["value"] = own[node]
        self._live = self._needed(self._depending())
        sizes = [own[node].numel() for node in self._live if isinstance(own[node], Tensor)]
        self._together = max(1, _AT_ONCE // max(sizes))
        for node in self._nodes:
            node.meta.clear()  # the values of one image are not kept

    def _depending(self) -> set[Node]:
        """Return the nodes that move with the map once coefficients are held."""
        live: set[Node] = set()
        for node in self._nodes:
            follows = node.op == "call_function" and bool(live & set(node.all_input_nodes))
            if node.op == "placeholder" or (follows and not is_constant(node, name_of(node))):
                live.add(node)
        return live

    def _needed(self, live: set[Node]) -> list[Node]:
        """Return those on which the result depends, in order."""
        output = self._nodes[-1]
        needed = {node for node in output.all_input_nodes if node in live}
        if not needed:
            raise NotFrozenError("with its coefficients held, the result does not depend on the map")
        for node in reversed(self._nodes):
            if node in needed:
                needed |= {given for given in node.all_input_nodes if given in live}
                if node.op == "call_function" and name_of(node) not in RULES and name_of(node) != "getitem":
                    raise NotFrozenError(f"the operation `{name_of(node)}` has no frozen form")
        return [node for node in self._nodes if node in needed]

    def frozen(self, value: Tensor, own: Mapping[Node, Any]) -> Float[Tensor, " channel"]:
        """Return the vector of another map, under the coefficients of a run."""
        moved = dict(own)
        for node in self._live:
            if node.op == "placeholder":
                moved[node] = value
                continue
            args, kwargs = filled(node.args, moved), filled(node.kwargs, moved)
            name = name_of(node)
            if name == "getitem":
                moved[node] = args[0][args[1]]
            else:
                given = filled(node.args, own)
                moved[node] = RULES[name](node.target, args, kwargs, given, own[node])  # type: ignore[arg-type]
        result: Tensor = moved[self._nodes[-1].args[0]]
        return result.flatten()

    def forwards(
        self, value: Tensor, directions: Float[Tensor, "part *axes"], own: Mapping[Node, Any]
    ) -> Float[Tensor, "part channel"]:
        """Return what each part of a map gives alone: the frozen run is linear in it, but for its constant."""

        def push(direction: Tensor) -> Any:
            return torch.func.jvp(lambda given: self.frozen(given, own), (value,), (direction,))[1]

        found: Tensor = torch.func.vmap(push, chunk_size=self._together)(directions)
        return found

    def backwards(self, value: Tensor, n_channels: int, own: Mapping[Node, Any]) -> Float[Tensor, "channel *axes"]:
        """Return the derivative of every channel of the vector by the map: the cheaper way where channels are few."""
        back = torch.func.vjp(lambda given: self.frozen(given, own), value)[1]
        ones = torch.eye(n_channels, dtype=value.dtype, device=value.device)
        found: Tensor = torch.func.vmap(lambda one: back(one)[0], chunk_size=self._together)(ones)
        return found[:, 0]


def name_of(node: Node) -> str:
    if isinstance(node.target, torch._ops.OpOverload):
        return node.target.overloadpacket.__name__
    return getattr(node.target, "__name__", str(node.target))


def filled(args: Any, values: Mapping[Node, Any]) -> Any:
    return torch.fx.map_arg(args, lambda node: values[node])
