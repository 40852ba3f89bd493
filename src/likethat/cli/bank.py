"""Commands on a saved bank: explain images with it, show it, measure it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from likethat.cli.console import give, notes, say, say_path, say_table
from likethat.cli.console import out as output
from likethat.cli.flags import with_flags
from likethat.cli.many import explain_into
from likethat.cli.opening import open_bank_with_model, open_images
from likethat.cli.options import OfBank, OverwriteOption, class_index_or_name, examples
from likethat.cli.places import check_page, is_folder
from likethat.cli.progress import progress_bar
from likethat.cli.targets import TARGET_HELP
from likethat.cli.without_bank import AtHand, explain_without_bank
from likethat.errors import InputError

if TYPE_CHECKING:
    from likethat.explanations import Bank, Explanation
    from likethat.metrics import Measures

EXPLAIN_EXAMPLES = examples(
    "likethat explain bank photo.jpg --out why.html",
    "likethat explain bank photo.jpg --target wolf --against husky",
    "likethat explain bank photos/*.jpg --out gallery.html --top 6",
    "likethat explain bank photos/ --out explained",
    "likethat explain zoo:digits zoo:digits:7 --generator zoo:digits",
    "likethat explain model.onnx customers.csv:12 --data customers.csv --target good",
)
SHOW_EXAMPLES = examples(
    "likethat show bank --out bank.html",
    "likethat show parts-bank --by-class --class owl --out owl.html",
)
EVALUATE_EXAMPLES = examples(
    "likethat evaluate bank --images held-out-photos/",
    "likethat evaluate creatures-bank --images zoo:creatures",
    "likethat evaluate digits-bank --images zoo:digits --n-explained 50 --json",
)

BankArgument = Annotated[Path, typer.Argument(metavar="BANK", help="Folder that likethat fit wrote.")]
TargetOption = Annotated[
    str | None,
    typer.Option(
        "--target",
        "-t",
        metavar="CLASS|LINE",
        help=f"Index or name, the predicted class by default; of a model {TARGET_HELP}.",
    ),
]


@with_flags(of=OfBank, at_hand=AtHand)
def explain(
    bank: Annotated[str, typer.Argument(metavar="BANK|MODEL", help="Folder that likethat fit wrote, or a model.")],
    of: dict[str, Any],
    at_hand: dict[str, Any],
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...",
            help="Image files, which make one gallery; of a model one input. With --out FOLDER also a folder, a table "
            "or a .txt with one text a line.",
        ),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE|DIR", help="The report (.html), or a folder with a result for each."),
    ] = Path("why.html"),
    target: TargetOption = None,
    against: Annotated[str | None, typer.Option(metavar="CLASS", help="Explain why target and not this class.")] = None,
    top: Annotated[int, typer.Option(help="How many channels to show.")] = 4,
    overwrite: OverwriteOption = False,
) -> None:
    """Say why the model gives images their class: which prototypes, where, and how much of the logit.

    With --out FOLDER every input has a result and a page of its own there, and the same words go on where they stopped.
    A model in place of the bank is explained by the method that fits what is at hand (--data, --generator).
    """
    told = AtHand(**at_hand)
    if is_folder(out, overwrite=overwrite, workers=told.workers):
        if against is not None:
            raise InputError("`--against` must be left out where --out is a folder of many results.")
        explain_into(bank, images, out=out, target=target, of=of, told=told, top=top)
        return
    if not Path(bank).is_dir():
        said = [flag for flag, value in (("--against", against), ("--model", of["model"])) if value is not None]
        if said:
            raise InputError(f"`{said[0]}` must be left out where no bank is given. Make one with likethat fit.")
        why = explain_without_bank(bank, images, out=out, target=target, overwrite=overwrite, of=of, told=told, top=top)
        if why is not None:
            _conclude([why], out, overwrite=overwrite)
        return
    told.check_no_bank()
    opened = open_bank_with_model(Path(bank), **of)
    found = [_explain_one(opened, path, target=target, against=against, top=top) for path in images]
    _conclude(found, out, overwrite=overwrite)


def _conclude(found: list["Explanation"], out: Path, *, overwrite: bool) -> None:
    """Give explanations out, and write their page."""
    give(*found)
    for why in found:
        say_explanation(why)
    if len(found) == 1:
        found[0].save(out, overwrite=overwrite)
    else:
        from likethat.report import save_gallery

        save_gallery(found, out, overwrite=overwrite)
    say_path("report", out)


def _explain_one(bank: "Bank", path: Path, *, target: str | None, against: str | None, top: int) -> "Explanation":
    wanted = class_index_or_name(target, bank.class_names)
    if against is None:
        return bank.explain(path, wanted, top=top)
    return bank.contrast(path, wanted, class_index_or_name(against, bank.class_names), top=top)


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


def show(
    bank: BankArgument,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The page, one HTML file.")] = Path(
        "bank.html"
    ),
    by_class: Annotated[bool, typer.Option("--by-class", help="Class by class: banks of parts only.")] = False,
    classes: Annotated[
        list[str] | None, typer.Option("--class", metavar="CLASS", help="With --by-class: this class; may be repeated.")
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Write the page of a bank: every channel with its prototypes. The model is not needed."""
    from likethat.explanations import open_bank
    from likethat.report import save_classes

    check_page(out, overwrite=overwrite)
    if classes and not by_class:
        raise InputError("`--class` must stand with --by-class, got it alone. Add --by-class.")
    opened = open_bank(bank)
    give(opened)
    if by_class:
        targets = [class_index_or_name(name, opened.class_names) for name in classes or []]
        wanted = [target for target in targets if target is not None] or None
        save_classes(opened, out, wanted, overwrite=overwrite)
    else:
        opened.save(out, overwrite=overwrite)
    say_path("page", out)


@with_flags(of=OfBank)
def evaluate(
    bank: BankArgument,
    of: dict[str, Any],
    *,
    images: Annotated[
        str, typer.Option("--images", "-i", metavar="DIR", help="Held-out images: a folder, zoo:creatures, zoo:digits.")
    ],
    n_explained: Annotated[int, typer.Option(help="How many of them are explained.")] = 200,
    top: Annotated[int, typer.Option(help="Rows an explanation.")] = 4,
    seed: Annotated[int, typer.Option(help="Of the random windows and the noise.")] = 0,
) -> None:
    """Measure a bank on images that it was not fitted on.

    Measures against true parts need a source that knows them, such as zoo:creatures.
    """
    from likethat import metrics

    source = open_images(images, held_out=True)
    opened = open_bank_with_model(bank, **of)
    notes.print(f"{len(source):,} images in {images}", markup=False, soft_wrap=True)
    with progress_bar() as watch:
        measures = metrics.evaluate(
            opened, source, top=top, n_explained=n_explained, n_deleted=max(1, n_explained // 2), seed=seed, watch=watch
        )
    give(values=measures.row())
    _say_measures(measures)


def _say_measures(measures: "Measures") -> None:
    row, meanings = measures.row(), measures.meanings()
    say(f"measured on {row.pop('n_images')} explanations", style="bold")
    say_table(
        {
            name.replace("_", " "): f"{value:<8.3g} {meanings.get(name, '')}".rstrip()
            for name, value in row.items()
            if value is not None
        }
    )
