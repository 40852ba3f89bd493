"""What the commands share that ask a black box: the box, one input, where the page goes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from likethat.cli.console import duration, give, notes, say_path
from likethat.cli.group import Stopped
from likethat.cli.opening import open_images, open_model, read_names
from likethat.cli.options import CLASS_NAMES_HELP, DEVICE_HELP, MODEL_PANEL
from likethat.cli.progress import Estimate
from likethat.errors import InputError
from likethat.options.declaring import Declared, given, option

__all__ = ["INPUT_HELP", "TARGET_FLAGS", "Asked", "asking_takes", "conclude", "open_input", "open_mask"]

INPUT_HELP = "an image, a row of a CSV (file.csv:3), a .txt, or zoo:digits:7"
TARGET_FLAGS = ("--target", "-t")
_MODEL_PREFIXES = ("zoo:", "torchvision:", "timm:", "hf:")
_TABLES = {".csv", ".tsv", ".parquet"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked(Declared, panel=MODEL_PANEL):
    """The model that is asked."""

    black_box: str = given(
        "zoo:NAME, timm:NAME, ..., my.py:build, an .onnx, a URL",
        flags=("--black-box", "-m"), metavar="NAME|FILE|URL",
    )  # fmt: skip
    class_names: Path | None = option(None, CLASS_NAMES_HELP, metavar="FILE")
    token_env: str | None = option(None, "environment variable with a service's credential", metavar="VARIABLE")
    cache: Path | None = option(None, "keep answers here for later runs", metavar="FILE")
    device: str = option("auto", DEVICE_HELP, metavar="NAME")

    def stop(self) -> KeyboardInterrupt:
        """Return how a stopped search ends the command: with answers that were kept the same words go on."""
        return KeyboardInterrupt() if self.cache is None else Stopped(again=())

    def open(self) -> tuple[Any, int | None]:
        """Return the black box, and how many channels its images have, if known."""
        from likethat.models import BlackBox, is_own

        options: dict[str, Any] = {} if self.cache is None else {"cache": self.cache}
        if self.token_env is not None:
            options["token_env"] = self.token_env
        if self.black_box.startswith(_MODEL_PREFIXES) or is_own(self.black_box):
            model = open_model(self.black_box, class_names=self.class_names, device=self.device)
            return BlackBox(model, **options), model.in_channels
        names = None if self.class_names is None else read_names(self.class_names)
        return BlackBox(self.black_box, class_names=names, **options), None


def asking_takes(stage: str = "asking the model") -> Estimate:
    """Return what is said of how long a search will take."""
    return Estimate(stage=stage, sentence=lambda seconds, _: f"at most about {duration(seconds)} at this pace")


def conclude(found: Any, page: Path, asked: Asked, *, overwrite: bool) -> None:
    """Give the result out, with its advice and its page.

    Raises:
        KeyboardInterrupt: the search was stopped.
    """
    give(found)
    if found.status.advice:
        notes.print(found.status.advice, soft_wrap=True, markup=False)
    say_path("page", found.save(page, overwrite=overwrite))
    if found.status.is_interrupted:
        raise asked.stop()


def open_input(name: str, *, shape: tuple[int, ...] | None = None, channels: int | None = None) -> Any:
    """Return one image, one row of a table or one text.

    Args:
        name: a file; ``:ROW`` behind a table, or behind one of the image sets that come with the library.
        shape: (channel, height, width) to bring an image file to; its own when None.
        channels: without a shape: 1 makes a colour image grey, 3 a grey one colour.

    Raises:
        InputError: no such file or row, or a file that is none of the three.
    """
    if name.startswith("zoo:"):
        _, _, rest = name.partition(":")
        known, _, row = rest.partition(":")
        images = open_images(f"zoo:{known}", held_out=True)
        return images[_row(row or "0", len(images))].image
    stem, _, row = name.rpartition(":")
    path = Path(stem) if stem and Path(stem).suffix.lower() in _TABLES else Path(name)
    if path.is_dir():
        raise InputError(f"`--input` must be a file, got the folder {path}.")
    if not path.is_file():
        raise InputError(f"`--input` must be a file, got {path}, which does not exist.")
    if path.suffix.lower() in _TABLES:
        from likethat.generators.table.files import read_table

        frame = read_table(path)
        place = _row(row if path == Path(stem) else "0", len(frame))
        return frame.iloc[[place]].reset_index(drop=True)
    if path.suffix.lower() == ".txt":
        return path.read_text(encoding="utf-8").strip()
    return _image(path, shape, channels)


def open_mask(path: Path, image: Any) -> Any:
    """Return (height, width), true where a picture is white; of the image's size.

    Raises:
        InputError: no such file, white nowhere, or no image to lay it on.
    """
    import torch
    from torch import Tensor

    if not isinstance(image, Tensor):
        raise InputError("`--mask` must be left out for tables and texts. Name columns with --keep.")
    if not path.is_file():
        raise InputError(f"`--mask` must be a file, got {path}, which does not exist.")
    from likethat.sources._decode import decode

    grey = decode(path).mean(dim=0)
    size = (image.shape[-2], image.shape[-1])
    if tuple(grey.shape) != size:
        grey = torch.nn.functional.interpolate(grey[None, None], size=size, mode="area")[0, 0]
    white = grey > 0.5
    if not bool(white.any()):
        raise InputError(f"`--mask` must be white where the image may change, and {path} is white nowhere.")
    return white


def _row(text: str, n: int) -> int:
    if not text.isdecimal() or int(text) >= n:
        raise InputError(f"`--input` must name a row from 0 to {n - 1}, got {text!r}.")
    return int(text)


def _image(path: Path, shape: tuple[int, ...] | None, channels: int | None) -> Any:
    from likethat.generators.image.data import fit_image
    from likethat.sources._decode import decode

    image = decode(path)
    own = (image.shape[1], image.shape[2])
    size = own if shape is None else (shape[1], shape[2])
    wanted = channels if shape is None else shape[0]
    if size != own:
        notes.print(
            f"{path} is resized from {own[0]} x {own[1]} to {size[0]} x {size[1]} pixels, cut to its middle, as the "
            "generator makes images",
            soft_wrap=True,
            markup=False,
        )
    return fit_image(image, size, wanted if wanted in (1, 3) else len(image))
