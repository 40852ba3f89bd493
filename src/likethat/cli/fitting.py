"""What every ``likethat fit`` does around its method: checkpoint, progress, estimate, summary, next command."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from likethat._progress import Progress, Watcher
from likethat.cli.console import duration, notes, say, say_path, say_table
from likethat.cli.group import Stopped
from likethat.cli.opening import open_images, open_model
from likethat.cli.options import byte_count
from likethat.cli.progress import Estimate, progress_bar
from likethat.errors import InputError

if TYPE_CHECKING:
    from likethat.explanations import Bank
    from likethat.models import SplitModel

__all__ = ["FitJob", "Method", "checkpoint_of", "fit_and_save"]


class Method(Protocol):
    """An explainer whose fit can be interrupted and resumed."""

    def fit(
        self,
        model: "SplitModel",
        images: Any,
        *,
        memory_budget: int = ...,
        batch_size: int = ...,
        workers: int = ...,
        checkpoint: str | Path | None = ...,
        resume: bool = ...,
        watch: Watcher | None = ...,
    ) -> "Bank":
        """Fit and return a bank."""
        ...


@dataclass(frozen=True, kw_only=True)
class FitJob:
    """What a fit works on, and how; the options every method shares.

    Attributes:
        model: name of the model.
        images: folder or name of the images.
        out: where the bank goes.
        weights: the model's weights, where they are not its usual ones.
        layer: module to read the feature map from.
        class_names: file with one name a line.
        device: where the model runs.
        batch_size: images decoded at a time.
        workers: threads that decode.
        memory_budget: a size such as "2GB".
        resume: go on from the checkpoint.
        overwrite: replace an earlier bank.
    """

    model: str
    images: str
    out: Path
    weights: str | None = None
    layer: str | None = None
    class_names: Path | None = None
    device: str = "auto"
    batch_size: int = 32
    workers: int = 0
    memory_budget: str = "2GB"
    resume: bool = False
    overwrite: bool = False


def checkpoint_of(out: Path) -> Path:
    """Return the folder beside a bank that holds its unfinished fit."""
    return out.with_name(f"{out.name}.checkpoint")


def fit_and_save(method: Method, job: FitJob) -> "Bank":
    """Fit, save, and say what was found and what to type next.

    Raises:
        InputError: the place for the bank is taken, or the options do not fit.
        Stopped: by Ctrl-C or SIGTERM, with a checkpoint left.
    """
    budget = byte_count(job.memory_budget)
    _check_place(job)
    source = open_images(job.images)
    model = open_model(job.model, weights=job.weights, layer=job.layer, device=job.device, class_names=job.class_names)
    notes.print(
        f"{model.name}: {model.n_classes} classes, {model.n_channels} channels, on {model.device}", markup=False
    )
    notes.print(f"{len(source):,} images in {job.images}", markup=False, soft_wrap=True)
    checkpoint = checkpoint_of(job.out)
    try:
        with progress_bar() as watch:
            bank = method.fit(
                model,
                source,
                memory_budget=budget,
                batch_size=job.batch_size,
                workers=job.workers,
                checkpoint=checkpoint,
                resume=job.resume,
                watch=_with_estimate(watch),
            )
    except KeyboardInterrupt as stop:
        if checkpoint.exists():
            raise Stopped from stop
        raise
    bank.save(job.out)
    say_summary(bank, job)
    return bank


def _check_place(job: FitJob) -> None:
    """Refuse before the work what `Bank.save` would refuse after it."""
    if job.out.suffix.lower() in {".html", ".htm"}:
        raise InputError(f"`--out` must be a folder for the bank, got {job.out}. Make its page with likethat show.")
    if job.out.is_file() or (job.out.is_dir() and any(job.out.iterdir()) and not (job.out / "manifest.json").exists()):
        raise InputError(f"`--out` must be a new or empty folder, got {job.out}, which holds something else.")
    if (job.out / "manifest.json").exists() and not job.overwrite:
        raise InputError(f"`--out` already holds a bank, {job.out}. Choose another folder, or add --overwrite.")
    checkpoint = checkpoint_of(job.out)
    if checkpoint.exists() and any(checkpoint.glob("*.safetensors")) and not (job.resume or job.overwrite):
        raise InputError(
            f"an unfinished fit lies in {checkpoint}. Go on with it by adding --resume, or start anew with --overwrite."
        )


def _with_estimate(watch: Watcher) -> Watcher:
    estimate = Estimate()

    def both(report: Progress) -> None:
        left = estimate.seconds_left(report)
        if left is not None:
            notes.print(f"about {duration(left)} to read the rest of the images; turning the channels comes after")
        watch(report)

    return both


def say_summary(bank: "Bank", job: FitJob) -> None:
    """Print what was measured while fitting, where the bank lies and what to type next."""
    about = bank.provenance
    say(f"{about.method} for {about.model}", style="bold")
    say_table(_measures(about.measures) | {"images": f"{about.n_images:,}", "time": duration(about.seconds)})
    for note in about.notes:
        say(f"note: {note}", style="yellow")
    for name, reason in about.skipped[:3]:
        say(f"skipped {name}: {reason}", style="yellow")
    if len(about.skipped) > 3:
        say(f"… and {len(about.skipped) - 3:,} more; likethat show lists them", style="yellow")
    say_path("bank", job.out)
    say(f"next: {_next_command(job)}", style="green")


def _measures(measures: Mapping[str, float]) -> dict[str, object]:
    return {
        name.replace("_", " "): f"{value:.0f}" if name.endswith("channels") else f"{value:.3f}"
        for name, value in measures.items()
        if not name.endswith("seconds")
    }


def _next_command(job: FitJob) -> str:
    words = ["likethat", "explain", str(job.out), "PHOTO.jpg", "--out", "why.html"]
    words += ["--weights", job.weights] if job.weights else []
    words += ["--layer", job.layer] if job.layer else []
    return shlex.join(words)
