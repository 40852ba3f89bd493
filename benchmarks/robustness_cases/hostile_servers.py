"""Services that mean harm: endless answers, bombs, redirects, and credentials said back in every writing."""

import base64
import gzip
import html
import logging
import os
import tempfile
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import torch

import likethat as lt
from likethat.errors import LikethatError
from robustness_cases import EITHER, REFUSED, Wrong, case, expect
from robustness_cases._services import PLAIN, V2, raw, serve, slot, v2

KIND = "hostile servers"
ROWS = torch.tensor([[0.25, 0.5]])
FINE = {"predictions": [[0.25, 0.75]]}
PATIENCE = 0.3  # seconds a box waits in these cases
SECRET = "s3cr3t w/rd+é"  # with a letter of each kind that some writing changes


@contextmanager
def _in_time(seconds: float = 3.0) -> Iterator[None]:
    start = time.monotonic()
    try:
        yield
    finally:
        if time.monotonic() - start > seconds:
            raise Wrong(f"it took {time.monotonic() - start:.1f} s, patience being {PATIENCE} s")


def _drip(send: Callable[[bytes], None], content: bytes) -> None:
    for place in range(len(content)):
        send(content[place : place + 1])
        time.sleep(0.05)


def _for_ever(send: Callable[[bytes], None], piece: bytes) -> None:
    while True:
        send(piece)
        time.sleep(0.02)


SLOW: dict[str, Callable[[Callable[[bytes], None]], None]] = {
    "sends a byte of its headers at a time": lambda send: _drip(send, b"HTTP/1.1 200 OK\r\n" + b"X-Pad: a\r\n" * 100),
    "sends 100 Continue for ever": lambda send: _for_ever(send, b"HTTP/1.1 100 Continue\r\n\r\n"),
    "sends 103 Early Hints for ever": lambda send: _for_ever(send, b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
    "sends headers for ever": lambda send: (send(b"HTTP/1.1 200 OK\r\n"), _for_ever(send, b"X-A: b\r\n"))[1],
    "sends a byte of its body at a time": lambda send: (
        send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"),
        _drip(send, b" " * 1000),
    )[1],
    "sends empty chunks' beginnings for ever": lambda send: (
        send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        _for_ever(send, b"1\r\n \r\n"),
    )[1],
    "says nothing at all": lambda _: time.sleep(2),
}
for _name, _script in SLOW.items():

    @case(KIND, f"a service that {_name} is left after the patience asked for", accepts=REFUSED)
    def _(script: Any = _script) -> None:
        with raw(script, at_most=4) as url, _in_time():
            lt.BlackBox(url, **{**PLAIN, "timeout": PATIENCE})(ROWS)


@case(KIND, "a service that does not read what it is sent is left after the patience asked for", accepts=REFUSED)
def _() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener, _in_time():
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        template = {"rows": "$inputs", "padding": "a" * 20_000_000}  # more than the machine's buffers hold
        lt.BlackBox(url, **{**PLAIN, "template": template, "timeout": PATIENCE})(ROWS)


PACKED: dict[str, tuple[str, bytes]] = {
    "gzip": ("gzip", gzip.compress(b" " * 50_000_000)),
    "deflate": ("deflate", zlib.compress(b" " * 50_000_000)),
    "gzip in gzip": ("gzip, gzip", gzip.compress(gzip.compress(b" " * 50_000_000))),
    "deflate in gzip": ("deflate, gzip", gzip.compress(zlib.compress(b" " * 50_000_000))),
    "many gzips behind each other": ("gzip", gzip.compress(b" " * 100_000) * 20),
    "br": ("br", b"\x5b\xff\xff\x03"),
    "zstd": ("zstd", b"(\xb5/\xfd"),
    "gzip, cut short": ("gzip", gzip.compress(b'{"predictions": [[0.25, 0.75]]}')[:-12]),
    "gzip by name alone": ("gzip", b'{"predictions": [[0.25, 0.75]]}'),
}
for _name, (_encoding, _content) in PACKED.items():

    @case(KIND, f"a packed answer ({_name}) is never unpacked beyond max_answer", accepts=REFUSED)
    def _(encoding: str = _encoding, content: bytes = _content) -> None:
        import tracemalloc

        with serve(lambda *_: (200, {"Content-Encoding": encoding}, content)) as service:
            box = lt.BlackBox(service.url, **PLAIN, max_answer=1_000_000)
            tracemalloc.start()
            try:
                box(ROWS)
            finally:
                most = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                if most > 20_000_000:
                    raise Wrong(f"{most} bytes were held at once")


@case(KIND, "an answer without end is cut off at max_answer", accepts=REFUSED)
def _() -> None:
    def script(send: Callable[[bytes], None]) -> None:
        send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            send(b"[" * 10_000)

    with raw(script) as url, _in_time():
        lt.BlackBox(url, **PLAIN, max_answer=100_000)(ROWS)


NONSENSE: dict[str, Any] = {
    "brackets 100,000 deep": b"[" * 100_000,
    "an error message 100,000 deep": b'{"error": ' * 100_000,
    "a number of 5,000 digits": b'{"predictions": [[' + b"9" * 5000 + b", 1]]}",
    "bytes that are no text": b'{"predictions": "\xff\xfe\xff"}',
    "a header of 200,000 letters": (200, {"X-Long": "a" * 200_000}, FINE),
    "a line of status that is none": None,
}
for _name, _reply in NONSENSE.items():

    @case(KIND, f"an answer of {_name} is one sentence", accepts=REFUSED)
    def _(reply: Any = _reply) -> None:
        if reply is None:
            with raw(lambda send: send(b"what?\r\n\r\n")) as url:
                lt.BlackBox(url, **PLAIN)(ROWS)
        with serve(lambda *_: reply) as service:
            lt.BlackBox(service.url, **PLAIN)(ROWS)


METADATA: dict[str, Any] = {
    "a size that is infinite": b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [Infinity]}]}',
    "a size of another kind": b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [{}]}]}',
    "a type that is a list": b'{"inputs": [{"name": "x", "datatype": [], "shape": [-1, 2]}]}',
    "no mapping": b"[[]]",
}
for _name, _reply in METADATA.items():

    @case(KIND, f"a description with {_name} is one sentence", accepts=REFUSED)
    def _(reply: Any = _reply) -> None:
        with serve(lambda *_: reply) as service:
            lt.BlackBox(service.url + "/v2/models/m", **V2)(ROWS)


@case(KIND, "an output whose shape is 10 ** 12 rows is one sentence", accepts=REFUSED)
def _() -> None:
    def answer(path: str, body: Any) -> Any:  # noqa: ARG001
        output = {"name": "p", "shape": [10**12, 2], "datatype": "FP32", "data": [0.5, 0.5]}
        return {"outputs": [output]} if path.endswith("/infer") else {"inputs": [slot("x", [-1, 2], "FP32")]}

    with serve(answer) as service:
        lt.BlackBox(service.url + "/v2/models/m", **V2)(ROWS)


WRITINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda x: x,
    "percent-encoded": lambda x: quote(x, safe=""),
    "percent-encoded in small letters": lambda x: "".join(f"%{byte:02x}" for byte in x.encode()),
    "percent-encoded twice": lambda x: quote(quote(x, safe=""), safe=""),
    "as in a form": quote_plus,
    "in base64": lambda x: base64.b64encode(x.encode()).decode(),
    "in base64 for addresses, without its end": lambda x: base64.urlsafe_b64encode(x.encode()).decode().rstrip("="),
    "in base64 with its user": lambda x: base64.b64encode(f"someone:{x}".encode()).decode(),
    "in base64 within another text": lambda x: base64.b64encode(f"==> {x} <==".encode()).decode(),
    "in hexadecimal": lambda x: x.encode().hex(),
    "escaped as in JSON": lambda x: "".join(f"\\u{ord(letter):04x}" for letter in x),
    "escaped twice as in JSON": lambda x: "".join(f"\\\\u{ord(letter):04x}" for letter in x),
    "escaped as in HTML": lambda x: "".join(f"&#{ord(letter)};" for letter in x),
    "escaped as in HTML, hexadecimal": lambda x: "".join(f"&#x{ord(letter):x};" for letter in x),
    "escaped by name": html.escape,
    "in wide letters": lambda x: "".join(chr(ord(y) + 0xFEE0) if 33 <= ord(y) < 127 else y for y in x),
    "in capitals": lambda x: x.upper(),
    "with its accents apart": lambda x: x.replace("é", "e\u0301"),
    "with invisible letters between": "\u200b".join,
    "with spaces between": " ".join,
    "with zero bytes between": "\0".join,
}
LEAKS = [SECRET, SECRET.replace(" ", ""), "s3cr3t", "S3CR3T", "w/rd", *(f(SECRET) for f in WRITINGS.values())]


def _nothing_leaks(box: Any, error: BaseException | None, log: str, folder: Path) -> None:
    """Look for the credential in all that a user may print, keep or pass on."""
    chain = "".join(traceback.format_exception(error)) if error else ""
    kept = b"".join(path.read_bytes() for path in folder.iterdir()).decode("latin-1")
    for place, text in {
        "the message": chain,
        "the log": log,
        "names and notes": " ".join([repr(box), box.name, *box.notes, *box.class_names]),
        "the cache": kept,
    }.items():
        for leak in LEAKS:
            if leak in text:
                raise Wrong(f"{place} holds the credential as {leak!r}")


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage() + "\n"


def _echoed(reply: Any, *, how: str) -> None:
    """Ask a service that says the credential back, and look for it everywhere."""
    log, root, folder = _Log(), logging.getLogger(), Path(tempfile.mkdtemp())
    level = root.level
    root.addHandler(log)
    root.setLevel(logging.DEBUG)
    error: BaseException | None = None
    try:
        with serve(lambda *_: reply) as service:
            url, options = service.url, dict(PLAIN)
            if how == "user":
                url = url.replace("://", f"://someone:{quote(SECRET, safe='')}@")
            else:
                os.environ["LIKETHAT_CASE_TOKEN"] = "s3cr3t_w/rd+e"  # a header carries no more
                options |= {"token_env": "LIKETHAT_CASE_TOKEN"}
            box = lt.BlackBox(url, **options, cache=folder / "answers.sqlite")
            try:
                box(ROWS)
            except LikethatError as caught:
                error = caught
            _nothing_leaks(box, error, log.text, folder)
    finally:
        root.removeHandler(log)
        root.setLevel(level)
        os.environ.pop("LIKETHAT_CASE_TOKEN", None)
    if error is not None:
        raise error


for _name, _write in WRITINGS.items():

    @case(KIND, f"a password said back {_name} is in no message", accepts=REFUSED)
    def _(write: Callable[[str], str] = _write) -> None:
        _echoed((401, {}, f"you sent {write(SECRET)} to us".encode()), how="user")


PLACES: dict[str, Any] = {
    "an error in a 200": lambda x: {"error": f"no {x}"},
    "the name of a class": lambda x: {"predictions": [{x: 0.25, "b": 0.75}]},
    "a key of the answer": lambda x: {x: []},
    "a redirect's host": lambda x: (307, {"Location": f"http://{quote(x, safe='')}.example/"}, b""),
    "a redirect's path": lambda x: (307, {"Location": f"/{quote(x, safe='')}"}, b""),
    "a header": lambda x: (200, {"X-Echo": quote(x, safe="")}, FINE),
    "the content encoding": lambda x: (200, {"Content-Encoding": quote(x, safe="")}, FINE),
    "the middle of a long page": lambda x: (500, {}, (f"{x} " * 20_000).encode()),
    "text that is no JSON": lambda x: f"<p>{x}</p>".encode(),
}
for _name, _place in PLACES.items():
    for _how, _secret in (("user", SECRET), ("token", "s3cr3t_w/rd+e")):

        @case(KIND, f"a {_how}'s credential said back in {_name} gets nowhere", accepts=EITHER)
        def _(place: Any = _place, how: str = _how, secret: str = _secret) -> None:
            _echoed(place(secret), how=how)


@case(KIND, "a key in the place of the user, without a password, is in no message", accepts=REFUSED)
def _() -> None:
    with serve(lambda *_: (401, {}, {"error": "bad key key_12345"})) as service:
        try:
            lt.BlackBox(service.url.replace("://", "://key_12345@"), **PLAIN)(ROWS)
        except LikethatError as error:
            expect("12345" in str(error), expected=False, what="that the message holds the key")
            raise


for _url in ("htps://me:s3cr3t@host/p", "me:s3cr3t@host", " https://me:s3cr3t@host/v2/models/m ", "http://me:s3cr3t@"):

    @case(
        KIND,
        f"a mistyped address with a password ({_url.replace('s3cr3t', '...')!r}) is refused without it",
        accepts=REFUSED,
    )
    def _(url: str = _url) -> None:
        try:
            lt.BlackBox(url)
        except LikethatError as error:
            if "s3cr3t" in "".join(traceback.format_exception(error)):
                raise Wrong(f"the message holds it: {error}") from None
            raise


REDIRECTS: dict[str, Callable[[str, str], str]] = {
    "to another port": lambda _, other: f"{other}/p",
    "with a user of its own": lambda here, _: here.replace("://", "://evil:word@") + "/new",
    "to another name of the same machine": lambda here, _: here.replace("127.0.0.1", "localhost") + "/new",
    "without a scheme to another host": lambda _, other: other.removeprefix("http:") + "/p",
    "to a file": lambda *_: "file:///etc/hostname",
    "to an address that is none": lambda *_: "http://[::1",
    "to a port that is none": lambda *_: "http://127.0.0.1:99999999/",
    "to itself for ever": lambda *_: "/p",
}
for _name, _target in REDIRECTS.items():

    @case(KIND, f"a redirect {_name} is not followed, and no credential goes there", accepts=REFUSED)
    def _(target: Callable[[str, str], str] = _target) -> None:
        urls: list[str] = []

        def answer(path: str, body: Any) -> Any:  # noqa: ARG001
            return FINE if path == "/new" else (307, {"Location": target(*urls)}, b"")

        with serve(lambda *_: FINE) as other, serve(answer) as service:
            urls += [service.url, other.url]
            try:
                lt.BlackBox(service.url.replace("://", "://me:s3cr3t-word@") + "/p", **PLAIN)(ROWS)
            finally:
                expect(len(other.requests), 0, "requests that reached the other host")
                expect([path for _, path, _, _ in service.requests if path == "/new"], [], "what was followed")


@case(KIND, "a redirect from https to http is refused", accepts=REFUSED)
def _() -> None:
    from likethat.models.black_box.address import Address
    from likethat.models.black_box.http import Link, LinkOptions

    link = Link(Address.parse("https://host.example/p"), LinkOptions())
    link._same_host("https://host.example/p", "http://host.example/p", 307, is_post=True)


@case(KIND, "a hostile description cannot make a model of texts out of one of numbers", accepts=REFUSED)
def _() -> None:
    with serve(v2(slot("x", [-1, 2], "FP32"))) as service:
        lt.BlackBox(service.url + "/v2/models/m", **V2)(["a text"])
