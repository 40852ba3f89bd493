"""Count what is right, refused with one sentence, or wrong, over all kinds of odd and bad input.

    python benchmarks/robustness.py                    every case; exit code 1 where one is wrong
    python benchmarks/robustness.py --kind marks       one kind
    python benchmarks/robustness.py --write            also to benchmarks/results/robustness.md

The cases are in `robustness_cases/`; `tests/test_robustness.py` runs the same ones.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import _torchvision  # noqa: F401 - before anything imports torchvision
from _measure import markdown, write_results
from robustness_cases import Case, all_cases, run

COLUMNS = ("right", "refused", "wrong", "skipped")


def main() -> int:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", action="append", help="only this kind; may be given several times")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/robustness.md")
    options = parser.parse_args()
    cases = [one for one in all_cases() if not options.kind or one.kind in options.kind]
    started = time.perf_counter()
    counts, wrong, skipped = count(cases)
    table = rows(counts)
    print(markdown(table))
    for heading, found in (("Wrong", wrong), ("Skipped", skipped)):
        if found:
            print(f"{heading}:")
            print(*(f"- {line}" for line in found), sep="\n")
    print(f"{len(cases)} cases in {time.perf_counter() - started:.0f} s")
    if options.write:
        page = Path(__file__).parent / "results" / "robustness.md"
        command = "python benchmarks/robustness.py --write"
        write_results(page, title="Robustness", command=command, sections=[("Cases", table)])
    return 1 if wrong else 0


def count(cases: list[Case]) -> tuple[dict[str, Counter[str]], list[str], list[str]]:
    """Return how the cases of each kind ended, and lines about those that went wrong or were skipped."""
    counts: dict[str, Counter[str]] = {}
    wrong: list[str] = []
    skipped: list[str] = []
    for one in cases:
        outcome, why = run(one)
        counts.setdefault(one.kind, Counter())[outcome] += 1
        if outcome in ("wrong", "skipped"):
            (wrong if outcome == "wrong" else skipped).append(f"{one.kind}: {one.name}: {why}")
    return counts, wrong, skipped


def rows(counts: dict[str, Counter[str]]) -> list[dict[str, object]]:
    """Return one row a kind, and their sum."""
    total: Counter[str] = Counter()
    for found in counts.values():
        total.update(found)
    everything = [*sorted(counts.items()), ("all", total)]
    return [
        {"kind": kind, "tried": found.total() - found["skipped"], **{column: found[column] for column in COLUMNS}}
        for kind, found in everything
    ]


if __name__ == "__main__":
    sys.exit(main())
