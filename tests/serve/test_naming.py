"""Naming units in the page: with the bank where the server may write, else each visitor's own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from toys import pictures, small_cnn

import likethat as lt
from likethat.serve import application

HOST = "http://127.0.0.1"

pytestmark = pytest.mark.slow  # a fit


@pytest.fixture(scope="module")
def model() -> lt.SplitModel:
    return lt.split(small_cnn(), preprocess=lt.Preprocess(size=16), class_names=["red", "green", "blue"])


@pytest.fixture(scope="module")
def fitted(model: lt.SplitModel) -> lt.Bank:
    return lt.EPIC(n_prototypes=3).fit(model, pictures(60))


@pytest.fixture
def folder(fitted: lt.Bank, tmp_path: Path) -> Path:
    return fitted.save(tmp_path / "bank")


@pytest.fixture
def bank(folder: Path, model: lt.SplitModel) -> lt.Bank:
    return lt.open_bank(folder, model)


@pytest.fixture
def writing(bank: lt.Bank, folder: Path) -> Iterator[TestClient]:
    with TestClient(application({"toys": bank}, folders={"toys": folder}), base_url=HOST) as client:
        yield client


@pytest.fixture
def reading(bank: lt.Bank) -> Iterator[TestClient]:
    with TestClient(application({"toys": bank}), base_url=HOST) as client:
        yield client


def named(client: TestClient, unit: int, name: str | None) -> str:
    answer = client.post(f"/banks/toys/units/{unit}/name", json={"name": name})
    assert answer.status_code == 200, answer.text
    told: str = answer.json()["name"]
    return told


def test_a_name_is_kept_with_the_bank_and_shown(writing: TestClient, bank: lt.Bank, folder: Path) -> None:
    unit = bank.prototypes[0].unit
    picture = f"/why/kept-{bank.prototypes[0].image}?bank=toys&top=12"
    own = bank.unit_names[unit]
    assert own in writing.get(picture).text
    assert named(writing, unit, " <b>beak ") == "<b>beak"
    assert lt.open_bank(folder).named == {unit: "<b>beak"}
    for address in ("/banks/toys", f"/banks/toys/units/{unit}", picture):
        page = writing.get(address).text
        assert "&lt;b&gt;beak" in page
        assert "<b>beak" not in page
    assert writing.get("/banks/toys/names.json").json() == {str(unit): "<b>beak"}
    assert named(writing, unit, None) == own
    assert not lt.open_bank(folder).named


def test_without_write_names_are_each_visitors_own(reading: TestClient, bank: lt.Bank, folder: Path) -> None:
    unit = bank.prototypes[0].unit
    assert named(reading, unit, "beak") == "beak"
    assert json.loads(reading.get("/banks/toys/names.json").content) == {str(unit): "beak"}
    assert 'value="beak"' in reading.get(f"/banks/toys/units/{unit}").text
    reading.cookies.clear()
    assert reading.get("/banks/toys/names.json").json() == {}
    assert not bank.named
    assert not lt.open_bank(folder).named


def test_a_review_goes_through_those_without_a_name(reading: TestClient, bank: lt.Bank) -> None:
    first, second, third = (item for item in list(dict.fromkeys(shelved_units(reading)))[:3])
    named(reading, second, "beak")
    step = reading.get("/banks/toys/review", follow_redirects=False)
    assert step.headers["location"] == f"/banks/toys/units/{first}?review=1"
    page = reading.get(step.headers["location"]).text
    assert f'data-next="/banks/toys/review?after={first}"' in page
    after = reading.get(f"/banks/toys/review?after={first}", follow_redirects=False)
    assert after.headers["location"] == f"/banks/toys/units/{third}?review=1"
    last = shelved_units(reading)[-1]
    assert "That was the last channel" in reading.get(f"/banks/toys/review?after={last}").text


def shelved_units(client: TestClient) -> tuple[int, ...]:
    site = client.app.state.site  # type: ignore[attr-defined]
    units: tuple[int, ...] = site.shelf.named("toys").units
    return units


def test_what_is_no_name_is_refused_and_changes_nothing(writing: TestClient, bank: lt.Bank, folder: Path) -> None:
    unit, other = shelved_units(writing)[:2]
    address = f"/banks/toys/units/{unit}/name"
    assert writing.post(address, json={"name": "x" * 121}).status_code == 422
    assert writing.post(address, json={"name": bank.unit_names[other]}).status_code == 422
    assert "must come as JSON" in writing.post(address, json=["beak"]).json()["error"]
    assert writing.post(address, content=b"{").status_code == 422
    assert writing.post(address, content=b"x" * 5000).status_code == 413
    assert writing.post("/banks/toys/units/999/name", json={"name": "beak"}).status_code == 404
    assert writing.post(address, data={"name": "beak"}).status_code == 403  # a form of any site could send it
    (folder / "manifest.json").unlink()
    assert writing.post(address, json={"name": "beak"}).status_code == 422
    assert not bank.named
