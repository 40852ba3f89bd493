"""JSON over HTTP for services that are slow, busy, broken or far away: bounded in time, size and repetition."""

import json
import math
import random
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from likethat.errors import BlackBoxError, InputError
from likethat.models.black_box.address import Address, Credential
from likethat.models.black_box.binary import HEADER
from likethat.models.black_box.certificates import Certificates
from likethat.models.black_box.discretion import Discretion, forget_in_logs
from likethat.models.black_box.headers import OwnHeaders
from likethat.models.black_box.link_options import LinkOptions
from likethat.models.black_box.patience import Patience
from likethat.models.black_box.portions import RefusedError
from likethat.models.black_box.unpacking import BadPackingError, TooLargeError, unpacked

_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT = 120.0  # seconds; a service that asks for more is said, not waited for
_REDIRECTS = 3  # more is a circle, or a service that is not where it was said to be
_WINDOW = 16_000  # letters at each end of an answer that a message may show some of
_JSON = {"Content-Type": "application/json"}
_PARTIAL = 206  # a piece of what was asked for
_COMPLAINTS = ("error", "errors", "error_message", "detail", "details", "message", "exception", "reason")
"""What services call the words in which they say that something went wrong."""
_ADVICE = {
    401: "Name the environment variable with the credential: token_env=.",
    403: "Name the environment variable with a credential that may ask: token_env=.",
    404: "Check the path and the name of the model.",
    405: "Check the path: it takes no questions.",
    413: "Lower batch_size.",
    429: "Lower rate=, or concurrency=.",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class _Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Link:
    """Sends JSON to one service and brings JSON back; safe to use from several threads.

    TLS certificates are always verified, a redirect is followed on the same host alone, and no credential is in any
    message, record or representation.

    Attributes:
        address: where the service is.
        requests: HTTP requests sent so far, repeated ones too.
    """

    def __init__(self, address: Address, options: LinkOptions) -> None:
        if address.user is not None and options.token_env is not None:
            raise InputError("`token_env` must not be given for an address that names a user. Choose one of the two.")
        self.address, self.options = address, options
        self.requests = 0
        self._credential = (
            None if options.token_env is None else Credential(options.token_env, header=options.token_header)
        )
        self._own = OwnHeaders(options.headers)
        self._check_headers()
        self._certificates = Certificates(
            ca=options.ca,
            certificate=options.certificate,
            key=options.certificate_key,
            password_env=options.certificate_password_env,
        )
        self._discretion = Discretion(self._secrets)
        forget_in_logs(self._discretion)
        self._lock = threading.Lock()
        self._patience = Patience()
        self._next_start = 0.0
        self._client = self._new_client()
        weakref.finalize(self, self._client.close)

    @property
    def notes(self) -> tuple[str, ...]:
        """What its user should know."""
        is_secret = self._credential is not None or self.address.user is not None or bool(self._own.secrets())
        host = urlsplit(self.address.url).hostname
        return (
            (f"the credential travels to {host} unencrypted: use https",) if is_secret and self.address.is_plain else ()
        )

    @property
    def identity(self) -> str:
        """The address, and the headers by which it may answer for another model; "" of one with a query."""
        if "?" in self.address.url:
            return ""
        telling = self._own.telling
        return f"{self.address.shown} {json.dumps(telling)}" if telling else self.address.shown

    def json(self, url: str, body: Any = None) -> Any:
        """POST `body` as JSON, or GET when there is none, and return the answer.

        Raises:
            BlackBoxError: no connection, an error status, no JSON, after as many repetitions as allowed.
        """
        return self.mixed(url, body)[0]

    def mixed(self, url: str, body: Any = None, tail: bytes = b"") -> tuple[Any, bytes]:
        """POST JSON with bytes behind it, or as `json` where there are none; return the answer, JSON and bytes.

        Raises:
            BlackBoxError: as `json` does.
        """
        content = None if body is None else json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
        headers = {}
        if content is not None:
            headers = {"Content-Type": "application/octet-stream", HEADER: str(len(content))} if tail else _JSON
            content += tail
        reply = self._insist(url, content, headers)
        said = reply.headers.get(HEADER, "")
        n = int(said) if said.isdecimal() else len(reply.body)
        try:
            text = reply.body[:n].decode(json.detect_encoding(reply.body[:n]), "surrogatepass")
            return json.loads(self._discretion.clean_json(text), object_pairs_hook=_once), reply.body[n:]
        except (ValueError, RecursionError):
            raise BlackBoxError(
                f"{self.address.shown} must answer with JSON, got {self._excerpt(reply.body)!r}. Check the address."
            ) from None

    def said(self, reply: Any) -> str:
        """Return the words in which a service reports trouble in an answer of status 200; "" where there are none."""
        for name in _COMPLAINTS:
            value = reply.get(name) if isinstance(reply, Mapping) else None
            value = value[0] if isinstance(value, list) and value else value
            value = (
                next((value[x] for x in ("message", "msg", *_COMPLAINTS) if x in value), None)
                if isinstance(value, Mapping)
                else value
            )
            if isinstance(value, str) and value.strip():
                return f"the {name} {self._excerpt(value.encode('utf-8', 'replace'))!r}"
        return ""

    def _insist(self, url: str, content: bytes | None, headers: Mapping[str, str]) -> _Reply:
        for attempt in range(self.options.retries + 1):
            wait, status, words = None, 0, ""
            try:
                reply = self._once(url, content, headers)
            except httpx.TransportError as error:
                trouble = self._transport_trouble(error)
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:
                raise BlackBoxError(
                    f"{self.address.shown} must answer as HTTP says, and does not ({type(error).__name__}). Check the "
                    "address."
                ) from None
            else:
                if reply.status < 300 and reply.status != _PARTIAL:
                    return reply
                if reply.status not in _AGAIN:
                    raise self._refused(reply)
                trouble = f"an answer with status {reply.status} ({self._excerpt(reply.body)!r})"
                status, words = reply.status, self._words(reply.body)
                wait = _retry_after(reply.headers.get("retry-after"))
            if attempt == self.options.retries or (wait or 0) > _LONGEST_WAIT:
                break
            bound = min(self.options.backoff * 2**attempt, _LONGEST_WAIT)
            time.sleep(random.uniform(bound / 2, bound) if wait is None else wait)  # noqa: S311
        later = f" It asks for {wait:.0f} s of patience." if wait else ""
        raise RefusedError(
            f"{self.address.shown} must answer, got {trouble}, {attempt + 1} times.{later} Check that the service "
            "runs; what it answered before is kept.",
            status=status,
            said=words,
        )

    def _once(self, url: str, content: bytes | None, headers: Mapping[str, str]) -> _Reply:
        for _ in range(_REDIRECTS + 1):
            self._wait_for_turn()
            reply = self._send(url, content, headers)
            target = reply.headers.get("location")
            if not 300 <= reply.status < 400 or target is None:
                return reply
            url = self._same_host(url, target, reply.status, is_post=content is not None)
        raise BlackBoxError(f"{self.address.shown} must answer, got {_REDIRECTS + 1} redirects one after the other.")

    def _send(self, url: str, content: bytes | None, own: Mapping[str, str]) -> _Reply:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", **own}
        if self._credential is not None:
            headers.update(self._credential.headers())
        headers.update(self._own.pairs())
        with self._lock:
            self.requests += 1
        method = "GET" if content is None else "POST"
        body = bytearray()
        with (
            self._patience.until(time.monotonic() + self.options.timeout),
            self._client.stream(method, url, content=content, headers=headers) as stream,
        ):
            for chunk in stream.iter_raw():
                body += chunk
                if len(body) > self.options.max_answer:
                    raise self._too_large()
            encoding = stream.headers.get("content-encoding", "")
            return _Reply(status=stream.status_code, headers=stream.headers, body=self._unpacked(body, encoding))

    def _unpacked(self, body: bytearray, encoding: str) -> bytes:
        try:
            return unpacked(bytes(body), encoding, limit=int(self.options.max_answer))
        except TooLargeError:
            raise self._too_large() from None
        except BadPackingError:
            raise BlackBoxError(
                f"{self.address.shown} must answer without packing, as it is asked to, or with gzip, got content "
                f"encoding {self._excerpt(encoding.encode('utf-8', 'replace'))!r}. Switch that off in the service."
            ) from None

    def _too_large(self) -> RefusedError:
        return RefusedError(
            f"{self.address.shown} must answer with at most {self.options.max_answer} bytes, got more. "
            "Lower batch_size, or raise max_answer.",
            status=413,
        )

    def _wait_for_turn(self) -> None:
        if self.options.rate is None:
            return
        with self._lock:
            now = time.monotonic()
            start = max(now, self._next_start)
            self._next_start = start + 1 / self.options.rate
        time.sleep(start - now)

    def _same_host(self, url: str, target: str, status: int, *, is_post: bool) -> str:
        here, there = httpx.URL(url), _joined(url, target)
        if there is None or there.userinfo or _origin(there) != _origin(here):
            where = "nowhere" if there is None else self._excerpt(f"{there.scheme}://{there.host}".encode())
            user = " as another user" if there is not None and there.userinfo else ""
            raise BlackBoxError(
                f"{self.address.shown} must answer itself, got a redirect to {where!r}{user}, which is not followed. "
                "Give the address of that service if it is the right one."
            )
        if is_post and status not in (307, 308):
            raise BlackBoxError(
                f"{self.address.shown} must take questions, got a redirect ({status}) that drops them. Give the "
                "address that it leads to."
            )
        return str(there)

    def _transport_trouble(self, error: httpx.TransportError) -> str:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise BlackBoxError(
                f"{self.address.shown} must show a certificate that this machine trusts, and does not. Name the file "
                "of the authority that signed it: ca=."
            ) from None
        if "CERTIFICATE_REQUIRED" in str(error) or "HANDSHAKE_FAILURE" in str(error) or "UNKNOWN_CA" in str(error):
            what = (
                "wants a certificate of those who ask" if self.options.certificate is None else "refuses `certificate`"
            )
            raise BlackBoxError(
                f"{self.address.shown} must accept this client, and {what}. Name the file of one that its operator "
                "signed: certificate=, and certificate_key= where its key lies apart."
            ) from None
        if isinstance(error, httpx.TimeoutException):
            return f"no answer in {self.options.timeout:g} s"
        if isinstance(error, httpx.UnsupportedProtocol | httpx.ProxyError):
            raise BlackBoxError(f"{self.address.shown} cannot be reached ({type(error).__name__}).") from None
        return f"no connection ({type(error).__name__})"

    def _refused(self, reply: _Reply) -> RefusedError:
        advice = _ADVICE.get(reply.status, "Check the address and what the service takes.")
        return RefusedError(
            f"{self.address.shown} must answer, got status {reply.status} ({self._excerpt(reply.body)!r}). {advice}",
            status=reply.status,
            said=self._words(reply.body),
        )

    def _words(self, body: bytes) -> str:
        """Return what a refusal says, of which the number of rows that would be taken is read."""
        return self._clean_line(body[:_WINDOW].decode("utf-8", "replace"))

    def _excerpt(self, body: bytes) -> str:
        """Return the ends of an answer as one line, without the credential that a service may echo."""
        text = body.decode("utf-8", "replace")
        if len(text) <= 2 * _WINDOW:
            line = self._clean_line(text)
            return line if len(line) <= 200 else f"{line[:90]} … {line[-90:]}"
        reach = self._discretion.reach  # what was cut through is not recognised
        head, tail = self._clean_line(text[:_WINDOW]), self._clean_line(text[-_WINDOW:])
        return f"{head[: len(head) - reach][:90] if reach < len(head) else ''} … {tail[reach:][-90:]}"

    def _clean_line(self, text: str) -> str:
        line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
        return self._discretion.clean(line)

    def _secrets(self) -> list[str]:
        """Return what must be in no message, log, name or cache."""
        credential = [] if self._credential is None else [self._credential.secret()]
        return [*credential, *self.address.secrets(), *self._own.secrets()]

    def _check_headers(self) -> None:
        taken = "" if self._credential is None else self.options.token_header
        taken = taken if self.address.user is None else "Authorization"
        if taken and taken.lower() in self._own.names:
            other = "`token_env`" if self._credential is not None else "the user in the address"
            raise InputError(f"`headers` must not hold {taken!r} beside {other}, which is sent in it. Choose one.")

    def _new_client(self) -> httpx.Client:
        is_tls = self.address.url.startswith("https:")
        context = self._certificates.context(is_tls=is_tls)
        try:
            client = httpx.Client(
                verify=context,
                timeout=self.options.timeout,
                follow_redirects=False,
                auth=None if self.address.user is None else httpx.BasicAuth(*self.address.user),
                limits=httpx.Limits(max_connections=int(self.options.concurrency)),
            )
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            raise InputError(
                f"The environment must name proxies that can be used (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY), and does "
                f"not ({type(error).__name__}). Mend or unset them."
            ) from None
        return self._patience.guard(client)


def _joined(url: str, target: str) -> httpx.URL | None:
    """Return where a redirect leads; None for an address that makes no sense."""
    try:
        return httpx.URL(url).join(target)
    except (httpx.InvalidURL, ValueError):
        return None


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that a service asks to wait: it says a number, or a date."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return None if math.isnan(seconds) else max(seconds, 0.0)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a mapping of an answer; a key that stands there twice says two things."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key twice")
    return found
