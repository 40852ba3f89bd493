"""`explain_all`: many inputs in one call, whose questions to a model are answered together."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor, nn

from likethat._calls import public
from likethat._checks import check_count
from likethat._inputs import digests
from likethat._options import check_callable, check_path
from likethat._progress import Stage, Watcher
from likethat._responses import Wanted
from likethat._session import in_own_session
from likethat.errors import InputError, LikethatError, NotLinearError
from likethat.explainers.choosing import MADE, explain
from likethat.explainers.parts.method import PartPrototypes
from likethat.explanations.bank import Bank
from likethat.explanations.many import Growing, Many, row_of
from likethat.explanations.result import Result
from likethat.generators import Denoiser, Generated, TextEdits, train_generator
from likethat.generators.reading import TABLES
from likethat.generators.table.files import read_table
from likethat.generators.text.files import read_texts
from likethat.models import BlackBox, SplitModel
from likethat.models.black_box.box import box_for
from likethat.models.black_box.together import together
from likethat.sources import as_source
from likethat.sources.signature import signature_of

__all__ = ["explain_all"]

_Ended: TypeAlias = tuple[int, Result | Exception]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Inputs:
    """What is explained, one after the other.

    Attributes:
        names: of all.
        one: gives the input at a place, as `explain` takes it.
        kind: "image", "table" or "text".
        mark: a digest that the same inputs have again.
    """

    names: Sequence[str]
    one: Callable[[int], Any]
    kind: str
    mark: str


@dataclass(frozen=True, kw_only=True, eq=False)
class _Asked:
    """What a caller gave."""

    model: Any
    given: _Inputs
    target: Any
    data: Any
    generator: Any
    options: dict[str, Any]
    at_once: int


@public
@in_own_session
def explain_all(
    model: Any,
    inputs: Any,
    target: int | str | Wanted | None = None,
    *,
    into: str | Path | None = None,
    data: Any = None,
    generator: Any = None,
    budget: int = 200,
    seed: int = 0,
    top: int = 4,
    at_once: int = 32,
    watch: Watcher | None = None,
) -> Many:
    """Explain many inputs as `explain` does one, each with what it would have alone.

    A bank is fitted, or a generator trained, once. Where a model is asked, the searches of `at_once` inputs are under
    way together, and one call of the model answers what all of them ask next; its budget (`BlackBox(budget=...)`) and
    its rate limit are those of all together.

    Args:
        model: what `explain` takes, or a `Bank` with its model.
        inputs: images in any form that fits take (a folder, arrays, paths, a data set), a table, or a list of texts;
            or the path of a table, or of a .txt with one text a line.
        target: as `explain` takes it, for all inputs.
        into: a folder that results are written to as they come, with a page each, an index (index.html) and a table;
            the same call goes on where it was stopped. None keeps them in memory.
        data: see `explain`.
        generator: see `explain`.
        budget: queries an input, at most, where the model is asked.
        seed: of all chance.
        top: rows shown where inputs are explained by parts or channels.
        at_once: searches under way at the same time; no influence on results.
        watch: called with a `Progress` as inputs are finished.

    Returns:
        Results in the order of the inputs. What cannot be explained is in `failures`, and stops no other.

    Raises:
        InputError: no inputs, what is wrong with every one of them (a class that the model does not have), or `into`
            holds something else: results of another call too.
        StorageError: `into` cannot be written.

    Example:
        >>> import likethat as lt
        >>> lt.explain_all(lt.load("zoo:digits"), [lt.digits()[place].image for place in (0, 1)], budget=40)
        <Many: 2 of 2 inputs explained>
    """
    check_callable(watch, name="watch", takes="a Progress")
    budget, top = check_count(budget, name="budget"), check_count(top, name="top")
    at_once = check_count(at_once, name="at_once")
    given = _read(inputs)
    growing = None
    if into is not None:
        about = _about(model, target, data, generator)
        key = {"inputs": given.mark, "budget": budget, "seed": seed, "top": top, **about}
        growing = Growing(check_path(into, name="into"), names=given.names, key=key)
    done = growing.done if growing is not None else []
    left = sorted({*range(len(given.names))} - {*done})
    options: dict[str, Any] = {"budget": budget, "seed": seed, "top": top}
    asked = _Asked(
        model=model, given=given, target=target, data=data, generator=generator, options=options, at_once=at_once
    )
    found: dict[int, Result | str] = {}
    stage, is_interrupted = Stage("explaining", watch, total=len(given.names), done=len(done)), False
    try:
        for place, result in _explained(asked, left):
            if isinstance(result, KeyboardInterrupt) or _was_stopped(result):
                continue  # begun again it is whole
            found[place] = _told(result)
            if growing is not None:
                growing.put(place, found.pop(place))
            stage.add(1)
    except KeyboardInterrupt:
        is_interrupted = True
    _refuse_what_fits_none(found if growing is None else growing.failures, given, done)
    if growing is not None:
        return growing.close(is_interrupted=is_interrupted)
    results = [one if isinstance(one := found.get(place), Result) else None for place in range(len(given.names))]
    rows = [
        row_of(name, results[place], str(found[place]) if isinstance(found.get(place), str) else "")
        for place, name in enumerate(given.names)
    ]
    return Many(rows=tuple(rows), results=results, is_interrupted=is_interrupted)


def _explained(asked: "_Asked", left: Sequence[int]) -> Iterator[_Ended]:
    """Yield places with their results, or with what went wrong, as they come."""
    if not left:
        return
    given, options = asked.given, asked.options
    bank = asked.model if isinstance(asked.model, Bank) else _bank(asked)
    if bank is not None:
        for place in left:
            yield place, _tried(lambda at: bank.explain(given.one(at), asked.target, top=options["top"]), place)
        return
    made = asked.generator
    if made is None and asked.data is not None and given.kind != "image":
        made = _made_of(asked.data, given.kind, options["seed"])

    def search(view: BlackBox, place: int) -> Result:
        return explain(view, given.one(left[place]), asked.target, generator=made, **options)

    for place, result in together(box_for(asked.model, asked.target), len(left), search, at_once=asked.at_once):
        yield left[place], result


def _bank(asked: "_Asked") -> Bank | None:
    """Return the bank that images are explained with, where the weights and images to fit it to are at hand."""
    made, data, seed = asked.generator, asked.data, asked.options["seed"]
    has_weights = isinstance(asked.model, SplitModel | nn.Module) and not isinstance(asked.target, Wanted)
    has_images = data is not None or (made is not None and not isinstance(made, Denoiser))
    if asked.given.kind != "image" or not has_weights or not has_images:
        return None
    try:
        return PartPrototypes(seed=seed).fit(asked.model, Generated(made, MADE, seed=seed) if data is None else data)
    except NotLinearError:
        return None


def _made_of(data: Any, kind: str, seed: int) -> Any:
    return TextEdits(data) if kind == "text" else train_generator(data, kind="table", seed=seed, quality=False)


def _tried(work: Callable[[int], Result], place: int) -> Result | Exception:
    try:
        return work(place)
    except LikethatError as error:
        return error


def _told(result: Result | Exception) -> Result | str:
    """Return a result, or one sentence of why there is none; what is no error of ours is raised."""
    if isinstance(result, Result):
        return result
    if isinstance(result, LikethatError):
        return str(result)
    raise result


def _refuse_what_fits_none(found: Mapping[int, Result | str], given: _Inputs, done: Sequence[int]) -> None:
    """Raise what went wrong with every input in the same way: the call is wrong, or the model is not there.

    Raises:
        InputError: the sentence that all of them have.
    """
    told = set(found.values())
    if not done and len(found) == len(given.names) and len(told) == 1 and isinstance(sentence := told.pop(), str):
        raise InputError(sentence)


def _was_stopped(result: Any) -> bool:
    return bool(getattr(getattr(result, "status", None), "is_interrupted", False))


def _read(inputs: Any) -> _Inputs:
    """Take inputs in whatever form they come.

    Raises:
        InputError: none, or no inputs of one kind.
    """
    if isinstance(inputs, str | Path) and Path(inputs).suffix.lower() in (*TABLES, ".txt"):
        inputs = read_table(inputs) if Path(inputs).suffix.lower() in TABLES else read_texts(inputs)
    if hasattr(inputs, "columns") and hasattr(inputs, "iloc"):
        marks, names = digests(inputs), [f"row {label}" for label in inputs.index]
        return _Inputs(names=_filled(names), one=lambda at: inputs.iloc[[at]], kind="table", mark=_mark(marks))
    if isinstance(inputs, list | tuple | np.ndarray) and len(inputs) and all(isinstance(one, str) for one in inputs):
        texts = [str(one) for one in inputs]
        if not all(len(one) < 1024 and "\n" not in one and Path(one).is_file() for one in texts):  # or a picture each
            names = [one if len(one) <= 80 else f"{one[:79]}…" for one in texts]
            return _Inputs(names=names, one=lambda at: texts[at], kind="text", mark=_mark(digests(texts)))
    return _images(inputs)


def _images(inputs: Any) -> _Inputs:
    source: Any = as_source(inputs)
    if not hasattr(source, "__len__"):
        raise InputError("`inputs` must be images that can be counted, got a stream. Give list(stream).")
    count = len(source)
    names = _filled([_name(source, at) for at in range(count)])
    return _Inputs(names=names, one=lambda at: source[at], kind="image", mark=str(signature_of(source)))


def _name(source: Any, at: int) -> str:
    files = getattr(source, "files", None)
    return f"image {at}" if files is None else files[at].relative_to(source.root).as_posix()


def _filled(names: list[str]) -> list[str]:
    if not names:
        raise InputError("`inputs` must hold at least one input, got none.")
    return names


def _mark(marks: Sequence[bytes]) -> str:
    return hashlib.sha256(b"".join(marks)).hexdigest()


def _about(model: Any, target: Any, data: Any, generator: Any) -> dict[str, str]:
    """Return what else makes it the same call, as far as it can be told."""
    if isinstance(model, Bank):
        who = f"{model.provenance.method} {model.provenance.fingerprint} {model.provenance.options}"
    else:
        who = str(getattr(model, "name", "") or type(model).__name__)
    others = {"data": data, "generator": generator}
    return {"model": who, "target": str(target)} | {
        name: "" if one is None else type(one).__name__ if isinstance(one, Tensor) else str(one)[:200]
        for name, one in others.items()
    }
