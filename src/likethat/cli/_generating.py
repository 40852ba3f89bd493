"""Generators in the words of a command: which one, and how a diffusers pipeline is taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from likethat.cli.opening import device_of
from likethat.errors import InputError
from likethat.options.declaring import Declared, given, option

_PANEL = "The generator"
_BY_PROMPT = dict.fromkeys(("anchor", "class_anchors", "size", "rank", "reach"), ("prompt",))
_ONLY_BY = _BY_PROMPT | dict.fromkeys(("checkpointing", "tiling"), ("prompt", "label"))
"""What only some kinds of latents have."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Maker(Declared, panel="A diffusers pipeline"):
    """Which generator, and how it is taken where it is a diffusers pipeline."""

    made_by: str = given(
        "zoo:creatures, a folder of train-generator, or diffusers:ORG/NAME",
        flags=("--generator", "-g"), metavar="NAME|DIR", panel=_PANEL,
    )  # fmt: skip

    by: Literal["noise", "prompt", "label"] | None = option(
        None, "what climbs: the start noise, the prompt or the label"
    )
    anchor: list[str] | None = option(None, "prompt to start from (by prompt); may be repeated", metavar="PROMPT")
    class_anchors: bool = option(False, "let all class names be such prompts")
    n_steps: int | None = option(None, "of its sampler", low=1, flags=("--generator-steps",))
    size: int | None = option(None, "pixels a side (by prompt)", low=1)
    rank: int | None = option(None, "of what is learned (by prompt); 4 unless given", low=1)
    reach: float | None = option(None, "how far from its anchors (by prompt); 0.25 unless given")
    dtype: Literal["float32", "float16", "bfloat16"] | None = option(None, "of its weights")
    checkpointing: bool = option(False, "less memory for gradients, more time")
    tiling: bool = option(False, "decode large images in tiles")

    def check_together(self) -> None:
        """Refuse what is for another kind of latents."""
        for name in self.said():
            if self.by not in _ONLY_BY.get(name, (self.by,)):
                ways = " and --by ".join(_ONLY_BY[name])
                raise InputError(f"`--{name.replace('_', '-')}` is for --by {ways}.")

    def said(self) -> dict[str, Any]:
        """Return what was said of a pipeline."""
        said = {name: value for name, value in vars(self).items() if value is not None and value is not False}
        return {name: value for name, value in said.items() if name != "made_by"}

    def open(self, *, device: str, class_names: Sequence[str]) -> Any:
        """Return the generator, where the model is."""
        said = self.said()
        anchors = (*said.pop("anchor", ()), *(class_names if said.pop("class_anchors", False) else ()))
        said |= {"size": (self.size, self.size)} if self.size else {}
        return open_generator(self.made_by, device=device, **said, **({"anchors": anchors} if anchors else {}))


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
