"""Services on loopback for cases about black boxes: well-behaved ones, and ones that write bytes by a script."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["PLAIN", "V2", "Asked", "raw", "serve", "slot", "v2"]

PLAIN: dict[str, Any] = {
    "template": {"instances": "$inputs"},
    "answer": "predictions",
    "timeout": 2.0,
    "retries": 0,
    "check_determinism": False,
}
"""Options of a box on a plain JSON service."""
V2: dict[str, Any] = {"timeout": 2.0, "retries": 0, "check_determinism": False}
"""Options of a box on a model of the Open Inference Protocol."""


class Asked:
    """What a service was asked: its address, and the method, path, headers and body of each request."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []

    @property
    def bodies(self) -> list[Any]:
        """What was posted."""
        return [body for method, _, _, body in self.requests if method == "POST"]

    def data(self, at: int = 0) -> list[Any]:
        """Return the data of the input tensors of one question."""
        return [item["data"] for item in self.bodies[at]["inputs"]]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of a case."""


@contextmanager
def serve(answer: Callable[[str, Any], Any]) -> Iterator[Asked]:
    """Run a service: ``answer(path, body)`` gives what is sent back, or (status, headers, what is sent back)."""
    asked = Asked()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers.get("content-length", 0)))
            body = json.loads(text) if text else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked.requests.append((self.command, self.path, headers, body))
            found = answer(self.path, body)
            status, extra, content = found if isinstance(found, tuple) else (200, {}, found)
            raw_content = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(raw_content)), **extra}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw_content)

        do_GET = do_POST  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    asked.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def raw(script: Callable[[Callable[[bytes], None]], None], *, at_most: float = 10.0) -> Iterator[str]:
    """Run a service that reads a request and then writes what a script sends, for `at_most` seconds; yield its URL."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    end, is_open = time.monotonic() + at_most, [True]

    def talk(connection: socket.socket) -> None:
        def send(content: bytes) -> None:
            if not is_open[0] or time.monotonic() > end:
                raise OSError("over")
            connection.sendall(content)

        with connection, suppress(OSError):
            connection.settimeout(1)
            connection.recv(65_536)
            script(send)

    def listen() -> None:
        while is_open[0] and time.monotonic() < end:
            with suppress(OSError):
                connection, _ = listener.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        is_open[0] = False
        listener.close()


def slot(name: str, shape: list[int], datatype: str) -> dict[str, Any]:
    """Return the description of one input of a model."""
    return {"name": name, "datatype": datatype, "shape": shape}


def v2(*slots: dict[str, Any], datatype: str = "FP32", rows: list[list[float]] | None = None) -> Any:
    """Return the answers of a model that takes `slots` and says (.25, .75) to every row, or `rows`."""

    def answer(path: str, body: Any) -> Any:
        if not path.endswith("/infer"):
            return {"name": "m", "inputs": list(slots)}
        n = body["inputs"][0]["shape"][0]
        found = rows or [[0.25, 0.75]] * n
        flat = [number for row in found for number in row]
        output = {"name": "p", "shape": [len(found), len(found[0])], "datatype": datatype, "data": flat}
        return {"outputs": [output]}

    return answer
