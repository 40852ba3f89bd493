"""The nearest real text that the model gives to another class: a few questions, in the order of nearness."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from likethat.editing.asked import AskedTexts
from likethat.generators.text.edits import TextEdits

_AT_ONCE = 3  # of the nearest by label two in three are of the class: three seldom all fail


def nearest_real(
    edits: TextEdits,
    source: str,
    ask: AskedTexts,
    *,
    lean: Float[NDArray[np.float64], " text"] | None,
    most: int,
) -> int | None:
    """Return the place, among what was asked, of a real text of the class wanted; None where none was found.

    Args:
        edits: with the real texts.
        source: text that it shall be near to.
        ask: the model; its margin is above 0 where a text is of the class wanted.
        lean: of each text, above 0 where its label says that class, below 0 where another, NaN without a label; None
            where nothing is known.
        most: questions.
    """
    near = edits.nearness(source)
    against = np.zeros(len(near)) if lean is None else np.nan_to_num(-np.sign(lean))
    order = [place for place in np.lexsort((-near, against)).tolist() if edits.texts[place] != source]
    for first in range(0, most, _AT_ONCE):
        batch = [edits.texts[place] for place in order[first : min(first + _AT_ONCE, most)]]
        before = len(ask.texts)
        margins = ask(batch) if batch else []
        good = [place for place, margin in enumerate(margins) if margin > 0]
        if good:
            return before + good[0]
        if len(margins) < _AT_ONCE:
            return None
    return None
