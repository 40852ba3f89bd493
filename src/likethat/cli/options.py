"""Options that several commands share, and how their words become values."""

import re
from dataclasses import dataclass
from typing import Any

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
