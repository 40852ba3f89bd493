"""Explanations and banks made by hand, so that every number on a page is known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from likethat.explanations import Contribution, Explanation, ImageStore, Prototype, Provenance

NASTY = '<script>alert("x")</script>'
QUOTED = 'birds/it\'s "quoted" & 50%.jpg'
TURNED = "photo\u202egpj.exe"
LONG = "a" * 3000


def provenance(**changes: Any) -> Provenance:
    made = Provenance(
        method="EPIC",
        options={"solver": "procrustes"},
        seed=0,
        fingerprint="0123456789abcdef" * 4,
        model="small cnn",
        n_images=60,
        versions={"likethat": "0.1.0"},
        created="2026-03-04T10:20:30+00:00",
        seconds=83.2,
        measures={"purity": 0.43, "units_live": 12.0},
    )
    return replace(made, **changes)


def picture(seed: int, size: int = 24) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def prototype(unit: int, rank: int, **changes: Any) -> Prototype:
    made = Prototype(
        unit=unit,
        rank=rank,
        kind="positive",
        source=f"birds/{unit}-{rank}.jpg",
        index=rank,
        image=f"image-{(unit + rank) % 6}",
        cell=(1, 1),
        box=(6, 6, 12, 12),
        activation=2.0 - rank,
        peak=5.0,
        purity=0.9 - 0.1 * rank,
        label=0,
        predicted=0,
    )
    return replace(made, **changes)


def pictures() -> ImageStore:
    return ImageStore({f"image-{index}": picture(index) for index in range(6)})


def row(unit: int, contribution: float, *, unlocated: float = 0.0, **changes: Any) -> Contribution:
    heat = np.zeros((4, 4), dtype=np.float32)
    heat[1, 2] = contribution
    made = Contribution(
        unit=unit,
        name=f"channel {unit}",
        contribution=contribution,
        unlocated=unlocated,
        activation=1.0,
        purity=0.8,
        cell=(1, 2),
        box=(12, 6, 18, 12),
        heat_map=heat,
        activation_map=np.abs(heat) + 0.1,
        prototypes=(prototype(unit, 0), prototype(unit, 1)),
    )
    return replace(made, **changes)


def explanation(
    values: Sequence[float] = (2.0, 1.0, 0.5, -0.75),
    *,
    shown: int = 2,
    bias: float = 0.25,
    unlocated: Sequence[float] | None = None,
    **changes: Any,
) -> Explanation:
    """Units 0, 1, ... supply `values`; the first `shown` are the rows; the logit is the sum of all terms."""
    located = np.array(values, dtype=np.float32)
    away = np.zeros_like(located) if unlocated is None else np.array(unlocated, dtype=np.float32)
    remainder = float(away.sum(dtype=np.float64))
    rows = tuple(row(unit, float(located[unit]), unlocated=float(away[unit])) for unit in range(shown))
    made = Explanation(
        image=np.random.default_rng(0).random((3, 24, 24), dtype=np.float32),
        source="birds/test.jpg",
        target=0,
        against=None,
        predicted=0,
        class_names=("owl", "gull", "finch"),
        logit=float(located.sum(dtype=np.float64)) + remainder + bias,
        probability=0.97,
        bias=bias,
        remainder=remainder,
        remainder_terms={} if unlocated is None else {"class token": remainder},
        contributions=located,
        unlocated=away,
        rows=rows,
        spatially_additive=unlocated is None,
        images=pictures(),
        provenance=provenance(),
    )
    return replace(made, **changes)


@dataclass(frozen=True, kw_only=True, eq=False)
class FakeBank:
    """What a page needs of a bank, and nothing else."""

    provenance: Provenance
    class_names: tuple[str, ...]
    prototypes: tuple[Prototype, ...]
    images: ImageStore
    unit_names: tuple[str, ...]
    unit_purity: NDArray[np.float32]
    usage: NDArray[np.float32]
    n_units: int


def bank(n_units: int = 4, **changes: Any) -> FakeBank:
    """Unit k is used k times; the last unit has no prototypes."""
    found = tuple(prototype(unit, rank) for unit in range(n_units - 1) for rank in range(2))
    made = FakeBank(
        provenance=provenance(),
        class_names=("owl", "gull", "finch"),
        prototypes=found,
        images=pictures(),
        unit_names=tuple(f"channel {unit}" for unit in range(n_units)),
        unit_purity=np.array([0.5] * (n_units - 1) + [np.nan], dtype=np.float32),
        usage=np.arange(n_units, dtype=np.float32),
        n_units=n_units,
    )
    return replace(made, **changes)
