"""``likethat attribute``: which pixels speak for a class, of a model that can only be asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from likethat.cli._asking import OUT_HELP, TARGET_FLAGS, Asked, Searched, conclude, search
from likethat.cli.console import say
from likethat.cli.flags import command
from likethat.cli.targets import TARGET_HELP
from likethat.options.declaring import option, seed_option

_SHOWN = 10  # words in a terminal; the page has all


@dataclass(frozen=True, kw_only=True, eq=False)
class Map(Searched):
    """Of what a heat map is drawn, and how."""

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


@command(
    "likethat attribute -m zoo:creatures -i zoo:creatures:5",
    "likethat attribute -m https://host/v2/models/reviews -i review.txt",
    "likethat attribute -m model.onnx -i photo.jpg --target cat --budget 256",
    "likethat attribute -m prices.onnx -i house.jpg --target 'above 200000'",
    "likethat attribute -m zoo:digits -g zoo:digits-flow -i zoo:digits:7 --algorithm freemcg",
)
def attribute(told: Map, asked: Asked) -> None:
    """Draw which pixels of an image, or words of a text, speak for a class, and how sure that is."""
    from likethat.explainers import FreeMCG

    limits = {"budget": told.budget, "algorithm": told.algorithm, "fills": told.fill or None}
    found = search(lambda made: FreeMCG(made, seed=told.seed).attribute, told, asked, **limits)
    if found is None:
        return
    say_where(found)
    conclude(found, told.out, asked, overwrite=told.overwrite)


def say_where(found: Any) -> None:
    """Print what the model says and how much of the input speaks for it; of a text the clear words, strongest first."""
    from likethat.explanations.attribution import EXACTLY
    from likethat.explanations.word_attribution import WordAttribution
    from likethat.report.attribution import headline_of, what_model_says
    from likethat.report.text import shorten, signed

    is_text = isinstance(found, WordAttribution)
    what = "words" if is_text else "pixels"
    how = f"{found.is_clear.mean():.0%} of the {what} have a clear sign, {found.queries} queries"
    if not is_text and found.method == EXACTLY:
        how = "exact, in one pass of the network"
    say(f"{headline_of(found)}: {how}. {what_model_says(found)}", style="bold")
    if not is_text:
        return
    order = sorted(range(len(found.values)), key=lambda place: -abs(found.values[place]))
    for place in [place for place in order if found.is_clear[place]][:_SHOWN]:
        piece = shorten(found.pieces[place], 60)
        say(f"{signed(float(found.values[place]))} ± {found.error[place]:.2f}  {piece}")
