"""Take credentials out of what a service says, however it wrote them."""

import base64
import html
import json
import logging
import re
import unicodedata
import weakref
from collections.abc import Callable, Sequence

_SHOWN = "[credential]"
_HIDDEN = "[text that may hold the credential]"
_SHORT = 4  # a shorter secret is found in any text: nothing of the text is shown then
_PIECE = 16  # letters at each end by which a longer secret is known: a pattern of all of it takes seconds to make
_GAP = r"\s?"
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_LOGGERS = ("httpx", *(f"httpcore.{name}" for name in ("connection", "http11", "http2", "proxy", "socks")))


class Discretion:
    """Finds secrets in texts: as they are, percent-encoded, escaped, in base64 or hexadecimal, spaced out.

    Args:
        secrets: returns the secrets of the moment, each as it would be sent.
    """

    def __init__(self, secrets: Callable[[], Sequence[str]]) -> None:
        self._secrets = secrets
        self._known: tuple[tuple[str, ...], re.Pattern[str] | None] = ((), None)

    def clean(self, text: str) -> str:
        """Return a text without the secrets; nothing of it where a secret is too short to be looked for."""
        secrets = self._current()
        if any(len(secret) < _SHORT for secret in secrets):
            return _HIDDEN if text.strip() else text
        return self._covered(text, secrets)

    def clean_json(self, text: str) -> str:
        """Return JSON whose strings hold no secret; its numbers, which are most of it, are not looked at."""
        secrets = self._current()
        if not secrets:
            return text
        short = {secret for secret in secrets if len(secret) < _SHORT}
        long = [secret for secret in secrets if len(secret) >= _SHORT]

        def cleaned(found: re.Match[str]) -> str:
            try:
                word = str(json.loads(found[0], strict=False))
            except ValueError:
                return found[0]
            shown = _SHOWN if word in short else self._covered(word, long)
            return found[0] if shown == word else json.dumps(shown)

        return _STRING.sub(cleaned, text)

    @property
    def reach(self) -> int:
        """Letters at the end of a text that was cut off which may be the beginning of a secret."""
        return 12 * max((len(secret) for secret in self._current()), default=0)

    def _current(self) -> tuple[str, ...]:
        return tuple(secret for secret in self._secrets() if secret)

    def _covered(self, text: str, secrets: Sequence[str]) -> str:
        """Cover what is found; where it is one end of a long secret, the whole text."""
        pattern = self._pattern(secrets)
        plain = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
        if pattern is None or not pattern.search(plain):
            return text
        is_long = any(len(secret) > 2 * _PIECE for secret in secrets)
        return _HIDDEN if is_long else pattern.sub(_SHOWN, plain)

    def _pattern(self, secrets: Sequence[str]) -> re.Pattern[str] | None:
        known, pattern = self._known
        if known != tuple(secrets):
            pieces = {piece for secret in secrets for piece in _pieces(secret)}
            forms = sorted({form for piece in pieces for form in _forms(piece)}, key=len, reverse=True)
            pattern = re.compile("|".join(forms), re.IGNORECASE) if forms else None
            self._known = (tuple(secrets), pattern)
        return pattern


def _pieces(secret: str) -> list[str]:
    return [secret] if len(secret) <= 2 * _PIECE else [secret[:_PIECE], secret[-_PIECE:]]


def _forms(secret: str) -> list[str]:
    """Return patterns of a secret: letter by letter, and as base64 and hexadecimal inside anything longer."""
    plain = unicodedata.normalize("NFKC", secret)
    raw = secret.encode("utf-8", "surrogatepass")
    forms = [_GAP.join(_letter(letter) for letter in plain), raw.hex()]
    for offset in range(3):  # base64 of bytes depends on where they begin, and on what stands beside them
        word = base64.b64encode(b"\0" * offset + raw).decode().rstrip("=")
        first, last = (0, 2, 3)[offset], len(word) - (1 if (offset + len(raw)) % 3 else 0)
        if last - first >= _SHORT:
            forms.append(
                "".join(r"\s?[+-]" if x == "+" else r"\s?[/_]" if x == "/" else rf"\s?{x}" for x in word[first:last])
            )
    return forms


def _letter(letter: str) -> str:
    """Return a pattern of a letter, escaped as URLs, JSON, Python, HTML and quoted-printable do."""
    code = ord(letter)
    if code > 127:
        encoded = "".join(f"%(?:25)*{byte:02x}" for byte in letter.encode())
        escaped = rf"\\+u{code:04x}|\\+x[0-9a-f]{{2}}|&#(?:0*{code}|x0*{code:x});"
        return f"(?:{re.escape(letter)}|{encoded}|{escaped}|[^ -~]{{1,4}})"  # the last: read in another encoding
    ways = rf"(?:%(?:25)*|=|\\+(?:x|u(?:00|\{{0*))){code:02x}\}}?|&#(?:0*{code}|x0*{code:x});"
    if letter.isalnum():
        return f"(?:{letter}|{ways})"
    named = html.escape(letter)
    others = [re.escape(named)] * (named != letter) + ["[+]"] * (letter == " ")
    return "|".join([rf"(?:\\*{re.escape(letter)}", ways, *others]) + ")"


class _Filter(logging.Filter):
    """Takes the credentials of all services that are open out of what the HTTP library logs."""

    def __init__(self) -> None:
        super().__init__()
        self.open: weakref.WeakSet[Discretion] = weakref.WeakSet()

    def filter(self, record: logging.LogRecord) -> bool:
        before = message = record.getMessage()
        for discretion in list(self.open):
            message = discretion.clean(message)
        if message != before:
            record.msg, record.args = message, ()
        return True


_FILTER = _Filter()


def forget_in_logs(discretion: Discretion) -> None:
    """Keep these secrets out of the HTTP library's own log, which tells headers and addresses."""
    _FILTER.open.add(discretion)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)  # adding it twice is adding it once
