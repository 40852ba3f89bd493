"""What the commands share that ask a black box: the box, one input, where the page goes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from likethat.cli._generating import open_generator
from likethat.cli.console import duration, give, notes, say, say_path
from likethat.cli.group import Stopped
from likethat.cli.opening import open_images, open_model, read_names
from likethat.cli.options import (
    CLASS_NAMES_HELP,
    DEVICE_HELP,
    MODEL_PANEL,
    OVERWRITE_HELP,
    SPLIT_HELP,
    WORK_PANEL,
    Prepared,
)
from likethat.cli.places import is_folder
from likethat.cli.progress import Estimate, progress_bar
from likethat.cli.targets import Answers, output_for, read_target
from likethat.errors import InputError
from likethat.options.declaring import Declared, given, option

INPUT_HELP = "an image, a row of a CSV (file.csv:3), a .txt, or zoo:digits:7; of many a folder, a CSV or a .txt"
OUT_HELP = "the page, or a folder for many inputs, each with a page"
TARGET_FLAGS = ("--target", "-t")
_SPOKEN = (
    "cache", "batch_size", "output_name", "token_env", "ca", "certificate", "certificate_key",
    "certificate_password_env", "timeout",
)  # fmt: skip
"""Options of the black box that are called the same here."""
_SERVICE_PANEL = "A model on a server"
_FAILURES = 5  # in a terminal; the page has all
_MODEL_PREFIXES = ("zoo:", "torchvision:", "timm:", "hf:")  # what `likethat.load` opens, with its weights


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked(Prepared, panel=MODEL_PANEL):
    """The model that is asked."""

    black_box: str = given(
        "zoo:NAME, timm:NAME, ..., my.py:build, an .onnx, a URL",
        flags=("--black-box", "-m"), metavar="NAME|FILE|URL",
    )  # fmt: skip
    class_names: Path | None = option(None, CLASS_NAMES_HELP, metavar="FILE")
    answers: Answers = option("auto", "what it answers with; auto goes by --target and the first answer")
    cache: Path | None = option(None, "keep answers here for later runs", metavar="FILE")
    device: str = option("auto", DEVICE_HELP, metavar="NAME")
    output_name: str | None = option(
        None, "which of several outputs holds the probabilities, also of an .onnx file", metavar="NAME",
        panel=_SERVICE_PANEL,
    )  # fmt: skip
    token_env: str | None = option(
        None, "environment variable with a service's credential", metavar="VARIABLE", panel=_SERVICE_PANEL
    )
    header: list[str] | None = option(
        None, "'Name: value' to send, where ${VARIABLE} is read from the environment, or @FILE with one a line; may be "
        "repeated", metavar="HEADER", panel=_SERVICE_PANEL,
    )  # fmt: skip
    ca: Path | None = option(None, "certificates to trust beside the system's", metavar="FILE", panel=_SERVICE_PANEL)
    certificate: Path | None = option(
        None, "certificate that the service wants to see (PEM)", metavar="FILE", panel=_SERVICE_PANEL
    )
    certificate_key: Path | None = option(None, "its key, where that lies apart", metavar="FILE", panel=_SERVICE_PANEL)
    certificate_password_env: str | None = option(
        None, "environment variable with the key's password", metavar="VARIABLE", panel=_SERVICE_PANEL
    )
    timeout: float | None = option(
        None, "seconds for one request to a service (30)", with_low=False, metavar="SECONDS", panel=_SERVICE_PANEL
    )
    batch_size: int | None = option(
        None, "inputs sent at once; what the model takes at most is learned from it", low=1, metavar="N",
        panel=_SERVICE_PANEL,
    )  # fmt: skip

    def stop(self) -> KeyboardInterrupt:
        """Return how a stopped search ends the command: with answers that were kept the same words go on."""
        return KeyboardInterrupt() if self.cache is None else Stopped(again=())

    def open(self, *targets: str) -> tuple[Any, int | None]:
        """Return the black box, and how many channels its images have, if known.

        Args:
            *targets: what is asked for; a line is asked of numbers, `not smiling` of independent labels.
        """
        from likethat.models import BlackBox

        own = {name: getattr(self, name) for name in _SPOKEN} | {"headers": self.header}
        options: dict[str, Any] = {name: value for name, value in own.items() if value is not None}
        if has_weights(self.black_box):
            model = open_model(
                self.black_box, class_names=self.class_names, device=self.device, preprocess=self.preprocess()
            )
            return self.asked_of(model, *targets, **options), model.in_channels
        self.check_no_network("a model that answers alone, which prepares its inputs itself")
        names = None if self.class_names is None else read_names(self.class_names)
        output = self._output(targets, names or ())
        return BlackBox(self.black_box, class_names=names, output=output, **options), None

    def asked_of(self, model: Any, *targets: str, **options: Any) -> Any:
        """Return a network as a black box; a line is asked of the probabilities of its classes, if it has several."""
        from likethat.models import BlackBox

        output = self._output(targets, model.class_names)
        if self.answers == "auto" and output == "numbers" and len(model.class_names) > 1:
            output = "auto"
        return BlackBox(model, output=output, **options)

    def _output(self, targets: tuple[str, ...], names: Sequence[str]) -> Answers:
        if self.answers != "auto":
            return self.answers
        wanted = output_for(targets, names)
        return "numbers" if wanted == "auto" and len(names) == 1 else wanted  # one name is no choice of classes


def has_weights(name: str) -> bool:
    """Whether a model's name leads to its weights: a known set, or a file of code."""
    from likethat.models import is_own

    return name.startswith(_MODEL_PREFIXES) or is_own(name)


def asking_takes(stage: str = "asking the model") -> Estimate:
    """Return what is said of how long a search will take."""
    return Estimate(stage=stage, sentence=lambda seconds, _: f"at most about {duration(seconds)} at this pace")


@dataclass(frozen=True, kw_only=True, eq=False)
class Searched(Declared):
    """An input that a model is asked about, or many."""

    source: str = given(INPUT_HELP, flags=("--input", "-i"), metavar="FILE[:ROW]")
    overwrite: bool = option(False, OVERWRITE_HELP, panel=WORK_PANEL)
    workers: str = option("0", SPLIT_HELP, metavar="WORKERS", panel=WORK_PANEL)


def search(method_of: Callable[[Any], Any], told: Any, asked: Asked, **limits: Any) -> Any:
    """Search for one input and return what is found; of many inputs, leave it in a folder and return nothing.

    Args:
        method_of: the method of a generator, which may be None.
        told: a `Searched` with a generator, a target and OUT.
        asked: the model.
        **limits: of the method.
    """
    is_many = is_folder(told.out, overwrite=told.overwrite, workers=told.workers)
    made = None if told.generator is None else open_generator(told.generator)
    box, channels = asked.open(*filter(None, [told.target]))
    target = read_target(told.target, box.class_names, output=box.output)
    method = method_of(made)
    if is_many:
        into_folder(box, open_inputs(told.source), target, out=told.out, workers=told.workers, method=method, **limits)
        return None
    one = open_input(told.source, shape=getattr(made, "shape", None), channels=channels)
    with progress_bar(asking_takes()) as watch:
        return method(box, one, target, watch=watch, **limits)


def conclude(found: Any, page: Path, asked: Asked, *, overwrite: bool) -> None:
    """Give a result out, with its advice and its page.

    Raises:
        KeyboardInterrupt: the search was stopped.
    """
    give(found)
    if found.status.advice:
        notes.print(found.status.advice, soft_wrap=True, markup=False)
    say_path("page", found.save(page, overwrite=overwrite))
    if found.status.is_interrupted:
        raise asked.stop()


def open_input(name: str, *, shape: tuple[int, ...] | None = None, channels: int | None = None) -> Any:
    """Return one image, one row of a table or one text.

    Args:
        name: a file; ``:ROW`` behind a table, or behind one of the image sets that come with the library.
        shape: (channel, height, width) to bring an image file to; its own when None.
        channels: without a shape: 1 makes a colour image grey, 3 a grey one colour.

    Raises:
        InputError: no such file or row, or a file that is none of the three.
    """
    if name.startswith("zoo:"):
        _, _, rest = name.partition(":")
        known, _, row = rest.partition(":")
        images = open_images(f"zoo:{known}", held_out=True)
        if not (row or "0").isdecimal() or int(row or "0") >= len(images):
            raise InputError(f"`--input` must name a row from 0 to {len(images) - 1}, got {row!r}.")
        return images[int(row or "0")].image
    from likethat.generators.reading import TABLES, read_input  # late: it brings torch

    stem, _, row = name.rpartition(":")
    is_row = Path(stem).suffix.lower() in TABLES
    try:
        return read_input(stem if is_row else name, row=_number(row) if is_row else 0, shape=shape, channels=channels)
    except InputError as error:
        raise type(error)(str(error).replace("`path`", "`--input`").replace("`row`", "the row of `--input`")) from error


def open_inputs(name: str) -> Any:
    """Return many inputs, each of which is explained: a path of them, or an image set that comes with the library.

    Raises:
        InputError: one input, or nothing.
    """
    if name.startswith("zoo:") and name.count(":") == 1:
        return open_images(name, held_out=True)
    if not Path(name).exists():
        raise InputError(
            f"`--input` must be a folder, a table or a .txt where --out is a folder of many results, got {name}. For "
            "one input give --out a name that ends in .html."
        )
    return Path(name)


def _number(row: str) -> int:
    if not row.isdecimal():
        raise InputError(f"`--input` must name a row by its number, got {row!r}.")
    return int(row)


def into_folder(model: Any, inputs: Any, target: Any, *, out: Path, workers: str, **call: Any) -> None:
    """Explain many inputs into a folder, and say how it went.

    Args:
        model: as `likethat.explain_all` takes it; `inputs`, `target` and `call` too.
        inputs: a path, or several.
        target: what is explained or wanted.
        out: the folder.
        workers: as ``--workers`` names them.
        **call: the rest.

    Raises:
        InputError: no such inputs, or the folder holds something else.
        Stopped: by Ctrl-C or SIGTERM; the same words go on.
    """
    from likethat._workers import as_cluster  # late: it brings torch
    from likethat.explainers import explain_all
    from likethat.sources import ImageFolder

    inputs = ImageFolder(inputs) if isinstance(inputs, Path) and inputs.is_dir() else inputs
    cluster = as_cluster(workers, name="--workers")
    estimate = Estimate(stage="explaining", sentence=lambda seconds, _: f"about {duration(seconds)} for the others")
    with progress_bar(estimate) as watch:
        found = explain_all(model, inputs, target, into=out, workers=cluster, watch=watch, **call)
    give(found)
    left_out = [(one.name, one.reason) for one in getattr(inputs, "left_out", ())]
    failures = [*found.failures.items(), *left_out]
    done = sum(bool(row.kind) for row in found.rows)
    asked = getattr(model, "queries", 0)  # of all searches: what several of them ask is asked once
    say(f"{done:,} of {len(found):,} inputs explained{f', {asked:,} queries in all' if asked else ''}", style="bold")
    for which, why in failures[:_FAILURES]:
        say(f"{which}: {why}", style="yellow")
    if len(failures) > _FAILURES:
        notes.print(f"… and {len(failures) - _FAILURES:,} more that were not", soft_wrap=True)
    say_path("page", out / "index.html")
    if found.is_interrupted:
        raise Stopped(again=())
