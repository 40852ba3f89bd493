"""A bank's model asked by programs: by our own client, and as the protocols' texts say."""

import base64
import io
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import uvicorn
from PIL import Image
from starlette.testclient import TestClient
from toys import pictures, small_cnn

import likethat as lt
from likethat.serve import Limits, application

pytestmark = pytest.mark.slow  # together: a fit, a server, and some explanations

TOKEN = "a-token-of-this-test"
IMAGES = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def bank() -> lt.Bank:
    model = lt.split(small_cnn(), preprocess=lt.Preprocess(size=16), class_names=["red", "green", "blue"])
    return lt.EPIC(n_prototypes=2).fit(model, pictures(40))


@pytest.fixture(scope="module")
def client(bank: lt.Bank) -> Iterator[TestClient]:
    with TestClient(application({"toys": bank}), base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture(scope="module")
def running(bank: lt.Bank) -> Iterator[str]:
    """The same on a port of this machine, with a token, and few images at once."""
    app = application({"toys": bank}, token=TOKEN, limits=Limits(instances=2))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def expected(bank: lt.Bank) -> torch.Tensor:
    with torch.no_grad():
        return bank.model.probabilities(bank.model.logits(IMAGES))


@pytest.mark.parametrize("path", ["/v2/models/toys", "/v1/models/toys"])
def test_our_own_client_gets_the_models_numbers_back(
    bank: lt.Bank, running: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIKETHAT_TEST_TOKEN", TOKEN)
    box = lt.BlackBox(running + path, token_env="LIKETHAT_TEST_TOKEN")
    assert torch.allclose(box(IMAGES), expected(bank), atol=1e-6)
    assert box.notes == (f"{running}{path} takes 2 rows at once: learned from what it answered to more",)
    with pytest.raises(lt.errors.BlackBoxError, match="status 401"):
        lt.BlackBox(running + path)(IMAGES)


def question(**changes: Any) -> dict[str, Any]:
    tensor = {"name": "images", "datatype": "FP32", "shape": [5, 3, 16, 16], "data": IMAGES.flatten().tolist()}
    return {"id": "7", "inputs": [tensor | changes]}


def test_the_second_version(client: TestClient, bank: lt.Bank) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert set(client.get("/v2").json()) == {"name", "version", "extensions"}
    told = client.get("/v2/models/toys").json()
    assert told["inputs"] == [{"name": "images", "datatype": "FP32", "shape": [-1, 3, -1, -1]}]
    assert [(one["name"], one["shape"]) for one in told["outputs"]] == [("probabilities", [-1, 3]), ("logits", [-1, 3])]
    answer = client.post("/v2/models/toys/infer", json=question()).json()
    assert (answer["model_name"], answer["id"]) == ("toys", "7")
    first, second = answer["outputs"]
    assert set(first) == {"name", "datatype", "shape", "data"}
    assert torch.allclose(torch.tensor(first["data"], dtype=torch.float64).reshape(5, 3), expected(bank), atol=1e-6)
    assert torch.tensor(second["data"]).reshape(5, 3).softmax(1).allclose(expected(bank).float(), atol=1e-5)
    one = client.post("/v2/models/toys/infer", json=question() | {"outputs": [{"name": "logits"}]}).json()
    assert [item["name"] for item in one["outputs"]] == ["logits"]
    whole = (IMAGES * 255).round()
    sent = question(datatype="UINT8", data=whole.int().tolist())
    seen = client.post("/v2/models/toys/infer", json=sent).json()["outputs"][1]["data"]
    assert torch.tensor(seen).reshape(5, 3).allclose(bank.model.logits(whole / 255).detach(), atol=1e-5)


BAD: dict[str, tuple[Any, int, str]] = {
    "no JSON": (b"{", 400, "must be a JSON object"),
    "a list": ([1], 400, "must be a JSON object"),
    "no tensor": ({}, 400, "must be one tensor"),
    "another name": (question(name="x"), 400, "must be called 'images'"),
    "another type": (question(datatype="BYTES"), 400, "FP32, FP64 or UINT8"),
    "three axes": (question(shape=[3, 16, 16]), 400, "four numbers"),
    "a negative size": (question(shape=[-1, 3, 16, 16]), 400, "four numbers"),
    "a true size": (question(shape=[True, 3, 16, 16]), 400, "four numbers"),
    "too few numbers": (question(data=[0.5]), 400, "as many numbers as"),
    "endless": (question(shape=[5, 10**12, 10**12, 10**12]), 400, "as many numbers as"),
    "texts": (question(data=["a"]), 400, "must be numbers"),
    "uneven": (question(data=[[1.0], [1.0, 2.0]]), 400, "must be numbers"),
    "too bright": (question(datatype="UINT8", data=[256] * 3840), 400, "must be numbers"),
    "no image": (question(data=[2.0] * 3840), 422, "`inputs` must"),
    "other channels": (question(shape=[15, 1, 16, 16]), 422, "`inputs` must"),
    "many": (question(shape=[10**6, 3, 16, 16]), 400, "at most 256 images at once"),
    "another output": (question() | {"outputs": [{"name": "x"}]}, 400, "must name some of probabilities, logits"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_what_is_no_question(client: TestClient, name: str) -> None:
    body, status, said = BAD[name]
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    answer = client.post("/v2/models/toys/infer", **sent)
    assert (answer.status_code, set(answer.json())) == (status, {"error"})
    assert said in answer.json()["error"]


def test_the_first_version(client: TestClient, bank: lt.Bank) -> None:
    assert client.get("/v1/models").json() == {"models": ["toys"]}
    assert client.get("/v1/models/toys").json() == {"name": "toys", "ready": True}
    assert client.get("/v1/models/gone").status_code == 404
    found = client.post("/v1/models/toys:predict", json={"instances": IMAGES.tolist()}).json()
    assert torch.allclose(torch.tensor(found["predictions"], dtype=torch.float64), expected(bank), atol=1e-6)


def test_explanations_as_kserves_explainers_give_them(client: TestClient, bank: lt.Bank) -> None:
    buffer = io.BytesIO()
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 30, 3), dtype=np.uint8))
    picture.save(buffer, "PNG")
    file = {"image_bytes": {"b64": base64.b64encode(buffer.getvalue()).decode()}}
    sent = {"instances": [IMAGES[0].tolist(), file], "target": "green", "top": 2}
    told = client.post("/v1/models/toys:explain", json=sent)
    assert told.status_code == 200, told.text
    found = told.json()["explanations"]
    for one, image in zip(found, (IMAGES[0], picture), strict=True):
        own = bank.explain(image, "green", top=2)
        assert one["logit"] == pytest.approx(own.logit, rel=1e-5)
        assert [row["unit"] for row in one["rows"]] == [row.unit for row in own.rows]
    against = client.post("/v1/models/toys:explain", json=sent | {"against": "red", "instances": [file]}).json()
    assert against["explanations"][0]["logit"] == pytest.approx(bank.contrast(picture, "green", "red").logit, rel=1e-5)
    for instances, status in (
        ([], 400),
        ([file] * 9, 400),
        ([{"b64": "!"}], 400),
        ([{"b64": "AAAA"}], 422),
        ([[1]], 400),
    ):
        refused = client.post("/v1/models/toys:explain", json={"instances": instances})
        assert (refused.status_code, set(refused.json())) == (status, {"error"})
    assert client.post("/v1/models/toys:explain", json=sent | {"target": "mauve"}).status_code == 422


def test_the_same_door(client: TestClient, bank: lt.Bank) -> None:
    away = {"Origin": "https://elsewhere.example"}
    for path in ("/v2/models/toys/infer", "/v1/models/toys:predict", "/v1/models/toys:explain"):
        assert client.post(path, json=question(), headers=away).status_code == 403
        assert client.post(path, json=question(), headers={"Host": "elsewhere.example"}).status_code == 421
        with TestClient(application({"toys": bank}, limits=Limits(upload=100)), base_url="http://127.0.0.1") as small:
            assert small.post(path, json=question()).status_code == 413
    binary = client.post("/v2/models/toys/infer", json=question(), headers={"Inference-Header-Content-Length": "3"})
    assert binary.status_code == 400
