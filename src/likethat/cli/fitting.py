"""What every ``likethat fit`` does around its method: checkpoint, progress, estimate, summary, next command."""

import shlex
import tempfile
import uuid
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likethat._options import byte_count
from likethat._progress import Progress
from likethat.cli.console import duration, give, notes, say, say_path, say_table
from likethat.cli.opening import open_images
from likethat.cli.options import (
    CHECKPOINT_HELP,
    CLASS_NAMES_HELP,
    MODEL_PANEL,
    WORK_PANEL,
    WORKERS_HELP,
    OfNetwork,
    workers_of,
)
from likethat.cli.places import check_folder, checkpoint_of, left_behind, may_replace
from likethat.cli.progress import Estimate, progress_bar
from likethat.errors import DataWarning, StorageError
from likethat.options.declaring import given, option

if TYPE_CHECKING:
    from likethat.explanations import Bank
    from likethat.models import SplitModel

_MARK = "manifest.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class Job(OfNetwork, panel=WORK_PANEL):
    """What a fit works on, and where the bank goes; the options every method shares."""

    model: str = given(
        "what is explained: torchvision:NAME, timm:NAME, hf:ORG/NAME, zoo:creatures, or your own my_module.py:build",
        flags=("--model", "-m"), metavar="NAME", panel=MODEL_PANEL,
    )  # fmt: skip
    out: Path = given("the bank; its checkpoint lies beside it meanwhile", flags=("--out", "-o"), metavar="FOLDER")
    class_names: Path | None = option(None, CLASS_NAMES_HELP, metavar="FILE", panel=MODEL_PANEL)
    memory_budget: str = option("2GB", "memory for feature maps, e.g. 500MB or 2GB", metavar="SIZE")
    resume: bool = option(False, "go on from where it was stopped")
    checkpoint_every: float = option(5.0, CHECKPOINT_HELP, metavar="SECONDS")
    workers: str = option("0", WORKERS_HELP, metavar="N")
    overwrite: bool = option(False, "replace an earlier bank at OUT")

    def check_together(self) -> None:
        """Refuse what is no size, and what names no workers."""
        byte_count(self.memory_budget, name="--memory-budget")
        workers_of(self.workers)


@dataclass(frozen=True, kw_only=True, eq=False)
class FitJob(Job, panel=WORK_PANEL):
    """A fit on images."""

    images: str = given(
        "a folder (subfolders become labels), or zoo:creatures, zoo:digits",
        flags=("--images", "-i"), metavar="DIR", panel="The images",
    )  # fmt: skip
    batch_size: int = option(32, "images decoded at a time; no influence on the result", low=1)


def fit_and_save(method: Any, job: FitJob) -> None:
    """Fit on images, save, and say what was found and what to type next.

    Args:
        method: an explainer whose fit can be interrupted and resumed.
        job: what it is fitted to, and where the bank goes.

    Raises:
        InputError: the place for the bank is taken, or the options do not fit.
        Stopped: by Ctrl-C or SIGTERM, with a checkpoint left.
    """
    check_place(job)
    source = open_images(job.images)
    model = open_job_model(job)
    notes.print(f"{len(source):,} images in {job.images}", markup=False, soft_wrap=True)
    reading = {"batch_size": job.batch_size, "workers": workers_of(job.workers)}
    estimate = Estimate(stage="reading images", after=1.0, sentence=_reading_left)
    bank = save_what_fits(partial(method.fit, model, source, **reading), job, estimate)
    say_measures(bank, _measures(bank.provenance.measures) | {"images": f"{bank.provenance.n_images:,}"})
    say_outcome(bank, job, next_what="explain a photo of yours with it", next_words=_explain_words(job))


def _measures(measures: Mapping[str, float]) -> dict[str, object]:
    from likethat.report.views import measure_rows

    return dict(measure_rows({name: value for name, value in measures.items() if not name.endswith("seconds")}))


def _reading_left(seconds: float, _report: Progress) -> str:
    return f"about {duration(seconds)} to read the rest of the images; turning the channels comes after"


def open_job_model(job: Job) -> "SplitModel":
    """Load a job's model and say what it is."""
    model = job.opened(job.model, job.class_names)
    notes.print(
        f"{model.name}: {model.n_classes} classes, {model.n_channels} channels, on {model.device}", markup=False
    )
    return model


def save_what_fits(fit: Callable[..., "Bank"], job: Job, estimate: Estimate) -> "Bank":
    """Fit under progress bars and save the bank.

    Args:
        fit: makes the bank, given memory, checkpoint and a watcher.
        job: what is fitted.
        estimate: of a stage of the fit.

    Raises:
        Stopped: by Ctrl-C or SIGTERM, with a checkpoint left.
        StorageError: the bank could not be written to its place; the sentence says where it lies instead.
    """
    work: dict[str, Any] = {"memory_budget": job.memory_budget, "resume": job.resume}
    work |= {"checkpoint": checkpoint_of(job.out), "checkpoint_every": job.checkpoint_every}
    with left_behind(job.out):
        with progress_bar(estimate) as watch, warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # it is among the notes that are printed
            bank = fit(**work, watch=watch)
        replaces = may_replace(job.out, _MARK, resume=job.resume, overwrite=job.overwrite)
        try:
            bank.save(job.out, overwrite=replaces)
        except StorageError as error:
            raise _saved_elsewhere(bank, job, error) from error
    return bank


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
    check_folder(job.out, mark=_MARK, work="fit", resume=job.resume, overwrite=job.overwrite)


def say_measures(bank: "Bank", rows: Mapping[str, object]) -> None:
    """Print whose bank it is, and a table of what was measured while fitting."""
    about = bank.provenance
    say(f"{about.method} for {about.model}", style="bold")
    say_table({**rows, "time": duration(about.seconds)})


def say_outcome(bank: "Bank", job: Job, *, next_what: str, next_words: list[str]) -> None:
    """Print notes, what was left out, where the bank lies and what to type next."""
    from likethat.report.data import data_rows

    about = bank.provenance
    if about.data:
        say("the images", style="bold")
        say_table({name.lower(): value for name, value in data_rows(about.data)})
    if about.warning:
        say(f"warning: {about.warning}", style="yellow")
    for note in about.notes:
        if note not in about.warning:
            say(f"note: {note}", style="yellow")
    for name, reason in about.skipped[:3]:
        say(f"skipped {name}: {reason}", style="yellow")
    if len(about.skipped) > 3:
        say(f"… and {len(about.skipped) - 3:,} more; likethat show lists them", style="yellow")
    give(bank)
    say_path("bank", job.out)
    say(f"{next_what}: {shlex.join(next_words)}", style="green")


def _explain_words(job: FitJob) -> list[str]:
    from likethat.models import is_own

    words = ["likethat", "explain", str(job.out), "PHOTO.jpg", "--out", "why.html"]
    words += ["--model", job.model] if is_own(job.model) else []
    words += ["--weights", job.weights] if job.weights else []
    return words + (["--layer", job.layer] if job.layer else [])
