"""What is broken on purpose: one operator, number, call or branch of a module at a time."""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "likethat"
SMALLEST = 1e-5
AT_A_TIME = {
    "block",
    "_BLOCK",
    "_BLOCK_ON_GPU",
    "_AT_A_TIME",
    "batch_size",
    "workers",
    "memory_budget",
}  # other numbers here need other memory and seconds, and nothing else
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
    code: str  # the line itself, as it stood
    span: range  # lines of the statement that holds the change; empty where it runs when the module loads

    @property
    def key(self) -> tuple[str, ...]:
        """What names the change whatever is written above it."""
        return (self.path.as_posix(), self.code, self.before, self.after)


def changed(node: ast.AST) -> Iterator[ast.AST]:  # noqa: PLR0912 - a case a kind
    """Yield what may stand in a node's place."""
    new = copy.deepcopy(node)
    match new:
        case ast.Assign() if named_numbers(new):
            yield from tenfold(new)
            return
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


def named_numbers(node: ast.AST) -> list[ast.Constant]:
    """Return the numbers that a statement gives names in capitals: set or measured once, and as right a little beside.

    It may be one number, several with a name each, or a tuple of them with one name.
    """
    match node:
        case ast.Assign(targets=[ast.Name() | ast.Tuple() as target], value=ast.Constant() | ast.Tuple() as value):
            names, values = (one.elts if isinstance(one, ast.Tuple) else [one] for one in (target, value))
            is_named = all(isinstance(name, ast.Name) and name.id.isupper() for name in names)
            numbers = [one for one in values if isinstance(one, ast.Constant) and type(one.value) in (int, float)]
            return numbers if is_named and len(numbers) == len(values) else []
    return []


def tenfold(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a statement with one of its named numbers ten times as large; those near zero stay as they are."""
    for place, number in enumerate(named_numbers(node)):
        if abs(number.value) > SMALLEST:
            new = copy.deepcopy(node)
            named_numbers(new)[place].value *= 10
            yield new


def kept_out(tree: ast.Module) -> set[int]:
    """Return the ids of nodes that no test can be asked about.

    These are annotations, decorators, imports, what an error says (`raise`), text with values in it (f-strings),
    how much is worked on at a time, and ``strict`` of a `zip`, which asserts what holds in code that is right.
    """
    roots: list[ast.AST | None] = []
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(returns=returns):
                roots += [returns, *node.decorator_list]
            case ast.ClassDef(decorator_list=decorators):
                roots += decorators
            case ast.arg(annotation=annotation) | ast.AnnAssign(annotation=annotation):
                roots.append(annotation)
            case ast.keyword(arg="strict", value=value):
                roots.append(value)
            case ast.Raise() | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
                roots.append(node)
            case ast.Assign(targets=[ast.Name(id=name)]) if name in AT_A_TIME:
                roots.append(node)
            case ast.Assign(value=value) if named_numbers(node):
                roots.append(value)  # broken tenfold, one at a time
            case ast.arguments(kwonlyargs=names, kw_defaults=values):
                roots += [value for one, value in zip(names, values, strict=True) if one.arg in AT_A_TIME]
    return {id(node) for root in roots if root for node in ast.walk(root)}


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Yield every change of a module: only the lines of the change differ from the file."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    skipped, spans = kept_out(tree), spans_of(tree)
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
                code = source.splitlines()[node.lineno - 1].strip()
                yield Mutant(path.relative_to(PACKAGE), node.lineno, before, after, text, code, spans[id(node)])


def spans_of(tree: ast.Module) -> dict[int, range]:
    """Return for each node the lines of its statement (of a block: its head), none where no function holds it."""
    spans: dict[int, range] = {}

    def visit(node: ast.AST, span: range, is_inside: bool) -> None:
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            end = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno or node.lineno
            span = range(node.lineno, end + 1) if is_inside else range(0)
        spans[id(node)] = span
        runs_later = isinstance(node, ast.FunctionDef | ast.Lambda) or (
            is_inside and not isinstance(node, ast.ClassDef)
        )
        for name, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    visit(child, range(0) if name == "args" and runs_later != is_inside else span, runs_later)

    visit(tree, range(0), False)
    return spans


def is_python(text: str) -> bool:
    """Say whether a changed module can be read at all: the others would be noticed without a test."""
    try:
        compile(text, "mutant", "exec")
    except SyntaxError:
        return False
    return True
