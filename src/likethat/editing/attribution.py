"""Word-level attributions from balanced masks, with standard errors that hold."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from likethat._progress import Clock, Watcher
from likethat._queries import Asked
from likethat._responses import Measure
from likethat._status import Reason, Status, ended
from likethat.editing.asked import AskedTexts
from likethat.editing.masks import MASK_SHARE, balanced_masks, groups_of, masked
from likethat.explanations.word_attribution import WordAttribution
from likethat.functional.evidence import linear_fit
from likethat.generators.text.words import Words, split_words

_ROUND = 4  # masks in which every word is left out once
_FEWEST = 8  # answers: fewer tell no two words apart
_DRAWS = 400  # of the posterior: their spread is known to 4 %
_OPENED = 20  # words of a long text that are told apart: as many as a sentence has


@dataclass(frozen=True, kw_only=True, eq=False)
class _Answers:
    """Which words each question left out, and the target's log-odds then."""

    hidden: Bool[Tensor, "question word"]
    log_odds: Float[Tensor, " question"]
    is_stopped: bool


def attribute_words(
    box: Asked,
    text: str,
    target: int,
    *,
    budget: int,
    seed: int,
    measure: Measure | None = None,
    watch: Watcher | None = None,
) -> WordAttribution:
    """Leave words out, every one equally often, and regress the target's log-odds on what was left out.

    Both variances of the ridge regression are those under which the answers are likeliest. Of a text of more than 40
    words, groups of words go first; then the words of the groups that matter are told apart.

    Args:
        box: with the budget of this text.
        text: what is explained.
        target: the class explained; 0 where `measure` reads off what is.
        budget: questions in all.
        seed: of the masks.
        measure: reads the number that is explained off the answers; None where that is a class.
        watch: told of the questions; a KeyboardInterrupt leaves what was found.

    Source:
        Ribeiro, Singh and Guestrin (2016), "Why should I trust you?": masks and a linear fit; MacKay (1992), Bayesian
        interpolation.

    Differs:
        Masks are balanced, not independent, and of one share, so a weight has a meaning (the mean effect at that
        share); no kernel of distances; the ridge is chosen by the evidence, which gives the errors.
    """
    clock, words = Clock(), split_words(text)
    explained = measure.explained if measure else lambda p: torch.logit(p[:, target].clamp(1e-4, 1 - 1e-4))
    asked = AskedTexts(box=box, margin=explained, watch=watch, budget=budget)
    own = box([text])[0]
    groups = groups_of(words)
    answers = _asked(words, groups, asked, budget=budget, rng=torch.Generator().manual_seed(seed))
    pieces = _opened(groups, answers)
    values, error = _fitted(pieces, answers, seed=seed)
    places = words.places
    return WordAttribution(
        text=text,
        starts=np.array([places[piece[0]][0] for piece in pieces], dtype=np.int64),
        stops=np.array([places[piece[-1]][1] for piece in pieces], dtype=np.int64),
        values=values,
        error=error,
        hidden_share=MASK_SHARE,
        probabilities=own.numpy(),
        target=target,
        class_names=tuple(box.class_names),
        queries=box.queries,
        seconds=clock.seconds,
        status=_status(answers),
        model=str(getattr(box, "name", type(box).__name__)),
        seed=seed,
        options={"budget": budget},
        notes=tuple(getattr(box, "notes", ())),
        measured=None if measure is None else measure.about,
        value=None if measure is None else float(measure.values(own)),
    )


def _asked(words: Words, groups: list[list[int]], asked: AskedTexts, *, budget: int, rng: torch.Generator) -> _Answers:
    """Ask in rounds until the budget ends; of a long text first for groups, then for the words of some of them."""
    is_long = any(len(group) > 1 for group in groups)
    hidden = torch.zeros(0, len(words), dtype=torch.bool)
    found: list[float] = []
    units, is_stopped = groups, False
    try:
        while groups and len(found) < budget:
            if is_long and units is groups and len(found) >= budget // 2:
                units = _opened(groups, _Answers(hidden=hidden, log_odds=_tensor(found), is_stopped=False))
            masks = balanced_masks(len(units), rounds=1, rng=rng)
            rows = torch.stack([_hidden(units, mask, len(words)) for mask in masks])
            answers = asked([masked(words, row) for row in rows])
            hidden, found = torch.cat([hidden, rows[: len(answers)]]), found + answers
            if len(answers) < _ROUND:
                break
    except KeyboardInterrupt:
        if len(found) < _FEWEST:
            raise
        is_stopped = True
    return _Answers(hidden=hidden, log_odds=_tensor(found), is_stopped=is_stopped)


def _hidden(units: list[list[int]], mask: Tensor, n: int) -> Bool[Tensor, " word"]:
    row = torch.zeros(n, dtype=torch.bool)
    for unit in mask.nonzero()[:, 0].tolist():
        row[units[unit]] = True
    return row


def _opened(groups: list[list[int]], answers: _Answers) -> list[list[int]]:
    """Return the words of the groups that matter most by themselves, and the other groups."""
    if all(len(group) == 1 for group in groups) or len(answers.log_odds) < _FEWEST:
        return groups
    values, error = _fitted(groups, answers, seed=0)
    weight = np.abs(values) + error / 2
    chosen: set[int] = set()
    for place in np.argsort(-weight, kind="stable").tolist():
        n_open = sum(len(groups[one]) for one in chosen)
        if chosen and n_open + len(groups[place]) > _OPENED:
            break
        chosen.add(place)
    return [
        part for place, group in enumerate(groups) for part in ([[w] for w in group] if place in chosen else [group])
    ]


def _fitted(
    pieces: list[list[int]], answers: _Answers, *, seed: int
) -> tuple[Float[np.ndarray, " piece"], Float[np.ndarray, " piece"]]:
    """Return what each piece adds, and its standard error."""
    if len(answers.log_odds) < _FEWEST or not pieces:
        return np.zeros(len(pieces)), np.full(len(pieces), np.inf)
    design = torch.stack([answers.hidden[:, piece].double().mean(dim=1) for piece in pieces], dim=1)
    fit = linear_fit(design, answers.log_odds)
    rng = torch.Generator().manual_seed(seed)
    prior = torch.randn(_DRAWS, len(pieces), generator=rng, dtype=torch.float64)
    error = (fit.draws(prior, rng=rng) - fit.mean).square().mean(dim=0).sqrt()
    return -fit.mean.double().numpy(), error.double().numpy()


def _tensor(values: list[float]) -> Float[Tensor, " value"]:
    return torch.tensor(values, dtype=torch.float64)


def _status(answers: _Answers) -> Status:
    n = len(answers.log_odds)
    if answers.is_stopped:
        return ended("words", Reason.INTERRUPTED)
    if n < _FEWEST:
        return ended("words", Reason.BUDGET, answers=n)
    return ended("words", Reason.REACHED if float(answers.log_odds.std()) > 1e-9 else Reason.CONSTANT)
