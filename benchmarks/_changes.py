"""Changes on disk as Python's audit events tell them: for who dies just before one."""

import os
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["before_changes"]

_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "tempfile.mkdtemp", "tempfile.mkstemp"}
"""Opening to write is one more."""


def before_changes(watch: Callable[[], None]) -> None:
    """Have `watch` called before every change on disk, for as long as the process lives: an audit hook stays."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in _CHANGES or (event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR)):
            watch()

    sys.addaudithook(hook)
