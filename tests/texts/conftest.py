"""``pytest tests/texts --language de``: hold a language to the tests although it is not complete yet."""

from __future__ import annotations

import pytest

from smtpprobe import texts


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--language", action="append", metavar="TAG", help="test this language, even if it is unfinished")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes ``language`` and ``room`` runs for each file that is to be complete."""
    wanted = metafunc.config.getoption("language", default=None) or texts.languages()
    if "language" in metafunc.fixturenames and "room" in metafunc.fixturenames:
        english = texts.rooms(texts.DEFAULT_LANGUAGE)
        metafunc.parametrize(("language", "room"), [(language, room) for language in wanted for room in english])
