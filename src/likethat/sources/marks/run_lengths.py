"""COCO's run lengths, plain and compressed."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_LONGEST_RUN = 60  # bits; more is no number of pixels, and would be added up without end


def run_lengths(counts: Sequence[int] | str, *, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return the mask of COCO's run lengths: pixels column by column, off and on in turn; text is compressed.

    Raises:
        ValueError: the runs do not fill the image.

    Example:
        >>> run_lengths([1, 2, 1], height=2, width=2).astype(int).tolist()
        [[0, 1], [1, 0]]
    """
    runs = _decompressed(counts) if isinstance(counts, str) else counts
    total = sum(runs)
    if total != height * width or min(runs, default=0) < 0:
        raise ValueError(
            f"run lengths of {total if -1 < total < 2**63 else 'too many'} pixels for an image of {height} x {width}"
        )
    values = np.repeat(np.arange(len(runs)) % 2 == 1, np.asarray(runs, dtype=np.int64))
    return np.asarray(values.reshape(width, height).T)


def _decompressed(text: str) -> list[int]:
    """Return the counts of COCO's compressed run lengths: 5 bits a character, differences from the third on."""
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64 or shift > _LONGEST_RUN:
            raise ValueError(f"a run that is no number at {letter!r}")
        value |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return runs
