"""The folder that all machines share: files are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fsspec", reason="the store needs it")

from smtpprobe.scan.shuffling import pack
from smtpprobe.scan.store import Store


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(str(tmp_path / "out") if request.param == "disk" else f"memory://{tmp_path.name}")


def test_files_are_written_whole_read_in_sections_and_removed(store: Store) -> None:
    assert store.get("a/b") is None
    store.put("a/b", pack([b"one", b"", b"three"]))
    store.put("a/c", pack([b"", b"", b"drei"]))
    assert store.names("a") == ["a/b", "a/c"]
    assert store.sections(["a/b", "a/c"], 2) == [b"three", b"drei"]
    assert store.sections(["a/b", "a/c"], 1) == [b"", b""]
    store.put("a/b", b"anew")
    assert store.get("a/b") == store.read("a/b") == b"anew"
    assert store.names("_scan/drafts") == []
    store.remove("a")
    store.remove("a")
    assert store.names("a") == []


def test_what_cannot_be_written_leaves_what_was_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("part", b"before")

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(store._fs, "mv", full)
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space"):
        store.put("part", b"after")
    assert store.get("part") == b"before"
    assert store.names("_scan/drafts") == []
