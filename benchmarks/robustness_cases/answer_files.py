"""What a black box keeps on disk, and how it knows whose answers they are."""

import json
import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch

import likethat as lt
from robustness_cases import EITHER, REFUSED, RIGHT, Skip, case, expect

KIND = "cache"
ROWS = torch.tensor([[0.25], [0.75]])


def _box(path: Path, **options: Any) -> lt.BlackBox:
    return lt.BlackBox(
        lambda x: torch.cat([1 - x, x], dim=1), cache=path, key="k", **{"check_determinism": False, **options}
    )


def _answers() -> Path:
    """Return a file that keeps two answers."""
    path = Path(tempfile.mkdtemp()) / "answers.sqlite"
    _box(path)(ROWS)
    return path


def _changed(statement: str, *values: object) -> Path:
    path = _answers()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement, values)
        connection.commit()
    return path


DAMAGE: dict[str, tuple[str, tuple[object, ...]]] = {
    "an answer of seven bytes": ("UPDATE answers SET probabilities = ?", (b"seven b",)),
    "an answer that is a text": ("UPDATE answers SET probabilities = 'half'", ()),
    "an answer that is a number": ("UPDATE answers SET probabilities = 7", ()),
    "an empty answer": ("UPDATE answers SET probabilities = ?", (b"",)),
    "an answer of NaN": ("UPDATE answers SET probabilities = ?", (np.array([np.nan, 1.0]).tobytes(),)),
    "an answer below 0": ("UPDATE answers SET probabilities = ?", (np.array([-1.0, 2.0]).tobytes(),)),
    "an answer that sums to 2": ("UPDATE answers SET probabilities = ?", (np.array([1.0, 1.0]).tobytes(),)),
    "an answer of three classes": ("UPDATE answers SET probabilities = ?", (np.array([0.5, 0.25, 0.25]).tobytes(),)),
    "class names that are no JSON": ("UPDATE boxes SET class_names = '[\"a'", ()),
    "class names that are a number": ("UPDATE boxes SET class_names = '7'", ()),
    "class names that are numbers": ("UPDATE boxes SET class_names = '[1, 2]'", ()),
    "class names 100,000 brackets deep": ("UPDATE boxes SET class_names = ?", ("[" * 100_000,)),
    "answers that are neither logits nor probabilities": ("UPDATE boxes SET output = 'guesses'", ()),
    "a table gone": ("DROP TABLE answers", ()),
    "a table of another name": ("CREATE TABLE mine (x)", ()),
    "a trigger": ("CREATE TRIGGER t AFTER INSERT ON boxes BEGIN DELETE FROM answers; END", ()),
    "a column gone": ("ALTER TABLE boxes DROP COLUMN output", ()),
}
for _name, (_statement, _values) in DAMAGE.items():

    @case(KIND, f"a file of answers with {_name} is refused, and left as it is", accepts=REFUSED)
    def _(statement: str = _statement, values: tuple[object, ...] = _values) -> None:
        path = _changed(statement, *values)
        before = path.read_bytes()
        try:
            _box(path)(ROWS)
        finally:
            expect(path.read_bytes() == before, expected=True, what="that the file is as it was")


@case(KIND, "a file of answers cut in half is refused", accepts=REFUSED)
def _() -> None:
    path = _answers()
    path.write_bytes(path.read_bytes()[:5000])
    _box(path)(ROWS)


@case(KIND, "a file of answers with nonsense in its pages is refused", accepts=REFUSED)
def _() -> None:
    path = _answers()
    content = path.read_bytes()
    path.write_bytes(content[:200] + b"\xff" * (len(content) - 200))
    _box(path)(ROWS)


FOREIGN: dict[str, Callable[[Path], Any]] = {
    "a database of the user's": lambda path: _made(path, "CREATE TABLE mine (x)"),
    "a database of the user's with tables of our names": lambda path: _made(
        path, "CREATE TABLE boxes (id)", "CREATE TABLE answers (x)"
    ),
    "a database of another program's": lambda path: _made(path, "CREATE TABLE mine (x)", "PRAGMA application_id = 7"),
    "an empty database of the user's": lambda path: _made(path, "PRAGMA page_size = 8192", "VACUUM"),
    "a text": lambda path: path.write_text("name,age\nme,3\n"),
    "a file that begins as a database does": lambda path: path.write_bytes(b"SQLite format 3\0" + b"x" * 20),
    "another schema": lambda path: (_box(path)(ROWS), _made(path, "PRAGMA user_version = 9")),
}


def _made(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


for _name, _make in FOREIGN.items():

    @case(KIND, f"{_name} in the place of answers is refused, not changed, not deleted", accepts=REFUSED)
    def _(make: Callable[[Path], Any] = _make) -> None:
        path = Path(tempfile.mkdtemp()) / "mine"
        make(path)
        before, age = path.read_bytes(), path.stat().st_mtime_ns
        try:
            _box(path)(ROWS)
        finally:
            expect(path.read_bytes() == before, expected=True, what="that the file is as it was")
            expect(path.stat().st_mtime_ns, age, "when it was written last")


@case(KIND, "a database of the user's with work not yet put into it is not touched", accepts=REFUSED)
def _() -> None:
    path = Path(tempfile.mkdtemp()) / "mine.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE mine (x)")
        connection.commit()
        copies = {item.name: item.read_bytes() for item in path.parent.iterdir()}
        try:
            _box(path)(ROWS)
        finally:
            after = {item.name: item.read_bytes() for item in path.parent.iterdir()}
            names = [name for name in copies if not name.endswith("-shm")]
            expect([after[name] == copies[name] for name in names], [True] * len(names), "what lies in the folder")


@case(KIND, "a file of answers that another process holds is told, after the patience asked for", accepts=REFUSED)
def _() -> None:
    from likethat.models.black_box.cache import AnswerFile

    path = _answers()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        AnswerFile(path, identity="x", timeout=0.1)


@case(KIND, "a pipe in the place of answers is refused, not waited for", accepts=REFUSED)
def _() -> None:
    if not hasattr(os, "mkfifo"):
        raise Skip("this machine has no named pipes")
    path = Path(tempfile.mkdtemp()) / "pipe"
    os.mkfifo(path)
    _box(path)(ROWS)


@case(KIND, "a folder in the place of answers is refused", accepts=REFUSED)
def _() -> None:
    _box(Path(tempfile.mkdtemp()))(ROWS)


@case(KIND, "an estimator with other classes than those whose answers are kept is refused", accepts=REFUSED)
def _() -> None:
    from sklearn.naive_bayes import GaussianNB

    path = Path(tempfile.mkdtemp()) / "answers.sqlite"
    for names in (["a", "b"], ["b", "c"]):
        model = GaussianNB().fit([[0.0], [1.0]], names)
        lt.BlackBox(model, cache=path, key="k", check_determinism=False)(ROWS)


@case(KIND, "a model of three classes after answers of a model of two is refused", accepts=REFUSED)
def _() -> None:
    path = _answers()
    lt.BlackBox(lambda x: [[0.5, 0.25, 0.25]] * len(x), cache=path, key="k", check_determinism=False)(torch.rand(1, 1))


def _external(location: str, *, weight: float = 1.0, folder: Path | None = None, write: bool = True) -> Path:
    """Write a model (n, 2) -> softmax(weight * x) whose weight lies in a file of its own."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        from onnx import TensorProto, helper
    except ImportError:
        raise Skip("onnx and onnxruntime are not installed") from None
    folder = folder or Path(tempfile.mkdtemp())
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[64], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    tensor.external_data.add(key="length", value="256")
    nodes = [
        helper.make_node("ReduceMean", ["w"], ["m"], keepdims=0),
        helper.make_node("Mul", ["x", "m"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"], axis=1),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("x", "p")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], initializer=[tensor])
    path = folder / "m.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    if write:
        target = folder / location
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(np.full(64, weight, dtype="<f4").tobytes())
    return path


for _location in ("m.onnx.data", "m.onnx_data", "weights.bin", "big/part-0", "./w.bin", "w\u00e9ights"):

    @case(KIND, f"other weights in {_location!r} beside the same ONNX file are another model", accepts=RIGHT)
    def _(location: str = _location) -> None:
        folder, cache = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp()) / "answers.sqlite"
        for weight in (1.0, 2.0):
            box = lt.BlackBox(_external(location, weight=weight, folder=folder), cache=cache, check_determinism=False)
            odds = np.exp(weight)
            expect(box(torch.tensor([[0.0, 1.0]]))[0, 1].item(), odds / (1 + odds), "the answer", tolerance=1e-6)
            expect(box.queries, 1, "queries")


@case(KIND, "the same ONNX file with the same weights, moved, is the same model", accepts=RIGHT)
def _() -> None:
    cache = Path(tempfile.mkdtemp()) / "answers.sqlite"
    for queries in (1, 0):
        box = lt.BlackBox(_external("weights.bin"), cache=cache, check_determinism=False)
        box(torch.tensor([[0.0, 1.0]]))
        expect(box.queries, queries, "queries")


@case(KIND, "weights of a branch within an ONNX file are part of what the model is", accepts=RIGHT)
def _() -> None:
    from onnx import TensorProto, helper

    from likethat.models.black_box.onnx_weights import external_files

    tensor = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="deep.bin")
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["y"], value=tensor)],
        "inner",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    outer = helper.make_graph(
        [helper.make_node("If", ["b"], ["z"], then_branch=inner, else_branch=inner)],
        "outer",
        [helper.make_tensor_value_info("b", TensorProto.BOOL, [1])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1])],
    )
    folder = Path(tempfile.mkdtemp())
    (folder / "m.onnx").write_bytes(helper.make_model(outer).SerializeToString())
    (folder / "deep.bin").write_bytes(b"\0" * 4)
    expect(external_files(folder / "m.onnx"), [folder / "deep.bin"], "the files with weights")


OUTSIDE = (
    "../secret.bin",
    "/etc/hostname",
    "a/../../secret.bin",
    "..\\secret.bin",
    "C:\\secret.bin",
    "C:secret.bin",
    "",
    ".",
)
for _location in OUTSIDE:

    @case(KIND, f"an ONNX file whose weights are said to be in {_location!r} is refused", accepts=REFUSED)
    def _(location: str = _location) -> None:
        folder = Path(tempfile.mkdtemp()) / "model"
        folder.mkdir()
        (folder.parent / "secret.bin").write_bytes(b"\0" * 256)
        lt.BlackBox(_external(location, folder=folder, write=False))(torch.rand(1, 2))


@case(KIND, "an ONNX file whose weights are missing is refused", accepts=REFUSED)
def _() -> None:
    lt.BlackBox(_external("weights.bin", write=False))(torch.rand(1, 2))


@case(KIND, "an ONNX file whose weights are a pipe is refused, not waited for", accepts=REFUSED)
def _() -> None:
    path = _external("weights.bin", write=False)
    if not hasattr(os, "mkfifo"):
        raise Skip("this machine has no named pipes")
    os.mkfifo(path.parent / "weights.bin")
    lt.BlackBox(path)(torch.rand(1, 2))


@case(KIND, "an ONNX file cut short, or of random bytes, is one sentence", accepts=REFUSED)
def _() -> None:
    path = _external("weights.bin")
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for wrong in [content[: len(content) // 2], b"", *(rng.bytes(300) for _ in range(20))]:
        path.write_bytes(wrong)
        with_error = False
        try:
            lt.BlackBox(path)
        except lt.errors.LikethatError as error:
            with_error, last = True, error
        expect(with_error, expected=True, what=f"that {wrong[:20]!r} is refused")
    raise last


@case(KIND, "a file of answers tells neither inputs nor where its model is reached with what", accepts=EITHER)
def _() -> None:
    path = _answers()
    with closing(sqlite3.connect(path)) as connection:
        (identity,) = connection.execute("SELECT identity FROM boxes").fetchone()
    expect(json.loads(identity)[0], ["key", "k"], "what the model is known by")
