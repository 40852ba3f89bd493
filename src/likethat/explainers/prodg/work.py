"""What a run of ProDG has before it: how many images it makes, and what its passes over them are called."""

from dataclasses import dataclass, replace
from typing import Any

from likethat._progress import Progress, Watcher
from likethat.models import SplitModel
from likethat.options import ProDGOptions

CONTROL_UNITS = 16
"""Channels that the controls are measured on, evenly spread: they cost as much as the channels themselves."""
SAMPLES, _PROTOTYPES = "making samples", "making the prototypes again"
_BACKWARD = 2  # what an image with its gradient costs, in samples; measured on the zoo


@dataclass(frozen=True, kw_only=True)
class Work:
    """How many images a run makes, for an estimate of its time.

    Attributes:
        samples: that are looked through first.
        climbing: made on the way up.
        compared: made on the way up for random weights.
        plain: made for the control of plain samples.
        price: of an image on the way up, in samples.
    """

    samples: int
    climbing: int
    compared: int
    plain: int
    price: float

    @classmethod
    def of(cls, method: ProDGOptions, *, n_channels: int) -> "Work":
        """Return the work of a method on some channels."""
        each = method.n_prototypes * (method.steps + 1) if method.steps else 0
        by_gradient = method.algorithm in ("auto", "gradient") and method.generator.differentiable
        return cls(
            samples=method.n_samples,
            climbing=n_channels * each,
            compared=min(CONTROL_UNITS, n_channels) * each if method.controls else 0,
            plain=n_channels * each if method.controls else 0,
            price=_BACKWARD if by_gradient else 1.0,
        )

    def seconds(self, left: float, *, n_left: int) -> float:
        """Return what the whole still takes when the last `n_left` samples take `left` seconds.

        Example:
            100 samples at 0.1 s, 10 images on the way up at three times that, and 10 plain samples.

            >>> work = Work(samples=200, climbing=10, compared=0, plain=10, price=3.0)
            >>> round(work.seconds(10.0, n_left=100), 6)
            14.0
        """
        each = left / max(1, n_left)
        return left + each * (self.price * (self.climbing + self.compared) + self.plain)

    def parts(self, *, n_left: int) -> str:
        """Return what there is to make, in words."""
        controls = self.compared + self.plain
        parts = [f"{n_left:,} samples", f"{self.climbing:,} images on the way up"]
        return ", ".join([*parts, *([f"{controls:,} for the controls"] if controls else [])])


class Stages:
    """A watcher that calls the passes over the generator's images by what they are."""

    def __init__(self, watch: Watcher) -> None:
        self._watch, self._has_samples = watch, False

    def __call__(self, report: Progress) -> None:
        """Pass a report on."""
        if report.stage == "reading images":
            report = replace(report, stage=_PROTOTYPES if self._has_samples else SAMPLES)
        else:
            self._has_samples = True
        self._watch(report)


def resized_or_turned(generator: Any, model: SplitModel) -> str:
    """Return what becomes of a generator's images before the model sees them, in words; "" where nothing does."""
    shape = getattr(generator, "shape", None)
    if shape is None:
        return ""
    is_other_size = model.preprocess.input_size not in (None, tuple(shape[1:]))
    turned = f"turned from {shape[0]} channels into {model.in_channels}" if shape[0] != model.in_channels else ""
    return " and ".join([*(["resized"] if is_other_size else []), *([turned] if turned else [])])
