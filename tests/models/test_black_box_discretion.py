"""A credential is found however a service writes it, and ordinary words stay."""

import base64
import gc
import logging
from urllib.parse import quote

import pytest

from likethat.models.black_box.discretion import Discretion, forget_in_logs

SHORT, LONG = "pa$$ w0rd", "eyJhbGciOiJIUzI1NiJ9." + "abcDEF0123456789-_" * 40


def test_ordinary_text_is_left_alone() -> None:
    discretion = Discretion(lambda: [SHORT])
    for text in ("the password is wrong", "", '{"a": [0.25, 1e-5]}', "１２ ﬁ"):
        assert discretion.clean(text) == text
    assert Discretion(list).clean("anything") == "anything"


def test_each_writing_by_hand() -> None:
    discretion = Discretion(lambda: [SHORT])
    for written in ("pa$$ w0rd", "pa%24%24%20w0rd", "pa%2524%2524+w0rd", "PA$$ W0RD", r"pa$$ \u0077\x30rd",
                    "pa&#36;&#x24; w0rd", "70612424207730 7264".replace(" ", ""), "pa\u200b$$ w0rd"):  # fmt: skip
        assert discretion.clean(f"you sent {written}!") == "you sent [credential]!"
    wrapped = base64.b64encode(b"me:" + SHORT.encode()).decode()  # bWU6cGEkJCB3MHJk
    assert wrapped[4:] not in discretion.clean(f"Basic {wrapped}")


@pytest.mark.parametrize("write", [str, lambda x: quote(x, safe=""), lambda x: base64.b64encode(x.encode()).decode()])
def test_of_a_long_one_nothing_is_shown(write: object) -> None:
    discretion = Discretion(lambda: [LONG])
    said = discretion.clean(f"no {write(LONG)} here")  # type: ignore[operator]
    assert said == "[text that may hold the credential]"


def test_a_very_short_one_hides_every_text_but_no_number() -> None:
    discretion = Discretion(lambda: ["ab"])
    assert discretion.clean("a cab") == "[text that may hold the credential]"
    assert discretion.clean_json('{"ab": [0.25], "cab": 1}') == '{"[credential]": [0.25], "cab": 1}'


def test_strings_of_json_alone_are_looked_at() -> None:
    discretion = Discretion(lambda: ["1234"])
    assert discretion.clean_json('{"p": [0.1234], "\\u00311234": "a\\"1234"}') == (
        '{"p": [0.1234], "1[credential]": "a\\"[credential]"}'
    )


def test_a_secret_that_changes_is_looked_for_anew() -> None:
    secrets = ["first one"]
    discretion = Discretion(lambda: secrets)
    assert discretion.clean("first one, second one") == "[credential], second one"
    secrets[:] = ["second one"]
    assert discretion.clean("first one, second one") == "first one, [credential]"


@pytest.mark.slow
def test_the_log_of_the_library_is_cleaned(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    discretion = Discretion(lambda: [SHORT])
    forget_in_logs(discretion)
    forget_in_logs(discretion)
    logging.getLogger("httpcore.http11").debug("headers %r", [(b"X", SHORT.encode())])
    logging.getLogger("mine").info("%s is mine", SHORT)
    assert [record.getMessage() for record in caplog.records] == [
        "headers [(b'X', b'[credential]')]",
        f"{SHORT} is mine",
    ]
    assert sum(type(item).__name__ == "_Filter" for item in logging.getLogger("httpcore.http11").filters) == 1
    del discretion
    gc.collect()
    logging.getLogger("httpx").info("no more")
