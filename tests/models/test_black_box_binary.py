"""Tensors as bytes: a strict mock that speaks the binary data extension, and answers that do not."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from black_box_servers import Reply, Request, probabilities, serve

import likethat as lt
from likethat.errors import BlackBoxError, InputError

FORMATS = {"FP32": "f", "FP64": "d", "FP16": "e", "INT64": "q", "UINT8": "B", "BOOL": "?"}
ROWS = torch.tensor([[0.25, 0.5], [1.0, 0.0], [0.125, 0.375]])
EXPECTED = [[0.625, 0.375], [0.5, 0.5], [0.75, 0.25]]
OPTIONS: dict[str, Any] = {"backoff": 0.001, "check_determinism": False}


def read(raw: bytes, datatype: str) -> list[Any]:
    """Read a tensor as the extension says, without our own code."""
    if datatype == "BYTES":
        texts = []
        while raw:
            (size,) = struct.unpack("<I", raw[:4])
            assert len(raw) >= 4 + size
            texts.append(raw[4 : 4 + size].decode())
            raw = raw[4 + size :]
        return texts
    if datatype == "BF16":
        halves = struct.unpack(f"<{len(raw) // 2}H", raw)
        return [struct.unpack("<f", struct.pack("<I", half << 16))[0] for half in halves]
    size = struct.calcsize(FORMATS[datatype])
    return list(struct.unpack(f"<{len(raw) // size}{FORMATS[datatype]}", raw))


def written(values: list[Any], datatype: str) -> bytes:
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(str(value).encode())) + str(value).encode() for value in values)
    if datatype == "BF16":
        return b"".join(struct.pack("<f", value)[2:] for value in values)
    return struct.pack(f"<{len(values)}{FORMATS[datatype]}", *values)


def strict(metadata: dict[str, Any], seen: list[dict[str, Any]], *, output: str = "FP32") -> Callable[[Request], Reply]:
    """A server that refuses whatever the extension does not allow."""

    def answer(request: Request) -> Reply:
        if request.method == "GET":
            return Reply(metadata)
        tail, found = request.tail, {}
        if request.headers["content-type"] != "application/octet-stream":
            return Reply({"error": "binary tensors alone"}, status=400)
        for tensor in request.body["inputs"]:
            assert "data" not in tensor
            size = tensor["parameters"]["binary_data_size"]
            found[tensor["name"]] = read(tail[:size], tensor["datatype"])
            assert len(found[tensor["name"]]) == np.prod(tensor["shape"])
            tail = tail[size:]
        assert not tail
        assert request.body["parameters"]["binary_data_output"] is True
        seen.append(found)
        n = request.body["inputs"][0]["shape"][0]
        columns = [np.array([len(x) / 8 if isinstance(x, str) else x for x in each]) for each in found.values()]
        rows = np.concatenate([column.reshape(n, -1) for column in columns], axis=1).astype(float)
        raw = written([number for row in probabilities(rows.tolist()) for number in row], output)
        names = written(["a", "b"] * n, "BYTES")
        told = [
            {"name": "names", "datatype": "BYTES", "shape": [n, 2], "parameters": {"binary_data_size": len(names)}},
            {"name": "p", "datatype": output, "shape": [n, 2], "parameters": {"binary_data_size": len(raw)}},
        ]
        head = Reply({"outputs": told}).raw()
        return Reply(head + names + raw, headers={"Inference-Header-Content-Length": str(len(head))})

    return answer


def slot(name: str, shape: list[int], datatype: str) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


@pytest.mark.parametrize("output", ["FP32", "FP64", "FP16", "BF16"])
@pytest.mark.parametrize("datatype", ["FP32", "FP64", "FP16", "BF16"])
def test_numbers_travel_as_bytes_in_the_type_of_the_model(datatype: str, output: str) -> None:
    seen: list[dict[str, Any]] = []
    with serve(strict({"inputs": [slot("x", [-1, 2], datatype)]}, seen, output=output)) as service:
        box = lt.BlackBox(service.url + "/v2/models/m", binary_data=True, **OPTIONS)
        assert box(ROWS).tolist() == EXPECTED
    assert seen == [{"x": ROWS.flatten().tolist()}]


def test_columns_of_texts_and_numbers_travel_as_bytes() -> None:
    seen: list[dict[str, Any]] = []
    slots = [slot("kind", [-1, 1], "BYTES"), slot("age", [-1, 1], "INT64"), slot("is_new", [-1, 1], "BOOL")]
    table = pd.DataFrame({"age": [1, 0], "kind": ["é…", ""], "is_new": [False, True]})
    with serve(strict({"inputs": slots}, seen)) as service:
        box = lt.BlackBox(service.url + "/v2/models/m", binary_data=True, **OPTIONS)
        assert torch.allclose(box(table)[:, 1], torch.tensor([1.25 / 3, 1 / 3], dtype=torch.float64))
    assert seen == [{"kind": ["é…", ""], "age": [1, 0], "is_new": [False, True]}]


def test_missing_numbers_travel_as_they_are() -> None:
    seen: list[dict[str, Any]] = []
    with serve(strict({"inputs": [slot("a", [-1], "FP32"), slot("b", [-1], "FP32")]}, seen)) as service:
        box = lt.BlackBox(service.url + "/v2/models/m", binary_data=True, **OPTIONS)
        with pytest.raises(BlackBoxError):
            box(pd.DataFrame({"a": [float("nan")], "b": [0.5]}))  # the model's own answer is NaN
    assert np.isnan(seen[0]["a"][0])


def test_triton_gets_halves_as_bytes_unasked() -> None:
    seen: list[dict[str, Any]] = []
    metadata = {"platform": "onnxruntime_onnx", "inputs": [slot("x", [-1, 2], "FP16")]}
    with serve(strict(metadata, seen)) as service:
        assert lt.BlackBox(service.url + "/v2/models/m", **OPTIONS)(ROWS).tolist() == EXPECTED
        with pytest.raises(BlackBoxError, match="binary tensors alone"):
            lt.BlackBox(service.url + "/v2/models/m", binary_data=False, **OPTIONS)(ROWS)


def test_an_output_of_texts_that_say_numbers_is_read() -> None:
    with serve(strict({"inputs": [slot("x", [-1, 2], "FP32")]}, [], output="BYTES")) as service:
        box = lt.BlackBox(service.url + "/v2/models/m", binary_data=True, output_name="p", **OPTIONS)
        assert box(ROWS).tolist() == EXPECTED
        with pytest.raises(BlackBoxError, match="must answer with numbers in the shape it says"):
            lt.BlackBox(service.url + "/v2/models/m", binary_data=True, output_name="names", **OPTIONS)(ROWS)


@pytest.mark.parametrize(
    ("size", "datatype", "raw"),
    [
        (9, "FP32", b"x" * 8), (4, "FP32", b"x" * 8), (-1, "FP32", b""), (True, "UINT8", b"x"), ("8", "FP32", b"x" * 8),
        (8, "FP31", b"x" * 8), (7, "FP32", b"x" * 7), (6, "BYTES", b"\x09\0\0\0ab"), (2, "BYTES", b"\x09\0"),
    ],
)  # fmt: skip
def test_answers_whose_bytes_do_not_fit_are_refused(size: Any, datatype: str, raw: bytes) -> None:
    told = {"name": "p", "datatype": datatype, "shape": [1, 2], "parameters": {"binary_data_size": size}}
    head = Reply({"outputs": [told]}).raw()

    def answer(request: Request) -> Reply:
        if request.method == "GET":
            return Reply({"inputs": []})
        return Reply(head + raw, headers={"Inference-Header-Content-Length": str(len(head))})

    with serve(answer) as service, pytest.raises(BlackBoxError, match="as many bytes as it says"):
        lt.BlackBox(service.url + "/v2/models/m", **OPTIONS)(ROWS[:1])


def test_who_takes_no_bytes_says_so() -> None:
    with pytest.raises(InputError, match="`binary_data` is no option of"):
        lt.BlackBox("https://host/v1/models/m", binary_data=True)
    with pytest.raises(InputError, match="`binary_data` must be"):
        lt.BlackBox("https://host/v2/models/m", binary_data="yes")  # type: ignore[arg-type]
