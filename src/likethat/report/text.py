"""Numbers and names as a reader should see them."""

import math
import re
from collections.abc import Iterable, Sequence

_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff"
    "\ud800-\udfff]"
)


def clean(text: str) -> str:
    r"""Return `text` with what could hide or turn other text round made visible: controls, bidi marks, surrogates.

    Example:
        >>> clean("photo\u202egpj.exe")
        'photo⟨U+202E⟩gpj.exe'
    """
    return _UNSEEN.sub(lambda found: f"⟨U+{ord(found.group()):04X}⟩", text)


def for_matplotlib(text: str) -> str:
    r"""Return `text` as matplotlib shows it to the letter: what stands between two dollars it reads as mathematics.

    Example:
        >>> for_matplotlib("$5 to $9")
        '\\$5 to \\$9'
    """
    return text.replace("$", r"\$")


def shorten(text: str, limit: int = 60) -> str:
    """Return cleaned `text` of at most `limit` characters; its middle goes first, as file names differ at the ends.

    Example:
        >>> shorten("a-very-long-file-name-indeed.jpg", 16)
        'a-very-…deed.jpg'
    """
    text = clean(text)
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def percent(share: float) -> str:
    """Return a share in [0, 1] as a percentage, never rounded up to certainty.

    Example:
        >>> [percent(share).replace(chr(0x202f), " ") for share in (0.97, 0.9999, 0.004, 0.0, 1.0)]
        ['97 %', 'over 99.9 %', '0.4 %', '0 %', '100 %']
    """
    if share in (0.0, 1.0):
        return f"{share:.0%}".replace("%", "\u202f%")
    if share > 0.9995:
        return "over 99.9\u202f%"
    if 0 < share < 0.0005:
        return "under 0.1\u202f%"
    digits = 0 if 0.0095 <= share < 0.995 else 1
    return f"{100 * share:.{digits}f}\u202f%"


def chance(probability: float) -> str:
    """Return a model's probability as a percentage; a model of finite logits is never certain.

    Example:
        >>> [chance(p).replace(chr(0x202f), " ") for p in (0.97, 1.0, 0.0)]
        ['97 %', 'over 99.9 %', 'under 0.1 %']
    """
    return percent(min(max(probability, 1e-9), 1 - 1e-9))


def signed(value: float, decimals: int = 2) -> str:
    """Return a number with its sign (a real minus), none for zero.

    Example:
        >>> signed(1.234), signed(-0.5), signed(-0.001)
        ('+1.23', '−0.50', '0.00')
    """
    printed = f"{abs(value):.{decimals}f}"
    if float(printed) == 0:
        return printed
    return f"{'+' if value > 0 else '−'}{printed}"


def count(number: int, noun: str) -> str:
    """Return a count in words as prose writes it.

    Example:
        >>> count(4, "channel"), count(1, "channel"), count(13, "part")
        ('four channels', 'one channel', '13 parts')
    """
    word = _WORDS[number] if number < len(_WORDS) else f"{number:,}"
    return f"{word} {noun}{'' if number == 1 else 's'}"


def in_prose(name: str) -> str:
    """Return a name for a sentence: one that could be taken for a number there stands in quotes.

    Example:
        >>> in_prose("owl"), in_prose("2")
        ('owl', '“2”')
    """
    return name if any(letter.isalpha() for letter in name) else f"“{name}”"


def duration(seconds: float) -> str:
    """Return a duration in the units a reader would say it in.

    Example:
        >>> duration(0.42), duration(75), duration(7500)
        ('0.4 s', '1 min 15 s', '2 h 5 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def decimals_for(values: Iterable[float]) -> int:
    """Return how many decimals give the largest of `values` about three or four digits.

    Example:
        >>> decimals_for([12.0, -3.0]), decimals_for([0.03]), decimals_for([4000.0]), decimals_for([0.0])
        (2, 4, 0, 2)
    """
    largest = max((abs(value) for value in values), default=0.0)
    if largest == 0:
        return 2
    size = math.floor(math.log10(largest))
    return min(max((2 if size < 1 else 3) - size, 0), 9)


def rounded_to_sum(values: Sequence[float], decimals: int) -> list[float]:
    """Round values so that the rounded ones add up to their rounded sum; each is its floor or its ceiling.

    Source:
        The largest-remainder method: those with the largest fractions are rounded up.

    Example:
        >>> rounded_to_sum([0.4, 0.4, 0.4], 0)
        [1.0, 0.0, 0.0]
    """
    scale = 10**decimals
    floors = [math.floor(value * scale) for value in values]
    fractions = [value * scale - floor for value, floor in zip(values, floors, strict=True)]
    n_up = round(math.fsum(values) * scale) - sum(floors)
    order = sorted(range(len(values)), key=lambda place: -fractions[place])
    up = set(order[:n_up])
    return [(floor + (place in up)) / scale for place, floor in enumerate(floors)]
