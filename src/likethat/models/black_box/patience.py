"""One deadline for all that a request waits for: connection, headers, interim answers and body."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

_CHUNK = 65_536  # bytes written before the clock is looked at again


class Patience(httpcore.NetworkBackend):
    """Lets no read and no write of a request outlast the request's deadline.

    httpx waits up to its timeout for *each* piece that comes, so a service that sends one byte of a header a second, or
    ``100 Continue`` without end, is waited for without end. Each thread has one request under way, and one deadline.
    """

    def __init__(self) -> None:
        self._network = httpcore.SyncBackend()
        self._own = threading.local()

    def guard(self, client: httpx.Client) -> httpx.Client:
        """Return a client whose connections, through proxies too, obey the deadline."""
        for transport in (client._transport, *client._mounts.values()):
            if isinstance(transport, httpx.HTTPTransport):
                assert hasattr(transport._pool, "_network_backend"), "httpcore names its backend otherwise now"
                transport._pool._network_backend = self
        return client

    @contextmanager
    def until(self, deadline: float) -> Iterator[None]:
        """Set the deadline (of `time.monotonic`) of what this thread does in the block."""
        self._own.deadline = deadline
        try:
            yield
        finally:
            del self._own.deadline

    def left(self, timeout: float | None) -> float | None:
        """Return the seconds that may still be waited.

        Raises:
            httpcore.ReadTimeout: none.
        """
        deadline = getattr(self._own, "deadline", None)
        if deadline is None:
            return timeout
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            raise httpcore.ReadTimeout("the answer comes too slowly")
        return seconds if timeout is None else min(timeout, seconds)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Open a connection within what is left of the deadline."""
        stream = self._network.connect_tcp(host, port, self.left(timeout), local_address, socket_options)
        return _PatientStream(stream, self)

    def sleep(self, seconds: float) -> None:
        """Wait before a connection is tried again."""
        self._network.sleep(self.left(seconds) or 0.0)


class _PatientStream(httpcore.NetworkStream):
    """A connection that looks at the clock before each piece."""

    def __init__(self, stream: httpcore.NetworkStream, patience: Patience) -> None:
        self._stream, self._patience = stream, patience

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._patience.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _CHUNK):
            self._stream.write(buffer[start : start + _CHUNK], self._patience.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._patience.left(timeout))
        return _PatientStream(stream, self._patience)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
