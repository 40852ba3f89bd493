"""`likethat.compare`: two banks over the same pictures, and what became of the model."""

import re
from typing import Any

import torch

from likethat._calls import public
from likethat._progress import Clock, Watcher
from likethat._session import in_own_session
from likethat.auditing.comparing import Direction, Draft, Found, find
from likethat.auditing.flips import Moved, find_flips
from likethat.auditing.sides import Both, check_weights, class_order, side_of
from likethat.errors import InputError
from likethat.explanations import Bank, ImageStore
from likethat.explanations.comparison import ComparedPicture, ComparedUnit, Comparison, Evidence, Flip, FlipRow
from likethat.explanations.names import is_name
from likethat.fitting.fitting import Begun, begin, provenance_of
from likethat.fitting.prototypes import as_picture, look
from likethat.options import CompareOptions
from likethat.sources import as_source
from likethat.sources.base import ImageSource

_FEWEST = 20  # pictures: ten to learn from and ten to measure on
_ENOUGH = 2  # pictures a channel, below which little can be foretold of anything
_PROTOTYPES = 4  # shown of a unit that changed
_CARRIERS = 5  # units named beside a direction


@public
@in_own_session
def compare(
    bank_a: Bank,
    bank_b: Bank,
    data: Any,
    *,
    n_directions: int = 3,
    n_pictures: int = 6,
    n_units: int = 12,
    n_flips: int = 12,
    seed: int = 0,
    memory_budget: int | str = 2**28,
    batch_size: int = 32,
    workers: int | str = 0,
    watch: Watcher | None = None,
) -> Comparison:
    """Compare two models by their banks: before and after a training, a quantisation, a new month of data.

    Units are one where they respond alike over the pictures, one partner each, and more alike than units of arbitrary
    coordinates of the same features. A unit without a partner is new, or lost, only where the other model's features,
    all of them together, do not foretell it on pictures kept back: other coordinates of one network are no change. What
    tells a model's classes apart and is no evidence to the other is shown by direction, with the pictures that have
    most, and with how much of it the other model sees all the same.
    Predictions that flipped are taken apart exactly: contributions and biases add up to both logits.

    Args:
        bank_a: of the model before, with its model.
        bank_b: of the model after, of units of the same kind and classes of the same names.
        data: pictures, a thousand and more: a folder, arrays, tensors in [0, 1], a data set, or any `ImageSource`.
        n_directions: directions looked at of each model, at most.
        n_pictures: pictures shown that have most of a direction, and that have least.
        n_units: units of each state that changed whose prototypes are shown, at most.
        n_flips: predictions that flipped that are shown, at most.
        seed: of the halves, the null and the intervals; the same seed, the same comparison.
        memory_budget: bytes for pictures held, or a text such as "2GB"; others are read again where they are shown.
        batch_size: images decoded at a time; no influence on the result.
        workers: threads that decode, or ``"ray"`` (docs/guide/workers.md); no influence on the result.
        watch: called with a `Progress`.

    Raises:
        BankError: a bank was opened without its model.
        InputError: other classes, units of another kind, fewer than 20 pictures, or images that can be read only once.

    Example:
        >>> import likethat as lt
        >>> data = lt.digits(split="test")
        >>> bank = lt.EPIC(n_prototypes=2).fit(lt.load("zoo:digits"), data)
        >>> found = lt.compare(bank, bank, data)
        >>> found.values["flipped"], found.values["matched_units"] == len(found.units)
        (0.0, True)
    """
    clock = Clock()
    options = CompareOptions(
        n_directions=n_directions, n_pictures=n_pictures, n_units=n_units, n_flips=n_flips, seed=seed
    )
    about: dict[str, Any] = {"method": "compare", "options": options.options(), "seed": options.seed}
    reading: dict[str, Any] = {"memory_budget": memory_budget, "batch_size": batch_size, "workers": workers}
    order = _checked(bank_a, bank_b)
    source = as_source(data)
    if not isinstance(source, ImageSource):
        raise InputError(
            "`data` must be images that can be read twice, once for each model, got a stream. Give a folder, an array "
            "or a data set."
        )
    begun = [
        begin(bank.model, source, check=lambda model: model.require_classes("a comparison"), watch=watch, **about,
              **reading)
        for bank in ((bank_a,) if _are_one(bank_a, bank_b) else (bank_a, bank_b))
    ]  # fmt: skip
    both = _both(bank_a, bank_b, begun[0], begun[-1], order, seed=options.seed)
    found = find(both, n_directions=options.n_directions, seed=options.seed, watch=watch)
    flips, along = find_flips(both, found, n=options.n_flips)
    return _Written(both=both, begun=begun[-1], found=found, options=options, watch=watch).comparison(
        flips, along, notes=_notes(both, found), about=about, clock=clock
    )


def _checked(bank_a: Bank, bank_b: Bank) -> list[int]:
    """Return the order of the second bank's classes, or say why the two cannot be compared."""
    for bank, name in ((bank_a, "bank_a"), (bank_b, "bank_b")):
        if not isinstance(bank, Bank):
            raise InputError(f"`{name}` must be a bank, got {type(bank).__name__}. Fit one: likethat.EPIC().fit(...).")
        _ = bank.model  # says how to attach one
        check_weights(bank, name=name)
    kinds = [bank.provenance.unit for bank in (bank_a, bank_b)]
    if kinds[0] != kinds[1]:
        raise InputError(
            f"`bank_b` must hold {kinds[0]}s as `bank_a` does, got {kinds[1]}s. Fit both models by the same method."
        )
    return class_order(bank_a.class_names, bank_b.class_names)


def _are_one(bank_a: Bank, bank_b: Bank) -> bool:
    return bank_a.model.fingerprint == bank_b.model.fingerprint and bank_a.settings == bank_b.settings


def _both(bank_a: Bank, bank_b: Bank, first: Begun, second: Begun, order: list[int], *, seed: int) -> Both:
    indices = [begun.features.indices for begun in (first, second)]
    rows = [torch.isin(mine, other).nonzero()[:, 0] for mine, other in (indices, indices[::-1])]
    if len(rows[0]) < _FEWEST:
        raise InputError(
            f"`data` must be at least {_FEWEST} images that both models can read, got {len(rows[0])}. Give a thousand "
            "and more."
        )
    n_first = bank_a.head.weight.shape[1]
    place = torch.randperm(len(rows[0]), generator=torch.Generator().manual_seed(seed))
    return Both(
        a=side_of(bank_a, first.features, rows[0], order=range(len(order)), first=0),
        b=side_of(bank_b, second.features, rows[1], order=order, first=n_first),
        is_second=place % 2 == 1,
    )


def _notes(both: Both, found: Found) -> list[str]:
    """Return what a reader should know before trusting what was found, or not found."""
    n, notes = len(both), []
    n_channels = max(side.head.shape[1] for side in (both.a, both.b))
    if n < _ENOUGH * n_channels:
        notes.append(
            f"With {n:,} pictures of {n_channels:,} channels little can be foretold of either model, so little is "
            f"called new or lost. Give {_ENOUGH * n_channels:,} and more."
        )
    if not found.units:
        notes.append("No unit varies over these pictures, which are too alike to compare by. Give others.")
    if both.a.bank.provenance.fingerprint == both.b.bank.provenance.fingerprint:
        notes.append("Both banks are of one network: they may differ in their coordinates alone.")
    if not bool((both.b.features.labels >= 0).any()):
        notes.append("The pictures have no labels: nothing says which predictions are right.")
    return notes


class _Written:
    """A comparison as its record is made."""

    def __init__(
        self, *, both: Both, begun: Begun, found: Found, options: CompareOptions, watch: Watcher | None
    ) -> None:
        self.both, self.begun, self.found, self.options, self.watch = both, begun, found, options, watch
        self.images = ImageStore()
        self.shown: set[int] = set()  # numbers of pictures

    def comparison(
        self, flips: list[Moved], along: list[int], *, notes: list[str], about: dict[str, Any], clock: Clock
    ) -> Comparison:
        """Return the record."""
        both, found = self.both, self.found
        a, b = both.a, both.b
        labels = self._labels()
        known = labels >= 0
        right = [(labels == given)[known] for given in (found.before, found.after)]
        return Comparison(
            units=self._units(),
            directions=tuple(self._evidence(one, n) for one, n in zip(found.directions, along, strict=True)),
            flips=tuple(self._flip(one) for one in flips),
            n_flips=int((found.before != found.after).sum()),
            n_labelled=int(known.sum()),
            n_right=(int(right[0].sum()), int(right[1].sum())),
            n_broken=int((right[0] & ~right[1]).sum()),
            n_fixed=int((right[1] & ~right[0]).sum()),
            clear_from=found.pairs.clear_from,
            models=(a.bank.provenance.model, b.bank.provenance.model),
            fingerprints=(a.bank.provenance.fingerprint, b.bank.provenance.fingerprint),
            class_names=a.bank.class_names,
            images=self._pictures(),
            provenance=provenance_of(
                self.begun.model, self.begun.features, seconds=clock.seconds, measures={}, notes=notes,
                unit=b.bank.provenance.unit, **about,
            ),
        )  # fmt: skip

    def _labels(self) -> torch.Tensor:
        """Return the pictures' labels in the order of the first bank's classes; -1 where there is none."""
        return self.both.a.features.labels[self.both.a.rows]

    def _units(self) -> tuple[ComparedUnit, ...]:
        seen: dict[str, int] = {}
        found = []
        for one in self.found.units:
            seen[one.state] = seen.get(one.state, 0) + 1
            is_shown = one.state not in ("matched", "shared") and seen[one.state] <= self.options.n_units
            found.append(self._unit(one, is_shown=is_shown))
        return tuple(found)

    def _unit(self, one: Draft, *, is_shown: bool) -> ComparedUnit:
        a, b = self.both.a.bank, self.both.b.bank
        bank, unit, side = (a, one.a, "a") if one.b is None else (b, one.b, "b")
        prototypes = bank.prototypes_of(unit)[:_PROTOTYPES] if is_shown and unit is not None else ()
        for item in prototypes:
            self.images.add(_key(side, item.image), bank.images[item.image])
        return ComparedUnit(
            state=one.state,
            a=one.a,
            b=one.b,
            name_a="" if one.a is None else a.unit_names[one.a],
            name_b="" if one.b is None else b.unit_names[one.b],
            **{name: value for name, value in one.values.items() if name != "order"},
            n_flips=one.n_flips,
            carried=self._carried(one),
            prototypes=tuple(_key(side, item.image) for item in prototypes),
        )

    def _carried(self, one: Draft) -> str:
        a, b = self.both.a.bank, self.both.b.bank
        if one.a is None or one.b is None or one.b in b.named:
            return ""
        name = a.named.get(one.a, "")
        return name if name and is_name(name, one.b, b.coordinates.unit_names) else ""

    def _evidence(self, one: Direction, n_flips: int) -> Evidence:
        order = one.readings.argsort(descending=True, stable=True)
        carriers = one.carries.argsort(descending=True, stable=True)[:_CARRIERS].tolist()
        n = min(self.options.n_pictures, len(order) // 2)
        return Evidence(
            side="new" if one.side == "new" else "lost",
            reader=one.reader.float().numpy(),
            speaks_for=one.speaks_for.float().numpy(),
            share=one.share,
            interval=one.interval,
            foretold=one.foretold,
            n_flips=n_flips,
            units=tuple(carriers),
            carries=tuple(one.carries[carriers].tolist()),
            most=tuple(self._picture(number) for number in order[:n].tolist()),
            least=tuple(self._picture(number) for number in order.flip(0)[:n].tolist()),
        )

    def _flip(self, one: Moved) -> Flip:
        return Flip(
            picture=self._picture(one.picture),
            before=one.margins[0],
            after=one.margins[1],
            rows=tuple(FlipRow(unit=place, before=before, after=after) for place, before, after in one.units),
            others=one.others,
            shared=one.shared,
            bias=one.bias,
            along=tuple(one.along),
        )

    def _picture(self, number: int) -> ComparedPicture:
        self.shown.add(number)
        row, features = int(self.both.b.rows[number]), self.both.b.features
        label = int(self._labels()[number])
        return ComparedPicture(
            image=_key("data", f"{int(features.indices[row]):07d}"),
            source=features.names[row],
            index=int(features.indices[row]),
            label=label if label >= 0 else None,
            before=int(self.found.before[number]),
            after=int(self.found.after[number]),
        )

    def _pictures(self) -> ImageStore:
        rows = sorted(int(self.both.b.rows[number]) for number in self.shown)
        for seen in look(self.begun.model, self.begun.source, self.begun.features, rows, watch=self.watch):
            index = int(self.begun.features.indices[seen.row])
            self.images.add(_key("data", f"{index:07d}"), as_picture(seen.view))
        return self.images


def _key(kind: str, name: str) -> str:
    """Return the key of a picture here; those of two banks may be called alike."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", f"{kind}-{name}")[:100]
