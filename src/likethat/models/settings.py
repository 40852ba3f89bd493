"""What of a split is not in the weights: preprocessing, outputs, layer. Kept by a bank, compared, and put back."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import nn

from likethat._class_names import are_unnamed
from likethat.errors import BankMismatchError, InputError
from likethat.functional.links import Outputs
from likethat.models._probe import probe_images
from likethat.models._readers import LibraryReader
from likethat.models._state import untouched
from likethat.models.preprocessing import Preprocess
from likethat.models.split import split
from likethat.models.split_model import SplitModel

_TRIED = (37, 53)  # height and width of the image that two preprocessings are compared on: a shape like no input size
_NUMBERS = 24  # of the answer that are kept
_SAME_LOGITS = 5e-3  # of the largest: what TF32 on another device leaves; another padding moves them more
_SAME = 1e-3  # of the largest number; resizing on another device differs less, another mean or size more


@dataclass(frozen=True, kw_only=True, eq=False)
class Settings:
    """How a model was split, as a bank keeps it.

    Attributes:
        outputs: what its logits stand for.
        layer: the module that the map is read from, to name it again; None for a library's own features.
        preprocess: the arguments of its `Preprocess`, without a function.
        function: the name of the function in place of mean and std, which cannot be kept; "" where there is none.
        answer: some numbers of what the preprocessing makes of one drawn image.
        size: height and width of the images that were seen.
        logits: some of the network's own for one drawn image: its code may change where its weights do not. Empty in
            banks of an earlier version.
    """

    outputs: Outputs
    layer: str | None
    preprocess: dict[str, Any]
    function: str
    answer: tuple[float, ...]
    size: tuple[int, int]
    logits: tuple[float, ...] = ()

    @classmethod
    def of(cls, model: SplitModel) -> "Settings":
        """Note how a model was split."""
        own = model.preprocess
        kept = {item.name: getattr(own, item.name) for item in fields(own) if item.name != "transform"}
        return cls(
            outputs=model.outputs,
            layer=None if model.layer == LibraryReader.layer or " + " in model.layer else model.layer,
            preprocess=kept,
            function="" if own.transform is None else str(getattr(own.transform, "__name__", "a function")),
            answer=_answer(model),
            size=model.size,
            logits=_logits(model, model.size),
        )

    def __post_init__(self) -> None:
        self.kept()

    def kept(self) -> Preprocess:
        """Return the preprocessing, without its function.

        Raises:
            InputError, TypeError: these are no arguments of one.
        """
        plain: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in self.preprocess.items()
        }
        return Preprocess(**plain)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain JSON."""
        return dict(vars(self))

    def check(self, model: SplitModel, class_names: Sequence[str]) -> None:
        """Raise unless a model was split in the same way.

        Raises:
            BankMismatchError: other outputs, other class names, or a preprocessing that makes other numbers.
        """
        if model.outputs != self.outputs:
            raise _other("outputs", repr(self.outputs), repr(model.outputs))
        if not (are_unnamed(model.class_names) or are_unnamed(class_names)) and tuple(class_names) != model.class_names:
            place = next(
                i for i, pair in enumerate(zip(class_names, model.class_names, strict=True)) if len(set(pair)) > 1
            )
            raise _other("class_names", f"{class_names[place]!r} at {place}", repr(model.class_names[place]))
        if not _same(self.answer, _answer(model)):
            ours = f"the function {self.function!r}" if self.function else self.kept().in_words()
            raise _other("preprocess", ours, model.preprocess.in_words())
        if self.logits and not _are_near(
            self.logits, _logits(model, self.size), share=max(_SAME_LOGITS, 2 * model.rounding[1])
        ):
            raise BankMismatchError(
                f"`model` must be the network the bank was made from, got {model.name} with the same weights and other "
                "answers: it is built in another way (an activation, a stride, a padding). Build it as it was then."
            )

    def split(self, network: nn.Module, class_names: Sequence[str]) -> SplitModel:
        """Split a network as it was split before.

        Raises:
            BankMismatchError: its preprocessing was a function, which nobody keeps.
        """
        if self.function:
            raise BankMismatchError(
                f"`network` cannot be split as before, because its preprocessing was a function ({self.function}), "
                "which no bank keeps. Give the function again: open_bank(path, split(network, preprocess=...))."
            )
        preprocess = self.kept()
        example = torch.zeros(1, preprocess.channels or 3, *self.size, dtype=torch.float32)
        return split(
            network,
            preprocess=preprocess,
            layer=self.layer,
            class_names=None if are_unnamed(class_names) else list(class_names),
            example=example,
            outputs=self.outputs,
        )


def _other(name: str, kept: str, got: str) -> BankMismatchError:
    return BankMismatchError(
        f"`model` must be split as when the bank was made, with {name} {kept}, got {got}. Open it with the network "
        "alone, open_bank(path, network), and the bank's own settings are put back."
    )


@torch.no_grad()
def _answer(model: SplitModel) -> tuple[float, ...]:
    """Return some numbers of what the preprocessing makes of a drawn image; none where it cannot take it."""
    image = probe_images(1, model.in_channels, _TRIED, seed=5)
    try:
        made = model.preprocess.normalise(model.preprocess.view(image)).flatten().cpu().double()
    except (InputError, RuntimeError):  # a function that takes one size alone
        return ()
    places = torch.linspace(0, made.numel() - 1, _NUMBERS, dtype=torch.float32).long()
    return (float(made.numel()), *(round(number, 6) for number in made[places].tolist()))


@torch.no_grad()
def _logits(model: SplitModel, size: tuple[int, int]) -> tuple[float, ...]:
    """Return some of the network's logits for a drawn image."""
    with untouched(model.network):
        logits = model.logits(probe_images(1, model.in_channels, size, seed=5))[0, :_NUMBERS]
    return tuple(float(f"{number:.5g}") for number in logits.tolist())


def _are_near(kept: tuple[float, ...], logits: tuple[float, ...], *, share: float) -> bool:
    largest = max(abs(number) for number in kept)
    return len(kept) == len(logits) and all(abs(a - b) <= share * largest for a, b in zip(kept, logits, strict=True))


def _same(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    if not one or not other:
        return True  # nothing to compare
    if len(one) != len(other) or one[0] != other[0]:
        return False
    largest = max(abs(number) for number in (*one[1:], *other[1:]))
    return all(abs(a - b) <= _SAME * max(largest, 1e-6) for a, b in zip(one[1:], other[1:], strict=True))
