"""Generators in the words of a command: which one, and how a diffusers pipeline is taken."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from likethat.cli.opening import device_of
from likethat.errors import InputError

__all__ = [
    "GENERATOR_PANEL",
    "AnchorOption",
    "By",
    "ByOption",
    "CheckpointingOption",
    "ClassAnchorsOption",
    "DtypeOption",
    "GeneratorOption",
    "PipelineStepsOption",
    "RankOption",
    "ReachOption",
    "SizeOption",
    "TilingOption",
    "anchor_options",
    "open_generator",
    "pipeline_options",
]

GENERATOR_PANEL, _PIPELINE_PANEL = "The generator", "A diffusers pipeline"
_DTYPES = ("float32", "float16", "bfloat16")


class By(StrEnum):
    """What a pipeline's latents are."""

    noise = "noise"
    prompt = "prompt"
    label = "label"


GeneratorOption = Annotated[
    str,
    typer.Option(
        "--generator",
        "-g",
        metavar="NAME|DIR",
        help="zoo:creatures, a folder of train-generator, or diffusers:ORG/NAME.",
        rich_help_panel=GENERATOR_PANEL,
    ),
]
ByOption = Annotated[
    By | None,
    typer.Option(help="What climbs: the start noise, the prompt or the label.", rich_help_panel=_PIPELINE_PANEL),
]
AnchorOption = Annotated[
    list[str] | None,
    typer.Option(
        "--anchor", metavar="PROMPT", help="Prompt to start from; may be repeated.", rich_help_panel=_PIPELINE_PANEL
    ),
]
ClassAnchorsOption = Annotated[
    bool,
    typer.Option("--class-anchors", help="Let all class names be such prompts.", rich_help_panel=_PIPELINE_PANEL),
]
PipelineStepsOption = Annotated[
    int | None, typer.Option("--generator-steps", help="Of its sampler.", rich_help_panel=_PIPELINE_PANEL)
]
SizeOption = Annotated[
    int | None, typer.Option("--size", help="Pixels a side (by prompt).", rich_help_panel=_PIPELINE_PANEL)
]
RankOption = Annotated[
    int | None,
    typer.Option("--rank", help="Of what is learned (by prompt); 4 unless given.", rich_help_panel=_PIPELINE_PANEL),
]
ReachOption = Annotated[
    float | None,
    typer.Option(
        "--reach", help="How far from its anchors (by prompt); 0.25 unless given.", rich_help_panel=_PIPELINE_PANEL
    ),
]
DtypeOption = Annotated[
    str | None,
    typer.Option("--dtype", metavar="|".join(_DTYPES), help="Of its weights.", rich_help_panel=_PIPELINE_PANEL),
]
CheckpointingOption = Annotated[
    bool,
    typer.Option("--checkpointing", help="Less memory for gradients, more time.", rich_help_panel=_PIPELINE_PANEL),
]
TilingOption = Annotated[
    bool, typer.Option("--tiling", help="Decode large images in tiles.", rich_help_panel=_PIPELINE_PANEL)
]


def pipeline_options(
    *,
    by: By | None,
    n_steps: int | None,
    size: int | None,
    rank: int | None,
    reach: float | None,
    dtype: str | None,
    checkpointing: bool,
    tiling: bool,
) -> dict[str, Any]:
    """Return what `load_generator` is told of a pipeline: only what was said."""
    if dtype is not None and dtype not in _DTYPES:
        raise InputError(f"`--dtype` must be one of {', '.join(_DTYPES)}, got {dtype!r}.")
    of_prompt = {"size": None if size is None else (size, size), "rank": rank, "reach": reach}
    of_prompt = {name: value for name, value in of_prompt.items() if value is not None}
    if of_prompt and by is not By.prompt:
        raise InputError(f"`--{next(iter(of_prompt))}` is for --by prompt.")
    if (checkpointing or tiling) and by not in (By.prompt, By.label):
        raise InputError("`--checkpointing` and `--tiling` are for --by prompt and --by label.")
    options: dict[str, Any] = {} if by is None else {"by": by.value}
    options |= {} if n_steps is None else {"n_steps": n_steps}
    options |= {"checkpointing": True} if checkpointing else {}
    options |= {"tiling": True} if tiling else {}
    options |= of_prompt
    return options | ({} if dtype is None else {"dtype": dtype})


def anchor_options(given: Sequence[str] | None, class_names: Sequence[str], *, by: By | None) -> dict[str, Any]:
    """Return the prompts to start from; none where the pipeline's own way is meant."""
    found = (*(given or ()), *class_names)
    if found and by is not By.prompt:
        raise InputError("`--anchor` and `--class-anchors` are for --by prompt.")
    return {"anchors": found} if found else {}


def open_generator(name: str, *, device: str | None = None, **options: Any) -> Any:
    """Return the generator that a word stands for, where the model is; on the CPU without a device."""
    import torch

    from likethat.generators import load_generator

    if "dtype" in options:
        options["dtype"] = getattr(torch, options["dtype"])
    is_pipeline = name.startswith("diffusers:") or (Path(name) / "model_index.json").is_file()
    if options and not is_pipeline:
        said = ", ".join(sorted(options))
        raise InputError(f"{said}: for diffusers pipelines alone, got the generator {name!r}.")
    try:
        return load_generator(name, device=None if device is None else device_of(device), **options)
    except InputError as error:
        raise InputError(str(error).replace("`source`", "`--generator`")) from error
