"""Speed of the factorisation beside scikit-learn's: a section of benchmarks/parts.py."""

import time
import warnings
from dataclasses import dataclass, field

import numpy as np
import torch
from sklearn.decomposition import NMF
from torch import Tensor

from likethat.functional.factorisation import factorise, singular_parts

__all__ = ["speed"]

_BLOCK = 4  # classes factorised together, as a fit does at this size


def speed() -> list[str]:
    """200 classes, D = 512, 4 parts: our HALS on four classes at a time, scikit-learn's NMF on one; one thread each."""
    torch.set_num_threads(1)
    n_classes, n_cells, n_channels, n_parts = 200, 980, 512, 4
    rng = torch.Generator().manual_seed(0)
    ours = {tolerance: Clock() for tolerance in (1e-3, 3e-4, 1e-4)}
    theirs = {tolerance: Clock() for tolerance in (1e-2, 5e-3, 2e-3, 1e-3, 1e-4)}
    for _ in range(n_classes // _BLOCK):
        block = torch.stack([_synthetic_cells(n_cells, n_channels, rng) for _ in range(_BLOCK)])
        for tolerance, clock in ours.items():
            with clock:
                clock.errors += factorise(block, singular_parts(block, n_parts), tolerance=tolerance).error.tolist()
        for tolerance, clock in theirs.items():
            for cells in block:
                with clock, warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    nmf = NMF(n_parts, tol=tolerance, max_iter=400).fit(cells.numpy())
                clock.errors.append(nmf.reconstruction_err_**2 / float(cells.square().sum()))
    rows = ["| | ms a class | relative squared error |", "|---|---|---|"]
    rows += [_row(f"likethat, tolerance {tolerance:g}", clock) for tolerance, clock in ours.items()]
    rows += [_row(f"scikit-learn NMF, tol {tolerance:g}", clock) for tolerance, clock in theirs.items()]
    about = f"{n_classes} classes of {n_cells} cells, D = {n_channels}, {n_parts} parts, one thread, processor time."
    return [about, "", *rows, "", *(_compared(tolerance, clock, theirs) for tolerance, clock in ours.items())]


def _compared(tolerance: float, ours: "Clock", theirs: "dict[float, Clock]") -> str:
    """Say how much longer scikit-learn takes to our error: between the two runs whose errors enclose it."""
    runs = sorted(theirs.values(), key=lambda clock: -clock.mean)
    if not runs[-1].mean <= ours.mean <= runs[0].mean:
        return f"- At tolerance {tolerance:g} our error lies outside what scikit-learn's runs span."
    errors, seconds = [clock.mean for clock in reversed(runs)], [clock.seconds for clock in reversed(runs)]
    ratio = float(np.interp(ours.mean, errors, seconds)) / ours.seconds
    return (
        f"- At tolerance {tolerance:g}: scikit-learn takes {ratio:.1f} times as long to the same error (interpolated)."
    )


def _synthetic_cells(n_cells: int, n_channels: int, rng: torch.Generator) -> Tensor:
    parts = torch.rand(8, n_channels, generator=rng) ** 6
    occurrence = torch.rand(n_cells, 8, generator=rng) ** 6
    return torch.relu(occurrence @ parts + 0.05 * torch.randn(n_cells, n_channels, generator=rng))


@dataclass
class Clock:
    """Seconds and errors of one way."""

    seconds: float = 0.0
    errors: list[float] = field(default_factory=list)
    _started: float = 0.0

    def __enter__(self) -> None:
        self._started = time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.process_time() - self._started

    @property
    def mean(self) -> float:
        """The mean error."""
        return float(np.mean(self.errors))


def _row(name: str, clock: Clock) -> str:
    return f"| {name} | {1000 * clock.seconds / len(clock.errors):.1f} | {clock.mean:.5f} |"
