"""What is known of how real a generator's inputs are: a record, kept in its card."""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from likethat._checks import require
from likethat._documents import Damaged, typed
from likethat._inputs import Kind

if TYPE_CHECKING:
    import pandas as pd

MEASURES: Mapping[str, str] = {
    "auc": "how well a classifier tells them from real ones it has not seen: area under the ROC curve, .5 for not at "
    "all, 1 for always",
    "columns": "how far each column's distribution is from the real one, on the mean: 0 for the same, 1 for nothing in "
    "common",
    "pairs": "how far the rank correlations of two columns are from the real ones, on the mean: 0 for the same",
    "features": "how far the distribution of each simple feature is from the real one, on the mean: 0 for the same, 1 "
    "for nothing in common",
    "copies": "share that equals something learned from; of images: that is less than a third as far from one as from "
    "the nearest fifty on the mean",
    "nearest": "distance to the nearest of what was learned from, at the median",
    "pixels off": "mean difference of a pixel, in [0, 1], between a real image and the one made of its latent: of "
    "images kept back, then of images learned from",
    "words kept": "share of the words of a real text that are in the one made of its latent: of texts kept back, then "
    "of texts learned from",
    "broken": "share in which a dependence between columns, found in the data, does not hold",
}
"""What each measure of the whole means."""

NOUNS: Mapping[Kind, str] = {"table": "rows", "text": "texts", "image": "images"}
"""What inputs of a kind are called."""

SURE = 1.96  # standard errors to each side that hold the truth nineteen times in twenty


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One measure of what a generator makes, beside the same of real inputs.

    Attributes:
        what: "whole", or of which part it is: "column", "pair", "dependence", "feature".
        name: of the measure (`MEASURES`), or of the part.
        made: of made inputs against real ones that were kept back; None where there are too few to tell. Of what comes
            back of a latent ("pixels off", "words kept"): of real inputs that were kept back.
        real: of real inputs that were kept back against as many others: what no generator can do better. Of what comes
            back of a latent: of real inputs that were learned from.
        made_error: standard error of `made`; None where it is not known.
        real_error: of `real`.
    """

    what: str
    name: str
    made: float | None
    real: float | None
    made_error: float | None = None
    real_error: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Quality:
    """How real what a generator makes is, measured on real inputs that it never learned from.

    Attributes:
        kind: of the inputs.
        n_kept_back: real inputs that nothing was learned from.
        n: real inputs in all.
        folds: 1 where one part was kept back; else as many generators were trained with the same options, each without
            one part, and measured on it: the figures are their means, and the generator itself learned from all.
        compared: the measures, those of the whole first.
        notes: how they were made, in sentences.
        why: where nothing was measured, why not; else "".
    """

    kind: Kind
    n_kept_back: int = 0
    n: int = 0
    folds: int = 1
    compared: tuple[Compared, ...] = ()
    notes: tuple[str, ...] = ()
    why: str = ""

    @property
    def is_measured(self) -> bool:
        """Whether there is anything to read."""
        return bool(self.compared)

    def __getitem__(self, name: str) -> Compared:
        """Return a measure of the whole, by its name in `MEASURES`.

        Raises:
            KeyError: it was not measured.
        """
        return next((one for one in self.compared if (one.what, one.name) == ("whole", name)), None) or _absent(name)

    def of(self, what: str) -> tuple[Compared, ...]:
        """Return the measures of all parts of a sort, such as "column"."""
        return tuple(one for one in self.compared if one.what == what)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they stand in the card."""
        return asdict(self) | {"compared": [asdict(one) for one in self.compared], "notes": list(self.notes)}

    def to_frame(self) -> "pd.DataFrame":
        """Return a table of one row a measure (needs ``likethat[tables]``).

        Raises:
            MissingExtraError: pandas is not installed.
        """
        pandas: Any = require("pandas", purpose="a result as a table")
        names = list(Compared.__dataclass_fields__)
        frame: pd.DataFrame = pandas.DataFrame([asdict(one) for one in self.compared], columns=names)
        return frame

    def lines(self) -> list[tuple[str, str, str, str]]:
        """Return the measures of the whole in words: name, made, real, meaning."""
        return [
            (one.name, _spoken(one.made, one.made_error), _spoken(one.real, one.real_error), MEASURES.get(one.name, ""))
            for one in self.of("whole")
        ]

    def furthest(self, what: str, n: int = 5) -> tuple[Compared, ...]:
        """Return the parts of a sort that are further from the real ones than real ones are, the furthest first."""
        known = [one for one in self.of(what) if one.made is not None]
        return tuple(sorted(known, key=lambda one: (one.real or 0.0) - (one.made or 0.0))[:n])

    def __repr__(self) -> str:
        if not self.is_measured:
            return f"Quality({self.kind}: not measured: {self.why})"
        said = ", ".join(f"{name} {made} (real {real})" for name, made, real, _ in self.lines())
        return f"Quality({self.kind}: {said}; on {self.kept_back_in_words()})"

    def kept_back_in_words(self) -> str:
        """Return which real inputs it was measured on.

        Example:
            >>> Quality(kind="table", n_kept_back=100, n=1000).kept_back_in_words()
            '100 of 1,000 rows that nothing was learned from'
        """
        noun = NOUNS[self.kind]
        if self.folds == 1:
            return f"{self.n_kept_back:,} of {self.n:,} {noun} that nothing was learned from"
        return f"all {self.n:,} {noun}, each with the one of {self.folds} generators that did not learn from it"

    def _repr_html_(self) -> str:
        if not self.is_measured:
            return f"<p>{html.escape(repr(self))}</p>"
        rows = [(f"<b>{html.escape(name)}</b>", made, real, about) for name, made, real, about in self.lines()]
        for what in dict.fromkeys(one.what for one in self.compared if one.what != "whole"):
            rows += [
                (f"{html.escape(what)} {html.escape(one.name)}", _spoken(one.made, None), _spoken(one.real, None), "")
                for one in self.furthest(what)
            ]
        cells = "".join(
            f"<tr><td>{name}</td><td>{made}</td><td>{real}</td><td>{html.escape(about)}</td></tr>"
            for name, made, real, about in rows
        )
        head = "<tr><th></th><th>made</th><th>real</th><th></th></tr>"
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        on = f"<p>Measured on {html.escape(self.kept_back_in_words())}.</p>"
        return f"{on}<table>{head}{cells}</table>{notes}"


def unmeasured(kind: Kind, why: str) -> Quality:
    """Return the record of a generator that nobody has measured."""
    return Quality(kind=kind, why=why)


def quality_from(card: Mapping[str, Any], kind: Kind) -> Quality:
    """Return what a card says of a generator's quality; cards of earlier versions say nothing."""
    try:
        return typed(card["quality"], Quality)
    except KeyError:
        why = "it was trained by an earlier version, or without measuring: train it again to know"
    except Damaged as error:
        why = f"what its card says of it {error}"
    return unmeasured(kind, why)


def averaged(parts: Sequence[Iterable[Compared]]) -> tuple[Compared, ...]:
    """Return the measures of several folds as their means; errors are those of a mean of independent figures."""
    found: dict[tuple[str, str], list[Compared]] = {}
    for part in parts:
        for one in part:
            found.setdefault((one.what, one.name), []).append(one)
    return tuple(
        replace(
            ones[0],
            made=_mean([one.made for one in ones]),
            real=_mean([one.real for one in ones]),
            made_error=_mean_error([one.made_error for one in ones]),
            real_error=_mean_error([one.real_error for one in ones]),
        )
        for ones in found.values()
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _mean_error(errors: Sequence[float | None]) -> float | None:
    known = [error for error in errors if error is not None]
    return math.hypot(*known) / len(known) if len(known) == len(errors) else None


def _spoken(value: float | None, error: float | None) -> str:
    """Return a figure as people read it, with what holds the truth nineteen times in twenty."""
    if value is None:
        return "too few to tell"
    return f"{value:.3f}" + (f" ± {SURE * error:.3f}" if error is not None else "")


def _absent(name: str) -> Compared:
    raise KeyError(f"{name} was not measured")
