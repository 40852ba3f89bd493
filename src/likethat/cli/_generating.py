"""Generators in the words of a command: which one, and how a diffusers pipeline is taken."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from likethat.cli.opening import device_of
from likethat.errors import InputError
from likethat.options.declaring import Declared, option

__all__ = ["GENERATOR_PANEL", "GeneratorOption", "Pipeline", "open_generator", "pipeline_options"]

GENERATOR_PANEL, _PIPELINE_PANEL = "The generator", "A diffusers pipeline"
_DTYPES = ("float32", "float16", "bfloat16")


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Pipeline(Declared):
    """How a diffusers pipeline is taken."""

    by: Literal["noise", "prompt", "label"] | None = option(
        None, "what climbs: the start noise, the prompt or the label", panel=_PIPELINE_PANEL
    )
    anchor: list[str] | None = option(
        None, "prompt to start from (by prompt); may be repeated", metavar="PROMPT", panel=_PIPELINE_PANEL
    )
    class_anchors: bool = option(False, "let all class names be such prompts", panel=_PIPELINE_PANEL)
    generator_steps: int | None = option(None, "of its sampler", low=1, panel=_PIPELINE_PANEL)
    size: int | None = option(None, "pixels a side (by prompt)", low=1, panel=_PIPELINE_PANEL)
    rank: int | None = option(None, "of what is learned (by prompt); 4 unless given", low=1, panel=_PIPELINE_PANEL)
    reach: float | None = option(None, "how far from its anchors (by prompt); 0.25 unless given", panel=_PIPELINE_PANEL)
    dtype: str | None = option(None, "of its weights", metavar="|".join(_DTYPES), panel=_PIPELINE_PANEL)
    checkpointing: bool = option(False, "less memory for gradients, more time", panel=_PIPELINE_PANEL)
    tiling: bool = option(False, "decode large images in tiles", panel=_PIPELINE_PANEL)


def pipeline_options(told: Pipeline) -> dict[str, Any]:
    """Return what `load_generator` is told of a pipeline beside its anchors: only what was said."""
    if told.dtype is not None and told.dtype not in _DTYPES:
        raise InputError(f"`--dtype` must be one of {', '.join(_DTYPES)}, got {told.dtype!r}.")
    size = None if told.size is None else (told.size, told.size)
    of_prompt = _said(size=size, rank=told.rank, reach=told.reach)
    if of_prompt and told.by != "prompt":
        raise InputError(f"`--{next(iter(of_prompt))}` is for --by prompt.")
    if (told.checkpointing or told.tiling) and told.by not in ("prompt", "label"):
        raise InputError("`--checkpointing` and `--tiling` are for --by prompt and --by label.")
    if (told.anchor or told.class_anchors) and told.by != "prompt":
        raise InputError("`--anchor` and `--class-anchors` are for --by prompt.")
    switches = {"checkpointing": told.checkpointing or None, "tiling": told.tiling or None}
    return _said(by=told.by, n_steps=told.generator_steps, **switches, dtype=told.dtype) | of_prompt


def _said(**words: Any) -> dict[str, Any]:
    return {name: value for name, value in words.items() if value is not None}


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
