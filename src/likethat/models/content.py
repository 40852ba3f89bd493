"""What any Python object is, as a digest: two models of one name are told apart, in this process and in the next."""

import copyreg
import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), torch.dtype, torch.device, np.generic)
_OF_TORCH = frozenset(vars(nn.Module())) - {"_parameters", "_buffers"}  # what every network has beside its own
_DEEPEST = 4  # modules within modules whose values are looked at: package.part.name
_INSTALLED = tuple({sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def content_of(thing: Any) -> str | None:
    """Return a digest of what a thing holds, the same in every process; None where that cannot be told.

    Of a function its code with all that it refers to, of an object its class and its state (what pickle would write,
    though nothing is written), of arrays and networks their numbers. What is installed goes by its name.

    Example:
        >>> def by(threshold):
        ...     return lambda x: x > threshold
        >>> content_of(by(0.5)) == content_of(by(0.5)), content_of(by(0.5)) == content_of(by(0.6))
        (True, False)
        >>> content_of(open) is None, content_of(iter([])) is None, content_of((one for one in [])) is None
        (False, False, True)
    """
    try:
        return _Contents().of(thing).hex()
    except Exception:  # whatever a stranger's class raises where its state is asked for
        return None


class _Contents:
    """Digests of things and of all that they hold, each taken once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, bytes]] = {}  # with the thing, so that its id stays its own

    def of(self, thing: Any) -> bytes:
        if isinstance(thing, _PLAIN):
            return _digest(type(thing).__qualname__, repr(thing).encode("utf-8", "surrogatepass"))
        if id(thing) not in self._known:
            self._known[id(thing)] = thing, b"within itself"
            self._known[id(thing)] = thing, _digest(type(thing).__qualname__, *self._held(thing))
        return self._known[id(thing)][1]

    def _held(self, thing: Any) -> Iterator[bytes]:
        """Yield the digests of what makes a thing what it is, in an order that is its own."""
        if isinstance(thing, dict):
            yield from sorted(self.of(key) + self.of(value) for key, value in thing.items())
        elif isinstance(thing, set | frozenset):
            yield from sorted(map(self.of, thing))
        elif isinstance(thing, Tensor | np.ndarray):
            yield from self._numbers(thing)
        elif isinstance(thing, ModuleType):
            yield thing.__name__.encode()
        else:
            yield from map(self.of, self._parts(thing))

    def _numbers(self, thing: Tensor | np.ndarray) -> Iterator[bytes]:
        yield f"{tuple(thing.shape)} {thing.dtype}".encode()
        if isinstance(thing, Tensor):
            yield thing.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        elif thing.dtype.names:  # field by field: what lies between them is nobody's
            yield from (self.of(thing[name]) for name in thing.dtype.names)
        else:
            yield from map(self.of, thing.ravel().tolist()) if thing.dtype.hasobject else [thing.tobytes()]

    def _parts(self, thing: Any) -> Iterator[Any]:
        if isinstance(thing, list | tuple):
            yield from thing
        elif isinstance(thing, nn.Module):
            yield from (
                type(thing),
                repr(thing),
                getattr(thing, "code", ""),
            )  # code: of TorchScript, with its constants
            for name, one in thing.named_modules():
                yield name
                yield from ((each, self._tried(value)) for each, value in sorted(_settings(one).items()))
        elif isinstance(thing, CodeType):
            yield from (thing.co_code, thing.co_consts, thing.co_names)
        elif isinstance(thing, FunctionType | type):
            yield thing.__qualname__
            if _is_installed(thing.__module__):
                yield thing.__module__
                yield from _bound(thing) if isinstance(thing, FunctionType) else ()
            else:
                yield from _of_function(thing) if isinstance(thing, FunctionType) else _of_class(thing)
        else:
            yield from _reduced(thing)

    def _tried(self, setting: Any) -> bytes:
        """Return the digest of what a network carries along, or the name of its type: a lock decides no answer."""
        try:
            return self.of(setting)
        except Exception:  # as in `content_of`
            return type(setting).__qualname__.encode()


def _of_function(function: FunctionType) -> Iterator[Any]:
    yield function.__code__
    yield from _bound(function)
    names = set(_names(function.__code__))
    yield {name: _looked_at(value, names) for name, value in function.__globals__.items() if name in names}


def _bound(function: FunctionType) -> Iterator[Any]:
    """Yield what one function of a name has and another of that name has not."""
    yield from (function.__defaults__, function.__kwdefaults__, vars(function))
    yield [cell.cell_contents for cell in function.__closure__ or ()]


def _looked_at(value: Any, names: set[str], depth: int = 0) -> Any:
    """Return of a module that is not installed the values that code names: the module may have been edited."""
    if not isinstance(value, ModuleType) or _is_installed(value.__name__) or depth == _DEEPEST:
        return value
    found = {name: getattr(value, name) for name in names if hasattr(value, name)}
    return {name: _looked_at(one, names, depth + 1) for name, one in found.items()}


def _of_class(own: type) -> Iterator[Any]:
    yield own.__bases__
    for name, value in vars(own).items():
        plain = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if isinstance(plain, FunctionType) or not name.startswith(("__", "_abc_")):
            yield from (name, plain)


def _settings(module: nn.Module) -> dict[str, Any]:
    """Return what a module carries: numbers, settings, a forward of its own, hooks; not in which mode it is.

    Hooks are keyed by how many came before them in the process, which says nothing.
    """
    own = {name: one for name, one in vars(module).items() if name not in _OF_TORCH}
    hooks = ("_forward_hooks", "_forward_pre_hooks")
    return own | {name: list(vars(module)[name].values()) for name in hooks if vars(module).get(name)}


def _reduced(thing: Any) -> Iterator[Any]:
    """Yield what pickle would write: how it is made, of what, its state, and what it holds."""
    reducer: Any = copyreg.dispatch_table.get(type(thing))  # of patterns and NumPy's functions
    made = thing.__reduce_ex__(4) if reducer is None else reducer(thing)
    if isinstance(made, str):  # a name, as of what remembers a function's answers
        yield from (made, getattr(thing, "__wrapped__", None))
        return
    yield from made[:3]
    yield from ([*held] for held in made[3:5] if held is not None)


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names that code refers to, and the functions within it."""
    yield from code.co_names
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield from _names(value)


def _is_installed(module: str | None) -> bool:
    """Whether a module is of Python, of an installed package or of this one: its name stands for what it does."""
    if module is None or module == "__main__" or module not in sys.modules:
        return False
    file = getattr(sys.modules[module], "__file__", None)
    return not file or module.split(".")[0] == "likethat" or file.startswith(_INSTALLED) or "site-packages" in file


def _digest(kind: str, *parts: bytes) -> bytes:
    digest = hashlib.sha256(kind.encode())
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()
