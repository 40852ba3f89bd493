"""The house stands as docs/architecture.md draws it."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import likethat

ROOT = Path(likethat.__file__).parent
FLOORS = {
    "errors": 0,
    "_calls": 0,
    "_cells": 0,
    "_checks": 0,
    "_class_names": 0,
    "_imagenet": 0,
    "_checkpoint": 0,
    "_vectors": 0,
    "_documents": 0,
    "_double": 0,
    "_options": 0,
    "_files": 0,
    "_unread": 0,
    "_pictures": 0,
    "_seals": 0,
    "_progress": 0,
    "_status": 0,
    "_tensors": 0,
    "_inputs": 0,
    "_jointly": 0,
    "_session": 0,
    "_showing": 0,
    "_version": 0,
    "_workers": 0,
    "options": 1,
    "_queries": 1,
    "_responses": 1,
    "functional": 1,
    "sources": 2,
    "models": 2,
    "coordinates": 2,
    "search": 2,
    "features": 3,
    "generators": 3,
    "explanations": 4,
    "fitting": 5,
    "auditing": 6,
    "editing": 5,
    "explainers": 6,
    "metrics": 6,
    "papers": 7,
    "report": 7,
    "serve": 8,
    "cli": 9,
    "__main__": 10,
}
NEIGHBOURS = {
    ("_calls", "errors"),
    ("_checks", "_options"),
    ("_vectors", "errors"),
    ("_checkpoint", "_calls"),
    ("_checkpoint", "_documents"),
    ("_checkpoint", "_files"),
    ("_checkpoint", "_tensors"),
    ("_checkpoint", "errors"),
    ("_checks", "errors"),
    ("_class_names", "_checks"),
    ("_class_names", "_imagenet"),
    ("_class_names", "_options"),
    ("_class_names", "errors"),
    ("_imagenet", "_checks"),
    ("_imagenet", "errors"),
    ("_files", "_documents"),
    ("_showing", "_cells"),
    ("_showing", "_files"),
    ("_showing", "_options"),
    ("_showing", "errors"),
    ("_files", "_options"),
    ("_options", "errors"),
    ("_files", "_seals"),
    ("_files", "errors"),
    ("_inputs", "errors"),
    ("_documents", "errors"),
    ("_pictures", "errors"),
    ("_tensors", "_documents"),
    ("_pictures", "_unread"),
    ("_workers", "_calls"),
    ("_workers", "_checks"),
    ("_workers", "_options"),
    ("_workers", "errors"),
}
"""The rooms that may look into another room of their own floor."""
HEAVY = ("torch", "torchvision", "timm", "transformers", "datasets", "matplotlib", "PIL", "scipy", "sklearn", "pandas")


def files() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in files():
        yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def room_of(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports_at_load(body: list[ast.stmt]) -> Iterator[str]:
    """Names of likethat that are imported when a module loads; late imports inside functions are free."""
    for node in body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "likethat":
            parts = node.module.split(".")[1:]
            yield from [parts[0]] if parts else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (name.name.split(".")[1] for name in node.names if name.name.startswith("likethat."))
        elif isinstance(node, ast.If | ast.Try) and not is_type_checking(node):
            yield from imports_at_load([*node.body, *node.orelse])


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path.relative_to(ROOT)) for path in files()} - {"__init__"}
    assert rooms <= set(FLOORS), "draw the new room in docs/architecture.md and give it a floor here"


@pytest.mark.slow
def test_imports_point_downwards() -> None:
    upwards = []
    for path, tree in trees():
        room = room_of(path)
        for other in imports_at_load(tree.body):
            if room in ("__init__", other) or other not in FLOORS or (room, other) in NEIGHBOURS:
                continue
            if FLOORS[other] >= FLOORS[room]:
                upwards.append(f"{path} imports {other}")
    assert upwards == []


def imports_of(tree: ast.AST, modules: set[str]) -> Iterator[str]:
    """Names of our modules that a module imports, inside functions too; for type checkers alone does not count."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                deep = f"{node.module}.{alias.name}"
                yield deep if deep in modules else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif not is_type_checking(node):
            yield from imports_of(node, modules)


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules that lie in circles or between two: what is left when all others are taken away."""
    left = {name: set(others) & graph.keys() - {name} for name, others in graph.items()}
    while True:
        ends = {name for name, others in left.items() if not others}
        ends |= {name for name in left if not any(name in others for others in left.values())}
        if not ends:
            return sorted(left)
        left = {name: others - ends for name, others in left.items() if name not in ends}


@pytest.mark.slow
def test_no_module_imports_itself_by_a_detour() -> None:
    named = {
        ".".join(("likethat", *path.with_suffix("").parts)).removesuffix(".__init__"): tree for path, tree in trees()
    }
    assert circle_in({name: set(imports_of(tree, set(named))) for name, tree in named.items()}) == []


def test_the_check_on_circles_sees() -> None:
    late = ast.parse("def f():\n    from likethat.b import c\nif TYPE_CHECKING:\n    from likethat import d")
    assert list(imports_of(late, {"likethat.b"})) == ["likethat.b"]
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["b", "c"]
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_explainers_do_not_import_each_other() -> None:
    folder = ROOT / "explainers"
    for path in folder.glob("*/*.py"):
        named = {
            node.module.split(".")[2]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("likethat.explainers.")
        }
        assert named <= {path.parent.name}, f"{path.relative_to(folder)} imports {named}"


@pytest.mark.parametrize(
    "name", ["likethat", *(f"likethat.{item.name}" for item in pkgutil.iter_modules([str(ROOT)]) if item.ispkg)]
)
def test_all_is_what_can_be_imported(name: str) -> None:
    module = importlib.import_module(name)
    names = getattr(module, "__all__", [])
    assert len(names) == len(set(names))
    missing = [item for item in names if not hasattr(module, item)]
    assert missing == []


def test_every_public_name_is_in_dir_and_known_to_type_checkers() -> None:
    assert dir(likethat) == sorted(likethat.__all__)
    source = (ROOT / "__init__.py").read_text(encoding="utf-8")
    typed = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.If) and is_type_checking(node)
        for statement in node.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert typed == set(likethat.__all__)


@pytest.mark.slow
@pytest.mark.parametrize("statement", ["import likethat", "import likethat.cli.main"])
def test_importing_is_light(statement: str) -> None:
    code = f"{statement}; import sys; print(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def unpicklers(node: ast.AST) -> Iterator[str]:
    """Whatever in a node could unpickle; naming the exception to catch it cannot."""
    modules = {"pickle", "dill", "joblib", "cloudpickle"}
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in modules - {"pickle"})
    if isinstance(node, ast.ImportFrom) and node.module in modules:
        yield from (alias.name for alias in node.names if alias.name != "UnpicklingError")
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pickle":
        yield from [node.attr] if node.attr != "UnpicklingError" else []
    if isinstance(node, ast.Call) and ast.unparse(node.func) in {"torch.load", "np.load", "numpy.load"}:
        given = {item.arg: ast.unparse(item.value) for item in node.keywords}
        if given.get("weights_only") != "True" and given.get("allow_pickle") != "False":
            yield ast.unparse(node.func)


@pytest.mark.slow
def test_nothing_is_unpickled() -> None:
    found = [f"{path}: {name}" for path, tree in trees() for node in ast.walk(tree) for name in unpicklers(node)]
    assert found == []


@pytest.mark.parametrize(
    "line",
    ["import dill", "from pickle import loads", "pickle.load(f)", "torch.load(f)", "numpy.load(f, mmap_mode='r')"],
)
def test_the_check_on_pickles_sees(line: str) -> None:
    assert any(list(unpicklers(node)) for node in ast.walk(ast.parse(line)))


@pytest.mark.slow
def test_pictures_and_json_of_anybody_are_opened_in_one_place() -> None:
    # Pillow starts Ghostscript on an EPS whatever its name, and json gives up deep documents with a RecursionError.
    doors = {"_pictures.py": "Image.open", "_documents.py": "json.loads"}
    own = {"models/zoo.py", "models/black_box/http.py", "models/black_box/cache.py"}  # what we wrote; an answer's body
    own |= {"models/black_box/discretion.py"}  # a piece of an answer, to find a secret in it

    for path, tree in trees():
        for node in ast.walk(tree):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            is_copy = isinstance(node, ast.Call) and node.args and ast.unparse(node.args[0]).startswith("json.dumps(")
            if called in doors.values() and not is_copy and path.as_posix() not in own:
                assert doors.get(path.as_posix()) == called, f"{path}:{node.lineno} calls {called}"


@pytest.mark.slow
def test_only_the_command_line_prints() -> None:
    for path, tree in trees():
        if room_of(path) == "cli":
            continue
        for node in ast.walk(tree):
            is_print = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            assert not is_print, f"{path}:{getattr(node, 'lineno', 0)} prints"
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            drawing = {module.split(".")[0] for module in modules} & {"rich", "tqdm", "typer"}
            assert not drawing, f"{path} draws with {drawing}"


@pytest.mark.slow
def test_no_relative_imports_and_no_star() -> None:
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
                assert all(alias.name != "*" for alias in node.names), path


@pytest.mark.slow
def test_every_file_says_what_it_is() -> None:
    silent = [str(path) for path, tree in trees() if not ast.get_docstring(tree)]
    assert silent == []


def is_numeric(value: ast.expr) -> bool:
    """Whether an expression is numbers and nothing else."""
    kinds = (ast.Constant, ast.Tuple, ast.List, ast.UnaryOp, ast.BinOp, ast.operator, ast.unaryop, ast.expr_context)
    parts = list(ast.walk(value))
    numbers = [part.value for part in parts if isinstance(part, ast.Constant)]
    is_number = [isinstance(number, int | float) and not isinstance(number, bool) for number in numbers]
    return all(isinstance(part, kinds) for part in parts) and bool(numbers) and all(is_number)


def unexplained(text: str) -> Iterator[int]:
    """Yield the lines of a module's numbers that say nothing of why they are what they are."""
    lines, body = text.splitlines(), ast.parse(text).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and is_numeric(node.value):
            is_said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            around = lines[max(node.lineno - 2, 0) : node.end_lineno]
            if not is_said and not around[0].startswith("#") and not any("#" in line for line in around[1:]):
                yield node.lineno


@pytest.mark.slow
def test_numbers_say_why() -> None:
    assert list(unexplained("A = 1\n\nB = 2  # why\n# why\nC = 3\nD = (1, -2)\nE = 2\n'''Why.'''\nF = 'x'\n")) == [1, 6]
    for path, _ in trees():
        assert not list(unexplained((ROOT / path).read_text("utf-8"))), f"{path}: a number without a reason"


TESTED_FILE_FOR_FILE = ("coordinates", "functional", "search")
"""Rooms of pure reckoning, where a module is a thing by itself. Elsewhere a test is a journey through several."""


def test_tests_stand_in_the_rooms_of_what_they_test() -> None:
    tests = Path(__file__).parent
    folders = {path.name for path in tests.iterdir() if any(path.glob("test_*.py"))}
    assert folders <= set(FLOORS)
    for room in TESTED_FILE_FOR_FILE:
        modules = {path.stem for path in (ROOT / room).glob("*.py")} - {"__init__"}
        tested = {path.stem.removeprefix("test_") for path in (tests / room).glob("test_*.py")}
        without = {"base"} if room == "coordinates" else set()  # a protocol: nothing in it runs
        assert modules - tested == without
        assert tested - modules <= {room}  # what goes through the whole room bears its name
