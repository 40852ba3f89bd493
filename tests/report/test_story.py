"""A story: pages of several results on one, whose names, pictures and headings do not meet."""

from pathlib import Path

import pytest
from report_samples import NASTY, bank, explanation
from test_report_html import check

from likethat.errors import InputError
from likethat.report import save_bank, save_explanation
from likethat.report.story import Chapter, save_story


def story(tmp_path: Path, *pages: Path) -> Path:
    chapters = [Chapter(question=f"Why {NASTY}?", told="Two sentences. Or one.", page=page) for page in pages]
    return save_story(chapters, tmp_path / "story.html", title="What does it look for?", lead="All of it.")


def test_each_page_is_a_chapter_with_pictures_of_its_own(tmp_path: Path) -> None:
    names = tuple(f"{NASTY} {number}" for number in range(4))
    pages = [
        save_explanation(explanation(), tmp_path / "why.html"),
        save_bank(bank(unit_names=names), tmp_path / "bank.html"),
        save_explanation(explanation(), tmp_path / "again.html"),
    ]
    page = check(story(tmp_path, *pages))
    assert [attrs["href"] for attrs in page.all("a")][:3] == ["#chapter-1", "#chapter-2", "#chapter-3"]
    images = [sum(len(check(one).all(tag)) for one in pages) for tag in ("img", "image", "use")]
    assert [len(page.all(tag)) for tag in ("img", "image", "use")] == images
    for one in pages:
        assert set(check(one).numbers) <= set(page.numbers)
    assert page.said.count("The model says “owl”") == 2
    assert "<script" not in page.text


def test_other_pages_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.html").write_text("<html><body><script>alert(1)</script></body></html>")
    with pytest.raises(InputError, match=r"`chapters` must name pages of likethat's results, got .*mine"):
        story(tmp_path, tmp_path / "mine.html")
    with pytest.raises(InputError, match="one chapter or more"):
        story(tmp_path)
    assert not (tmp_path / "story.html").exists()
