"""Options that several commands share, and how their words become values."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from likethat.cli.opening import open_model
from likethat.errors import InputError
from likethat.options.declaring import Declared, option

MODEL_PANEL, WORK_PANEL = "The model", "The work"
WORKERS_HELP = "threads that decode, or ray, ray:2, ray://host:port: processes, machines; no influence on the result"
SPLIT_HELP = "of many inputs (--out FOLDER): ray, ray:2, ray://host:port; no influence on the result"
CHECKPOINT_HELP = "seconds between two pieces of the checkpoint; more where writing takes more than a tenth of the time"
CLASS_NAMES_HELP = "class names, one a line; the model's own by default"
DEVICE_HELP = "where it runs: cpu, cuda, cuda:1, mps; auto takes a GPU where there is one"

OVERWRITE_HELP = "replace what stands at OUT"


@dataclass(frozen=True, kw_only=True, eq=False)
class OfModel(Declared, panel=MODEL_PANEL):
    """How a model is read."""

    weights: str | None = option(
        None,
        "your own file (.safetensors, or a saved state dictionary), a set's name, or random; trained by default",
        metavar="NAME|FILE",
    )
    layer: str | None = option(
        None,
        "read the feature map from this module instead; finer for a map of smaller cells, at its cost",
        metavar="NAME",
        panel=MODEL_PANEL,
    )
    device: str = option("auto", DEVICE_HELP, metavar="NAME")


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared(Declared, panel=MODEL_PANEL):
    """What images are prepared with for a network, where that is other than its configuration says."""

    mean: str | None = option(
        None, "taken from a pixel in [0, 1], one number or one a channel; a network's own where it has one",
        metavar="R,G,B", panel=MODEL_PANEL,
    )  # fmt: skip
    std: str | None = option(None, "what the difference is divided by, as --mean", metavar="R,G,B", panel=MODEL_PANEL)
    input_size: str | None = option(
        None, "pixels that the network takes, 224 or HEIGHTxWIDTH; as for --mean", metavar="SIZE", panel=MODEL_PANEL
    )

    def preprocess(self) -> dict[str, Any] | None:
        """Return what is said, as arguments of `likethat.Preprocess`; None where nothing is.

        Raises:
            InputError: no numbers.

        Example:
            >>> Prepared(mean="0.5", std=".2,.2,.3", input_size="32x48").preprocess()
            {'mean': (0.5,), 'std': (0.2, 0.2, 0.3), 'size': (32, 48)}
        """
        said: dict[str, Any] = {}
        for name, text in (("mean", self.mean), ("std", self.std)):
            if text is not None:
                said[name] = _numbers_in(text, name=f"--{name}", apart=",", of=float, such_as="0.485,0.456,0.406")
        if self.input_size is not None:
            sides = _numbers_in(self.input_size, name="--input-size", apart="x", of=int, such_as="224 or 224x320")
            said["size"] = sides * 2 if len(sides) == 1 else sides
        return said or None

    def check_no_network(self, what: str) -> None:
        """Refuse what only a network has a use for."""
        if self.preprocess() is not None:
            raise InputError(f"`--mean`, `--std` and `--input-size` must be left out with {what}.")


def _numbers_in(text: str, *, name: str, apart: str, of: type, such_as: str) -> tuple[Any, ...]:
    try:
        return tuple(of(part) for part in text.split(apart))
    except ValueError:
        raise InputError(f"`{name}` must be numbers such as {such_as}, got {text!r}.") from None


@dataclass(frozen=True, kw_only=True, eq=False)
class OfNetwork(OfModel, Prepared, panel=MODEL_PANEL):
    """How a network is read, and what its images are prepared with."""

    def opened(self, name: str, class_names: Path | None = None) -> Any:
        """Return the network of a name, split."""
        return open_model(
            name,
            weights=self.weights,
            layer=self.layer,
            device=self.device,
            class_names=class_names,
            preprocess=self.preprocess(),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class OfBank(OfModel, panel=MODEL_PANEL):
    """How the model of a saved bank is read."""

    model: str | None = option(
        None, "the bank remembers it; give it if that fails", flags=("--model", "-m"), metavar="NAME"
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading(Declared, panel=WORK_PANEL):
    """How images are read, and whether what stands at OUT goes."""

    batch_size: int = option(32, "images decoded at a time; no influence on the result", low=1)
    workers: str = option("0", WORKERS_HELP, metavar="N")
    overwrite: bool = option(False, OVERWRITE_HELP)

    def of_images(self) -> dict[str, Any]:
        """Return how the library is told of it."""
        return {"batch_size": self.batch_size, "workers": workers_of(self.workers)}


def workers_of(words: str) -> Any:
    """Return the threads, or the cluster, that ``--workers`` names."""
    from likethat._workers import as_workers  # late: it brings torch

    return as_workers(words, name="--workers")


def class_index_or_name(text: str | None, class_names: tuple[str, ...]) -> int | str | None:
    """Return a class name where one is meant, else the index that a number gives.

    ``name:7`` and ``index:7`` leave no doubt.

    Raises:
        TargetError: a number that is one class's name and another's index.

    Example:
        >>> class_index_or_name("7", ("cat", "dog")), class_index_or_name("7", ("6", "7"))
        (7, '7')
        >>> class_index_or_name("name:1", ("1", "2")), class_index_or_name("index:1", ("1", "2"))
        ('1', '2')
    """
    kind, _, word = (text or "").partition(":")
    if text is not None and text not in class_names and kind in ("name", "index") and word:
        is_known = kind == "index" and word.isdecimal() and int(word) < len(class_names)
        return class_names[int(word)] if is_known else int(word) if kind == "index" and word.isdecimal() else word
    if text is None or not re.fullmatch(r"-?\d+", text):
        return text
    if not 0 <= int(text) < len(class_names):
        return text if text in class_names else int(text)
    from likethat._class_names import resolve_target

    index = resolve_target(int(text), class_names)
    return text if text in class_names else index
