"""Write results, generators, checkpoints, pages and the demo where something of the user's stands.

    python benchmarks/foreign.py             every writer at every place, with overwrite and without
    python benchmarks/foreign.py --write     also to benchmarks/results/foreign.md, when all writers were tried
    python benchmarks/foreign.py --minutes 14    a piece of it; again, until no writer is left

A user's file counts as touched when it is gone, or its content, time, rights or identity is another. A file that
stands at the very name that was given may be replaced with overwrite, and only then. Exit code 1 where anything was
touched, or a writer ended in anything but a result or a sentence. `tests/test_foreign.py` runs some of the writers.
"""

import argparse
import contextlib
import functools
import os
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _torchvision  # noqa: F401 - before anything imports torchvision
import torch
from _foreign_places import PLACES, Built, Place, changed, snapshot
from _measure import markdown, write_results
from _pieces import Pieces, take_minutes
from typer.testing import CliRunner

import likethat as lt
from likethat.cli.main import app
from likethat.errors import LikethatError
from likethat.report import save_bank, save_classes, save_gallery

KEPT = Path(__file__).parents[1] / "tests" / "kept" / "schema-1"
RECORDS = {
    "bank": "epic",
    "explanation": "explanation",
    "attribution": "attribution",
    "counterfactual": "counterfactual-table",
    "exemplars": "exemplars-table",
}


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Something that writes.

    Attributes:
        name: for the table.
        end: of the target's name: what kind of file, or a folder.
        write: to a target, with overwrite or without.
    """

    name: str
    end: str
    write: Callable[[Path, bool], object]


class RefusedError(LikethatError):
    """A command said so."""


@functools.cache
def kept(name: str) -> Any:
    """Return a result that an earlier version saved."""
    return lt.open(KEPT / RECORDS.get(name, name))


@functools.cache
def images() -> torch.Tensor:
    """Return small images, the same ones always."""
    return torch.rand(24, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float32)


@functools.cache
def model() -> lt.SplitModel:
    """Return a small network of three classes."""
    layers = [torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    return lt.split(torch.nn.Sequential(*layers, torch.nn.Linear(6, 3)).eval(), example=images()[:4])


@functools.cache
def generator() -> Any:
    """Return a generator that an earlier version saved."""
    return lt.load_generator(KEPT / "table-generator")


def texts() -> list[str]:
    """Return a few texts."""
    return [f"a text of number {place}" for place in range(20)]


def command(*words: object, overwrite: bool = False) -> None:
    """Run a command as one types it."""
    told = [str(word) for word in (*words, *(["--overwrite"] if overwrite else []))]
    done = CliRunner().invoke(app, told)
    if done.exit_code == 2:
        raise RefusedError(done.output)
    if done.exit_code:
        raise RuntimeError(f"exit code {done.exit_code}: {done.exception!r} {done.output[-300:]}")


def _saved(name: str) -> Callable[[Path, bool], object]:
    return lambda path, overwrite: kept(name).save(path, overwrite=overwrite)


def _fit(path: Path, overwrite: bool) -> None:
    """Fit into a checkpoint; a second time it goes on from what lies there."""
    lt.EPIC(2).fit(model(), images(), checkpoint=path, resume=overwrite)


def _train(path: Path, overwrite: bool) -> None:
    lt.train_generator(texts(), kind="text", epochs=1, checkpoint=path, resume=overwrite)


def _demo(path: Path, _: bool) -> None:
    from likethat.cli import demo

    def made(folder: Path, **_: Any) -> list[Any]:  # fits take minutes; what is looked at is where they go
        for name in ("report.html", "creatures-bank.html", "digits-bank.html"):
            (folder / name).write_text("<p>a demo")
        return []

    before, demo._made = demo._made, made  # type: ignore[assignment]
    try:
        command("demo", "--quick", "--out", path)
    finally:
        demo._made = before


@functools.cache
def _text_file() -> Path:
    path = Path(tempfile.mkdtemp()) / "texts.txt"
    path.write_text("\n".join(texts()))
    return path


def _command_train(path: Path, overwrite: bool) -> None:
    command("train-generator", "text", _text_file(), "--epochs", 1, "--out", path, overwrite=overwrite)


def _command_show(path: Path, overwrite: bool) -> None:
    command("show", KEPT / "epic", "--out", path, overwrite=overwrite)


def _command_attribute(path: Path, overwrite: bool) -> None:
    command("attribute", "-m", "zoo:digits", "-i", "zoo:digits:5", "--budget", 32, "--out", path, overwrite=overwrite)


WRITERS = (
    *(Writer(name=f"{name}.save", end="", write=_saved(name)) for name in RECORDS),
    *(
        Writer(name=f"{name}.save {end}", end=end, write=_saved(name))
        for name in RECORDS
        for end in (".html", ".json", ".csv")
    ),
    *(Writer(name=f"attribution.save {end}", end=end, write=_saved("attribution")) for end in (".png", ".svg", ".pdf")),
    Writer(name="bank.save .coco.json", end=".coco.json", write=_saved("bank")),
    Writer(name="save_bank", end=".html", write=lambda path, flag: save_bank(kept("bank"), path, overwrite=flag)),
    Writer(
        name="save_classes", end=".html", write=lambda path, flag: save_classes(kept("parts"), path, overwrite=flag)
    ),
    Writer(
        name="save_gallery",
        end=".html",
        write=lambda path, flag: save_gallery([kept("explanation")], path, overwrite=flag),
    ),
    Writer(name="generator.save", end="", write=lambda path, flag: generator().save(path, overwrite=flag)),
    Writer(
        name="generator.save, one file",
        end=".safetensors",
        write=lambda path, flag: generator().save(path, overwrite=flag),
    ),
    Writer(name="checkpoint of a fit", end="", write=_fit),
    Writer(name="checkpoint of a training", end="", write=_train),
    Writer(name="likethat demo", end="", write=_demo),
    Writer(name="likethat train-generator", end="", write=_command_train),
    Writer(name="likethat show", end=".html", write=_command_show),
    Writer(name="likethat attribute", end=".html", write=_command_attribute),
)


def attempt(writer: Writer, place: Place, *, overwrite: bool) -> tuple[str, list[str]]:
    """Write once and return how that ended and what of the user's was touched."""
    here, root = Path.cwd(), Path(tempfile.mkdtemp())
    try:
        (root / "world").mkdir()
        built = place.build(root / "world", writer.end)
        before = snapshot(root)
        ended = _ended(writer, built, overwrite=overwrite)
        asked = {built.target, Path(os.path.realpath(built.target))} if overwrite and writer.end else set()
        return ended, changed(before, snapshot(root), Built(target=built.target, ours=built.ours | asked))
    finally:
        os.chdir(here)
        for path in (root / "world", *(root / "world").rglob("*")):
            with contextlib.suppress(OSError):
                path.chmod(0o777) if path.is_dir() and not path.is_symlink() else None
        shutil.rmtree(root, ignore_errors=True)


def _ended(writer: Writer, built: Built, *, overwrite: bool) -> str:
    try:
        writer.write(built.target, overwrite)
    except LikethatError:
        return "refused"
    except Exception as error:  # a bare one: what this counts
        return f"{type(error).__name__}: {str(error)[:200]}"
    return "written"


def tried(writer: Writer) -> dict[str, Any]:
    """Return how often a writer ended how, and sentences on what is wrong."""
    counted: Counter[str] = Counter()
    wrong = []
    for place in PLACES:
        for overwrite in (False, True):
            ended, touched = attempt(writer, place, overwrite=overwrite)
            counted[ended if ended in ("written", "refused") else "wrong"] += 1
            counted["touched"] += bool(touched)
            if touched or ended not in ("written", "refused"):
                wrong.append(f"- {writer.name}, {place.name}, {overwrite=}: {ended}; {', '.join(touched)}")
    return {"row": {"writer": writer.name, **{name: counted[name] for name in COLUMNS}}, "wrong": wrong}


def main() -> int:
    """Try all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="writers whose name holds this")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/foreign.md")
    take_minutes(parser)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    chosen = [writer for writer in WRITERS if not options.only or options.only in writer.name]
    pieces = Pieces.of("foreign", minutes=options.minutes)
    found = pieces.read()
    for writer in chosen:
        if writer.name not in found and not pieces.is_over:
            found[writer.name] = tried(writer)
            pieces.add(writer.name, found[writer.name])
            print(found[writer.name]["row"], flush=True)
    done = [found[writer.name] for writer in chosen if writer.name in found]
    rows, wrong = [one["row"] for one in done], [said for one in done for said in one["wrong"]]
    rows.append({"writer": "all", **{name: sum(row[name] for row in rows) for name in COLUMNS}})
    print(f"{len(PLACES)} places", markdown(rows), *wrong, sep="\n")
    if len(done) < len(chosen):
        print(f"{len(chosen) - len(done)} writers are left: the same command goes on.")
    elif options.write and not options.only:
        _write(rows)
    return 1 if wrong else 0


def _write(rows: list[dict[str, Any]]) -> None:
    said = f"{len(PLACES)} places, each with overwrite and without: {', '.join(place.name for place in PLACES)}.\n"
    write_results(
        Path(__file__).parent / "results" / "foreign.md",
        title="Places where something of the user's stands",
        command="python benchmarks/foreign.py --write",
        sections=[("Writers", rows), ("Places", said)],
    )


COLUMNS = ("written", "refused", "wrong", "touched")

if __name__ == "__main__":
    sys.exit(main())
