"""``likethat exemplars``: inputs made to be typical of what a model answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from likethat._files import new_folder
from likethat._showing import kind_of
from likethat.cli._asking import TARGET_FLAGS, Asked, asking_takes
from likethat.cli._generating import open_generator
from likethat.cli.console import give, notes, out, say_path
from likethat.cli.flags import command
from likethat.cli.opening import open_images
from likethat.cli.options import OVERWRITE_HELP, WORK_PANEL, class_index_or_name
from likethat.cli.places import check_page
from likethat.cli.progress import progress_bar
from likethat.cli.targets import TARGET_HELP, read_target
from likethat.errors import InputError
from likethat.options import ExemplarOptions
from likethat.options.declaring import Declared, given, option


@dataclass(frozen=True, kw_only=True, eq=False)
class Sought(Declared):
    """What exemplars are of, and where they go."""

    generator: str = given(
        "zoo:NAME, a folder of train-generator, or texts (.txt)", flags=("--generator", "-g"), metavar="NAME|DIR|FILE"
    )
    target: list[str] | None = option(
        None,
        f"index, name, 'a=.5,b=.5', or all; {TARGET_HELP}; may be repeated",
        flags=TARGET_FLAGS, metavar="CLASS|LINE",
    )  # fmt: skip
    out: Path = option(
        Path("exemplars.html"),
        "a page (.html), or a folder of numbers and inputs",
        flags=("--out", "-o"), metavar="FILE|DIR",
    )  # fmt: skip
    n: int = option(5, "exemplars a target", flags=("-n",))
    budget: int = option(500, "queries a target, at most")
    data: str | None = option(None, "real inputs, to tell how near the exemplars are to them", metavar="PATH")
    overwrite: bool = option(False, OVERWRITE_HELP, panel=WORK_PANEL)


@command(
    "likethat exemplars --black-box zoo:digits --generator zoo:digits --target all --out e.html",
    "likethat exemplars -m model.onnx -g customers/ --target 'good=.5,bad=.5' --out e.html",
    "likethat exemplars -m https://host/v2/models/reviews -g reviews/ -t positive --budget 100 --out e.html",
)
def exemplars(told: Sought, options: Annotated[dict[str, Any], ExemplarOptions], asked: Asked) -> None:
    """Make inputs that a model takes for a class, or for anything between classes, by asking it.

    Stopped early, it leaves what was found.
    """
    from likethat.explainers import Exemplars
    from likethat.generators import inputs_like

    check_page(told.out, overwrite=told.overwrite, or_folder=True)
    made = open_generator(told.generator)
    box, _ = asked.open(*_whole(told.target or ()))
    method = Exemplars(made, **options)
    is_image = made.kind == "image"
    real = None if told.data is None else inputs_like(made, open_images(told.data) if is_image else told.data)
    targets = _targets(told.target or ["all"], tuple(box.class_names), output=box.output)
    number = f"{len(targets)} targets" if targets is not None else "all classes"
    notes.print(f"looking for {told.n} exemplars of {number}, with at most {told.budget} queries each")
    with progress_bar(asking_takes("finding exemplars")) as watch:
        found = method.search_all(box, targets, n=told.n, budget=told.budget, data=real, watch=watch)
    give(*found)
    for item in found:
        reached = f"{int(item.reached.sum())} of {len(item)} reached"
        out.print(f"{item.description}: {reached}, {item.queries} queries", soft_wrap=True, markup=False)
        if item.status.advice:
            notes.print(f"  {item.status.advice}", soft_wrap=True, markup=False)
    for note in getattr(box, "notes", ()):
        notes.print(note, soft_wrap=True, markup=False)
    say_path("exemplars", _save(found, told.out, overwrite=told.overwrite))
    if any(item.status.is_interrupted for item in found):
        raise asked.stop()


def _whole(words: Sequence[str]) -> list[str]:
    """Return the words that may be a line: not `all`, and no shares of several classes."""
    return [word for word in words if word != "all" and "=" not in word]


def _targets(words: Sequence[str], class_names: tuple[str, ...], *, output: str = "auto") -> list[Any] | None:
    """Return what `search_all` takes for the words of a command; None for all classes.

    Example:
        >>> _targets(["3", "cat=.5,dog=.5"], ("cat", "dog"))
        [3, {'cat': 0.5, 'dog': 0.5}]
    """
    if "all" in words and "all" not in class_names:
        return None
    return [_target(word, class_names, output) for word in words]


def _target(word: str, class_names: tuple[str, ...], output: str = "auto") -> Any:
    if word in class_names or "=" not in word:
        return read_target(word, class_names, output=output)
    wanted: dict[Any, float] = {}
    for part in word.split(","):
        name, _, number = part.rpartition("=")
        target = class_index_or_name(name.strip(), class_names)  # says itself where a number could be two classes
        try:
            wanted[target] = float(number)
        except ValueError:
            raise InputError(f"`--target` must be such as 'a=.5,b=.5', got {word!r}.") from None
    return wanted


def _save(found: Sequence[Any], path: Path, *, overwrite: bool) -> Path:
    if kind_of(path) == "page":
        from likethat.report.exemplars import exemplars_page

        return exemplars_page(found).write(path, overwrite=overwrite)
    if len(found) == 1:
        return Path(found[0].save(path, overwrite=overwrite))
    with new_folder(path, overwrite=overwrite) as folder:
        for number, item in enumerate(found):
            item.save(folder / f"{number}")
    return path
