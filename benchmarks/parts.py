"""Measure part prototypes: speed, exactness, and what the parts show, beside EPIC, Grad-CAM and the identity.

    python benchmarks/parts.py                 # everything; minutes on two cores
    python benchmarks/parts.py speed           # one section: speed, exactness, creatures, fidelity, signed, digits

Writes benchmarks/results/parts.md, section by section; sections that are not run stay as they were.
"""

import argparse
import re
import time
from pathlib import Path

from _parts_checks import exactness, fidelity, signed
from _parts_common import table
from _parts_creatures import creatures
from _parts_speed import speed

import likethat as lt
from likethat import metrics

RESULTS = Path(__file__).parent / "results" / "parts.md"


def digits() -> list[str]:
    """Handwritten digits: no true parts, so only what needs none."""
    model, train, test = lt.load("zoo:digits"), lt.digits(split="train"), lt.digits(split="test")
    rows = []
    for name, method in {
        "EPIC": lt.EPIC(), "parts, ownership, 4": lt.PartPrototypes(),
        "parts, shared, 4": lt.PartPrototypes(algorithm="shared"),
        "parts, ownership, auto": lt.PartPrototypes("auto"),
    }.items():  # fmt: skip
        started = time.perf_counter()
        bank = method.fit(model, train)
        found = metrics.evaluate(bank, test, n_explained=100, n_deleted=100)
        rows.append({
            "": name, "fit s": time.perf_counter() - started, "coverage": found.coverage,
            "rank": found.deletion_agreement, "drop": found.deletion_drop,
            "random": found.random_drop, "gap": found.gap,
            "stable between starts": bank.provenance.measures.get("between_starts"),
            "stable between halves": bank.provenance.measures.get("between_halves"),
        })  # fmt: skip
    return table(rows)


SECTIONS = {
    "speed": speed, "exactness": exactness, "creatures": creatures, "fidelity": fidelity, "signed": signed,
    "digits": digits,
}  # fmt: skip


def write(found: dict[str, list[str]]) -> None:
    """Replace the sections that were run."""
    RESULTS.parent.mkdir(exist_ok=True)
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.exists() else ""
    before = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, flags=re.DOTALL | re.MULTILINE))
    lines = ["# Part prototypes, measured", "", "Written by `python benchmarks/parts.py`.", ""]
    for name, section in SECTIONS.items():
        if name in found:
            about = [section.__doc__ or "", ""]
            lines += [f"## {name}", "", *about, *found[name], ""]
        elif name in before:
            lines += [f"## {name}", before[name].rstrip("\n"), ""]
    RESULTS.write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help="all when none is named")
    for name in parser.parse_args().sections or SECTIONS:
        lines = SECTIONS[name]()
        write({name: lines})
        print(f"## {name}", *lines, "", sep="\n", flush=True)


if __name__ == "__main__":
    main()
