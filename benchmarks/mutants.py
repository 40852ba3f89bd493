"""Break lines on purpose, one at a time, and see whether the tests of their room notice.

Everything is loaded once; a line is broken in a forked process of its own, and the files stay as they are. A first run
of the tests notes which lines each of them reaches (kept under out/mutants until a file changes). A broken line meets
only the tests that reach it: those of the file that bears its module's name first, then those of its own room, then the
neighbours', the quickest first, until one fails or a minute of them has passed. What the others would have noticed
counts as survived: the share that is printed is a lower bound. With ``--near`` it meets the first of these alone.

What may be broken is listed in `_mutation.py`, with what is left out and why. A change that alters nothing anybody
could see stands in `mutants_alike.json` with its reason; such changes are counted apart.

What became of each line is kept under out/mutants as soon as it is known: the same command goes on where it stopped,
also by ``--minutes``, as long as no Python file of the repository changes.

    python benchmarks/mutants.py                                   # 200 lines of five rooms
    python benchmarks/mutants.py --only explainers fitting --n 100 --seed 1
    python benchmarks/mutants.py --only explainers/prodg --n 60    # a package meets the tests that bear its name
    python benchmarks/mutants.py --near --minutes 14               # a piece; again, until nothing is left
"""

import argparse
import importlib
import json
import os
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import pytest
from _mutation import PACKAGE, ROOT, Mutant, mutants_of
from _pieces import Pieces, digest_of, take_minutes
from _reach import OUT_OF_TIME, Reach, failure_of, forked, n_functions, put_in, reaches_of
from scipy.stats import binomtest

ROOMS = {
    "functional": ("functional", "coordinates", "search"),
    "coordinates": ("coordinates", "fitting"),
    "search": ("search",),
    "fitting": ("fitting", "explainers/test_epic*.py", "explainers/test_parts*.py"),
    "explainers": ("explainers", "fitting"),
    "auditing": ("auditing",),
}
"""Whose tests are to notice what is broken in a room: its own, and those of the rooms that use it most."""
DRAWN = ["functional", "coordinates", "search", "fitting", "explainers"]  # where the methods are
ALIKE = ROOT / "benchmarks" / "mutants_alike.json"
KEPT = ROOT / "out" / "mutants"
SLACK = 60  # seconds beyond three times what the tests took before: loading them


@dataclass(frozen=True)
class Verdict:
    """What became of one change: `by` names the test that noticed it, `alike` says why none could."""

    mutant: Mutant
    by: str | None
    alike: str | None

    @property
    def word(self) -> str:
        """Return caught, alike or survived."""
        return "caught" if self.by else "alike" if self.alike else "survived"


def reaching(mutant: Mutant, known: dict[str, Reach]) -> list[str]:
    """Return the tests that run a statement (or its module, where it runs at loading): own room first, then quick."""
    name, own = mutant.path.as_posix(), f"tests/{mutant.path.parts[0]}/"
    found = [
        test
        for test, reach in known.items()
        if (lines := reach.lines.get(name)) and (not mutant.span or any(line in mutant.span for line in lines))
    ]
    return sorted(found, key=lambda test: (not test.startswith(own), known[test].seconds))


def within(order: list[str], known: dict[str, Reach], most: float) -> list[str]:
    """Return the leading tests that together take so many seconds, at least one."""
    sums = accumulate(known[test].seconds for test in order)
    return [test for place, (test, total) in enumerate(zip(order, sums, strict=True)) if not place or total <= most]


def verdict(mutant: Mutant, run: "Run") -> Verdict:
    """Break a line in a process of its own and run the tests there: those of its module's name, then the others."""
    named = f"test_{'_'.join(mutant.path.with_suffix('').parts[1:])}"
    near = [path for path in run.files if path.stem == named or path.stem.startswith(f"{named}_")]
    by = noticed(mutant, run, near, run.examples.get(mutant.path.as_posix(), []))
    if not (by or run.is_near):
        by = noticed(mutant, run, [path for path in run.files if path not in near], [])
    return Verdict(mutant, by, None if by else run.alike.get(mutant.key))


def noticed(mutant: Mutant, run: "Run", paths: list[Path], examples: list[pytest.Item]) -> str | None:
    """Return which of the tests in some files, or which example, notices a broken line."""
    known = run.known_of(paths)
    order = within(reaching(mutant, known), known, run.most)
    items = [*examples, *(run.items[name] for name in order)]

    def work() -> str | None:
        try:
            put_in(mutant.path, mutant.text, at_load=not mutant.span)
        except Exception as error:
            return f"{type(error).__name__} when it is loaded"
        return failure_of(items)

    seconds = SLACK + round(3 * sum(known[test].seconds for test in order))
    code, by = forked(work, seconds=seconds) if items else (0, None)
    if code:
        by = f"no end within {seconds} s of the processor" if code in OUT_OF_TIME else f"the process ends with {code}"
    return by


def drawn_from(*, places: list[str], n: int, seed: int) -> list[Mutant]:
    """Draw changes, all as likely, of all modules of some rooms or packages."""
    paths = [path for place in places for path in sorted((PACKAGE / place).rglob("*.py")) if path.name != "__init__.py"]
    every = [mutant for path in paths for mutant in mutants_of(path)]
    return random.Random(seed).sample(every, min(n, len(every)))


@dataclass
class Run:
    """A plugin of pytest that has the tests collected, and runs them on broken lines."""

    drawn: list[Mutant]
    most: float
    alike: dict[tuple[str, ...], str]
    pieces: Pieces
    is_near: bool = False
    verdicts: list[Verdict] = field(default_factory=list)
    items: dict[str, pytest.Item] = field(default_factory=dict)
    examples: dict[str, list[pytest.Item]] = field(default_factory=lambda: defaultdict(list))
    files: dict[Path, list[pytest.Item]] = field(default_factory=lambda: defaultdict(list))
    known: dict[Path, dict[str, Reach]] = field(default_factory=dict)

    def known_of(self, paths: list[Path]) -> dict[str, Reach]:
        """Return what each test of some files reaches; a file that no line has met yet is run first."""
        for path in paths:
            if path not in self.known:
                self.known[path] = known_reaches(path, self.files[path])
        return {name: reach for path in paths for name, reach in self.known[path].items()}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Take the place of the loop that runs every test once."""
        if session.testsfailed:  # what they would notice would count as survived
            raise pytest.UsageError("Some tests cannot be loaded: run them as they are first.")
        for item in session.items:
            if item.path.is_relative_to(PACKAGE):
                self.examples[item.path.relative_to(PACKAGE).as_posix()].append(item)
            else:
                self.files[item.path].append(item)
                self.items[item.nodeid] = item
        before = self.pieces.read()
        for path in sorted({mutant.path for place, mutant in enumerate(self.drawn) if str(place) not in before}):
            importlib.import_module(".".join(["likethat", *path.with_suffix("").parts]))
            text = (PACKAGE / path).read_text(encoding="utf-8")
            found = forked(lambda path=path, text=text: put_in(path, text, at_load=True), seconds=SLACK)
            if found != (0, n_functions(path)):
                say(f"{path}: of {n_functions(path)} functions (status, changed) = {found}.")
        say("| | line | as it stood | broken | noticed by |\n|---|---|---|---|---|")
        for place, mutant in enumerate(self.drawn):
            kept = before.get(str(place))
            if kept is None and self.pieces.is_over:
                continue
            one = verdict(mutant, self) if kept is None else Verdict(mutant, **kept)
            if kept is None:
                self.pieces.add(str(place), {"by": one.by, "alike": one.alike})
            self.verdicts.append(one)
            say(row(one))
        return True


def say(text: str) -> None:
    """Print past pytest, which holds the usual output."""
    print(text, file=sys.__stdout__, flush=True)


def known_reaches(path: Path, items: list[pytest.Item]) -> dict[str, Reach]:
    """Return what each test of a file reaches; kept until the tests or a module that they reach changes."""
    state = digest_of([path, *sorted((ROOT / "tests").glob("*.py"))])
    kept = KEPT / f"{path.stem}-{state}.json"
    found = json.loads(kept.read_text()) if kept.exists() else {"modules": {}, "tests": {}}
    names = {item.nodeid for item in items}  # may hold an address, which is another in each run
    if names != found["tests"].keys() or found["modules"] != digests_of(found["modules"]):
        code, reaches = forked(lambda: reaches_of(items), seconds=3600)
        if code:
            say(f"{path.relative_to(ROOT)} is left out: it fails before anything is broken.")
            return {}
        KEPT.mkdir(parents=True, exist_ok=True)
        modules = sorted({name for one in reaches.values() for name in one["lines"]})
        found = {"modules": digests_of(modules), "tests": reaches}
        kept.write_text(json.dumps(found))
    return {name: Reach(**entry) for name, entry in found["tests"].items()}


def digests_of(modules: Iterable[str]) -> dict[str, str]:
    """Return the digest of each module of the package, empty where it is gone."""
    return {name: digest_of([PACKAGE / name]) if (PACKAGE / name).exists() else "" for name in modules}


def packages() -> list[str]:
    """Return what `--only` takes: the rooms, and the packages in them."""
    inner = [one.parent for room in ROOMS for one in sorted((PACKAGE / room).glob("*/__init__.py"))]
    return [*ROOMS, *(one.relative_to(PACKAGE).as_posix() for one in inner)]


def tests_for(place: str) -> list[str]:
    """Return the tests that what is broken in a room may meet; of a package, those of its room that bear its name."""
    room, _, package = place.partition("/")
    own, *others = ROOMS[room]
    patterns = [f"{own}/test_{package}*.py" if package else own, *others]
    return [str(one) for pattern in patterns for one in sorted(Path("tests").glob(pattern))]


def main() -> int:
    """Draw, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200, help="how many lines are broken (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (default 0)")
    parser.add_argument("--only", choices=packages(), nargs="+", default=DRAWN, help="some rooms or packages")
    parser.add_argument("--seconds", type=float, default=60, help="of tests that one line meets at most (default 60)")
    parser.add_argument("--near", action="store_true", help="meet the tests of the module's name alone: minutes")
    take_minutes(parser)
    options = parser.parse_args()
    start = time.monotonic()
    alike = {tuple(entry["change"]): entry["why"] for entry in json.loads(ALIKE.read_text(encoding="utf-8"))}
    draw = {"places": options.only, "n": options.n, "seed": options.seed}
    run = Run(
        drawn=drawn_from(**draw), most=options.seconds, alike=alike, is_near=options.near,
        pieces=Pieces.of("mutants", minutes=options.minutes, seconds=options.seconds, near=options.near, **draw),
    )  # fmt: skip
    os.chdir(ROOT)
    tests = dict.fromkeys(name for place in options.only for name in tests_for(place))
    places = [*(str(PACKAGE / place) for place in options.only), *tests]
    quiet = ["-s", "-qq", "--no-header", "--no-summary", "--tb=native", "-p", "no:cacheprovider"]
    slow = [] if options.near else ["-m", "not slow"]  # a whole room's slow tests would take most of an hour to look at
    pytest.main([*places, *quiet, *slow], plugins=[run])
    left = len(run.drawn) - len(run.verdicts)
    again = f" {left} lines are left: the same command goes on." if left else ""
    say(f"\n{table(run.verdicts)}\n\n{time.monotonic() - start:.0f} seconds.{again}")
    return 0


def row(one: Verdict) -> str:
    """Return a row of the list of all changes."""
    by = one.by or one.alike or "nothing"
    cells = [one.word, f"{one.mutant.path}:{one.mutant.line}", f"`{one.mutant.before}`", f"`{one.mutant.after}`", by]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def table(verdicts: list[Verdict]) -> str:
    """Return the counts of each room, and of each package of the explainers."""
    groups: dict[str, Counter[str]] = {}
    for one in verdicts:
        room, second = one.mutant.path.parts[0], one.mutant.path.parts[1]
        for name in [room, *([f"{room}/{second}"] if not second.endswith(".py") else []), "~all"]:
            groups.setdefault(name, Counter())[one.word] += 1
    lines = [
        "| package | broken | alike | caught | survived | caught of those not alike (95 % interval) |",
        "|---|---|---|---|---|---|",
    ]
    for name, count in sorted(groups.items()):
        n, real = count.total(), count.total() - count["alike"]
        share = share_of(count["caught"], real) if real else "-"
        figures = f"{n} | {count['alike']} | {count['caught']} | {count['survived']} | {share}"
        lines.append(f"| {name.removeprefix('~')} | {figures} |")
    return "\n".join(lines)


def share_of(caught: int, n: int) -> str:
    """Return a share with its interval (Wilson, 1927)."""
    span = binomtest(caught, n).proportion_ci(method="wilson")
    return f"{100 * caught / n:.0f} % ({100 * span.low:.0f} to {100 * span.high:.0f})"


if __name__ == "__main__":
    sys.exit(main())
