"""The three ways a split network is run: the library's own API, hooks on two modules, or replay."""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat.errors import InputError, ModelError
from likethat.models._ends import ENDS, End, Fitted
from likethat.models._felt import Place
from likethat.models._libraries import timm_pass
from likethat.models._measured import MeasuredHead
from likethat.models._probe import chosen_logits, logits_of
from likethat.models._state import device_of
from likethat.models._trace import at_call, capturing, relative_error, vector_of
from likethat.models.readings import Layout, Reading
from likethat.models.split_model import Head, SplitOutput

MOST_OFF = {torch.float32: 5e-3, torch.float64: 1e-3}  # of a probability: TF32 leaves this; half precision 0.02


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadCall:
    """The call of the linear map that gives the logits.

    Attributes:
        name: dotted name of the module.
        module: Linear, or a 1x1 convolution.
        index: which of its calls in a pass.
        per_cell: it acts on every cell, and its outputs are averaged.
        fitted: what the network does with what it gives: a temperature, a softmax, a sigmoid.
    """

    name: str
    module: Any
    index: int
    per_cell: bool = False
    fitted: Fitted = field(default_factory=lambda: Fitted(end=ENDS[0]))

    @property
    def activated(self) -> str:
        """What the network puts after its logits: "softmax", "log_softmax", "sigmoid", "logsigmoid" or ""."""
        return self.fitted.end.name

    @property
    def end(self) -> End:
        """How the network makes what it returns of its logits."""
        return self.fitted.end

    def logits(self, output: Tensor) -> Float[Tensor, "batch cls"]:
        """Return the logits from the module's output."""
        if self.per_cell:
            output = output.float().mean(dim=self._cells(output))
        return self.fitted.logits(output.flatten(1))

    def logits_behind(self, returned: Tensor, output: Tensor) -> Float[Tensor, "batch cls"]:
        """Return the logits from the module's output, where they are behind what the network returned.

        Raises:
            ModelError: it does something with these logits that it did not do with those it was split by.
        """
        logits = self.logits(output)
        again, own = self.fitted.end.apply(logits.detach().float()), returned.detach().float()
        if self.activated.startswith("log"):  # what lies below all that matters may be rounded away
            again, own = again.exp(), own.exp()
        off, most = (again - own).abs(), MOST_OFF.get(self.module.weight.dtype, 0.02)
        if bool((off > most).any()):  # of NaN it is false: that has a sentence of its own
            raise ModelError(
                f"the network must return the {self.activated} of the logits of `{self.name}` for every image, as it "
                f"did when it was split, got numbers that differ by {float(off.max()):.2g}. Does it clip them? Split "
                "the network without what comes after its logits."
            )
        return logits

    def copy(self) -> Head:
        """Return weight and bias in float32, detached from the network, the temperature in them."""
        weight = self.module.weight.detach().float().flatten(1).clone()
        bias = weight.new_zeros(len(weight)) if self.module.bias is None else self.module.bias.detach().float().clone()
        return Head(weight=weight * self.fitted.scale, bias=self.fitted.logits(bias))

    def _cells(self, values: Tensor) -> tuple[int, ...]:
        return (2, 3) if isinstance(self.module, nn.Conv2d) else tuple(range(1, values.ndim - 1))

    def vector(self, given: Tensor | None, output: Tensor | None) -> Float[Tensor, "batch channel"]:  # noqa: ARG002
        """Return the vector that enters the head, from what the module was given."""
        assert given is not None
        if self.per_cell:
            given = given.float().mean(dim=self._cells(given))
        vector = vector_of(given)
        assert vector is not None
        return vector.float()


AnyHead = HeadCall | MeasuredHead  # read off one module, or measured


class _LinearReader:
    """What the readers of a linear head share."""

    is_linear = True

    def __init__(self, reading: Reading, *, device: torch.device) -> None:
        self.reading = reading
        self.pooling = reading.pooling
        self.remainder_name = reading.remainder_name
        self.spatially_additive = reading.additive
        self._device = device

    def spatial_weight(self, n_channels: int) -> Float[Tensor, " channel"]:
        """Return the weight of each channel's mean in the pooled vector."""
        return self.reading.weight(n_channels, self._device)

    def replay(self, feature_map: Tensor, inputs: Tensor | None) -> Tensor:  # noqa: ARG002
        """Never called: a linear split is replayed through its head."""
        raise AssertionError("a linear split is replayed through its head")

    def read(self, inputs: Tensor) -> SplitOutput:
        """Return map, pooled vector and logits of normalised views."""
        return self.check(inputs)[0]

    def check(self, inputs: Tensor) -> tuple[SplitOutput, Tensor]:
        """Return the output, and the pooled vector that the reading predicts."""
        return self._output(self.seen(inputs), inputs)

    def seen(self, inputs: Tensor) -> list[Tensor]:
        """Return what one pass shows: the layer's raw output, the pooled vector, what the logits are made of."""
        raise NotImplementedError

    def parts_of(self, seen: list[Tensor], inputs: Tensor) -> tuple[list[Tensor], SplitOutput]:
        """Return the map, and the output, of what a pass shows."""
        output, _ = self._output(seen, inputs)
        return [output.feature_map], output

    def error(self, inputs: Tensor) -> tuple[SplitOutput, float]:
        """Return the output, and how far the reading is from it."""
        output, predicted = self.check(inputs)
        means = output.feature_map.mean(dim=(2, 3)) if self.spatially_additive else predicted
        return output, max(relative_error(predicted, output.pooled), relative_error(means, output.pooled))

    def _output(self, seen: list[Tensor], inputs: Tensor) -> tuple[SplitOutput, Tensor]:
        raw, pooled, *ends = seen
        applied = self.reading.apply(raw, (inputs.shape[-2], inputs.shape[-1]))
        if applied is None:
            raise ModelError(
                f"the feature map must have the layout that the split was checked with, got {tuple(raw.shape)} for "
                f"inputs {tuple(inputs.shape)}. Use images of one size."
            )
        feature_map, predicted = applied
        logits = self._logits(ends, len(inputs)).float()
        return SplitOutput(feature_map=feature_map, pooled=pooled, logits=logits), predicted

    def _logits(self, ends: list[Tensor], n_images: int) -> Tensor:  # noqa: ARG002
        return ends[0]


class HookReader(_LinearReader):
    """Reads map, pooled vector and logits off two modules of the user's network, in one pass of it."""

    how = "traced"

    def __init__(
        self, network: nn.Module, *, layer: tuple[str, nn.Module, int], head: AnyHead, reading: Reading
    ) -> None:
        super().__init__(reading, device=device_of(network))
        self.network = network
        self.layer, self._module, self._index = layer
        self.place = Place(name=self.layer, module=self._module, index=self._index)
        self.head, self.end = head, head.end
        self._clone: bool | None = None  # whether the map must be copied; not known yet

    def seen(self, inputs: Tensor) -> list[Tensor]:
        """Return what one pass shows: the layer's raw output, the vector, what is returned, what the head gives."""
        with (
            capturing(self._module, self._index, clone=self._clone is not False) as layer,
            capturing(self.head.module, self.head.index, clone=False) as head,
        ):
            result = self.network(inputs)
        if head.given is None or head.output is None:
            raise ModelError(
                f"`{self.head.name}` was not called for inputs {tuple(inputs.shape)} as it was in the split."
            )
        if layer.output is None:
            raise ModelError(f"`{self.layer}` gave no map for inputs {tuple(inputs.shape)}. Use images of one size.")
        if self._clone is None:  # the first pass is split's own, where overwriting can be seen
            self._clone = layer.overwritten
        vector = self.head.vector(head.given, head.output)
        return [layer.output, vector, chosen_logits(result, len(inputs))[0], head.output]

    def _logits(self, ends: list[Tensor], n_images: int) -> Tensor:
        returned = logits_of(ends[0], n_images)
        return self.head.logits_behind(returned, ends[1]) if self.head.activated else returned


class LibraryReader(_LinearReader):
    """Runs timm's own ``forward_features``, ``forward_head(pre_logits=True)`` and classifier."""

    how = "library"
    layer = "forward_features"

    def __init__(self, network: Any, reading: Reading, *, device: torch.device) -> None:
        super().__init__(reading, device=device)
        self.network = network
        self._clone: bool | None = None  # whether the map must be copied; not known yet

    def seen(self, inputs: Tensor) -> list[Tensor]:
        """Return what one pass shows: timm's features, the pooled vector and the logits."""
        layer, pooled, logits = timm_pass(self.network, inputs, clone=self._clone is not False)
        if self._clone is None:  # the first pass is split's own, where overwriting can be seen
            self._clone = layer.overwritten
        assert layer.output is not None
        return [layer.output, pooled, logits]


class ReplayReader:
    """Reads the map off one module, and runs the network again with that module's output replaced."""

    how = "replay"
    pooling = "replay"
    remainder_name = ""
    is_linear = False
    spatially_additive = False

    def __init__(self, network: nn.Module, *, layer: tuple[str, nn.Module, int], layout: Layout) -> None:
        self.network = network
        self.layer, self.module, self.index = layer
        self.layout = layout
        self.needs_images = True
        self.input_shape: tuple[int, ...] = ()
        self.activated: AnyHead | None = None  # gives the logits before a softmax or sigmoid
        self.end: End = ENDS[0]  # where no such head is known: what turns answers into logits

    def spatial_weight(self, n_channels: int) -> Float[Tensor, " channel"]:
        """Return ones: the pooled vector of a replayed network is the mean of its map."""
        return torch.ones(n_channels, dtype=torch.float32)

    def read(self, inputs: Tensor) -> SplitOutput:
        """Return map, its mean, and the network's own logits."""
        with capturing(self.module, self.index, clone=True) as layer:
            logits = self._logits(inputs)
        parts = None if layer.output is None else self.layout.split(layer.output, _size(inputs))
        if parts is None:
            raise ModelError(f"`{self.layer}` gave no map for inputs {tuple(inputs.shape)}. Use images of one size.")
        feature_map = parts[0].float()
        return SplitOutput(feature_map=feature_map, pooled=feature_map.mean(dim=(2, 3)), logits=logits.float())

    def error(self, inputs: Tensor) -> tuple[SplitOutput, float]:
        """Return the output, and how far the replay of its own map is from its logits."""
        output = self.read(inputs)
        return output, relative_error(self.replay(output.feature_map, inputs), output.logits)

    def replay(self, feature_map: Tensor, inputs: Tensor | None) -> Float[Tensor, "batch cls"]:
        """Return the logits with the map replaced."""
        if inputs is None:
            if self.needs_images:
                raise InputError(
                    f"`images` must be given to replay `{self.layer}`: the logits depend on more than its map. Pass "
                    "the images that the map came from."
                )
            weight = next(self.network.parameters())
            inputs = torch.zeros(len(feature_map), *self.input_shape, device=weight.device, dtype=weight.dtype)
        if len(inputs) != len(feature_map):
            raise InputError(f"`images` must be as many as the maps, got {len(inputs)} and {len(feature_map)}.")
        with at_call(self.module, self.index, lambda _, __, output: self._put(output, feature_map, _size(inputs))):
            return self._logits(inputs).float()

    def _logits(self, inputs: Tensor) -> Tensor:
        if self.activated is None:
            return self.end.undo(logits_of(self.network(inputs), len(inputs)))
        with capturing(self.activated.module, self.activated.index, clone=False) as head:
            result = self.network(inputs)
        assert head.output is not None
        return self.activated.logits_behind(logits_of(result, len(inputs)), head.output)

    def _put(self, output: Any, feature_map: Tensor, size: tuple[int, int]) -> Any:
        """Return the module's output with the map in it, in the container it came in."""
        if isinstance(output, Tensor):
            parts = self.layout.split(output, size)
            if parts is None or parts[0].shape != feature_map.shape:
                raise InputError(
                    f"`feature_map` must have the shape of the map of `{self.layer}`, "
                    f"{None if parts is None else tuple(parts[0].shape)}, got {tuple(feature_map.shape)}."
                )
            return self.layout.join(feature_map.to(output.dtype), parts[1]).clone()
        if isinstance(output, tuple | list):
            return type(output)([self._put(output[0], feature_map, size), *output[1:]])
        output["last_hidden_state"] = self._put(output["last_hidden_state"], feature_map, size)
        return output


def _size(inputs: Tensor) -> tuple[int, int]:
    return inputs.shape[-2], inputs.shape[-1]
