"""Banks and other results from their folders."""

from pathlib import Path

from torch import nn

from likethat._calls import public
from likethat._options import check_path
from likethat._session import in_own_session
from likethat.errors import InputError
from likethat.explanations.attribution import Attribution
from likethat.explanations.audit import Audit
from likethat.explanations.bank import Bank
from likethat.explanations.comparison import Comparison
from likethat.explanations.counterfactual import Counterfactual
from likethat.explanations.exemplars import ExemplarSet
from likethat.explanations.explanation import Explanation
from likethat.explanations.many import MANY, Many, read_many
from likethat.explanations.result import Result
from likethat.explanations.saved import read_result
from likethat.explanations.storage import MANIFEST, read_bank
from likethat.explanations.word_attribution import WordAttribution
from likethat.models import SplitModel, check_model


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


@public
@in_own_session
def open(
    path: str | Path, model: SplitModel | nn.Module | None = None
) -> Bank | Explanation | Counterfactual | Attribution | WordAttribution | ExemplarSet | Audit | Comparison | Many:
    """Open what any result's `save` wrote as a folder.

    Args:
        path: the folder.
        model: of a bank, see `open_bank`.

    Raises:
        InputError: no result, damaged, or of a newer schema.
        BankFormatError: a bank that is damaged, or of a newer schema.
        BankMismatchError: `model` is another model than the bank's, or split in another way.
    """
    path = check_path(path)
    if (path / MANIFEST).exists():
        return open_bank(path, model)
    if (path / MANY).exists() and model is None:
        return read_many(path)
    if model is not None:
        raise InputError(f"`model` must be None for what is no bank, got one for {path}. Leave it out.")
    kinds: tuple[type[Result], ...] = (
        Explanation, Counterfactual, Attribution, WordAttribution, ExemplarSet, Audit, Comparison
    )  # fmt: skip
    result: Explanation | Counterfactual | Attribution | WordAttribution | ExemplarSet | Audit | Comparison
    result = read_result(path, {kind.__name__: kind for kind in kinds})
    return result
