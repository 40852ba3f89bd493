"""Headers of the user's own: what is sent, and which of it must never be shown."""

import base64
import binascii
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from likethat.errors import InputError
from likethat.models.black_box.address import speaks_of_a_secret

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_OURS = frozenset({
    "accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect",
    "inference-header-content-length", "te", "transfer-encoding", "upgrade",
})  # fmt: skip
"""What says how a message is packed is the protocol's to say."""
_OPEN = frozenset({"host", "user-agent", "accept-language"})
"""What no service keeps secret, and every error page repeats."""
_LONG = 16  # characters from which on a value may be a key, whatever its header is called
_WORD = 8  # characters from which on a piece of a secret is looked for on its own: shorter ones are words


class OwnHeaders:
    """Headers to send with every request, as ``Name: value``.

    ``${VARIABLE}`` in a value stands for an environment variable, and ``@FILE`` for a file with a header a line (blank
    lines and those that begin with # are passed over). Both are read anew for each request and kept nowhere, so that a
    secret that is changed meanwhile is the one that is sent.

    Args:
        given: a mapping of names to values, or a list of ``Name: value`` and ``@FILE``.

    Raises:
        InputError: no such file, no header, a header that the protocol sets itself, or one that stands there twice.

    Example:
        >>> OwnHeaders({"X-Tenant": "lab"}).pairs()
        {'X-Tenant': 'lab'}
    """

    def __init__(self, given: Mapping[str, str] | Sequence[str] | None) -> None:
        if isinstance(given, str) or not isinstance(given, Mapping | Sequence | None):
            raise InputError(
                '`headers` must be a mapping of names to values, or a list of "Name: value" and "@FILE", got '
                f"{type(given).__name__}."
            )
        if isinstance(given, Mapping):
            self._lines: list[tuple[str, str]] = [_checked(name, value) for name, value in given.items()]
            self._files: list[Path] = []
        else:
            lines = list(given or ())
            self._lines = [_split(line) for line in lines if not _is_file(line)]
            self._files = [Path(line[1:]) for line in lines if _is_file(line)]
        _refuse_twice([name for name, _ in [*self._lines, *self._in_files()]])

    def __bool__(self) -> bool:
        return bool(self._lines or self._files)

    @property
    def names(self) -> frozenset[str]:
        """Their names, in small letters."""
        return frozenset(name.lower() for name, _ in [*self._lines, *self._in_files()])

    @property
    def telling(self) -> list[list[str]]:
        """Those that are no secret, [name, value], by name: the same address may answer for another model by them."""
        plain = [[name.lower(), value] for name, value in self._lines if not _is_secret(name, value)]
        return sorted(plain + [[name.lower(), value] for name, value in self._in_files() if name.lower() in _OPEN])

    def pairs(self) -> dict[str, str]:
        """Return what to send now.

        Raises:
            InputError: a variable that is not set, or characters that no header can carry.
        """
        return {name: _filled(name, value) for name, value in self._lines} | dict(self._in_files())

    def secrets(self) -> list[str]:
        """Return what must not be shown of it; a variable that is not set has nothing to hide."""
        found: list[str] = []
        for name, value in self._lines:
            read = [os.environ.get(variable, "").strip() for variable in _VARIABLE.findall(value)]
            found += [word for word in read if word]
            if _is_secret(name, value):
                found += _pieces(_VARIABLE.sub(lambda match: os.environ.get(match[1], "").strip(), value))
        try:
            in_files = self._in_files()
        except InputError:  # what is gone by now was refused when it was to be sent
            in_files = []
        return found + [word for name, value in in_files if name.lower() not in _OPEN for word in _pieces(value)]

    def _in_files(self) -> list[tuple[str, str]]:
        return [pair for path in self._files for pair in _read(path)]


def _is_file(line: object) -> bool:
    return isinstance(line, str) and line.startswith("@")


def _read(path: Path) -> list[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"`headers` must name a file of headers, got {str(path)!r}, which cannot be read ({type(error).__name__})."
        ) from None
    pairs = [_split(line.strip()) for line in lines if line.strip() and not line.strip().startswith("#")]
    for name, value in pairs:
        _check_sendable(name, value)
    return pairs


def _split(line: object) -> tuple[str, str]:
    """Return name and value; nothing of a line that is no header is repeated, as it may be a credential."""
    name, mark, value = line.partition(":") if isinstance(line, str) else ("", "", "")
    if not mark:
        raise InputError('`headers` must be written as "Name: value", got one without a colon.')
    return _checked(name.strip(), value.strip())


def _checked(name: object, value: object) -> tuple[str, str]:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError('`headers` must have names that HTTP knows, such as "X-Tenant", got another one.')
    if name.lower() in _OURS:
        raise InputError(f"`headers` must leave {name!r} to likethat, which says how it packs its questions.")
    if not isinstance(value, str):
        raise InputError(f"`headers` must have texts as values, got {type(value).__name__} for {name!r}.")
    if not _VARIABLE.search(value):
        _check_sendable(name, value)
    return name, value.strip()


def _check_sendable(name: str, value: str) -> None:
    if not value.strip() or not value.isascii() or not value.isprintable():
        what = "characters that no header can carry" if value.strip() else "nothing"
        raise InputError(f"`headers` must have values of printable ASCII characters, got {what} for {name!r}.")


def _filled(name: str, value: str) -> str:
    def read(match: re.Match[str]) -> str:
        word = os.environ.get(match[1], "").strip()
        if not word:
            raise InputError(
                f"`headers` must name environment variables that are set, got {match[1]!r} for {name!r}, which is not."
            )
        return word

    filled = _VARIABLE.sub(read, value)
    _check_sendable(name, filled)
    return filled


def _refuse_twice(names: Sequence[str]) -> None:
    small = [name.lower() for name in names]
    twice = next((name for name in names if small.count(name.lower()) > 1), None)
    if twice is not None:
        raise InputError(f"`headers` must name each header once, got {twice!r} twice. Choose one.")


def _is_secret(name: str, value: str) -> bool:
    if name.lower() in _OPEN:
        return False
    return bool(_VARIABLE.search(value)) or speaks_of_a_secret(name) or len(value) >= _LONG


def _pieces(value: str) -> list[str]:
    """Return a secret value and what it is put together of: what stands behind a scheme, the parts of a cookie."""
    scheme, _, rest = value.partition(" ")
    parts = [word for word in re.split(r'[\s;,="]+', value) if len(word) >= _WORD]
    found = [value, rest.strip(), *parts]
    if scheme.lower() == "basic":
        try:
            user = base64.b64decode(rest.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            user = ""
        found += [user, user.partition(":")[2]]
    return list(dict.fromkeys(word for word in found if word))
