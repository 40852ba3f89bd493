"""`explain_all`: many inputs in one call, whose questions to a model are answered together."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import torch
from torch import nn

from likethat._calls import known_options, public
from likethat._checks import check_count
from likethat._documents import digest_of
from likethat._options import check_callable, check_path, shown
from likethat._progress import Stage, Watcher
from likethat._responses import Wanted
from likethat._session import in_own_session
from likethat._tensors import checksum_of
from likethat._workers import Cluster, as_cluster, connected, spread
from likethat.errors import InputError, LikethatError, ModelError, NotLinearError
from likethat.explainers.choosing import MADE, explain, rows_like, with_cells
from likethat.explainers.given import Given, read_given
from likethat.explainers.parts.method import PartPrototypes
from likethat.explanations.bank import Bank
from likethat.explanations.many import Growing, Many, row_of
from likethat.explanations.result import Result
from likethat.generators import Denoiser, Generated, TextEdits, train_generator
from likethat.generators.reading import fitted
from likethat.generators.storage import TrainedGenerator
from likethat.models import BlackBox, SplitModel
from likethat.models.black_box.box import box_for
from likethat.models.black_box.together import together
from likethat.models.content import content_of
from likethat.options.declaring import options_of
from likethat.sources.base import Sample

_Ended: TypeAlias = tuple[int, Result | Exception]
_BUDGET = 200  # as `explain` has it
_BLOCK = 8  # inputs that a worker takes at a time: eight searches ask some 64 rows together, and few wait at the end


@dataclass(frozen=True, kw_only=True, eq=False)
class _Asked:
    """What a caller gave."""

    model: Any
    given: Given
    target: Any
    data: Any
    generator: Any
    options: dict[str, Any]
    method: Callable[..., Result] | None
    at_once: int
    workers: int | Cluster


@dataclass(frozen=True, kw_only=True, eq=False)
class _Way:
    """How each input is explained: with a bank, by asking a black box, or by a network's cells; what workers have.

    Attributes:
        asked: what the caller gave.
        bank: that explains; None where the model is asked.
        box: that is asked; without one and without a bank the network's own map is exact.
        made: makes or changes inputs.
    """

    asked: _Asked
    bank: Bank | None = None
    box: BlackBox | None = None
    made: Any = None

    def ended(self, places: Sequence[int]) -> Iterator[_Ended]:
        """Yield places with their results, or with what went wrong, as they come."""
        asked, bank, box = self.asked, self.bank, self.box
        given, options = asked.given, asked.options
        if bank is not None:
            for place in places:
                yield place, _tried(lambda at: bank.explain(given.one(at), asked.target, top=options["top"]), place)
            return
        if box is None:
            for place in places:
                yield place, _tried(lambda at: explain(asked.model, given.one(at), asked.target, **options), place)
            return

        def search(view: BlackBox, number: int) -> Result:
            one = given.one(places[number])
            if asked.method is not None:
                return asked.method(view, _as_taken(one, asked), asked.target, **options)
            return explain(view, one, asked.target, generator=self.made, **options)

        for number, result in together(box, len(places), search, at_once=asked.at_once):
            yield places[number], result

    def told(self, places: Sequence[int]) -> tuple[list[tuple[int, Result | str]], int]:
        """Return what became of some inputs, and how many queries it took; runs in a worker."""
        before = 0 if self.box is None else self.box.queries
        found = [(place, _told(result)) for place, result in self.ended(places)]
        return found, 0 if self.box is None else self.box.queries - before

    @property
    def on_gpu(self) -> bool:
        """Whether a card is needed."""
        network = (
            self.bank.model if self.bank is not None else self.asked.model if self.box is None else self.box.network
        )
        module = network.network if isinstance(network, SplitModel) else network
        first = None if module is None else next(module.parameters(), None)
        maker = getattr(getattr(self.asked.method, "__self__", None), "generator", self.made)
        devices = [getattr(one, "device", None) for one in (first, maker)]
        return any(torch.device(device).type == "cuda" for device in devices if device is not None)


@public
@in_own_session
def explain_all(
    model: Any,
    inputs: Any,
    target: int | str | Wanted | None = None,
    *,
    method: Callable[..., Result] | None = None,
    into: str | Path | None = None,
    data: Any = None,
    generator: Any = None,
    budget: int = _BUDGET,
    seed: int = 0,
    top: int = 4,
    at_once: int = 32,
    workers: int | str | Cluster = 0,
    watch: Watcher | None = None,
    **options: Any,
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
        method: what explains each, called as method(model, input, target, budget=..., **options), such as
            ``likethat.FreeMCG(generator, seed=0).counterfactual`` or its ``attribute``; None for `explain`.
        into: a folder that results are written to as they come, with a page each, an index (index.html) and a table;
            the same call goes on where it was stopped. None keeps them in memory.
        data: see `explain`.
        generator: see `explain`.
        budget: queries an input, at most, where the model is asked.
        seed: of all chance; a method has its own.
        top: rows shown where inputs are explained by parts or channels.
        at_once: searches under way at the same time; no influence on results.
        workers: ``"ray"``, ``"ray:2"``, ``"ray://host:port"``: processes, GPUs and machines that Ray runs, among which
            the inputs are split (docs/guide/workers.md); no influence on results. Each worker remembers answers for
            itself: a question that comes up in two of them is asked twice.
        watch: called with a `Progress` as inputs are finished.
        **options: of `method`: ``n``, ``immutable``, ``ranges``, ``directions``, ``mask``, ``algorithm``, ...

    Returns:
        Results in the order of the inputs. What cannot be explained is in `failures`, and stops no other.

    Raises:
        InputError: no inputs, what is wrong with every one of them (a class that the model does not have), or `into`
            holds something else: results of another call too, whose model differs in what it holds or refers to.
        StorageError: `into` cannot be written.

    Example:
        >>> import likethat as lt
        >>> lt.explain_all(lt.load("zoo:digits"), [lt.digits()[place].image for place in (0, 1)], budget=40)
        <Many: 2 of 2 inputs explained>
    """
    check_callable(watch, name="watch", takes="a Progress")
    budget, top = check_count(budget, name="budget"), check_count(top, name="top")
    at_once, cluster = check_count(at_once, name="at_once"), as_cluster(workers)
    given_beside = {"data": data, "generator": generator, "seed": seed or None}
    _check_method(method, options, given_beside)
    _check_bank(model, given_beside | {"budget": None if budget == _BUDGET else budget, "method": method})
    given = read_given(inputs)
    growing = None
    if into is not None:
        about = _about(model, target, data, generator) | ({} if method is None else _about_method(method, options))
        key = {"inputs": given.mark, "budget": budget, "seed": seed, "top": top, **about}
        growing = Growing(check_path(into, name="into"), names=given.names, key=key)
    done = growing.done if growing is not None else []
    left = sorted({*range(len(given.names))} - {*done})
    options |= {"budget": budget} if method is not None else {"budget": budget, "seed": seed, "top": top}
    at_hand = {"target": target, "data": data, "generator": generator, "method": method}
    asked = _Asked(model=model, given=given, options=options, at_once=at_once, workers=cluster, **at_hand)
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
    try:
        _refuse_what_fits_none(found if growing is None else growing.failures, given, done)
    except InputError:
        if growing is not None:
            growing.give_up()
        raise
    if growing is not None:
        return growing.close(is_interrupted=is_interrupted)
    results = [one if isinstance(one := found.get(place), Result) else None for place in range(len(given.names))]
    rows = [
        row_of(name, results[place], str(found[place]) if isinstance(found.get(place), str) else "")
        for place, name in enumerate(given.names)
    ]
    return Many(rows=tuple(rows), results=results, is_interrupted=is_interrupted)


def _explained(asked: "_Asked", left: Sequence[int]) -> Iterator[tuple[int, Any]]:
    """Yield places with their results, or with what went wrong, as they come."""
    if not left:
        return
    with connected(asked.workers):
        way = _way(asked)
        if not isinstance(asked.workers, Cluster):
            yield from way.ended(left)
            return
        blocks = [left[first : first + _BLOCK] for first in range(0, len(left), _BLOCK)]
        with spread(asked.workers, way, on_gpu=way.on_gpu) as each:
            for found, queries in each(_Way.told, blocks):
                if way.box is not None:
                    way.box.account.charge(queries)
                yield from found


def _way(asked: "_Asked") -> _Way:
    """Fit or train what all inputs need, and say how each is explained.

    Raises:
        InputError: the model is bound to this process, and workers are to ask it.
    """
    bank = None if asked.method is not None else asked.model if isinstance(asked.model, Bank) else _bank(asked)
    if bank is not None:
        return _Way(asked=replace(asked, model=None, data=None), bank=bank)
    if (exact := _with_cells(asked)) is not None:
        return _Way(asked=replace(asked, model=exact))
    box, made = box_for(asked.model, asked.target), asked.generator
    binds = "a budget" if box.budget is not None else box.oracle.binds
    if binds and isinstance(asked.workers, Cluster):
        raise InputError(
            f"`workers` must be 0 for a model with {binds}, which processes cannot share, got "
            f"{asked.workers.in_words()!r}. Its questions are asked together as it is, of `at_once` inputs."
        )
    if made is None and asked.data is not None and asked.given.kind != "image":
        made = _made_of(asked.data, asked.given, asked.options["seed"])
    return _Way(asked=replace(asked, data=None), box=box, made=made)


def _check_method(method: Any, options: Mapping[str, Any], others: Mapping[str, Any]) -> None:
    """Refuse what nobody would read.

    Raises:
        InputError: what a method has itself, or an option that it does not take.
    """
    check_callable(method, name="method", takes="a model, an input and a target")
    takes = inspect.signature(explain_all if method is None else method).parameters
    takes_any = method is not None and any(one.kind is one.VAR_KEYWORD for one in takes.values())
    known = [name for name, one in takes.items() if one.kind is one.KEYWORD_ONLY]
    if not takes_any:
        known_options(options, known, of="explain_all without `method`" if method is None else _called(method))
    given = next((name for name, value in others.items() if value is not None), None)
    if method is not None and given is not None:
        raise InputError(
            f"`{given}` must be left out beside a method, which has its own. Give it to {_called(method)}."
        )


def _check_bank(model: Any, others: Mapping[str, Any]) -> None:
    """Refuse what a bank, which reads each image and asks nothing, would leave unread.

    Raises:
        InputError: one of them.
    """
    given = next((name for name, value in others.items() if value is not None), None)
    if isinstance(model, Bank) and given is not None:
        raise InputError(f"`{given}` must be left out beside a bank, which explains by itself. Give its model instead.")


def _called(method: Any) -> str:
    return str(getattr(method, "__qualname__", type(method).__name__))


def _as_taken(one: Any, asked: "_Asked") -> Any:
    """Return an image with the channels and the size in which the method's generator makes them."""
    if not isinstance(one, Sample):
        return one[0] if isinstance(one, list) else one
    made = getattr(getattr(asked.method, "__self__", None), "generator", None)
    channels = getattr(asked.model, "in_channels", None)
    return fitted(one.image, one.name, shape=getattr(made, "shape", None), channels=channels)


def _bank(asked: "_Asked") -> Bank | None:
    """Return the bank that images are explained with, where the weights and images to fit it to are at hand."""
    made, data, seed = asked.generator, asked.data, asked.options["seed"]
    has_weights = isinstance(asked.model, SplitModel | nn.Module) and not isinstance(asked.target, Wanted)
    has_images = data is not None or (made is not None and not isinstance(made, Denoiser))
    if asked.given.kind != "image" or not has_weights or not has_images:
        return None
    try:
        images = Generated(made, MADE, seed=seed) if data is None else data
        return PartPrototypes(seed=seed).fit(asked.model, images, workers=asked.workers)
    except NotLinearError:
        return None


def _with_cells(asked: "_Asked") -> SplitModel | None:
    """Return the network whose exact map `explain` shows where nothing else is at hand."""
    is_alone = asked.method is None and asked.data is None and asked.generator is None
    if not (is_alone and asked.given.kind == "image" and isinstance(asked.model, SplitModel | nn.Module)):
        return None
    try:
        return None if isinstance(asked.target, Wanted) else with_cells(asked.model)
    except ModelError:
        return None


def _made_of(data: Any, given: Given, seed: int) -> Any:
    if given.kind == "text":
        return TextEdits(data)
    return train_generator(rows_like(data, given.one(0))[0], kind="table", seed=seed, quality=False)


def _tried(work: Callable[[int], Result], place: int) -> Result | Exception:
    try:
        return work(place)
    except LikethatError as error:
        return error


def _told(result: Result | Exception | str) -> Result | str:
    """Return a result, or one sentence of why there is none; what is no error of ours is raised."""
    if isinstance(result, Result | str):
        return result
    if isinstance(result, LikethatError):
        return str(result)
    if isinstance(result, BaseException):
        raise result
    raise InputError(f"`method` must return a result of likethat, got {shown(result)}.")


def _refuse_what_fits_none(found: Mapping[int, Result | str], given: Given, done: Sequence[int]) -> None:
    """Raise what went wrong with every input in the same way: the call is wrong, or the model is not there.

    Raises:
        InputError: the sentence that all of them have.
    """
    told = set(found.values())
    if not done and len(found) == len(given.names) and len(told) == 1 and isinstance(sentence := told.pop(), str):
        raise InputError(sentence)


def _was_stopped(result: Any) -> bool:
    return bool(getattr(getattr(result, "status", None), "is_interrupted", False))


def _about(model: Any, target: Any, data: Any, generator: Any) -> dict[str, str]:
    """Return what else makes it the same call."""
    if isinstance(model, Bank):
        who = f"{model.provenance.method} {model.provenance.fingerprint} {model.provenance.options}"
        who = f"{who} {digest_of({'prototypes': [str(prototype) for prototype in model.prototypes]})}"
    elif isinstance(model, SplitModel | nn.Module):
        module = model.network if isinstance(model, SplitModel) else model
        about = [getattr(model, name, None) for name in ("fingerprint", "preprocess", "class_names", "outputs")]
        who = f"{type(module).__name__} {_told_apart([module, *about])}"
    else:
        box = box_for(model, target)
        who = f"{box.name} {box.told}"
    return {"model": who, "target": _told_apart(target), "data": _told_apart(data), "generator": _told_apart(generator)}


def _about_method(method: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    owner = getattr(method, "__self__", None)
    own = {each.name: getattr(owner, each.name) for each in options_of(type(owner))}
    said = {name: _told_apart(value) for name, value in sorted((own | dict(options)).items())}
    return {"method": _called(method), "options": said}


def _told_apart(thing: Any) -> str:
    """Return what is the same in another process for the same thing; what cannot be told is never the same again."""
    if isinstance(thing, TrainedGenerator):
        return checksum_of(thing.state(), str(thing.config()))
    return str(thing) if thing is None or isinstance(thing, str | Path) else content_of(thing) or uuid4().hex
