"""What every fit does round its method: a checkpoint at the start, a provenance at the end."""

import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from likethat._calls import warn
from likethat._checkpoint import EVERY, Checkpoint
from likethat._checks import check_count
from likethat._options import byte_count, check_callable, check_flag, check_number, check_path
from likethat._progress import Watcher
from likethat._version import __version__
from likethat._workers import Cluster, as_workers
from likethat.errors import DataWarning, InputError
from likethat.explanations import Bank, Provenance
from likethat.features import Features, collect
from likethat.features.labels import Labels, names_borne_out
from likethat.fitting.agreement import agreement
from likethat.fitting.held_out import kept_back
from likethat.models import SplitModel, as_model, check_model
from likethat.sources import ImageSource, IterableSource, as_source
from likethat.sources.base import Skipped, reading_of
from likethat.sources.signature import signature_of


@dataclass(frozen=True, kw_only=True, eq=False)
class Begun:
    """A fit after its pass over the images; `workers` are those of the pass."""

    model: SplitModel
    source: ImageSource | IterableSource
    features: Features
    checkpoint: Checkpoint | None
    workers: int | Cluster = 0

    def work(self) -> AbstractContextManager[Any]:
        """Return the context of what follows: interrupted, it leaves the pass."""
        return nullcontext() if self.checkpoint is None else self.checkpoint

    def finished(self, bank: Bank, back: Tensor | None = None) -> Bank:
        """Return the bank of this fit; its checkpoint goes when it is saved, so that a kill before costs little.

        Where contributions hold for one image alone, the bank gets what filling places costs beside what they claim.

        Args:
            bank: as it was made.
            back: (map,) held maps that were not fitted to; a draw of all where the method keeps none back.
        """
        bank.checkpoint, made = self.checkpoint, bank.provenance
        if self.model.held:
            with self.work():
                everything = torch.zeros_like(self.features.predicted)
                back = kept_back(self.features, everything, seed=made.seed) if back is None else back
                measures = {**made.measures, **agreement(bank, self.features, back)}
            made = replace(made, measures=measures)
            bank.provenance = replace(made, notes=(*made.notes, made.agreement))
        return bank


def begin(
    model: SplitModel | nn.Module,
    images: Any,
    *,
    method: str,
    options: Mapping[str, Any],
    seed: int,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = EVERY,
    resume: bool = False,
    memory_budget: int | str = 2 * 2**30,
    batch_size: int = 32,
    workers: int | str | Cluster = 0,
    watch: Watcher | None = None,
    with_sketches: bool = False,
    check: Callable[[SplitModel], None] = lambda _: None,
) -> Begun:
    """Take the model and the images in, open the checkpoint and run the model once over them.

    Args:
        model: what is explained; a network is split.
        images: whatever `as_source` takes.
        method: the explainer's name.
        options: its hyper-parameters.
        seed: its seed.
        checkpoint: folder to leave unfinished work in.
        checkpoint_every: seconds until its first piece, and between two.
        resume: go on from there.
        memory_budget: bytes for feature maps, or a text such as "2GB".
        batch_size: images decoded at a time.
        workers: threads that decode, or workers of Ray.
        watch: called with a `Progress`.
        with_sketches: keep each image small and grey.
        check: raises where the method has more to ask of the model, before anything is run.

    Raises:
        NotLinearError: the model's head is not linear in its pooled features.
        InputError: no image can be used, an option that is none, or the checkpoint is another fit's.
    """
    check_model(model)
    reading: dict[str, Any] = {
        "memory_budget": byte_count(memory_budget),
        "batch_size": check_count(batch_size, name="batch_size"),
        "workers": as_workers(workers),
        "watch": check_callable(watch, name="watch", takes="a Progress"),
    }
    source = as_source(images)
    model = as_model(model, lambda: _first_image(source))
    model.require_linear(method)
    check(model)
    model.check_unchanged(fully=True)
    opened = open_checkpoint(
        checkpoint,
        every=check_number(checkpoint_every, name="checkpoint_every"),
        method=method,
        options=options,
        seed=seed,
        model=model,
        source=source,
        resume=resume,
    )
    features = collect(model, source, seed=seed, checkpoint=opened, with_sketches=with_sketches, **reading)
    model.check_unchanged()  # again: another thread may have trained it meanwhile
    if features.warning:
        warn(features.warning, DataWarning)
    labels = Labels(classes=features.labels, row=features.data["labels"], warning=features.warning)
    if names := names_borne_out(labels, features.predicted, model.class_names):
        model = model.called(names)
    return Begun(model=model, source=source, features=features, checkpoint=opened, workers=reading["workers"])


def _first_image(source: ImageSource | IterableSource) -> Tensor | None:
    """Return the first image, where there is one that can be had twice."""
    try:
        return source[0].image if isinstance(source, ImageSource) else None
    except Exception:  # said when it is read, with its name
        return None


def open_checkpoint(
    folder: str | Path | None,
    *,
    every: float,
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
        if check_flag(resume, name="resume"):
            raise InputError("`checkpoint` must name the folder to resume from, got None.")
        return None
    key: dict[str, Any] = {"method": method, "seed": seed, "model": model.fingerprint, "images": signature_of(source)}
    if reading := reading_of(source):
        key["reading"] = reading
    place, is_resumed = check_path(folder, name="checkpoint"), check_flag(resume, name="resume")
    return Checkpoint(place, key={**options, **key}, resume=is_resumed, every=every)


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
    unit: str = "channel",
    reports_data: bool = True,
    verdict: str = "",
) -> Provenance:
    """Note how a bank was made; `reports_data` is false where the images are only where a method begins.

    `verdict` says what the bank is not worth, in one sentence; it stands above all else.
    """
    remarks, data = (features.remarks, features.data) if reports_data else ((), {})
    accuracy = data.get("labels", {}).get("accuracy")
    measured = {} if accuracy is None else {"accuracy": accuracy}
    return Provenance(
        method=method,
        options=options,
        seed=seed,
        fingerprint=model.fingerprint,
        model=model.name,
        n_images=len(features),
        skipped=(*_pairs(features.skipped), *skipped),
        versions={"likethat": __version__, "torch": torch.__version__, "python": platform.python_version()},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=seconds,
        measures={**measures, **measured, "backbone_seconds": features.backbone_seconds},
        notes=(*filter(None, [model.presumed]), *remarks, *features.notes, *notes),
        data=data,
        warning=" ".join(filter(None, [features.warning if reports_data else "", verdict])),
        is_made=features.is_made,
        unit=unit,
        weights=model.weights,
    )


def _pairs(skipped: Sequence[Skipped]) -> list[tuple[str, str]]:
    return [(item.name, item.reason) for item in skipped]
