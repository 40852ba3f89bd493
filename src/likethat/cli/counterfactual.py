"""``likethat counterfactual``: what would have to be different for another class."""

from pathlib import Path
from typing import Annotated, Any

import typer

from likethat.cli._asking import (
    BlackBoxOption,
    CacheOption,
    InputOption,
    TokenOption,
    open_box,
    open_input,
    open_mask,
)
from likethat.cli._generating import open_generator
from likethat.cli.answer import give
from likethat.cli.console import notes, say, say_path
from likethat.cli.options import (
    ClassNamesOption,
    DeviceOption,
    OverwriteOption,
    SeedOption,
    class_index_or_name,
    examples,
)
from likethat.cli.places import check_page
from likethat.cli.progress import progress_bar
from likethat.errors import InputError

__all__ = ["EXAMPLES", "counterfactual"]

EXAMPLES = examples(
    "likethat counterfactual -m zoo:digits -g zoo:digits-flow -i zoo:digits:7 --target 3",
    "likethat counterfactual -m model.onnx -g customers/ -i customers.csv:12 --target good --keep sex --up age",
    "likethat counterfactual -m zoo:creatures -g zoo:creatures-flow -i zoo:creatures:3 --target 1 --mask head.png",
    "likethat counterfactual -m https://host/v2/models/reviews -g reviews.txt -i review.txt --confidence 0.8",
    "likethat counterfactual -m https://host/v2/models/scan -g diffusers:my/ddpm -i scan.png",
)


def counterfactual(
    *,
    black_box: BlackBoxOption,
    generator: Annotated[
        str,
        typer.Option(
            "--generator",
            "-g",
            metavar="NAME|DIR|FILE",
            help="zoo:digits-flow, diffusers:NAME, a trained folder, or texts (.txt).",
        ),
    ],
    source: InputOption,
    target: Annotated[
        str | None, typer.Option("--target", "-t", metavar="CLASS", help="Index or name; any other class by default.")
    ] = None,
    out_path: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The page.")] = Path(
        "counterfactual.html"
    ),
    n: Annotated[int, typer.Option("-n", help="How many different ones.")] = 1,
    budget: Annotated[int, typer.Option(help="Queries, at most.")] = 200,
    confidence: Annotated[
        float | None,
        typer.Option(
            help="Probability of the target that is enough: by default 0.98, for rows 0.6, for texts the decision."
        ),
    ] = None,
    keep: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column, or word of a text, that stays; may repeat.")
    ] = None,
    up: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="A column that may only rise.")] = None,
    down: Annotated[list[str] | None, typer.Option(metavar="COLUMN", help="A column that may only fall.")] = None,
    within: Annotated[
        list[str] | None, typer.Option("--range", metavar="COLUMN=LOW:HIGH", help="What a column may be.")
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A picture of the image's size: only where it is white, may it change."),
    ] = None,
    noise: Annotated[
        float | None,
        typer.Option(help="More finds classes that look quite different; by the picture's size by default."),
    ] = None,
    class_names: ClassNamesOption = None,
    token_env: TokenOption = None,
    cache: CacheOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Change an image, a row or a text just so far that the model gives it to another class, by asking it alone."""
    from likethat.explainers import FreeMCG

    check_page(out_path, overwrite=overwrite)
    made = open_generator(generator)
    box, channels = open_box(black_box, class_names=class_names, token_env=token_env, cache=cache, device=device)
    one = open_input(source, shape=getattr(made, "shape", None), channels=channels)
    method = FreeMCG(made, confidence=confidence, noise=noise, seed=seed)
    with progress_bar() as watch:
        found = method.counterfactual(
            box,
            one,
            class_index_or_name(target, tuple(box.class_names)),
            n=n,
            budget=budget,
            mask=None if mask is None else open_mask(mask, one),
            immutable=keep or (),
            ranges=_ranges(within or []) or None,
            directions=dict.fromkeys(up or [], "up") | dict.fromkeys(down or [], "down") or None,
            watch=watch,
        )
    chance = found.probability(found.best)
    say(f"{found.target_name}: {found.status.reason}, probability {chance:.3f}, {found.queries} queries", style="bold")
    if found.kind == "text":
        _say_text(found)
    else:
        for change in found.best.changes:
            say(str(change))
    for told in found.best.broken:
        say(f"breaks, as the source does: {told}")
    if found.curve:
        say("columns by confidence: " + ", ".join(f"{at.n_columns} at {at.confidence:g}" for at in found.curve))
    give(found)
    if found.status.advice:
        notes.print(found.status.advice, soft_wrap=True, markup=False)
    say_path("page", found.save(out_path, overwrite=overwrite))
    if found.status.is_interrupted:
        raise KeyboardInterrupt


def _say_text(found: Any) -> None:
    """Print the edits as a line, and the nearest real text."""
    from likethat.report.diffs import diff_line
    from likethat.report.text import clean

    say(clean(diff_line(found.source[0], found.best.input[0])))
    if found.real is not None:
        say(f"nearest real text: {clean(found.real.input[0])}")


def _ranges(words: list[str]) -> dict[str, tuple[float | str, float | str]]:
    """Return the ranges that words such as ``age=18:65`` or ``since=2019-01-01:2020-06-30`` stand for.

    Raises:
        InputError: another form.

    Example:
        >>> _ranges(["age=18:65", "grade=C:A"])
        {'age': (18.0, 65.0), 'grade': ('C', 'A')}
    """
    found: dict[str, tuple[float | str, float | str]] = {}
    for word in words:
        name, _, bounds = word.rpartition("=")
        low, _, high = bounds.partition(":")
        if not name or not low or not high:
            raise InputError(f"`--range` must be such as age=18:65 or since=2019-01-01:2020-06-30, got {word!r}.")
        try:
            found[name] = (float(low), float(high))
        except ValueError:
            found[name] = (low, high)  # dates, or ordered categories
    return found
