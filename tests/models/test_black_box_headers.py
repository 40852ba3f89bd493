"""Headers and certificates of the user's own: what a service gets to see, and who else does not."""

import logging
import shutil
import subprocess
import traceback
from pathlib import Path
from typing import Any

import pytest
import torch
from black_box_servers import Reply, Request, json_model, serve

import likethat as lt
from likethat.errors import BlackBoxError, InputError
from likethat.models.black_box.headers import OwnHeaders

QUICK: dict[str, Any] = {
    "template": {"instances": "$inputs"}, "answer": "predictions", "backoff": 0.001, "timeout": 5.0,
    "check_determinism": False,
}  # fmt: skip
ROWS = torch.tensor([[0.25, 0.25], [0.5, 1.0]])
EXPECTED = [[0.75, 0.25], [0.25, 0.75]]
SECRET = "s3cr3t-w0rd"


def test_what_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIKETHAT_TEST_KEY", SECRET)
    file = tmp_path / "headers.txt"
    file.write_text("# of the lab\n\nX-Lab:  north wing \nCookie: a=1; b=2\n")
    with serve(json_model) as service:
        box = lt.BlackBox(
            service.url, **QUICK, headers=["Host: scan.example", "X-Key: k ${LIKETHAT_TEST_KEY}", f"@{file}"]
        )
        assert box(ROWS).tolist() == EXPECTED
        file.write_text("X-Lab: south\n")  # as a secret that is changed in its place
        monkeypatch.setenv("LIKETHAT_TEST_KEY", "another-word")
        box(ROWS + 0.001)
        lt.BlackBox(service.url, **QUICK, headers={"X-Tenant": "lab: 3"})(ROWS)
    first, second, third = (request.headers for request in service.requests)
    assert (first["host"], first["x-key"], first["x-lab"], first["cookie"]) == (
        "scan.example", f"k {SECRET}", "north wing", "a=1; b=2",
    )  # fmt: skip
    assert (second["x-key"], second["x-lab"], "cookie" in second) == ("k another-word", "south", False)
    assert third["x-tenant"] == "lab: 3"
    assert all(request.headers["content-type"] == "application/json" for request in service.requests)


LEAKS = {
    "environment": (["X-Anything: ${LIKETHAT_TEST_KEY}"], SECRET),
    "file": (["@FILE"], SECRET),
    "name": ({"X-Api-Key": SECRET}, SECRET),
    "scheme": ({"Authorization": f"Token {SECRET}"}, SECRET),
    "basic": ({"Authorization": "Basic bWU6czNjcjN0LXcwcmQ="}, SECRET),
    "cookie": (["Cookie: theme=dark; sid=s3cr3t-w0rd"], SECRET),
    "long": ({"X-Strange": "a-long-value-of-whatever"}, "a-long-value-of-whatever"),
}


@pytest.mark.parametrize("how", list(LEAKS))
@pytest.mark.parametrize("fails", [False, True])
def test_no_secret_gets_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, how: str, fails: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("LIKETHAT_TEST_KEY", SECRET)
    (tmp_path / "headers.txt").write_text(f"X-Thing: {SECRET}\n")
    given, secret = LEAKS[how]
    headers: Any = [f"@{tmp_path / 'headers.txt'}"] if how == "file" else given
    refusal = Reply({"error": f"what is {secret}?"}, 400)
    kept = tmp_path / "kept"
    kept.mkdir()
    with serve(lambda request: refusal if fails else json_model(request)) as service:
        box = lt.BlackBox(service.url, **QUICK, headers=headers, cache=kept / "answers.sqlite")
        error: BlackBoxError | None = None
        try:
            box(ROWS)
        except BlackBoxError as caught:
            error = caught
    assert (error is not None) == fails
    told = "".join(traceback.format_exception(error)) if error else ""
    link = box._oracle.backend.backend._link  # type: ignore[attr-defined]
    assert secret not in " ".join(
        [repr(box), box.name, *box.notes, caplog.text, told, repr(link.options), link.identity]
    )
    assert all(secret.encode() not in item.read_bytes() for item in kept.iterdir())


def test_a_name_among_the_answers_is_not_taken_for_a_secret() -> None:
    answer = Reply([{"label": "good", "score": 0.75}, {"label": "lab", "score": 0.25}])
    with serve(lambda request: answer) as service:
        options = {**QUICK, "template": {"text": "$input"}, "answer": ""}
        box = lt.BlackBox(service.url, **options, headers={"X-Tenant": "lab"})
        box(["a"])
    assert box.class_names == ("good", "lab")


def test_another_host_is_another_model() -> None:
    def identity(**options: Any) -> Any:
        return lt.BlackBox("http://127.0.0.1:9/p", **QUICK, **options)._oracle.backend.facts.identity

    assert identity(headers={"Host": "a.example"}) != identity(headers={"Host": "b.example"})
    assert identity(headers={"X-Version": "1"}) != identity(headers={"x-version": "2"})
    assert identity(headers={"X-Key": "1"}) == identity(headers={"X-Key": "2"}) == identity()


def test_secrets_over_an_open_line_are_noted() -> None:
    box = lt.BlackBox("http://far.example/p", **QUICK, headers={"X-Api-Key": SECRET})
    assert box.notes == ("the credential travels to far.example unencrypted: use https",)
    assert lt.BlackBox("http://far.example/p", **QUICK, headers={"X-Tenant": "lab"}).notes == ()


BAD: list[tuple[Any, str]] = [
    (f"X-Key: {SECRET}", "`headers` must be a mapping of names to values, or a list"),
    ([SECRET], "`headers` must be written as"),
    ({"X Key": "1"}, "must have names that HTTP knows"),
    ({"Content-Length": "3"}, "must leave 'Content-Length' to likethat"),
    ({"X-Key": 3}, "must have texts as values, got int for 'X-Key'"),
    ({"X-Key": f"{SECRET}\r\nX-Other: 1"}, "characters that no header can carry for 'X-Key'"),
    ({"X-Key": " "}, "got nothing for 'X-Key'"),
    (["X-Key: 1", "x-key: 2"], "must name each header once, got 'X-Key' twice"),
    (["@gone.txt"], r"must name a file of headers, got 'gone\.txt', which cannot be read"),
]


@pytest.mark.parametrize(("given", "message"), BAD)
def test_headers_that_are_none(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        lt.BlackBox("http://127.0.0.1:9/p", **QUICK, headers=given)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_one_credential_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKETHAT_TEST_KEY", SECRET)
    with pytest.raises(InputError, match="must not hold 'Authorization' beside `token_env`"):
        lt.BlackBox("http://host/p", **QUICK, token_env="LIKETHAT_TEST_KEY", headers={"authorization": "x"})
    with pytest.raises(InputError, match="must not hold 'Authorization' beside the user in the address"):
        lt.BlackBox("http://me:word@host/p", **QUICK, headers={"Authorization": "x"})
    with pytest.raises(InputError, match="variables that are set, got 'LIKETHAT_NOT_SET' for 'X-Key'"):
        lt.BlackBox("http://127.0.0.1:9/p", **QUICK, headers={"X-Key": "${LIKETHAT_NOT_SET}"})(ROWS)
    monkeypatch.setenv("LIKETHAT_TEST_KEY", f"{SECRET}\nX-Other: 1")
    with pytest.raises(InputError, match="characters that no header can carry") as caught:
        lt.BlackBox("http://127.0.0.1:9/p", **QUICK, headers={"X-Key": "${LIKETHAT_TEST_KEY}"})(ROWS)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_where_a_file_is_gone_there_is_nothing_to_hide(tmp_path: Path) -> None:
    (tmp_path / "h").write_text("X-Key: 1234\n")
    own = OwnHeaders([f"@{tmp_path / 'h'}"])
    assert own.secrets() == ["1234"]
    (tmp_path / "h").unlink()
    assert own.secrets() == []
    with pytest.raises(InputError, match="cannot be read"):
        own.pairs()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and certificates of a service and of a client that it signed."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates of this test, and is not installed")
    folder = tmp_path_factory.mktemp("certificates")
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "2"]
    commands = [["req", "-x509", "-nodes", *new, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"]]
    for name, key in (("service", ["-nodes"]), ("client", ["-passout", "pass:open sesame"])):
        commands += [
            ["req", "-x509", *key, *new, "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-CA",
             "ca.pem", "-CAkey", "ca.key", "-keyout", f"{name}.key", "-out", f"{name}.pem",
             "-addext", "basicConstraints=CA:FALSE"],
        ]  # fmt: skip
    commands.append(["ec", "-in", "client.key", "-passin", "pass:open sesame", "-out", "open.key"])
    for command in commands:
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    (folder / "both.pem").write_text((folder / "client.pem").read_text() + (folder / "open.key").read_text())
    return folder


@pytest.mark.slow
def test_a_certificate_of_the_client(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIKETHAT_TEST_KEY", "open sesame")
    own = {name: certificates / f"{name}.pem" for name in ("ca", "client", "both")}
    locked = {"certificate": own["client"], "certificate_key": certificates / "client.key"}
    shown: list[dict[str, Any]] = [
        {"certificate": own["both"]},
        {"certificate": own["client"], "certificate_key": certificates / "open.key"},
        {**locked, "certificate_password_env": "LIKETHAT_TEST_KEY"},
    ]
    files = (certificates / "service.pem", certificates / "service.key")
    with serve(json_model, tls=files, clients=own["ca"]) as service:
        for one in shown:
            assert lt.BlackBox(service.url, **QUICK, ca=own["ca"], **one)(ROWS).tolist() == EXPECTED
        box = lt.BlackBox(service.url, **QUICK, ca=own["ca"])
        with pytest.raises(BlackBoxError, match=r"must accept this client, and wants a certificate .*certificate="):
            box(ROWS)
        assert box.requests == 1
        with pytest.raises(InputError, match=r"`certificate` must be a certificate and its key .*password_env="):
            lt.BlackBox(service.url, **QUICK, ca=own["ca"], **locked)
        with pytest.raises(InputError, match="`certificate` must be a certificate and its key"):
            lt.BlackBox(service.url, **QUICK, certificate=own["client"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"certificate": "gone.pem"}, r"`certificate` must be a file of certificates, got 'gone\.pem'"),
        ({"certificate_key": __file__}, "`certificate_key` must belong to a certificate, got none"),
        ({"certificate_password_env": "HOME"}, "`certificate_password_env` must belong to a certificate, got none"),
        ({"certificate": __file__}, "`certificate` must be shown over TLS, got an address of http"),
    ],
)
def test_certificates_that_are_none(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        lt.BlackBox("http://127.0.0.1:9/p", **QUICK, **options)


def test_a_request_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service of these tests answers by header, so that a header that is not sent is seen."""

    def answer(request: Request) -> Reply:
        return json_model(request) if request.headers.get("x-api-key") == SECRET else Reply({"error": "who?"}, 401)

    with serve(answer) as service:
        assert lt.BlackBox(service.url, **QUICK, headers={"X-Api-Key": SECRET})(ROWS).tolist() == EXPECTED
        with pytest.raises(BlackBoxError, match="status 401"):
            lt.BlackBox(service.url, **QUICK)(ROWS)
