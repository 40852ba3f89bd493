"""``likethat compare BANK_A BANK_B DATA``: what became of a model, and a gate that fails where it is too much."""

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from likethat.cli.console import current, give, notes, say, say_error, say_path
from likethat.cli.flags import command
from likethat.cli.group import FAILED_IF
from likethat.cli.opening import open_bank_with_model, open_images
from likethat.cli.options import DEVICE_HELP, MODEL_PANEL, WORK_PANEL, Reading
from likethat.cli.places import check_page
from likethat.cli.progress import progress_bar
from likethat.errors import InputError
from likethat.options import CompareOptions
from likethat.options.declaring import Declared, option

_SIGNS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_CONDITION = re.compile(r"\s*(\w+)\s*(>=|<=|>|<)\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One line of ``--fail-if``.

    Attributes:
        words: as given.
        name: of `Comparison.values`.
        sign: how it is compared.
        limit: with what.
    """

    words: str
    name: str
    sign: str
    limit: float

    @classmethod
    def of(cls, words: str) -> "Condition":
        """Read a line.

        Raises:
            InputError: it is none, or speaks of something else.

        Example:
            >>> Condition.of("flipped > 5 %").limit
            0.05
        """
        from likethat.explanations.comparison import VALUES

        found = _CONDITION.fullmatch(words)
        if found is None:
            raise InputError(
                f"`--fail-if` must be a name, one of > >= < <=, and a number, such as 'new_directions > 0' or "
                f"'flipped > 5 %', got {words[:60]!r}."
            )
        name, sign, number, percent = found.groups()
        if name not in VALUES:
            raise InputError(f"`--fail-if` must speak of one of {', '.join(VALUES)}, got {name[:40]!r}.")
        return cls(words=" ".join(words.split()), name=name, sign=sign, limit=float(number) / (100 if percent else 1))

    def holds(self, values: Any) -> bool:
        """Return whether it holds.

        Raises:
            InputError: nobody knows, as the pictures have no labels.
        """
        value = values[self.name]
        if math.isnan(value):
            raise InputError(
                f"`--fail-if` must speak of what is known, got {self.words!r}, and DATA has no labels of the models' "
                "classes. Name its folders after the classes, or leave the condition out."
            )
        return _SIGNS[self.sign](value, self.limit)


@dataclass(frozen=True, kw_only=True, eq=False)
class Models(Declared, panel=MODEL_PANEL):
    """How the models of both banks are read, where the banks' own memory of them does not do."""

    model_a: str | None = option(None, "of BANK_A, which remembers it", metavar="NAME")
    weights_a: str | None = option(None, "of BANK_A", metavar="NAME|FILE")
    layer_a: str | None = option(None, "of BANK_A", metavar="NAME")
    model_b: str | None = option(None, "of BANK_B, which remembers it", metavar="NAME")
    weights_b: str | None = option(None, "of BANK_B", metavar="NAME|FILE")
    layer_b: str | None = option(None, "of BANK_B", metavar="NAME")
    device: str = option("auto", DEVICE_HELP, metavar="NAME")


@dataclass(frozen=True, kw_only=True, eq=False)
class Compared(Reading, panel=WORK_PANEL):
    """How the pictures are read, and where the page goes."""

    out: Path = option(Path("compare.html"), "the page", flags=("--out", "-o"), metavar="FILE")
    carry_names: bool = option(False, "give BANK_B the names that people gave BANK_A's units, and save it")
    fail_if: list[str] | None = option(
        None,
        'end with exit code 3 where it holds, such as "new_directions > 0" or "flipped > 5 %"; may be repeated',
        metavar="LINE",
    )


@command(
    "likethat compare before after photos/ --out compare.html",
    'likethat compare released new photos/ --fail-if "new_directions > 0" --fail-if "accuracy_drop > 1 %" --json',
    "likethat compare before after photos/ --carry-names",
)
def compare(
    bank_a: Annotated[Path, typer.Argument(metavar="BANK_A", help="Bank of the model before.")],
    bank_b: Annotated[Path, typer.Argument(metavar="BANK_B", help="Bank of the model after, of the same method.")],
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A folder (subfolders are labels), shards, zoo:creatures, zoo:digits.")
    ],
    of: Models,
    options: Annotated[dict[str, Any], CompareOptions],
    work: Compared,
) -> None:
    """Say what became of a model: what is new, lost or stronger, and which predictions flipped by what.

    Both models see the same pictures, a thousand and more. As a gate in CI it ends with exit code 3 where a line of
    --fail-if holds: the page is written all the same, and --json gives all numbers.
    """
    from likethat.auditing import compare as beside
    from likethat.report.comparison import evidence_sentence, summary

    conditions = [Condition.of(line) for line in work.fail_if or []]
    check_page(work.out, overwrite=work.overwrite)
    source = open_images(data, name="DATA")
    before = open_bank_with_model(bank_a, model=of.model_a, weights=of.weights_a, layer=of.layer_a, device=of.device)
    after = open_bank_with_model(bank_b, model=of.model_b, weights=of.weights_b, layer=of.layer_b, device=of.device)
    notes.print(f"{len(source):,} images in {data}", markup=False, soft_wrap=True)
    with progress_bar() as watch:
        found = beside(before, after, source, **options, **work.of_images(), watch=watch)
    give(found, values={"fail_if": [one.words for one in conditions]})
    say(summary(found), style="bold")
    for one in found.clear:
        say(f"{one.side}: {evidence_sentence(found, one)}")
    for note in found.provenance.notes:
        say(f"note: {note}", style="yellow")
    found.save(work.out, overwrite=work.overwrite)
    say_path("page", work.out)
    _judge(conditions, found.values)
    if work.carry_names:
        for unit, name in found.names.items():
            after.rename(unit, name)
            say(f"unit {unit}: {name}")
        after.save(bank_b, overwrite=True)


def _judge(conditions: list[Condition], values: Any) -> None:
    """End the command where a condition holds."""
    failed = [one for one in conditions if one.holds(values)]
    give(values={"failed": [one.words for one in failed]})
    if not failed:
        return
    said = f"failed: {'; '.join(f'{one.words} ({one.name} is {values[one.name]:.4g})' for one in failed)}"
    say_error(said)
    current().fail("FailedIf", said, FAILED_IF)
    raise typer.Exit(FAILED_IF)
