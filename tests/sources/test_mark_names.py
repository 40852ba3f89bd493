"""Names that another system wrote find their picture, or none."""

import pytest

from likethat.sources.marks.names import Names, slashed

FILES = [
    "red/robin.jpg",
    "grey/robin.jpg",
    "wren.PNG",
    "a b.jpg",
    "a%20c.jpg",
    "sub/owl.2.jpg",
    "owl.jpg",
    "Mu\u0308ller.jpg",
]


@pytest.mark.parametrize(
    ("name", "found", "near"),
    [
        ("red/robin.jpg", (0,), ()),
        ("red\\robin.JPG", (0,), ()),
        ("D:\\x\\grey\\robin.jpg", (1,), ()),
        ("robin.jpg", (0, 1), ()),
        ("robin", (0, 1), ()),
        ("blue/robin.jpg", (), (0, 1)),
        ("wren.png", (2,), ()),
        ("./wren", (2,), ()),
        ("a%20b.jpg", (3,), ()),
        ("a%20c.jpg", (4,), ()),
        ("a c.jpg", (4,), ()),
        ("owl.2", (5,), ()),
        ("owl", (6,), ()),
        ("M\u00fcller.jpg", (7,), ()),
        ("images/0123abcd-owl.jpg", (6,), ()),
        ("/data/local-files/?d=red/robin.jpg", (0,), ()),
        ("hawk.jpg", (), ()),
        ("", (), ()),
        ("..", (), ()),
    ],
    ids=str,
)
def test_find(name: str, found: tuple[int, ...], near: tuple[int, ...]) -> None:
    naming = Names(FILES).find(name)
    assert (naming.found, naming.near) == (found, near)


def test_numbers_are_those_of_the_source() -> None:
    names = Names(["a", "b"], indices=[4, 9])
    assert names.find(9).found == (1,)
    assert names.find(1).found == ()


def test_slashed() -> None:
    assert slashed(" a\\u\u0308.jpg ") == "a/\u00fc.jpg"
