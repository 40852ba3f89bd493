"""What is asked of a model where that is no class of several: a number of its answer, and where it shall lie.

::

    Above(200_000)  Below(9.5)  Between(90, 110)    a line that the number shall pass, or a stretch it shall lie in
    Less(percent=20)  More(by=3)                    the same, from where the source stands
    Label("smiling")  Label("smiling", on=False)    one of several independent labels
    Response(function, name="score of the box")     any number of the answer; `of=` of the others takes it too
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from likethat._calls import foreign
from likethat._class_names import resolve_target
from likethat._options import check_callable, check_flag, check_number, check_text, shown
from likethat.errors import InputError, NonFiniteError, TargetError

_FARTHEST = 1e300  # of a line: beyond it a distance to it is infinite
_SOURCE_LACKS = 4.0  # margin: the log-odds of a class that a model gives 2 %, from where searches are made to start
_LEAST = 1e-6  # a probability of 0 would make a margin infinite; as in `functional.margins`
_FROM_WHOLE = 1000  # from here on a number is shown without decimals


@dataclass(frozen=True)
class Response:
    """A number that a function makes of a model's answer.

    Attributes:
        function: of the answer to a batch, one finite number an input, (n,). It gets what the model returned where
            the model is named beside it (a detector's boxes, a segmenter's map); of a `BlackBox` its rows (n, class).
        name: of the number, as sentences have it.
        unit: of the number, such as "€"; "" without one.

    Example:
        >>> score = Response(lambda answer: answer[:, 0] - answer[:, 1], name="lead of the cat")
        >>> Above(0.5, of=score).of.name
        'lead of the cat'
    """

    function: Callable[[Any], Any]
    name: str
    unit: str = ""

    def __post_init__(self) -> None:
        check_callable(self.function, name="function", takes="a model's answer")
        if self.function is None:
            raise InputError("`function` must be a function of a model's answer, got None.")
        if not check_text(self.name, name="name"):
            raise InputError("`name` must say what the number is, got an empty text. Such as 'score of the box'.")
        if self.unit:
            check_text(self.unit, name="unit")

    def values(self, answer: Any, n: int) -> Float[Tensor, " n"]:
        """Return the numbers of an answer to `n` inputs, float64.

        Raises:
            InputError: not one number an input.
            NonFiniteError: NaN or infinity.
        """
        with foreign("the response", "It gets the model's answer and returns one number an input."):
            found = self.function(answer)
            rows = torch.stack([torch.as_tensor(one) for one in found]) if isinstance(found, list | tuple) else found
            values = torch.as_tensor(rows).detach().cpu().double()
        if values.shape != (n,):
            raise InputError(
                f"`function` of the response {self.name!r} must return one number an input, (n,) = ({n},), got shape "
                f"{tuple(values.shape)}."
            )
        if not bool(values.isfinite().all()):
            raise NonFiniteError(
                f"`function` of the response {self.name!r} must return finite numbers, got NaN or infinity. Say what "
                "it is where there is nothing to measure (0, where a detector finds no box)."
            )
        return values


Of: TypeAlias = int | str | Response | None
"""Which number of an answer: the index or name of an output, a `Response`, or the only one there is."""


@dataclass(frozen=True)
class _OneSide:
    """A number that lies on one side of a line."""

    value: float
    of: Of = None

    def __post_init__(self) -> None:
        check_number(self.value, name="value", low=-_FARTHEST, high=_FARTHEST)

    def words(self, number: Callable[[float], str]) -> str:
        """Return it in words."""
        return f"{type(self).__name__.lower()} {number(float(self.value))}"


@dataclass(frozen=True)
class Above(_OneSide):
    """A number that is larger than `value`.

    Attributes:
        value: the line.
        of: index or name of the output, or a `Response`; None where the model gives one number alone.
    """

    def stretch(self, source: float | None) -> tuple[float, float]:  # noqa: ARG002
        """Return between which two numbers it shall lie."""
        return float(self.value), math.inf


@dataclass(frozen=True)
class Below(_OneSide):
    """A number that is smaller than `value`; see `Above`."""

    def stretch(self, source: float | None) -> tuple[float, float]:  # noqa: ARG002
        """Return between which two numbers it shall lie."""
        return -math.inf, float(self.value)


@dataclass(frozen=True)
class Between:
    """A number that lies between `low` and `high`; see `Above`."""

    low: float
    high: float
    of: Of = None

    def __post_init__(self) -> None:
        low = check_number(self.low, name="low", low=-_FARTHEST, high=_FARTHEST)
        check_number(self.high, name="high", low=low, high=_FARTHEST, with_low=False)

    def stretch(self, source: float | None) -> tuple[float, float]:  # noqa: ARG002
        """Return between which two numbers it shall lie."""
        return float(self.low), float(self.high)

    def words(self, number: Callable[[float], str]) -> str:
        """Return it in words."""
        return f"between {number(float(self.low))} and {number(float(self.high))}"


@dataclass(frozen=True)
class _ThanSource:
    """A number that is compared with the source's own."""

    percent: float | None = None
    by: float | None = None
    of: Of = None

    def __post_init__(self) -> None:
        if (self.percent is None) == (self.by is None):
            kind = type(self).__name__
            raise InputError(f"`{kind}` must have either percent= or by=. Such as {kind}(percent=20).")
        for name in ("percent", "by"):
            if getattr(self, name) is not None:
                check_number(getattr(self, name), name=name, high=_FARTHEST, with_low=False)

    def words(self, number: Callable[[float], str]) -> str:
        """Return it in words."""
        amount = f"{self.percent:g}\u202f%" if self.by is None else number(float(self.by))
        return f"{type(self).__name__.lower()} by {amount}"

    def _moved(self, source: float | None, sign: int) -> float:
        """Return the line: the source's own number, moved by what is asked for."""
        if source is None:
            raise InputError(
                f"`target` must say itself where the number shall lie where there is no source to compare with, got "
                f"{type(self).__name__}. Use Above, Below or Between."
            )
        if self.by is not None:
            return source + sign * float(self.by)
        if source == 0:
            raise TargetError("`target` must not be a percentage where the source's own number is 0. Say by=....")
        return source + sign * (abs(source) * float(self.percent or 0.0) / 100)


@dataclass(frozen=True)
class Less(_ThanSource):
    """A number that is less than the source's own.

    Attributes:
        percent: by how much of it.
        by: by how much, in its own unit. One of the two is given.
        of: as of `Above`.
    """

    def stretch(self, source: float | None) -> tuple[float, float]:
        """Return between which two numbers it shall lie."""
        return -math.inf, self._moved(source, -1)


@dataclass(frozen=True)
class More(_ThanSource):
    """A number that is more than the source's own; see `Less`."""

    def stretch(self, source: float | None) -> tuple[float, float]:
        """Return between which two numbers it shall lie."""
        return self._moved(source, 1), math.inf


@dataclass(frozen=True)
class Label:
    """One of several independent labels, of which a model gives none, one or more.

    Attributes:
        name: of the label, or its index.
        on: whether the model shall give it, or no longer give it.
    """

    name: int | str
    on: bool = True

    def __post_init__(self) -> None:
        check_flag(self.on, name="on")


Line: TypeAlias = Above | Below | Between | Less | More
Wanted: TypeAlias = Line | Label | Response


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a result is about where that is no class of several, as its record keeps it.

    Attributes:
        name: of the number, or the label.
        wanted: where it shall lie, in words; "" where nothing is wanted of it.
        unit: of the number; "" without one.
        is_probability: whether it is a probability, in [0, 1].
        is_label: whether it is that of one of several independent labels.
        low: what it shall be larger than; None without such a line.
        high: what it shall be smaller than; None without such a line.

    Example:
        >>> Measured(name="price", wanted="above 200,000", unit="€", low=200_000.0).number(210_500.4)
        '210,500 €'
    """

    name: str
    wanted: str = ""
    unit: str = ""
    is_probability: bool = False
    is_label: bool = False
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.is_label:
            return self.name if not self.wanted else f"{self.wanted} {self.name}"
        return f"{self.name} {self.wanted}".strip()

    def number(self, value: float) -> str:
        """Return a number of its kind as sentences show it."""
        if self.is_probability:
            return f"{100 * value:.3g}\u202f%"
        return _number(value, self.unit)

    def has(self, value: float) -> bool:
        """Whether a number lies where it shall."""
        return (self.low is None or value > self.low) and (self.high is None or value < self.high)


def _number(value: float, unit: str) -> str:
    text = f"{value:,.0f}" if abs(value) >= _FROM_WHOLE else f"{value:.4g}"
    return f"{text} {unit}".strip()


@dataclass(frozen=True, kw_only=True, eq=False)
class Measure:
    """Reads one number off every answer, and says how far it is on the wanted side.

    Attributes:
        about: what it is, for the record.
        read: answers (n, cls) to the number, (n,).
        scale: of the number, that one unit of margin stands for.
    """

    about: Measured
    read: Callable[[Tensor], Tensor]
    scale: float = 1.0

    def values(self, answers: Float[Tensor, "*n cls"]) -> Float[Tensor, " *n"]:
        """Return the number of each answer."""
        flat = answers.reshape(-1, answers.shape[-1]).double()
        return self.read(flat).reshape(answers.shape[:-1])

    def inside(self, answers: Float[Tensor, "*n cls"]) -> Float[Tensor, " *n"]:
        """Return how far each number is from the line on the wanted side, in its own unit; below 0 on the other."""
        values, about = self.values(answers), self.about
        above = None if about.low is None else values - about.low
        below = None if about.high is None else about.high - values
        if above is not None and below is not None:
            return torch.minimum(above, below)
        return above if above is not None else below if below is not None else values

    def margins(self, answers: Float[Tensor, "n cls"]) -> Float[Tensor, " n"]:
        """Return what a search climbs: log-odds of a label, else units of which the source lacks 4."""
        if self.about.is_label:
            odds = torch.logit(self.values(answers).clamp(_LEAST, 1 - _LEAST))
            return odds if self.about.high is None else -odds
        return self.inside(answers) / self.scale

    def explained(self, answers: Float[Tensor, "n cls"]) -> Float[Tensor, " n"]:
        """Return what an attribution shares out: the number itself, of a probability its log-odds."""
        values = self.values(answers)
        return torch.logit(values.clamp(1e-4, 1 - 1e-4)) if self.about.is_probability else values


def measure_of(
    target: Any, names: Sequence[str], *, output: str, source: Float[Tensor, " cls"] | None = None
) -> Measure | None:
    """Return what reads a target off the answers of a model; None where the target is a class, or what stands for some.

    Args:
        target: what a user called a target. A class of a model of labels is `Label`; of a model of numbers, the number.
        names: of the model's classes, labels or numbers.
        output: "probabilities", "labels" or "numbers": what the model's answers are.
        source: answer to what is explained or changed; None where there is no such thing.

    Raises:
        TargetError: no such output or label, or a label of a model whose classes exclude each other.
        InputError: it does not say which number.

    Example:
        >>> measure = measure_of(Below(3.0), ["price"], output="numbers", source=torch.tensor([7.0]))
        >>> str(measure.about), measure.margins(torch.tensor([[7.0], [3.0], [2.0]])).tolist()
        ('price below 3', [-4.0, 0.0, 1.0])
    """
    if isinstance(target, int | str) and output == "labels":
        target = Label(target)
    if output == "numbers" and (isinstance(target, int | str) or (target is None and source is not None)):
        place = _number_named(target, names)
        return Measure(about=Measured(name=names[place]), read=_column(place))
    if isinstance(target, Label):
        return _label(target, names, output)
    if isinstance(target, Response):
        about = Measured(name=target.name, unit=target.unit)
        return Measure(about=about, read=_reading(target, names))
    return _line(target, names, output, source) if isinstance(target, Line) else None


def _label(target: Label, names: Sequence[str], output: str) -> Measure:
    if output != "labels":
        raise TargetError(
            "`target` must be a class where the classes exclude each other, got a Label. Name the class, or say "
            "BlackBox(..., output='labels')."
        )
    place = resolve_target(target.name, names)
    low, high = (0.5, None) if target.on else (None, 0.5)
    wanted = "" if target.on else "no longer"
    about = Measured(name=names[place], wanted=wanted, is_probability=True, is_label=True, low=low, high=high)
    return Measure(about=about, read=_column(place))


def _line(target: Line, names: Sequence[str], output: str, source: Tensor | None) -> Measure:
    of = target.of
    place = -1 if isinstance(of, Response) else _place(of, names)
    read = _reading(of, names) if isinstance(of, Response) else _column(place)
    name, unit = (of.name, of.unit) if isinstance(of, Response) else (names[place], "")
    is_probability = output != "numbers" and not isinstance(of, Response)
    own = None if source is None else float(read(source[None].double())[0])
    low, high = target.stretch(own)
    is_share = is_probability and not isinstance(target, Less | More)  # by 20 % would be a fifth of the source's own
    about = Measured(
        name=name,
        wanted=target.words(lambda value: f"{100 * value:g}\u202f%" if is_share else _number(value, unit)),
        unit=unit,
        is_probability=is_probability,
        low=None if low == -math.inf else low,
        high=None if high == math.inf else high,
    )
    lacks = 0.0 if own is None else max(low - own, own - high)
    return Measure(about=about, read=read, scale=lacks / _SOURCE_LACKS if lacks > 0 else 1.0)


def _place(of: int | str | None, names: Sequence[str]) -> int:
    if of is not None:
        return resolve_target(of, names)
    if len(names) == 1:
        return 0
    raise InputError(
        f"`target` must say of which number it speaks ({_listed(names)}), got none. Say of=..., such as of=0."
    )


def _number_named(target: int | str | None, names: Sequence[str]) -> int:
    """Return which number is named; somebody who says 200 where 200 is wanted is told how."""
    try:
        return _place(target, names)
    except TargetError:
        raise TargetError(
            f"`target` must say where a number shall lie, got {shown(target)}. Use likethat.Above, Below, Between, "
            f"Less or More; the model's numbers are {_listed(names)}."
        ) from None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name[:40]) for name in names[:6])


def _column(place: int) -> Callable[[Tensor], Tensor]:
    return lambda answers: answers[:, place]


def _reading(of: Response, names: Sequence[str]) -> Callable[[Tensor], Tensor]:
    """Return the column that a box made of a response already, else the response of its rows."""
    if tuple(names) == (of.name,):
        return _column(0)
    return lambda answers: of.values(answers, len(answers))


def response_of(target: Any) -> Response | None:
    """Return the function of an answer that a target speaks of, if it speaks of one."""
    of = getattr(target, "of", target) if isinstance(target, Line | Response) else None
    return of if isinstance(of, Response) else None


def check_wanted(measure: Measure, own: Float[Tensor, " cls"]) -> None:
    """Check that a change of the source can be asked for.

    Raises:
        InputError: nothing is wanted of the number.
        TargetError: the source's number lies where it shall already.
    """
    about = measure.about
    if about.low is None and about.high is None:
        raise InputError(
            f"`target` must say where {about.name} shall lie, got the number alone. Use likethat.Above, Below, "
            "Between, Less or More."
        )
    value = float(measure.values(own[None])[0])
    if about.has(value):
        opposite = f"Label({about.name!r})" if about.low is None else f"Label({about.name!r}, on=False)"
        what = opposite if about.is_label else "another line"
        raise TargetError(
            f"`target` must be something else than what the source has, and its {about.name} is "
            f"{about.number(value)} already. Ask for {what}."
        )


def is_line(target: Any) -> bool:
    """Whether a target says where a number shall lie."""
    return isinstance(target, Line)
