"""From declared options to flags, and from a function to a command."""

import functools
import inspect
import typing
from collections.abc import Callable
from enum import Enum, StrEnum
from types import UnionType
from typing import Annotated, Any

import typer

from likethat.cli.group import Command
from likethat.options.declaring import REQUIRED, Declared, Option, options_of

Group = tuple[type[Declared], Callable[..., Any]]  # declared options, and what is made of their values


def command(*examples: str) -> Callable[[Any], Any]:
    """Make a command of a function, with examples at the end of its help.

    A parameter whose annotation is a `Declared` dataclass stands for the flags of its options, and gets one; as
    ``Annotated[dict[str, Any], DECLARED]`` it gets their values, for a constructor of the library that checks them.
    Options of any type that name no metavar are for Python alone. Other parameters are typer's.
    """

    def given(function: Any) -> Any:
        own = inspect.signature(function, eval_str=True).parameters.values()
        groups = {each.name: group for each in own if (group := _group(each.annotation))}
        options = {name: [each for each in options_of(group[0]) if _is_flag(each)] for name, group in groups.items()}
        flags = [_parameter(each) for group in options.values() for each in group]
        flags.sort(key=lambda each: each.default is not each.empty)  # what must be given comes first
        parameters = sorted([*(each for each in own if each.name not in groups), *flags], key=lambda each: each.kind)

        def called(**values: Any) -> Any:
            told = {
                name: groups[name][1](**{each.name: _value(each, values.pop(each.name)) for each in group})
                for name, group in options.items()
            }
            return function(**told, **values)

        functools.update_wrapper(called, function)
        del called.__wrapped__  # type: ignore[attr-defined]  # its signature is another
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in parameters}
        called.epilog = epilog(*examples)  # type: ignore[attr-defined]
        return called

    return given


def add(app: typer.Typer, *commands: Any) -> None:
    """Let an application have commands."""
    for each in commands:
        app.command(cls=Command, epilog=each.epilog)(each)


def epilog(*lines: str) -> str:
    """Return the block of examples at the end of a command's help."""
    return "\n\n".join(["[bold]Examples[/bold]", *(f"  [cyan]$ {line}[/cyan]" for line in lines)])


def _group(annotation: Any) -> Group | None:
    if typing.get_origin(annotation) is Annotated:
        kind, about = typing.get_args(annotation)[:2]
        is_values = isinstance(about, type) and issubclass(about, Declared)
        return (about, typing.get_origin(kind)) if is_values else None
    return (annotation, annotation) if isinstance(annotation, type) and issubclass(annotation, Declared) else None


def _is_flag(each: Option) -> bool:
    return each.hint is not Any or each.metavar is not None


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
