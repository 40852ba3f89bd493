"""How architectures of three libraries are cut, with random weights: the table of docs/architectures.md.

python benchmarks/architectures.py                  # hours; a stopped run goes on from out/architectures-COMMIT.jsonl
python benchmarks/architectures.py timm:resnet18    # these alone; no page
python benchmarks/architectures.py --write          # the page of the rows that are there; others stay as they stand
"""

import argparse
import json
import subprocess
from pathlib import Path

import _torchvision  # noqa: F401 - before anything imports torchvision, here and in the survey's process
from _measure import machine, markdown

from likethat.models.survey import ARCHITECTURES, Row, survey

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architectures.md"
MOST = 25  # forwards of three images that a split may cost; frozen runs of small networks go over it
TEXT = """# Architectures

Made by `python benchmarks/architectures.py` (`likethat split --all` prints the same) on {machine}: {n} of {all} named
architectures with random weights, each cut by `likethat.split` and checked on images that the cut was not found with.
*Code* is the commit whose code a row was measured with (-: before 1e3586a); {fresh} rows were written last, the others
stand as an earlier run left them. Splits of 1e3586a and before were without the four pictures that look for what a
network cuts off: 1.3 forwards more today; those of - also without the check of places itself, 2.3 more.

{counts}

*Exact*: contributions are those of any image. *Exact for this image*: what follows the map, or attention and gates of a
class token, is held as it is on the image ([methods](methods.md)). *Error*: of the logits put together again, relative.
*Located*: share of the logit less its bias that has a place, by size, on two probe images; of random weights it says
little of trained ones (no figure where a fresh head is all zeros). A network that is refused because what enters its
head hardly differs between images is so with fresh weights. *Forwards*: that reading an image costs, by count of
products. *Split*: what the search for the cut cost, in forwards of three images.
*Memory*: how far the process rose while it was cut, and with it the weights.

"""


def shown(row: Row) -> Row:
    """Return a row as it stands in the page."""
    cut = f"`{row['layer']}`, {row['pooling']}" if "layer" in row else str(row.get("note", "")).split(". ")[0]
    return {
        "architecture": row["name"], "how it is cut": cut.replace("|", " "), "map": row.get("grid", "-"),
        "contributions": row["kind"], "error": f"{row['error']:.0e}" if "error" in row else "-",
        "located": f"{row['located']:.0%}" if "located" in row else "-",
        "forwards": f"{row['forwards']:.1f}" if "forwards" in row else "-",
        "split": f"{row['cost']:.0f}" if "cost" in row else "-",
        "weights, MB": f"{row['weights, MB']:.0f}" if "weights, MB" in row else "-",
        "memory, MB": f"{row['memory, MB']:.0f}" if "memory, MB" in row else "-", "code": row.get("code", "-"),
    }  # fmt: skip


def standing() -> dict[str, dict[str, str]]:
    """Return the rows of the page as it stands, by name."""
    lines = [line.strip("| \n").split(" | ") for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    head, *rows = lines
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


def commit() -> str:
    """Return the commit of the code, with a + where files differ from it."""
    return subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--abbrev=7", "--exclude=*"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip


def write(rows: list[Row]) -> None:
    """Write the page: these rows, and those of the page as it stands for which there are none."""
    kept = {name: {**row, "code": row.get("code", "-")} for name, row in standing().items()} if PAGE.exists() else {}
    found = kept | {row["name"]: shown(row) for row in rows}
    page = [found[name] for name in ARCHITECTURES if name in found]
    kinds = [row["contributions"] for row in page]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds), key=kinds.count, reverse=True))
    dear = sum(row["split"] != "-" and int(row["split"]) > MOST for row in page)
    counts = f"**{counts}; {dear} splits cost more than {MOST} forwards.**"
    head = TEXT.format(machine=machine(), n=len(page), all=len(ARCHITECTURES), fresh=len(rows), counts=counts)
    PAGE.write_text(head + markdown(page), encoding="utf-8")


def main() -> None:
    """Parse the command line, cut, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="architectures; all by default")
    parser.add_argument("--seconds", type=float, default=300.0, help="that each may take")
    parser.add_argument("--write", action="store_true", help="write the page of the rows that are there, and no more")
    parser.add_argument("--rows", type=Path, help="their file, architectures-COMMIT.jsonl; the code's own by default")
    given = parser.parse_args()
    rows = given.rows or ROOT / "out" / f"architectures-{commit()}.jsonl"
    rows.parent.mkdir(exist_ok=True)
    if not given.write:
        for row in survey(rows, given.names or ARCHITECTURES, seconds=given.seconds):
            print(" | ".join(str(value) for value in shown(row).values()), flush=True)
    if not given.names:
        code = rows.stem.rpartition("-")[2]
        write([{**json.loads(line), "code": code} for line in rows.read_text("utf-8").splitlines()])


if __name__ == "__main__":
    main()
