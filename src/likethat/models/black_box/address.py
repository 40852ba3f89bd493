"""A URL apart from the credentials that may stand in it; nothing secret is in what gets printed."""

import os
import re
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from likethat.errors import InputError

_SECRET = re.compile(r"key|token|secret|passw|signature|^sig$|auth|credential|cookie|session", re.IGNORECASE)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def is_url(predict: object) -> bool:
    """Whether it is the text of an http or https address."""
    return isinstance(predict, str) and predict.lower().startswith(("http://", "https://"))


def speaks_of_a_secret(name: str) -> bool:
    """Whether what is called so, in a query or among headers, is likely to be a credential."""
    return _SECRET.search(name) is not None


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a service is.

    Attributes:
        url: the address without user and password.
        shown: what may be printed: no user, no password, no query.
        user: the name and the password that stood in the address, percent-decoded; never shown.
    """

    url: str
    shown: str
    user: tuple[str, str] | None = field(default=None, repr=False)

    def secrets(self) -> list[str]:
        """Return what must not be shown: the password, both as they travel, and a name long enough to be a key."""
        if self.user is None:
            return []
        name, word = self.user
        return [word, f"{name}:{word}", *([name] if len(name) >= 4 or not word else [])]

    @property
    def is_plain(self) -> bool:
        """Whether what is sent can be read on its way to another machine."""
        host = urlsplit(self.url).hostname or ""
        return self.url.lower().startswith("http:") and host not in ("localhost", "127.0.0.1", "::1")

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Take an address apart.

        Raises:
            InputError: it names no host, or carries a credential in its query.

        Example:
            >>> Address.parse("https://me:word@host/v2/models/m?version=2").shown
            'https://host/v2/models/m'
        """
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host:
            raise InputError("`predict` must be the address of a service, such as https://host/path, got a broken URL.")
        secret = next((name for name, _ in parse_qsl(parts.query) if speaks_of_a_secret(name)), None)
        if secret is not None:
            raise InputError(
                f"`predict` must be an address without credentials, got one in its query ({secret!r}). Put it into an "
                "environment variable and name that with token_env=."
            )
        place = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
        user = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
        url = urlunsplit((parts.scheme.lower(), place, parts.path, parts.query, ""))
        return cls(url=url, shown=url.split("?", maxsplit=1)[0], user=user)

    def below(self, path: str) -> str:
        """Return the address of something under this one."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/") + path, parts.query, ""))

    def model(self) -> "Address":
        """Return the address of the model that an address of the inference protocol names."""
        parts = urlsplit(self.url)
        path = parts.path.rstrip("/").removesuffix("/infer").removesuffix("/ready").removesuffix(":predict")
        url = urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
        return replace(self, url=url, shown=url.split("?", maxsplit=1)[0])


class Credential:
    """Reads a credential from the environment when it is needed, and keeps it nowhere.

    Args:
        variable: name of the environment variable.
        header: "Authorization" sends ``Bearer <credential>``; any other header gets the credential alone.
    """

    def __init__(self, variable: str, *, header: str = "Authorization") -> None:
        if not isinstance(variable, str) or not _VARIABLE.fullmatch(variable):
            raise InputError("`token_env` must be the name of an environment variable, not the credential itself.")
        self._variable, self._header = variable, header

    def headers(self) -> dict[str, str]:
        """Return the header to send."""
        secret = self._read()
        return {self._header: f"Bearer {secret}" if self._header.lower() == "authorization" else secret}

    def secret(self) -> str:
        """Return the credential, for taking it out of texts; "" where there is none."""
        return os.environ.get(self._variable, "").strip()

    def _read(self) -> str:
        secret = self.secret()
        if not secret or not secret.isascii() or not secret.isprintable():
            what = "holds characters that no header can carry" if secret else "is not set"
            raise InputError(f"`token_env` must name an environment variable with a credential, got one that {what}.")
        return secret
