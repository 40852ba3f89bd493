"""One call to train a generator, whatever the inputs are."""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from likethat._calls import known_options, public
from likethat._checks import check_choice, check_device, check_seed
from likethat._options import check_callable, check_flag, check_path
from likethat._session import in_own_session

__all__ = ["train_generator"]

KINDS = ("image", "table", "text")


@public
@in_own_session(grad=True)
def train_generator(data: Any, *, kind: str = "image", method: str = "vae", **options: Any) -> Any:
    """Train a generator on your data.

    Args:
        data: for images, a folder, arrays, tensors in [0, 1] or a data set; for a table, a DataFrame or a CSV or
            Parquet file; for texts, a list or a text file with one text a line.
        kind: "image", "table" or "text".
        method: for images, "vae" (one pass from a short latent) or "flow" (a denoiser too; crisper, slower).
        **options: of the training: ``seed``, ``checkpoint`` (a folder for unfinished work, which stays until the
            generator is saved), ``resume``, ``watch``, ``latent_dim``; for images also ``size``, ``mirror`` and
            ``device``. See `train_image_vae`, `train_flow`, `train_table`, `train_text`.

    Returns:
        A `LatentGenerator` with ``.save(folder)``; `likethat.load_generator` opens the folder.

    Raises:
        InputError: data that cannot be learned from, or a checkpoint of another training.
    """
    check_choice(kind, name="kind", choices=KINDS)
    check_choice(method, name="method", choices=("vae", "flow") if kind == "image" else ("vae",))
    train = _training(kind, method)
    known = [name for name in inspect.signature(train).parameters if name != "data"]
    known_options(options, known, of=f"training {'an image' if kind == 'image' else f'a {kind}'} generator")
    for name, check in _CHECKS.items():
        if name in options:
            options[name] = check(options[name])
    return train(data, **options)


def _training(kind: str, method: str) -> Callable[..., Any]:
    if kind == "table":
        from likethat.generators.table.training import train_table

        return train_table
    if kind == "text":
        from likethat.generators.text.training import train_text

        return train_text
    from likethat.generators.image.training import train_flow, train_image_vae

    return train_flow if method == "flow" else train_image_vae


def _place(value: Any) -> Path | None:
    return None if value is None else check_path(value, name="checkpoint")


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "seed": check_seed,
    "checkpoint": _place,
    "resume": partial(check_flag, name="resume"),
    "watch": partial(check_callable, name="watch", takes="a Progress"),
    "mirror": partial(check_flag, name="mirror"),
    "device": check_device,
}
"""Options that all trainings share."""
