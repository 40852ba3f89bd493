"""Which pixels speak for a class and which against it, with how sure that is."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from likethat._calls import public
from likethat._responses import Measured
from likethat._status import Status
from likethat.explanations.result import Result
from likethat.explanations.saved import write_result

EXACTLY = "exact"
"""The method where the weights say it: no standard error, and no question was asked."""


@public
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)  # Result prints one line
class Attribution(Result):
    """A signed heat map of one image for one class, or for a number of the model's answer.

    Attributes:
        image: float32 (channel, height, width) in [0, 1].
        probabilities: (class,) of the model.
        target: class explained; 0 where `measured` says what is.
        class_names: of the model.
        heat_map: (height, width): how much each pixel adds to the target's log-odds, or to the number explained, in
            its own unit; below 0 it speaks against it. Where the method is "exact", its share of what its cell of the
            feature map adds to the target's logit.
        error: (height, width): standard error of each value; about 9 of 10 values lie within 1.64 of them; 0 where the
            method is "exact".
        queries: asked; passes of the network where the method is "exact".
        seconds: it took.
        method: "freemcg", "patches" or "exact".
        status: whether anything was found.
        model: printable name of the black box.
        generator: printable name of the denoiser, "none" without one.
        seed: of the draws.
        options: as plain values.
        notes: sentences for the reader.
        measured: the number that is explained; None where that is a class.
        value: of that number, as the model answers; None where a class is explained.
    """

    image: Float[NDArray[np.float32], "channel height width"]
    probabilities: Float[NDArray[np.float64], " cls"]
    target: int
    class_names: tuple[str, ...]
    heat_map: Float[NDArray[np.float32], "height width"]
    error: Float[NDArray[np.float32], "height width"]
    queries: int
    seconds: float
    method: str
    status: Status
    model: str
    generator: str
    seed: int
    options: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    measured: Measured | None = None
    value: float | None = None

    def _line(self) -> str:
        return (
            f"<Attribution of {self.target_name!r} by {self.method} for {self.model}: {int(self.is_clear.sum())} of "
            f"{self.heat_map.size} pixels clear, {self.queries} queries, {self.status.reason}>"
        )

    @property
    def target_name(self) -> str:
        """The target's class name, or the name of the number that is explained."""
        if self.measured is not None:
            return self.measured.name
        return self.class_names[self.target]

    @property
    def is_clear(self) -> NDArray[np.bool_]:
        """Where the value differs from 0 by more than two standard errors, (height, width)."""
        clear: NDArray[np.bool_] = np.abs(self.heat_map) > 2 * self.error
        return clear

    def _write(self, path: Path, *, overwrite: bool) -> Path:
        return write_result(self, path, overwrite=overwrite)

    def _facts(self) -> dict[str, Any]:
        return {**vars(self), "target_name": self.target_name}

    def _columns(self) -> dict[str, Any]:
        order = np.argsort(-np.abs(self.heat_map), axis=None, kind="stable")
        row, column = np.unravel_index(order, self.heat_map.shape)
        values = {"value": self.heat_map, "error": self.error, "is_clear": self.is_clear}
        return {"row": row, "column": column} | {name: value.ravel()[order] for name, value in values.items()}
