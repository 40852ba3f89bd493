"""What every ``likethat fit`` does around its method: checkpoint, progress, estimate, summary, next command."""

import shlex
import tempfile
import uuid
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from likethat._options import byte_count
from likethat._progress import Progress, Watcher
from likethat.cli.console import duration, notes, say, say_path, say_table
from likethat.cli.group import Stopped
from likethat.cli.opening import open_images, open_model
from likethat.cli.progress import Estimate, progress_bar, with_estimate
from likethat.errors import DataWarning, InputError, StorageError

if TYPE_CHECKING:
    from likethat.explanations import Bank
    from likethat.models import SplitModel

__all__ = [
    "FitJob",
    "Job",
    "Method",
    "check_place",
    "checkpoint_of",
    "fit_and_save",
    "open_job_model",
    "save_what_fits",
    "say_measures",
    "say_outcome",
]


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
class Job:
    """What a fit works on, and where the bank goes; the options every method shares.

    Attributes:
        model: name of the model.
        out: where the bank goes.
        weights: the model's weights, where they are not its usual ones.
        layer: module to read the feature map from.
        class_names: file with one name a line.
        device: where the model runs.
        memory_budget: a size such as "2GB".
        resume: go on from the checkpoint.
        overwrite: replace an earlier bank.
    """

    model: str
    out: Path
    weights: str | None = None
    layer: str | None = None
    class_names: Path | None = None
    device: str = "auto"
    memory_budget: str = "2GB"
    resume: bool = False
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class FitJob(Job):
    """A fit on images.

    Attributes:
        images: folder or name of the images.
        batch_size: images decoded at a time.
        workers: threads that decode.
    """

    images: str
    batch_size: int = 32
    workers: int = 0


def checkpoint_of(out: Path) -> Path:
    """Return the folder beside a bank that holds its unfinished fit."""
    return out.with_name(f"{out.name}.checkpoint")


def fit_and_save(method: Method, job: FitJob) -> "Bank":
    """Fit on images, save, and say what was found and what to type next.

    Raises:
        InputError: the place for the bank is taken, or the options do not fit.
        Stopped: by Ctrl-C or SIGTERM, with a checkpoint left.
    """
    budget = byte_count(job.memory_budget, name="--memory-budget")
    check_place(job)
    source = open_images(job.images)
    model = open_job_model(job)
    notes.print(f"{len(source):,} images in {job.images}", markup=False, soft_wrap=True)

    def fit(watch: Watcher) -> "Bank":
        return method.fit(
            model,
            source,
            memory_budget=budget,
            batch_size=job.batch_size,
            workers=job.workers,
            checkpoint=checkpoint_of(job.out),
            resume=job.resume,
            watch=with_estimate(watch, Estimate(), _reading_left),
        )

    bank = save_what_fits(fit, job)
    about = bank.provenance
    say_measures(bank, _measures(about.measures) | {"images": f"{about.n_images:,}"})
    say_outcome(bank, job, next_words=_explain_words(job))
    return bank


def _reading_left(seconds: float, _report: Progress) -> str:
    return f"about {duration(seconds)} to read the rest of the images; turning the channels comes after"


def open_job_model(job: Job) -> "SplitModel":
    """Load a job's model and say what it is."""
    model = open_model(job.model, weights=job.weights, layer=job.layer, device=job.device, class_names=job.class_names)
    notes.print(
        f"{model.name}: {model.n_classes} classes, {model.n_channels} channels, on {model.device}", markup=False
    )
    return model


def save_what_fits(fit: Callable[[Watcher], "Bank"], job: Job) -> "Bank":
    """Fit under progress bars and save the bank.

    Args:
        fit: given a watcher, makes the bank; it leaves its checkpoint at `checkpoint_of(job.out)`.
        job: what is fitted.

    Raises:
        Stopped: by Ctrl-C or SIGTERM, with a checkpoint left.
        StorageError: the bank could not be written to its place; the sentence says where it lies instead.
    """
    try:
        with progress_bar() as watch, warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # it is among the notes that are printed
            bank = fit(watch)
        _save(bank, job)
    except KeyboardInterrupt as stop:
        if checkpoint_of(job.out).exists():
            raise Stopped from stop
        raise
    return bank


def _save(bank: "Bank", job: Job) -> None:
    try:
        bank.save(job.out, overwrite=job.overwrite)
    except StorageError as error:
        raise _saved_elsewhere(bank, job, error) from error


def _saved_elsewhere(bank: "Bank", job: Job, error: StorageError) -> StorageError:
    """Save a bank that its place did not take among the temporary files, and return the sentence that says so."""
    said = str(error).partition(" Free space")[0]
    place = Path(tempfile.gettempdir()) / f"likethat-{uuid.uuid4().hex[:8]}" / job.out.name
    try:
        bank.save(place)
    except StorageError:
        return StorageError(
            f"{said} The temporary folder took it neither. Free space, and go on with the same words and --resume."
        )
    return StorageError(f"{said} The bank lies in {place} instead: free space and move it.")


def check_place(job: Job) -> None:
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


def say_measures(bank: "Bank", rows: Mapping[str, object]) -> None:
    """Print whose bank it is, and a table of what was measured while fitting."""
    about = bank.provenance
    say(f"{about.method} for {about.model}", style="bold")
    say_table({**rows, "time": duration(about.seconds)})


def say_outcome(bank: "Bank", job: Job, *, next_words: list[str]) -> None:
    """Print notes, what was left out, where the bank lies and what to type next."""
    from likethat.report.data import data_rows

    about = bank.provenance
    if about.data:
        say("the images", style="bold")
        say_table({name.lower(): value for name, value in data_rows(about.data)})
    for note in about.notes:
        say(f"note: {note}", style="yellow")
    for name, reason in about.skipped[:3]:
        say(f"skipped {name}: {reason}", style="yellow")
    if len(about.skipped) > 3:
        say(f"… and {len(about.skipped) - 3:,} more; likethat show lists them", style="yellow")
    say_path("bank", job.out)
    say(f"next: {shlex.join(next_words)}", style="green")


def _measures(measures: Mapping[str, float]) -> dict[str, object]:
    return {
        name.replace("_", " "): f"{value:.0f}" if name.endswith("channels") else f"{value:.3f}"
        for name, value in measures.items()
        if not name.endswith("seconds")
    }


def _explain_words(job: FitJob) -> list[str]:
    from likethat.models import is_own

    words = ["likethat", "explain", str(job.out), "PHOTO.jpg", "--out", "why.html"]
    words += ["--model", job.model] if is_own(job.model) else []
    words += ["--weights", job.weights] if job.weights else []
    return words + (["--layer", job.layer] if job.layer else [])
