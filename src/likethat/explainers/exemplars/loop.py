"""The loop that joins a strategy, a generator and a model until enough distinct exemplars are found."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from likethat._status import Reason
from likethat.explainers.exemplars.asking import Asker
from likethat.explainers.exemplars.target import Aim
from likethat.functional.diversity import distinct_rows
from likethat.search import Problem, Strategy

_SAME_ROUNDS = 60  # batches without an input that was not asked before: the generator makes the same few


@dataclass(kw_only=True, eq=False)
class Finds:
    """What was found of one target among all that was asked.

    Attributes:
        asker: holds all answers.
        aim: the target.
        n: how many distinct exemplars are wanted.
        radius: least distance between two latents.
        rows: of the asker's record, in the order found.
        avoid: rows that are found, or that make an input that is.
    """

    asker: Asker
    aim: Aim
    n: int
    radius: float
    rows: list[int] = field(default_factory=list)
    avoid: list[int] = field(default_factory=list)
    _seen: int = 0

    @property
    def is_done(self) -> bool:
        """Whether there are enough."""
        return len(self.rows) >= self.n

    def look(self) -> bool:
        """Look through the answers that came since the last look; return whether there was an exemplar among them."""
        known = self.asker.known
        new = torch.arange(self._seen, len(known))
        self._seen = len(known)
        if not len(new):
            return False
        shortfall = self.aim.goal.shortfall(known.responses[new])
        order = [int(new[row]) for row in shortfall.argsort(stable=True) if shortfall[row] <= 0]
        before = len(self.rows)
        self.rows += self._distinct(order, self.n - before, self.rows)
        marks = {self.asker.digests[row] for row in self.rows}
        self.avoid += [row for row in order if self.asker.digests[row] in marks]
        return len(self.rows) > before

    def best(self) -> list[int]:
        """Return the rows to show, found ones first, then the nearest misses: distinct, at most `n`."""
        errors = self.aim.goal.shortfall(self.asker.known.responses)
        found = sorted(self.rows, key=lambda row: float(errors[row]))
        order = [int(row) for row in errors.argsort(stable=True) if int(row) not in found]
        return found + self._distinct(order, self.n - len(found), found)

    def avoided(self) -> Tensor:
        """Return the latents that are no new find, with what lies within the radius of them."""
        return self.asker.known.latents[self.avoid]

    def _distinct(self, order: list[int], n: int, kept: list[int]) -> list[int]:
        marks = {self.asker.digests[row] for row in kept}
        fresh: list[int] = []
        for row in order:
            if self.asker.digests[row] not in marks:
                fresh.append(row)
                marks.add(self.asker.digests[row])
        latents = self.asker.known.latents
        return distinct_rows(latents, fresh, radius=self.radius, n=max(n, 0), kept=latents[kept])


def pursue(finds: Finds, strategy: Strategy, *, batch: int, rng: torch.Generator) -> Reason:
    """Search until there are enough distinct exemplars; return why it ended.

    Args:
        finds: filled on the way, so that nothing is lost when the loop is stopped from outside.
        strategy: begun anew for each exemplar, knowing all answers so far.
        batch: prior samples asked at once before the strategy begins.
        rng: the source of chance.
    """
    asker, prior = finds.asker, finds.asker.generator.prior
    finds.look()
    while not finds.is_done and len(asker.known) < strategy.n_screen:
        latents = prior.sample(min(batch, strategy.n_screen - len(asker.known)), rng=rng).double()
        if len(asker.ask(latents)) < len(latents):
            finds.look()
            return Reason.REACHED if finds.is_done else Reason.BUDGET
        finds.look()
    while not finds.is_done:
        reason = _chase(finds, strategy, rng)
        if reason is not None:
            return Reason.REACHED if finds.is_done else reason
    return Reason.REACHED


def _chase(finds: Finds, strategy: Strategy, rng: torch.Generator) -> Reason | None:
    """Search for one more exemplar; return None when there is one, else why not."""
    asker, goal = finds.asker, finds.aim.goal
    problem = Problem(
        prior=asker.generator.prior,
        goal=goal,
        rng=rng,
        known=asker.known,
        avoid=finds.avoided(),
        radius=finds.radius,
    )
    search = strategy.begin(problem)
    n_same, n_before = 0, len(asker.different)
    while n_same < _SAME_ROUNDS:
        latents = search.ask()
        responses = asker.ask(latents)
        is_new = finds.look()
        if len(responses) < len(latents):
            return Reason.BUDGET
        if is_new:
            return None
        search.tell(goal.fitness(responses, loss=strategy.loss), responses)
        n_same = n_same + 1 if len(asker.different) == n_before else 0  # what an earlier call paid for is new, if free
        n_before = len(asker.different)
    return Reason.NO_PROGRESS
