"""The templates of HTML pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from smtpprobe.errors import MissingExtraError

if TYPE_CHECKING:
    from jinja2 import Environment


def environment() -> Environment:
    """Make what templates are loaded from; it escapes everything that is put into them.

    Raises:
        MissingExtraError: Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtraError("the HTML format", "ci") from error
    return Environment(
        loader=PackageLoader("smtpprobe.render", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
