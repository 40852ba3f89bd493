"""``likethat attribute``: which pixels speak for a class, of a model that can only be asked."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from likethat.cli._asking import (
    BlackBoxOption,
    CacheOption,
    GeneratorOption,
    InputOption,
    TokenOption,
    open_box,
    open_input,
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

__all__ = ["EXAMPLES", "attribute"]

EXAMPLES = examples(
    "likethat attribute -m zoo:creatures -i zoo:creatures:5",
    "likethat attribute -m https://host/v2/models/reviews -i review.txt",
    "likethat attribute -m model.onnx -i photo.jpg --target cat --budget 256",
    "likethat attribute -m zoo:digits -g zoo:digits-flow -i zoo:digits:7 --method freemcg",
)


_SHOWN = 10  # words in a terminal; the page has all


class Method(StrEnum):
    """What takes the place of hidden patches."""

    freemcg = "freemcg"
    patches = "patches"
    masks = "masks"


def attribute(
    *,
    black_box: BlackBoxOption,
    source: InputOption,
    generator: GeneratorOption = None,
    method: Annotated[
        Method | None, typer.Option(help="freemcg needs a denoiser; patches nothing; of texts masks.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", "-t", metavar="CLASS", help="Index or name; the predicted by default.")
    ] = None,
    out_path: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The page.")] = Path("attribution.html"),
    budget: Annotated[int, typer.Option(help="Queries, at most.")] = 128,
    class_names: ClassNamesOption = None,
    token_env: TokenOption = None,
    cache: CacheOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Draw which pixels of an image, or words of a text, speak for a class, and how sure that is."""
    from likethat.explainers import FreeMCG
    from likethat.explanations.word_attribution import WordAttribution

    check_page(out_path, overwrite=overwrite)
    made = None if generator is None else open_generator(generator)
    box, channels = open_box(black_box, class_names=class_names, token_env=token_env, cache=cache, device=device)
    image = open_input(source, shape=getattr(made, "shape", None), channels=channels)
    wanted = class_index_or_name(target, tuple(box.class_names))
    with progress_bar() as watch:
        found = FreeMCG(made, seed=seed).attribute(
            box, image, wanted, budget=budget, method=None if method is None else method.value, watch=watch
        )
    clear, what = float(found.is_clear.mean()), "words" if isinstance(image, str) else "pixels"
    say(f"{found.target_name}: {clear:.0%} of the {what} have a clear sign, {found.queries} queries", style="bold")
    if isinstance(found, WordAttribution):
        _say_words(found)
    give(found)
    if found.status.advice:
        notes.print(found.status.advice, soft_wrap=True, markup=False)
    say_path("page", found.save(out_path, overwrite=overwrite))
    if found.status.is_interrupted:
        raise KeyboardInterrupt


def _say_words(found: Any) -> None:
    """Print the words with a clear sign, strongest first."""
    from likethat.report.text import shorten, signed

    order = sorted(range(len(found.values)), key=lambda place: -abs(found.values[place]))
    for place in [place for place in order if found.is_clear[place]][:_SHOWN]:
        piece = shorten(found.pieces[place], 60)
        say(f"{signed(float(found.values[place]))} ± {found.error[place]:.2f}  {piece}")
