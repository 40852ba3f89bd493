"""Who may ask, and from where: the door before every page, picture and question."""

import hashlib
import hmac
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from likethat.errors import InputError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE = frozenset({"GET", "HEAD"})
_LEAST_TOKEN = 16  # characters: fewer can be tried out over a network
_FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})
"""What a page of another site can send without being asked whether it may (the Fetch standard's safelisted types)."""
_HEADERS = {
    # Styles of elements are written into the report's templates (the width of a bar); scripts are one file of ours.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with "no-referrer" browsers send no Origin either
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


def check_token(token: str) -> str:
    """Return a token that is long enough and can stand in a header.

    Raises:
        InputError: it is not.
    """
    if len(token) < _LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(
            f"the token must be at least {_LEAST_TOKEN} printable characters without a space, got {len(token)}. "
            "Leave it out to have one made."
        )
    return token


class Guard:
    """Lets through what was asked under the server's own name, by its own pages or no page, with the token.

    - **Name.** A page of another site may let its own name lead to this machine (DNS rebinding): only known names in
      the ``Host`` header are answered.
    - **Site.** What another site's page sends is refused, by ``Sec-Fetch-Site``, by ``Origin``, and by its kind:
      a form must come with the browser's word that it is ours, and other sites' forms cannot be sent as JSON.
    - **Token.** In ``Authorization: Bearer``, in the cookie that the first visit leaves, or once in the address, which
      is then left at once. Compared in constant time.

    Args:
        app: what is guarded.
        hosts: names that the server goes by, without port; empty takes any: then the token stands for them all.
        token: what visitors must bring; None on this machine alone.
        cookie: name of the cookie: cookies do not tell ports apart.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], token: str | None, cookie: str) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._token, self._cookie = token, cookie
        self._badge = "" if token is None else hmac.digest(token.encode(), b"likethat cookie", "sha256").hex()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse to."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # RFC 6455: not allowed here
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(Request(scope))
        await (refusal or self._app)(scope, receive, _with_headers(send))

    def _refusal(self, request: Request) -> Response | None:
        if self._hosts and _name_of(request.headers.get("host", "")) not in self._hosts:
            return PlainTextResponse("This server does not go by that name: see --allow-host.", 421)
        if _is_foreign(request):
            return PlainTextResponse("Pages of other sites may not ask here.", 403)
        return None if self._token is None else self._unknown(request, self._token)

    def _unknown(self, request: Request, token: str) -> Response | None:
        """Return what is answered to those who bring no token; None for others."""
        shown = [value for name, value in parse_qsl(request.url.query) if name == "token"]
        if shown and request.method in _SAFE and _same(shown[0], token):
            return self._welcome(request)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(given.strip(), token):
            return None
        if _same(_cookie_of(request, self._cookie), self._badge):
            return None
        said = "This server wants its token: open the address that it printed when it was started."
        return PlainTextResponse(said, 401, {"WWW-Authenticate": "Bearer"})

    def _welcome(self, request: Request) -> Response:
        """Take the token out of the address, so that it stands in no history and in no picture of the screen."""
        rest = [(name, value) for name, value in parse_qsl(request.url.query) if name != "token"]
        path = "/" + request.url.path.lstrip("/")  # "//host" would lead elsewhere
        answer = RedirectResponse(f"{path}?{urlencode(rest)}" if rest else path, 303)
        answer.set_cookie(
            self._cookie, self._badge, httponly=True, samesite="lax", secure=request.url.scheme == "https"
        )
        return answer


def _same(given: str, wanted: str) -> bool:
    # Of digests: the time that a comparison takes tells nothing, neither of the text nor of its length.
    return hmac.compare_digest(*(hashlib.sha256(one.encode("utf-8", "replace")).digest() for one in (given, wanted)))


def _cookie_of(request: Request, name: str) -> str:
    try:
        found = SimpleCookie(request.headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value


def _name_of(host: str) -> str:
    """Return the name in a ``Host`` header.

    Example:
        >>> _name_of("127.0.0.1:8000"), _name_of("[::1]:8000"), _name_of("LOCALHOST."), _name_of("a@b")
        ('127.0.0.1', '::1', 'localhost', '')
    """
    try:
        parts = urlsplit(f"//{host}")
        return "" if "@" in host else (parts.hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_foreign(request: Request) -> bool:
    """Whether a page of another site sends this; a link that leads here is followed."""
    site, is_safe = request.headers.get("sec-fetch-site", "none"), request.method in _SAFE
    if site not in ("same-origin", "none"):
        is_link = request.headers.get("sec-fetch-mode") == "navigate" and request.headers.get("sec-fetch-dest") in (
            "document", None,
        )  # fmt: skip
        return not (is_safe and is_link)
    origin = request.headers.get("origin")
    if is_safe:
        return False
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        sender = None if origin is None else urlsplit(origin).netloc.lower()
    except ValueError:  # no address at all
        return True
    if sender is not None and sender != request.headers.get("host", "").lower():
        return True
    is_vouched_for = origin is not None or site == "same-origin"  # by the browser: no page can say so itself
    return kind in _FORMS and not is_vouched_for


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
