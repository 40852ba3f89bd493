"""What a user has switched on in the session (autocast, a default device, ...) stays out of our results, and stays on.

Every public door is opened `in_own_session`: what it does is done as in a fresh interpreter, in this thread alone. The
default floating type is the whole process's, so nobody changes it here: every constructor in likethat names its type.
"""

import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, TypeVar, overload

import numpy as np
import torch

_PLAIN_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}  # NumPy's own
_Door = TypeVar("_Door", bound=Callable[..., Any])
_AUTOCAST_ON = ("cpu", "cuda", "mps", "xpu")


class _State(threading.local):
    """What this thread is in."""

    inside = False  # one of our doors: those further in change nothing
    device: torch.device | None = None  # that the user had set, where we set it back


_state = _State()


@contextmanager
def own_session(*, grad: bool | None = None) -> Iterator[None]:
    """Work as in a fresh interpreter: no autocast, inference mode, default device or NumPy that raises.

    Within another one it does nothing.

    Args:
        grad: whether operations are recorded for gradients; None leaves that to the caller.
    """
    if _state.inside:
        yield
        return
    wanted = torch.is_grad_enabled() if grad is None else grad
    with ExitStack() as stack:
        _state.inside = True
        stack.callback(setattr, _state, "inside", False)
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        if torch.is_grad_enabled() != wanted:
            stack.enter_context(torch.set_grad_enabled(wanted))
        for kind in _AUTOCAST_ON:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        device = torch.empty(0, dtype=torch.float32).device  # the default one
        if device.type != "cpu":
            _state.device = device
            stack.callback(setattr, _state, "device", None)
            stack.enter_context(torch.device("cpu"))
        if np.geterr() != _PLAIN_ERRORS:
            stack.enter_context(np.errstate(**_PLAIN_ERRORS))  # type: ignore[arg-type]  # its own words
        yield


def default_device(device: torch.device) -> Any:
    """Return the context in which a user's network runs: tensors that it makes lie beside its weights.

    Only where the user has set a default device: elsewhere the network has always found its own way.
    """
    return nullcontext() if _state.device is None else device


@overload
def in_own_session(what: _Door) -> _Door: ...
@overload
def in_own_session(*, grad: bool) -> Callable[[_Door], _Door]: ...
def in_own_session(what: Any = None, *, grad: bool | None = None) -> Any:
    """Open a function, or every public method of a class, in `own_session`."""
    if what is None:
        return functools.partial(_opened, grad=grad)
    return _opened(what, grad)


def _opened(what: Any, grad: bool | None) -> Any:
    if not isinstance(what, type):
        return _wrapped(what, grad)
    for name, member in vars(what).copy().items():
        public = not name.startswith("_") or name in {"__init__", "__call__"}
        if public and inspect.isfunction(member) and not inspect.isgeneratorfunction(member):
            setattr(what, name, _wrapped(member, grad))
    return what


def _wrapped(function: Callable[..., Any], grad: bool | None) -> Callable[..., Any]:
    @functools.wraps(function)
    def inside(*args: Any, **kwargs: Any) -> Any:
        if _state.inside:
            return function(*args, **kwargs)
        with own_session(grad=grad):
            return function(*args, **kwargs)

    return inside
