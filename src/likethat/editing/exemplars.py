"""Exemplars of texts: real texts of a corpus that a model answers as wanted, found with few questions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from likethat._progress import Stage
from likethat._queries import QueryLog
from likethat._status import Reason
from likethat.editing.surrogate import Belief, LinearBelief
from likethat.generators.text.edits import TextEdits

_BATCH = 8  # questions before the belief is renewed
_OPTIMISM = 1.0  # standard deviations: with 0 it stays with the first good texts, with more it asks what is odd
_LENGTH = 3.0  # of a text's row: with sixteen words each counts about as much as in the odds that labels give
_PATIENCE, _LONGER, _GAIN = 3, 8, 1e-3
"""Batches without a gain after which it ends; where the target was not reached, more of them."""
_LEAST = 1e-3  # added to probabilities before their logarithm, as in the surrogate of `search`
_ALIKE = 0.8  # cosine of words from which on two texts are one exemplar


@dataclass(frozen=True, kw_only=True, eq=False)
class Screened:
    """The texts that were asked.

    Attributes:
        rows: of the corpus, in the order asked.
        responses: (asked, class) of the model.
        errors: (asked,) how far each is from what is wanted.
        reason: REACHED where more questions would bring nothing, else BUDGET or INTERRUPTED.
    """

    rows: list[int]
    responses: Float[Tensor, "asked cls"]
    errors: Float[Tensor, " asked"]
    reason: Reason


@dataclass(kw_only=True, eq=False)
class Screening:
    """Asks the texts of a corpus that are likely to be answered as wanted, and learns from each answer.

    A Bayesian linear model over words, one for each class that is wanted, takes in what labels tell and what the model
    answered. The text is asked that may well be best, by what is expected and a standard deviation; for the rest of its
    batch it is taken to be answered as expected, so the next one tells something else.

    Source:
        Srinivas et al. (2010), Gaussian process optimization in the bandit setting; Ginsbourger, Le Riche and Carraro
        (2010), Kriging is well-suited to parallelize optimization: the believer's batches.

    Args:
        edits: with the texts.
        log: asks, within the budget of this target.
        stage: told how many were found.
        errors: answers (n, cls) to how far each is from the one wanted, (n,).
        classes: that are wanted; empty where a function of the answers is.
        enough: error that counts as reached.
        n: how many exemplars.
        rng: of all chance.
        rows: asked before, for other targets.
        responses: to them.
    """

    edits: TextEdits
    log: QueryLog
    stage: Stage
    errors: Callable[[Tensor], Tensor]
    classes: list[int]
    enough: float
    n: int
    rng: torch.Generator
    rows: list[int] = field(default_factory=list)
    responses: list[Tensor] = field(default_factory=list)

    def run(self) -> Screened:
        """Ask until the best `n` stop getting better, or the budget ends."""
        idle, best, reason = 0, float("inf"), Reason.REACHED
        self.log.tell_how = self._tell
        try:
            while idle < (_PATIENCE if best <= self.enough else _LONGER):
                batch = self._batch()
                if not batch:
                    break
                found = self.log.query([self.edits.texts[row] for row in batch])
                if not len(found):
                    reason = Reason.BUDGET
                    break
                self.responses += list(found.probabilities)
                self.rows += batch[: len(found)]
                self.log.tell()
                errors = self.errors(torch.stack(self.responses)).sort().values
                now = float(errors[: self.n].mean()) if len(errors) >= self.n else float("inf")
                idle = 0 if now < best - _GAIN or len(errors) < self.n else idle + 1
                best = min(best, now)
        except KeyboardInterrupt:
            if not self.rows:
                raise
            reason = Reason.INTERRUPTED
        return self.so_far(reason)

    def so_far(self, reason: Reason) -> Screened:
        """Return what was asked, for this target or others."""
        responses = (
            torch.stack(self.responses)
            if self.rows
            else torch.zeros(0, len(self.log.box.class_names), dtype=torch.float64)
        )
        return Screened(rows=self.rows, responses=responses, errors=self.errors(responses), reason=reason)

    def best(self, found: Screened) -> list[int]:
        """Return the places, among what was asked, of the best `n` that are not alike."""
        chosen: list[int] = []
        for place in found.errors.argsort(stable=True).tolist():
            row = self.edits.table[found.rows[place]]
            near = [float((row @ self.edits.table[found.rows[one]].T).sum()) for one in chosen]
            if max(near, default=0.0) < _ALIKE:
                chosen.append(place)
            if len(chosen) == self.n:
                break
        return chosen

    def _tell(self) -> None:
        reached = int((self.errors(torch.stack(self.responses)) <= self.enough).sum())
        self.stage(min(reached, self.n), timed=self.log.timed, to_do=self.log.box.remaining)

    def _batch(self) -> list[int]:
        """Return texts that were not asked, those that may well be best."""
        beliefs = self._beliefs()
        asked = np.zeros(len(self.edits), dtype=bool)
        asked[self.rows] = True
        chosen: list[int] = []
        while len(chosen) < _BATCH and not asked.all():
            outcomes = [belief.outcomes(self._table) for belief, _ in beliefs]
            row = int(np.where(asked, np.inf, self._far(outcomes, [offset for _, offset in beliefs])).argmin())
            for (belief, _), (mean, _) in zip(beliefs, outcomes, strict=True):
                belief.add([self._row(row)], [float(mean[row])])
            chosen.append(row)
            asked[row] = True
        return chosen

    @cached_property
    def _table(self) -> Any:
        return _LENGTH * self.edits.table

    def _row(self, row: int) -> Float[Tensor, " word"]:
        return torch.from_numpy(self._table[row].toarray()[0]).double()

    def _beliefs(self) -> list[tuple[LinearBelief, float]]:
        """Return what is known of words for each class wanted, and the mean of the answers."""
        values = self._values()
        found = []
        rows = [self._row(row) for row in self.rows]
        for place, expected in enumerate(self._known()):
            belief = LinearBelief(Belief(expected=expected))
            offset = float(values[:, place].mean()) if len(values) else 0.0
            if len(values):
                belief.add(rows, (values[:, place] - offset).tolist())
            found.append((belief, offset))
        return found

    def _values(self) -> Float[Tensor, "asked output"]:
        if not self.rows:
            return torch.zeros(0, max(1, len(self.classes)), dtype=torch.float64)
        responses = torch.stack(self.responses)
        if self.classes:
            return (responses[:, self.classes] + _LEAST).log() - (1 - responses[:, self.classes] + _LEAST).log()
        return -self.errors(responses)[:, None].double()

    def _known(self) -> list[Float[Tensor, " word"]]:
        odds = self.edits.odds(self.log.box.class_names)
        words = self.edits.vocabulary
        if odds is None or not self.classes:
            return [torch.zeros(len(words), dtype=torch.float64)] * max(1, len(self.classes))
        known = torch.from_numpy(odds.of(words))
        return [known[:, one] for one in self.classes]

    def _far(self, outcomes: list[tuple[NDArray[np.float64], NDArray[np.float64]]], offsets: list[float]) -> Any:
        """Return how far each text may well be from what is wanted; less is better."""
        if len(outcomes) == 1:  # the surest is the nearest: no sigmoid to make two of them equal
            mean, spread = outcomes[0]
            chance = torch.rand(len(mean), generator=self.rng, dtype=torch.float64).numpy()
            return -(mean + _OPTIMISM * spread) - 1e-9 * chance  # chance decides where nothing is known
        p = torch.zeros(len(self.edits), len(self.log.box.class_names), dtype=torch.float64)
        for one, (mean, spread), offset in zip(self.classes, outcomes, offsets, strict=True):
            draw = torch.randn(len(mean), generator=self.rng, dtype=torch.float64)  # either side may be the nearer
            p[:, one] = (torch.from_numpy(mean + offset) + _OPTIMISM * torch.from_numpy(spread) * draw).sigmoid()
        return self.errors(p).numpy()
