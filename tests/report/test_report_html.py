"""Pages: the numbers add up, nothing comes in from outside, nothing a name says is obeyed."""

import errno
import itertools
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from report_samples import LONG, NASTY, QUOTED, TURNED, bank, explanation, picture, prototype, provenance, row

import likethat as lt
from likethat.errors import InputError, ModelError, StorageError
from likethat.explanations import Explanation, ImageStore
from likethat.explanations.records import region_of
from likethat.report import save_bank, save_explanation, save_gallery
from likethat.report.palette import AGAINST, FOR, ROW_COLOURS, rgb
from likethat.report.pixels import outline
from likethat.report.sentences import (
    headline,
    lead,
    part_sentence,
    share_sentence,
    surroundings_sentence,
    truth_sentence,
)
from likethat.report.text import clean, rounded_to_sum, shorten
from likethat.report.waterfall import waterfall

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Reads a page strictly: every tag that opens closes, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.numbers: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.text = text
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.words).split())


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def sums(page: Page) -> list[tuple[list[float], float]]:
    """Return each table's printed terms and its printed total."""
    found = []
    for table in re.findall(r'<table class="sum">(.*?)</table>', page.text, flags=re.DOTALL):
        values = [number(value) for value in re.findall(r'<td class="number"[^>]*>([^<]*)</td>', table)]
        found.append((values[:-1], values[-1]))
    return found


def check(path: Path) -> Page:
    """Check what holds for every page."""
    page = read(path)
    assert page.all("html")[0]["lang"] == "en"
    policy = next(item for item in page.all("meta") if item.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "base", "form"})
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "url(" not in page.text
    assert "@import" not in page.text
    for tag, attrs in page.tags:
        assert not any(name.startswith("on") for name in attrs)
        if tag == "img":
            assert (attrs["src"] or "").startswith("data:image/")
            assert (attrs["alt"] or "").strip()
        if attrs.get("role") == "img":
            assert (attrs["aria-label"] or "").strip()
        if "href" in attrs:
            address = attrs["href"] or ""
            assert address.startswith(("data:image/", "#"))
            if address.startswith("#"):
                assert any(other.get("id") == address[1:] for _, other in page.tags)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    return page


def test_waterfall_by_hand(tmp_path: Path) -> None:
    # 0.25 (bias) + 2 + 1 (rows) + 0.5 (other for) - 0.75 (other against) = 3
    page = check(save_explanation(explanation(), tmp_path / "why.html"))
    assert sums(page) == [([0.25, 2.0, 1.0, 0.5, -0.75], 3.0)]
    assert "1 other channel for" in page.said
    assert "1 other channel against" in page.said
    assert "The model says “owl” (97\u202f%)" in page.said.replace(" %", "\u202f%")
    # 3 of 3.5 positive evidence
    assert "Two channels carry 86\u202f% of the evidence for it." in lead(explanation(), 2)


@pytest.mark.parametrize(
    "why",
    [
        explanation([-2.0, -1.0, -0.5], shown=1, bias=-0.1),
        explanation([0.0, 0.0, 0.0], bias=0.0),
        explanation([1.0, -1.0], bias=0.0),
        explanation([2.0, 1.0], shown=0),
        explanation([-1.0, 0.5], shown=2, against=1),
        explanation([1.0, 0.5, -0.25, 3.0], unlocated=[0.5, -0.25, 0.1, -4.0]),
        explanation(np.random.default_rng(0).normal(size=500).tolist(), shown=4),
        explanation((1e4 * np.random.default_rng(1).normal(size=50)).tolist(), shown=4),
        explanation((1e-4 * np.random.default_rng(2).normal(size=50)).tolist(), shown=4, bias=1e-5),
        explanation([1.0], shown=1, remainder=0.3, remainder_terms={"norm": 0.3}, logit=1.55),
    ],
)
def test_printed_numbers_add_up_to_the_logit(why: Explanation, tmp_path: Path) -> None:
    page = check(save_explanation(why, tmp_path / "why.html"))
    ((terms, total),) = sums(page)
    steps = waterfall(why)
    assert sum(terms) == pytest.approx(total, abs=1e-9)
    assert total == pytest.approx(why.logit, abs=0.51 * 10**-steps.decimals)
    for term, step in zip(terms, steps.steps, strict=True):
        assert term == pytest.approx(step.value, abs=1.01 * 10**-steps.decimals)
    for bar in steps.bars:
        assert all(piece.left >= -0.01 and piece.left + piece.width <= 100.01 for piece in bar.segments)


def test_class_token_is_hatched_and_not_counted_twice(tmp_path: Path) -> None:
    # 0.25 + (2 + 1) + (1 - 0.5) + other for 0.5 = 4.25; the class token, 1 - 0.5 = 0.5, is in the rows
    why = explanation([2.0, 1.0, 0.5], unlocated=[1.0, -0.5, 0.0], warnings=("Mind the gap.",))
    page = check(save_explanation(why, tmp_path / "why.html"))
    assert sums(page) == [([0.25, 3.0, 0.5, 0.5], 4.25)]
    assert "Hatched bars come from the class token" in page.said
    assert "Mind the gap." in page.said
    assert "hatched" in page.text.split("</style>")[1]
    plain = check(save_explanation(explanation(), tmp_path / "plain.html"))
    assert "hatched" not in plain.text.split("</style>")[1].lower()


def test_what_does_not_add_up_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"must add up to the network's own logit for 'owl', 1.5, got 1"):
        explanation([1.0], shown=1, bias=0.0, logit=1.5)
    why = explanation([1.0], shown=1, bias=0.0)
    why.contributions[0] = 1.001
    with pytest.raises(ModelError, match="must add up"):
        save_explanation(why, tmp_path / "why.html")


def test_remainders_stand_by_name(tmp_path: Path) -> None:
    why = explanation(
        [1.0, 0.5],
        unlocated=[0.25, 0.25],
        remainder=0.75,
        remainder_terms={"class token": 0.5, "rounding in float16": 0.25},
        logit=2.5,
    )
    page = check(save_explanation(why, tmp_path / "why.html"))
    assert sums(page) == [([0.25, 1.25, 0.75, 0.25], 2.5)]
    assert "rounding in float16" in page.said


def test_headlines() -> None:
    assert headline(explanation(against=1)) == "Why “owl” and not “gull”"
    assert headline(explanation(target=1)) == "What speaks for “gull” (97\u202f%)"
    instead = lead(explanation(target=1), 2)
    assert instead == "The model says “owl” instead. Two channels carry 86\u202f% of the evidence for “gull”."
    assert "“owl” is ahead of “gull” by a logit of 3.00" in lead(explanation(against=1), 2)
    assert "“gull” is ahead of “owl” by a logit of 1.00" in lead(explanation([-1.25], shown=1, against=1), 2)
    assert lead(explanation([-1.0], shown=1), 2) == "No channel shown here speaks for it."
    assert lead(explanation([2.0, -1.0]), 2).endswith("for it; one channel speaks against it.")
    nameless = explanation(class_names=("", " ", "x"))
    assert "“class 0”" in headline(nameless)


def test_shares_by_hand() -> None:
    why = explanation([2.0, -1.0, 2.0, -3.0], shown=2)  # 2 of 4 for, 1 of 4 against
    assert share_sentence(why, why.rows[0]) == "50\u202f% of the evidence for “owl”"
    assert share_sentence(why, why.rows[1]) == "25\u202f% of the evidence against “owl”"
    other = replace(why, against=1)
    assert share_sentence(other, other.rows[1]) == "25\u202f% of the evidence for “gull”"
    assert share_sentence(why, row(2, 0.0)) == "no evidence either way"


def test_true_parts(tmp_path: Path) -> None:
    beaks = tuple(prototype(0, rank, true_part="beak" if rank < 2 else None) for rank in range(3))
    rows = (row(0, 2.0, true_part="beak", prototypes=beaks), row(1, 1.0, prototypes=beaks))
    why = explanation(rows=rows)
    assert part_sentence(why, rows[0]) == "This box is on: beak. 2 of 3 prototypes show the same part."
    assert part_sentence(why, rows[1]) == "This box is on no part."
    assert "1 of 2 boxes is on the part" in truth_sentence(why)
    page = check(save_explanation(why, tmp_path / "why.html"))
    assert page.said.count("✓") == 2
    unknown = check(save_explanation(explanation(), tmp_path / "unknown.html"))
    assert "true part" not in unknown.said
    assert "✓" not in unknown.said


@pytest.mark.parametrize("hostile", [NASTY, QUOTED, TURNED, LONG, "\ud800 half", "a\nb\x00c", "{{ 7 * 7 }}", ""])
def test_names_are_shown_and_never_obeyed(hostile: str, tmp_path: Path) -> None:
    why = explanation(
        source=hostile,
        class_names=(hostile, hostile, hostile),
        warnings=(hostile,),
        rows=(
            row(
                0,
                2.0,
                name=hostile,
                true_part=hostile,
                prototypes=(prototype(0, 0, source=hostile, true_part=hostile),),
            ),
        ),
        remainder=1.0,
        remainder_terms={hostile: 1.0},
        logit=4.0,
        provenance=provenance(
            model=hostile,
            method=hostile,
            options={hostile: hostile},
            versions={hostile: hostile},
            created=hostile,
            fingerprint=hostile,
            measures={hostile: 1.0},
            skipped=((hostile, hostile),),
            notes=(hostile,),
        ),
    )
    names = tuple([hostile] * 4)
    pages = [
        check(save_explanation(why, tmp_path / "why.html")),
        check(save_gallery([why, why], tmp_path / "gallery.html", title=hostile or "none")),
        check(
            save_bank(bank(unit_names=names, class_names=names[:3], provenance=why.provenance), tmp_path / "bank.html")
        ),
    ]
    for page in pages:
        assert "<script" not in page.text
        assert "\u202e" not in page.text
        assert "\x00" not in page.text
        assert LONG not in page.text
        assert not any(word == "49" for word in page.words)
    if hostile == TURNED:
        assert "photo⟨U+202E⟩gpj.exe" in pages[0].said


def test_each_picture_is_embedded_once(tmp_path: Path) -> None:
    page = check(save_explanation(explanation(), tmp_path / "why.html"))
    names = [attrs["id"] for attrs in page.all("image")]
    assert len(names) == 4  # the picture, and 0, 1, 1 and 2 of the prototypes 0 and 1 of units 0 and 1
    assert len(page.all("use")) == 5  # four prototypes, and the picture
    assert len(page.all("img")) == 2  # a heat map a row


def test_close_ups_are_left_out_where_they_would_be_a_smear(tmp_path: Path) -> None:
    """A window of 1.7 boxes: 10 pixels of a box of 6, 12 of one of 7."""
    why = explanation()
    larger = tuple(
        replace(
            one, box=(10, 6, 17, 13), prototypes=tuple(replace(item, box=(3, 3, 10, 10)) for item in one.prototypes)
        )
        for one in why.rows
    )
    page = check(save_explanation(replace(why, rows=larger), tmp_path / "why.html"))
    assert len(page.all("use")) == 11  # four prototypes, each whole and close; the picture, and a close-up a row


def test_a_row_is_outlined_on_the_picture_and_beside_its_prototypes(tmp_path: Path) -> None:
    page = check(save_explanation(explanation(), tmp_path / "why.html"))
    lines = [attrs["d"] for attrs in page.all("path") if attrs.get("class") == "frame outline"]
    assert len(lines) == 4  # two rows, each in both pictures
    assert set(lines) == {outline(one.activation_map) for one in explanation().rows} - {""}


def test_a_prototype_is_outlined_where_its_region_is_known(tmp_path: Path) -> None:
    why = explanation()
    known = replace(why.rows[0].prototypes[0], region=region_of(np.eye(4, dtype=np.float32), 1.0))
    rows = (replace(why.rows[0], prototypes=(known, *why.rows[0].prototypes[1:])), *why.rows[1:])
    lines = [
        len(
            [
                one
                for one in check(save_explanation(item, tmp_path / name)).all("path")
                if one["class"] == "frame outline"
            ]
        )
        for name, item in (("a.html", why), ("b.html", replace(why, rows=rows)))
    ]
    assert lines[1] == lines[0] + 1


def test_a_gallery_shares_what_is_the_same(tmp_path: Path) -> None:
    first = explanation()
    page = check(save_gallery([first, replace(first, against=1)], tmp_path / "g.html", title="Two owls"))
    assert page.said.count("How this was made") == 1
    assert len(page.all("image")) == 5  # two pictures that are explained, three of prototypes
    assert len(sums(page)) == 2
    other = replace(first, provenance=provenance(seed=1))
    assert check(save_gallery([first, other], tmp_path / "h.html")).said.count("How this was made") == 2
    with pytest.raises(InputError, match="must hold one explanation or more"):
        save_gallery([], tmp_path / "none.html")


def test_small_pictures_keep_their_pixels(tmp_path: Path) -> None:
    small = read(save_explanation(explanation(), tmp_path / "small.html"))
    assert any("pixelated" in (attrs.get("class") or "") for attrs in small.all("div"))
    large = explanation(image=np.random.default_rng(0).random((1, 60, 90), dtype=np.float32))
    page = check(save_explanation(large, tmp_path / "large.html"))
    assert not any("pixelated" in (attrs.get("class") or "") for attrs in page.all("div"))
    assert "90 × 60 pixels" in page.said


def test_provenance_and_skipped_files(tmp_path: Path) -> None:
    made = provenance(skipped=(("bad.jpg", "cut short"), ("worse.jpg", "no image")), notes=("A note.",))
    page = check(save_explanation(explanation(provenance=made), tmp_path / "why.html"))
    for words in ("2 files left out", "bad.jpg", "cut short", "A note.", "procrustes", "1 min 23 s", "4 March 2026"):
        assert words in page.said
    assert "0123456789ab…" in page.said
    assert any(attrs.get("title") == made.fingerprint for attrs in page.all("abbr"))


def test_what_a_fit_warns_of_stands_once_on_the_page(tmp_path: Path) -> None:
    made = provenance(warning="Only 3 of 60.", notes=("Only 3 of 60.", "A note."))
    page = check(save_bank(bank(provenance=made), tmp_path / "bank.html"))
    assert (page.said.count("Only 3 of 60."), page.said.count("A note.")) == (1, 1)


def test_parts_of_classes_without_images(tmp_path: Path) -> None:
    page = check(save_bank(bank(provenance=provenance(method="PartPrototypes", unit="part")), tmp_path / "bank.html"))
    assert "1 more is of a class without images here, or never varies on this data, and has none." in page.said


def test_bank_most_used_first(tmp_path: Path) -> None:
    page = check(save_bank(bank(), tmp_path / "bank.html"))
    order = [word for word in page.words if word.startswith("channel ")]
    assert order == ["channel 2", "channel 1", "channel 0"]
    assert "All 3 channels that have prototypes" in page.said
    assert "1 more never varies on this data and has none." in page.said
    purest = bank(usage=np.zeros(0, np.float32), unit_purity=np.array([0.1, 0.9, 0.5, np.nan], np.float32))
    page = check(save_bank(purest, tmp_path / "bank.html"))
    assert [word for word in page.words if word.startswith("channel ")] == ["channel 1", "channel 2", "channel 0"]


def test_bank_says_what_it_leaves_out(tmp_path: Path) -> None:
    page = check(save_bank(bank(), tmp_path / "bank.html", limit=1))
    # usage 2 of 0 + 1 + 2 + 3
    assert "The 1 most used of 3 channels in full, most used first; they carry 33" in page.said
    assert re.findall(r'<li id="u(\d+)"', page.text) == ["1", "0"]  # the others, the most used first
    assert page.text.count("data:image/webp") == 2
    targets = set(re.findall(r'<a href="#(u\d+)"', page.text))
    assert targets == set(re.findall(r' id="(u\d+)"', page.text)) == {"u0", "u1", "u2"}
    entries = re.findall(r'<dt dir="auto">([^<]*)</dt><dd>(.*?)</dd>', page.text)
    assert [name for name, _ in entries] == sorted({name for name, _ in entries})
    whole = check(save_bank(bank(), tmp_path / "whole.html"))
    assert "by-class" not in whole.text.partition("</style>")[2]
    with pytest.raises(InputError, match="`limit` must be a whole number of at least 1"):
        save_bank(bank(), tmp_path / "bank.html", limit=0)


def test_bank_without_prototypes(tmp_path: Path) -> None:
    page = check(save_bank(bank(prototypes=()), tmp_path / "bank.html"))
    assert "None of its 4 channels has a prototype." in page.said


@pytest.mark.slow
def test_a_large_bank_stays_small(tmp_path: Path) -> None:
    blurred = [np.asarray(Image.fromarray(picture(index, size=28)).resize((224, 224))) for index in range(120)]
    images = ImageStore({f"image-{index}": one for index, one in enumerate(blurred)})
    found = tuple(
        prototype(unit, rank, kind=kind, image=f"image-{(unit * 7 + rank) % 120}", box=(32, 32, 64, 64))
        for unit in range(2048)
        for kind in ("positive", "negative")
        for rank in range(5)
    )
    large = bank(2048, prototypes=found, images=images, unit_purity=np.full(2048, 0.5, np.float32))
    path = save_bank(large, tmp_path / "bank.html")
    page = read(path)
    assert path.stat().st_size < 5_000_000
    assert len(page.all("image")) <= 120
    assert "The 60 most used of 2,048 channels in full" in page.said
    assert set(re.findall(r' id="u(\d+)"', page.text)) == {str(unit) for unit in range(2048)}
    assert "Lowest activation" in page.said


def test_makes_folders_and_replaces_whole(tmp_path: Path) -> None:
    path = save_explanation(explanation(), tmp_path / "new" / "folder" / "why.html")
    assert path.is_file()
    save_bank(bank(), path)
    assert "What small cnn looks for" in path.read_text(encoding="utf-8")
    assert [item.name for item in path.parent.iterdir()] == ["why.html"]


def test_a_full_disk_leaves_the_earlier_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_explanation(explanation(), tmp_path / "why.html")
    before = path.read_bytes()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            StorageError, match=r"why\.html could not be written \(No space left on device\)\. Free space"
        ):
            save_explanation(explanation(), path)
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["why.html"]


def test_rounded_to_sum_is_within_one_unit() -> None:
    values = np.random.default_rng(0).normal(size=40)
    rounded = rounded_to_sum(values.tolist(), 2)
    assert sum(rounded) == pytest.approx(round(float(values.sum()), 2), abs=1e-9)
    assert float(np.abs(np.array(rounded) - values).max()) < 0.01


def test_shorten_keeps_both_ends() -> None:
    assert shorten(LONG + ".jpg", 20).endswith(".jpg")
    assert len(shorten(LONG, 20)) == 20
    assert clean("naïve 猫 \U0001f426 name") == "naïve 猫 \U0001f426 name"


def luminance(colour: str) -> float:
    """Return WCAG's relative luminance."""
    parts = [value / 255 for value in rgb(colour)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_aa() -> None:
    style = Path(lt.__file__).parent / "report" / "templates" / "style.css"
    themes = re.findall(r":root \{(.*?)\}", style.read_text(encoding="utf-8"), flags=re.DOTALL)[:2]
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert all(contrast("#ffffff", colour) >= 4.5 for colour in ROW_COLOURS)
    for theme in themes:
        colours = dict(re.findall(r"--([\w-]+): (#\w+)", theme))
        colours = {
            name: value if len(value) == 7 else "#" + "".join(2 * digit for digit in value[1:])
            for name, value in colours.items()
        }
        for ground in ("paper", "card"):
            assert all(contrast(colours[text], colours[ground]) >= 4.5 for text in ("ink", "soft", "ok"))
            assert all(contrast(colours[bar], colours[ground]) >= 3 for bar in ("for", "against", "total"))
        assert contrast(colours["ink"], colours["warn"]) >= 4.5
    assert tuple(re.findall(r"--(?:for|against): (#\w+)", themes[0])) == (FOR, AGAINST)


@pytest.mark.parametrize(("n", "folded"), [(4, 0), (5, 2), (7, 4)])
def test_many_notes_leave_room_for_the_picture(n: int, folded: int, tmp_path: Path) -> None:
    notes = tuple(f"Note {index}." for index in range(n))
    text = check(save_explanation(explanation(warnings=notes), tmp_path / "why.html")).text
    shown, _, rest = text.partition('<aside class="warnings"')[2].partition("</aside>")[0].partition("<details>")
    assert re.findall(r"Note \d\.", shown) == list(notes[: n - folded])
    assert re.findall(r"Note \d\.", rest) == list(notes[n - folded :])
    assert (f"{folded} more notes" in rest) == bool(folded)


def test_what_a_weak_part_carries_is_said_beside_what_all_parts_carry() -> None:
    weak = replace(row(1, 1.0), name="owl, part 2 (surroundings / weak)")
    why = explanation((2.0, 1.0, 1.0, -0.75))
    assert surroundings_sentence(why) == ""
    said = surroundings_sentence(replace(why, rows=(why.rows[0], weak)))
    assert said.startswith(" 25\u202f% of it comes from one channel whose places hold little evidence")
    other = explanation((2.0, -1.0, 1.0))
    against = replace(other.rows[1], name=weak.name)
    assert surroundings_sentence(replace(other, rows=(other.rows[0], against))) == ""
