"""Take credentials out of what a service says, however it wrote them."""

import base64
import html
import json
import logging
import re
import unicodedata
import weakref
from collections.abc import Callable, Sequence

__all__ = ["Discretion", "forget_in_logs"]

SHOWN = "[credential]"
_SHORT = 4  # a shorter secret is found in any text: nothing of the text is shown then
_GAP = r"[\s\u00ad\u200b-\u200f\u2060\ufeff]{0,3}"
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_LOGGERS = ("httpx", "httpcore", *(f"httpcore.{name}" for name in ("connection", "http11", "http2", "proxy", "socks")))


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
            return "[text not shown, as it might hold the credential]" if text.strip() else text
        pattern = self._pattern(secrets)
        return text if pattern is None else pattern.sub(SHOWN, unicodedata.normalize("NFKC", text))

    def clean_json(self, text: str) -> str:
        """Return JSON whose strings hold no secret; its numbers, which are most of it, are not looked at."""
        secrets = self._current()
        pattern = self._pattern([secret for secret in secrets if len(secret) >= _SHORT])
        short = {secret for secret in secrets if len(secret) < _SHORT}
        if pattern is None and not short:
            return text

        def cleaned(found: re.Match[str]) -> str:
            try:
                word = str(json.loads(found[0], strict=False))
            except ValueError:
                return found[0]
            plain = unicodedata.normalize("NFKC", word)
            if plain in short or (pattern is not None and pattern.search(plain)):
                return json.dumps(
                    SHOWN if pattern is None else pattern.sub(SHOWN, plain if plain not in short else SHOWN)
                )
            return found[0]

        return _STRING.sub(cleaned, text)

    @property
    def reach(self) -> int:
        """Letters at the end of a text that was cut off which may be the beginning of a secret."""
        return 12 * max((len(secret) for secret in self._current()), default=0)

    def _current(self) -> tuple[str, ...]:
        return tuple(secret for secret in self._secrets() if secret)

    def _pattern(self, secrets: Sequence[str]) -> re.Pattern[str] | None:
        known, pattern = self._known
        if known != tuple(secrets) or (secrets and pattern is None):
            forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
            pattern = re.compile("|".join(forms), re.IGNORECASE) if forms else None
            self._known = (tuple(secrets), pattern)
        return pattern


def _forms(secret: str) -> list[str]:
    """Return patterns of a secret: letter by letter, and as base64 and hexadecimal inside anything longer."""
    plain = unicodedata.normalize("NFKC", secret)
    raw = secret.encode("utf-8", "surrogatepass")
    forms = [_GAP.join(_letter(letter) for letter in plain), re.escape(raw.hex())]
    for offset in range(3):  # base64 of bytes depends on where they begin, and on what stands beside them
        word = base64.b64encode(b"\0" * offset + raw).decode().rstrip("=")
        first, last = (0, 2, 3)[offset], len(word) - (1 if (offset + len(raw)) % 3 else 0)
        inner = word[first:last]
        if len(inner) >= _SHORT:
            forms.append(_GAP.join("[+-]" if x == "+" else "[/_]" if x == "/" else re.escape(x) for x in inner))
    return forms


def _letter(letter: str) -> str:
    """Return a pattern of a letter, escaped as URLs, JSON, Python, HTML and quoted-printable do."""
    code = ord(letter)
    if code > 127:
        encoded = "".join(f"%(?:25)*{byte:02x}" for byte in letter.encode())
        escaped = rf"\\+u{code:04x}|\\+x[0-9a-f]{{2}}|&#0*{code};|&#x0*{code:x};"
        return f"(?:{re.escape(letter)}|{encoded}|{escaped}|[^ -~]{{1,4}})"  # the last: read in another encoding
    ways = [
        re.escape(letter),
        f"%(?:25)*{code:02x}",
        f"={code:02x}",
        rf"\\+u(?:00|\{{0*){code:02x}\}}?",
        rf"\\+x{code:02x}",
    ]
    ways += [f"&#0*{code};", f"&#x0*{code:x};"]
    if not letter.isalnum():
        ways += [re.escape(html.escape(letter)), rf"\\+{re.escape(letter)}"]
    return f"(?:{'|'.join([*ways, *([r'[+]'] if letter == ' ' else [])])})"


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
