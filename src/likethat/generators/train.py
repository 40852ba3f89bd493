"""One call to train a generator, whatever the inputs are."""

from collections.abc import Callable, Iterator, Set, ValuesView
from itertools import chain, islice
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from likethat._calls import known_options, public
from likethat._checkpoint import EVERY
from likethat._checks import check_choice
from likethat._options import check_callable, check_flag, check_number, check_path, shown
from likethat._progress import Watcher
from likethat._session import in_own_session
from likethat.errors import InputError
from likethat.generators.table.files import draw_table
from likethat.options import ImageTraining, TableTraining, TextTraining
from likethat.options.declaring import options_of
from likethat.sources.folder import picture_endings

_TOLD = {"image": ImageTraining, "table": TableTraining, "text": TextTraining}
"""What each training can be told, by the kind of its inputs."""


@public
@in_own_session(grad=True)
def train_generator(
    data: Any,
    *,
    kind: str | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: float = EVERY,
    resume: bool = False,
    watch: Watcher | None = None,
    **options: Any,
) -> Any:
    """Train a generator on your data.

    Args:
        data: for images, a folder, arrays, tensors in [0, 1] or a data set; for a table, a DataFrame without the
            labels, a CSV or Parquet file, or a sampler, a function from a seed to a DataFrame; for texts, a list, a
            column, an array or a stream of them, or a text file with one text a line.
        kind: "image", "table" or "text"; None goes by the data: a DataFrame, a CSV file and a function are tables, a
            list of texts and a text file are texts, all else is images. A Parquet file holds images or a table: of a
            table, say so.
        checkpoint: folder for unfinished work; it stays until the generator is saved.
        checkpoint_every: seconds until its first state, and between two; more where writing takes more than a
            tenth of the time.
        resume: go on from `checkpoint`.
        watch: called with a `Progress` as the work goes on.
        **options: those of `likethat.options.ImageTraining` (a VAE, or with ``algorithm="flow"`` a denoiser too),
            `TableTraining` or `TextTraining`; ``seed`` and ``latent_dim`` are options of all.

    Returns:
        A `LatentGenerator` with ``.save(folder)``; `likethat.load_generator` opens the folder.

    Raises:
        InputError: data that cannot be learned from, or a checkpoint of another training.
    """
    data = _listed(data)
    kind = _kind_of(data) if kind is None else check_choice(kind, name="kind", choices=tuple(_TOLD))
    told = _TOLD[kind]
    of = f"training {'an image' if kind == 'image' else f'a {kind}'} generator"
    known_options(options, [each.name for each in options_of(told)], of=of)
    if kind == "table" and callable(data):
        data = draw_table(data, seed=told(**options).seed)
    return _training(kind)(
        data,
        told(**options),
        checkpoint=None if checkpoint is None else check_path(checkpoint, name="checkpoint"),
        checkpoint_every=check_number(checkpoint_every, name="checkpoint_every"),
        resume=check_flag(resume, name="resume"),
        watch=check_callable(watch, name="watch", takes="a Progress"),
    )


def _listed(data: Any) -> Any:
    """Return texts that stand in a column, an array, a set or a stream as a list; all else as it is.

    Raises:
        InputError: what no generator can learn from, a model say.
    """
    if isinstance(data, type | ModuleType | nn.Module) or hasattr(data, "predict"):
        raise InputError(
            f"`data` must be images, a table, texts, or a function from a seed to a DataFrame, got {shown(data)}. A "
            "generator learns from inputs alone; no model is needed."
        )
    data = list(data) if isinstance(data, ValuesView) else data
    if isinstance(data, Iterator):
        first = list(islice(data, 1))
        data = chain(first, data)
        if not first or not isinstance(first[0], str):
            return data  # a stream of images is not read here
        data = list(data)
    is_column = hasattr(data, "tolist") and getattr(data, "ndim", 0) == 1
    is_row = isinstance(data, list | tuple)  # of pictures or their paths too, of any types
    if is_column or is_row or isinstance(data, Set):
        values = data.tolist() if is_column else list(data)
        if any(isinstance(value, str) and not (is_row and _names_a_picture(value)) for value in values):
            other = next((type(value).__name__ for value in values if not isinstance(value, str)), None)
            if other is not None:
                raise InputError(f"`data` must hold texts alone, got {other} among them. Leave out what has no text.")
            return sorted(values, key=str) if isinstance(data, set | frozenset) else values  # a set has no order
    if hasattr(data, "iloc") and not hasattr(data, "columns"):
        raise InputError(
            f"`data` must be a DataFrame where it is no column of texts, got {shown(data)}. Give data.to_frame()."
        )
    return data


def _kind_of(data: Any) -> str:
    """Return which kind of data it looks like; a list of pictures' paths is no list of texts."""
    if isinstance(data, str | Path):
        return {".csv": "table", ".tsv": "table", ".txt": "text"}.get(Path(data).suffix.lower(), "image")
    if isinstance(data, list | tuple) and data and all(isinstance(one, str) for one in data):
        return "image" if all(map(_names_a_picture, data)) else "text"
    is_sampler = callable(data) and not hasattr(data, "__getitem__") and not hasattr(data, "__iter__")
    return "table" if hasattr(data, "iloc") or is_sampler else "image"


def _names_a_picture(text: str) -> bool:
    return Path(text).suffix.lower() in picture_endings()


def _training(kind: str) -> Callable[..., Any]:
    if kind == "table":
        from likethat.generators.table.training import train_table

        return train_table
    if kind == "text":
        from likethat.generators.text.training import train_text

        return train_text
    from likethat.generators.image.training import train_image

    return train_image
