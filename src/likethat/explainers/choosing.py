"""`explain`: one way in, which takes the method that fits what is at hand, and says which and why."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from likethat._calls import public
from likethat._checks import check_count
from likethat._class_names import resolve_target
from likethat._inputs import kind_of
from likethat._options import check_callable
from likethat._progress import Clock, Watcher
from likethat._responses import Wanted
from likethat._session import in_own_session
from likethat._status import Reason, ended
from likethat.errors import InputError, ModelError, NotLinearError
from likethat.explainers.freemcg.inputs import one_input, opened
from likethat.explainers.freemcg.method import FreeMCG
from likethat.explainers.parts.method import PartPrototypes
from likethat.explanations.attribution import EXACTLY, Attribution
from likethat.explanations.counterfactual import Counterfactual
from likethat.explanations.explain import as_sample
from likethat.explanations.explanation import Explanation
from likethat.explanations.word_attribution import WordAttribution
from likethat.generators import Denoiser, Generated, TextEdits, train_generator
from likethat.generators.reading import fitted
from likethat.generators.table.files import read_table
from likethat.models import SplitModel, split
from likethat.sources.base import Sample

Explained: TypeAlias = Explanation | Counterfactual | Attribution | WordAttribution

MADE = 500
"""Images that a generator makes where none are at hand: as many as README's example takes, in seconds on one core."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _AtHand:
    """What a caller gave."""

    model: Any
    one: Any
    target: int | str | Wanted | None
    data: Any
    generator: Any
    budget: int
    seed: int
    top: int
    watch: Watcher | None

    @property
    def has_weights(self) -> bool:
        return isinstance(self.model, SplitModel | nn.Module)

    @property
    def is_alone(self) -> bool:
        return self.data is None and self.generator is None


@public
@in_own_session
def explain(
    model: Any,
    input: Any,
    target: int | str | Wanted | None = None,
    *,
    data: Any = None,
    generator: Any = None,
    budget: int = 200,
    seed: int = 0,
    top: int = 4,
    watch: Watcher | None = None,
) -> Explained:
    """Explain one answer of a model by the method that what is at hand allows; the result says which one, and why.

    ====================  ==============================  ===================================================
    what is explained     what is at hand                 what comes
    ====================  ==============================  ===================================================
    an image              a network and images            `PartPrototypes`: a logit as a sum of parts
    an image              a network and a latent          the same, of parts found in images that it makes
                          generator
    an image              any other model and a           `FreeMCG`: what would change its mind
                          generator, or a denoiser
    an image              a network alone                 what each cell of its feature map adds, exactly
    an image              any other model alone           `FreeMCG.attribute`: which pixels speak for the class
    a row of a table      rows like it, or a generator    `FreeMCG`: what would change its mind
    a text                texts like it, or a generator   `FreeMCG`: what would change its mind
    a text                a model alone                   `FreeMCG.attribute`: which words speak for the class
    ====================  ==============================  ===================================================

    Args:
        model: a network, a `SplitModel`, a `BlackBox`, or anything that it wraps.
        input: a path, PIL image, array or tensor (channel, height, width); a table of one row; or a text.
        target: class index or name that the question is about: which is explained, or which a changed input is to be
            given to. None: the predicted class; for changed inputs any other. Or a number of the model's answer, as
            `FreeMCG` takes it: such questions are answered by asking the model.
        data: images like the input (a folder, arrays, a data set), rows (a table), or texts (a list).
        generator: see `FreeMCG`; for a table or text it stands in place of `data`.
        budget: queries, at most, where the model is asked.
        seed: of all chance.
        top: rows shown where it is explained by parts.
        watch: called with a `Progress` as the work goes on.

    Returns:
        What the method returns. Its `notes` (an `Explanation`'s `warnings`) begin with why it was taken.

    Raises:
        InputError: no input, or a row without rows like it.
        TargetError: no such class.

    Example:
        >>> import likethat as lt
        >>> where = lt.explain(lt.load("zoo:digits"), lt.digits()[0].image)
        >>> where.method, where.queries
        ('exact', 1)
        >>> where.notes[0].partition(". ")[0]
        'Shown by its exact heat map (SplitModel.heat_map): the weights are at hand'
    """
    check_callable(watch, name="watch", takes="a Progress")
    at_hand = _AtHand(
        model=model,
        one=_one(input),
        target=target,
        data=data,
        generator=generator,
        budget=check_count(budget, name="budget"),
        seed=seed,
        top=check_count(top, name="top"),
        watch=watch,
    )
    if isinstance(at_hand.one, Sample):
        return _image(at_hand)
    return _text(at_hand) if kind_of(at_hand.one) == "text" else _row(at_hand)


def _one(given: Any) -> Any:
    """Return an image as a `Sample`, a table of one row, or a list of one text.

    Raises:
        InputError: none of them, or a word that is meant as a file which is not there.
    """
    given = opened(given, name="input")
    is_array = isinstance(given, Tensor) or (isinstance(given, np.ndarray) and given.dtype.kind not in "US")
    if is_array and (given.ndim < 2 or (given.ndim == 2 and len(given) == 1)):
        raise InputError(
            f"`input` must be an image (channel, height, width), a row as a pandas DataFrame, or a text, got an array "
            f"of shape {tuple(given.shape)}. Give rows of a table, and `data`, as DataFrames with the model's columns."
        )
    if isinstance(given, Path | Sample) or is_array or hasattr(given, "getbands"):
        return as_sample(given)
    return one_input(given, name="input")


def _image(at_hand: _AtHand) -> Explained:
    denoises = isinstance(at_hand.generator, Denoiser)
    if isinstance(at_hand.target, Wanted):
        return _by_asking(at_hand, because="a number of the answer is asked about, and parts share out a class's logit")
    if at_hand.has_weights and (at_hand.data is not None or (at_hand.generator is not None and not denoises)):
        try:
            return _by_parts(at_hand)
        except NotLinearError as error:
            return _by_asking(at_hand, because=f"its logit cannot be split into parts: {str(error).rstrip('.')}")
    if not (at_hand.has_weights and at_hand.is_alone):
        return _by_asking(at_hand)
    try:
        return _exactly(at_hand, with_cells(at_hand.model))
    except ModelError as error:
        return _by_asking(at_hand, because=f"its logit cannot be split among cells: {str(error).rstrip('.')}")


def with_cells(model: SplitModel | nn.Module) -> SplitModel:
    """Return a network split where its map's cells add up to the logit.

    Raises:
        ModelError: it cannot be split, or nothing of its logit has a place in the map.
    """
    found = model if isinstance(model, SplitModel) else split(model)
    found.require_linear("a heat map")
    if found.grid == (1, 1) or not bool(found.spatial_weight.any()):
        raise ModelError(f"what {found.name} says has no place in its map of {found.grid[0]} x {found.grid[1]} cells.")
    return found


@torch.no_grad()
def _exactly(at_hand: _AtHand, model: SplitModel) -> Attribution:
    """Share what each cell adds to the logit out among the pixels below it: one pass, and nothing is estimated."""
    clock = Clock()
    image = fitted(at_hand.one.image, at_hand.one.name, shape=None, channels=model.in_channels)
    view = model.preprocess.view(image[None])
    seen = model.forward(view)
    logits = seen.logits[0].cpu()
    assert not isinstance(at_hand.target, Wanted)
    target = int(logits.argmax()) if at_hand.target is None else resolve_target(at_hand.target, model.class_names)
    cells = torch.einsum("dhw,d->hw", seen.feature_map[0], model.head.weight[target] * model.spatial_weight).cpu()
    rows, columns = (
        (torch.arange(pixels) * n).div(pixels, rounding_mode="floor")
        for pixels, n in zip(view.shape[2:], cells.shape, strict=True)
    )
    area = cells.numel() * torch.bincount(rows)[rows][:, None] * torch.bincount(columns)[columns]
    return Attribution(
        image=view[0].cpu().numpy(),
        probabilities=model.probabilities(logits).numpy(),
        target=target,
        class_names=model.class_names,
        heat_map=(cells[rows][:, columns] / area).numpy(),
        error=np.zeros(view.shape[2:], dtype=np.float32),
        queries=1,
        seconds=clock.seconds,
        method=EXACTLY,
        status=ended("heat map", Reason.REACHED),
        model=model.name,
        generator="none",
        seed=at_hand.seed,
        notes=(
            "Shown by its exact heat map (SplitModel.heat_map): the weights are at hand. With data=... it is explained "
            "by parts; likethat.FreeMCG().attribute asks it as a black box.",
            *filter(None, [_placeless(float(logits[target]), float(cells.mean()), float(model.head.bias[target]))]),
            *filter(None, [model.presumed]),
        ),
    )


def _placeless(logit: float, located: float, bias: float) -> str:
    """Return what of a logit has no place in the picture; "" where that is rounding."""
    rest = logit - located - bias
    if abs(rest) < 1e-3 * max(1.0, abs(logit)):
        return ""
    return (
        f"Of its logit, {logit:+.3g}, cells hold {located:+.3g}; {rest:+.3g} has no place, and the bias is {bias:+.3g}."
    )


def _by_parts(at_hand: _AtHand) -> Explanation:
    is_made = at_hand.data is None
    images = Generated(at_hand.generator, MADE, seed=at_hand.seed) if is_made else at_hand.data
    assert not isinstance(at_hand.target, Wanted)
    bank = PartPrototypes(seed=at_hand.seed).fit(at_hand.model, images, watch=at_hand.watch)
    found = bank.explain(at_hand.one, at_hand.target, top=at_hand.top)
    made = f"the weights are at hand, and the images looked at are {MADE} that the generator made"
    why = (
        f"Explained by PartPrototypes: {made if is_made else 'weights and images are at hand'}. likethat.EPIC explains "
        f"by channels; the bank of a fit explains many images.{_idle(at_hand, takes='data')}"
    )
    chosen = [note for note in bank.provenance.notes if note not in found.warnings]
    worst = list(filter(None, [bank.provenance.warning]))
    told = dict.fromkeys([why, *worst, *chosen, *found.warnings])
    return dataclasses.replace(found, warnings=tuple(told))


def _by_asking(at_hand: _AtHand, because: str = "") -> Explained:
    one = _as_asked(at_hand)
    if at_hand.generator is not None:
        return _changed(at_hand, one, at_hand.generator, because or "a generator of its images is at hand")
    more = "With generator=... (likethat.train_generator makes one of images) it is shown what would change its mind."
    alone = because or "the model alone is at hand"
    idle = "" if because or at_hand.data is None else ", and images help only where the weights are"
    return _where(at_hand, one, f"Shown by a heat map (FreeMCG.attribute): {alone}{idle}. {more}")


def _as_asked(at_hand: _AtHand) -> Tensor:
    """Return the image with the channels and the size in which it is asked about."""
    shape, channels = getattr(at_hand.generator, "shape", None), getattr(at_hand.model, "in_channels", None)
    return fitted(at_hand.one.image, at_hand.one.name, shape=shape, channels=channels)[None]


def _where(at_hand: _AtHand, one: Any, why: str) -> Attribution | WordAttribution:
    """Return what of the input speaks for the class."""
    found: Attribution | WordAttribution = FreeMCG(seed=at_hand.seed).attribute(
        at_hand.model, one[0], at_hand.target, budget=at_hand.budget, watch=at_hand.watch
    )
    return _noted(found, why)


def _row(at_hand: _AtHand) -> Explained:
    made, why, row = at_hand.generator, "a generator of its rows is at hand", at_hand.one
    if made is None:
        if at_hand.data is None:
            raise InputError(
                "`data` must be rows like the one explained, got None. Give a table without the labels, or "
                "generator=... that was trained on one."
            )
        names = list(getattr(at_hand.model, "feature_names_in_", row.columns))  # an estimator's: of its training
        row = row[names] if set(names) < set(row.columns) else row  # labels stand in the row too
        rows, left_out = rows_like(at_hand.data, row)
        made = train_generator(rows, kind="table", seed=at_hand.seed, quality=False, watch=at_hand.watch)
        keeps = "likethat.train_generator keeps one for more rows"
        why = f"a generator could be trained on the rows given{left_out} ({keeps})"
    return _changed(at_hand, row, made, why)


def rows_like(data: Any, row: Any) -> tuple[Any, str]:
    """Return the rows of a table or of its file in the columns of one row, and what was left out: labels, mostly.

    Raises:
        InputError: a column of the row that the table has not.
    """
    rows = read_table(data) if isinstance(data, str | Path) else data
    if not hasattr(rows, "iloc"):
        return rows, ""  # no table: its training says so
    missing = [str(name) for name in row.columns if name not in rows.columns]
    if missing:
        raise InputError(
            f"`data` must have the columns of the row explained, and {', '.join(missing[:5])} is not there. Give rows "
            "as the model takes them."
        )
    others = [str(name) for name in rows.columns if name not in row.columns]
    return rows[list(row.columns)], f", without their {', '.join(others[:5])}," if others else ""


def _text(at_hand: _AtHand) -> Explained:
    if at_hand.generator is not None:
        return _changed(at_hand, at_hand.one, at_hand.generator, "it is known what could stand in its texts")
    if at_hand.data is not None:
        edits = TextEdits(at_hand.data)
        return _changed(at_hand, at_hand.one, edits, "texts like it are at hand (TextEdits takes labels too)")
    return _where(
        at_hand,
        at_hand.one,
        "Shown by its words (FreeMCG.attribute): the model alone is at hand. With data=... (texts like it) it is shown "
        "what would change its mind.",
    )


def _changed(at_hand: _AtHand, one: Any, generator: Any, because: str) -> Counterfactual:
    found = FreeMCG(generator, seed=at_hand.seed).counterfactual(
        at_hand.model, one, at_hand.target, budget=at_hand.budget, watch=at_hand.watch
    )
    why = (
        f"Shown by what would change its mind (FreeMCG.counterfactual): {because}. For what speaks for the class take "
        f"FreeMCG.attribute; for its ideal input Exemplars.{_idle(at_hand, takes='generator')}"
    )
    return _noted(found, why)


def _idle(at_hand: _AtHand, *, takes: str) -> str:
    """Say what was given and not needed, where both were."""
    if at_hand.data is None or at_hand.generator is None:
        return ""
    return f" What was given as {'generator' if takes == 'data' else 'data'} was not needed."


def _noted(found: Any, sentence: str) -> Any:
    return dataclasses.replace(found, notes=(sentence, *found.notes))
