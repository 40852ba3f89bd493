"""Exemplars: inputs made to be typical of a response, by asking the model and nothing else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch

from likethat._calls import public
from likethat._checks import check_count
from likethat._inputs import Inputs
from likethat._options import check_callable, shown
from likethat._progress import Clock, Stage, Watcher
from likethat._session import in_own_session
from likethat._status import Reason, Status, ended
from likethat.errors import BudgetError, InputError
from likethat.explainers.exemplars.asking import Asker
from likethat.explainers.exemplars.loop import Finds, pursue
from likethat.explainers.exemplars.result import Spacing, exemplar_set
from likethat.explainers.exemplars.target import Aim, read_target
from likethat.explainers.exemplars.texts import TextHunt
from likethat.explanations.exemplars import REAL_TEXTS, ExemplarSet
from likethat.generators.text.edits import TextEdits
from likethat.generators.text.reconstruction import require_reconstruction
from likethat.options import ExemplarOptions
from likethat.search import CMAES, Evolution, PriorSampling, Strategy, Surrogate

_STRATEGIES: Mapping[str, Callable[[], Strategy]] = {
    "surrogate": Surrogate,
    "prior": PriorSampling,
    "cma-es": CMAES,
    "evolution": Evolution,
}
"""The algorithms that have a name."""


@in_own_session(grad=True)
@public
@dataclass(frozen=True, eq=False)
class Exemplars(ExemplarOptions):
    """Finds inputs that a model takes for a class, or for anything between classes, from its answers alone.

    A generator turns latents into inputs; a strategy chooses the latents to ask about. The first answers are to samples
    of the generator's prior, and all targets share all answers.

    Source:
        Barbalau, Cosma, Ionescu and Popescu (2020), A Generic and Model-Agnostic Exemplar Synthetization Framework
        for Explainable AI, arXiv 2006.03896.

    Differs:
        The search starts at the prior, not far outside it at U(-5, 5); a Gaussian process of the answers takes the
        place of evolution (`search.Evolution` is the paper's); the loop stops at the first exemplar good enough, not
        when the worst of a population is; elites are not asked again; exemplars are distinct.

    Example:
        >>> import torch, likethat as lt
        >>> from likethat.models.black_box import BlackBox
        >>> made = lt.load_generator(lambda z: z.sigmoid().reshape(-1, 1, 1, 2), latent_dim=2)
        >>> box = BlackBox(lambda x: torch.softmax(20 * x.flatten(1), 1), class_names=["left", "right"])
        >>> found = lt.Exemplars(made).search(box, "right", n=2)
        >>> bool(found.status), len(found), bool((found.confidence >= 0.95).all())
        (True, 2, True)
    """

    def check_together(self) -> None:
        """Refuse what generates nothing, and what is no strategy."""
        if isinstance(self.generator, TextEdits) and self.algorithm != "surrogate":
            raise InputError("`algorithm` must be left out for texts, which are found and not made.")
        is_latent = all(hasattr(self.generator, name) for name in ("kind", "prior")) and callable(self.generator)
        if not is_latent and not isinstance(self.generator, TextEdits):
            raise InputError(
                f"`generator` must be a LatentGenerator, got {type(self.generator).__name__}. Wrap a function with "
                "likethat.load_generator(function, latent_dim=...)."
            )
        require_reconstruction(self.generator)
        _check_strategy(self.algorithm)

    @cached_property
    def strategy(self) -> Strategy:
        """What chooses the latents."""
        found = _STRATEGIES[self.algorithm]() if isinstance(self.algorithm, str) else self.algorithm
        own: Any = found
        return own if self.batch is None or not hasattr(own, "batch") else replace(own, batch=self.batch)

    def search(
        self,
        model: Any,
        target: Any,
        *,
        n: int = 5,
        budget: int = 500,
        threshold: float | None = None,
        data: "Inputs | None" = None,
        watch: Watcher | None = None,
    ) -> ExemplarSet:
        """Find `n` distinct exemplars of one target.

        Args:
            model: a `BlackBox`, or anything that it wraps.
            target: index or name of a class; a probability vector or a mapping from classes to probabilities; a
                `Label`, or a line that a number shall pass (`Above`, `Below`, `Between`); or what shall be high: a
                `Response`, or a function of probabilities (m, cls) to (m,).
            n: how many.
            budget: queries at most; never exceeded.
            threshold: of a function: the value that counts as reached; None looks for the highest.
            data: real inputs to tell the distance to.
            watch: called with progress; a KeyboardInterrupt stops the search and leaves what was found.

        Returns:
            The exemplars; where not all were found, the nearest misses follow and `status` says what to try.

        Raises:
            TargetError: no class of the model.
            BudgetError: not one query is allowed.
            BlackBoxError: the model failed.
        """
        return self._run(model, [target], n=n, budget=budget, threshold=threshold, data=data, watch=watch)[0]

    def search_all(
        self,
        model: Any,
        targets: Sequence[Any] | None = None,
        *,
        n: int = 5,
        budget: int = 500,
        data: "Inputs | None" = None,
        watch: Watcher | None = None,
    ) -> list[ExemplarSet]:
        """Find `n` distinct exemplars of each target, all classes when None; every answer serves all of them.

        Args:
            model: a `BlackBox`, or anything that it wraps.
            targets: as `search` takes them.
            n: how many of each.
            budget: queries at most for each; what is asked for one and serves another costs nothing.
            data: real inputs to tell the distance to.
            watch: called with progress; a KeyboardInterrupt leaves what was found, of the others the nearest misses.
        """
        return self._run(model, targets, n=n, budget=budget, threshold=None, data=data, watch=watch)

    def _run(
        self,
        box: Any,
        targets: Sequence[Any] | None,
        *,
        n: int,
        budget: int,
        threshold: float | None,
        data: "Inputs | None",
        watch: Watcher | None,
    ) -> list[ExemplarSet]:
        n, budget = check_count(n, name="n"), check_count(budget, name="budget")
        check_callable(watch, name="watch", takes="a Progress")
        # One search: what is asked for a target and serves another counts once.
        box = _opened(box, targets).afresh(None)
        if isinstance(self.generator, TextEdits):
            return self._found(box, targets, n=n, budget=budget, threshold=threshold, watch=watch)
        rng = torch.Generator().manual_seed(self.seed)
        asker = Asker(self.generator, box.limited(budget))
        aims = self._aims(asker, targets, rng, threshold)
        spacing = Spacing.of(self.generator.prior, seed=self.seed)
        stage = Stage("finding exemplars", watch, total=n * len(aims))
        results, is_stopped = [], False
        for number, aim in enumerate(aims):
            clock, first = Clock(), len(asker.known) if number else 0
            asker.box = box.limited(budget) if number else asker.box
            finds = Finds(asker=asker, aim=aim, n=n, radius=self.spacing * spacing.mean)
            left = budget * (len(aims) - number)
            asker.tell_how = partial(_tell, stage, number, finds, left)
            reason, is_stopped = self._pursued(finds, number, is_stopped)
            results.append(
                exemplar_set(
                    finds,
                    status=_status(finds, reason, budget),
                    queries=asker.box.queries,
                    shared=first,
                    spacing=spacing,
                    data=data,
                    about=self._about(n, budget, clock.seconds),
                )
            )
        return results

    def _found(
        self,
        box: Any,
        targets: Sequence[Any] | None,
        *,
        n: int,
        budget: int,
        threshold: float | None,
        watch: Watcher | None,
    ) -> list[ExemplarSet]:
        """Find real texts."""
        first = box.limited(budget)  # what is asked for the names of the classes is paid by the first target
        known = [] if box.class_names else list(first(self.generator.texts[:1]))
        if not box.class_names and not known:
            raise _penniless()
        hunt = TextHunt(self.generator, box, known, n=n, budget=budget, seed=self.seed, watch=watch)
        options = {"n": n, "budget": budget, "tolerance": self.tolerance}
        about = {"method": REAL_TEXTS, "options": options, "seed": self.seed}
        aims = self._read(targets, box, threshold)
        boxes = [box.limited(budget) if number else first for number in range(len(aims))]
        return [hunt.find(aim, number, box=boxes[number], about=about) for number, aim in enumerate(aims)]

    def _aims(
        self, asker: Asker, targets: Sequence[Any] | None, rng: torch.Generator, threshold: float | None
    ) -> list[Aim]:
        if not asker.box.class_names and not len(
            asker.ask(self.generator.prior.sample(1, rng=rng).double())
        ):  # a model names its classes with its first answer
            raise _penniless()
        return self._read(targets, asker.box, threshold)

    def _read(self, targets: Sequence[Any] | None, box: Any, threshold: float | None) -> list[Aim]:
        if targets is not None and (isinstance(targets, str) or not hasattr(targets, "__len__") or not len(targets)):
            raise InputError(f"`targets` must be a list with at least one target, got {shown(targets)}.")
        names, output = list(box.class_names), getattr(box, "output", "probabilities")
        everything = range(len(names)) if output == "labels" else torch.eye(len(names), dtype=torch.float64)
        if targets is None and output == "numbers":
            raise InputError("`targets` must say where a number shall lie, got None. Such as [likethat.Above(3)].")
        return [
            read_target(item, names, tolerance=self.tolerance, threshold=threshold, output=output)
            for item in (everything if targets is None else targets)
        ]

    def _pursued(self, finds: Finds, number: int, is_stopped: bool) -> tuple[Reason, bool]:
        """Return how the search for one target ended, and whether it was stopped, which may be when all was found."""
        rng = torch.Generator().manual_seed(1_000_003 * (number + 1) + self.seed)
        try:
            finds.look()
            batch = int(getattr(self.strategy, "batch", 1))
            reason = Reason.INTERRUPTED if is_stopped else pursue(finds, self.strategy, batch=batch, rng=rng)
        except KeyboardInterrupt:
            finds.look()
            reason = Reason.INTERRUPTED
        if not len(finds.asker.known):
            if reason == Reason.INTERRUPTED:
                raise KeyboardInterrupt
            raise _penniless()
        return Reason.REACHED if finds.is_done else reason, reason == Reason.INTERRUPTED

    def _about(self, n: int, budget: int, seconds: float) -> Mapping[str, Any]:
        strategy = self.strategy
        options: dict[str, Any] = asdict(strategy) if is_dataclass(strategy) and not isinstance(strategy, type) else {}
        own = {"n": n, "budget": budget, "tolerance": self.tolerance, "spacing": self.spacing}
        plain = {name: value for name, value in options.items() if isinstance(value, str | int | float | None)}
        return {"method": type(strategy).__name__, "options": own | plain, "seed": self.seed, "seconds": seconds}


def _tell(stage: Stage, number: int, finds: Finds, budget: int) -> None:
    """Say how many exemplars there are of all targets; what takes the time is the questions, of which few may do."""
    asked = finds.asker
    stage(number * finds.n + len(finds.rows), timed=asked.timed, to_do=budget - asked.box.queries)


def _check_strategy(algorithm: Any) -> None:
    if isinstance(algorithm, str) or (not isinstance(algorithm, type) and callable(getattr(algorithm, "begin", None))):
        return
    raise InputError(
        f"`algorithm` must be a strategy of likethat.search or its name, got {shown(algorithm)}."
        + (f" Make an instance: {algorithm.__name__}()." if isinstance(algorithm, type) else " Try 'cma-es'.")
    )


def _opened(box: Any, targets: Sequence[Any] | None) -> Any:
    if not isinstance(box, type) and hasattr(box, "affordable"):
        return box
    from likethat.models import box_for

    return box_for(box, targets[0] if isinstance(targets, list | tuple) and len(targets) == 1 else None)


def _penniless() -> BudgetError:
    return BudgetError("`budget` must allow at least one query, got a black box with none left. Raise its budget.")


def _status(finds: Finds, reason: Reason, budget: int) -> Status:
    aim, count = finds.aim, len(finds.rows)
    nearest = float(aim.errors(finds.asker.known.responses).min())
    came = f"{count} of {finds.n} found" if count else f"none found, the nearest is {nearest:.3f} away"
    if aim.wanted is None and aim.slack < 0:
        return Status(reached=True, reason=reason)  # the most of a response: there is no line to reach
    return ended("exemplars", reason, came=came, budget=budget)
