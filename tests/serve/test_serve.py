"""The site by its routes: browsing, a dropped picture, who may ask."""

import html
import io
import itertools
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from toys import pictures, small_cnn

import likethat as lt
from likethat.explanations.images import ImageStore
from likethat.explanations.regions import Maps, explain_region
from likethat.report.explanation_page import explanation_view
from likethat.report.sheet import PictureSheet
from likethat.report.text import decimals_for, signed
from likethat.serve import Limits, application

HOST = "http://127.0.0.1"

pytestmark = pytest.mark.slow  # together: a fit, and a dozen explanations


@pytest.fixture(scope="module")
def bank() -> lt.Bank:
    model = lt.split(small_cnn(), preprocess=lt.Preprocess(size=16), class_names=["red", "<b>green</b>", "blue"])
    return lt.EPIC(n_prototypes=3).fit(model, pictures(60))


def png(seed: int = 5, size: int = 40) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def client(bank: lt.Bank) -> Iterator[TestClient]:
    with TestClient(application({"toys": bank, "again": bank}), base_url=HOST) as client:
        yield client


def dropped(client: TestClient, data: bytes, name: str = "a.png") -> str:
    answer = client.post("/pictures?bank=toys", content=data, headers={"X-File-Name": name})
    assert answer.status_code == 201, answer.text
    address: str = answer.json()["address"]
    return address


def test_the_first_view_shows_the_units(client: TestClient, bank: lt.Bank) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "channel 3" in page.text
    assert page.text.count('class="unit card"') == len({item.unit for item in bank.prototypes})


def test_drop_and_read_and_keep(client: TestClient, bank: lt.Bank) -> None:
    address = dropped(client, png(), "%3Cscript%3Eowl.png")
    page = client.get(address, headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert "This looks like that" in page.text
    assert "&lt;script&gt;owl.png" in page.text
    assert "<script>owl" not in page.text
    key = address.split("?")[0]
    told = client.get(f"{key}/download/json?bank=toys&target=index:1&against=red&top=2").json()
    own = bank.contrast(Image.open(io.BytesIO(png())), 1, 0, top=2)
    assert told["kind"] == "Explanation"
    assert told["logit"] == pytest.approx(own.logit, rel=1e-6)
    assert [row["unit"] for row in told["rows"]] == [row.unit for row in own.rows]
    report = client.get(f"{key}/download/html?bank=toys")
    assert "attachment" in report.headers["content-disposition"]
    assert "runs no script" in report.text
    assert client.get(f"{key}/download/exe?bank=toys").status_code == 404


def test_units_are_found_by_words_class_and_purity(client: TestClient, bank: lt.Bank) -> None:
    unit = bank.prototypes[0].unit
    page = client.get("/banks/toys", params={"q": f"channel {unit}", "order": "name"}).text
    assert f'href="/banks/toys/units/{unit}"' in page
    assert "Nothing matches" in client.get("/banks/toys", params={"q": "no such word"}).text
    assert "Nothing matches" in client.get("/banks/toys", params={"purity": "1"}).text
    assert "&lt;b&gt;green" in client.get("/banks/toys/classes", params={"q": "GREEN"}).text
    assert client.get("/banks/toys", params={"class": "grue"}).status_code == 422
    assert client.get("/banks/toys", params={"page": "9" * 40, "purity": "nan"}).status_code == 200
    assert client.get("/banks/toys", params={"class": "index:" + "9" * 5000}).status_code == 422


def test_a_unit_and_its_pictures(client: TestClient, bank: lt.Bank) -> None:
    unit = bank.prototypes[0].unit
    page = client.get(f"/banks/toys/units/{unit}").text
    address = page.split('<image id="p0"')[1].split('href="')[1].split('"')[0]
    picture = client.get(address)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(picture.content))), bank.images[address.split("/")[-1]])
    assert "immutable" in picture.headers["cache-control"]
    assert client.get(address.rsplit("/", 1)[0] + "/no-such").status_code == 404
    assert client.get("/banks/toys/units/999").status_code == 404
    assert client.get("/banks/nobody").status_code == 404
    assert client.get("/banks/toys/download/coco.json").json()["annotations"]


def test_what_is_no_picture_is_said_and_not_kept(client: TestClient) -> None:
    for data, said in ((b"", "is empty"), (b"no picture", "no image format"), (png()[:300], "does not decode")):
        answer = client.post("/pictures", content=data, headers={"X-File-Name": "x.png"})
        assert answer.status_code == 422
        assert said in answer.json()["error"]
        assert "x.png" in answer.json()["error"]


def test_uploads_are_bounded_in_bytes_and_pixels(bank: lt.Bank) -> None:
    with TestClient(application({"toys": bank}, limits=Limits(upload=9000, pixels=400)), base_url=HOST) as client:
        assert client.post("/pictures", content=bytes(9001)).status_code == 413
        assert client.post("/pictures", content=(bytes(500) for _ in range(40))).status_code == 413
        answer = client.post("/pictures", content=png(size=21))
        assert answer.status_code == 422
        assert "at most 400 pixels" in answer.json()["error"]
        assert client.post("/pictures", content=png(size=20)).status_code == 201


def test_visitors_do_not_see_each_other(client: TestClient) -> None:
    address = dropped(client, png())
    assert client.get(address).status_code == 200
    client.cookies.clear()
    assert client.get(address).status_code == 404
    dropped(client, png(6))
    assert client.get(address).status_code == 404


def test_older_pictures_make_place(bank: lt.Bank) -> None:
    with TestClient(application({"toys": bank}, limits=Limits(pictures=2)), base_url=HOST) as client:
        addresses = [dropped(client, png(seed)) for seed in range(3)]
        assert [client.get(address).status_code for address in addresses] == [404, 200, 200]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example@127.0.0.1"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[bad"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 403),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 403),
        ({"Origin": HOST, "Sec-Fetch-Site": "same-origin"}, 201),
        ({}, 201),
    ],
)
def test_other_sites_cannot_ask(client: TestClient, headers: dict[str, str], status: int) -> None:
    assert client.post("/pictures", content=png(), headers=headers).status_code == status


def test_other_sites_may_link_here_and_not_more(client: TestClient) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site"}
    link = foreign | {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get("/", headers=foreign).status_code == 403
    assert client.get("/", headers=link | {"Sec-Fetch-Dest": "iframe"}).status_code == 403
    assert client.get("/", headers=link).status_code == 200


def test_every_answer_forbids_scripts_of_others(client: TestClient) -> None:
    for address in ("/", "/banks/nobody", "/static/serve.js", "/banks/toys/download/html"):
        policy = client.get(address).headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "script-src 'self'" in policy or "script-src" not in policy
    page = client.get("/").text
    assert page.count("<script") == page.count('<script src="/static/serve.js" defer>') == 1
    page += client.get(dropped(client, png())).text
    assert page.count("<script") == page.count('<script src="/static/') == 3
    assert "http://" not in page
    assert "https://" not in page


def test_a_token_is_wanted_and_leaves_the_address(bank: lt.Bank) -> None:
    token = "a-token-of-twenty-signs"
    with TestClient(application({"toys": bank}, token=token), base_url=HOST, follow_redirects=False) as client:
        assert client.get("/banks/toys").status_code == 401
        assert client.get("/banks/toys?token=wrong").status_code == 401
        assert client.get("/banks/toys", headers={"Authorization": f"Bearer {token}x"}).status_code == 401
        assert client.get("/banks/toys", headers={"Authorization": f"Bearer {token}"}).status_code == 200
        welcome = client.get(f"/banks/toys?q=channel&token={token}")
        assert welcome.status_code == 303
        assert welcome.headers["location"] == "/banks/toys?q=channel"
        assert "HttpOnly" in welcome.headers["set-cookie"]
        assert token not in welcome.headers["set-cookie"]
        assert client.get("/banks/toys").status_code == 200
        assert client.get(f"{HOST}//evil.example?token={token}").headers["location"] == "/evil.example"


def test_bad_calls(bank: lt.Bank) -> None:
    with pytest.raises(lt.errors.InputError, match="at least 16 printable characters"):
        application({"toys": bank}, token="short")
    with pytest.raises(lt.errors.InputError, match="`banks` must hold one bank"):
        application({})
    with pytest.raises(lt.errors.InputError, match="`upload`"):
        Limits(upload=0)


def test_a_marked_part_of_a_dropped_picture(client: TestClient, bank: lt.Bank) -> None:
    address, _, query = dropped(client, png()).partition("?")
    assert 'data-mark aria-labelledby="mark-title"' in client.get(f"{address}?{query}").text
    mark = {"mark_left": "0", "mark_top": "0", "mark_right": "50", "mark_bottom": "50", "target": "index:1"}
    page = client.get(f"{address}/region?{query}", params={"bank": "toys", **mark})
    assert page.status_code == 200, page.text
    told = explain_region(bank, Image.open(io.BytesIO(png())), (0, 0, 0.5, 0.5), Maps(bank, 1), target=1)
    text = html.unescape(page.text)
    decimals = decimals_for([told.contribution, *(one.contribution for one in told.units)])
    assert f"{told.n_cells} of the {told.n_all} cells add {signed(told.contribution, decimals)} " in text
    assert text.count('class="prototype"') == len(told.alike)
    for one in told.units:
        assert f'href="/banks/toys/units/{one.unit}"' in page.text
    for side in ({"left": "60"}, {"top": "nan"}, {"right": "x"}, {"bottom": "101"}, {"left": ""}):
        wrong = {f"mark_{name}": value for name, value in side.items()}
        assert client.get(f"{address}/region", params={"bank": "toys", **mark, **wrong}).status_code == 422
    client.cookies.clear()
    assert client.get(f"{address}/region", params={"bank": "toys", **mark}).status_code == 404


def test_a_mark_looks_further_when_it_is_asked_again(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("likethat.explanations.regions._AT_ONCE", 2)
    hours = SimpleNamespace(monotonic=itertools.count(0, 3600).__next__)
    monkeypatch.setattr("likethat.explanations.regions.time", hours)
    address = dropped(client, png()).partition("?")[0]
    mark = {"bank": "toys", "mark_left": 0, "mark_top": 0, "mark_right": 30, "mark_bottom": 100}
    pages = [client.get(f"{address}/region", params=mark).text for _ in range(2)]
    for n, page in zip((2, 4), pages, strict=True):
        assert f"{n} of the bank" in page
        assert "were looked through so far" in page
        assert "Look through more" in page


def test_a_kept_picture_is_explained_and_marked(client: TestClient, bank: lt.Bank) -> None:
    own = bank.prototypes[0]
    unit = client.get(f"/banks/toys/units/{own.unit}").text
    assert f'href="/why/kept-{own.image}?bank=toys"' in unit
    page = client.get(f"/why/kept-{own.image}?bank=toys").text
    assert "it is left out of its own prototypes" in page
    mark = {"bank": "toys", "mark_left": 0, "mark_top": 0, "mark_right": 30, "mark_bottom": 100}
    answer = client.get(f"/why/kept-{own.image}/region", params=mark).text
    assert f"kept-{own.image}?bank=toys" not in answer.split("What looks like it</h2>")[1]
    assert client.get("/why/kept-no-such?bank=toys").status_code == 404


def test_two_classes_and_two_banks_side_by_side(client: TestClient, bank: lt.Bank) -> None:
    address = dropped(client, png()).partition("?")[0]
    asked = {"bank": "toys", "target": "index:1", "beside_bank": "again", "beside_target": "index:2", "top": "2"}
    page = html.unescape(client.get(f"{address}/beside", params=asked).text)
    for target in (1, 2):
        told = bank.explain(Image.open(io.BytesIO(png())), target, top=2)
        view = explanation_view(told, PictureSheet(320))
        assert view.headline in page
        assert f'title="{view.waterfall.steps[0].value}"' in page
    assert "units of two banks are not the same ones" in page
    same = client.get(f"{address}/beside", params=asked | {"beside_bank": ""}).text
    assert f'href="{address}?bank=toys&amp;target=index%3A1&amp;against=index%3A2"' in same
    assert client.get(f"{address}/beside", params=asked | {"beside_bank": "nobody"}).status_code == 404
    assert client.get(f"{address}/beside", params=asked | {"beside_target": "grue"}).status_code == 422


def test_a_part_and_both_sides_are_kept_as_files(client: TestClient, bank: lt.Bank) -> None:
    address = dropped(client, png(), "a%3Cb%3E.png").partition("?")[0]
    mark = {"mark_left": 0, "mark_top": 0, "mark_right": 50, "mark_bottom": 100, "target": "index:1", "bank": "toys"}
    page = client.get(f"{address}/region", params=mark).text
    for ending in ("html", "json", "coco.json"):
        assert f'href="{address}/region/download/{ending}?mark_left=0' in page
    kept = {ending: client.get(f"{address}/region/download/{ending}", params=mark) for ending in ("html", "json")}
    region = explain_region(bank, Image.open(io.BytesIO(png())), (0, 0, 0.5, 1), Maps(bank, 10**8), target=1)
    told = kept["json"].json()
    assert (told["kind"], told["target"], told["n_cells"]) == ("Region", 1, region.n_cells)
    assert told["contribution"] == pytest.approx(region.contribution)
    boxes = client.get(f"{address}/region/download/coco.json", params=mark).json()
    assert [box["score"] for box in boxes["annotations"]] == pytest.approx([one.similarity for one in region.alike])
    assert boxes["annotations"][0]["bbox"][:2] == list(region.alike[0].box[:2])
    asked = {"bank": "toys", "target": "index:1", "beside_bank": "again", "beside_target": "index:2"}
    assert f'href="{address}/beside/download/html?bank=toys' in client.get(f"{address}/beside", params=asked).text
    kept["beside"] = client.get(f"{address}/beside/download/html", params=asked)
    sides = client.get(f"{address}/beside/download/json", params=asked).json()["sides"]
    assert [(one["bank"], one["explanation"]["target"]) for one in sides] == [("toys", 1), ("again", 2)]
    for report in (kept["html"], kept["beside"]):
        assert "attachment" in report.headers["content-disposition"]
        assert "a&lt;b&gt;.png" in report.text
        assert "runs no script" in report.text
        for foreign in ("<script", "<form", "<a ", 'href="/', 'src="/', "http://", "https://"):
            assert foreign not in report.text
    assert client.get(f"{address}/region/download/png", params=mark).status_code == 404
    assert client.get(f"{address}/beside/download/coco.json", params=asked).status_code == 404


def test_a_kept_picture_is_its_own_banks(bank: lt.Bank) -> None:
    key = bank.prototypes[0].image
    images = ImageStore({name: np.asarray(255 - picture) for name, picture in bank.images.items()})
    names = ("coordinates", "head", "provenance", "usage", "prototypes", "class_names")
    other = lt.Bank(images=images, model=bank.model, **{name: getattr(bank, name) for name in names})
    with TestClient(application({"toys": bank, "negative": other}), base_url=HOST) as client:
        asked = {"bank": "toys", "target": "index:1", "beside_bank": "negative", "beside_target": "index:1"}
        sides = client.get(f"/why/kept-{key}/beside", params=asked).text.split('aria-labelledby="side-')[1:]
        sums = [side.split("= logit")[1].split('class="number">')[1].split("<")[0] for side in sides]
        assert sums[0] == sums[1]  # the same picture twice
        own = client.get(f"/why/kept-{key}/download/json?bank=negative&target=index:1").json()
        assert own["logit"] == pytest.approx(other.explain(images[key], 1).logit)
