"""FreeMCG: counterfactuals and attributions of any black box, from its outputs alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from likethat._calls import public
from likethat._checks import check_choice, check_count
from likethat._inputs import Inputs, kind_of
from likethat._options import check_callable, shown
from likethat._progress import Clock, Watcher
from likethat._queries import QueryLog
from likethat._responses import Measure, Wanted
from likethat._session import in_own_session
from likethat.editing.attribution import attribute_words
from likethat.editing.counterfactual import LEAST_BUDGET, Demand, edit_text
from likethat.errors import InputError
from likethat.explainers.freemcg.attribution import Reading, heat_map
from likethat.explainers.freemcg.changes import Changes, particles
from likethat.explainers.freemcg.columns import Limits, as_generated
from likethat.explainers.freemcg.hiding import Masks, check_fills, out_of_sight
from likethat.explainers.freemcg.inputs import (
    as_asked,
    check_fits,
    check_mask,
    check_words,
    exact_map,
    explained_by,
    explained_of,
    kept_places,
    name_of,
    one_input,
    read_mask,
    wanted_of,
)
from likethat.explainers.freemcg.log import Archive
from likethat.explainers.freemcg.results import curve_of, edit_of, edits_of, path_of, range_note, status_of
from likethat.explainers.freemcg.run import Found, Settings, one_after_the_other, seek
from likethat.explainers.freemcg.spaces import ImageSpace, LatentSpace, Space
from likethat.explanations.attribution import Attribution
from likethat.explanations.counterfactual import Counterfactual
from likethat.explanations.word_attribution import WordAttribution
from likethat.generators.base import Denoiser, LatentGenerator
from likethat.generators.text.edits import TextEdits
from likethat.generators.text.reconstruction import require_reconstruction
from likethat.options import FreeMCGOptions

_OF_ROWS, _OF_TEXTS, _OF_OTHERS = 0.6, 0.5, 0.98  # see `confidence`


@in_own_session(grad=True)
@public
@dataclass(frozen=True, eq=False)
class FreeMCG(FreeMCGOptions):
    """Explains any classifier that can be asked, by inputs that a generator finds typical.

    What more confidence would cost a row of a table, `Counterfactual.curve` says.

    Source:
        Kim, Lee, Kim, Ye: "Derivative-free diffusion manifold-constrained gradient for unified XAI", CVPR 2025.

    Differs:
        By default each particle moves by the ensemble Kalman gain of its missing margin, and what was found is then
        brought nearer to the source (`reach`, `bring_nearer`); latents and tables too; the paper's sampler and its
        release's rule are `likethat.papers.FreeMCG`. Attribution: the paper leaves open which levels, how averaged.

    Example:
        >>> import torch, likethat as lt
        >>> box = lt.BlackBox(lambda x: torch.stack([-x.mean((1, 2, 3)), x.mean((1, 2, 3)) - 0.6], 1) * 9)
        >>> found = lt.FreeMCG().attribute(box, torch.rand(3, 8, 8), 1, budget=60)
        >>> found.heat_map.shape, found.queries <= 60
        ((8, 8), True)
    """

    can_ask_without_end: ClassVar[bool] = False
    as_published: ClassVar[bool] = False

    @property
    def rule(self) -> str:
        """How particles are moved, as records have it."""
        return "kalman"

    def check_together(self) -> None:
        """Refuse what generates nothing, and a text generator that keeps too little of a text."""
        if self.generator is not None and not isinstance(self.generator, Denoiser | LatentGenerator | TextEdits):
            raise InputError(
                f"`generator` must be a denoiser, a latent generator, TextEdits or None, got {shown(self.generator)}. "
                "Make one with likethat.load_generator(...)."
            )
        require_reconstruction(self.generator)

    def counterfactual(
        self,
        model: Any,
        source: Any,
        target: int | str | Wanted | None = None,
        *,
        n: int = 1,
        budget: int | None = 200,
        mask: Any = None,
        immutable: Sequence[str] = (),
        ranges: Mapping[str, tuple[Any, Any]] | None = None,
        directions: Mapping[str, str] | None = None,
        watch: Watcher | None = None,
    ) -> Counterfactual:
        """Find inputs near `source` that the model gives to `target`, or of which a number lies where it says.

        Args:
            model: a `BlackBox`, or anything that it wraps.
            source: one image (channel, height, width), a table of one row, or one text.
            target: class index or name; None for any but the source's own. Of a model of numbers or of independent
                labels, or of any function of its answer: `Above`, `Below`, `Between`, `Less`, `More`, or `Label`.
            n: how many different ones.
            budget: queries allowed in all.
            mask: (height, width), true where an image may change; all else stays bit for bit. Or a picture's path,
                white there, of any size.
            immutable: columns that stay; of a text, words or phrases of it.
            ranges: lowest and highest value of a column.
            directions: "up" or "down": a column may only rise, or only fall.
            watch: called with a `Progress` as the work goes on.

        Raises:
            InputError: an input that the generator does not make, limits that exclude it, or a budget below one
                generation.
            TargetError: no such class, or the source is of it already.
        """
        clock = Clock()
        check_callable(watch, name="watch", takes="a Progress")
        one, rng = one_input(source), torch.Generator().manual_seed(self.seed)
        check_fits(self.generator, one)
        if isinstance(mask, str | Path) and isinstance(one, Tensor):
            mask = read_mask(mask, (one.shape[2], one.shape[3]))
        if isinstance(self.generator, TextEdits):
            limits_given = {"mask": mask, "ranges": ranges, "directions": directions}
            return self._edited(model, one, target, n=n, budget=budget, keep=immutable, watch=watch, **limits_given)
        if kind_of(one) == "table":
            one = as_generated(one, self.generator)
        n_particles = self.n_particles or (16 if isinstance(one, Tensor) and min(one.shape[2:]) >= 64 else 10)
        self._check_budget(budget, n_particles, check_count(n, name="n"))
        if isinstance(immutable, str) or not hasattr(immutable, "__iter__"):
            raise InputError(f"`immutable` must be a list of columns, got {shown(immutable)}.")
        for name, limit in (("ranges", ranges), ("directions", directions)):
            if limit is not None and not isinstance(limit, Mapping):
                raise InputError(f"`{name}` must be a dictionary by column, got {shown(limit)}.")
        limits = Limits(immutable=tuple(immutable), ranges=ranges, directions=directions)
        space = self._space(one, mask, limits, rng)
        box = as_asked(model, budget, target)
        own = box(one)[0]
        wanted_class, measure = wanted_of(target, box, own)
        demand = self._demand(kind_of(one) == "table", measure)
        archive = Archive(
            box=box,
            target=wanted_class,
            source_class=int(own.argmax()),
            measure=measure,
            distance=space.distance,
            cost=space.cost,
            dissimilarity=space.dissimilarity,
            plausible=space.plausible if isinstance(space, LatentSpace) and space.is_table else None,
            watch=watch,
            budget=budget,
        )
        archive.ask(one)
        held = range_note(space, archive)  # before the search, which may spend all that is left
        found = seek(
            space,
            archive,
            Settings(n=n, budget=budget, n_particles=n_particles, confidence=demand),
            self._search,
            rng=rng,
        )
        return self._result(space, archive, found, one, mask=mask, clock=clock, n=n, demand=demand, notes=held)

    def attribute(
        self,
        model: Any,
        image: Any,
        target: int | str | Wanted | None = None,
        *,
        budget: int = 128,
        algorithm: str | None = None,
        fills: str | Sequence[str] | None = None,
        watch: Watcher | None = None,
    ) -> Attribution | WordAttribution:
        """Say which pixels of an image, or words of a text, speak for a class and which against it.

        Args:
            model: a `BlackBox`, or anything that it wraps.
            image: (channel, height, width), a PIL image, a file of one, or one text.
            target: class index or name; the class that the model gives it when None. Or a number: a `Label`, the
                name of an output, or a `Response`, a detector's score of one box, say.
            budget: queries allowed in all.
            algorithm: "freemcg" (needs a denoiser), or "patches", which needs no generator; None for the one that
                can. Of a text "masks".
            fills: what hidden pixels show, in turn: "mean" (the picture's colour), "blur", "noise", "inpainting"
                (what is seen around them). The first three when None. Of "patches" alone: a denoiser fills by itself.
            watch: called with a `Progress` as the work goes on.

        Raises:
            InputError: no image, or a budget too small to say anything.
            TargetError: no such class.
        """
        clock = Clock()
        check_callable(watch, name="watch", takes="a Progress")
        one = one_input(image, name="image")
        if isinstance(one, list):
            if fills is not None:
                raise InputError("`fills` must be left out for a text, whose words are left out.")
            return self._words(model, one[0], target, budget=budget, algorithm=algorithm, watch=watch)
        if not isinstance(one, Tensor):
            raise InputError(f"`image` must be an image or one text, got {type(image).__name__}.")
        check_count(budget, name="budget", minimum=32)
        rng = torch.Generator().manual_seed(self.seed)
        algorithm, reading = self._reading(algorithm, fills, one, rng)
        box = as_asked(model, budget, target)
        p = box(one)[0]
        explained, measure = explained_of(target, box, p)
        log = QueryLog(box=box, budget=budget, watch=watch)
        found = heat_map(one[0], log, explained_by(explained, measure), reading)
        told = {} if fills is None else {"fills": list(check_fills(fills))}
        return Attribution(
            image=one[0].cpu().numpy(),
            probabilities=p.numpy(),
            target=explained,
            class_names=box.class_names,
            heat_map=found.values.float().cpu().numpy(),
            error=found.error.float().cpu().numpy(),
            queries=box.queries,
            seconds=clock.seconds,
            method=algorithm,
            status=found.status(),
            model=name_of(box),
            generator=name_of(self.generator) if algorithm == "freemcg" else "none",
            seed=self.seed,
            options={"budget": budget, "algorithm": algorithm, **told},
            notes=(*getattr(box, "notes", ()), *(exact_map(box) if measure is None else ())),
            measured=None if measure is None else measure.about,
            value=None if measure is None else float(measure.values(p)),
        )

    def _edited(
        self,
        model: Any,
        source: Inputs,
        target: int | str | Wanted | None,
        *,
        n: int,
        budget: int | None,
        keep: Sequence[str],
        watch: Watcher | None,
        **limits: Any,
    ) -> Counterfactual:
        """Edit a text."""
        assert isinstance(self.generator, TextEdits)
        given = next((name for name, value in limits.items() if value is not None), None)
        if given is not None:
            raise InputError(f"`{given}` must be left out for texts. Name words that stay with immutable=[...].")
        if budget is None or check_count(budget, name="budget") < LEAST_BUDGET:
            raise InputError(f"`budget` must be at least {LEAST_BUDGET} for texts, got {budget}. Try 200.")
        box = as_asked(model, budget, target)
        text = check_words(source)
        own = box([text])[0]  # a model may name its classes with its first answer
        wanted_class, measure = wanted_of(target, box, own)
        confidence = _OF_TEXTS if self.confidence is None or _is_line(measure) else self.confidence
        demand = Demand(
            target=wanted_class,
            measure=measure,
            n=check_count(n, name="n"),
            budget=budget,
            confidence=confidence,
            keep=kept_places(text, keep) if keep else frozenset(),
            seed=self.seed,
        )
        options = {"confidence": confidence, "seed": self.seed, "budget": budget, "n": n}
        return edit_text(self.generator, box, text, demand, watch=watch, options=options)

    def _words(
        self,
        model: Any,
        text: str,
        target: int | str | Wanted | None,
        *,
        budget: int,
        algorithm: str | None,
        watch: Watcher | None,
    ) -> WordAttribution:
        """Say which words speak for a class."""
        check_choice("masks" if algorithm is None else algorithm, name="algorithm", choices=("masks",))
        check_count(budget, name="budget", minimum=32)
        box, words = as_asked(model, budget, target), check_words([text])
        explained, measure = explained_of(target, box, box([words])[0])
        return attribute_words(box, words, explained, measure=measure, budget=budget, seed=self.seed, watch=watch)

    def _reading(
        self, algorithm: str | None, fills: str | Sequence[str] | None, one: Tensor, rng: torch.Generator
    ) -> tuple[str, Reading]:
        """Return the algorithm's name, and what it asks."""
        can = isinstance(self.generator, Denoiser)
        algorithm = check_choice(
            ("freemcg" if can else "patches") if algorithm is None else algorithm,
            name="algorithm",
            choices=("freemcg", "patches"),
        )
        if algorithm == "patches":
            return algorithm, Masks(one[0], out_of_sight(one[0], check_fills(fills), rng=rng), rng=rng)
        if fills is not None:
            raise InputError(
                f"`fills` must be left out for algorithm='freemcg', got {shown(fills)}: its denoiser fills."
            )
        if not isinstance(self.generator, Denoiser):
            raise InputError(
                f"`generator` must be a denoiser for algorithm='freemcg', got {name_of(self.generator)}. "
                "algorithm='patches' needs none."
            )
        check_fits(self.generator, one)
        return algorithm, Changes(one[0], particles(one[0], self.generator, rng=rng), rng=rng)

    def _check_budget(self, budget: int | None, n_particles: int, n: int) -> None:
        least = n * n_particles + 2
        if budget is None and not self.can_ask_without_end:
            raise InputError("`budget` must be a number of queries, got None. Try 200.")
        if budget is not None and check_count(budget, name="budget") < least:
            raise InputError(
                f"`budget` must be at least {least} (the source, a check, and {n} generation{'s' if n > 1 else ''} of "
                f"{n_particles} particles), got {budget}."
            )

    def _space(self, source: Inputs, mask: Any, limits: Limits, rng: torch.Generator) -> Space:
        size = (source.shape[2], source.shape[3]) if isinstance(source, Tensor) else None
        if size is None and mask is not None:
            raise InputError("`mask` must be left out for tables and texts. Name columns with immutable=[...].")
        may_change = None if size is None else check_mask(mask, size)
        if size is not None and limits:
            raise InputError("`immutable`, `ranges` and `directions` are for tables. Use mask=... for an image.")
        if isinstance(self.generator, Denoiser) and isinstance(source, Tensor):
            return ImageSpace(
                self.generator, source[0], mask=may_change, noise=self.noise, as_published=self.as_published
            )
        assert isinstance(self.generator, LatentGenerator)
        return LatentSpace(self.generator, source, limits=limits, mask=may_change, rng=rng)

    def _demand(self, is_table: bool, measure: Measure | None) -> float:
        if _is_line(measure):
            return 0.5  # the line itself: how sure a model is that it is passed, it does not say
        return (_OF_ROWS if is_table else _OF_OTHERS) if self.confidence is None else self.confidence

    def _search(self, space: Space, archive: Archive, settings: Settings, rng: torch.Generator) -> Found:
        return one_after_the_other(space, archive, settings, rng)

    def _result(
        self,
        space: Space,
        archive: Archive,
        found: Found,
        source: Inputs,
        *,
        mask: Any,
        clock: Clock,
        n: int,
        demand: float,
        notes: tuple[str, ...] = (),
    ) -> Counterfactual:
        measured = None if archive.measure is None else archive.measure.about
        edits = edits_of(space, archive, source, confidence=demand, target_margin=found.target_margin, n=n)
        likeliest = edit_of(space, archive, int(archive.margins.argmax()), source)
        status = status_of(archive, reason=found.reason, error=found.error, n=n, confidence=demand)
        notes = (*(space.notes() if isinstance(space, LatentSpace) else ()), *notes)
        return Counterfactual(
            source=source,
            source_probabilities=archive.probabilities[0].numpy(),
            target=archive.target,
            class_names=archive.box.class_names,
            edits=edits,
            best=edits[0] if edits else likeliest,
            mean=None if found.mean_row is None else edit_of(space, archive, found.mean_row, source),
            mask=None if mask is None else np.asarray(mask, dtype=bool),
            path=path_of(archive),
            queries=archive.box.queries,
            seconds=clock.seconds,
            status=status,
            model=name_of(archive.box),
            generator=name_of(self.generator),
            rule=self.rule,
            seed=self.seed,
            options=self.options() | ({} if measured else {"confidence": demand}) | {"budget": archive.budget, "n": n},
            notes=(*getattr(archive.box, "notes", ()), *notes),
            curve=(
                curve_of(archive, space.by_column)
                if isinstance(space, LatentSpace) and space.is_table and not _is_line(archive.measure)
                else ()
            ),
            measured=measured,
            n_dependences=space.n_dependences if isinstance(space, LatentSpace) else 0,
        )


def _is_line(measure: Measure | None) -> bool:
    """Whether a number is to pass a line, of which no model says how sure it is."""
    return measure is not None and not measure.about.is_label
