from pathlib import Path

import pytest
import torch

from likethat.errors import InputError
from likethat.generators.text.files import as_texts, read_texts
from likethat.generators.text.tokens import END, HIDDEN, PAD, Tokens

TEXTS = [
    "The film was great. Really great!",
    "Der Film war groß,  mit zwei Leerzeichen",
    "映画はとても良かったです。",
    "фильм был скучным…",
    "हिन्दी में एक वाक्य",
    "كان الفيلم رائعا",
    "👩‍👩‍👧 loved it 🎉🎉",
    "a\tb\nc",
    "",
]


def test_every_script_survives() -> None:
    tokens = Tokens.learn(TEXTS)
    assert tokens.decode(tokens.encode(TEXTS)) == TEXTS


def test_words_that_occur_twice_are_one_token_and_others_are_spelt() -> None:
    tokens = Tokens.learn(["a red car", "a red bus"])
    assert " red" in tokens.pieces
    assert " car" not in tokens.pieces
    assert len(tokens.numbers("a red")) == 2
    assert len(tokens.numbers(" car")) == 4  # blank, c, a, r


def test_the_order_of_the_texts_is_nothing() -> None:
    assert Tokens.learn(TEXTS).pieces == Tokens.learn(TEXTS[::-1]).pieces


def test_characters_never_seen_are_not_shown() -> None:
    tokens = Tokens.learn(["abc abc"])
    assert tokens.numbers("aß") == [*tokens.numbers("a"), HIDDEN]
    assert tokens.decode(tokens.encode(["aß"])) == ["a"]


def test_rare_characters_are_spelt_in_bytes_where_there_are_too_many() -> None:
    texts = ["".join(chr(0x4E00 + number) for number in range(start, start + 50)) for start in range(0, 4000, 50)]
    tokens = Tokens.learn(texts, max_tokens=400)
    assert tokens.has_bytes
    assert tokens.decode(tokens.encode(texts)) == texts
    assert tokens.decode(tokens.encode(["😀 never seen"]))[0].startswith("😀")
    half = torch.tensor([[4 + 0xF0, 4 + 0x9F, END, PAD]])  # half of an emoji
    assert tokens.decode(half) == [""]


def test_rows_are_of_one_length_and_longer_texts_are_cut() -> None:
    tokens = Tokens.learn(["one two three four", "one two three four five"] * 2, max_tokens=3)
    rows = tokens.encode(["one two", "one two three four five"])
    assert rows.shape == (2, 4)
    assert rows[0, 2:].tolist() == [END, PAD]
    assert tokens.decode(rows) == ["one two", "one two three"]


def test_a_lone_surrogate_does_no_harm() -> None:
    tokens = Tokens.learn(["a \ud83d b", "a b"])
    assert tokens.decode(tokens.encode(["a \ud83d b"])) == ["a ? b"]


def test_a_file_is_read_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_bytes("\ufeffone\r\n\n  двa  \n🎉".encode())
    assert read_texts(tmp_path / "texts.txt") == ["one", "двa", "🎉"]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty. Give a file with one text a line"),
        (b"\n \n", "is empty"),
        (b"good\nb\xffd\n", "must be in UTF-8, got a byte that is none in line 2"),
        (b"a\0b\n", "is it binary"),
        (b"only one\n", "at least 16 texts that are not all the same to learn from, got 1"),
        (b"same\n" * 40, r"got 40 \(1 different\)"),
    ],
)
def test_files_that_cannot_be_learned(tmp_path: Path, content: bytes, match: str) -> None:
    (tmp_path / "texts.txt").write_bytes(content)
    with pytest.raises(InputError, match=match):
        as_texts(tmp_path / "texts.txt")


def test_other_things_than_texts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not there or no file"):
        as_texts(tmp_path)
    with pytest.raises(InputError, match="must be texts, or a file with one text a line, got int in it"):
        as_texts(["a", 3])  # type: ignore[list-item]
