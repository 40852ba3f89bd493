"""What a caller may hand to FreeMCG: any model, one input of any kind."""

import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from likethat._checks import check_images
from likethat._class_names import resolve_target
from likethat._inputs import Inputs, kind_of, take
from likethat._options import check_names, shown
from likethat._queries import Asked
from likethat._responses import Measure, check_wanted, measure_of
from likethat.errors import InputError, TargetError
from likethat.explanations.explain import as_sample
from likethat.generators.base import Denoiser, LatentGenerator
from likethat.generators.reading import TABLES, read_input
from likethat.generators.text.edits import TextEdits
from likethat.generators.text.words import split_words
from likethat.sources._decode import decode

_LONGEST = 1024  # signs of a path: file systems take no more, and refuse to be asked
_PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".avif", ".heic"}
_ENDINGS = TABLES | _PICTURES | {".txt", ".jp2", ".dcm", ".svg", ".npy"}
"""Endings of tables, texts and pictures."""


def as_asked(model: Any, budget: int | None, target: Any = None) -> Asked:
    """Return a view of a black box with this budget; any other model is wrapped into one.

    Raises:
        InputError: no model.
    """
    from likethat.models import box_for

    return box_for(model, target).afresh(budget)


def wanted_of(target: Any, box: Asked, own: Float[Tensor, " cls"]) -> tuple[int | None, Measure | None]:
    """Return the class that a changed input shall be given to, or what reads the number off that shall change.

    Args:
        target: what a caller called one.
        box: the model.
        own: its answer to the source.

    Raises:
        TargetError: no such class, or the source is of it already.
        InputError: it says no class where there are several to choose from.
    """
    output = getattr(box, "output", "probabilities")
    if target is None and output == "labels":
        raise InputError(
            "`target` must be one label where they do not exclude each other, got None. Name it, or say "
            "likethat.Label(name, on=False) for one that shall go."
        )
    measure = measure_of(target, box.class_names, output=output, source=own)
    if measure is not None:
        check_wanted(measure, own)
        return None, measure
    wanted = None if target is None else resolve_target(target, box.class_names)
    if wanted == int(own.argmax()):
        raise TargetError(
            f"`target` must be another class than the source's, and the model gives it to {box.class_names[wanted]!r} "
            "already. Name another target, or None for any other."
        )
    return wanted, None


def explained_of(target: Any, box: Asked, own: Float[Tensor, " cls"]) -> tuple[int, Measure | None]:
    """Return the class that is explained, the predicted one by default, or what reads off the number that is.

    Raises:
        TargetError: no such class.
    """
    output = getattr(box, "output", "probabilities")
    target = int(own.argmax()) if target is None and output != "numbers" else target
    measure = measure_of(target, box.class_names, output=output, source=own)
    return (0, measure) if measure is not None else (resolve_target(target, box.class_names), None)


def explained_by(explained: int, measure: Measure | None) -> Callable[[Tensor], Tensor]:
    """Return what turns answers (n, cls) into the number whose change is shared out, (n,): log-odds of a class."""
    if measure is not None:
        return measure.explained
    return lambda answers: torch.logit(answers[:, explained].clamp(1e-4, 1 - 1e-4))


def exact_map(box: Asked) -> tuple[str, ...]:
    """Say how to have the exact map of a model whose weights are at hand, if there is one."""
    from likethat.models import SplitModel

    network = getattr(box, "network", None)
    if network is None or (isinstance(network, SplitModel) and not network.is_linear):
        return ()
    call = "model.heat_map" if isinstance(network, SplitModel) else "likethat.split(model).heat_map"
    unless = "" if isinstance(network, SplitModel) else ", if it can be split"
    return (
        f"The weights of this model are at hand: {call}(images, target) says in one pass what each cell of its feature "
        f"map adds to the logit{unless}; this map was estimated from its answers alone.",
    )


def opened(given: Any, *, name: str) -> Any:
    """Return what is said to be a file: a row or text read, a picture's path; all else as it is.

    Raises:
        InputError: a word that is meant as a file which is not there.
    """
    if isinstance(given, str) and (is_file(given) or _ends_as_file(given)):
        if not is_file(given):
            raise InputError(f"`{name}` must be a file that is there, or a text, got {given}, which does not exist.")
        given = Path(given)
    return read_input(given) if isinstance(given, Path) and given.suffix.lower() in (*TABLES, ".txt") else given


def is_file(text: str) -> bool:
    """Whether a text is the path of a file that is there."""
    return len(text) < _LONGEST and "\n" not in text and Path(text).is_file()


def _ends_as_file(text: str) -> bool:
    """Whether one word ends as files do, so that a misspelt path is not explained as a text."""
    return not any(sign.isspace() for sign in text) and Path(text).suffix.lower() in _ENDINGS


def one_input(source: Any, *, name: str = "source") -> Inputs:
    """Return one image, row or text as a batch of one.

    Raises:
        InputError: none of them, or several.
    """
    image = opened(getattr(source, "image", source), name=name)  # a sample of a source has one
    if isinstance(image, Path) or hasattr(image, "getbands"):
        image = as_sample(image).image
    if isinstance(image, np.ndarray) and image.dtype.kind == "U":
        image = [str(text) for text in image.ravel()]
    if isinstance(image, np.ndarray):
        image = torch.from_numpy(np.ascontiguousarray(image))
    if isinstance(image, str):
        return [image]
    if isinstance(image, Tensor):
        image = image[None] if image.ndim == 3 else image
        if image.ndim != 4 or 0 in image.shape[1:]:
            raise InputError(f"`{name}` must be (channel, height, width) with pixels, got shape {tuple(image.shape)}.")
        return check_images(image.detach(), name=name).float() if len(image) == 1 else _several(len(image), name)
    if hasattr(image, "to_frame") and not hasattr(image, "columns"):
        image = image.to_frame().T.infer_objects()
    if not isinstance(image, list) and not hasattr(image, "columns"):
        raise InputError(f"`{name}` must be one image, one row of a table or one text, got {type(image).__name__}.")
    kind = kind_of(image)
    if len(image) != 1:
        return _several(len(image), name)
    return image.copy() if kind == "table" else image


def _several(n: int, name: str) -> Any:
    raise InputError(f"`{name}` must be one input, got {n}. Call it once for each.")


def check_mask(mask: Any, size: tuple[int, int]) -> Bool[Tensor, "height width"] | None:
    """Return a mask as booleans.

    Raises:
        InputError: another shape, or nothing may change.
    """
    if mask is None:
        return None
    values = np.asarray(mask.detach().cpu() if isinstance(mask, Tensor) else mask)
    if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        raise InputError(f"`mask` must be true or false (or 1 and 0) for each pixel, got {shown(mask)}.")
    found = torch.from_numpy(np.ascontiguousarray(values))
    if tuple(found.shape) != size:
        raise InputError(f"`mask` must be (height, width) = {size}, got shape {tuple(found.shape)}.")
    found = found.bool()
    if not bool(found.any()):
        raise InputError("`mask` must be true where the image may change, and it is false everywhere.")
    return found


def read_mask(path: str | Path, size: tuple[int, int]) -> Bool[Tensor, "height width"]:
    """Return where a picture is white, at the size of the image.

    Raises:
        InputError: no such file, or it is white nowhere.
    """
    if not Path(path).is_file():
        raise InputError(f"`mask` must be a picture, got {path}, which does not exist.")
    grey = decode(path).mean(dim=0)
    if tuple(grey.shape) != size:
        grey = torch.nn.functional.interpolate(grey[None, None], size=size, mode="area")[0, 0]
    if not bool((grey > 0.5).any()):
        raise InputError(f"`mask` must be white where the image may change, and {path} is white nowhere.")
    return grey > 0.5


def kept_places(text: str, phrases: Sequence[str]) -> frozenset[int]:
    """Return the places of a text's words that stay, wherever one of the phrases stands; case and signs do not count.

    Raises:
        InputError: a phrase that does not stand in the text.
    """
    if isinstance(phrases, str):
        raise InputError(f"`immutable` must be a list of words or phrases, got {shown(phrases)}. Put it into brackets.")
    keys = _plain_keys(text)
    found: set[int] = set()
    for phrase in check_names(phrases, name="immutable"):
        wanted = [key for _, key in _plain_keys(phrase)]
        starts = [at for at in range(len(keys)) if [key for _, key in keys[at : at + len(wanted)]] == wanted]
        if not wanted or not starts:
            raise InputError(
                f"`immutable` must name words of the text, got {shown(phrase)}, which does not stand in it."
            )
        found |= {place for at in starts for place, _ in keys[at : at + len(wanted)]}
    return frozenset(found)


def _plain_keys(text: str) -> list[tuple[int, str]]:
    """Return the words of a text, signs left out, each with its place, an accent being one letter with its letter."""
    words = split_words(text)
    pairs = zip(words.keys, words.is_word, strict=True)
    return [(place, unicodedata.normalize("NFC", key)) for place, (key, is_word) in enumerate(pairs) if is_word]


def check_words(source: Inputs) -> str:
    """Return one text, which must hold a word.

    Raises:
        InputError: it holds none.
    """
    text = str(take(source, [0])[0])
    if not any(split_words(text).is_word):
        raise InputError(f"`source` must be a text with at least one word, got {shown(text)}.")
    return text


def check_fits(generator: Any, source: Inputs) -> None:
    """Raise `InputError` unless the generator makes what the source is."""
    kind = "image" if isinstance(generator, Denoiser) else getattr(generator, "kind", None)
    if not isinstance(generator, Denoiser | LatentGenerator | TextEdits):
        raise InputError(
            f"`generator` must have denoise, or make inputs from latents, got {type(generator).__name__}. Without a "
            "generator, attribute(..., algorithm='patches') explains an image."
        )
    if kind != kind_of(source):
        raise InputError(f"`source` must be of the generator's kind, which is {kind}, got a {kind_of(source)}.")
    shape = getattr(generator, "shape", None)
    if isinstance(source, Tensor) and shape is not None and tuple(source.shape[1:]) != tuple(shape):
        raise InputError(
            f"`source` must be (channel, height, width) = {tuple(shape)} as the generator makes images, got "
            f"{tuple(source.shape[1:])}. Resize the image first."
        )


def name_of(thing: Any) -> str:
    """Return a printable name."""
    if thing is None:
        return "none"
    name = getattr(thing, "name", "")
    return name if isinstance(name, str) and name else type(thing).__name__
