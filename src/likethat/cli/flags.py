"""From declared options to flags of a command."""

import functools
import inspect
import typing
from collections.abc import Callable
from enum import Enum, StrEnum
from types import UnionType
from typing import Annotated, Any

import typer

from likethat.options.declaring import REQUIRED, Option, options_of


def with_flags(*, without: tuple[str, ...] = (), **groups: type[Any]) -> Callable[[Any], Any]:
    """Give a command the flags of declared options; it gets each group as a dictionary, and its own flags as they are.

    Args:
        without: options that the command sets itself.
        **groups: argument of the command, and the `Declared` dataclass whose options become its flags.
    """
    options = {name: [each for each in options_of(group) if each.name not in without] for name, group in groups.items()}

    def given(command: Any) -> Any:
        own = inspect.signature(command, eval_str=True).parameters.values()
        flags = [_parameter(each) for group in options.values() for each in group]
        flags.sort(key=lambda each: each.default is not each.empty)  # what must be given comes first
        parameters = sorted([*(each for each in own if each.name not in groups), *flags], key=lambda each: each.kind)

        def called(**values: Any) -> Any:
            taken = {
                name: {each.name: _value(each, values.pop(each.name)) for each in group}
                for name, group in options.items()
            }
            return command(**taken, **values)

        functools.update_wrapper(called, command)
        del called.__wrapped__  # type: ignore[attr-defined]  # its signature is another
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in parameters}
        return called

    return given


def _parameter(each: Option) -> inspect.Parameter:
    kind, default = _typed(each), inspect.Parameter.empty if each.default is REQUIRED else each.default
    if default in each.choices and each.kind in (str, object):
        default = kind(default)
    elif each.choices and default is not None:
        default = str(default)  # a number, where a word may stand
    hint = kind | None if each.is_optional and isinstance(kind, type) else kind
    about = typer.Option(
        *_names(each), help=sentence(each.help), metavar=_metavar(each), rich_help_panel=each.panel, show_default=True
    )
    return inspect.Parameter(
        each.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[hint, about]
    )


def _typed(each: Option) -> Any:
    """Return what the command's words become: an enumeration of the choices, a text where numbers are allowed too.

    Where Python takes any object beside a plain value, the command takes the plain value alone.
    """
    if each.choices and each.kind in (str, object):
        return StrEnum(each.name, {word: word for word in each.choices})
    if each.choices:
        return str
    is_union = isinstance(each.hint, UnionType)
    return next(side for side in typing.get_args(each.hint) if side in (int, float, str)) if is_union else each.hint


def _names(each: Option) -> tuple[str, ...]:
    name = each.name.replace("_", "-")
    if each.flags or each.kind is not bool:
        return each.flags or (f"--{name}",)
    return (f"--{name}/--no-{name}",) if each.default else (f"--{name}",)


def _metavar(each: Option) -> str | None:
    return "|".join(("N", *each.choices)) if each.choices and each.kind is int else each.metavar


def sentence(about: str) -> str:
    """Return what is said of an option as the command's help shows it; a word to be typed stays as it is.

    Example:
        >>> sentence("up to `condition`"), sentence("zoo:NAME or a folder")
        ('Up to condition.', 'zoo:NAME or a folder.')
    """
    first = about[:1] if ":" in about.partition(" ")[0] else about[:1].upper()
    return f"{first}{about[1:]}.".replace("`", "")


def _value(each: Option, value: Any) -> Any:
    """Return what the constructor takes for a word."""
    if isinstance(value, Enum):
        return value.value
    is_number = each.kind is int and bool(each.choices) and isinstance(value, str) and value.isdecimal()
    return int(value) if is_number else value
