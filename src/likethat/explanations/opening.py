"""A bank from its folder."""

from pathlib import Path

from torch import nn

from likethat._calls import public
from likethat._options import check_path
from likethat._session import in_own_session
from likethat.explanations.bank import Bank
from likethat.explanations.storage import read_bank
from likethat.models import SplitModel, check_model

__all__ = ["open_bank"]


@public
@in_own_session
def open_bank(path: str | Path, model: SplitModel | nn.Module | None = None) -> Bank:
    """Open a bank that `Bank.save` wrote; with its model it can explain, without it can be browsed.

    Args:
        path: the bank's folder.
        model: the model it was made from, or its network alone: the bank then splits it as before, with its own
            preprocessing and class names.

    Raises:
        BankFormatError: no bank, cut short, damaged, or of a newer schema.
        BankMismatchError: `model` is another model, or split in another way.
    """
    path = check_path(path)
    if model is not None:
        check_model(model)
    bank = Bank(**read_bank(path))
    return bank if model is None else bank.attach(model)
