"""The entry point: one typer application, assembled from the commands beside this file.

To add a command: write a function in its own file and add it below; a ``fit`` method in `likethat.cli.fit`.
"""

from typing import Annotated

import typer

from likethat._version import __version__
from likethat.cli import fit, train_generator
from likethat.cli.attribute import attribute
from likethat.cli.audit import audit
from likethat.cli.bank import evaluate, rename, show
from likethat.cli.compare import compare
from likethat.cli.console import answering, out
from likethat.cli.counterfactual import counterfactual
from likethat.cli.demo import demo
from likethat.cli.exemplars import exemplars
from likethat.cli.explain import explain
from likethat.cli.flags import add, epilog
from likethat.cli.group import ARGUMENTS, RootGroup
from likethat.cli.serve import serve
from likethat.cli.split import split

app = typer.Typer(
    name="likethat",
    cls=RootGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
add(app, demo, split, explain, show, rename, evaluate, exemplars, counterfactual, audit, compare, attribute, serve)
app.add_typer(fit.app, name="fit")
app.add_typer(train_generator.app, name="train-generator")


def _print_version(ctx: typer.Context, is_asked: bool) -> None:
    if is_asked:
        with answering(is_json="--json" in ctx.meta[ARGUMENTS]):  # the document has the version in any case
            out.print(f"likethat {__version__}")
        raise typer.Exit


@app.callback(
    epilog=epilog(
        "likethat demo",
        "likethat fit epic --model timm:resnet18 --images photos/ --out bank",
        "likethat explain bank photo.jpg --out why.html",
    )
)
def root(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output, all else on standard error.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Explain a trained image classifier: [bold]this looks like that[/bold].

    [bold]fit[/bold] finds what each channel of a network looks for.
    [bold]explain[/bold] says which of it is in your image, where, and how much of the logit it supplies.
    The network is not changed, and all contributions add up to its own logit.
    """


def run() -> None:
    """Run the command line; exit code 0, 2 for a wrong call, 3 where a line of --fail-if holds, 130 when stopped."""
    app(prog_name="likethat")
