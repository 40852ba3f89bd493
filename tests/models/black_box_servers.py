"""Predictors to ask: a function that remembers, and services on loopback that answer, fail, stall or talk nonsense."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


class Spy:
    """Two classes from the first number of each row; remembers what it was asked."""

    def __init__(self) -> None:
        self.batches: list[Tensor] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.batches.append(x)
        return torch.stack([1 - x[:, 0], x[:, 0]], dim=1)

    @property
    def n(self) -> int:
        return sum(len(batch) for batch in self.batches)


def inputs(*values: float) -> Tensor:
    return torch.tensor([[value] for value in values])


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: Any
    tail: bytes = b""


@dataclass
class Reply:
    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def raw(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Service:
    url: str
    requests: list[Request]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of the test."""


@contextmanager
def serve(
    answer: Callable[[Request], Reply], *, tls: tuple[Path, Path] | None = None, clients: Path | None = None
) -> Iterator[Service]:
    """Run a service whose every answer is ``answer(request)``, and write down what it was asked.

    `tls` names the files of a certificate and its key: the service then speaks https. `clients` is
    the authority that must have signed the certificate which a client then has to show.
    """
    requests: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            n = int(headers.get("inference-header-content-length", len(body)))
            request = Request(self.command, self.path, headers, json.loads(body[:n]) if body else None, body[n:])
            requests.append(request)
            reply = answer(request)
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.raw())), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.raw())

        do_GET = do_POST  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        if clients is not None:
            context.load_verify_locations(clients)
            context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield Service(f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}", requests)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def probabilities(rows: list[list[float]]) -> list[list[float]]:
    """Two classes from the mean of a row of numbers in [0, 1]."""
    means = [sum(row) / len(row) for row in rows]
    return [[1 - mean, mean] for mean in means]


def json_model(request: Request) -> Reply:
    """What a plain JSON service answers to {"instances": rows}."""
    return Reply({"predictions": probabilities(request.body["instances"])})
