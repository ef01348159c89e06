"""Which language is chosen, and how a phrase is read."""

from __future__ import annotations

import subprocess
import sys

import pytest

from smtpprobe import texts
from smtpprobe.errors import UnknownLanguageError

SHIPPED = ("en", "de", "ja", "pt-BR", "zh-Hans")


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "languages", lambda: SHIPPED)


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize(
    ("wanted", "language"),
    [
        ("de", "de"),
        ("DE", "de"),
        ("de_AT.UTF-8", "de"),
        ("de_DE@euro", "de"),
        ("pt", "pt-BR"),
        ("pt_PT.UTF-8", "pt-BR"),
        ("zh-CN", "zh-Hans"),
        ("zh_SG.UTF-8", "zh-Hans"),
        ("zh_TW.UTF-8", None),
        ("zh-Hant-HK", None),
        ("C", "en"),
        ("C.UTF-8", "en"),
        ("POSIX", "en"),
        ("tlh", None),
        ("", None),
    ],
)
def test_a_tag_or_locale_finds_its_language(wanted: str, language: str | None) -> None:
    assert texts.match_language(wanted) == language


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize(
    ("environ", "chosen"),
    [
        ({}, ("en", None)),
        ({"LANG": "de_DE.UTF-8"}, ("de", None)),
        ({"LC_MESSAGES": "ja_JP.UTF-8", "LANG": "de_DE.UTF-8"}, ("ja", None)),
        ({"LC_ALL": "C", "LC_MESSAGES": "ja_JP.UTF-8", "LANG": "de_DE.UTF-8"}, ("en", None)),
        ({"SMTPPROBE_LANG": "zh-Hans", "LC_ALL": "C"}, ("zh-Hans", None)),
        ({"SMTPPROBE_LANG": "tlh", "LANG": "de_DE.UTF-8"}, ("en", "tlh")),
        ({"LC_ALL": "", "LANG": "de_DE.UTF-8"}, ("de", None)),
        ({"LANG": "fi_FI.UTF-8"}, ("en", "fi_FI.UTF-8")),
    ],
)
def test_the_first_variable_that_is_set_decides(environ: dict[str, str], chosen: tuple[str, str | None]) -> None:
    assert texts.choose_language(None, environ) == chosen


@pytest.mark.usefixtures("shipped")
def test_the_option_goes_before_the_environment() -> None:
    assert texts.choose_language("ja", {"SMTPPROBE_LANG": "de"}) == ("ja", None)


@pytest.mark.usefixtures("shipped")
def test_an_option_for_a_language_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(UnknownLanguageError, match="no texts in 'tlh'; there are: en, de, ja, pt-BR, zh-Hans"):
        texts.choose_language("tlh", {})


def test_a_phrase_is_filled_and_a_missing_one_is_our_defect() -> None:
    assert texts.phrase("en", "labels", "counts", "error", count=3) == "errors: 3"
    with pytest.raises(KeyError, match=r"en/labels: \[counts\] eror"):
        texts.phrase("en", "labels", "counts", "eror")
    with pytest.raises(KeyError):
        texts.phrase("en", "labels", "counts", "error", number=3)


def test_an_unknown_key_is_none() -> None:
    assert texts.entry("en", "replies", "999") is None


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ('name = "Plain"\n', {"name": "Plain"}),
        ('\n# a comment\nname = "Plain" \n', {"name": "Plain"}),
        ('a = """\nOne\n"two" """\n', {"a": 'One\n"two" '}),
        ('a = """One"""\nb = ""\n', {"a": "One", "b": ""}),
        ('a = "back\\\\slash"\n', {"a": "back\\slash"}),
        ("a = 'literal'\n", {"a": "literal"}),
        ('a = "with"  # comment\n', {"a": "with"}),
        ('"n.a." = "quoted"\nb = "x"\n', {"n.a.": "quoted", "b": "x"}),
        ("", {}),
    ],
)
def test_a_table_is_read_whatever_form_its_texts_have(body: str, fields: dict[str, str]) -> None:
    assert texts._fields(body) == fields


def test_plain_texts_are_read_without_the_parser() -> None:
    program = (
        "import sys; from smtpprobe import texts; texts.entry('en', 'replies', '421');"
        "print(*sys.modules.keys() & {'tomllib', 'pathlib'})"
    )
    ended = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("\n", "")
