"""What a service takes at once, and what its description leaves out: learned from what it answers."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from black_box_servers import Reply, Request, json_model, probabilities, serve

import likethat as lt
from likethat.errors import BlackBoxError, InputError
from likethat.models.black_box.portions import RefusedError, fewer_rows

JSON: dict[str, Any] = {"template": {"instances": "$inputs"}, "answer": "predictions"}
V2: dict[str, Any] = {"backoff": 0.001, "check_determinism": False}
ROWS = torch.arange(20, dtype=torch.float64).reshape(10, 2) / 40
EXPECTED = torch.tensor(probabilities(ROWS.tolist()), dtype=torch.float64)


def close(found: Any) -> bool:
    return bool(torch.allclose(found, EXPECTED, atol=1e-6))


@pytest.mark.parametrize(
    ("status", "said", "sizes"),
    [
        (413, "", [10, 5, 2, 2, 2, 2, 2]),
        (400, "inference request batch-size must be <= 3 for 'm'", [10, 3, 3, 3, 1]),
        (422, "Too many instances: at most 3 are taken, got 10.", [10, 3, 3, 3, 1]),
        (503, "batch exceeds what fits", [10, 5, 2, 2, 2, 2, 2]),
    ],
)
def test_what_a_service_takes_at_once_is_learned(status: int, said: str, sizes: list[int]) -> None:
    def answer(request: Request) -> Reply:
        return json_model(request) if len(request.body["instances"]) <= 3 else Reply({"error": said}, status)

    with serve(answer) as service:
        box = lt.BlackBox(service.url, **JSON, **V2, retries=0)
        assert close(box(ROWS))
        assert [len(request.body["instances"]) for request in service.requests] == sizes
        box(ROWS + 0.001)  # no larger portion is tried again
        assert max(len(request.body["instances"]) for request in service.requests[len(sizes) :]) == sizes[-2]
        assert box.queries == 20
    assert box.notes == (f"{box.name} takes {sizes[-2]} rows at once: learned from what it answered to more",)


def test_an_answer_that_is_too_large_is_asked_for_in_portions() -> None:
    with serve(json_model) as service:
        assert close(lt.BlackBox(service.url, **JSON, **V2, max_answer=150)(ROWS))
    assert [len(request.body["instances"]) for request in service.requests][:2] == [10, 5]


def test_what_has_nothing_to_do_with_the_number_is_not_tried_again() -> None:
    other = Reply({"error": "feature 3 is none of mine"}, 400)
    with serve(lambda request: other) as service, pytest.raises(BlackBoxError, match="status 400"):
        lt.BlackBox(service.url, **JSON, **V2)(ROWS)
    assert len(service.requests) == 1
    large = Reply({"error": "too large"}, 413)
    with serve(lambda request: large) as service, pytest.raises(BlackBoxError, match="Lower batch_size"):
        lt.BlackBox(service.url, **JSON, **V2)(ROWS)
    assert [len(request.body["instances"]) for request in service.requests] == [10, 5, 2, 1]


@pytest.mark.parametrize(
    ("said", "n", "fewer"),
    [("batch size 64 exceeds the maximum of 16", 64, 16), ("batch exceeds 1.5 MB", 64, 32), ("batch of max 3", 1, None),
     ("no rows", 64, None), ("max batch is 4 or 8", 64, 32)],
)  # fmt: skip
def test_a_number_in_words(said: str, n: int, fewer: int | None) -> None:
    assert fewer_rows(RefusedError("", status=400, said=said), n) == fewer


def strict(
    shape: list[int], *, most: int | None = None, describes: bool = True, takes_rows: bool = True, config: bool = True
) -> Any:
    """A server of version 2 that takes what the protocol's text allows and nothing else; with `most`, as Triton is."""

    def answer(request: Request) -> Reply:
        if request.method == "GET" and request.path == "/v2/models/m":
            inputs = [{"name": "x", "datatype": "FP64", "shape": shape}]
            platform = {"platform": "onnxruntime_onnx"} if most is not None else {"platform": ""}
            return Reply({"name": "m", "inputs": inputs, **platform}) if describes else Reply({"error": "no"}, 404)
        if request.method == "GET" and request.path == "/v2/models/m/config" and config:
            return Reply({"name": "m", "max_batch_size": most})
        if request.method != "POST" or request.path != "/v2/models/m/infer":
            return Reply({"error": "not found"}, 404)
        fault = _fault(request.body)
        (tensor,) = request.body["inputs"]
        rank = 2 if takes_rows else 1
        if fault or len(tensor["shape"]) != rank:
            return Reply({"error": fault or f"unexpected shape for input 'x', got {tensor['shape']}"}, 400)
        n = tensor["shape"][0] if takes_rows else 1
        if most and n > most:
            return Reply({"error": f"inference request batch-size must be <= {most} for 'm'"}, 400)
        rows = np.array(probabilities(np.array(tensor["data"]).reshape(n, -1).tolist()))
        found = {"name": "p", "datatype": "FP64", "shape": [n, 2][-rank:], "data": rows.ravel().tolist()}
        return Reply({"model_name": "m", "outputs": [found]})

    return answer


def _fault(body: Any) -> str:
    if not set(body) <= {"id", "parameters", "inputs", "outputs"} or not body["inputs"]:
        return "unknown keys of a request"
    for tensor in body["inputs"]:
        if not set(tensor) <= {"name", "shape", "datatype", "parameters", "data"}:
            return "unknown keys of a tensor"
        if any(isinstance(size, bool) or not isinstance(size, int) or size < 0 for size in tensor["shape"]):
            return "a shape of something else than whole numbers"
        if len(tensor["data"]) != int(np.prod(tensor["shape"])):
            return f"unexpected number of elements for {tensor['shape']}"
    return ""


def test_triton_says_beforehand_what_it_takes_at_once() -> None:
    with serve(strict([-1, 2], most=4)) as service:
        box = lt.BlackBox(service.url + "/v2/models/m", **V2)
        assert close(box(ROWS))
    sizes = [request.body["inputs"][0]["shape"] for request in service.requests if request.method == "POST"]
    assert (sizes, box.notes) == ([[4, 2], [4, 2], [2, 2]], ())
    with serve(strict([-1, 2], most=4, config=False)) as service:  # a gateway that lets no such question through
        assert close(lt.BlackBox(service.url + "/v2/models/m", **V2)(ROWS))


def test_a_model_without_an_axis_of_rows() -> None:
    with serve(strict([2], most=0, takes_rows=False)) as service:
        assert close(lt.BlackBox(service.url + "/v2/models/m", **V2)(ROWS))
        assert close(lt.BlackBox(service.url + "/v2/models/m", **V2)(pd.DataFrame(ROWS.numpy(), columns=["a", "b"])))
    assert [request.body["inputs"][0]["shape"] for request in service.requests[2:12]] == [[2]] * 10


def test_a_description_without_the_axis_of_rows() -> None:
    with serve(strict([2])) as service:
        assert close(lt.BlackBox(service.url + "/v2/models/m", **V2)(ROWS))
        assert len(service.requests) == 2
    with serve(strict([2], takes_rows=False)) as service:
        box = lt.BlackBox(service.url + "/v2/models/m", **V2)
        assert close(box(ROWS))
        assert len(service.requests) == 12  # the description, all rows in vain, ten rows
        box(ROWS[:1] + 0.001)
        assert len(service.requests) == 13


def test_a_server_that_describes_nothing() -> None:
    with serve(strict([2], describes=False)) as service:
        assert close(lt.BlackBox(service.url + "/v2/models/m", **V2)(ROWS))
        with pytest.raises(BlackBoxError, match="status 404"):
            lt.BlackBox(service.url + "/v2/models/gone", **V2)(ROWS)


def first_version(request: Request) -> Reply:
    """What KServe answers at /v1/models/m:predict, and nowhere else."""
    if (request.method, request.path) != ("POST", "/v1/models/m:predict") or set(request.body) != {"instances"}:
        return Reply({"error": "not found"}, 404)
    rows = [list(row.values())[:2] if isinstance(row, dict) else row for row in request.body["instances"]]
    return Reply({"predictions": probabilities(rows)})


@pytest.mark.parametrize("path", ["/v1/models/m", "/v1/models/m:predict", "/v1/models/m/"])
def test_the_first_version_of_the_protocol(path: str) -> None:
    with serve(first_version) as service:
        box = lt.BlackBox(service.url + path, **V2)
        assert close(box(ROWS))
        assert box.name == f"{service.url}/v1/models/m"
        table = pd.DataFrame(ROWS.numpy(), columns=["a", "b"])
        box(table + 0.5)
        box(table.assign(job="x"))
    bodies = [request.body["instances"][0] for request in service.requests]
    assert bodies == [[0.0, 0.025], [0.5, 0.525], {"a": 0.0, "b": 0.025, "job": "x"}]


def test_outputs_of_the_first_version() -> None:
    """As TensorFlow Serving answers for a model of several outputs."""

    def answer(request: Request) -> Reply:
        rows = probabilities(request.body["instances"])
        return Reply({"predictions": [{"a": row, "b": row[::-1], "classes": 1} for row in rows]})

    with serve(answer) as service:
        with pytest.raises(InputError, match="holds the probabilities: 'a', 'b', 'classes'"):
            lt.BlackBox(service.url + "/v1/models/m", **V2)(ROWS)
        assert close(lt.BlackBox(service.url + "/v1/models/m", **V2, output_name="a")(ROWS))
        assert close(lt.BlackBox(service.url + "/v1/models/m", **V2, output_name="b")(ROWS).flip(1))
        names = [
            lt.BlackBox(service.url + "/v1/models/m", output_name=name)._oracle.backend.facts.identity for name in "ab"
        ]
    assert names[0] != names[1]
