"""Exemplars of texts: nothing is made; real texts of a corpus are found, with what speaks for each."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from likethat._inputs import take
from likethat._progress import Clock, Stage, Watcher
from likethat._queries import QueryLog
from likethat._status import Reason, Status, ended
from likethat.editing.attribution import attribute_words
from likethat.editing.exemplars import Screened, Screening
from likethat.errors import BudgetError
from likethat.explainers.exemplars.target import Aim
from likethat.explanations.exemplars import ExemplarSet, Film
from likethat.explanations.word_attribution import WordAttribution
from likethat.functional.diversity import mean_distance, quantile_among
from likethat.generators.text.edits import TextEdits

_SAMPLES = 200  # texts of the corpus that exemplars are compared with
_TYPICAL = 12  # texts of the corpus to read beside
_FOR_WORDS, _LEAST_FOR_WORDS = 32, 16  # questions about the words of one exemplar


class TextHunt:
    """Finds real texts for several targets; every answer serves all of them.

    Args:
        edits: with the texts.
        box: a black box.
        known: its answers to the first texts, where they were asked for the names of the classes.
        n: exemplars a target.
        budget: questions a target.
        seed: of all chance.
        watch: called with progress.
    """

    def __init__(
        self,
        edits: TextEdits,
        box: Any,
        known: Sequence[Tensor] = (),
        *,
        n: int,
        budget: int,
        seed: int,
        watch: Watcher | None = None,
    ) -> None:
        self._edits, self._box = edits, box
        self._n, self._budget, self._seed, self._watch = n, budget, seed, watch
        self._is_stopped = False
        self._rows, self._responses = list(range(len(known))), list(known)
        rng = torch.Generator().manual_seed(seed)
        self._usual = torch.randperm(len(edits), generator=rng)[:_SAMPLES].tolist()

    def find(self, aim: Aim, number: int, *, box: Any, about: dict[str, Any]) -> ExemplarSet:
        """Return the real texts that come nearest to what is wanted, best first; `box` has the budget of this target.

        Raises:
            BudgetError: not one question is allowed.
        """
        clock, shared = Clock(), len(self._rows) if number else 0
        wanted = [] if aim.wanted is None else [int(index) for index in aim.wanted.nonzero()[:, 0]]
        screening = Screening(
            edits=self._edits,
            log=QueryLog(box=box),
            stage=Stage("finding exemplars", self._watch, total=self._n),
            errors=aim.errors,
            classes=wanted,
            enough=aim.slack,
            n=self._n,
            rng=torch.Generator().manual_seed(1_000_003 * (number + 1) + self._seed),
            rows=self._rows,
            responses=self._responses,
        )
        found = screening.so_far(Reason.INTERRUPTED) if self._is_stopped else screening.run()
        if not found.rows:
            raise BudgetError("`budget` must allow at least one query, got a black box with none left. Raise it.")
        chosen = screening.best(found)
        texts = [self._edits.texts[found.rows[place]] for place in chosen]
        self._is_stopped = found.reason == Reason.INTERRUPTED
        words = () if self._is_stopped else self._words(texts, aim, left=self._budget - box.queries)
        reason = Reason.INTERRUPTED if self._is_stopped else found.reason
        return self._set(
            found, chosen, aim, words=words, status=self._status(found, chosen, aim, reason),
            queries=box.queries, shared_queries=shared, seconds=clock.seconds, **about,
        )  # fmt: skip

    def _words(self, texts: Sequence[str], aim: Aim, *, left: int) -> tuple[WordAttribution, ...]:
        """Return what speaks for each exemplar, with the questions that are left."""
        each = min(_FOR_WORDS, left // len(texts))
        if aim.index < 0 or each < _LEAST_FOR_WORDS:
            return ()  # a mixture or a response has no one class to speak for
        found: list[WordAttribution] = []
        try:
            for text in texts:
                box = self._box.limited(each)
                found.append(attribute_words(box, text, aim.index, budget=each, seed=self._seed))
                if found[-1].status.is_interrupted:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            self._is_stopped = True
            return ()
        return tuple(found)

    def _set(
        self,
        found: Screened,
        chosen: list[int],
        aim: Aim,
        *,
        words: tuple[WordAttribution, ...],
        status: Status,
        queries: int,
        **about: Any,
    ) -> ExemplarSet:
        rows = [found.rows[place] for place in chosen]
        texts = [self._edits.texts[row] for row in rows]
        slor = torch.from_numpy(self._edits.reader.slor(texts))
        apart = [mean_distance(self._rows_of(some)) for some in (rows, self._usual)]
        curve = found.errors.cummin(0).values
        frames = [0, *(place for place in range(1, len(curve)) if curve[place] < curve[place - 1])]
        asked = [self._edits.texts[row] for row in found.rows]
        return ExemplarSet(
            target=aim.index,
            description=aim.description,
            wanted=aim.wanted,
            inputs=texts,
            latents=torch.tensor(rows, dtype=torch.float64)[:, None],
            probabilities=found.responses[chosen],
            errors=found.errors[chosen],
            reached=aim.goal.shortfall(found.responses[chosen]) <= 0,
            log_prior=slor,
            prior_quantile=quantile_among(slor, self._usual_slor),
            distance_to_real=None,
            diversity=apart[0] / apart[1],
            status=status,
            queries=queries + sum(one.queries for one in words),
            curve=curve,
            film=Film(inputs=take(asked, frames), queries=torch.tensor(frames) + 1, errors=found.errors[frames]),
            typical=[self._edits.texts[row] for row in self._usual[:_TYPICAL]],
            class_names=tuple(self._box.class_names),
            attributions=words,
            **aim.measured(found.responses[chosen]),
            **about,
        )

    @cached_property
    def _usual_slor(self) -> Tensor:
        return torch.from_numpy(self._edits.reader.slor([self._edits.texts[row] for row in self._usual]))

    def _rows_of(self, rows: Sequence[int]) -> Tensor:
        return torch.from_numpy(self._edits.table[list(rows)].toarray())

    def _status(self, found: Screened, chosen: list[int], aim: Aim, reason: Reason) -> Status:
        errors = found.errors[chosen]
        n_good = int((aim.goal.shortfall(found.responses[chosen]) <= 0).sum())
        if n_good >= self._n or (aim.wanted is None and aim.slack < 0):
            return ended("real texts", Reason.REACHED)
        came = f"{n_good} of {self._n} found, the best is {float(errors.min()):.3f} away"
        asked = f"{len(found.rows)} of {len(self._edits)}"
        reason = Reason.NO_PROGRESS if reason == Reason.REACHED else reason  # the best that these texts have
        return ended("real texts", reason, came=came, asked=asked, budget=self._budget)
