"""Which of several outputs holds the probabilities."""

from collections.abc import Mapping

from likethat._options import shown
from likethat.errors import BlackBoxError, InputError

_WORDS = ("prob", "logit", "score", "softmax")


def choose_output(outputs: Mapping[str, bool], *, wanted: str | None, who: str) -> str:
    """Return the output to read: the one asked for, the only one of numbers, or the one that its name gives away.

    Args:
        outputs: whether each output holds real numbers (labels are text or whole numbers).
        wanted: the user's choice.
        who: who answered, for the message.

    Raises:
        InputError: no such output, or several that may be meant.
        BlackBoxError: labels alone.

    Example:
        >>> choose_output({"label": False, "probabilities": True}, wanted=None, who="it")
        'probabilities'
    """
    listed = ", ".join(repr(name) for name in list(outputs)[:8])
    if wanted is not None:
        if wanted in outputs:
            return wanted
        raise InputError(f"`output_name` must be an output of {who} ({listed}), got {shown(wanted)}.")
    numbers = [name for name, is_number in outputs.items() if is_number]
    if not numbers:
        raise BlackBoxError(
            f"{who} must answer with probabilities, got class labels alone ({listed}). Ask for another output with "
            "output_name=, such as 'predict_proba' of an MLServer."
        )
    if len(numbers) == 1:
        return numbers[0]
    for word in _WORDS:
        named = [name for name in numbers if word in name.lower()]
        if len(named) == 1:
            return named[0]
    raise InputError(f"`output_name` must say which output of {who} holds the probabilities: {listed}.")
