"""What ``--target`` says: a class, or in a short sentence where a number of the model's answer shall lie.

::

    above 200000   price below 0.2   below 20 %   between 100 and 120    a line (NAME before it where there are several)
    20 % less      price 10% more    3 less       less by 3              the same, from where the input stands
    label smiling  not smiling       no longer smiling                   one of several independent labels

What the commands print of a line is such a sentence too. A class of that very name goes first.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from likethat.cli.console import notes
from likethat.cli.options import class_index_or_name
from likethat.errors import InputError

if TYPE_CHECKING:
    from likethat._responses import Wanted

Answers: TypeAlias = Literal["auto", "probabilities", "logits", "labels", "numbers"]

FORMS = (
    "'above 200000', 'below 0.2', 'between 100 and 120', '20 % less', '3 more', each with a number's name before it "
    "where there are several ('price above 200000'); 'label smiling' or 'not smiling'"
)
TARGET_HELP = "or a line: 'price above 200000', 'below 0.2', 'between 1 and 2', '20 % less', 'not smiling'"

_SHOWN = 6  # names in an error
_NUMBER = r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+|(?=\.\d))(?:\.\d*)?(?:e[+-]?\d+)?"  # 0,2 is none: it could be 0.2 or 2
_LINES = tuple(
    re.compile(rf"(?:(?P<of>.+)\s+)?{form}", re.IGNORECASE | re.DOTALL)
    for form in (
        rf"(?P<word>above|below)\s+(?P<first>{_NUMBER})\s*(?P<percent>%)?",
        rf"(?P<word>between)\s+(?P<first>{_NUMBER})\s*%?\s+and\s+(?P<second>{_NUMBER})\s*(?P<percent>%)?",
        rf"(?P<first>{_NUMBER})\s*(?P<percent>%)?\s+(?P<word>less|more)",
        rf"(?P<word>less|more)\s+by\s+(?P<first>{_NUMBER})\s*(?P<percent>%)?",
    )
)
_LABEL = re.compile(r"(?P<word>label|not|no\s+longer)\s+(?P<of>.+)", re.IGNORECASE | re.DOTALL)
_MEANT = re.compile(
    r"[<>=%]|\b(?:above|below|between|less|more|than|over|under|least|most|not|no longer|label)\b", re.IGNORECASE
)  # what somebody writes who means no class


def read_target(text: str | None, class_names: Sequence[str], *, output: str = "auto") -> "int | str | Wanted | None":
    """Return the class, line or label that a command's words stand for.

    ``line:`` before a sentence, ``name:`` before a class leave no doubt.

    Args:
        text: the words; None for none.
        class_names: of the model's classes, labels or numbers; empty where they are not known yet.
        output: what its answers are, as of a `BlackBox`: "numbers" have no percentages to lie between.

    Raises:
        InputError: a sentence of no known form, or one that can be read in two ways.
        TargetError: a number that is one class's name and another's index.

    Example:
        >>> read_target("price above 200,000", ["price"]), read_target("10 % more", ["price"])
        (Above(value=200000.0, of='price'), More(percent=10.0, by=None, of=None))
        >>> read_target("not smiling", ["smiling", "old"]), read_target("smiling", ["smiling", "old"])
        (Label(name='smiling', on=False), 'smiling')
    """
    names = tuple(class_names)
    if text is None:
        return None
    found = list(_readings(text.removeprefix("line:"), names, output))
    if _is_class(text, names):
        if found and text in names:
            notes.print(
                f"{text!r} is the name of a class, and is taken for it. For the line say 'line:{text}'.",
                soft_wrap=True, markup=False,
            )  # fmt: skip
        return class_index_or_name(text, names)
    if len(found) > 1:
        raise InputError(f"`--target` must be meant beyond doubt, got {text!r}, which is {found[0]} or {found[1]}.")
    if found:
        return found[0]
    _check_sentence(text, names)
    return class_index_or_name(text, names)


def output_for(texts: Sequence[str], class_names: Sequence[str]) -> Answers:
    """Return what a model's answers must be so that it can be asked for these words.

    Raises:
        InputError: they ask for different things, or one is a sentence of no known form.

    Example:
        >>> output_for(["above 3"], []), output_for(["not smiling"], []), output_for(["ill below 20 %"], [])
        ('numbers', 'labels', 'auto')
    """
    wanted = {_output_for(text, tuple(class_names)) for text in texts} or {"auto"}
    if len(wanted) > 1:
        raise InputError(f"`--target` must be classes alone, labels alone or lines alone, got {', '.join(texts)}.")
    return wanted.pop()


def _output_for(text: str, names: tuple[str, ...]) -> Answers:
    from likethat._responses import Label, is_line  # late: it brings torch

    if _is_class(text, names):
        return "auto"
    found = next(_readings(text.removeprefix("line:"), names, "auto"), None)
    if found is None:
        _check_sentence(text, names)  # before a model is opened for it
        return "auto"
    if isinstance(found, Label):
        return "labels"
    is_share = "%" in text and hasattr(found, "stretch") and not hasattr(found, "percent")  # of a probability
    return "numbers" if is_line(found) and not is_share else "auto"


def _check_sentence(text: str, names: tuple[str, ...]) -> None:
    """Refuse what is no class and has the words of a sentence."""
    if _MEANT.search(text) or text.startswith("line:"):
        known = f" It knows {', '.join(map(repr, names[:_SHOWN]))}{', …' * (len(names) > _SHOWN)}." if names else ""
        raise InputError(f"`--target` must be a class of the model, or such as {FORMS}; got {text!r}.{known}")


def _is_class(text: str, names: tuple[str, ...]) -> bool:
    kind, _, word = text.partition(":")
    return text in names or (kind == "name" and word in names)


def _readings(text: str, names: tuple[str, ...], output: str) -> Iterator["Wanted"]:
    """Yield what a sentence can mean, by names that the model has."""
    from likethat._responses import Label

    label = _LABEL.fullmatch(text.strip())
    lines = [match for line in _LINES if (match := line.fullmatch(text.strip())) is not None]
    for match in lines:
        of = match["of"]
        if of is None or _is_known(of, names):
            yield _line(match, None if of is None else _named(of, names), output)
    is_other = label is not None and _is_known(label["of"], names) and (bool(names) or not lines)
    if label is not None and not names and _LABEL.fullmatch(label["of"]):
        return  # "not not smiling": nobody means a label that is called so
    if label is not None and is_other:
        yield Label(_named(label["of"], names), on=label["word"].lower() == "label")


def _named(of: str, names: tuple[str, ...]) -> int | str:
    found = class_index_or_name(of, names)
    assert found is not None  # it is for no words alone
    return found


def _is_known(of: str, names: tuple[str, ...]) -> bool:
    """Whether a model has a number of that name, as far as its names are known."""
    from likethat._class_names import find_classes  # late: it brings torch

    found = _named(of, names)
    return not names or (0 <= found < len(names) if isinstance(found, int) else bool(find_classes(found, names)))


def _line(match: re.Match[str], of: int | str | None, output: str) -> "Wanted":
    from likethat._responses import Above, Below, Between, Less, More

    word, is_percent = match["word"].lower(), match["percent"] is not None
    first = _number(match["first"])
    than: dict[str, Callable[..., Any]] = {"less": Less, "more": More}
    if word in than:
        return _made(than[word], of=of, **{"percent" if is_percent else "by": float(first)})
    if is_percent and output == "numbers":
        raise InputError(
            f"`--target` must give a line in the number's own unit where the answers are numbers, got {match[0]!r}. "
            "Leave the % out."
        )
    places = -2 if is_percent else 0  # in decimals: 0.7 / 100 is not 0.007
    if word == "between":
        return _made(Between, float(first.scaleb(places)), float(_number(match["second"]).scaleb(places)), of=of)
    return _made({"above": Above, "below": Below}[word], float(first.scaleb(places)), of=of)


def _number(word: str) -> Decimal:
    return Decimal(word.replace(",", ""))


def _made(kind: Callable[..., Any], *numbers: float, **options: Any) -> Any:
    """Return a line; what is wrong with its numbers is said of the flag."""
    try:
        return kind(*numbers, **options)
    except InputError as error:
        raise InputError(re.sub(r"`\w+`", "the number of `--target`", str(error), count=1)) from error
