"""Services that are busy, broken, slow, lying or far away; nothing is lost and no credential gets out."""

import logging
import time
import traceback
from email.utils import formatdate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from black_box_servers import Reply, Request, json_model, probabilities, serve

import likethat as lt
from likethat.errors import BlackBoxError, InputError
from likethat.models.black_box.address import Address

TEMPLATE: dict[str, Any] = {"template": {"instances": "$inputs"}, "answer": "predictions"}
QUICK: dict[str, Any] = {**TEMPLATE, "backoff": 0.001, "timeout": 5.0, "check_determinism": False}
ROWS = torch.tensor([[0.25, 0.25], [0.5, 1.0], [0.0, 0.0]])
EXPECTED = [[0.75, 0.25], [0.25, 0.75], [1.0, 0.0]]
SECRET = "s3cr3t-w0rd"


def test_a_plain_json_service() -> None:
    with serve(json_model) as service:
        box = lt.BlackBox(service.url + "/predict", **QUICK)
        assert box(ROWS).tolist() == EXPECTED
        assert (box.queries, box.requests, box.name) == (3, 1, service.url + "/predict")
    assert service.requests[0].body == {"instances": ROWS.tolist()}
    assert box(ROWS).tolist() == EXPECTED  # the service is gone, the answers are not


def test_what_a_template_can_say() -> None:
    table = pd.DataFrame({"a": [0.25, np.nan], "when": pd.to_datetime(["2020-01-02", None]), "kind": ["x", None]})

    def answer(request: Request) -> Reply:
        return Reply({"out": [{"rows": [[0.5, 0.5]] * 2}]})

    template = {"table": "$records", "names": "$columns", "rows": "$inputs", "model": "m", "n": 3}
    with serve(answer) as service:
        box = lt.BlackBox(service.url, **{**QUICK, "template": template, "answer": "out.0.rows"})
        assert box(table).shape == (2, 2)
    body = service.requests[0].body
    assert body["names"] == ["a", "when", "kind"]
    assert body["rows"] == [[0.25, "2020-01-02T00:00:00", "x"], [None, None, None]]
    assert body["table"][0] == {"a": 0.25, "when": "2020-01-02T00:00:00", "kind": "x"}
    assert (body["model"], body["n"]) == ("m", 3)


def test_one_input_a_request() -> None:
    def answer(request: Request) -> Reply:
        return Reply([{"label": "good", "score": 0.75}, {"label": "bad", "score": 0.25}])

    with serve(answer) as service:
        box = lt.BlackBox(service.url, **{**QUICK, "template": {"text": "$input"}, "answer": ""})
        assert box(["a", "b"]).tolist() == [[0.25, 0.75]] * 2
    assert box.class_names == ("bad", "good")
    assert [request.body for request in service.requests] == [{"text": "a"}, {"text": "b"}]


def failing(times: int, reply: Reply) -> Any:
    """A service that answers `reply` a number of times before it works."""
    left = [times]

    def answer(request: Request) -> Reply:
        left[0] -= 1
        return reply if left[0] >= 0 else json_model(request)

    return answer


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(status: int) -> None:
    with serve(failing(2, Reply({"error": "busy"}, status))) as service:
        box = lt.BlackBox(service.url, **QUICK)
        assert box(ROWS).tolist() == EXPECTED
        assert (box.queries, box.requests) == (3, 3)  # rows answered; requests sent


def test_patience_ends() -> None:
    with serve(failing(100, Reply({"error": "busy"}, 503))) as service:
        box = lt.BlackBox(service.url, **QUICK, retries=2)
        with pytest.raises(BlackBoxError, match=r"an answer with status 503 \('.*busy.*'\), 3 times\..*is kept"):
            box(ROWS)
        assert (box.queries, box.requests) == (0, 3)


ADVICE = {
    401: "token_env=",
    403: "token_env=",
    404: "name of the model",
    413: "Lower batch_size",
    422: "what the service takes",
}


@pytest.mark.parametrize(("status", "advice"), list(ADVICE.items()))
def test_what_will_not_pass_is_not_tried_again(status: int, advice: str) -> None:
    with serve(failing(100, Reply({"error": "no\x1b[31m\n way"}, status))) as service:
        box = lt.BlackBox(service.url, **QUICK)
        with pytest.raises(BlackBoxError, match=advice) as caught:
            box(ROWS)
        assert box.requests == (2 if status == 413 else 1)  # a single row is asked after three
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("after", ["0.2", "date"])
def test_a_service_may_ask_for_patience(after: str) -> None:
    value = formatdate(time.time() + 1.2, usegmt=True) if after == "date" else after
    with serve(failing(1, Reply({}, 429, {"Retry-After": value}))) as service:
        begin = time.monotonic()
        assert lt.BlackBox(service.url, **QUICK)(ROWS).tolist() == EXPECTED
    assert time.monotonic() - begin >= 0.19


def test_too_much_patience_is_refused() -> None:
    with serve(failing(1, Reply({}, 503, {"Retry-After": "3600"}))) as service:
        box = lt.BlackBox(service.url, **QUICK)
        with pytest.raises(BlackBoxError, match=r"1 times\. It asks for 3600 s of patience"):
            box(ROWS)


def test_a_service_that_stalls() -> None:
    def stall(request: Request) -> Reply:
        time.sleep(0.6)
        return json_model(request)

    with serve(stall) as service:
        box = lt.BlackBox(service.url, **{**QUICK, "timeout": 0.1, "retries": 1})
        begin = time.monotonic()
        with pytest.raises(BlackBoxError, match=r"got no answer in 0\.1 s, 2 times"):
            box(ROWS)
        assert time.monotonic() - begin < 2
        assert box.requests == 2


def test_a_service_that_is_not_there() -> None:
    with serve(json_model) as service:
        pass
    box = lt.BlackBox(service.url, **QUICK, retries=1)
    with pytest.raises(BlackBoxError, match=r"no connection \(ConnectError\), 2 times"):
        box(ROWS)


def test_a_service_that_hangs_up_in_the_middle() -> None:
    with serve(
        failing(1, Reply(b'{"predictions": [[0.', 200, {"Content-Length": "500", "Connection": "close"}))
    ) as service:
        assert lt.BlackBox(service.url, **QUICK)(ROWS).tolist() == EXPECTED


NONSENSE: dict[str, tuple[Reply, str]] = {
    "a page": (Reply(b"<html>Sign in</html>"), r"must answer with JSON, got '<html>Sign in</html>'"),
    "nothing": (Reply(b""), "must answer with JSON, got ''"),
    "deep": (Reply(b"[" * 100_000), "must answer with JSON"),
    "half the rows": (Reply({"predictions": [[0.5, 0.5]]}), r"3 inputs with 3 rows \(n, class\), got shape \(1, 2\)"),
    "other names": (Reply({"result": []}), r"must answer with 'predictions' as `answer` says, got .*'result'"),
    "a list": (Reply([1, 2]), "must answer with 'predictions' as `answer` says, got list"),
    "a mapping": (Reply({"predictions": {"rows": []}}), r"list of rows, got a mapping with 'rows'"),
    "nan": (Reply(b'{"predictions": [[NaN, 1], [0, 1], [0, 1]]}'), "NaN or infinity in 1 of 3"),
    "nulls": (Reply({"predictions": [[None, 1]] * 3}), "NaN or infinity in 3 of 3"),
    "labels": (Reply({"predictions": [1, 0, 1]}), "class labels"),
    "words": (Reply({"predictions": ["a", "b", "c"]}), "got labels"),
}


@pytest.mark.parametrize("name", list(NONSENSE))
def test_nonsense(name: str) -> None:
    reply, message = NONSENSE[name]
    with serve(lambda request: reply) as service:
        box = lt.BlackBox(service.url, **QUICK)
        with pytest.raises(BlackBoxError, match=message) as caught:
            box(ROWS)
    assert "\n" not in str(caught.value)
    assert box.requests == 1


def test_an_endless_answer_is_cut_off() -> None:
    with serve(lambda request: Reply(b"[" + b"0.5," * 100_000)) as service:
        box = lt.BlackBox(service.url, **QUICK, max_answer=1000)
        with pytest.raises(BlackBoxError, match=r"at most 1000 bytes, got more\. Lower batch_size"):
            box(ROWS)


def test_redirects_stay_on_the_host() -> None:
    def moved(request: Request) -> Reply:
        return json_model(request) if request.path == "/new" else Reply(b"", 307, {"Location": "/new"})

    with serve(moved) as service, serve(json_model) as other:
        assert lt.BlackBox(service.url + "/old", **QUICK)(ROWS).tolist() == EXPECTED
        away = Reply(b"", 308, {"Location": other.url + "/steal"})
        with serve(lambda request: away) as service, pytest.raises(BlackBoxError, match="which is not followed"):
            lt.BlackBox(service.url, **QUICK)(ROWS)
        assert other.requests == []
    with serve(lambda request: Reply(b"", 302, {"Location": "/new"})) as service:  # noqa: SIM117
        with pytest.raises(BlackBoxError, match=r"a redirect \(302\) that drops them"):
            lt.BlackBox(service.url, **QUICK)(ROWS)
    with serve(lambda request: Reply(b"", 307, {"Location": "/"})) as service:  # noqa: SIM117
        with pytest.raises(BlackBoxError, match="redirects one after the other"):
            lt.BlackBox(service.url, **QUICK)(ROWS)


@pytest.mark.slow
def test_answers_that_came_before_a_failure_are_kept() -> None:
    def fragile(request: Request) -> Reply:
        return Reply({}, 400) if 0.9 in request.body["instances"][0] else json_model(request)

    rows = torch.tensor([[row / 10, row / 10] for row in range(10)], dtype=torch.float64)
    with serve(fragile) as service:
        box = lt.BlackBox(service.url, **QUICK, batch_size=1)
        with pytest.raises(BlackBoxError, match="status 400"):
            box(rows)
        assert box.queries == 9
        box(rows[:9])
        assert box.queries == 9


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
def test_several_requests_at_once(fails: bool) -> None:
    def slow(request: Request) -> Reply:
        time.sleep(0.1)
        broken = fails and request.body["instances"][0][0] == 0.3
        return Reply({}, 400) if broken else json_model(request)

    rows = torch.tensor([[row / 16, row / 16] for row in range(16)], dtype=torch.float64)
    rows[3] = 0.3
    with serve(slow) as service:
        box = lt.BlackBox(service.url, **QUICK, batch_size=1, concurrency=2 if fails else 8)
        begin = time.monotonic()
        if fails:
            with pytest.raises(BlackBoxError, match="status 400"):
                box(rows)
            assert box.queries == len(service.requests) - 1  # every answer under way was read
            assert len(service.requests) < 10  # and no more was sent
        else:
            assert torch.allclose(box(rows)[:, 1], rows[:, 0])
            assert time.monotonic() - begin < 1.2  # 1.6 s one by one


@pytest.mark.slow
def test_a_rate_is_held() -> None:
    with serve(json_model) as service:
        box = lt.BlackBox(service.url, **QUICK, batch_size=1, rate=20, concurrency=3)
        begin = time.monotonic()
        box(torch.rand(7, 2))
        assert time.monotonic() - begin >= 6 / 20


def all_text(box: lt.BlackBox, error: BaseException | None, caplog: pytest.LogCaptureFixture) -> str:
    chain = "".join(traceback.format_exception(error)) if error else ""
    return " ".join([repr(box), str(box), box.name, *box.notes, caplog.text, chain])


@pytest.mark.parametrize("how", ["bearer", "header", "user"])
@pytest.mark.parametrize("fails", [False, True])
def test_credentials_never_get_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str, fails: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("LIKETHAT_TEST_TOKEN", SECRET)
    echo = Reply({"error": f"you sent {SECRET}"}, 401)
    with serve(lambda request: echo if fails else json_model(request)) as service:
        url = service.url + "/p" if how != "user" else service.url.replace("://", f"://me:{SECRET}@") + "/p"
        options = {} if how == "user" else {"token_env": "LIKETHAT_TEST_TOKEN"}
        options |= {"token_header": "X-Api-Key"} if how == "header" else {}
        box = lt.BlackBox(url, **{**QUICK, **options}, cache=tmp_path / "answers.sqlite")
        error = None
        try:
            box(ROWS)
        except BlackBoxError as caught:
            error = caught
        assert (error is not None) == fails
    sent = service.requests[0].headers
    assert {"bearer": sent.get("authorization") == f"Bearer {SECRET}", "header": sent.get("x-api-key") == SECRET,
            "user": sent.get("authorization", "").startswith("Basic ")}[how]  # fmt: skip
    assert SECRET not in all_text(box, error, caplog)
    assert SECRET not in repr(vars(box._oracle.backend.backend._link))  # type: ignore[attr-defined]
    assert all(SECRET.encode() not in item.read_bytes() for item in tmp_path.iterdir())


def test_a_credential_in_the_wrong_place_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    for url, options in (
        (f"https://host/p?api_key={SECRET}", {}),
        ("https://host/p", {"token_env": SECRET}),
        (f"https://me:{SECRET}@host/p", {"token_env": "HOME"}),
        (f"https://me:{SECRET}@", {}),
    ):
        with pytest.raises(InputError, match="must") as caught:
            lt.BlackBox(url, **{**TEMPLATE, **options})
        assert SECRET not in "".join(traceback.format_exception(caught.value))
    monkeypatch.setenv("LIKETHAT_TEST_TOKEN", f"{SECRET}\nX-Other: 1")
    for variable in ("LIKETHAT_TEST_TOKEN", "LIKETHAT_NOT_SET"):
        with pytest.raises(
            InputError, match="`token_env` must name an environment variable with a credential"
        ) as caught:
            lt.BlackBox("http://127.0.0.1:9/p", **QUICK, token_env=variable)(ROWS)
        assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_credential_over_an_open_line_is_noted() -> None:
    assert Address.parse("http://far.example/p").is_plain
    assert not Address.parse("http://127.0.0.1:80/p").is_plain
    box = lt.BlackBox("http://far.example/p", **TEMPLATE, token_env="HOME")
    assert box.notes == ("the credential travels to far.example unencrypted: use https",)


@pytest.mark.slow
def test_certificates_are_checked(tmp_path: Path) -> None:
    key, certificate = self_signed(tmp_path)
    with serve(json_model, tls=(certificate, key)) as service:
        box = lt.BlackBox(service.url, **QUICK)
        with pytest.raises(BlackBoxError, match=r"certificate that this machine trusts, and does not\. .*ca="):
            box(ROWS)
        assert box.requests == 1
        assert lt.BlackBox(service.url, **QUICK, ca=certificate)(ROWS).tolist() == EXPECTED
    with pytest.raises(InputError, match="`ca` must be a file of certificates"):
        lt.BlackBox(service.url, **QUICK, ca=key)
    with pytest.raises(InputError, match=r"`ca` must be a file of certificates, got 'gone\.pem', which does not exist"):
        lt.BlackBox(service.url, **QUICK, ca="gone.pem")


def self_signed(folder: Path) -> tuple[Path, Path]:
    import shutil
    import subprocess

    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate of this test, and is not installed")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
               "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return key, certificate


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        ("https://", {}, "`predict` must be the address of a service"),
        ("https://host:port/p", {}, "got a broken URL"),
        ("https://host/p", {}, "`template` must say what to send to https://host/p"),
        ("https://host/p", {"template": {"a": 1}}, "`template` must say where the inputs go"),
        ("https://host/p", {**TEMPLATE, "output_name": "x"}, "`output_name` is no option of a template"),
        ("https://host/v2/models/m", {"answer": "x"}, "`answer` is no option of an inference server"),
        ("https://host/p", {**TEMPLATE, "retries": -1}, "`retries` must be a number of at least 0"),
        ("https://host/p", {**TEMPLATE, "timeout": float("nan")}, "`timeout` must be"),
        ("https://host/p", {**TEMPLATE, "rate": 0}, "`rate` must be requests a second"),
    ],
)
def test_bad_arguments(url: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        lt.BlackBox(url, **options)


def v2_model(metadata: dict[str, Any], outputs: Any = None) -> Any:
    """A model of an inference server, two classes from the mean of each row."""

    def answer(request: Request) -> Reply:
        if request.method == "GET":
            return Reply(metadata)
        tensors = request.body["inputs"]
        if outputs is not None:
            return Reply({"outputs": outputs})
        n = tensors[0]["shape"][0]
        columns = [np.array(tensor["data"], dtype=float).reshape(n, -1) for tensor in tensors]
        found = probabilities(np.concatenate(columns, axis=1).tolist())
        flat = [number for row in found for number in row]
        label = {"name": "label", "shape": [n], "datatype": "INT64", "data": [0] * n}
        return Reply({"outputs": [label, {"name": "p", "shape": [n, 2], "datatype": "FP32", "data": flat}]})

    return answer


def slot(name: str, shape: list[int], datatype: str = "FP32") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}


V2: dict[str, Any] = {"backoff": 0.001, "check_determinism": False}


def test_an_inference_server_with_one_tensor() -> None:
    with serve(v2_model({"name": "m", "inputs": [slot("x", [-1, 1, 1, 2])]})) as service:
        box = lt.BlackBox(service.url + "/v2/models/m/infer", **V2)
        assert box(ROWS.reshape(3, 1, 1, 2)).tolist() == EXPECTED
        assert (box.name, box.requests) == (service.url + "/v2/models/m", 2)
        assert box(ROWS + 0.0).tolist() == EXPECTED
        with pytest.raises(InputError, match=r"must have shape \(n, 1, 1, 2\) .* got \(1, 3\)"):
            box(torch.rand(1, 3))
    assert [request.path for request in service.requests[:2]] == ["/v2/models/m", "/v2/models/m/infer"]
    sent = service.requests[1].body["inputs"]
    assert sent == [{"name": "x", "datatype": "FP32", "shape": [3, 1, 1, 2], "data": ROWS.flatten().tolist()}]


def test_an_inference_server_with_one_tensor_a_column() -> None:
    table = pd.DataFrame({"b": [1, 0], "a": [0.5, 0.0], "rest": ["x", "y"]})
    with serve(v2_model({"inputs": [slot("a", [-1]), slot("b", [-1, 1], "INT64")]})) as service:
        box = lt.BlackBox(service.url + "/v2/models/m", **V2)
        assert box(table).tolist() == [[0.25, 0.75], [1.0, 0.0]]
        with pytest.raises(InputError, match="got none named b"):
            box(table[["a"]])
        with pytest.raises(InputError, match=r"table with the columns that .* takes \('a', 'b'\), got one array"):
            box(ROWS)
    assert service.requests[1].body["inputs"][1] == {"name": "b", "datatype": "INT64", "shape": [2, 1], "data": [1, 0]}


def test_an_inference_server_that_says_nothing_of_its_inputs() -> None:
    with serve(v2_model({"name": "m", "inputs": []})) as service:
        box = lt.BlackBox(service.url + "/v2/models/m", output_name="p", **V2)
        assert box(ROWS).tolist() == EXPECTED
        assert box(pd.DataFrame({"a": [0.5], "b": [1]})).tolist() == [[0.25, 0.75]]
    assert service.requests[1].body["outputs"] == [{"name": "p"}]
    answer = [{"name": "p", "shape": [1, 2], "datatype": "FP64", "data": [0.5, 0.5]}]
    with serve(v2_model({"name": "m"}, answer)) as service:
        box = lt.BlackBox(service.url + "/v2/models/m", **V2)
        box(pd.DataFrame({"a": [0.5], "kind": ["x"]}))
        box(["a text"])
    columns, text = (request.body["inputs"] for request in service.requests[1:])
    assert [(item["name"], item["datatype"], item["data"]) for item in columns] == [
        ("a", "FP64", [0.5]),
        ("kind", "BYTES", ["x"]),
    ]
    assert (text[0]["datatype"], text[0]["shape"], text[0]["data"]) == ("BYTES", [1], ["a text"])


def test_an_inference_server_with_a_fixed_batch() -> None:
    with serve(v2_model({"inputs": [slot("x", [1, 2])]})) as service:
        box = lt.BlackBox(service.url + "/v2/models/m", **V2)
        assert box(ROWS).tolist() == EXPECTED
        assert (box.queries, len(service.requests)) == (3, 4)


V2_NONSENSE: dict[str, tuple[Any, str]] = {
    "labels": ([{"name": "predict", "shape": [3, 1], "datatype": "INT64", "data": [0, 1, 0]}], "class labels alone"),
    "nothing": ([], "must answer with `outputs`, got none"),
    "no list": ("text", "must answer with `outputs`, got none"),
    "another size": ([{"name": "p", "shape": [3, 2], "datatype": "FP32", "data": [0.5]}], "in the shape it says"),
    "no data": ([{"name": "p", "shape": [3, 2], "datatype": "FP32"}], "in the shape it says"),
    "half": ([{"name": "p", "shape": [1, 2], "datatype": "FP32", "data": [0.5, 0.5]}], r"got shape \(1, 2\)"),
}


@pytest.mark.parametrize("name", list(V2_NONSENSE))
def test_nonsense_of_an_inference_server(name: str) -> None:
    outputs, message = V2_NONSENSE[name]
    with serve(v2_model({"inputs": []}, outputs)) as service:
        box = lt.BlackBox(service.url + "/v2/models/m", **V2)
        with pytest.raises(BlackBoxError, match=message):
            box(ROWS)


@pytest.mark.parametrize("metadata", [[1], {"inputs": [{"name": "x"}]}, {"inputs": 3}, {"inputs": [slot("x", ["a"])]}])  # type: ignore[list-item]
def test_metadata_that_makes_no_sense(metadata: Any) -> None:
    with serve(v2_model(metadata)) as service, pytest.raises(BlackBoxError, match="must describe its"):
        lt.BlackBox(service.url + "/v2/models/m", **V2)(ROWS)
