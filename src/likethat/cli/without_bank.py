"""``likethat explain MODEL INPUT``: without a bank, by the method that what is at hand allows."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from likethat.cli._asking import Asked, asking_takes, conclude, has_weights, open_input
from likethat.cli._generating import open_generator
from likethat.cli.console import say
from likethat.cli.opening import open_images, open_model
from likethat.cli.options import SPLIT_HELP, WORK_PANEL
from likethat.cli.progress import progress_bar
from likethat.cli.targets import read_target
from likethat.errors import InputError
from likethat.options.declaring import Declared, option, seed_option

if TYPE_CHECKING:
    from likethat.explanations import Explanation


@dataclass(frozen=True, kw_only=True, eq=False)
class AtHand(Declared, panel="Without a bank"):
    """What there is beside the model, where it is named in place of a bank."""

    data: str | None = option(
        None,
        "images, a table or a .txt of texts like the input",
        flags=("--data", "-d"), metavar="DIR|FILE",
    )  # fmt: skip
    generator: str | None = option(
        None, "zoo:digits, a folder of train-generator", flags=("--generator", "-g"), metavar="NAME|DIR"
    )
    budget: int = option(200, "queries, at most, where the model is asked")
    seed: int = seed_option()
    workers: str = option("0", SPLIT_HELP, metavar="WORKERS", panel=WORK_PANEL)

    def check_no_bank(self) -> None:
        """Refuse what a bank has no use for."""
        if self.data is not None or self.generator is not None:
            raise InputError(
                "`--data` and `--generator` must be left out with a bank, which brings its own prototypes."
            )


def explain_without_bank(
    name: str,
    inputs: list[Path],
    *,
    out: Path,
    target: str | None,
    overwrite: bool,
    of: dict[str, Any],
    told: AtHand,
    top: int,
) -> "Explanation | None":
    """Explain one input of a model that is named; return it where it is as a bank would give it, else write its page.

    Raises:
        InputError: no such model, or several inputs.
    """
    from likethat.explainers import explain
    from likethat.explanations.explanation import Explanation

    if len(inputs) != 1:
        raise InputError(
            f"`IMAGE` must be one where no bank is given, got {len(inputs)}. A bank (likethat fit) explains many."
        )
    model, channels, wanted = model_named(name, of, target)
    made = None if told.generator is None else open_generator(told.generator)
    one: Any = inputs[0]
    if not one.is_file():  # a row of a table, or of what comes with the library
        one = open_input(str(one), shape=getattr(made, "shape", None), channels=channels)
    with progress_bar(asking_takes()) as watch:
        found: Any = explain(
            model,
            one,
            wanted,
            data=data_at_hand(told.data),
            generator=made,
            budget=told.budget,
            seed=told.seed,
            top=top,
            watch=watch,
        )
    if isinstance(found, Explanation):
        return found
    say(found.notes[0], style="yellow")
    conclude(found, out, Asked(black_box=name), overwrite=overwrite)
    return None


def model_named(name: str, of: dict[str, Any], target: str | None) -> tuple[Any, int | None, Any]:
    """Return what is explained, its channels, and what is asked: a network, of a class, or else a black box."""
    said = () if target is None else (target,)
    if has_weights(name):
        model = open_model(name, weights=of["weights"], layer=of["layer"], device=of["device"])
        box = Asked(black_box=name).asked_of(model, *said)
        wanted = read_target(target, model.class_names, output=box.output)
        return model if wanted is None or isinstance(wanted, int | str) else box, model.in_channels, wanted
    if "://" not in name and not Path(name).is_file():
        raise InputError(
            f"`BANK` must be a folder that likethat fit wrote, or a model (timm:resnet18, my.py:build, an .onnx, a "
            f"URL), got {name!r}, which is neither."
        )
    box, channels = Asked(black_box=name).open(*said)
    return box, channels, read_target(target, box.class_names, output=box.output)


def data_at_hand(name: str | None) -> Any:
    """Return the file of a table or of texts, which `explain` reads, or what lies in a folder of images."""
    from likethat.generators.reading import TABLES  # late: it brings torch

    if name is None:
        return None
    is_read = Path(name).suffix.lower() in (*TABLES, ".txt")
    return Path(name) if is_read else open_images(name, name="--data")
