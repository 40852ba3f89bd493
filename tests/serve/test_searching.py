"""Searches that visitors ask for: their pages, whose they are, how many at once, and that they end when they should."""

import io
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient
from toys import pictures, small_cnn

import likethat as lt
from likethat._progress import Progress
from likethat.serve import Limits, application
from likethat.serve.jobs import Job, Jobs

HOST = "http://127.0.0.1"
OURS = {"Origin": HOST, "Accept": "text/html"}  # as a browser sends a form of our own page

pytestmark = pytest.mark.slow  # a fit, and small searches


@pytest.fixture(scope="module")
def bank() -> lt.Bank:
    model = lt.split(small_cnn(), preprocess=lt.Preprocess(size=16), class_names=["red", "<b>green</b>", "blue"])
    return lt.EPIC(n_prototypes=2).fit(model, pictures(40))


def made(latents: torch.Tensor) -> torch.Tensor:
    """Make pictures of three colours: latents (n, 3) to (n, 3, 16, 16)."""
    return (4 * latents).sigmoid()[:, :, None, None].expand(-1, -1, 16, 16)


class Held:
    """A generator that makes nothing more until it is let go."""

    def __init__(self) -> None:
        self.goes_on, self.is_asked = threading.Event(), threading.Event()

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        self.is_asked.set()
        assert self.goes_on.wait(60)
        return made(latents)


@pytest.fixture
def client(bank: lt.Bank) -> Iterator[TestClient]:
    generator = lt.load_generator(made, latent_dim=3)
    with TestClient(application({"toys": bank}, generator=generator), base_url=HOST, follow_redirects=False) as client:
        yield client


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def holding(bank: lt.Bank, held: Held) -> Iterator[Callable[..., TestClient]]:
    """Return what starts a site whose searches stand still, by its limits."""
    started: list[TestClient] = []

    def start(**limits: int) -> TestClient:
        held.goes_on.set()
        generator = lt.load_generator(held, latent_dim=3)  # tries it
        app = application({"toys": bank}, generator=generator, limits=Limits(**limits))
        held.goes_on.clear()
        held.is_asked.clear()
        started.append(TestClient(app, base_url=HOST, follow_redirects=False).__enter__())
        return started[-1]

    yield start
    held.goes_on.set()
    for client in started:
        client.__exit__(None, None, None)


def begun(client: TestClient, **words: Any) -> str:
    """Ask for ideal inputs and return where their page is."""
    answer = client.post("/banks/toys/exemplars", data={"target": "red", "n": 1, "queries": 20} | words, headers=OURS)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def ended(client: TestClient, address: str) -> str:
    """Wait until a search has ended, and return its page."""
    deadline = time.monotonic() + 60
    while not client.get(f"{address}/state").json()["ended"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return client.get(address).text


def png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((40, 50, 3), (250, 10, 10), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_ideal_inputs_are_made_shown_listed_and_kept(client: TestClient) -> None:
    address = begun(client, target="<b>green</b>", n=2)
    page = ended(client, address)
    assert "Exemplars of &lt;b&gt;green&lt;/b&gt;" in page
    assert '<link rel="stylesheet" href="/static/exemplars.css">' in page
    assert "<style>" not in page  # the policy would refuse it
    assert "made-items" in client.get("/static/exemplars.css").text
    told = client.get(f"{address}/download/json").json()
    assert told["kind"] == "ExemplarSet"
    assert told["target"] == 1
    assert "<style>" in client.get(f"{address}/download/html").text
    own = client.get("/banks/toys/searches").text
    assert f'href="{address}"' in own
    assert "Ideal inputs of “&lt;b&gt;green" in own


def test_what_would_change_a_dropped_picture(client: TestClient, bank: lt.Bank) -> None:
    dropped = client.post("/pictures?bank=toys", content=png(), headers={"X-File-Name": "a%3Cb%3E.png"})
    address = dropped.json()["address"].partition("?")[0]
    predicted = bank.explain(Image.open(io.BytesIO(png()))).predicted
    target = (predicted + 1) % 3
    assert f'action="{address}/counterfactual?bank=toys"' in client.get(f"{address}?bank=toys").text
    asked = {"target": f"index:{target}", "queries": "80"}
    answer = client.post(f"{address}/counterfactual?bank=toys", data=asked, headers=OURS)
    page = ended(client, answer.headers["location"])
    assert "the counterfactual" in page
    assert f'href="{address}?bank=toys"' in page
    told = client.get(f"{answer.headers['location']}/download/json").json()
    assert told["kind"] == "Counterfactual"
    assert told["target"] == target
    assert told["queries"] <= 80
    same = client.post(
        f"{address}/counterfactual?bank=toys", data=asked | {"target": f"index:{predicted}"}, headers=OURS
    )
    assert "must be another class than the source" in ended(client, same.headers["location"])


def test_bad_questions_are_one_sentence(client: TestClient, bank: lt.Bank) -> None:
    for words, said in (
        ({"target": ""}, "must be named"),
        ({"target": "grue"}, "must be a class of the model"),
        ({"n": "9"}, "`n` must be from 1 to 8"),
        ({"queries": "1001"}, "`queries` must be from 20 to 1,000"),
        ({"queries": "many"}, "got &#39;many&#39;"),
    ):
        answer = client.post("/banks/toys/exemplars", data={"target": "red"} | words, headers=OURS)
        assert answer.status_code == 422
        assert said in answer.text
    assert client.post("/banks/toys/exemplars", data={"x": "x" * 5000}, headers=OURS).status_code == 413
    assert client.get("/searches/nobody").status_code == 404
    with TestClient(application({"toys": bank}), base_url=HOST) as without:
        assert without.post("/banks/toys/exemplars", data={"target": "red"}, headers=OURS).status_code == 404
        assert "Searches" not in without.get("/banks/toys").text
        assert "counterfactual" not in without.get(f"/why/kept-{bank.prototypes[0].image}?bank=toys").text


def test_large_pictures_get_fewer_questions(bank: lt.Bank) -> None:
    app = application({"toys": bank}, generator=lt.load_generator(made, latent_dim=3), limits=Limits(made=100 * 3072))
    with TestClient(app, base_url=HOST) as client:  # 3 x 16 x 16 numbers of 4 bytes
        assert 'max="100" value="100"' in client.get("/banks/toys/searches").text


def test_forms_of_other_sites_begin_nothing(client: TestClient) -> None:
    for headers in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = client.post("/banks/toys/exemplars", data={"target": "red"}, headers=headers)
        assert answer.status_code == 403
    vouched = client.post("/banks/toys/exemplars", data={"target": "red"}, headers={"Sec-Fetch-Site": "same-origin"})
    assert vouched.status_code == 303


def test_a_search_is_its_visitors_alone(client: TestClient) -> None:
    address = begun(client)
    ended(client, address)
    client.cookies.clear()
    for place in ("", "/state", "/download/json"):
        assert client.get(address + place).status_code == 404
    assert client.post(f"{address}/stop", headers=OURS).status_code == 404
    assert "None yet" in client.get("/banks/toys/searches").text


@pytest.mark.parametrize("kind", ["exemplars", "counterfactual"])
def test_stopped_it_shows_what_it_found(
    holding: Callable[..., TestClient], held: Held, bank: lt.Bank, kind: str
) -> None:
    client = holding()
    if kind == "exemplars":
        address = begun(client, n=8, queries=500)
    else:
        picture = f"/why/kept-{bank.prototypes[0].image}"
        answer = client.post(f"{picture}/counterfactual?bank=toys", data={"queries": 500}, headers=OURS)
        address = answer.headers["location"]
    assert held.is_asked.wait(60)
    page = client.get(address).text
    assert "<progress" in page
    assert '<noscript><meta http-equiv="refresh"' in page  # without scripts it goes on too
    assert client.post(f"{address}/stop", headers=OURS).headers["location"] == address
    assert "stopping, as soon as" in client.get(address).text
    held.goes_on.set()
    page = ended(client, address)
    assert "stopped" in page.casefold()
    assert client.get(f"{address}/state").json()["told"].startswith(("interrupted", "It was stopped"))


def test_searches_wait_and_too_many_are_refused(holding: Callable[..., TestClient], held: Held) -> None:
    client = holding(asked=2, queued=3)
    first, second = begun(client), begun(client)
    assert "waiting for its turn: 1 before it" in client.get(second).text
    refused = client.post("/banks/toys/exemplars", data={"target": "red"}, headers=OURS)
    assert refused.status_code == 429
    assert "You have 2 searches" in refused.text
    client.cookies.clear()
    third = begun(client)
    client.cookies.clear()
    assert client.post("/banks/toys/exemplars", data={"target": "red"}, headers=OURS).status_code == 503
    held.goes_on.set()
    assert first != second != third


def test_older_results_make_place(bank: lt.Bank) -> None:
    generator = lt.load_generator(made, latent_dim=3)
    for limits, left in ((Limits(results=2), [404, 200, 200]), (Limits(found=1), [404, 404, 200])):
        app = application({"toys": bank}, generator=generator, limits=limits)
        with TestClient(app, base_url=HOST, follow_redirects=False) as client:
            addresses = []
            for _ in range(3):
                addresses.append(begun(client))
                ended(client, addresses[-1])
            assert [client.get(address).status_code for address in addresses] == left


def test_searches_end_with_the_server() -> None:
    jobs, began = Jobs(Limits()), threading.Event()
    first, second = (Job(visitor="a", bank="toys", title="", back="") for _ in range(2))

    def without_end(watch: Callable[[Progress], None]) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            watch(Progress(stage="asking the model", done=1))
            began.set()
            time.sleep(0.001)

    jobs.begin(first, without_end)
    jobs.begin(second, without_end)
    assert began.wait(60)
    jobs.end()
    assert first.has_ended
    assert "nothing was found" in first.said
    assert not any(thread.name.startswith("likethat-search") for thread in threading.enumerate())


def test_what_breaks_is_said_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    job = Job(visitor="a", bank="toys", title="", back="")
    job.run(lambda _watch: 1 / 0)  # type: ignore[arg-type,return-value]
    assert job.has_ended
    assert "the server's log says where" in job.said
    assert "ZeroDivisionError" in caplog.text


def test_a_generator_must_fit(bank: lt.Bank) -> None:
    with pytest.raises(lt.errors.InputError, match="`generator` must make pictures, as these models take them"):
        application({"toys": bank}, generator=lambda latents: latents)
    with pytest.raises(lt.errors.InputError, match=r"channels \(3 for toys\), got 1"):
        application({"toys": bank}, generator=lt.load_generator("zoo:digits"))
