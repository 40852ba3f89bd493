"""``likethat attribute``: which pixels speak for a class, of a model that can only be asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from likethat.cli._asking import (
    INPUT_HELP,
    OUT_HELP,
    TARGET_FLAGS,
    Asked,
    asking_takes,
    conclude,
    open_input,
    open_inputs,
)
from likethat.cli._generating import open_generator
from likethat.cli.console import say
from likethat.cli.flags import with_flags
from likethat.cli.many import into_folder
from likethat.cli.options import OVERWRITE_HELP, SPLIT_HELP, WORK_PANEL, examples
from likethat.cli.places import is_folder
from likethat.cli.progress import progress_bar
from likethat.cli.targets import TARGET_HELP, read_target
from likethat.options.declaring import Declared, given, option, seed_option

EXAMPLES = examples(
    "likethat attribute -m zoo:creatures -i zoo:creatures:5",
    "likethat attribute -m https://host/v2/models/reviews -i review.txt",
    "likethat attribute -m model.onnx -i photo.jpg --target cat --budget 256",
    "likethat attribute -m prices.onnx -i house.jpg --target 'above 200000'",
    "likethat attribute -m zoo:digits -g zoo:digits-flow -i zoo:digits:7 --algorithm freemcg",
)


_SHOWN = 10  # words in a terminal; the page has all


@dataclass(frozen=True, kw_only=True, eq=False)
class Map(Declared):
    """Of what a heat map is drawn, and how."""

    source: str = given(INPUT_HELP, flags=("--input", "-i"), metavar="FILE[:ROW]")
    generator: str | None = option(
        None,
        "zoo:digits-flow, diffusers:NAME, a folder of train-generator",
        flags=("--generator", "-g"), metavar="NAME|DIR",
    )  # fmt: skip
    algorithm: Literal["freemcg", "patches", "masks"] | None = option(
        None, "freemcg needs a denoiser; patches nothing; of texts masks"
    )
    fill: list[str] | None = option(
        None, "what hidden pixels show: mean, blur, noise, inpainting; may be repeated; the first three by default"
    )
    target: str | None = option(
        None, f"index or name, the predicted by default; {TARGET_HELP}", flags=TARGET_FLAGS, metavar="CLASS|LINE"
    )
    out: Path = option(Path("attribution.html"), OUT_HELP, flags=("--out", "-o"), metavar="FILE|DIR")
    budget: int = option(128, "queries, at most")
    seed: int = seed_option()
    overwrite: bool = option(False, OVERWRITE_HELP, panel=WORK_PANEL)
    workers: str = option("0", SPLIT_HELP, metavar="WORKERS", panel=WORK_PANEL)


@with_flags(heat=Map, asked=Asked)
def attribute(heat: dict[str, Any], asked: dict[str, Any]) -> None:
    """Draw which pixels of an image, or words of a text, speak for a class, and how sure that is."""
    from likethat.explainers import FreeMCG
    from likethat.explanations.word_attribution import WordAttribution

    told = Map(**heat)
    is_many = is_folder(told.out, overwrite=told.overwrite, workers=told.workers)
    made = None if told.generator is None else open_generator(told.generator)
    box_of = Asked(**asked)
    box, channels = box_of.open(*filter(None, [told.target]))
    target = read_target(told.target, box.class_names, output=box.output)
    method = FreeMCG(made, seed=told.seed).attribute
    limits: dict[str, Any] = {"budget": told.budget, "algorithm": told.algorithm, "fills": told.fill or None}
    if is_many:
        into_folder(box, open_inputs(told.source), target, out=told.out, workers=told.workers, method=method, **limits)
        return
    image = open_input(told.source, shape=getattr(made, "shape", None), channels=channels)
    with progress_bar(asking_takes()) as watch:
        found = method(box, image, target, watch=watch, **limits)
    clear, what = float(found.is_clear.mean()), "words" if isinstance(image, str) else "pixels"
    say(f"{found.target_name}: {clear:.0%} of the {what} have a clear sign, {found.queries} queries", style="bold")
    if isinstance(found, WordAttribution):
        _say_words(found)
    conclude(found, told.out, box_of, overwrite=told.overwrite)


def _say_words(found: Any) -> None:
    """Print the words with a clear sign, strongest first."""
    from likethat.report.text import shorten, signed

    order = sorted(range(len(found.values)), key=lambda place: -abs(found.values[place]))
    for place in [place for place in order if found.is_clear[place]][:_SHOWN]:
        piece = shorten(found.pieces[place], 60)
        say(f"{signed(float(found.values[place]))} ± {found.error[place]:.2f}  {piece}")
