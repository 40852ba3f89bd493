"""A counterfactual of a text by editing it: Thompson draws from a linear surrogate over edits, in batches."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from likethat._status import Reason
from likethat.editing.asked import AskedTexts
from likethat.editing.masks import balanced_masks, groups_of, masked
from likethat.editing.surrogate import Belief, LinearBelief
from likethat.generators.text.proposer import Proposal
from likethat.generators.text.words import Words, split_words

_MASK_ROUNDS = 4  # of four masks: 16 answers rank the words of a sentence (correlation .85 with exact weights)
_POSITIONS = 20  # where edits are looked for: more bring words that say nothing
_ODD = 3.5  # nats: what reads worse is only tried when nothing else leads there
_PRICE_OF_ODDNESS = 0.6  # words a nat
_PRICE_OF_UNLIKENESS = 1.5  # words: two alike swaps read better than one that puts a noun where a verb stood
_BATCH, _TRIES = 8, 40  # questions before the belief is renewed; draws to find as many plans
_GAIN, _PATIENCE = 0.05, 3  # log-odds or words: what is worth a batch; batches without it that end the search
_LATE = 0.6  # share of the budget after which odd edits are tried
_SURE = 0.15  # log-odds beyond the goal that a plan aims at, for the surrogate rounds off


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is looked for.

    Attributes:
        margin: of the target that counts as reached.
        expected: the effect on the margin that words have by what is known of classes, one a word; None where nothing
            is known.
    """

    margin: float
    expected: Callable[[Sequence[str]], Float[np.ndarray, " word"]] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """Edits made together.

    Attributes:
        edits: none touches another, in the order of the text.
        text: the source with them.
        cost: words changed, and what they cost in plausibility.
        margin: that the model gave it; NaN before it was asked.
    """

    edits: tuple[Proposal, ...]
    text: str
    cost: float
    margin: float = math.nan


@dataclass(kw_only=True, eq=False)
class Seeker:
    """Seeks edits of one text.

    Args:
        source: its words.
        propose: what could be changed at a position.
        ask: the model, with its budget; the source was asked already.
        wanted: what is looked for.
        rng: of all chance.
    """

    source: Words
    propose: Callable[[str, int], list[Proposal]]
    ask: AskedTexts
    wanted: Wanted
    rng: torch.Generator
    plans: dict[str, Plan] = field(default_factory=dict)
    banned: set[Proposal] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._start = float(self.ask.margins[0])
        self._edits: list[Proposal] = []
        self._prices: list[float] = []
        self._added: dict[str, int] = {}
        self._belief: LinearBelief | None = None
        self._masks: list[tuple[Tensor, float]] = []

    def look(self, *, share: float) -> None:
        """Ask which words matter, and collect what could stand in their place.

        Args:
            share: of the budget that is left, at most.
        """
        n = len(self.source)
        groups = groups_of(self.source)
        left = self.ask.box.remaining
        rounds = _MASK_ROUNDS if left is None else max(1, min(_MASK_ROUNDS, int(share * left) // 4))
        self._hide(groups, rounds)
        if len(groups) < sum(self.source.is_word):  # of a long text the words of the groups that matter
            gains = self._gains_of_removal()
            ranked = sorted(groups, key=lambda group: -float(gains[group].sum()))
            near = sorted(place for group in ranked[: max(2, len(groups) // 8)] for place in group)
            self._hide([[place] for place in near], rounds)
        where = self._gains_of_removal().argsort(descending=True).tolist()
        where = [place for place in where if self.source.is_word[place]][:_POSITIONS]
        text, seen = self.source.text, set()
        for place in where:
            for one in self.propose(text, place):
                if (one.start, one.stop, one.text) not in seen:
                    seen.add((one.start, one.stop, one.text))
                    self._edits.append(one)
        for one in self._edits:
            for key in split_words(one.text).keys:
                self._added.setdefault(key, n + len(self._added))
        nothing = torch.zeros(0, n + len(self._added), dtype=torch.float64)
        self._rows = torch.stack([self._row((one,)) for one in self._edits]) if self._edits else nothing
        self._prices = [_price(one) for one in self._edits]
        self._believe()

    def seek(self, *, until: int) -> Reason:
        """Ask batches of plans until the best stops getting better; return why it ended.

        Args:
            until: number of questions to stop at.
        """
        idle, best = 0, self._standing()
        while idle < _PATIENCE:
            room = min(_BATCH, until - self.ask.box.queries)
            if room <= 0:
                return Reason.BUDGET
            with_odd = self.best() is None and (self.ask.box.queries > _LATE * until or idle > 0)
            batch = self._batch(room, with_odd=with_odd)
            if not batch:
                if with_odd or self.best() is not None:
                    return Reason.NO_PROGRESS
                idle += 1
                continue
            found = self.ask([plan.text for plan in batch])
            for plan, margin in zip(batch, found, strict=False):
                self.plans[plan.text] = Plan(edits=plan.edits, text=plan.text, cost=plan.cost, margin=margin)
            assert self._belief is not None
            rows = [self._row(plan.edits) for plan in batch[: len(found)]]
            self._belief.add(rows, [margin - self._start for margin in found])
            if len(found) < len(batch):
                return Reason.BUDGET
            now = self._standing()
            idle = 0 if now > best + _GAIN else idle + 1
            best = max(best, now)
        return Reason.NO_PROGRESS

    def simplify(self, *, until: int) -> None:
        """Ask the best plan without one edit and another: the surrogate may have believed in what does nothing."""
        plan = self.best()
        for one in sorted(plan.edits, key=_price, reverse=True) if plan is not None else ():
            assert plan is not None
            edits = tuple(edit for edit in plan.edits if edit is not one)
            text = made(self.source, edits).text
            if not edits or text in self.plans or self.ask.box.queries >= until:
                continue
            found = self.ask([text])
            if not found:
                return
            less = Plan(edits=edits, text=text, cost=sum(map(_price, edits)), margin=found[0])
            self.plans[text] = less
            plan = less if less.margin >= self.wanted.margin else plan

    def best(self) -> Plan | None:
        """Return the plan of least cost that reached the goal; None where none did."""
        reached = [plan for plan in self.plans.values() if self._counts(plan) and plan.margin >= self.wanted.margin]
        return min(reached, key=lambda plan: (plan.cost, -plan.margin), default=None)

    @property
    def n_proposed(self) -> int:
        """Count the edits that could be made."""
        return len(self._edits)

    def nearest(self) -> Plan | None:
        """Return the plan that came nearest to the goal."""
        return max(self.plans.values(), key=lambda plan: plan.margin, default=None)

    def _counts(self, plan: Plan) -> bool:
        return not self.banned & set(plan.edits)

    def _standing(self) -> float:
        """Return how well the search stands: the margin until it is enough, then what is saved."""
        best = self.best()
        if best is not None:
            return 1e3 - best.cost
        nearest = self.nearest()
        return nearest.margin if nearest is not None else self._start

    def _hide(self, groups: list[list[int]], rounds: int) -> None:
        masks = balanced_masks(len(groups), rounds=rounds, rng=self.rng)
        hidden = torch.zeros(len(masks), len(self.source), dtype=torch.bool)
        for row, mask in enumerate(masks):
            for group in mask.nonzero()[:, 0].tolist():
                hidden[row, groups[group]] = True
        found = self.ask([masked(self.source, mask) for mask in hidden])
        self._masks += [(mask.double(), margin - self._start) for mask, margin in zip(hidden, found, strict=False)]

    def _gains_of_removal(self) -> Float[Tensor, " word"]:
        """Return what the margin may gain where each word goes: the mean, and half of how unsure it is."""
        belief = LinearBelief(Belief(expected=-self._known(self.source.keys)))
        belief.add([row for row, _ in self._masks], [gain for _, gain in self._masks])
        draws = torch.stack([belief.draw(self.rng) for _ in range(32)])
        return belief.mean() + 0.5 * draws.std(dim=0)

    def _known(self, keys: Sequence[str]) -> Float[Tensor, " word"]:
        if self.wanted.expected is None:
            return torch.zeros(len(keys), dtype=torch.float64)
        return torch.from_numpy(self.wanted.expected(keys)).double()

    def _believe(self) -> None:
        n_added = len(self._added)
        expected = torch.cat([-self._known(self.source.keys), self._known(list(self._added))])
        self._belief = LinearBelief(Belief(expected=expected))
        nothing = torch.zeros(n_added, dtype=torch.float64)
        rows = [torch.cat([row, nothing]) for row, _ in self._masks]
        if rows:
            self._belief.add(rows, [gain for _, gain in self._masks])

    def _row(self, edits: Sequence[Proposal]) -> Float[Tensor, " feature"]:
        row = torch.zeros(len(self.source) + len(self._added), dtype=torch.float64)
        for one in edits:
            row[one.start : one.stop] = 1
            for key in split_words(one.text).keys:
                row[self._added[key]] += 1
        return row

    def _batch(self, room: int, *, with_odd: bool) -> list[Plan]:
        """Return plans that were not asked: by the expected effects, then by draws."""
        assert self._belief is not None
        batch: dict[str, Plan] = {}
        for attempt in range(_TRIES):
            if len(batch) == room:
                break
            effects = self._belief.draw(self.rng) if attempt else self._belief.mean()
            plan = self._planned(effects, with_odd=with_odd)
            if plan is not None and plan.text not in self.plans and plan.text not in batch:
                batch[plan.text] = plan
        return list(batch.values())

    def _planned(self, effects: Float[Tensor, " feature"], *, with_odd: bool) -> Plan | None:
        """Take the edit with the largest gain for its cost until the goal is met; then leave out what is not needed."""
        gains = (self._rows @ effects).tolist()
        least = self.best()
        room = least.cost if least is not None else math.inf
        need, chosen = self.wanted.margin - self._start + _SURE, []
        usable = [
            (gain, price, one)
            for gain, price, one in zip(gains, self._prices, self._edits, strict=True)
            if gain > 0 and one not in self.banned and (with_odd or one.oddness <= _ODD)
        ]
        while need > 0 and usable:
            gain, price, one = max(usable, key=lambda item: min(item[0], need) / item[1])
            chosen.append((gain, price, one))
            need -= gain
            usable = [item for item in usable if not _touch(item[2], one, side_by_side=with_odd)]
        if not chosen or (need > 0 and least is not None):
            return None
        for item in sorted(chosen, key=lambda item: -item[1]):
            if need + item[0] <= 0:
                chosen.remove(item)
                need += item[0]
        cost = sum(price for _, price, _ in chosen)
        if cost >= room - 1e-9:
            return None
        edits = tuple(sorted((one for _, _, one in chosen), key=lambda one: one.start))
        return Plan(edits=edits, text=made(self.source, edits).text, cost=cost)


def made(source: Words, edits: Sequence[Proposal]) -> Words:
    """Return a text with edits that do not touch each other."""
    for one in sorted(edits, key=lambda one: -one.start):
        source = source.replaced(one.start, one.stop, one.text)
    return source


def _price(one: Proposal) -> float:
    """Return what an edit costs: the words that it changes, and more for what reads odd."""
    changed = max(one.stop - one.start, len(split_words(one.text)))
    return changed + _PRICE_OF_ODDNESS * max(0.0, one.oddness) + _PRICE_OF_UNLIKENESS * one.unlikeness


def _touch(one: Proposal, other: Proposal, *, side_by_side: bool) -> bool:
    """Return whether two edits share a word or, unless they may, stand side by side: each was judged alone."""
    if side_by_side and one.stop > one.start and other.stop > other.start:
        return one.start < other.stop and other.start < one.stop
    return one.start <= other.stop and other.start <= one.stop
