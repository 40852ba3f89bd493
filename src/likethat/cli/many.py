"""``likethat explain ... --out FOLDER``: many inputs, results one by one in a folder that goes on where it stopped."""

from pathlib import Path
from typing import Any

from likethat.cli._generating import open_generator
from likethat.cli.console import duration, give, notes, say, say_path
from likethat.cli.group import Stopped
from likethat.cli.opening import open_bank_with_model
from likethat.cli.options import class_index_or_name
from likethat.cli.progress import Estimate, progress_bar
from likethat.cli.without_bank import AtHand, data_at_hand, model_named

_SHOWN = 5  # failures in a terminal; the page has all


def explain_into(
    name: str, inputs: list[Path], *, out: Path, target: str | None, of: dict[str, Any], told: AtHand, top: int
) -> None:
    """Explain every picture of a folder, row of a table or line of a .txt into a folder with an index.

    Raises:
        InputError: no such model or inputs, or the folder holds something else.
        Stopped: by Ctrl-C or SIGTERM; the same words go on.
    """
    if Path(name).is_dir():
        told.check_no_bank()
        model: Any = open_bank_with_model(Path(name), **of)
        wanted: Any = class_index_or_name(target, tuple(model.class_names))
    else:
        model, _, wanted = model_named(name, of, target)
    made = None if told.generator is None else open_generator(told.generator)
    asked: dict[str, Any] = {"budget": told.budget, "seed": told.seed, "top": top, "workers": told.workers}
    given = inputs[0] if len(inputs) == 1 else [str(one) for one in inputs]
    into_folder(model, given, wanted, out=out, data=data_at_hand(told.data), generator=made, **asked)


def into_folder(model: Any, inputs: Any, target: Any, *, out: Path, workers: str, **call: Any) -> None:
    """Explain many inputs into a folder, and say how it went.

    Args:
        model: as `likethat.explain_all` takes it; `inputs`, `target` and `call` too.
        inputs: a path, or several.
        target: what is explained or wanted.
        out: the folder.
        workers: as ``--workers`` names them.
        **call: the rest.

    Raises:
        InputError: no such inputs, or the folder holds something else.
        Stopped: by Ctrl-C or SIGTERM; the same words go on.
    """
    from likethat._workers import as_cluster  # late: it brings torch
    from likethat.explainers import explain_all

    cluster = as_cluster(workers, name="--workers")
    estimate = Estimate(stage="explaining", sentence=lambda seconds, _: f"about {duration(seconds)} for the others")
    with progress_bar(estimate) as watch:
        found = explain_all(model, inputs, target, into=out, workers=cluster, watch=watch, **call)
    give(found)
    failures = list(found.failures.items())
    done = sum(bool(row.kind) for row in found.rows)
    asked = getattr(model, "queries", 0)  # of all searches: what several of them ask is asked once
    say(f"{done:,} of {len(found):,} inputs explained{f', {asked:,} queries in all' if asked else ''}", style="bold")
    for which, why in failures[:_SHOWN]:
        say(f"{which}: {why}", style="yellow")
    if len(failures) > _SHOWN:
        notes.print(f"… and {len(failures) - _SHOWN:,} more that failed; the page lists them", soft_wrap=True)
    say_path("page", out / "index.html")
    if found.is_interrupted:
        raise Stopped(again=())
