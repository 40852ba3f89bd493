"""The command line in its own process, on a toy network and slow pictures: for signals."""

import signal
import sys
import time
from pathlib import Path
from typing import Any

from toys import pictures, small_cnn

import likethat as lt
import likethat.models
from likethat.cli import fitting
from likethat.cli.main import run
from likethat.sources import Sample


class SlowImages(lt.Images):
    """Pictures that take a while to read."""

    def __getitem__(self, index: int) -> Sample:
        time.sleep(0.05)  # long enough for a signal to arrive in between on a busy machine
        return super().__getitem__(index)


def load(name: str, **_: Any) -> lt.SplitModel:
    """Return the toy, whatever its name."""
    model = lt.split(small_cnn(), example=pictures(4))
    model.name = name
    return model


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what runs in its background
    likethat.models.load = load
    fitting.open_images = lambda _: SlowImages(pictures(96))
    sys.argv[0] = str(Path(sys.argv[0]).with_name("likethat"))
    run()
