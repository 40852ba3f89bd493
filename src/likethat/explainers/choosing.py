"""`explain`: one way in, which takes the method that fits what is at hand, and says which and why."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from torch import nn

from likethat._calls import public
from likethat._checks import check_count
from likethat._inputs import kind_of
from likethat._options import check_callable
from likethat._progress import Watcher
from likethat._session import in_own_session
from likethat.errors import InputError, NotLinearError
from likethat.explainers.freemcg.inputs import one_input
from likethat.explainers.freemcg.method import FreeMCG
from likethat.explainers.parts.method import PartPrototypes
from likethat.explanations.attribution import Attribution
from likethat.explanations.counterfactual import Counterfactual
from likethat.explanations.explain import as_sample
from likethat.explanations.explanation import Explanation
from likethat.explanations.word_attribution import WordAttribution
from likethat.generators import Denoiser, Generated, TextEdits, train_generator
from likethat.models import SplitModel

__all__ = ["explain"]

Explained: TypeAlias = Explanation | Counterfactual | Attribution | WordAttribution

_MADE = 500
"""Images that a generator makes where none are at hand: as many as README's example takes, in seconds on one core."""
_PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
"""Endings of one word that is meant as a file, so that a misspelt path is not explained as a text."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _AtHand:
    """What a caller gave."""

    model: Any
    one: Any
    target: int | str | None
    data: Any
    generator: Any
    budget: int
    seed: int
    watch: Watcher | None

    @property
    def has_weights(self) -> bool:
        return isinstance(self.model, SplitModel | nn.Module)


@public
@in_own_session
def explain(
    model: Any,
    input: Any,
    target: int | str | None = None,
    *,
    data: Any = None,
    generator: Any = None,
    budget: int = 200,
    seed: int = 0,
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
    an image              a model alone                   `FreeMCG.attribute`: which pixels speak for the class
    a row of a table      rows like it, or a generator    `FreeMCG`: what would change its mind
    a text                texts like it, or a generator   `FreeMCG`: what would change its mind
    a text                a model alone                   `FreeMCG.attribute`: which words speak for the class
    ====================  ==============================  ===================================================

    Args:
        model: a network, a `SplitModel`, a `BlackBox`, or anything that it wraps.
        input: a path, PIL image, array or tensor (channel, height, width); a table of one row; or a text.
        target: class index or name that the question is about: which is explained, or which a changed input is to be
            given to. None: the predicted class; for changed inputs any other.
        data: images like the input (a folder, arrays, a data set), rows (a table), or texts (a list).
        generator: see `FreeMCG`; for a table or text it stands in place of `data`.
        budget: queries, at most, where the model is asked.
        seed: of all chance.
        watch: called with a `Progress` as the work goes on.

    Returns:
        What the method returns. Its `notes` (an `Explanation`'s `warnings`) begin with why it was taken.

    Raises:
        InputError: no input, or a row without rows like it.
        TargetError: no such class.

    Example:
        >>> import likethat as lt
        >>> where = lt.explain(lt.load("zoo:digits"), lt.digits()[0].image, budget=64)
        >>> where.notes[0]
        'Shown by a heat map (FreeMCG.attribute): the model alone is at hand. With data=... it is explained by parts.'
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
        watch=watch,
    )
    ways: dict[str, Callable[[_AtHand], Explained]] = {"table": _row, "text": _text}
    return ways.get(kind_of(at_hand.one), _image)(at_hand)


def _one(given: Any) -> Any:
    """Return one image (channel, height, width) as a batch of one, a table of one row, or a list of one text."""
    if isinstance(given, str):
        is_picture = " " not in given and Path(given).suffix.lower() in _PICTURES
        given = Path(given) if is_picture or (len(given) < 256 and Path(given).is_file()) else given
    is_array = isinstance(given, np.ndarray) and given.dtype.kind not in "US"
    if isinstance(given, Path) or is_array or hasattr(given, "getbands"):
        given = as_sample(given)
    return one_input(given, name="input")


def _image(at_hand: _AtHand) -> Explained:
    denoises = isinstance(at_hand.generator, Denoiser)
    if at_hand.has_weights and (at_hand.data is not None or (at_hand.generator is not None and not denoises)):
        try:
            return _by_parts(at_hand)
        except NotLinearError as error:
            found = _by_asking(at_hand)
            return _noted(found, f"Its logit cannot be split into parts: {error}")
    return _by_asking(at_hand)


def _by_parts(at_hand: _AtHand) -> Explanation:
    is_made = at_hand.data is None
    images = Generated(at_hand.generator, _MADE, seed=at_hand.seed) if is_made else at_hand.data
    bank = PartPrototypes(seed=at_hand.seed).fit(at_hand.model, images, watch=at_hand.watch)
    found = bank.explain(at_hand.one, at_hand.target)
    made = f"the weights are at hand, and the parts were found in {_MADE} images that the generator made"
    why = (
        f"Explained by parts (PartPrototypes): {made if is_made else 'weights and images are at hand'}. "
        "likethat.EPIC explains by channels; the bank of a fit explains many images."
    )
    return dataclasses.replace(found, warnings=(why, *found.warnings))


def _by_asking(at_hand: _AtHand) -> Explained:
    if at_hand.generator is not None:
        return _changed(at_hand, at_hand.generator, "a generator of its images is at hand")
    more = (
        "With data=... it is explained by parts."
        if at_hand.has_weights
        else "With generator=... (likethat.train_generator makes one of images) it is shown what would change its mind."
    )
    idle = "" if at_hand.data is None else ", and images help only where the weights are"
    return _where(at_hand, f"Shown by a heat map (FreeMCG.attribute): the model alone is at hand{idle}. {more}")


def _where(at_hand: _AtHand, why: str) -> Attribution | WordAttribution:
    """Return what of the input speaks for the class."""
    found: Attribution | WordAttribution = FreeMCG(seed=at_hand.seed).attribute(
        at_hand.model, at_hand.one[0], at_hand.target, budget=at_hand.budget, watch=at_hand.watch
    )
    return _noted(found, why)


def _row(at_hand: _AtHand) -> Explained:
    made, why = at_hand.generator, "a generator of its rows is at hand"
    if made is None:
        if at_hand.data is None:
            raise InputError(
                "`data` must be rows like the one explained, got None. Give a table without the labels, or "
                "generator=... that was trained on one."
            )
        made = train_generator(at_hand.data, kind="table", seed=at_hand.seed, watch=at_hand.watch)
        why = "a generator could be trained on the rows given (likethat.train_generator keeps one for more rows)"
    return _changed(at_hand, made, why)


def _text(at_hand: _AtHand) -> Explained:
    if at_hand.generator is not None:
        return _changed(at_hand, at_hand.generator, "it is known what could stand in its texts")
    if at_hand.data is not None:
        return _changed(at_hand, TextEdits(at_hand.data), "texts like it are at hand (TextEdits takes labels too)")
    return _where(
        at_hand,
        "Shown by its words (FreeMCG.attribute): the model alone is at hand. With data=... (texts like it) it is shown "
        "what would change its mind.",
    )


def _changed(at_hand: _AtHand, generator: Any, because: str) -> Counterfactual:
    found = FreeMCG(generator, seed=at_hand.seed).counterfactual(
        at_hand.model, at_hand.one, at_hand.target, budget=at_hand.budget, watch=at_hand.watch
    )
    why = f"Shown by what would change its mind (FreeMCG.counterfactual): {because}. "
    return _noted(found, why + "For what speaks for the class take FreeMCG.attribute; for its ideal input Exemplars.")


def _noted(found: Any, sentence: str) -> Any:
    return dataclasses.replace(found, notes=(sentence, *found.notes))
