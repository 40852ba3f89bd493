"""The frozen run: a network's tail as an affine map of its input, with the coefficients that it has on one image."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.fx import Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import flop_registry

from likethat.errors import ModelError
from likethat.models._apart import MANY, labels_of, many
from likethat.models._frozen_rules import RULES, filled, is_constant, name_of

_AT_ONCE = 2**24  # numbers of the largest tensor that cells pushed through together make: 64 MiB


class NotFrozenError(ModelError):
    """A tail holds an operation that has no frozen form, or cannot be followed."""


class TooDearError(NotFrozenError):
    """Following a map's cells costs too much; it would cost more from any map before it."""


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
    scaled = query * (query.shape[-1] ** -0.5 if scale is None else scale)  # there are far more scores than queries
    scores = scaled @ key.transpose(-2, -1)
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
        function: from the tensor to another, or to several.
        value: a tensor to follow it with.

    Raises:
        NotFrozenError: it cannot be followed.
    """

    def __init__(self, function: Callable[[Tensor], Any], value: Tensor) -> None:
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
            self._take(node, own, value)
        return own

    def _take(self, node: Node, own: dict[Node, Any], value: Tensor) -> None:
        """Add what one operation gives to what those before it gave."""
        if node.op == "placeholder":
            own[node] = value
        elif node.op == "get_attr":
            own[node] = getattr(self._graph, str(node.target))
        elif node.op == "call_function":
            own[node] = node.target(*filled(node.args, own), **filled(node.kwargs, own))  # type: ignore[operator]
        else:
            own[node] = filled(node.args[0], own)


class FrozenTail(Tail):
    """A tail from a map to a vector, whose operations can be run with the coefficients that they have on one image.

    What a part of the map gives alone is followed in two passes. One holds all parts, as far as each number is made of
    one of them: a linear layer on the channels of cells keeps them apart. What is made of several has a pass for each
    part, or one back for each channel of the vector, whichever are fewer.

    Args:
        tail: from the map to the vector.
        value: the map of one image.
        parts: like the map, the number of the part that each number belongs to, from 1 on.

    Raises:
        NotFrozenError: it cannot be followed, or an operation in it has no frozen form.
    """

    def __init__(self, tail: Callable[[Tensor], Tensor], value: Tensor, parts: Tensor) -> None:
        super().__init__(tail, value)
        with torch.no_grad():
            own = self.run(value)
        for node in self._nodes:
            node.meta["value"] = own[node]
        self._live = self._needed(self._depending())
        for node in self._nodes:
            node.meta.clear()  # the values of one image are not kept
        labels = self._labels(parts, own)
        self._live = [node for node in self._live if _holds(labels[node], lambda one: one != 0)]
        self._before = [node for node in self._live if _holds(labels[node], lambda one: one > 0)]
        self._behind = [node for node in self._live if _holds(labels[node], lambda one: one == MANY)]
        reached = {node for step in self._behind for node in step.all_input_nodes} & set(self._before)
        self._reached = {node: labels[node] for node in self._before if node in reached and _is_one(labels[node])}
        self._rows = {node: _rows_of_many(node, labels) for node in self._behind if node in self._reached}
        self.n_parts = int(parts.max())
        self.n_channels = own[self._nodes[-1]].numel()
        self.reaching = torch.cat([label.unique() for label in self._reached.values()]).unique()
        behind = [own[node] for node in (*self._reached, *self._behind)]
        self._together = max(1, _AT_ONCE // max(one.numel() for one in behind if isinstance(one, Tensor)))
        once = sum(_products(node, own) for node in self._before)
        each = sum(_products(node, own) for node in self._behind if self._rows.get(node) is None)
        self.products = 2 * once + (1 + min(self.n_parts, self.n_channels)) * each

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

    def _labels(self, parts: Tensor, own: Mapping[Node, Any]) -> dict[Node, Any]:
        """Return the part that each number belongs to, of every step."""
        labels: dict[Node, Any] = {self._live[0]: parts}
        for node in self._live[1:]:
            is_last = node in self._nodes[-1].all_input_nodes
            labels[node] = many(own[node]) if is_last else labels_of(node, labels, own)
        return labels

    def frozen(self, value: Tensor, own: Mapping[Node, Any]) -> Float[Tensor, " channel"]:
        """Return the vector of another map, under the coefficients of a run."""
        return self._pushed(self._live[:1], [value], self._live[1:], own)[self._nodes[-1]].flatten()

    def _pushed(
        self, begin: Iterable[Node], values: Sequence[Tensor], steps: Sequence[Node], own: Mapping[Node, Any]
    ) -> dict[Node, Any]:
        """Return what steps give, under the coefficients of a run, where some have other values."""
        known = dict(zip(begin, values, strict=True))
        moved = {**own, **known}
        for node in steps:
            args, kwargs = filled(node.args, moved), filled(node.kwargs, moved)
            name = name_of(node)
            if name == "getitem":
                moved[node] = args[0][args[1]]
            elif node in known and (rows := self._rows[node]) is not None:
                moved[node] = _in_rows(args[-2], args[-1], rows)
            else:
                given = filled(node.args, own)
                moved[node] = RULES[name](node.target, args, kwargs, given, own[node])  # type: ignore[arg-type]
            if node in known:  # of some numbers that are made of one part the pass before knows what they are
                moved[node] = torch.where(self._reached[node] == MANY, moved[node], known[node])
        moved[self._nodes[-1]] = moved[self._nodes[-1].args[0]]
        return moved

    def given(self, value: Tensor, own: Mapping[Node, Any], *, by_channels: bool) -> Float[Tensor, "part channel"]:
        """Return what each part of a map gives alone: the frozen run is linear in it, but for its constant.

        Args:
            value: the map of one image.
            own: what every step gives for it.
            by_channels: back from each channel of the vector, rather than on from each part of the map.
        """

        def before(value: Tensor) -> tuple[Tensor, ...]:
            moved = self._pushed(self._live[:1], [value], self._before[1:], own)
            return tuple(moved[node] for node in self._reached)

        def behind(*reached: Tensor) -> Tensor:
            return self._pushed(self._reached, reached, self._behind, own)[self._nodes[-1]].flatten()

        pair: Any = torch.func.jvp(before, (value,), (value,))
        reached, moves = pair

        def on(part: Tensor) -> Any:
            alone = [move * (label == part) for move, label in zip(moves, self._reached.values(), strict=True)]
            return torch.func.jvp(behind, reached, tuple(alone))[1]

        def back(channel: Tensor) -> Tensor:
            found = value.new_zeros(1 + self.n_parts)
            for slope, move, label in zip(slopes(channel), moves, self._reached.values(), strict=True):
                found = found.index_add(0, label.clamp_min(0).flatten(), (slope * move).flatten())
            return found[1:]

        if by_channels:
            slopes = torch.func.vjp(behind, *reached)[1]
            ones = torch.eye(self.n_channels, dtype=value.dtype, device=value.device)
            by_channel: Tensor = torch.func.vmap(back, chunk_size=self._together)(ones)
            return by_channel.T
        parts = torch.arange(1, self.n_parts + 1, dtype=torch.int32, device=value.device)
        by_part: Tensor = torch.func.vmap(on, chunk_size=self._together)(parts)
        return by_part


def _is_one(labels: Any) -> bool:
    return isinstance(labels, Tensor)


def _holds(labels: Any, condition: Callable[[Tensor], Tensor]) -> bool:
    return any(bool(condition(one).any()) for one in ((labels,) if _is_one(labels) else labels))


def _rows_of_many(node: Node, labels: Mapping[Node, Any]) -> Tensor | None:
    """Return the rows of a product that hold numbers made of several parts: others need no second pass."""
    is_plain = name_of(node) in {"mm", "addmm"} and not node.kwargs
    if not is_plain or node.args[-2] not in labels or labels.keys() & {node.args[-1], *node.args[:-2]}:
        return None
    return (labels[node] == MANY).any(1).nonzero().flatten()


def _in_rows(left: Tensor, right: Tensor, rows: Tensor) -> Tensor:
    """Return a product in some rows, and 0 in the others, without what is added to it: that moves with no part."""
    return left.new_zeros(len(left), right.shape[1]).index_copy(0, rows, left[rows] @ right)


def _products(node: Node, own: Mapping[Node, Any]) -> int:
    """Return how many products and sums a step makes."""
    count = flop_registry.get(getattr(node.target, "overloadpacket", None))
    return 0 if count is None else int(count(*filled(node.args, own), **filled(node.kwargs, own), out_val=own[node]))
