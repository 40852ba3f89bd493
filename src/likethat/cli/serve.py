"""``likethat serve``: banks as a site, on this machine alone unless said otherwise."""

import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from likethat.cli._generating import open_generator
from likethat.cli.console import notes, out
from likethat.cli.flags import command
from likethat.cli.opening import open_bank_with_model
from likethat.cli.options import OfBank
from likethat.errors import InputError, MissingExtraError
from likethat.options.declaring import Declared, option

if TYPE_CHECKING:
    from likethat.explanations import Bank

_PANEL = "The server"
_AT_ONCE = 128  # connections: twenty readers with six each, as browsers open
_IDLE = 15  # seconds that a connection is kept open without a question


@dataclass(frozen=True, kw_only=True, eq=False)
class Door(Declared, panel=_PANEL):
    """Where a server is reached, and by whom."""

    host: str = option("127.0.0.1", "address to listen at; others than this machine's want a token", metavar="ADDRESS")
    port: int = option(8000, "port to listen at; 0 takes a free one", low=0, high=65535)
    token_env: str | None = option(
        None, "environment variable with the token; one is made where it is left out and wanted", metavar="VARIABLE"
    )
    allow_host: list[str] | None = option(
        None, "a name that the server goes by, beside those of this machine; may be repeated", metavar="NAME"
    )
    generator: str | None = option(
        None,
        "makes pictures, so that visitors can ask what would change the model's mind: zoo:NAME, diffusers:NAME, or a "
        "folder of train-generator",
        flags=("--generator", "-g"), metavar="NAME|DIR",
    )  # fmt: skip
    write: bool = option(False, "keep the names that visitors give in the banks' folders, for everybody")


@command(
    "likethat serve bank",
    "likethat serve before/ after/ --port 9000",
    "likethat serve creatures --generator zoo:creatures-flow  # ask what would change its mind",
    "likethat serve bank --write  # names that are given in the page are kept with the bank",
    "likethat serve bank --host 0.0.0.0 --allow-host lab.example.org",
)
def serve(
    banks: Annotated[list[Path], typer.Argument(metavar="BANK...", help="Folders that likethat fit wrote.")],
    of: OfBank,
    told: Door,
) -> None:
    """Serve banks as a site: browse what a model looks for, drop a picture and read why.

    Who may reach it, and what it takes on, docs/serve.md says.
    """
    uvicorn = _uvicorn()
    from likethat.serve import application
    from likethat.serve.guard import LOOPBACK

    token = _token(told)
    own = {told.host} if told.host not in ("0.0.0.0", "::", "") else set()  # noqa: S104 - a comparison
    hosts = LOOPBACK | own | set(told.allow_host or ())
    opened = _opened(banks, of)
    folders = dict(zip(opened, banks, strict=True)) if told.write else {}
    made = None if told.generator is None else open_generator(told.generator, device=of.device)
    app = application(opened, token=token, hosts=hosts, folders=folders, generator=made)
    with _listening(told) as listener:
        port = listener.getsockname()[1]
        out.print(_address(told.host, port, token), soft_wrap=True, markup=False)
        notes.print(f"serving {', '.join(opened)}; Ctrl-C stops it", markup=False, soft_wrap=True)
        config = uvicorn.Config(
            app, ws="none", log_level="warning", access_log=False, server_header=False, lifespan="on",
            limit_concurrency=_AT_ONCE, timeout_keep_alive=_IDLE,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listener])


def _uvicorn() -> Any:
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise MissingExtraError(
            "serving needs starlette and uvicorn. Install them: pip install 'likethat[serve]'."
        ) from error
    return uvicorn


def _token(told: Door) -> str | None:
    """Return the token that visitors must bring; None on this machine alone, where none was named."""
    from likethat.serve.guard import LOOPBACK, check_token

    if told.token_env is not None:
        return check_token(os.environ.get(told.token_env, ""))
    return None if told.host in LOOPBACK else secrets.token_urlsafe(32)


def _opened(paths: Sequence[Path], of: OfBank) -> dict[str, "Bank"]:
    """Return the banks with their models, by the names that their folders give them."""
    from likethat.serve.shelf import name_for

    named = of.model or of.weights or of.layer
    if named and len(paths) > 1:
        raise InputError(f"`--model`, `--weights` and `--layer` are for one bank, got {len(paths)}. Leave them out.")
    opened: dict[str, Bank] = {}
    for path in paths:
        name, number = name_for(path), 2
        while name in opened:
            name, number = f"{name_for(path)}-{number}", number + 1
        opened[name] = open_bank_with_model(path, **vars(of))
    return opened


def _listening(told: Door) -> socket.socket:
    """Return a socket that listens where it was asked for.

    Raises:
        InputError: that address is not this machine's, or the port is taken.
    """
    try:
        family = socket.AF_INET6 if ":" in told.host else socket.AF_INET
        return socket.create_server((told.host, told.port), family=family)
    except OSError as error:
        raise InputError(
            f"`--host` and `--port` must be free on this machine, got {told.host} and {told.port} "
            f"({error.strerror or error}). Choose another port, or 0 for a free one."
        ) from error


def _address(host: str, port: int, token: str | None) -> str:
    """Return the address to open.

    Example:
        >>> _address("::1", 80, None), _address("0.0.0.0", 80, "abc")
        ('http://[::1]:80/', 'http://127.0.0.1:80/?token=abc')
    """
    name = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - every address
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/{'' if token is None else f'?token={token}'}"
