"""What every fit does round its method: a checkpoint at the start, a provenance at the end."""

import hashlib
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import likethat
from likethat.errors import InputError
from likethat.explanations import Provenance
from likethat.features import Checkpoint, Features
from likethat.models import SplitModel
from likethat.sources import ImageFolder, ImageSource, IterableSource
from likethat.sources.base import Skipped

__all__ = ["open_checkpoint", "provenance_of"]


def open_checkpoint(
    folder: str | Path | None,
    *,
    method: str,
    options: Mapping[str, Any],
    seed: int,
    model: SplitModel,
    source: ImageSource | IterableSource,
    resume: bool,
) -> Checkpoint | None:
    """Open the folder of an interrupted fit, or begin one; None where none was asked for.

    Raises:
        InputError: `resume` without a folder, or the folder of another fit: another model, other images or options.
    """
    if folder is None:
        if resume:
            raise InputError("`checkpoint` must name the folder to resume from, got None.")
        return None
    key = {"method": method, "seed": seed, "model": model.fingerprint, "images": _signature(source)}
    return Checkpoint(folder, key={**options, **key}, resume=resume)


def _signature(source: ImageSource | IterableSource) -> str:
    """Say which images these are, as far as that is known without reading them."""
    if not isinstance(source, ImageSource):
        return "a stream"
    if not isinstance(source, ImageFolder):
        return f"{len(source)} of {type(source).__name__}"
    names = "\n".join(file.relative_to(source.root).as_posix() for file in source.files)
    digest = hashlib.blake2b(names.encode(errors="surrogateescape"), digest_size=8).hexdigest()
    return f"{len(source)} files, names {digest}"


def provenance_of(
    model: SplitModel,
    features: Features,
    *,
    method: str,
    options: Mapping[str, Any],
    seed: int,
    seconds: float,
    measures: Mapping[str, float],
    notes: Sequence[str],
    skipped: Sequence[tuple[str, str]] = (),
) -> Provenance:
    """Note how a bank was made."""
    return Provenance(
        method=method,
        options=options,
        seed=seed,
        fingerprint=model.fingerprint,
        model=model.name,
        n_images=len(features),
        skipped=(*_pairs(features.skipped), *skipped),
        versions={"likethat": likethat.__version__, "torch": torch.__version__, "python": platform.python_version()},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=seconds,
        measures={**measures, "backbone_seconds": features.backbone_seconds},
        notes=(*features.notes, *notes),
    )


def _pairs(skipped: Sequence[Skipped]) -> list[tuple[str, str]]:
    return [(item.name, item.reason) for item in skipped]
