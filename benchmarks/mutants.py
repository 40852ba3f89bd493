"""Break lines on purpose, one at a time, and see whether the tests of their room notice.

Each change is made in a temporary copy of the package; the working tree stays as it is.

    python benchmarks/mutants.py                                   # 200 lines of five rooms: hours
    python benchmarks/mutants.py --only functional --n 40 --seed 1
"""

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "likethat"
TIMEOUT = 300  # seconds; a loop that no longer ends counts as noticed

# From a room, or a part of one, to the tests that are to notice; the longest name that fits counts.
TESTS = {
    "functional": "tests/functional",
    "search": "tests/search",
    "coordinates": "tests/coordinates",
    "fitting": "tests/coordinates tests/explainers/test_epic.py tests/explainers/test_prodg.py",
    "explainers/epic": "tests/explainers/test_epic.py",
    "explainers/exemplars": "tests/explainers/test_exemplars.py",
    "explainers/freemcg": "tests/explainers/test_freemcg.py tests/explainers/test_freemcg_search.py",
    "explainers/parts": "tests/explainers/test_parts.py",
    "explainers/prodg": "tests/explainers/test_prodg.py",
}
SMALLEST = 1e-5
ROOMS = sorted({name.split("/")[0] for name in TESTS})
COMPARED = {ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
            ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}  # fmt: skip
RECKONED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
TURNED = {"min": "max", "max": "min", "amin": "amax", "amax": "amin", "argmin": "argmax", "argmax": "argmin"}
SORTED = {"sorted": "reverse", "sort": "descending", "argsort": "descending"}


@dataclass(frozen=True)
class Mutant:
    """One change: where, what stood there, what stands there now."""

    path: Path  # below the package
    line: int
    before: str
    after: str
    text: str  # the module with the change

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.before}  ->  {self.after}"


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may stand in a node's place."""
    new = copy.deepcopy(node)
    match new:
        case ast.Compare(ops=[op]) if type(op) in COMPARED:
            new.ops = [COMPARED[type(op)]()]
        case ast.BinOp(op=op) if type(op) in RECKONED:
            new.op = RECKONED[type(op)]()
        case ast.BoolOp(op=op):
            new.op = ast.Or() if isinstance(op, ast.And) else ast.And()
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            new = operand
        case ast.Constant(value=bool(value)):
            new.value = not value
        case ast.Constant(value=float(value)) if 0 < abs(value) <= SMALLEST:
            return  # a guard against zero: twice as much of it is no fault
        case ast.Constant(value=int(value) | float(value)):
            new.value = value + 1 if isinstance(value, int) else value * 2 or 1.0
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in TURNED:
            setattr(new.func, "id" if isinstance(new.func, ast.Name) else "attr", TURNED[name])
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in SORTED:
            new.keywords = [*new.keywords, ast.keyword(SORTED[name], ast.Constant(True))]
        case ast.Expr(value=ast.Call()):
            new = ast.Pass()
        case ast.If() | ast.For() | ast.While():
            new = ast.Return()
        case _:
            return
    yield new


def kept_out(tree: ast.Module) -> set[int]:
    """Return the ids of nodes that no test can be asked about: annotations, messages of errors, lines of `__all__`."""
    roots: list[ast.AST | None] = []
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(returns=returns):
                roots += [returns, *node.decorator_list]
            case ast.ClassDef(decorator_list=decorators):
                roots += decorators
            case ast.arg(annotation=annotation) | ast.AnnAssign(annotation=annotation):
                roots.append(annotation)
            case ast.Raise() | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
                roots.append(node)
    return {id(node) for root in roots if root for node in ast.walk(root)}


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Yield every change of a module: only the lines of the change differ from the file."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    skipped = kept_out(tree)
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in ast.walk(tree):
        for new in () if id(node) in skipped else changed(node):
            begin, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
            after = ast.unparse(new) if isinstance(new, ast.stmt) else f"({ast.unparse(new)})"
            text = (source.encode()[:begin] + after.encode() + source.encode()[end:]).decode()
            before = ast.unparse(node).splitlines()[0]
            if is_python(text):
                yield Mutant(path.relative_to(PACKAGE), node.lineno, before, after, text)


def is_python(text: str) -> bool:
    """Say whether a changed module can be read at all: the others would be noticed without a test."""
    try:
        compile(text, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def tests_of(path: Path) -> list[str]:
    """Return the tests of a module: of the longest entry of the table that holds it."""
    return TESTS[max((name for name in TESTS if path.is_relative_to(name)), key=len)].split()


def survives(tests: list[str], mutant: Mutant | None) -> bool:
    """Say whether tests pass on a copy of the package with the change (None: with no change)."""
    with tempfile.TemporaryDirectory(prefix="likethat-mutant-") as folder:
        place = Path(folder) / "likethat"
        shutil.copytree(PACKAGE, place, ignore=shutil.ignore_patterns("__pycache__"))
        if mutant:
            (place / mutant.path).write_text(mutant.text, encoding="utf-8")
        examples = [str(place / mutant.path)] if mutant else []  # the module's own doctests
        command = [
            sys.executable,
            "-m",
            "pytest",
            *examples,
            *tests,
            *["-x", "-q", "-p", "no:cacheprovider", "-m"],
            "not slow",
        ]
        environment = os.environ | {"PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0


def main() -> int:
    """Draw, run, print; 1 where the tests fail before anything is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200, help="how many lines are broken (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="which ones (default 0)")
    parser.add_argument("--only", choices=ROOMS, help="one room instead of all five")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time (default 1)")
    options = parser.parse_args()
    paths = [
        path for room in ([options.only] if options.only else ROOMS) for path in sorted((PACKAGE / room).rglob("*.py"))
    ]
    every = [mutant for path in paths if len(path.relative_to(PACKAGE).parts) > 1 and path.name != "__init__.py"
             for mutant in mutants_of(path)]  # fmt: skip
    drawn = random.Random(options.seed).sample(every, min(options.n, len(every)))
    for tests in sorted({tuple(tests_of(mutant.path)) for mutant in drawn}):
        if not survives(list(tests), None):
            print(f"{' '.join(tests)}: fails before anything is broken.")
            return 1
    with ThreadPoolExecutor(options.jobs) as pool:
        lived = []
        for mutant, alive in zip(drawn, pool.map(lambda one: survives(tests_of(one.path), one), drawn), strict=True):
            lived += [mutant] if alive else []
            print(f"{'survived' if alive else 'caught  '}  {mutant}", flush=True)
    print(table(drawn, lived))
    return 0


def table(drawn: list[Mutant], lived: list[Mutant]) -> str:
    """Return the count of each room, and the survivors."""
    lines = ["", "| room | broken | caught | survived |", "|---|---|---|---|"]
    for room in [*sorted({mutant.path.parts[0] for mutant in drawn}), "all"]:
        n, left = (sum(room in ("all", mutant.path.parts[0]) for mutant in some) for some in (drawn, lived))
        lines.append(f"| {room} | {n} | {n - left} ({100 * (n - left) / n:.0f} %) | {left} |")
    return "\n".join([*lines, "", *(f"survived: {mutant}" for mutant in lived)])


if __name__ == "__main__":
    sys.exit(main())
