"""``likethat explain``: why a model gives inputs their class, by a bank or by what is at hand without one."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from likethat.cli._asking import TARGET_FLAGS, Asked, asking_takes, conclude, has_weights, into_folder, open_input
from likethat.cli._generating import open_generator
from likethat.cli.attribute import say_where
from likethat.cli.console import give, say, say_path
from likethat.cli.console import out as output
from likethat.cli.counterfactual import say_changed
from likethat.cli.flags import command
from likethat.cli.opening import open_bank_with_model, open_images, open_model
from likethat.cli.options import OVERWRITE_HELP, SPLIT_HELP, WORK_PANEL, OfBank, Prepared, class_index_or_name
from likethat.cli.places import is_folder
from likethat.cli.progress import progress_bar
from likethat.cli.targets import TARGET_HELP, read_target
from likethat.errors import InputError
from likethat.options.declaring import Declared, option, seed_option

if TYPE_CHECKING:
    from likethat.explanations import Bank, Explanation


@dataclass(frozen=True, kw_only=True, eq=False)
class Asking(Declared):
    """What is asked, and where the answer goes."""

    out: Path = option(
        Path("why.html"), "the report (.html), or a folder with a result for each", flags=("--out", "-o"),
        metavar="FILE|DIR",
    )  # fmt: skip
    target: str | None = option(
        None, f"index or name, the predicted class by default; of a model {TARGET_HELP}", flags=TARGET_FLAGS,
        metavar="CLASS|LINE",
    )  # fmt: skip
    against: str | None = option(None, "explain why target and not this class", metavar="CLASS")
    top: int = option(4, "how many channels to show", low=1)
    overwrite: bool = option(False, OVERWRITE_HELP, panel=WORK_PANEL)
    workers: str = option("0", SPLIT_HELP, metavar="WORKERS", panel=WORK_PANEL)


@dataclass(frozen=True, kw_only=True, eq=False)
class AtHand(Prepared, panel="Without a bank"):
    """What there is beside the model, where it is named in place of a bank."""

    data: str | None = option(
        None, "images, a table or a .txt of texts like the input", flags=("--data", "-d"), metavar="DIR|FILE"
    )
    generator: str | None = option(
        None, "zoo:digits, a folder of train-generator", flags=("--generator", "-g"), metavar="NAME|DIR"
    )
    budget: int = option(200, "queries, at most, where the model is asked")
    seed: int = seed_option()

    def check_no_bank(self) -> None:
        """Refuse what a bank has no use for."""
        if self.data is not None or self.generator is not None:
            raise InputError(
                "`--data` and `--generator` must be left out with a bank, which brings its own prototypes."
            )
        self.check_no_network("a bank, which keeps its own")

    def open(self) -> dict[str, Any]:
        """Return what the library is given: data, generator, budget and seed."""
        made = None if self.generator is None else open_generator(self.generator)
        return {"data": _data_at_hand(self.data), "generator": made, "budget": self.budget, "seed": self.seed}


@command(
    "likethat explain bank photo.jpg --out why.html",
    "likethat explain bank photo.jpg --target wolf --against husky",
    "likethat explain bank photos/*.jpg --out gallery.html --top 6",
    "likethat explain bank photos/ --out explained",
    "likethat explain zoo:digits zoo:digits:7 --generator zoo:digits",
    "likethat explain model.onnx customers.csv:12 --data customers.csv --target good",
)
def explain(
    bank: Annotated[str, typer.Argument(metavar="BANK|MODEL", help="Folder that likethat fit wrote, or a model.")],
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            help="Image files, which make one gallery; of a model one input. With --out FOLDER also a folder, a table "
            "or a .txt with one text a line.",
        ),
    ],
    of: OfBank,
    told: Asking,
    at_hand: AtHand,
) -> None:
    """Say why the model gives images their class: which prototypes, where, and how much of the logit.

    With --out FOLDER every input has a result and a page of its own there, and the same words go on where they stopped.
    A model in place of the bank is explained by the method that fits what is at hand (--data, --generator).
    """
    if is_folder(told.out, overwrite=told.overwrite, workers=told.workers):
        _explain_many(bank, images, of, told, at_hand)
    elif Path(bank).is_dir():
        at_hand.check_no_bank()
        opened = open_bank_with_model(Path(bank), **vars(of))
        _conclude([_explain_one(opened, path, told) for path in images], told)
    else:
        _explain_without_bank(bank, images, of, told, at_hand)


def _explain_many(name: str, inputs: list[Path], of: OfBank, told: Asking, at_hand: AtHand) -> None:
    """Explain every picture of a folder, row of a table or line of a .txt into a folder with an index."""
    if told.against is not None:
        raise InputError("`--against` must be left out where --out is a folder of many results.")
    if Path(name).is_dir():
        at_hand.check_no_bank()
        model: Any = open_bank_with_model(Path(name), **vars(of))
        target: Any = class_index_or_name(told.target, tuple(model.class_names))
        asked: dict[str, Any] = {}
    else:
        model, _, target = _model_named(name, of, told.target, at_hand)
        asked = at_hand.open()
    given = inputs[0] if len(inputs) == 1 else [str(one) for one in inputs]
    into_folder(model, given, target, out=told.out, workers=told.workers, top=told.top, **asked)


def _explain_one(bank: "Bank", path: Path, told: Asking) -> "Explanation":
    target = class_index_or_name(told.target, bank.class_names)
    if told.against is None:
        return bank.explain(path, target, top=told.top)
    return bank.contrast(path, target, class_index_or_name(told.against, bank.class_names), top=told.top)


def _explain_without_bank(name: str, inputs: list[Path], of: OfBank, told: Asking, at_hand: AtHand) -> None:
    """Explain one input of a model that is named, and write its page."""
    from likethat.explainers import explain as explain_by_any
    from likethat.explanations import Explanation
    from likethat.explanations.counterfactual import Counterfactual

    for flag, value in (("--against", told.against), ("--model", of.model)):
        if value is not None:
            raise InputError(f"`{flag}` must be left out where no bank is given. Make one with likethat fit.")
    if len(inputs) != 1:
        raise InputError(
            f"`IMAGE` must be one where no bank is given, got {len(inputs)}. A bank (likethat fit) explains many."
        )
    model, channels, target = _model_named(name, of, told.target, at_hand)
    given = at_hand.open()
    one: Any = inputs[0]
    if not one.is_file():  # a row of a table, or of what comes with the library
        one = open_input(str(one), shape=getattr(given["generator"], "shape", None), channels=channels)
    with progress_bar(asking_takes()) as watch:
        found: Any = explain_by_any(model, one, target, top=told.top, watch=watch, **given)
    if isinstance(found, Explanation):  # as a bank would give it
        _conclude([found], told)
        return
    (say_changed if isinstance(found, Counterfactual) else say_where)(found)
    say(f"note: {found.notes[0]}", style="yellow")
    conclude(found, told.out, Asked(black_box=name), overwrite=told.overwrite)


def _model_named(name: str, of: OfBank, target: str | None, seen: Prepared) -> tuple[Any, int | None, Any]:
    """Return what is explained, its channels, and what is asked: a network, of a class, or else a black box."""
    said = () if target is None else (target,)
    if has_weights(name):
        preprocess = seen.preprocess()
        model = open_model(name, weights=of.weights, layer=of.layer, device=of.device, preprocess=preprocess)
        box = Asked(black_box=name).asked_of(model, *said)
        wanted = read_target(target, model.class_names, output=box.output)
        return model if wanted is None or isinstance(wanted, int | str) else box, model.in_channels, wanted
    if "://" not in name and not Path(name).is_file():
        raise InputError(
            f"`BANK` must be a folder that likethat fit wrote, or a model (timm:resnet18, my.py:build, an .onnx, a "
            f"URL), got {name!r}, which is neither."
        )
    box, channels = Asked(black_box=name, mean=seen.mean, std=seen.std, input_size=seen.input_size).open(*said)
    return box, channels, read_target(target, box.class_names, output=box.output)


def _data_at_hand(name: str | None) -> Any:
    """Return the file of a table or of texts, which `explain` reads, or what lies in a folder of images."""
    from likethat.generators.reading import TABLES  # late: it brings torch

    if name is None:
        return None
    is_read = Path(name).suffix.lower() in (*TABLES, ".txt")
    return Path(name) if is_read else open_images(name, name="--data")


def _conclude(found: list["Explanation"], told: Asking) -> None:
    """Give explanations out, and write their page."""
    from likethat.report import save_gallery

    give(*found)
    for why in found:
        say_explanation(why)
    if len(found) == 1:
        found[0].save(told.out, overwrite=told.overwrite)
    else:
        save_gallery(found, told.out, overwrite=told.overwrite)
    say_path("report", told.out)


def say_explanation(why: "Explanation") -> None:
    """Print an explanation as a table whose last column adds up."""
    from likethat.report.sentences import verdict

    joint = "and not" if why.outputs == "softmax" else "rather than"
    against = "" if why.against is None else f" {joint} {why.class_names[why.against]}"
    say(f"{why.source}: {verdict(why)}", style="bold")
    say(f"why {why.target_name}{against}: logit {why.logit:.2f}, probability {why.probability:.3f}")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("unit", "supplies", "purity", "box"):
        table.add_column(column, justify="right" if column in ("supplies", "purity") else "left")
    for row in why.rows:
        table.add_row(Text(row.name), f"{row.total:+.3f}", f"{row.purity:.2f}", Text(_place(row.box, row.true_part)))
    shown_unlocated = sum(row.unlocated for row in why.rows)
    table.add_row("the other units", f"{why.rest:+.3f}", "", "")
    if why.remainder:
        table.add_row("not localised", f"{why.remainder - shown_unlocated:+.3f}", "", "")
    table.add_row("bias", f"{why.bias:+.3f}", "", "")
    output.print(table)
    for warning in why.warnings:
        say(f"note: {warning}", style="yellow")


def _place(box: tuple[int, int, int, int], true_part: str | None) -> str:
    place = f"x {box[0]}–{box[2]}, y {box[1]}–{box[3]}"
    return f"{place} ({true_part})" if true_part else place
