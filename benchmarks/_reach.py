"""Run tests that were collected once, in forked processes: on whole code, for what each reaches, and on broken code."""

import contextlib
import gc
import inspect
import json
import os
import re
import resource
import signal
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest
from _mutation import PACKAGE

_MEMORY = 12 * 2**30  # bytes: a number that was broken may ask for more than there is
OUT_OF_TIME = (-signal.SIGXCPU, -signal.SIGALRM)
_WAITING = 10  # times as long by the clock as by the processor: a busy machine gives a tenth of itself


@dataclass
class Reach:
    """What one test needs and touches."""

    seconds: float  # of the processor: those of the clock are the other work's too
    lines: dict[str, list[int]]  # of each module that it runs


def forked(work: Callable[[], Any], *, seconds: int) -> tuple[int, Any]:
    """Run something in a process of its own, for so many seconds of the processor at most.

    Return its exit status (below 0: the signal that ended it) and answer.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        os.setpgid(0, 0)
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(quiet, stream)
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        signal.alarm(_WAITING * seconds)
        code = 70  # of sysexits.h: fell over itself
        try:
            answer = json.dumps(work()).encode()
            with os.fdopen(writing, "wb") as file:
                file.write(answer)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        answer = file.read()
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what it left running
    code = os.waitstatus_to_exitcode(status)
    return code, json.loads(answer) if code == 0 else None


def failure_of(items: Sequence[pytest.Item]) -> str | None:
    """Run tests until one fails; return its name."""
    following = [*items[1:], None]
    return next((item.nodeid for item, after in zip(items, following, strict=True) if _fails(item, after)), None)


def _fails(item: pytest.Item, following: pytest.Item | None) -> bool:
    failed: list[str] = []

    class Watch:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            failed.extend([report.nodeid] if report.failed else [])

    with _registered(item, Watch()):
        item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
    return bool(failed)


@contextlib.contextmanager
def _registered(item: pytest.Item, plugin: object) -> Iterator[None]:
    item.config.pluginmanager.register(plugin)
    try:
        yield
    finally:
        item.config.pluginmanager.unregister(plugin)


def reaches_of(items: Sequence[pytest.Item]) -> dict[str, Any]:
    """Run the tests of one file; return what each reaches, with what a fixture of the file ran for the first of them.

    Raises:
        AssertionError: one fails.
    """
    root = f"{PACKAGE}/"
    hits: dict[str, set[int]] = defaultdict(set)
    shared: dict[str, set[int]] = defaultdict(set)
    found: dict[str, Reach] = {}

    def call(frame: Any, _event: str, _argument: Any) -> Any:
        return line if frame.f_code.co_filename.startswith(root) else None

    def line(frame: Any, _event: str, _argument: Any) -> Any:
        hits[frame.f_code.co_filename[len(root) :]].add(frame.f_lineno)
        return line

    class Setup:
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_setup(self) -> Iterator[Any]:
            yield
            for name, lines in hits.items():
                shared[name] |= lines

    with _registered(items[0], Setup()):
        for item, following in zip(items, [*items[1:], None], strict=True):
            hits.clear()
            start = sum(os.times()[:4])
            threading.settrace(call)
            sys.settrace(call)
            failed = _fails(item, following)
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]  # its stub forgets None
            if failed:
                raise AssertionError(item.nodeid)
            found[item.nodeid] = Reach(
                sum(os.times()[:4]) - start, {name: sorted(lines) for name, lines in hits.items()}
            )
    for reach in found.values():
        for name, lines in shared.items():
            reach.lines[name] = sorted({*reach.lines.get(name, ()), *lines})
    return {name: vars(reach) for name, reach in found.items()}


def put_in(path: Path, text: str, *, at_load: bool) -> int:
    """Let a module that is loaded do what another text of it says; return how many of its functions do.

    Functions stay the objects that others imported, and get the other code. Where the change is in what runs when the
    module is loaded, they get the other defaults too, and values that come out otherwise take the place of the old ones
    wherever they were imported.
    """
    name, file = ".".join(["likethat", *path.with_suffix("").parts]), str(PACKAGE / path)
    old, new = sys.modules[name], _loaded(text, file, sys.modules[name])
    ours, theirs = _functions(file, old), _functions(file, new)
    n = 0
    for qualname, group in ours.items():
        for one, other in zip(group, theirs.get(qualname, []), strict=False):
            if one.__code__.co_freevars == other.__code__.co_freevars:
                one.__code__, n = other.__code__, n + 1
                if at_load:
                    one.__defaults__, one.__kwdefaults__ = other.__defaults__, other.__kwdefaults__
    if at_load:
        _give_values(old, new, _loaded((PACKAGE / path).read_text(encoding="utf-8"), file, old))
    return n


def n_functions(path: Path) -> int:
    """Return how many functions of a module that is loaded `put_in` can change."""
    module = sys.modules[".".join(["likethat", *path.with_suffix("").parts])]
    return sum(map(len, _functions(str(PACKAGE / path), module).values()))


def _loaded(text: str, file: str, like: ModuleType) -> ModuleType:
    module = ModuleType(like.__name__)
    module.__dict__.update(__file__=file, __package__=like.__package__)
    exec(compile(text, file, "exec"), module.__dict__)
    return module


_PLAIN = (bool, int, float, str, tuple, dict, list)


def _functions(file: str, module: ModuleType) -> dict[str, list[FunctionType]]:
    """Return the functions of a module, whoever holds them, by qualified name, in the order of their lines."""
    found: dict[str, list[FunctionType]] = defaultdict(list)
    for one in gc.get_objects():
        is_own = type(one) is FunctionType and one.__globals__ is module.__dict__ and one.__code__.co_filename == file
        if is_own and "<locals>" not in one.__code__.co_qualname:
            found[one.__code__.co_qualname].append(one)
    return {name: sorted(group, key=lambda one: one.__code__.co_firstlineno) for name, group in found.items()}


def _give_values(old: ModuleType, new: ModuleType, whole: ModuleType) -> None:
    """Give a module, its classes and whoever imported from it the values that differ from those of the whole text."""
    for key, value in vars(new).items():
        before, same = vars(old).get(key), vars(whole).get(key)
        if isinstance(value, type) and isinstance(before, type) and value.__module__ == old.__name__:
            for name, item in vars(value).items():
                if _differ(item, vars(same).get(name)):
                    setattr(before, name, item)
            _give_defaults(before, value)
        elif is_dataclass(value) and is_dataclass(before) and repr(value) != repr(same):
            vars(before).update(vars(value))  # one object, whoever imported it
        elif not key.startswith("__") and _differ(value, same):
            for module in list(sys.modules.values()):
                if getattr(module, "__dict__", {}).get(key, _PLAIN) is before:
                    vars(module)[key] = value


def _differ(value: object, other: object) -> bool:
    first, second = (re.sub("0x[0-9a-f]+", "", repr(item)) for item in (value, other))
    return isinstance(value, _PLAIN) and first != second


def _give_defaults(before: type, now: type) -> None:
    """Give the constructor that a dataclass writes the defaults of another."""
    made, other = (inspect.unwrap(vars(one).get("__init__", object.__init__)) for one in (before, now))
    if isinstance(made, FunctionType) and isinstance(other, FunctionType) and made.__code__.co_filename == "<string>":
        made.__defaults__, made.__kwdefaults__ = other.__defaults__, other.__kwdefaults__
