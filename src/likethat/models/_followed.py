"""What each patch gives to a token, in one pass: the token's stream, with the coefficients it has on an image.

A class token's stream through a transformer is its own content and what attention brings it from other tokens, layer
by layer. With the token's attention weights, gates and scales held, the stream is affine in what is brought. So all
patches are followed at once: in a tensor as long as the tokens, row j holds the stream in which only token j brought
something; every step acts on each row with the *token's* coefficients, and each attention adds A[token, i] v_i. By
then token i holds what it took from others: its content is shared out to the rows of the tokens it came from, as
attention rollout traces it (each attention leaves half of a token's content its own). Shares add up to 1, so the sum
is exact whatever they are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.fx import Node

from likethat.models._apart import SHAPED
from likethat.models._frozen import NotFrozenError, Tail
from likethat.models._frozen_rules import RULES, filled, is_constant, linear_part, name_of, without_added

_BROADCAST = ("add", "sub", "rsub", "mul", "div", "where", "masked_fill", "maximum", "minimum")
_CUTS = ("slice", "split_with_sizes")  # some of the tokens
_AT_ONCE = 2**21  # numbers of the largest tensor of images that go through together: 8 MiB, near what a cache holds
_AT_ONCE_ON_GPU = 2**24  # 64 MiB keep a card busy
_TAKEN = 0.5  # of a token's content behind an attention is what it took, as attention rollout has it
_HALVES = 2  # random halves of the tokens that are disturbed at once: tokens moved about keep neither
_SEED = 5  # of what tokens are disturbed by, to see which steps keep them apart

Values = Mapping[Node, Any]


class FollowedTokens(Tail):
    """The part of a network in which tokens are made, as steps whose token axis is known.

    Args:
        network: from the images to the tokens (1, token, channel), among other things.
        inputs: one image, as the network takes it.
        number: of the tokens among what the network gives.

    Raises:
        NotFrozenError: it cannot be followed, or tokens meet elsewhere than in a product with held weights.
    """

    def __init__(self, network: Callable[[Tensor], list[Tensor]], inputs: Tensor, number: int = 0) -> None:
        super().__init__(network, inputs)
        self.result: Node = _args(self._nodes[-1])[0][number]
        with torch.no_grad():
            own = self.run(inputs)
            self._n_tokens = own[self.result].shape[1]
            self._start = self._first(own)
            self._behind = self._depending()
            self._spans: dict[Node, Any] = {}  # first token and number of tokens of a step that holds some
            self._axes = self._token_axes(own)
            self._live = self._on_the_way(own)
            self._empty = {values: self._without_content(values, own) for _, values in map(_args, self._mixing())}
            self._done = self._let_go()
            made = [own[node] for node in self._nodes if node.op == "call_function"]
            most = max(value.numel() for value in made if isinstance(value, Tensor))
            self._together = max(1, (_AT_ONCE_ON_GPU if inputs.is_cuda else _AT_ONCE) // most)

    @property
    def n_attentions(self) -> int:
        """How many times tokens meet."""
        return len(self._mixing())

    def followed(self, inputs: Float[Tensor, "image ..."], tokens: Sequence[int]) -> tuple[list[Tensor], list[Tensor]]:
        """Return what the network gives for images, and for each of some tokens what comes from every token to it.

        A step's values are let go once the last step that needs them is done: some images fit into the processor's
        cache together.
        """

        def one(image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
            own: dict[Node, Any] = {}
            rows = [_Row(own, self._axes, token, self._spans, n_rows=self._n_rows) for token in tokens]
            ways = [_Way(row=row, brings=True) for row in rows]
            for node in self._nodes:
                self._take(node, own, image[None])
                for way in ways if node in self._live else ():
                    self._go(way, node, own)
                for done in self._done[node]:
                    del own[done]
                    for way in ways:
                        way.moved.pop(done, None)
            return [value[0] for value in own[self._nodes[-1]]], [self._result(way)[0] for way in ways]

        try:
            if self._together:
                given, rows = torch.vmap(one, chunk_size=self._together)(inputs)
                return given, rows
        except torch.OutOfMemoryError:
            raise
        except RuntimeError:  # a step that takes images one by one only
            self._together = 0
        each = [one(image) for image in inputs]
        return [torch.stack(some) for some in zip(*(given for given, _ in each), strict=True)], [
            torch.stack(some) for some in zip(*(rows for _, rows in each), strict=True)
        ]

    def given(self, own: Values, token: int) -> Float[Tensor, "token channel"]:
        """Return what comes from every token to one of them; from itself, what others took of it and brought back.

        Args:
            own: what every step gives for an image.
            token: number of the token whose stream is followed.
        """
        return self._pass(own, token, brings=True)

    def kept(self, own: Values, token: int) -> Float[Tensor, " channel"]:
        """Return what a token keeps of its own: a run with its content alone."""
        return self._pass(own, token, keeps=True)[0]

    def constant(self, own: Values, token: int) -> Float[Tensor, " channel"]:
        """Return what a token has where no token has any content: a run with all that steps add."""
        return self._pass(own, token, adds=True)[0]

    def _pass(
        self, own: Values, token: int, *, brings: bool = False, keeps: bool = False, adds: bool = False
    ) -> Float[Tensor, "token channel"]:
        row = _Row(own, self._axes, token, self._spans, n_rows=self._n_rows if brings else 1)
        way = _Way(row=row, brings=brings, keeps=keeps, adds=adds)
        for node in self._live:
            self._go(way, node, own)
        return self._result(way)[0]

    def _result(self, way: "_Way") -> Tensor:
        """Return a token's stream at the end; nothing where no attention brought it anything."""
        found: Tensor = way.moved[self.result] if self.result in way.moved else self._nothing(self.result, way.row)
        return found

    def _go(self, way: "_Way", node: Node, own: Values) -> None:
        """Take a token's stream through a step, which is told apart for every token that attention brings."""
        moved, token = way.moved, way.row.token
        assert token is not None
        if way.brings and node not in self._heard:
            return  # nothing was brought yet
        if node is self._start:
            start: Tensor = own[node]
            moved[node] = start[:, token : token + 1] if way.keeps else torch.zeros_like(start[:, :1])
            return
        for arg in node.all_input_nodes if way.brings else ():
            if arg in self._live and arg not in self._heard and arg not in moved and self._holds(arg, token):
                moved[arg] = self._nothing(arg, way.row)
        source = self._from(node, token)
        if source is not None and source in moved:
            moved[node] = moved[source]
        elif self._holds(node, token):
            mixes = node in self._mixed
            moved[node] = self._brought(way, node, own) if mixes else self._step(node, way.row, moved, own, way.adds)

    def _nothing(self, node: Node, row: "_Row") -> Any:
        """Return rows of a step in which nothing was brought yet."""

        def empty(value: Any, axis: int | None) -> Any:
            if axis is None:
                return value
            return value.new_zeros([row.n_rows if at == axis else size for at, size in enumerate(value.shape)])

        value, axis = row[node], self._axes[node]
        if isinstance(value, Tensor):
            return empty(value, axis)
        return type(value)(map(empty, value, axis))

    def _step(self, node: Node, row: "_Row", moved: Values, own: Values, adds: bool) -> Any:
        """Apply one step to every row, with the coefficients of the token's."""
        name, beside, given = name_of(node), row.beside(node, moved, own), _args(node)
        args = list(filled(given, {**beside, **{arg: moved[arg] for arg in node.all_input_nodes if arg in moved}}))
        if name == "getitem":
            return args[0][args[1]]
        if name in SHAPED:
            return args[0].reshape(self._sized(args[1], node, row))
        if name == "expand":
            args[1] = self._sized(args[1], node, row)
        held = list(filled(given, {**{arg: row[arg] for arg in node.all_input_nodes}, **beside}))
        kwargs = filled(node.kwargs, own)
        if adds:
            return RULES[name](_function(node), args, kwargs, held, row[node])
        moves = [arg in moved if isinstance(arg, Node) else isinstance(arg, list | tuple) for arg in given]
        args, others = without_added(name, args, moves), without_added(name, held, moves)
        held = [other if moving else one for one, other, moving in zip(args, others, moves, strict=True)]
        return linear_part(name, _function(node), args, kwargs, held, row[node])

    def _sized(self, shape: Any, node: Node, row: "_Row") -> list[int]:
        """Return a shape with as many rows as are followed in the place of tokens."""
        sizes = list(shape)
        if row.token is not None and isinstance(self._axes[node], int):
            sizes[self._axes[node]] = row.n_rows
        return sizes

    def _holds(self, node: Node, token: int) -> bool:
        """Whether a token is among those of a step."""
        start, count = self._spans.get(node, (0, self._n_tokens))
        return isinstance(start, tuple) or bool(start <= token < start + count)

    def _from(self, node: Node, token: int) -> Node | None:
        """Return where a token comes from, in a step that takes some tokens or puts them side by side."""
        name = name_of(node)
        if name == "cat" and node in self._spans:
            known = [arg for arg in _args(node)[0] if self._axes.get(arg) is not None]
            return next((arg for arg in known if self._holds(arg, token)), None)
        is_taken = name in _CUTS or (name == "getitem" and name_of(_args(node)[0]) in _CUTS)
        return _args(node)[0] if is_taken and node in self._spans and self._holds(node, token) else None

    def _brought(self, way: "_Way", node: Node, own: Values) -> Tensor:
        """Return the stream behind an attention: what the token brings itself, and what others bring, by its origin."""
        (weighing, weighed), token, last = _args(node), way.row.token, self._mixing()[-1]
        weights, values, empty = own[weighing][..., token, :, None], own[weighed], self._empty[weighed]
        others = weights.clone()
        others[..., token, :] = 0.0
        found: Tensor = weights[..., token, None, :] * way.moved[weighed]
        if way.brings:
            content = others * (values - empty)
            found = found + (content if way.origin is None else torch.einsum("ts,...td->...sd", way.origin, content))
            if node is not last:
                way.origin = self._traced(own[weighing], way.origin)
        return found + (others * empty).sum(-2, keepdim=True) if way.adds else found

    def _traced(self, weights: Tensor, origin: Tensor | None) -> Tensor | None:
        """Return the share of each token's content (row) that came from each (column), behind an attention."""
        met = weights.reshape(-1, *weights.shape[-2:]).mean(0)
        if len(met) != met.shape[1]:
            return None
        if origin is not None:
            return (1 - _TAKEN) * origin + _TAKEN * (met @ origin)
        return _TAKEN * met + (1 - _TAKEN) * torch.eye(len(met), dtype=met.dtype, device=met.device)

    def _first(self, own: Values) -> Node:
        """Return the first step on the way to the tokens that gives as many, of an image."""
        leading = {self.result}
        for node in reversed(self._nodes):
            leading |= set(node.all_input_nodes) if node in leading else set()
        seen: set[Node] = set()
        for node in [node for node in self._nodes if node in leading]:
            if node.op == "placeholder" or seen & set(node.all_input_nodes):
                seen.add(node)
                value = own[node]
                if isinstance(value, Tensor) and value.shape == own[self.result].shape:
                    return node
        raise NotFrozenError("no step gives its tokens")

    def _depending(self) -> set[Node]:
        """Return the steps that depend on the tokens at all."""
        found = {self._start}
        for node in self._nodes:
            if node.op == "call_function" and found & set(node.all_input_nodes):
                found.add(node)
        return found

    def _token_axes(self, own: Values) -> dict[Node, Any]:
        """Return the axis of the tokens in what each step gives, None where there is none: seen by disturbing tokens.

        A step keeps tokens apart where a disturbed token changes that token's row alone.
        """
        axes: dict[Node, Any] = {self._start: 1}
        for node in self._nodes:
            if node not in self._behind or node is self._start or node.op != "call_function":
                continue
            if self._is_mixing(node, axes, own):
                axes[node] = own[node].ndim - 2
                continue
            moved = [arg for arg in node.all_input_nodes if arg in self._behind]
            axes[node], span = self._cut(node, own, axes)
            spans = {self._spans.get(arg, (0, self._n_tokens)) for arg in moved}
            if span is not None:
                self._spans[node] = span
            elif all(axes[arg] is not None for arg in moved) and len(spans) == 1:
                n_tokens = next(iter(spans))[1]
                rows = _some_rows(n_tokens)
                axes[node] = _axes_of([self._disturbed(node, own, axes, some) for some in rows], rows)
                if axes[node] is not None and n_tokens < self._n_tokens:
                    self._spans[node] = next(iter(spans))
        return axes

    def _cut(self, node: Node, own: Values, axes: Values) -> tuple[Any, Any]:
        """Return axis and tokens of a step that takes some tokens, or puts them side by side; None for any other."""
        name, args, given = name_of(node), _args(node), own[node]
        if name == "getitem" and args[0] in self._spans and isinstance(axes[args[0]], tuple):
            span = self._spans[args[0]]  # of each piece, or of all where channels are split
            return axes[args[0]][args[1]], span[args[1]] if isinstance(span[0], tuple) else span
        if name == "cat":
            return self._side_by_side(args[0], own, axes, (args[1] if len(args) > 1 else 0) % given.ndim)
        if name not in _CUTS or not isinstance(axes.get(args[0]), int):
            return None, None
        axis, (start, count) = axes[args[0]], self._spans.get(args[0], (0, self._n_tokens))
        along = (args[2] if len(args) > 2 else 0) if name == "split_with_sizes" else (args[1] if len(args) > 1 else 0)
        if along % own[args[0]].ndim != axis or (len(args) > 4 and args[4] != 1):
            return None, None
        if name == "slice":
            begin = args[2] if len(args) > 2 and args[2] else 0
            begin = begin + own[args[0]].shape[axis] if begin < 0 else begin
            length = min(given.shape[axis], count - begin)
            return (axis, (start + begin, length)) if length > 0 else (None, None)
        begins = [sum(args[1][:place]) for place in range(len(args[1]))]
        spans = tuple((start + one, max(0, min(n, count - one))) for one, n in zip(begins, args[1], strict=True))
        return (axis,) * len(spans), spans

    def _side_by_side(self, pieces: Any, own: Values, axes: Values, axis: int) -> tuple[Any, Any]:
        """Return axis and tokens of pieces in a row, as far as they are tokens that follow one another."""
        start, count, is_whole = None, 0, True
        for piece in pieces:
            known = axes.get(piece) == axis and is_whole
            first, length = self._spans.get(piece, (0, self._n_tokens)) if known else (0, 0)
            if not known or first != (first if start is None else start + count):
                break
            start, count = (first if start is None else start), count + length
            is_whole = length == own[piece].shape[axis]
        return (None, None) if start is None else (axis, (start, count))

    def _disturbed(self, node: Node, own: Values, axes: Values, rows: list[int]) -> Any:
        """Return where the result of a step differs, with other tokens in some rows of what depends on tokens."""
        rng = torch.Generator().manual_seed(_SEED)

        def other(arg: Node) -> Any:
            value = own[arg]
            if arg not in self._behind:
                return value
            if not isinstance(value, Tensor):
                return type(value)(_another(v, a, rows, rng) for v, a in zip(value, axes[arg], strict=True))
            return _another(value, axes[arg], rows, rng)

        moved = {arg: other(arg) for arg in node.all_input_nodes}
        result = _function(node)(*filled(node.args, moved), **filled(node.kwargs, moved))
        if isinstance(result, Tensor):
            return result != own[node]
        return [one != before for one, before in zip(result, own[node], strict=True)]

    def _is_mixing(self, node: Node, axes: Values, own: Values) -> bool:
        """Whether a step is the product of weights (.., token, token) that are held, and of values of the tokens."""
        if name_of(node) not in ("mm", "bmm"):
            return False
        weights, values = _args(node)
        moves = isinstance(values, Node) and axes.get(values) == own[values].ndim - 2
        is_of_tokens = own[weights].shape[-2] == self._n_tokens and own[weights].shape[-1] > 1
        return moves and is_of_tokens and axes.get(weights) is None

    def _mixing(self) -> list[Node]:
        return [node for node in self._live if node in self._mixed]

    def _let_go(self) -> dict[Node, list[Node]]:
        """Return whose values no later step needs, for each step but the last."""
        last = {arg: node for node in self._nodes[:-1] for arg in node.all_input_nodes}
        last |= dict.fromkeys(self._nodes[-1].all_input_nodes, self._nodes[-1])
        found: dict[Node, list[Node]] = {node: [] for node in self._nodes}
        for arg, node in last.items():
            if node is not self._nodes[-1]:
                found[node].append(arg)
        return found

    def _on_the_way(self, own: Values) -> list[Node]:
        """Return the steps from the tokens to the result, in order.

        Raises:
            NotFrozenError: tokens meet in one of them, or it has no frozen form.
        """
        self._mixed = {n for n in self._behind if n is not self._start and self._is_mixing(n, self._axes, own)}
        for node in self._nodes:
            node.meta["value"] = own[node]
        self._held = {node for node in self._behind if is_constant(node, name_of(node))} - {self._start}
        for node in self._nodes:
            node.meta.clear()  # the values of one image are not kept
        needed = {self.result}
        for node in reversed(self._nodes):
            if node not in needed or node is self._start:
                continue
            name = name_of(node)
            if self._axes.get(node) is None:
                raise NotFrozenError(f"tokens meet in the operation `{self._where_met(node)}`, not in an attention")
            if name not in RULES and name != "getitem":
                raise NotFrozenError(f"the operation `{name}` has no frozen form")
            given = [_args(node)[1]] if node in self._mixed else node.all_input_nodes
            given = [arg for arg in given if self._axes.get(arg) is not None] if name == "cat" else given
            needed |= {arg for arg in given if arg in self._behind and arg not in self._held}
        if self._start not in needed:
            raise NotFrozenError("with its coefficients held, no token depends on the image")
        counts = {own[_args(node)[0]].shape[-1] for node in self._mixed & needed} or {self._n_tokens}
        if len(counts) > 1:
            raise NotFrozenError(f"attention brings {' and '.join(map(str, sorted(counts)))} tokens, layer by layer")
        (self._n_rows,) = counts
        live = [node for node in self._nodes if node in needed]
        self._heard: set[Node] = set()  # something was brought by then
        for node in live:
            if node in self._mixed or self._heard & set(node.all_input_nodes):
                self._heard.add(node)
        return live

    def _where_met(self, node: Node) -> str:
        """Return the operation that first mixes tokens, of those that lead to one that cannot tell them apart."""
        while True:
            before = [arg for arg in node.all_input_nodes if arg in self._behind and self._axes.get(arg) is None]
            if not before:
                return name_of(node)
            node = before[0]

    def _without_content(self, values: Any, own: Values) -> Tensor:
        """Return the values that attention brings of tokens without content: what is added on the way from a sum."""
        found: dict[Node, Any] = {}
        way = {values}
        for node in reversed(self._nodes):
            if node in way and not self._is_sum(node, own):
                way |= {arg for arg in node.all_input_nodes if arg in self._behind and arg not in self._held}
        for node in [node for node in self._nodes if node in way]:
            if self._is_sum(node, own):
                found[node] = torch.zeros_like(own[node])
            elif name_of(node) in RULES or name_of(node) == "getitem":
                found[node] = self._step(node, _Row(own, self._axes, None), found, own, adds=True)
            else:
                raise NotFrozenError(f"the operation `{name_of(node)}` has no frozen form")
        result: Tensor = found[values]
        return result

    def _is_sum(self, node: Node, own: Values) -> bool:
        """Whether a step is where streams join, where they begin, or where each token is told its position."""
        if node is self._start or name_of(node) != "add":
            return node is self._start
        added = [own[arg] for arg in node.all_input_nodes if arg not in self._behind]
        is_told = False
        if self._axes.get(node) is not None:
            axis = self._axes[node] - own[node].ndim
            n_tokens = own[node].shape[axis]
            is_told = any(value.ndim >= -axis and value.shape[axis] == n_tokens > 1 for value in added)
        return is_told or sum(arg in self._behind for arg in node.all_input_nodes) > 1


@dataclass(kw_only=True, eq=False)
class _Way:
    """A token's stream on its way through the steps: with what, beside held coefficients.

    Attributes:
        row: what steps gave on the image.
        brings: what other tokens bring.
        keeps: what the token has from the start.
        adds: what steps add whatever they are given.
        moved: what steps gave to the stream.
        origin: of each token's content (row): its share from each (column).
    """

    row: "_Row"
    brings: bool = False
    keeps: bool = False
    adds: bool = False
    moved: dict[Node, Any] = field(default_factory=dict)
    origin: Tensor | None = None


class _Row:
    """What steps gave on an image, of one token alone where they tell tokens apart; of all for None."""

    def __init__(
        self, own: Values, axes: Values, token: int | None, spans: Values | None = None, *, n_rows: int = 1
    ) -> None:
        self._own, self._axes, self.token, self._spans, self.n_rows = own, axes, token, spans or {}, n_rows

    def __getitem__(self, node: Node) -> Any:
        value, axis = self._own[node], self._axes.get(node)
        if axis is None or self.token is None:
            return value
        token = self._number(node)
        if isinstance(value, Tensor):
            return value.narrow(axis, token, 1)
        parts = zip(value, axis, strict=True)
        return type(value)(part if a is None else part.narrow(a, token, 1) for part, a in parts)

    def _number(self, node: Node) -> int:
        """Return where the token is among those that a step holds."""
        assert self.token is not None
        return self.token - int(self._spans.get(node, (0, 0))[0])

    def beside(self, node: Node, moved: Values, own: Values) -> dict[Node, Any]:
        """Return the arguments of a step that are held; each is one object, whoever looks at it."""
        found = {}
        for arg in node.all_input_nodes:
            if arg in moved:
                continue
            value = self[arg]
            if self.token is not None and arg not in self._axes and name_of(node) in _BROADCAST:
                value = self._aligned(value, own[node], self._axes[node], self._number(node))
            found[arg] = value
        return found

    @staticmethod
    def _aligned(value: Any, result: Tensor, axis: int, token: int) -> Any:
        """Return the token's row of something that is the same for all images, such as embeddings of positions."""
        if not isinstance(value, Tensor):
            return value
        place = axis - (result.ndim - value.ndim)
        return value.narrow(place, token, 1) if place >= 0 and value.shape[place] > 1 else value


def _args(node: Node) -> Any:
    return node.args


def _function(node: Node) -> Callable[..., Any]:
    assert callable(node.target)  # steps are calls of functions
    return node.target


def _some_rows(n_tokens: int) -> list[list[int]]:
    """Return the first and the last row of tokens, and halves of all that a step which moves tokens would not keep."""
    if n_tokens == 1:
        return [[0]]
    rng = torch.Generator().manual_seed(_SEED)
    halves = [torch.randperm(n_tokens, generator=rng)[: n_tokens // 2].sort().values.tolist() for _ in range(_HALVES)]
    return [[0], [n_tokens - 1], *halves]


def _another(value: Any, axis: int | None, rows: list[int], rng: torch.Generator) -> Any:
    """Return a tensor with other numbers in some rows of an axis."""
    if axis is None or not isinstance(value, Tensor) or not value.is_floating_point():
        return value
    shape = [len(rows) if place == axis else length for place, length in enumerate(value.shape)]
    noise = torch.randn(shape, generator=rng, dtype=torch.float32).to(value)
    where = torch.tensor(rows, device=value.device)
    return value.index_add(axis, where, (1 + value.abs().mean()) * noise)


def _axes_of(changed: list[Any], rows: list[list[int]]) -> Any:
    """Return the axis along which the disturbed rows alone have changed; a tuple for several results."""
    if not isinstance(changed[0], Tensor):
        found = tuple(_axes_of(list(pair), rows) for pair in zip(*changed, strict=True))
        return None if all(axis is None for axis in found) else found
    for axis in [axis for axis, length in enumerate(changed[0].shape) if length > 1]:
        others = [other for other in range(changed[0].ndim) if other != axis]
        where = [one.any(dim=others) if others else one for one in changed] if others else changed
        if all(w.nonzero().flatten().tolist() == some for w, some in zip(where, rows, strict=True)):
            return axis
    return None
