"""`BlackBox`: a model that can only be asked."""

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack
from uuid import uuid4

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from likethat._calls import public
from likethat._checks import check_choice, check_count, check_finite
from likethat._inputs import Inputs, digests, kind_of, take
from likethat._options import check_callable, check_columns, check_flag, check_names, check_path, check_text, shown
from likethat._responses import Label, Response, is_line, response_of
from likethat._session import in_own_session
from likethat.errors import BlackBoxError, InputError
from likethat.models.black_box.arrays import rows_of
from likethat.models.black_box.backend import Output
from likethat.models.black_box.backends import BackendOptions, Prepared, open_backend
from likethat.models.black_box.budget import Account, SearchAccount
from likethat.models.black_box.cache import recall
from likethat.models.black_box.memory import Known
from likethat.models.black_box.oracle import Oracle
from likethat.models.black_box.reading import Reader
from likethat.models.content import content_of
from likethat.models.split_model import SplitModel


@public
@in_own_session
class BlackBox:
    """A model that can only be asked: it counts every query, asks no input twice, and stops within its budget.

    Args:
        predict: a function from a batch to (n, class), a fitted scikit-learn estimator or pipeline, a torch module or
            `SplitModel`, the path of an .onnx file, or a URL: of a model on an inference server
            (``https://host/v2/models/name``), or of any service together with `template`.
        class_names: one name a class, label or number; the predictor's own, or "0", "1", ..., when not given (of a
            single number "answer").
        budget: queries allowed in all; None for no limit.
        cache: a file that keeps answers for good; None keeps them in memory.
        key: tells this predictor's answers in `cache`, and its results in a folder of `explain_all`, from those of
            others; needed for functions and estimators in a cache.
        batch_size: rows sent at once; the backend's own when not given.
        columns: names of the table's columns that the predictor takes, in its order; a tensor becomes such a table.
        inputs: called with each batch before it is sent, to turn it into what the predictor takes.
        output: "probabilities", "logits" (softmax is applied), or "auto", which decides on the first answer and
            keeps to it: rows that sum to 1 are probabilities, numbers below 0 or above 1 are logits. "labels" are
            probabilities of independent labels, whose rows need not sum to 1, "numbers" are taken as they are: such
            models are asked about with `Label`, and with `Above`, `Below`, `Between`, `Less` or `More`.
        response: makes one number of whatever the predictor returns: of the boxes of a detector, say. `output` is
            "numbers" then.
        binary: the predictor gives a single column, the probability (or logit) of the second class.
        check_determinism: ask one row a second time, once, where the budget has room for it; it is counted.
        **options: of an ONNX file or inference server: `output_name`; of an inference server `binary_data` (tensors as
            bytes behind the JSON); of a URL: `template` and `answer` (see `EndpointBackend`), and how it is spoken to
            (see `LinkOptions`).

    Example:
        >>> import torch
        >>> box = BlackBox(lambda x: torch.cat([1 - x, x], dim=1), class_names=["low", "high"], budget=5)
        >>> box(torch.tensor([[0.25], [0.75], [0.25]]))[:, 1].tolist(), box.queries  # two inputs, and one check
        ([0.25, 0.75, 0.25], 3)
    """

    def __init__(
        self,
        predict: Any,
        *,
        class_names: Sequence[str] | None = None,
        budget: int | None = None,
        cache: str | Path | None = None,
        key: str | None = None,
        batch_size: int | None = None,
        columns: Sequence[str] | None = None,
        inputs: Callable[[Any], Any] | None = None,
        output: Output = "auto",
        response: Response | None = None,
        binary: bool = False,
        check_determinism: bool = True,
        **options: Unpack[BackendOptions],
    ) -> None:
        check_choice(output, name="output", choices=("auto", "probabilities", "logits", "labels", "numbers"))
        if response is not None and output not in ("auto", "numbers"):
            raise InputError(f"`output` must be left out beside a response, whose answers are numbers, got {output!r}.")
        binary = check_flag(binary, name="binary")
        check_determinism = check_flag(check_determinism, name="check_determinism")
        columns = None if columns is None else check_columns(columns)
        check_callable(inputs, name="inputs", takes="a batch")
        if key is not None:
            check_text(key, name="key")
        if cache is not None:
            check_path(cache, name="cache")
        backend = Prepared(open_backend(predict, options, response=response), columns=columns, change=inputs)
        facts = backend.facts
        output = facts.output if output == "auto" else output
        names = _names(class_names, least=1 if output == "numbers" else 2)
        if names != facts.class_names and len(set(names)) == len(names) and set(names) == set(facts.class_names):
            raise InputError(
                f"`class_names` must be in the order of {facts.name}, {_first(facts.class_names)}, got "
                f"{_first(names)}. Leave them out: it knows its classes."
            )
        store = recall(cache, key=key, backend=backend, settings=[output, binary, names, columns and list(columns)])
        known = store.facts() or Known(class_names=(), output=output)
        if known.class_names and facts.class_names and not names and known.class_names != facts.class_names:
            raise BlackBoxError(
                f"`cache` must hold answers of {facts.name}, whose classes are {_first(facts.class_names)}, got those "
                f"of a model with {_first(known.class_names)}. Choose another key, or another file."
            )
        self._oracle = Oracle(
            backend,
            reader=Reader(facts.name, output=known.output, binary=binary, n_classes=len(known.class_names)),
            store=store,
            batch_size=facts.batch_size if batch_size is None else check_count(batch_size, name="batch_size"),
            class_names=known.class_names or names or facts.class_names,
            knew_names=bool(names or facts.class_names),
            check_determinism=check_determinism,
        )
        self._account = Account(budget)
        who = ("key", key) if key is not None else (_innermost(backend).facts.identity or predict, inputs, response)
        self._parts = (who, output, binary, names, columns)
        self._network = predict if isinstance(predict, nn.Module | SplitModel) else None

    def __call__(self, inputs: Inputs) -> Float[Tensor, "n cls"]:
        """Return the probability of each class for each input: float64, on the CPU.

        Args:
            inputs: a tensor (n, ...), a table, or a list of texts.

        Raises:
            BudgetError: more new rows than the budget allows; none of them was asked.
            BlackBoxError: the predictor raised or answered with something else than a row of probabilities an
                input. Answers that came before are kept.
        """
        inputs = _checked(inputs)
        if not rows_of(inputs):
            if not self.n_classes:
                raise InputError("`inputs` must hold at least one row, got none.")
            return torch.zeros(0, self.n_classes, dtype=torch.float64)
        return self._oracle.ask(inputs, self._account)

    def affordable(self, inputs: Inputs) -> int:
        """Return how many leading rows can be asked within the budget; known and repeated rows cost nothing."""
        inputs = _checked(inputs)
        return self._oracle.affordable(inputs, self._account) if rows_of(inputs) else 0

    def leading(self, inputs: Inputs, most: int | None = None) -> Float[Tensor, "n cls"]:
        """Return the answers to the leading rows, as many as the budget allows, and no more than `most`."""
        inputs = _checked(inputs)
        keys = digests(inputs)
        n = self._oracle.affordable(inputs, self._account, keys)
        n = n if most is None else min(n, most)
        if n <= 0:
            return torch.zeros(0, max(self.n_classes, 1), dtype=torch.float64)
        return self._oracle.ask(take(inputs, range(n)) if n < len(inputs) else inputs, self._account, keys[:n])

    def limited(self, budget: int | None) -> "BlackBox":
        """Return a view with a budget of its own, counted from now; it shares predictor, memory and this budget."""
        return self._view(self._account.under(budget))

    def afresh(self, budget: int | None) -> "BlackBox":
        """Return a view that counts as a new black box would: known answers count too, though nobody is asked again.

        A search that asks it ends the same whatever was asked before; begun again, it goes on from where it was.
        """
        return self._view(SearchAccount(budget, above=self._account, checks=self._oracle.checks))

    @property
    def oracle(self) -> Oracle:
        """What all views share: the predictor with its memory."""
        return self._oracle

    @property
    def account(self) -> Account:
        """What is charged for the questions of this view."""
        return self._account

    def through(self, oracle: Any) -> "BlackBox":
        """Return a view that asks through something else, which stands before the predictor."""
        view = self._view(self._account)
        view._oracle = oracle
        return view

    @cached_property
    def told(self) -> str:
        """A digest of its `key`, or of the predictor and all that is done before and after it, as first asked for.

        What cannot be told is never the same again, but for this box and its views.
        """
        return content_of(self._parts) or uuid4().hex

    def _view(self, account: Account) -> "BlackBox":
        view = copy.copy(self)
        view._account = account
        return view

    @property
    def queries(self) -> int:
        """Rows that the predictor answered so far."""
        return self._account.queries

    @property
    def recalled(self) -> int:
        """Of the queries of a view that counts afresh, those whose answers were known."""
        return self._account.recalled

    @property
    def requests(self) -> int:
        """Batches answered; for a URL the HTTP requests sent, repeated ones and those for metadata too."""
        sent = getattr(self._oracle.backend.backend, "requests", None)
        return int(self._oracle.calls if sent is None else sent)

    @property
    def budget(self) -> int | None:
        """Queries allowed in all; None when there is no limit."""
        return self._account.budget

    @property
    def remaining(self) -> int | None:
        """Queries left; None when there is no limit."""
        return self._account.remaining

    @property
    def network(self) -> nn.Module | SplitModel | None:
        """The network that is asked, where its weights are at hand: what is asked here can be read there."""
        return self._network

    @property
    def name(self) -> str:
        """Printable name of the predictor."""
        return self._oracle.backend.facts.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name a class; empty until they are given or the first answer came."""
        is_unknown = self._account.is_new and not self._oracle.knew_names
        return () if is_unknown else self._oracle.class_names

    @property
    def output(self) -> Output:
        """What the answers are: "probabilities" (of logits too), "labels" or "numbers"."""
        output = self._oracle.reader.output
        return output if output in ("labels", "numbers") else "probabilities"

    @property
    def n_classes(self) -> int:
        """Number of classes; 0 until it is known."""
        return len(self.class_names)

    @property
    def notes(self) -> tuple[str, ...]:
        """What its user should know: that softmax was applied, that it is not deterministic."""
        return tuple(self._oracle.notes)

    def __repr__(self) -> str:
        budget = "" if self.budget is None else f" of {self.budget}"
        return f"BlackBox({self.name}: {self.n_classes or '?'} classes, {self.queries}{budget} queries)"


def box_for(model: Any, target: Any = None) -> BlackBox:
    """Return a black box as it is; around anything else one whose answers a target can be read off.

    What a `Response` is asked of gives that number; what is asked for a line, its numbers as they are; for a `Label`,
    independent labels.
    """
    if isinstance(model, BlackBox):
        return model
    response = response_of(target)
    try:
        if response is not None:
            return BlackBox(model, response=response)
        return BlackBox(
            model, output="numbers" if is_line(target) else "labels" if isinstance(target, Label) else "auto"
        )
    except InputError as error:  # the caller's word for it
        raise type(error)(str(error).replace("`predict`", "`model`")) from error


def _innermost(backend: Any) -> Any:
    return _innermost(backend.backend) if hasattr(backend, "backend") else backend


def _first(names: Sequence[str]) -> str:
    return ", ".join(repr(name[:40]) for name in names[:6]) + (", …" if len(names) > 6 else "")


def _names(class_names: Sequence[str] | None, *, least: int) -> tuple[str, ...]:
    if class_names is None:
        return ()
    names = check_names(class_names)
    if len(names) < least:
        some = "a name" if least == 1 else "two names"
        raise InputError(f"`class_names` must be {some} or more, got {shown(class_names)}.")
    return names


def _checked(inputs: Any) -> Inputs:
    batch: Inputs = _as_tensor(inputs) if isinstance(inputs, np.ndarray) else inputs
    kind_of(batch)
    if isinstance(batch, Tensor):
        if batch.ndim < 2:
            raise InputError(f"`inputs` must be (n, ...), got shape {tuple(batch.shape)}. Add the batch axis.")
        if batch.is_complex() or batch.is_quantized or batch.layout != torch.strided:
            raise InputError(
                f"`inputs` must be a plain tensor of real numbers, got {batch.dtype} ({batch.layout}). Turn it "
                "into one."
            )
        if batch.is_floating_point():
            check_finite(batch, name="inputs", advice="Missing values of a table go into a pandas DataFrame.")
    return batch


def _as_tensor(array: np.ndarray) -> Tensor:
    try:
        return torch.from_numpy(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False)))
    except (TypeError, ValueError):
        raise InputError(
            f"`inputs` must be an array of numbers, got one of {array.dtype}. Mixed columns go into a pandas "
            "DataFrame, texts into a list."
        ) from None
