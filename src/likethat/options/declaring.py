"""A field of a dataclass as the one place that an option stands: its kind, range, choices, default and what it does.

From it come the constructor's checks and sentences, the lines under Args in the docstring, the command's flags, what
provenance and checkpoints note, and the table in docs/methods.md.
"""

import dataclasses
import functools
import inspect
import operator
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, NoneType, UnionType
from typing import Any, ClassVar

from likethat._options import check_flag, check_number, check_text, shown
from likethat.errors import InputError

REQUIRED: Any = object()
"""The default of what may not be left out."""
_INFINITE = float("inf")
_PLAIN = (int, float, bool, str)
_KEY = "likethat"
_HIGHEST_SEED = 2**32 - 1  # as `check_seed` has it


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option.

    Attributes:
        help: what it does, in a sentence without an end.
        low: least value of a number.
        high: highest value of a number.
        with_low: the least value itself is allowed.
        with_high: the highest value itself is allowed.
        flags: of the command, where they are not the name with two dashes.
        metavar: what stands for the value in the command's help.
        panel: of the command's help.
        is_noted: provenance and checkpoint note it among the options; what is given and not chosen is not.
        name: of the field.
        kind: of a value: int, float, bool or str; `object`, but for words, is checked by the method itself.
        choices: words that are allowed, beside the numbers of a count.
        is_optional: None is allowed.
        hint: the annotation without None.
        default: when left out; `REQUIRED` where it may not be.
    """

    help: str
    low: float = 0.0
    high: float = _INFINITE
    with_low: bool = True
    with_high: bool = True
    flags: tuple[str, ...] = ()
    metavar: str | None = None
    panel: str | None = None
    is_noted: bool = True
    name: str = ""
    kind: type = object
    choices: tuple[str, ...] = ()
    is_optional: bool = False
    hint: Any = object
    default: Any = REQUIRED

    def checked(self, value: Any) -> Any:
        """Return a plain value that is allowed.

        Raises:
            InputError: another one; the sentence says what is allowed.
        """
        is_word = self.choices and (self.kind is str or isinstance(value, str))
        if (value is None and self.is_optional) or (self.kind is object and not is_word):
            return value
        if is_word:
            return self._checked_word(value)
        if self.kind in (bool, str):
            return (check_flag if self.kind is bool else check_text)(value, name=self.name)
        if self.kind is int:
            return self._checked_count(value)
        bounds = {"low": self.low, "high": self.high, "with_low": self.with_low, "with_high": self.with_high}
        return check_number(value, name=self.name, **bounds)  # type: ignore[arg-type]  # two numbers, two flags

    def _checked_word(self, value: Any) -> str:
        from likethat._checks import check_choice  # late: it brings torch

        if self.kind is int and value not in self.choices:
            words = " or ".join(map(repr, self.choices))
            raise InputError(f"`{self.name}` must be {self.values()}, or {words}, got {shown(value)}.")
        return check_choice(value, name=self.name, choices=self.choices)

    def _checked_count(self, value: Any) -> int:
        from likethat._checks import check_count, check_seed  # late: it brings torch

        if self.high < _INFINITE:
            return check_seed(value, name=self.name)
        return check_count(value, name=self.name, minimum=int(self.low))

    def values(self) -> str:
        """Return what is allowed, in words.

        Example:
            >>> Option(help="", kind=int, low=2).values(), Option(help="", kind=float, with_low=False).values()
            ('a whole number of at least 2', 'a number above 0')
        """
        if self.kind in (bool, object, str):
            words = " or ".join(map(repr, self.choices))
            return {bool: "True or False", object: words, str: words or "text"}[self.kind]
        noun = "a whole number" if self.kind is int else "a number"
        if self.high == _INFINITE:
            return f"{noun} {'of at least' if self.with_low else 'above'} {self.low:g}"
        if self.with_low and self.with_high:
            return f"{noun} from {self.low:g} to {self.high:,.10g}"
        least, most = ("from" if self.with_low else "above"), ("up to" if self.with_high else "below")
        return f"{noun} {least} {self.low:g} {most} {self.high:g}"

    def allowed(self) -> str:
        """Return `values` and the words and None that are allowed beside them."""
        words = [repr(word) for word in self.choices] if self.kind is int else []
        return ", or ".join([self.values(), *words, *(["None"] if self.is_optional and self.values() else [])])


def option(default: Any, help: str, **more: Any) -> Any:
    """Declare a field of a `Declared` dataclass; its kind and its choices are those of its annotation.

    Args:
        default: when left out.
        help: what it does, in a sentence without an end.
        **more: further fields of `Option`.
    """
    return dataclasses.field(default=default, metadata={_KEY: Option(help=help, **more)})


def seed_option(help: str = "the same seed gives the same result", **more: Any) -> Any:
    """Declare the seed: provenance notes it beside the options."""
    return option(0, help, high=_HIGHEST_SEED, is_noted=False, **more)


def given(help: str, **more: Any) -> Any:
    """Declare what must be given and is checked by the method itself, such as a generator."""
    return dataclasses.field(metadata={_KEY: Option(help=help, is_noted=False, **more)})


class Declared:
    """A frozen dataclass whose fields are options; making one checks them all.

    Its options stand in its docstring, under Args.

    Attributes:
        moved: what to say of an option that was here once, by its name.
    """

    moved: ClassVar[Mapping[str, str]] = {}

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __init_subclass__(cls, *, panel: str | None = None) -> None:
        """Write the options into the docstring.

        Args:
            panel: of the command's help, for the options that name none themselves.
        """
        super().__init_subclass__()
        for field in vars(cls).values():
            if panel and isinstance(field, dataclasses.Field) and not field.metadata[_KEY].panel:
                field.metadata = MappingProxyType({_KEY: dataclasses.replace(field.metadata[_KEY], panel=panel)})
        if cls.__doc__:
            cls.__doc__ = _with_arguments(inspect.cleandoc(cls.__doc__), options_of(cls))

    def __post_init__(self) -> None:
        """Check every option alone, then what goes together."""
        for each in options_of(type(self)):
            object.__setattr__(self, each.name, each.checked(getattr(self, each.name)))
        self.check_together()

    def check_together(self) -> None:
        """Refuse options that exclude each other; here there are none."""

    def options(self) -> dict[str, Any]:
        """Return the hyper-parameters, by name."""
        return {each.name: getattr(self, each.name) for each in options_of(type(self)) if each.is_noted}


def options_of(declared: type[Any]) -> tuple[Option, ...]:
    """Return the options that a class declares, in their order."""
    hints = typing.get_type_hints(declared)
    found = []
    fields = dict(getattr(declared, "__dataclass_fields__", {}))
    fields |= {
        name: each for name, each in vars(declared).items() if isinstance(each, dataclasses.Field)
    }  # not yet one
    for name, field in fields.items():
        if _KEY in field.metadata:
            hint, kind, choices, is_optional = _read(hints[name])
            found.append(
                dataclasses.replace(
                    field.metadata[_KEY],
                    name=name,
                    hint=hint,
                    kind=kind,
                    choices=choices,
                    is_optional=is_optional,
                    default=REQUIRED if field.default is dataclasses.MISSING else field.default,
                )
            )
    return tuple(found)


def _read(hint: Any) -> tuple[Any, type, tuple[str, ...], bool]:
    """Return a hint without None, the kind of a value, its choices, and whether it may be None.

    Example:
        >>> _read(int | typing.Literal["auto"])[1:], _read(float | None)
        ((<class 'int'>, ('auto',), False), (<class 'float'>, <class 'float'>, (), True))
    """
    is_union = isinstance(hint, UnionType) or typing.get_origin(hint) is typing.Union
    sides = [side for side in (typing.get_args(hint) if is_union else (hint,)) if side is not NoneType]
    words = tuple(word for side in sides if typing.get_origin(side) is typing.Literal for word in typing.get_args(side))
    kinds = [side for side in sides if side in _PLAIN]
    is_plain = all(side in _PLAIN or typing.get_origin(side) is typing.Literal for side in sides)
    kind = (kinds[0] if kinds else str) if is_plain else object
    return functools.reduce(operator.or_, sides), kind, words, is_union and NoneType in typing.get_args(hint)


def _with_arguments(text: str, options: tuple[Option, ...]) -> str:
    """Put the options of a class into its docstring, before the first section."""
    lines = ["Args:", *(f"    {each.name}: {_line(each)}" for each in options), ""]
    head, mark, tail = text.partition("\nSource:")
    return f"{head}\n{chr(10).join(lines)}{mark}{tail}" if mark else f"{text}\n\n{chr(10).join(lines)}"


def _line(each: Option) -> str:
    allowed = each.allowed()
    return f"{each.help}." + (f" {allowed[:1].upper()}{allowed[1:]}." if allowed else "")
