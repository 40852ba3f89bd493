"""A network cut before its pooling: feature map, pooled vector, logits, all the network's own."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat._calls import public
from likethat._checks import check_finite, check_images
from likethat._class_names import resolve_target
from likethat._session import in_own_session
from likethat.errors import InputError, ModelError, NotLinearError
from likethat.functional.links import Outputs, probabilities_of
from likethat.models._changes import Watch
from likethat.models._probe import TENSOR_FLOAT, TOLERANCE, probe_images, tolerance_of
from likethat.models._state import device_of, evaluating, floating_type, untouched
from likethat.models._trace import relative_error
from likethat.models.fingerprint import fingerprint, way_of
from likethat.models.preprocessing import Preprocess

_OUTPUTS_IN_WORDS = {
    (False, "softmax"): "one class of several (softmax)",
    (False, "sigmoid"): "independent labels (sigmoid)",
    (True, "sigmoid"): "the class or not (sigmoid)",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Head:
    """The last linear map, copied: ``logits = pooled @ weight.T + bias``.

    Attributes:
        weight: (class, channel), float32.
        bias: (class,), float32; zeros where the network has none.
    """

    weight: Float[Tensor, "cls channel"]
    bias: Float[Tensor, " cls"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SplitOutput:
    """What one pass gives, in float32 on the network's device.

    Attributes:
        feature_map: (batch, channel, height, width), as it enters the pooling.
        pooled: (batch, channel), as it enters the head.
        logits: (batch, class), the network's own.
    """

    feature_map: Float[Tensor, "batch channel height width"]
    pooled: Float[Tensor, "batch channel"]
    logits: Float[Tensor, "batch cls"]


def note_on(grid: tuple[int, int]) -> str:
    """Return the sentence on a map of one cell, or ""."""
    return "" if grid[0] * grid[1] > 1 else "The map has a single cell: explanations cannot say where."


@runtime_checkable
class FeatureReader(Protocol):
    """A strategy that turns what the network takes into a `SplitOutput`: read off a module, or traced.

    Attributes:
        layer: dotted name of the module that the map is read from.
        how: "library", "traced", "measured", "frozen", "followed", "mixed" or "replay".
        pooling: how the map becomes the pooled vector, in words.
        remainder_name: what the pooled vector holds beside the map, in words; "" when nothing.
        is_linear: whether ``logits = head.weight @ pooled + head.bias``.
        spatially_additive: whether the pooled vector is the map's mean and nothing else.
    """

    layer: str
    how: str
    pooling: str
    remainder_name: str
    is_linear: bool
    spatially_additive: bool

    def spatial_weight(self, n_channels: int) -> Float[Tensor, " channel"]:
        """Return the weight w of each channel in ``pooled = w * mean(feature_map) + remainder``."""
        ...

    def read(self, inputs: Float[Tensor, "batch channel height width"]) -> SplitOutput:
        """Return map, pooled vector and logits of normalised views in the network's own type."""
        ...

    def error(self, inputs: Float[Tensor, "batch channel height width"]) -> tuple[SplitOutput, float]:
        """Return what `read` does, and how far the reading is from it, relative."""
        ...

    def replay(self, feature_map: Tensor, inputs: Tensor | None) -> Float[Tensor, "batch cls"]:
        """Return the logits with the map replaced, by running the rest of the network."""
        ...


@public
@in_own_session
class SplitModel:
    """A trained classifier, cut before its pooling; made by `likethat.split` or `likethat.load`.

    The law, checked when it is made: ``pooled = spatial_weight * mean(feature_map) + remainder``, and, where
    `is_linear`, ``logits = head.weight @ pooled + head.bias``. The network itself is never changed.

    Attributes:
        network: the user's own module.
        preprocess: what it does to images before its first layer.
        class_names: one name a class.
        name: printable name of the network.
        layer: dotted name of the module that the map is read from.
        how: "library", "traced", "measured", "frozen", "followed", "mixed" or "replay".
        pooling: how the map becomes the pooled vector, such as "mean" or "class token + mean".
        spatially_additive: the pooled vector is the map's mean and nothing else.
        is_linear: the logits are linear in the pooled vector.
        remainder_name: what the pooled vector holds beside the map; "" when nothing.
        error: largest relative error of the split on a second, unseen batch.
        note: one sentence on a limit of this split, or "".
        presumed: one sentence where the class names are presumed, or "".
        n_channels: channels of the feature map.
        n_classes: classes.
        grid: rows and columns of the map, for images of `size`.
        size: height and width of the images that the split was checked with last.
        in_channels: channels of the images that the network takes.
        fingerprint: sha256 of weights, layer and pooling when the split was made.
        outputs: what the logits stand for: ``"softmax"``, one class of several, or ``"sigmoid"``, labels that each hold
            or do not (one logit: the class, or not).
    """

    def __init__(
        self,
        network: nn.Module,
        reader: FeatureReader,
        *,
        preprocess: Preprocess,
        class_names: tuple[str, ...],
        head: Head | None,
        probed: SplitOutput,
        name: str,
        in_channels: int,
        size: tuple[int, int],
        error: float,
        note: str,
        fingerprint: str,
        volatile: frozenset[str] = frozenset(),
        outputs: Outputs = "softmax",
    ) -> None:
        self.network = network
        self.preprocess = preprocess
        self.class_names = class_names
        self.name = name
        self.layer, self.how, self.pooling = reader.layer, reader.how, reader.pooling
        self.spatially_additive, self.is_linear = reader.spatially_additive, reader.is_linear
        self.remainder_name = reader.remainder_name
        self.error, self.note, self.fingerprint = error, note, fingerprint
        self.presumed = ""
        self.weights = ""  # the file they were read from, where `likethat.load` did
        self.n_channels, self.n_classes = probed.feature_map.shape[1], probed.logits.shape[1]
        self.grid = (probed.feature_map.shape[2], probed.feature_map.shape[3])
        self.size = size
        self.in_channels = in_channels
        self.outputs = outputs
        self._reader = reader
        self._head = head
        self._spatial_weight = reader.spatial_weight(self.n_channels)
        self._volatile = volatile  # buffers that every pass changes
        self._watch = Watch(network, without=volatile)
        self._kept = self._fingerprint() if volatile else fingerprint

    def called(self, class_names: Sequence[str]) -> "SplitModel":
        """Return the same split with other names of its classes; this one keeps its own."""
        other = copy.copy(self)
        other.class_names = tuple(class_names)
        return other

    @property
    def device(self) -> torch.device:
        """Where the network is now."""
        return device_of(self.network)

    @property
    def dtype(self) -> torch.dtype:
        """The type that the network computes in."""
        return floating_type(self.network)

    @property
    def held(self) -> str:
        """What is held as it is on each image, for which alone contributions are exact, in words; "" for nothing."""
        return str(getattr(self._reader, "held", ""))

    @property
    def rounding(self) -> tuple[str, float]:
        """What rounds the logits beyond float32, and the share of a term that it may take; ("", 0) where nothing does.

        A GPU may round float32 products to TF32 where the session lets it (a head that is a convolution: by default).
        """
        if self.dtype in (torch.float16, torch.bfloat16):
            return str(self.dtype).removeprefix("torch."), TOLERANCE[self.dtype]
        lets = torch.get_float32_matmul_precision() != "highest" or torch.backends.cudnn.allow_tf32
        return ("TF32", TENSOR_FLOAT) if self.device.type == "cuda" and lets else ("", 0.0)

    @property
    def head(self) -> Head:
        """The last linear map, on the network's device.

        Raises:
            NotLinearError: the network has no head that is linear in the pooled vector.
        """
        self.require_linear("`head`")
        assert self._head is not None
        if self._head.weight.device != self.device:
            self._head = Head(weight=self._head.weight.to(self.device), bias=self._head.bias.to(self.device))
        return self._head

    @property
    def spatial_weight(self) -> Float[Tensor, " channel"]:
        """The weight of each channel's mean in the pooled vector: 1, or 0 for a token that is not followed."""
        self._spatial_weight = self._spatial_weight.to(self.device)
        return self._spatial_weight

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> SplitOutput:
        """Return map, pooled vector and logits of images in [0, 1] from one pass; gradients flow to the images.

        Raises:
            InputError: not a batch of floating images in [0, 1] with the network's channels.
            NonFiniteError: NaN or infinity among them.
        """
        inputs = self._inputs(images)
        with evaluating(self.network):
            return self._reader.read(inputs)

    __call__ = forward

    def features(self, images: Float[Tensor, "batch colour h w"]) -> Float[Tensor, "batch channel height width"]:
        """Return the feature map of images in [0, 1], as it enters the pooling."""
        return self.forward(images).feature_map

    def pooled(self, images: Float[Tensor, "batch colour h w"]) -> Float[Tensor, "batch channel"]:
        """Return the vector of each image that enters the head."""
        return self.forward(images).pooled

    def logits(self, images: Float[Tensor, "batch colour h w"]) -> Float[Tensor, "batch cls"]:
        """Return the network's own logits; those before the softmax or sigmoid where it ends in one."""
        inputs = self._inputs(images)
        with evaluating(self.network):
            alone = getattr(self._reader, "logits", None)  # what cells give is not asked for, and may cost most
            return alone(inputs) if alone else self._reader.read(inputs).logits

    def probabilities(self, logits: Float[Tensor, "*n cls"]) -> Float[Tensor, "*n cls"]:
        """Return the network's own probabilities of its logits: float64, in [0, 1].

        Example:
            >>> model.probabilities(model.logits(images))  # doctest: +SKIP
        """
        if not isinstance(logits, Tensor) or logits.ndim == 0 or logits.shape[-1] != self.n_classes:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise InputError(
                f"`logits` must be a tensor (..., class = {self.n_classes}), got {got}. Take them from "
                "model.logits(images)."
            )
        return probabilities_of(logits, self.outputs)

    def remainder(self, images: Float[Tensor, "batch colour h w"]) -> Float[Tensor, "batch channel"]:
        """Return what of the pooled vector is not located in the map; rounding alone when additive."""
        return self._remainder(self.forward(images))

    def constant(self, images: Float[Tensor, "batch colour h w"]) -> Float[Tensor, "batch channel"]:
        """Return what of the remainder no content of the image gives: it is a constant, but for what is held.

        Zeros where nothing is held; all of the remainder where nothing else is in it.
        """
        inputs = self._inputs(images)
        with evaluating(self.network):
            if not self.held:
                return torch.zeros_like(self._reader.read(inputs).pooled)
            return self._reader.constant(inputs)  # type: ignore[attr-defined]

    @torch.no_grad()
    def heat_map(
        self, images: Float[Tensor, "batch colour h w"], target: int | str
    ) -> Float[Tensor, "batch row column"]:
        """Return what each cell of the map adds to the target's logit.

        A map's sum, the head on `remainder`, and the bias are the logit. No bank is needed: one pass.

        Args:
            images: (batch, colour, height, width) in [0, 1].
            target: class index or name.

        Raises:
            NotLinearError: the network has no head that is linear in the pooled vector.
            TargetError: no such class.

        Example:
            >>> import likethat as lt
            >>> model, images = lt.load("zoo:digits"), lt.digits()[0].image[None]
            >>> cells = model.heat_map(images, "3")
            >>> abs(cells.sum() + model.head.bias[3] - model.logits(images)[0, 3]).item() < 1e-4
            True
        """
        self.require_linear("`heat_map`")
        weight = self.head.weight[resolve_target(target, self.class_names)] * self.spatial_weight
        feature_map = self.features(images)
        return torch.einsum("bdhw,d->bhw", feature_map, weight) / feature_map[0, 0].numel()

    def replay(
        self,
        feature_map: Float[Tensor, "batch channel height width"],
        images: Float[Tensor, "batch colour h w"] | None = None,
    ) -> Float[Tensor, "batch cls"]:
        """Return the logits with the map replaced; differentiable in the map.

        Args:
            feature_map: the map to put in place of the network's own.
            images: whose remainder (a class token, say) goes with it; needed unless the map is all there is.

        Raises:
            InputError: a map of another shape, or no images where the logits depend on more than the map.
        """
        self._check_map(feature_map)
        self.check_unchanged()
        if not self.is_linear:
            inputs = None if images is None else self._inputs(images)
            with evaluating(self.network):
                return self._reader.replay(feature_map.to(self.device), inputs)
        pooled = feature_map.to(self.device).float().mean(dim=(2, 3)) * self.spatial_weight
        if not self.spatially_additive:
            if images is None:
                raise InputError(
                    f"`images` must be given to replay a map of {self.name}, whose pooled vector also holds the "
                    f"{self.remainder_name}. Pass the images that the map came from."
                )
            pooled = pooled + self.remainder(images)
        return nn.functional.linear(pooled, self.head.weight, self.head.bias)

    def follow(self, size: tuple[int, int]) -> None:
        """Check the split on images of another size, which `grid`, `size` and `error` then speak of.

        A fit calls this with the size of its images: a network without a size of its own was split at a likely one.

        Raises:
            ModelError: the network does not run at this size, or the split does not hold there.
        """
        if size == self.size:
            return
        views = probe_images(3, self.in_channels, size, seed=1)
        advice = "Split it for these images, split(network, example=images), or give it a size with preprocess=."
        with untouched(self.network):
            try:
                output, error = self._reader.error(self._inputs(views))
            except RuntimeError as problem:
                line = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
                raise ModelError(
                    f"{self.name} must run on images of {size[0]} x {size[1]} pixels, but raised: {line} {advice}"
                ) from problem
        if self.is_linear:
            again = nn.functional.linear(output.pooled, self.head.weight, self.head.bias)
            error = max(error, relative_error(again, output.logits))
        if error > tolerance_of(self.dtype, self.device):
            raise ModelError(
                f"the split of {self.name} must hold on images of {size[0]} x {size[1]} pixels as at {self.size[0]} x "
                f"{self.size[1]}, got a relative error of {error:.1e}. {advice}"
            )
        self.size, self.error = size, error
        self.grid = (output.feature_map.shape[2], output.feature_map.shape[3])
        if self.is_linear:
            others = self.note.replace(note_on((1, 1)), "").strip()
            self.note = f"{others} {note_on(self.grid)}".strip()

    def require_linear(self, method: str) -> None:
        """Raise `NotLinearError` with advice unless the logits are linear in the pooled vector."""
        if not self.is_linear:
            raise NotLinearError(
                f"{method} needs a head that is linear in the pooled feature map, and between `{self.layer}` and the "
                f"logits of {self.name} there is more. Name another layer with split(network, layer=...), or choose "
                "a method that needs no contributions."
            )

    def require_classes(self, method: str) -> None:
        """Raise `InputError` unless the model gives one class of several: the one with the highest logit."""
        if self.outputs != "softmax" or self.n_classes < 2:
            what = "a single yes or no" if self.n_classes == 1 else "labels that each hold or not"
            raise InputError(
                f"{method} needs a model that gives one class of several, got {self.name}, whose logits stand for "
                f"{what}. EPIC and PartPrototypes explain such a model."
            )

    def check_unchanged(self, *, fully: bool = False) -> None:
        """Raise `ModelError` where the network's weights or buffers are others than when it was split.

        What can be seen without reading them costs some microseconds; only where something was touched (or moved to
        another device) are they read, and the same numbers again are no change.

        Args:
            fully: read them in any case, as fits and banks do once.
        """
        if not fully and self._watch.is_same():
            return
        if self._fingerprint() != self._kept:
            raise ModelError(
                f"`model` must have the weights and buffers that it was split with, and those of {self.name} have "
                "changed since. Split the network again, and fit banks of it anew; or load the old weights back."
            )
        self._watch = Watch(self.network, without=self._volatile)

    def _fingerprint(self) -> str:
        return fingerprint(self.network, layer=self.layer, pooling=way_of(self._reader), without=self._volatile)

    def row(self) -> dict[str, Any]:
        """Return what `likethat split` prints of this model."""
        return {
            "name": self.name,
            "layer": self.layer,
            "how": self.how,
            "pooling": self.pooling,
            "channels": self.n_channels,
            "grid": f"{self.grid[0]} x {self.grid[1]}" + self._at(),
            "preprocess": self.preprocess.in_words(),
            "classes": self.n_classes,
            "outputs": _OUTPUTS_IN_WORDS[self.n_classes == 1, self.outputs],
            "linear": self.is_linear,
            "spatially additive": self.spatially_additive,
            "error": self.error,
            "note": " ".join(filter(None, [self.note, self.presumed])),
        }

    def _at(self) -> str:
        """Say for which size the grid holds, where images keep their own."""
        return "" if self.preprocess.input_size else f" at {self.size[0]} x {self.size[1]}, follows the images"

    def __repr__(self) -> str:
        map_ = f"{self.n_channels} x {self.grid[0]} x {self.grid[1]}"
        classes = "1 class" if self.n_classes == 1 else f"{self.n_classes} classes"
        return (
            f"SplitModel({self.name}: {classes}, map {map_} of '{self.layer}' ({self.how}), "
            f"pooling '{self.pooling}', error {self.error:.1e}; pictures: {self.preprocess.in_words()})"
        )

    def _inputs(self, images: Tensor) -> Tensor:
        """Check the images, view them where their size differs, normalise, and cast to the network's type."""
        if isinstance(images, Tensor) and images.ndim == 4 and images.shape[0] == 0:
            raise InputError(f"`images` must hold at least one image, got shape {tuple(images.shape)}.")
        check_images(images, channels=self.in_channels)
        images = images.clone() if images.is_inference() else images  # which gradients could not pass
        images = images.to(device=self.device, dtype=torch.float32)
        size = self.preprocess.input_size
        views = images if size is None or images.shape[-2:] == size else self.preprocess.view(images)
        return self.preprocess.normalise(views).to(self.dtype)

    def _remainder(self, output: SplitOutput) -> Tensor:
        return output.pooled - self.spatial_weight * output.feature_map.mean(dim=(2, 3))

    def _check_map(self, feature_map: Tensor) -> None:
        if (
            not isinstance(feature_map, Tensor)
            or feature_map.ndim != 4
            or feature_map.shape[1] != self.n_channels
            or not feature_map.is_floating_point()
            or not feature_map.numel()
        ):
            got = tuple(feature_map.shape) if isinstance(feature_map, Tensor) else type(feature_map).__name__
            raise InputError(
                f"`feature_map` must be a floating tensor (batch, channel = {self.n_channels}, height, width), "
                f"got {got}. Take it from model.features(images)."
            )
        check_finite(feature_map.detach(), name="feature_map", advice="Take it from model.features(images).")
