"""Services that mean well, and answer otherwise than one expects."""

from typing import Any

import pandas as pd
import torch

import likethat as lt
from likethat.errors import LikethatError
from robustness_cases import REFUSED, RIGHT, Wrong, case, expect
from robustness_cases._services import PLAIN, V2, Asked, serve, slot, v2
from robustness_cases.number_types import onnx_file, softmax

KIND = "servers"
ROWS = torch.tensor([[0.25, 0.5], [0.5, 1.0], [0.0, 0.0]])


def _mean_model(*slots: dict[str, Any], size: int) -> Any:
    """A model of exactly `size` rows: (1 - first, first) of each row, status 400 to another number."""

    def answer(path: str, body: Any) -> Any:
        if not path.endswith("/infer"):
            return {"inputs": list(slots)}
        (tensor,) = body["inputs"]
        if tensor["shape"][0] != size:
            return 400, {}, {"error": f"batch of {tensor['shape'][0]}"}
        firsts = tensor["data"][:: len(tensor["data"]) // size]
        flat = [number for first in firsts for number in (1 - first, first)]
        return {"outputs": [{"name": "p", "shape": [size, 2], "datatype": "FP32", "data": flat}]}

    return answer


def _asked_in_pieces(size: int) -> tuple[lt.BlackBox, Asked]:
    with serve(_mean_model(slot("x", [size, 2], "FP32"), size=size)) as service:
        box = lt.BlackBox(service.url + "/v2/models/m", **V2)
        expect(box(ROWS)[:, 1].tolist(), [0.25, 0.5, 0.0], "the answers")
        return box, service


@case(KIND, "a model of exactly 8 rows gets 3 rows and the last one 5 times more", accepts=RIGHT)
def _() -> None:
    box, service = _asked_in_pieces(8)
    expect(service.data()[0][4:], [0.0, 0.0] * 6, "what follows the first two rows")
    expect((box.queries, len(service.bodies)), (3, 1), "queries and requests")
    expect(any("8 rows at once" in note for note in box.notes), expected=True, what="that it is said")


@case(KIND, "a model of exactly 2 rows gets 3 rows in two requests", accepts=RIGHT)
def _() -> None:
    box, service = _asked_in_pieces(2)
    expect((service.data()[0], service.data(1)[0]), ([0.25, 0.5, 0.5, 1.0], [0.0] * 4), "what was sent")
    expect((box.queries, len(service.bodies)), (3, 2), "queries and requests")


@case(KIND, "a model of exactly 1 row is asked row by row, and nothing is filled up", accepts=RIGHT)
def _() -> None:
    box, service = _asked_in_pieces(1)
    expect((box.queries, len(service.bodies), box.notes), (3, 3, ()), "queries, requests and notes")


@case(KIND, "texts for a model of exactly 4 rows are filled up too", accepts=RIGHT)
def _() -> None:
    with serve(v2(slot("t", [4], "BYTES"))) as service:
        lt.BlackBox(service.url + "/v2/models/m", **V2)(["a", "b"])
        expect(service.data(), [["a", "b", "b", "b"]], "what was sent")


@case(KIND, "columns for a model of exactly 4 rows are filled up, each", accepts=RIGHT)
def _() -> None:
    with serve(v2(slot("a", [4, 1], "FP64"), slot("b", [4, 1], "INT64"))) as service:
        lt.BlackBox(service.url + "/v2/models/m", **V2)(pd.DataFrame({"a": [0.5, 1.5], "b": [1, 2]}))
        expect(service.data(), [[0.5, 1.5, 1.5, 1.5], [1, 2, 2, 2]], "what was sent")


@case(KIND, "a model of exactly 4 rows that answers 3 is refused", accepts=REFUSED)
def _() -> None:
    with serve(v2(slot("x", [4, 2], "FP32"), rows=[[0.5, 0.5]] * 3)) as service:
        lt.BlackBox(service.url + "/v2/models/m", **V2)(ROWS)


@case(KIND, "a model that says it takes 10 ** 12 rows at once is refused, nothing is filled up", accepts=REFUSED)
def _() -> None:
    with serve(v2(slot("x", [10**12, 2], "FP32"))) as service:
        lt.BlackBox(service.url + "/v2/models/m", **V2)(ROWS)


@case(KIND, "an ONNX file of exactly 4 rows answers 3, of which 3 are counted", accepts=RIGHT)
def _() -> None:
    box = lt.BlackBox(onnx_file("FLOAT", [4, 2]), output="logits", check_determinism=False)
    expect(box(ROWS).numpy()[1], softmax(0.5, 1.0), "the second answer", tolerance=1e-6)
    expect(box.queries, 3, "queries")
    expect(any("4 rows at once" in note for note in box.notes), expected=True, what="that it is said")


COMPLAINTS: dict[str, Any] = {
    "error": {"error": "the tokenizer is not loaded"},
    "a nested error": {"error": {"code": 7, "message": "the tokenizer is not loaded"}},
    "a list of errors": {"errors": [{"message": "the tokenizer is not loaded"}]},
    "detail": {"detail": "the tokenizer is not loaded"},
    "a list of details": {"detail": [{"loc": ["body"], "msg": "the tokenizer is not loaded"}]},
    "an error beside no rows": {"predictions": [], "error": "the tokenizer is not loaded"},
    "an error below the rows": {"predictions": {"error": "the tokenizer is not loaded"}},
    "a text in place of rows": {"predictions": "the tokenizer is not loaded"},
}


def _shows(url: str, options: dict[str, Any]) -> None:
    """Ask, and check that what is raised tells the service's own words."""
    try:
        lt.BlackBox(url, **options)(ROWS)
    except LikethatError as error:
        if "the tokenizer is not loaded" not in str(error):
            raise Wrong(f"it does not tell the service's own words: {error}") from None
        raise


for _name, _reply in COMPLAINTS.items():

    @case(KIND, f"a plain service says in a 200 that it fails ({_name}): its words are shown", accepts=REFUSED)
    def _(reply: Any = _reply) -> None:
        with serve(lambda *_: reply) as service:
            _shows(service.url, PLAIN)


@case(KIND, "a service of one row a request says in a 200 that it fails: its words are shown", accepts=REFUSED)
def _() -> None:
    with serve(lambda *_: {"error": "the tokenizer is not loaded"}) as service:
        _shows(service.url, {**PLAIN, "template": {"x": "$input"}, "answer": ""})


@case(KIND, "an inference server says in a 200 that it fails: its words are shown", accepts=REFUSED)
def _() -> None:
    def answer(path: str, body: Any) -> Any:  # noqa: ARG001
        return {"error": "the tokenizer is not loaded"} if path.endswith("/infer") else {"inputs": []}

    with serve(answer) as service:
        _shows(service.url + "/v2/models/m", V2)


@case(KIND, "an inference server describes no model but an error: its words are shown", accepts=REFUSED)
def _() -> None:
    with serve(lambda *_: {"error": "the tokenizer is not loaded"}) as service:
        _shows(service.url + "/v2/models/m", V2)


@case(KIND, "a status 400 with an error: the server's words are shown", accepts=REFUSED)
def _() -> None:
    with serve(lambda *_: (400, {}, {"error": "the tokenizer is not loaded"})) as service:
        _shows(service.url, PLAIN)


@case(KIND, "classes that are called error and message are classes", accepts=RIGHT)
def _() -> None:
    with serve(lambda *_: {"predictions": [{"error": 0.25, "message": 0.75}] * 3}) as service:
        box = lt.BlackBox(service.url, **PLAIN)
        expect(box(ROWS)[0].tolist(), [0.25, 0.75], "the first answer")
        expect(box.class_names, ("error", "message"), "the classes")


@case(KIND, "probabilities in BF16 whose sum is .9961 are probabilities", accepts=RIGHT)
def _() -> None:
    with serve(v2(datatype="BF16", rows=[[0.33203125, 0.33203125, 0.33203125]] * 3)) as service:
        box = lt.BlackBox(service.url + "/v2/models/m", **V2)
        expect(box(ROWS)[0].numpy(), [1 / 3] * 3, "the first answer", tolerance=1e-9)


@case(KIND, "probabilities in FP32 whose sum is .9961 are refused", accepts=REFUSED)
def _() -> None:
    with serve(v2(datatype="FP32", rows=[[0.33203125, 0.33203125, 0.33203125]] * 3)) as service:
        lt.BlackBox(service.url + "/v2/models/m", **V2)(ROWS)


@case(KIND, "whole numbers as outputs are labels, and refused", accepts=REFUSED)
def _() -> None:
    with serve(v2(datatype="INT64", rows=[[1, 0]] * 3)) as service:
        lt.BlackBox(service.url + "/v2/models/m", **V2)(ROWS)


@case(KIND, "an answer packed once by gzip is unpacked", accepts=RIGHT)
def _() -> None:
    import gzip

    packed = gzip.compress(b'{"predictions": [[0.25, 0.75], [0.25, 0.75], [0.25, 0.75]]}')
    with serve(lambda *_: (200, {"Content-Encoding": "gzip"}, packed)) as service:
        expect(lt.BlackBox(service.url, **PLAIN)(ROWS)[2].tolist(), [0.25, 0.75], "the third answer")


@case(KIND, "an answer packed by deflate, with or without its header, is unpacked", accepts=RIGHT)
def _() -> None:
    import zlib

    content = b'{"predictions": [[0.25, 0.75], [0.25, 0.75], [0.25, 0.75]]}'
    for packed in (zlib.compress(content), zlib.compress(content)[2:-4]):
        with serve(lambda *_, packed=packed: (200, {"Content-Encoding": "deflate"}, packed)) as service:
            expect(lt.BlackBox(service.url, **PLAIN)(ROWS)[2].tolist(), [0.25, 0.75], "the third answer")


@case(KIND, "a password with signs that an address must escape arrives as it is", accepts=RIGHT)
def _() -> None:
    import base64

    with serve(lambda *_: {"predictions": [[0.25, 0.75]] * 3}) as service:
        url = service.url.replace("://", "://me%40work:p%2Fw%3A%25%20rd@")
        lt.BlackBox(url, **PLAIN)(ROWS)
        expect(
            service.requests[0][2]["authorization"],
            "Basic " + base64.b64encode(b"me@work:p/w:% rd").decode(),
            "the header that arrived",
        )
