"""Numbers reach a model in the type of its input, or not at all."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import likethat as lt
from robustness_cases import EITHER, REFUSED, RIGHT, Skip, case, expect
from robustness_cases._services import PLAIN, V2, serve, slot, v2

KIND = "number types"
GREY = torch.tensor([0.0, 51.0, 102.0, 255.0]).reshape(1, 1, 2, 2) / 255
LEVELS = [0, 51, 102, 255]


def onnx_file(kind: str, shape: list[Any], *, output: str = "FLOAT") -> Path:
    """Write a model that gives back its input as its two (or more) outputs, as floats, without softmax."""
    try:
        import onnx
        import onnxruntime  # noqa: F401
        from onnx import TensorProto, helper
    except ImportError:
        raise Skip("onnx and onnxruntime are not installed") from None
    nodes = [
        helper.make_node("Cast", ["x"], ["c"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["c"], ["f"]),
        helper.make_node("Cast", ["f"], ["p"], to=getattr(TensorProto, output)),
    ]
    given = helper.make_tensor_value_info("x", getattr(TensorProto, kind), shape)
    found = helper.make_tensor_value_info("p", getattr(TensorProto, output), [shape[0], None])
    graph = helper.make_graph(nodes, "g", [given], [found])
    path = Path(tempfile.mkdtemp()) / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def softmax(*numbers: float) -> np.ndarray:
    """Softmax of a row, by hand."""
    powers = np.exp(np.array(numbers, dtype=float) - max(numbers))
    return powers / powers.sum()


def through_onnx(kind: str, given: Any, *, shape: list[Any] | None = None, **options: Any) -> lt.BlackBox:
    """Ask a model of one type of input; its logits are what reached it."""
    box = lt.BlackBox(onnx_file(kind, shape or ["n", None]), output="logits", check_determinism=False, **options)
    box.answers = box(given)  # type: ignore[attr-defined]
    return box


def sent(datatype: str, inputs: Any, shape: list[int] | None = None) -> Any:
    """Ask a server of one type of input; return the data that reached it."""
    with serve(v2(slot("x", shape or [-1, 2], datatype))) as service:
        lt.BlackBox(service.url + "/v2/models/m", **V2)(inputs)
        return service.data()[0]


@case(KIND, "ONNX UINT8 gets an image in [0, 1] as 0 to 255, and that is said", accepts=RIGHT)
def _() -> None:
    box = through_onnx("UINT8", GREY, shape=["n", 1, 2, 2])
    expect(box.answers.numpy()[0], softmax(*LEVELS), "what reached the model", tolerance=1e-9)  # type: ignore[attr-defined]
    expect(any("0 to 255" in note for note in box.notes), expected=True, what="that it is said")


@case(KIND, "ONNX UINT8, channels last by inputs=, is scaled all the same", accepts=RIGHT)
def _() -> None:
    box = through_onnx("UINT8", GREY, shape=["n", 2, 2, 1], inputs=lambda x: x.permute(0, 2, 3, 1))
    expect(box.answers.numpy()[0], softmax(*LEVELS), "what reached the model", tolerance=1e-9)  # type: ignore[attr-defined]


@case(KIND, "ONNX UINT8 gets a float image from 0 to 255 as it is, 254.99998 as 255", accepts=RIGHT)
def _() -> None:
    image = torch.tensor([3.0, 3.9999998, 2.0, 254.99998]).reshape(1, 1, 2, 2)
    box = through_onnx("UINT8", image, shape=["n", 1, 2, 2])
    expect(box.answers.numpy()[0], softmax(3, 4, 2, 255), "what reached the model", tolerance=1e-9)  # type: ignore[attr-defined]


@case(KIND, "ONNX UINT8: an image to 255 after images to 1 is refused", accepts=REFUSED)
def _() -> None:
    through_onnx("UINT8", GREY, shape=["n", 1, 2, 2])(GREY * 255)


@case(KIND, "ONNX UINT8: uint8 tensors go in as they are", accepts=RIGHT)
def _() -> None:
    image = torch.tensor([0, 1, 1, 0], dtype=torch.uint8).reshape(1, 1, 2, 2)
    box = through_onnx("UINT8", image, shape=["n", 1, 2, 2])
    expect(box.answers.numpy()[0], softmax(0, 1, 1, 0), "what reached the model", tolerance=1e-9)  # type: ignore[attr-defined]
    expect(box.notes, ("logits were taken: softmax applied",), "notes")


@case(KIND, "Open Inference UINT8 gets an image in [0, 1] as 0 to 255", accepts=RIGHT)
def _() -> None:
    expect(sent("UINT8", GREY, [-1, 1, 2, 2]), LEVELS, "what was sent")


@case(KIND, "an image in [0, 1] between two levels goes to the nearer one", accepts=RIGHT)
def _() -> None:
    image = torch.tensor([0.0, 0.5, 0.999, 1.0]).reshape(1, 1, 2, 2)
    expect(sent("UINT8", image, [-1, 1, 2, 2]), [0, 128, 255, 255], "what was sent")


@case(KIND, "rows of fractions for UINT8 are refused", accepts=REFUSED)
def _() -> None:
    sent("UINT8", torch.tensor([[0.25, 0.75]]))


REFUSALS: dict[str, tuple[str, Any]] = {
    "a fraction for INT64": ("INT64", torch.tensor([[1.0, 2.5]])),
    "300 for UINT8": ("UINT8", torch.tensor([[1.0, 300.0]])),
    "-1 for UINT16": ("UINT16", torch.tensor([[1.0, -1.0]])),
    "200 for INT8": ("INT8", torch.tensor([[1, 200]])),
    "1e30 for INT64": ("INT64", torch.tensor([[1.0, 1e30]])),
    "2 for BOOL": ("BOOL", torch.tensor([[1.0, 2.0]])),
    "a half for BOOL": ("BOOL", torch.tensor([[1.0, 0.5]])),
    "a missing value for INT32": ("INT32", pd.DataFrame({"a": [1.0], "b": [np.nan]})),
    "a missing nullable integer for INT64": ("INT64", pd.DataFrame({"a": [1], "b": pd.array([None], dtype="Int64")})),
    "a missing boolean for BOOL": ("BOOL", pd.DataFrame({"a": [True], "b": pd.array([None], dtype="boolean")})),
    "an image of fractions for INT8": ("INT8", GREY),
    "70000 for FP16": ("FP16", torch.tensor([[1.0, 70000.0]])),
    "1e300 for FP32": ("FP32", torch.tensor([[1.0, 1e300]], dtype=torch.float64)),
    "a date for FP32": ("FP32", pd.DataFrame({"a": [1.0], "b": pd.to_datetime(["2020-01-02"])})),
    "a duration for FP64": ("FP64", pd.DataFrame({"a": [1.0], "b": pd.to_timedelta(["1 day"])})),
    "digits as text for FP64": ("FP64", pd.DataFrame({"a": [1.0], "b": ["2"]})),
    "a category of words for FP32": ("FP32", pd.DataFrame({"a": [1.0], "b": pd.Categorical(["x"])})),
    "numbers for BYTES": ("BYTES", torch.tensor([[1.0, 2.0]])),
    "a type nobody knows": ("FP4", torch.tensor([[1.0, 2.0]])),
    "infinity for FP64": ("FP64", pd.DataFrame({"a": [1.0], "b": [np.inf]})),
}
ONNX_KINDS = {"FP16": "FLOAT16", "FP32": "FLOAT", "FP64": "DOUBLE", "BYTES": "STRING"}


for _name, (_datatype, _inputs) in REFUSALS.items():

    @case(KIND, f"{_name} of a server is refused", accepts=REFUSED)
    def _(datatype: str = _datatype, inputs: Any = _inputs) -> None:
        sent(datatype, inputs, [-1, 1, 2, 2] if getattr(inputs, "ndim", 2) == 4 else None)

    if _datatype not in ("BYTES", "FP4") and "infinity" not in _name:

        @case(KIND, f"{_name} of an ONNX file is refused", accepts=REFUSED)
        def _(datatype: str = _datatype, inputs: Any = _inputs) -> None:
            shape = ["n", 1, 2, 2] if getattr(inputs, "ndim", 2) == 4 else None
            through_onnx(ONNX_KINDS.get(datatype, datatype), inputs, shape=shape)


RIGHT_ONES: dict[str, tuple[str, Any, list[Any]]] = {
    "whole numbers in floats, for INT64": ("INT64", torch.tensor([[3.0, 4.0]]), [3, 4]),
    "2 ** 53 + 1, for INT64": (
        "INT64",
        pd.DataFrame({"a": [2**53 + 1], "b": [-(2**62) - 1]}),
        [2**53 + 1, -(2**62) - 1],
    ),
    "2 ** 64 - 1, for UINT64": ("UINT64", pd.DataFrame({"a": [2**64 - 1], "b": [0]}), [2**64 - 1, 0]),
    "a uint8 table, for INT32": ("INT32", pd.DataFrame({"a": [200], "b": [7]}, dtype="uint8"), [200, 7]),
    "booleans, for BOOL": ("BOOL", pd.DataFrame({"a": [True], "b": [False]}), [True, False]),
    "0 and 1, for BOOL": ("BOOL", torch.tensor([[0, 1]]), [False, True]),
    "booleans, for FP32": ("FP32", pd.DataFrame({"a": [True], "b": [2.5]}), [1.0, 2.5]),
    "nullable integers, for INT64": ("INT64", pd.DataFrame({"a": [5], "b": [6]}, dtype="Int64"), [5, 6]),
    "a category of numbers, for INT64": ("INT64", pd.DataFrame({"a": pd.Categorical([5]), "b": [6]}), [5, 6]),
    "NaN in a float column, for FP32": ("FP32", pd.DataFrame({"a": [0.5], "b": [np.nan]}), [0.5, None]),
    "a missing nullable integer, for FP64": (
        "FP64",
        pd.DataFrame({"a": [0.5], "b": pd.array([None], dtype="Int64")}),
        [0.5, None],
    ),
    "a quarter, for FP16": ("FP16", torch.tensor([[0.25, 2.0]]), [0.25, 2.0]),
    "a quarter, for BF16": ("BF16", torch.tensor([[0.25, 2.0]]), [0.25, 2.0]),
    "bfloat16 tensors, for FP32": ("FP32", torch.tensor([[0.25, 2.0]], dtype=torch.bfloat16), [0.25, 2.0]),
    "a long fraction, for FP64": ("FP64", torch.tensor([[1 / 3, 1e300]], dtype=torch.float64), [1 / 3, 1e300]),
    "words and whole numbers, for BYTES": ("BYTES", pd.DataFrame({"a": ["x"], "b": [7]}), ["x", "7"]),
    "a category of words, for STRING": ("STRING", pd.DataFrame({"a": pd.Categorical(["x"]), "b": ["y"]}), ["x", "y"]),
}

for _name, (_datatype, _inputs, _expected) in RIGHT_ONES.items():

    @case(KIND, f"{_name} of a server travel as what they are", accepts=RIGHT)
    def _(datatype: str = _datatype, inputs: Any = _inputs, expected: list[Any] = _expected) -> None:
        got = sent(datatype, inputs)
        expect(got, expected, "what was sent")
        expect([type(item) for item in got], [type(item) for item in expected], "the kinds of JSON value")


@case(KIND, "NaN in an FP64 column of its own travels as null, beside an INT64 column", accepts=RIGHT)
def _() -> None:
    table = pd.DataFrame({"a": [0.5, np.nan], "b": [1.0, 2.0]})
    with serve(v2(slot("a", [-1, 1], "FP64"), slot("b", [-1, 1], "INT64"))) as service:
        lt.BlackBox(service.url + "/v2/models/m", **V2)(table)
        expect(service.data(), [[0.5, None], [1, 2]], "what was sent")
        expect([type(x) for x in service.data()[1]], [int, int], "the kinds of JSON value")


@case(KIND, "a fraction in a column of a strict INT64 input is refused", accepts=REFUSED)
def _() -> None:
    with serve(v2(slot("a", [-1, 1], "FP64"), slot("b", [-1, 1], "INT64"))) as service:
        lt.BlackBox(service.url + "/v2/models/m", **V2)(pd.DataFrame({"a": [0.5], "b": [1.5]}))


@case(KIND, "an integer column with missing values goes to a server without metadata as FP64 with null", accepts=RIGHT)
def _() -> None:
    table = pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "word": ["x", "y"]})
    with serve(v2()) as service:
        lt.BlackBox(service.url + "/v2/models/m", **V2)(table)
        first = service.bodies[0]["inputs"][0]
        expect((first["datatype"], first["data"]), ("FP64", [1.0, None]), "the first column")


@case(KIND, "NaN goes into an ONNX tensor of floats as NaN", accepts=RIGHT)
def _() -> None:
    import onnx

    nodes = [
        onnx.helper.make_node("IsNaN", ["x"], ["b"]),
        onnx.helper.make_node("Cast", ["b"], ["p"], to=onnx.TensorProto.FLOAT),
    ]
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 2]) for name in ("x", "p")]
    graph = onnx.helper.make_graph(nodes, "g", ends[:1], ends[1:])
    path = Path(tempfile.mkdtemp()) / "m.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    expect(lt.BlackBox(path)(pd.DataFrame({"a": [1.0], "b": [np.nan]})).tolist(), [[0.0, 1.0]], "what is missing")


@case(KIND, "a missing text for an ONNX input of strings is refused, not sent as 'nan'", accepts=REFUSED)
def _() -> None:
    through_onnx("STRING", pd.DataFrame({"a": ["1"], "b": [None]}))


@case(KIND, "a fraction for an ONNX input of strings is refused", accepts=REFUSED)
def _() -> None:
    through_onnx("STRING", pd.DataFrame({"a": ["1"], "b": [3.0]}))


@case(KIND, "whole numbers for an ONNX input of strings are written in digits", accepts=RIGHT)
def _() -> None:
    box = through_onnx("STRING", pd.DataFrame({"a": ["1"], "b": [3]}))
    expect(box.answers.numpy()[0], softmax(1, 3), "what reached the model", tolerance=1e-9)  # type: ignore[attr-defined]


@case(KIND, "an image with its axes in another order than the model's is refused", accepts=REFUSED)
def _() -> None:
    through_onnx("FLOAT", torch.rand(1, 3, 8, 8), shape=["n", 8, 8, 3])


@case(KIND, "axes of any size in an ONNX file take an image of any size", accepts=RIGHT)
def _() -> None:
    box = through_onnx("FLOAT", torch.tensor([[[[1.0, 2.0, 3.0]]]]), shape=["n", 1, "h", "w"])
    expect(box.answers.numpy()[0], softmax(1, 2, 3), "what reached the model", tolerance=1e-9)  # type: ignore[attr-defined]


@case(KIND, "two columns of one name for a model that takes that name are refused", accepts=REFUSED)
def _() -> None:
    table = pd.DataFrame([[1.0, 2.0, 3.0]], columns=["a", "b", "b"])
    with serve(v2(slot("a", [-1, 1], "FP64"), slot("b", [-1, 1], "FP64"))) as service:
        lt.BlackBox(service.url + "/v2/models/m", **V2)(table)


@case(KIND, "a network in float16 refuses numbers that become infinite in it", accepts=REFUSED)
def _() -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2)).half()
    lt.BlackBox(network)(torch.tensor([[1.0, 1e6]]))


@case(KIND, "a network refuses a table whose numbers do not fit float32", accepts=REFUSED)
def _() -> None:
    lt.BlackBox(torch.nn.Linear(2, 2))(pd.DataFrame({"a": [1.0], "b": [1e300]}))


def _posted(inputs: Any, template: Any = PLAIN["template"], **options: Any) -> Any:
    with serve(lambda *_: {"predictions": [[0.25, 0.75]]}) as service:
        lt.BlackBox(service.url, **{**PLAIN, "template": template, **options})(inputs)
        return service.bodies[0]


@case(KIND, "a plain JSON service gets 3 of an integer column and 3.0 of a float column", accepts=RIGHT)
def _() -> None:
    (row,) = _posted(pd.DataFrame({"a": [3], "b": [3.0], "c": pd.array([4], dtype="Int64")}))["instances"]
    expect((row, [type(item) for item in row]), ([3, 3.0, 4], [int, float, int]), "the row")


@case(KIND, "a plain JSON service gets 3 of an integer tensor", accepts=RIGHT)
def _() -> None:
    (row,) = _posted(torch.tensor([[3, 4]]))["instances"]
    expect((row, [type(item) for item in row]), ([3, 4], [int, int]), "the row")


@case(KIND, "a plain JSON service gets null for each way in which pandas says missing", accepts=RIGHT)
def _() -> None:
    table = pd.DataFrame(
        {
            "a": [np.nan],
            "b": pd.array([None], dtype="Int64"),
            "c": pd.to_datetime([None]),
            "d": [None],
            "e": pd.array([None], dtype="boolean"),
            "f": pd.Categorical([None], categories=["x"]),
        }
    )
    expect(_posted(table)["instances"], [[None] * 6], "the row")


@case(KIND, "a plain JSON service gets decimal numbers as numbers and dates as text", accepts=RIGHT)
def _() -> None:
    from datetime import date
    from decimal import Decimal

    table = pd.DataFrame(
        {"a": [Decimal("1.5")], "b": [date(2020, 1, 2)], "c": np.array(["2020-01-02"], "datetime64[s]")}
    )
    expect(_posted(table)["instances"], [[1.5, "2020-01-02", "2020-01-02T00:00:00"]], "the row")


@case(KIND, "infinity in a table for a JSON service is refused, not sent as null", accepts=REFUSED)
def _() -> None:
    _posted(pd.DataFrame({"a": [1.0], "b": [-np.inf]}))


@case(KIND, "an interval in a table for a JSON service is refused, not sent as null", accepts=REFUSED)
def _() -> None:
    _posted(pd.DataFrame({"a": [pd.Interval(0, 1)]}))


@case(KIND, "two columns of one name as records are refused, as one of them would be lost", accepts=REFUSED)
def _() -> None:
    _posted(pd.DataFrame([[1, 2]], columns=["a", "a"]), {"instances": "$records"})


NO_INPUTS: dict[str, Any] = {
    "an array of objects": np.array([[object(), 1]], dtype=object),
    "an array of texts": np.array([["a", "b"]]),
    "complex numbers": np.array([[1 + 2j, 0]]),
    "a sparse tensor": torch.eye(2).to_sparse(),
    "dates in an array": np.array([["2020-01-02"]], dtype="datetime64[D]"),
    "NaN in a tensor": torch.tensor([[np.nan, 1.0]]),
}
for _name, _inputs in NO_INPUTS.items():

    @case(KIND, f"{_name} as inputs are refused", accepts=REFUSED)
    def _(inputs: Any = _inputs) -> None:
        lt.BlackBox(lambda x: [[0.5, 0.5]] * len(x))(inputs)


@case(KIND, "an array read backwards, or of the other byte order, is taken as what it says", accepts=RIGHT)
def _() -> None:
    box = lt.BlackBox(lambda x: torch.cat([1 - x, x], dim=1))
    expect(box(np.array([[0.25], [0.75]], dtype=">f8")[::-1])[:, 1].tolist(), [0.75, 0.25], "the answers")


def _answered(answer: Any, **options: Any) -> torch.Tensor:
    return lt.BlackBox(lambda _: answer, check_determinism=False, **options)(torch.rand(2, 1))


ANSWERS: dict[str, tuple[Any, dict[str, Any], Any]] = {
    "a column of labels 0, 1, 2 as one column a class": (np.array([[0], [2]]), {"binary": True}, REFUSED),
    "labels as digits in text": (["1", "0"], {}, REFUSED),
    "probabilities in text": ([["0.25", "0.75"]] * 2, {}, EITHER),
    "complex numbers as probabilities": (np.array([[0.5 + 0j, 0.5]] * 2), {}, REFUSED),
    "a whole number beyond all floats": ([[10**400, 1], [0, 1]], {}, REFUSED),
    "percentages": ([[25.0, 75.0]] * 2, {}, REFUSED),
    "scores that do not sum to 1": ([[0.9, 0.8]] * 2, {}, REFUSED),
    "logits said to be probabilities": ([[-1.0, 2.0]] * 2, {"output": "probabilities"}, REFUSED),
    "dates": (np.array([["2020-01-01", "2020-01-02"]] * 2, dtype="datetime64[D]"), {}, REFUSED),
    "one column of probabilities without binary=": ([[0.25], [0.75]], {}, REFUSED),
}
for _name, (_answer, _options, _accepts) in ANSWERS.items():

    @case(KIND, f"an answer of {_name} is refused", accepts=_accepts)
    def _(answer: Any = _answer, options: dict[str, Any] = _options) -> None:
        got = _answered(answer, **options)
        expect(got.numpy(), np.array([[0.25, 0.75]] * 2), "the answers", tolerance=1e-9)


@case(KIND, "a softmax in bfloat16, whose sums are off by up to .004, is taken as probabilities", accepts=RIGHT)
def _() -> None:
    rows = torch.tensor([[0.2, 0.3, 0.5], [0.001, 0.3, 0.699]], dtype=torch.bfloat16).repeat(1, 1)
    exact = torch.tensor([[0.333, 0.333, 0.3301]] * 2, dtype=torch.bfloat16)  # sums to .9961
    for answer in (rows, exact):
        wide = answer.double()
        expect(_answered(answer).numpy(), (wide / wide.sum(1, keepdim=True)).numpy(), "the answers", tolerance=1e-9)


@case(KIND, "a softmax in float16 over 1,000 classes is taken as probabilities", accepts=RIGHT)
def _() -> None:
    rows = torch.randn(2, 1000, generator=torch.Generator().manual_seed(0)).softmax(1).half()
    wide = rows.double()
    expect(_answered(rows).numpy(), (wide / wide.sum(1, keepdim=True)).numpy(), "the answers", tolerance=1e-9)


@case(KIND, "an ONNX file that answers in float16 is read", accepts=RIGHT)
def _() -> None:
    path = onnx_file("FLOAT", ["n", 2], output="FLOAT16")
    got = lt.BlackBox(path, output="logits", check_determinism=False)(torch.tensor([[1.0, 3.0]]))
    expect(got.numpy()[0], softmax(1, 3), "the answers", tolerance=1e-3)


@case(KIND, "probabilities rounded to three digits, .333 three times, are probabilities", accepts=RIGHT)
def _() -> None:
    expect(_answered([[0.333] * 3] * 2).numpy(), np.full((2, 3), 1 / 3), "the answers", tolerance=1e-9)
