"""Split a network whose tail is not affine: exact for each image, with what the tail did on it held."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from likethat.errors import LikethatError, ModelError
from likethat.models._frozen import FrozenTail, NotFrozenError, TooDearError
from likethat.models._probe import Probes, logits_of
from likethat.models._readers import AnyHead, ReplayReader
from likethat.models._search import Found
from likethat.models._state import untouched
from likethat.models._trace import Captured, at_call, capturing, relative_error, with_tensor
from likethat.models.split_model import Head, SplitOutput

_MOST_PASSES = 2048  # of a tail for one image: by the cell or by the channel, whichever are fewer; then it is no help
_MOST_FORWARDS = 6.0  # that reading an image may cost where nobody named the layer: a split costs 25 at most
_SCALES = (-1.0, 2.0)  # of the map, on which a run that is affine must stay on one line; 0 is the constant itself


_COUNTED_AS: dict[Any, Any] = {  # which torch's own table lacks
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: torch.ops.aten._scaled_dot_product_flash_attention
}


class Counting(TorchDispatchMode):
    """Counts the products and sums of convolutions and matrix products."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        packet = func.overloadpacket
        count = flop_registry.get(_COUNTED_AS.get(packet, packet))
        self.total += 0 if count is None else int(count(*args, **kwargs, out_val=result))
        return result


class FrozenReader:
    """Reads what each cell of a map gives to the vector that enters the head, by the frozen run.

    Args:
        network: in evaluation mode.
        replayed: whose map decides the logits.
        head: what the vector enters; None where the vector is that of the logits.
    """

    how = "frozen"
    is_linear = True
    spatially_additive = False

    def __init__(self, network: nn.Module, replayed: ReplayReader, head: AnyHead | None) -> None:
        self.network, self.layout, self.head, self.end = network, replayed.layout, head, replayed.end
        self.layer, self._module, self._index = replayed.layer, replayed.module, replayed.index
        self.pooling = "frozen run"
        self.remainder_name = "tokens and constant" if self.layout.prefix else "constant"
        self._tails: dict[Any, FrozenTail] = {}
        self._weights = None if head is None else head.copy()
        self.shares = ""  # of the logit, in words
        self.forwards = 1.0  # that reading an image costs, by count of products

    def __getstate__(self) -> dict[str, Any]:
        """Return what travels to another process: tails are followed there anew."""
        return {**self.__dict__, "_tails": {}}

    def check(self, inputs: Tensor, *, most: float = _MOST_FORWARDS) -> None:
        """Check that what follows the map has a frozen form, and that cells enter it.

        Raises:
            NotFrozenError: it has none, or none does.
            TooDearError: reading an image costs more than `most` forwards of the network, by an estimate.
        """
        with Counting() as whole:
            raw, _, _ = self._run(inputs[:1])
        tail = self._tail(inputs, raw)
        if not bool(((tail.reaching > 0) & (tail.reaching <= self._grid(raw, inputs).numel())).any()):
            raise NotFrozenError("none of its cells enters what follows it")
        if tail.products > most * whole.total:
            raise TooDearError(
                f"following its cells one by one would cost {1 + tail.products / whole.total:.0f} forwards an "
                f"image, which split(network, layer={self.layer!r}) takes upon itself"
            )

    @property
    def held(self) -> str:
        """What is held as it is on each image."""
        return f"what follows `{self.layer}`"

    @property
    def note(self) -> str:
        """What is exact here, and what it costs."""
        return (
            f"Exact for each image, with {self.held} held as on it: its cells and a constant add up to the logit; with "
            f"other pixels it would be otherwise. {self.shares} Reading an image costs {self.forwards:.1f} forwards."
        )

    @property
    def weights(self) -> Head:
        """The head, or where none is linear the logits as they are."""
        assert self._weights is not None
        return self._weights

    def spatial_weight(self, n_channels: int) -> Float[Tensor, " channel"]:
        """Return ones: the vector is the sum of the cells' vectors, and a remainder."""
        return torch.ones(n_channels, dtype=torch.float32)

    def read(self, inputs: Tensor) -> SplitOutput:
        """Return the cells' vectors (times the number of cells), the vector they add up to, and the logits."""
        raw, pooled, logits = self._run(inputs)
        tail = self._tail(inputs, raw)
        maps = [self._cells(tail, value[None], inputs)[0] for value in raw]
        return SplitOutput(feature_map=torch.stack(maps), pooled=pooled, logits=logits)

    def logits(self, inputs: Tensor) -> Tensor:
        """Return the logits alone: one pass."""
        return self._run(inputs)[2]

    def replay(self, feature_map: Tensor, inputs: Tensor | None) -> Tensor:  # noqa: ARG002
        """Never called: a linear split is replayed through its head."""
        raise AssertionError("a linear split is replayed through its head")

    def error(self, inputs: Tensor) -> tuple[SplitOutput, float]:
        """Return the output, and the largest error of three: of the frozen run, of its line, of the sum of its parts.

        The constant is run by itself, at an empty map, so that the sum could miss something. What reading an image
        costs is counted on the way.
        """
        with Counting() as bare:
            raw, pooled, logits = self._run(inputs)
        tail, maps, sums, wrong = self._tail(inputs, raw), [], [], [0.0]
        for value, expected in zip(raw, pooled, strict=True):
            with Counting() as counted:
                cells, tokens = self._cells(tail, value[None], inputs)
            self.forwards = 1 + counted.total * len(inputs) / max(1, bare.total)
            own = tail.run(value[None])
            whole, constant = (tail.frozen(scale * value[None], own).float() for scale in (1.0, 0.0))
            scaled = [(tail.frozen(scale * value[None], own).float(), scale) for scale in _SCALES]
            off = [relative_error(moved, constant + scale * (whole - constant)) for moved, scale in scaled]
            wrong += [relative_error(whole, expected), *off]
            maps.append(cells)
            sums.append(cells.mean(dim=(1, 2)) + tokens + constant)
        wrong.append(relative_error(torch.stack(sums), pooled))
        return SplitOutput(feature_map=torch.stack(maps), pooled=pooled, logits=logits), max(wrong)

    def constant(self, inputs: Tensor) -> Float[Tensor, "batch channel"]:
        """Return what the run gives for an empty map."""
        raw, _, _ = self._run(inputs)
        tail = self._tail(inputs, raw)
        return torch.stack([tail.frozen(0 * value[None], tail.run(value[None])).float() for value in raw])

    def error_of_whole(self, inputs: Tensor) -> float:
        """Return how far the frozen run is from the network, without looking at its parts."""
        raw, pooled, _ = self._run(inputs)
        tail = self._tail(inputs, raw)
        whole = [tail.frozen(value[None], tail.run(value[None])).float() for value in raw]
        return relative_error(torch.stack(whole), pooled)

    def _run(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the raw output of the layer, the vector and the logits."""
        with capturing(self._module, self._index, clone=True) as layer, _catching(self.head) as caught:
            result = self.network(inputs)
        if layer.output is None:
            raise ModelError(f"`{self.layer}` gave no map for inputs {tuple(inputs.shape)}. Use images of one size.")
        vector, logits = self._vector(caught, result, len(inputs))
        if self._weights is None:
            self._weights = _as_they_are(logits)
        return layer.output, vector, logits

    def _vector(self, caught: Captured | None, result: Any, n_images: int) -> tuple[Tensor, Tensor]:
        """Return the vector that enters the head, and the logits."""
        returned = logits_of(result, n_images)
        if self.head is None or caught is None:
            logits = self.end.undo(returned).float()
            return logits, logits
        if caught.given is None or caught.output is None:
            raise ModelError(f"`{self.head.name}` was not called as it was in the split. Use images of one size.")
        activated = self.head.activated
        logits = self.head.logits_behind(returned, caught.output) if activated else returned
        return self.head.vector(caught.given, caught.output), logits.float()

    def _cells(self, tail: FrozenTail, value: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return (channel, height, width) what each cell gives times their number, and what the other tokens give."""
        grid = self._grid(value, inputs)
        n_cells, fewest = grid.numel(), min(tail.n_parts, tail.n_channels)
        if fewest > _MOST_PASSES:
            raise NotFrozenError(
                f"its {n_cells} cells and {tail.n_channels} channels are too many to follow one by one"
            )
        given = tail.given(value, tail.run(value), by_channels=fewest < tail.n_parts).float()
        located = (given[:n_cells].T * n_cells).reshape(-1, *grid)
        return located, given[n_cells:].sum(0)

    def _grid(self, value: Tensor, inputs: Tensor) -> torch.Size:
        split = self.layout.split(value, (inputs.shape[-2], inputs.shape[-1]))
        if split is None:
            raise ModelError(f"`{self.layer}` gave no map for inputs {tuple(inputs.shape)}. Use images of one size.")
        return split[0].shape[2:]

    def _tail(self, inputs: Tensor, raw: Tensor) -> FrozenTail:
        """Return the tail for maps like these; it is followed once for each size."""
        key = (raw.shape[1:], raw.dtype, raw.device)
        if key not in self._tails:
            self._tails = {known: tail for known, tail in self._tails.items() if known[2] == raw.device}
            with untouched(self.network):
                behind, value = self._behind(inputs[:1].detach()), raw[:1].detach().clone()
                self._tails[key] = FrozenTail(behind, value, self._parts(value, inputs))
        return self._tails[key]

    def _parts(self, value: Tensor, inputs: Tensor) -> Tensor:
        """Return the number of the cell that each number belongs to, from 1 on, and the last for other tokens."""
        grid = self._grid(value, inputs)
        split = self.layout.split(torch.ones_like(value, dtype=torch.int32), (inputs.shape[-2], inputs.shape[-1]))
        assert split is not None  # it has a grid
        cells, prefix = split
        numbers = torch.arange(1, 1 + grid.numel(), dtype=torch.int32, device=value.device).reshape(1, 1, *grid)
        return self.layout.join(numbers * cells, None if prefix is None else prefix * (1 + numbers.numel()))

    def _behind(self, inputs: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the function from the layer's output to the vector; what comes before it is run, not followed."""

        def tail(raw: Tensor) -> Tensor:
            with ExitStack() as front:
                front.enter_context(disable_proxy_modes_tracing())

                def put(_: Any, __: Any, output: Any) -> Any:
                    front.close()
                    return with_tensor(output, raw)

                with at_call(self._module, self._index, put), _catching(self.head) as caught:
                    result = self.network(inputs)
                return self._vector(caught, result, 1)[0]

        return tail


def _catching(head: AnyHead | None) -> AbstractContextManager[Captured | None]:
    return nullcontext() if head is None else capturing(head.module, head.index, clone=False)


def _as_they_are(logits: Tensor) -> Head:
    """Return the head that leaves logits as they are."""
    ones = torch.eye(logits.shape[1], dtype=torch.float32, device=logits.device)
    return Head(weight=ones, bias=torch.zeros_like(ones[0]))


def find_frozen(
    network: nn.Module, probes: Probes, head: AnyHead | None, place: Found, *, is_named: bool
) -> tuple[Found | None, str]:
    """Return the split of a replayed network by the frozen run from the same map on, or why there is none.

    Args:
        network: in evaluation mode.
        probes: the tail is followed on the second batch, and must give the vector of the first too.
        head: that is linear in some vector, where there is one.
        place: the replay from a map that decides the logits.
        is_named: the user chose the layer, at whatever cost.
    """
    reader = FrozenReader(network, place.reader, head)
    try:
        reader.check(probes.second, most=float("inf") if is_named else _MOST_FORWARDS)
        output, error = reader.error(probes.second)
        error = max(error, reader.error_of_whole(probes.first))
    except NotFrozenError as refused:
        return None, str(refused)
    logits = nn.functional.linear(output.pooled, reader.weights.weight, reader.weights.bias)
    own = probes.second_logits.float() if head is not None and not head.activated else output.logits
    end = reader.end if head is None else head.end
    rounding = [relative_error(logits, own), relative_error(end.apply(output.logits), probes.second_logits)]
    if not error <= probes.tolerance or not max(rounding) <= probes.head_tolerance:
        return None, f"the frozen run of its tail is off by {max(error, *rounding):.1e}"
    reader.shares = shares_in_words(output, {}, reader.weights, rest=reader.remainder_name)
    return replace(place, reader=reader, output=output, error=max(error, *rounding)), ""


def is_freezable(network: nn.Module, probes: Probes, head: AnyHead | None, place: ReplayReader) -> bool | None:
    """Whether a frozen run from a map on is possible; None where it costs too much, as from any map before it."""
    try:
        FrozenReader(network, place, head).check(probes.second)
    except TooDearError:
        return None
    except (LikethatError, RuntimeError):
        return False
    return True


def shares_in_words(output: SplitOutput, parts: Mapping[str, Tensor], head: Head, *, rest: str) -> str:
    """Return what is located, and what is not by name, as shares of the logits that images have.

    Args:
        output: of some images.
        parts: (batch, channel) of the pooled vector that have no place.
        head: turns the pooled vector into logits.
        rest: what the remaining part without a place is called.
    """
    located = output.feature_map.mean(dim=(2, 3))
    left = output.pooled - located - sum(parts.values())
    rows = head.weight[output.logits.argmax(1)]
    sizes = {"is located": located, f"are {rest}" if rest.endswith("s") else f"is {rest}": left}
    sizes |= {f"is {name}": part for name, part in parts.items()}
    amounts = {name: float((rows * part).sum(1).abs().mean()) for name, part in sizes.items()}
    whole = max(sum(amounts.values()), torch.finfo(torch.float32).tiny)
    words = ", ".join(f"{amount / whole:.0%} {name}" for name, amount in amounts.items())
    return f"Of the logits of drawn probe images {words}."
