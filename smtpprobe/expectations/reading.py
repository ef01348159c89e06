"""The file of expectations, from TOML into a `Config`; every mistake is named by file, line and key, all at once."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from types import UnionType
from typing import Any, Final, get_args, get_type_hints

import msgspec

from smtpprobe.errors import ConfigError, SmtpprobeError
from smtpprobe.expectations.finding import FILE, MAX_BYTES, PYPROJECT, PYPROJECT_TABLE
from smtpprobe.expectations.lines import Path, line_of, lines_of
from smtpprobe.expectations.model import Allowance, Config, Table
from smtpprobe.expectations.wording import (
    is_keyword,
    is_mechanism,
    parse_address,
    parse_mx,
    parse_reply_wanted,
    seconds,
)


def read_config(file: str) -> Config:
    """Read a file.

    Raises:
        ConfigError: it cannot be read, is no TOML, or has mistakes: a line for each.
    """
    try:
        with open(file, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{file}: it has more than {MAX_BYTES // 1024 // 1024} MiB")
    return parse_config(data, file)


def parse_config(data: bytes, file: str = FILE) -> Config:
    """Read the text of a file.

    Args:
        file: how it is called, in messages; one named ``pyproject.toml`` holds our table among others.

    Raises:
        ConfigError: it is no TOML, or has mistakes: a line for each.
    """
    import tomllib

    try:
        text = data.decode("utf-8-sig")  # some editors begin with a byte order mark
        document = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 at byte {error.start}; save it in that encoding") from error
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        shown = _in_words(re.sub(r" \(at .*\)", "", str(error)))
        raise ConfigError(f"{file}:{line[1] if line else text.count(chr(10)) + 1}: no TOML: {shown}") from error
    except RecursionError as error:
        raise ConfigError(f"{file}: it is nested too deeply") from error
    path: Path = ()
    found: object = document
    if os.path.basename(file) == PYPROJECT:
        path = PYPROJECT_TABLE
        for part in path:
            found = found.get(part, {}) if isinstance(found, dict) else found
    reader = _Reader(file, lines_of(text))
    config = reader.table(Config, found, path)
    if reader.mistakes:
        raise ConfigError("\n".join(each for _, each in sorted(reader.mistakes)))
    assert isinstance(config, Config)  # noqa: S101 - whatever is None has left a mistake
    return config


def _in_words(error: str) -> str:
    """Say what tomllib says of a thing that stands twice as a person would."""
    twice = re.fullmatch(r"Cannot (?:declare|mutate immutable namespace) \((.+?),?\)(?: twice)?", error)
    if twice is not None:
        name = ".".join(re.findall("'([^']*)'", twice[1]))
        return f"there is a table [{name}] already"
    return "the key stands there twice" if error == "Cannot overwrite a value" else error


class _Reader:
    """Reads tables and keeps count of what is wrong with them."""

    def __init__(self, file: str, lines: Mapping[Path, int]) -> None:
        self._file = file
        self._lines = lines
        self.mistakes: list[tuple[int, str]] = []

    def table(self, form: type[Table], value: object, path: Path) -> Table | None:
        """Read a table of a form; None where something is wrong."""
        if not isinstance(value, dict):
            hint = '; write it as { finding = "...", reason = "..." }' if form is Allowance else ""
            self._note(path, f"a table is expected, not {_shown(value)}{hint}")
            return None
        before = len(self.mistakes)
        fields = {field.encode_name: field for field in msgspec.structs.fields(form)}
        hints = get_type_hints(form)
        found: dict[str, Any] = {}
        for key, inner in value.items():
            field = fields.get(key)
            if field is None:
                self._note((*path, key), f"there is no such key{_meant(key, fields)}")
            else:
                found[field.name] = self._value(hints[field.name], inner, (*path, key))
        for field in fields.values():
            if field.required and field.encode_name not in value:
                self._note(path, f"the key {field.encode_name!r} is missing")
        return None if len(self.mistakes) > before else form(**found)

    def _value(self, form: Any, value: object, path: Path) -> Any:
        inner = _table_in(form)
        if inner is None:
            return self._plain(form, value, path)
        kind, holder = inner
        if holder is dict:
            if not isinstance(value, dict):
                self._note(path, f"a table of tables is expected, not {_shown(value)}")
                return {}
            return {name: self.table(kind, each, (*path, name)) for name, each in value.items()}
        if holder is tuple:
            if not isinstance(value, list):
                self._note(path, f"an array of tables is expected, not {_shown(value)}")
                return ()
            return tuple(self.table(kind, each, (*path, str(number))) for number, each in enumerate(value, 1))
        return self.table(kind, value, path)

    def _plain(self, form: Any, value: object, path: Path) -> Any:
        inner = _entries_of(form)
        if inner is not None and isinstance(value, dict):
            return self._entries(inner, value, path)
        read = self._converted(form, value, path)
        check = _CHECKS.get(path[-1])
        if check is not None and read is not None:
            try:
                for problem in check(read):
                    self._note(path, problem)
            except (SmtpprobeError, ValueError) as error:
                self._note(path, str(error))
        return read

    def _entries(self, form: Any, value: Mapping[str, object], path: Path) -> Mapping[str, object]:
        check = _ENTRY_CHECKS[path[-1]]
        for name, each in value.items():
            where = (*path, name)
            read = self._converted(form, each, where)
            for problem in check(name, read):
                self._note(where, problem)
        return value

    def _converted(self, form: Any, value: object, path: Path) -> Any:
        """Read a plain value; None where it is of another type."""
        try:
            return msgspec.convert(value, form)
        except msgspec.ValidationError as error:
            self._note(path, _explained(str(error), value, form))
            return None

    def _note(self, path: Path, problem: str) -> None:
        line = line_of(self._lines, path)
        name = ".".join(part if part.isprintable() else ascii(part) for part in path) or "the file"
        self.mistakes.append((line, f"{self._file}:{line}: {name}: {problem}"))


def _table_in(form: Any) -> tuple[type[Table], type | None] | None:
    """The table that a field holds, and whether in a tuple or a dictionary; None where it holds plain values."""
    for each in get_args(form) if isinstance(form, UnionType) else (form,):
        if isinstance(each, type) and issubclass(each, Table):
            return each, None
        for holder in (tuple, dict):
            if getattr(each, "__origin__", None) is holder:
                for inner in get_args(each):
                    if isinstance(inner, type) and issubclass(inner, Table):
                        return inner, holder
    return None


def _entries_of(form: Any) -> Any:
    """What the values of a plain dictionary are; None where a field holds none."""
    for each in get_args(form) if isinstance(form, UnionType) else (form,):
        if getattr(each, "__origin__", None) is dict:
            return get_args(each)[1]
    return None


def _meant(key: str, known: Mapping[str, object]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(key.replace("_", "-").lower(), known, n=2)
    if near:
        return f"; did you mean {' or '.join(repr(each) for each in near)}?"
    return f"; there are {', '.join(known)}"


_IN_TOML: Final = {
    "array": "an array",
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "object": "a table",
    "date": "a date such as 2027-01-01",
    "datetime": "a moment",
    "time": "a time of day",
}
"""Types as msgspec names them, and as TOML does."""


def _explained(error: str, value: object, form: Any) -> str:
    """Say in words of TOML what msgspec says in those of JSON."""
    what, _, place = error.partition(" - at ")
    choices = list(_choices(form))
    if choices and "enum" in what:
        said = re.search("'.*'", what, re.DOTALL)
        return f"{ascii(said[0][1:-1]) if said else _shown(value)} is not one of {', '.join(choices)}"
    wanted, _, got = what.removeprefix("Expected ").partition(", got ")
    options = [_IN_TOML.get(each, each) for each in re.findall(r"[a-z]+", wanted) if each != "null"]
    element = re.search(r"\[(\d+)\]", place)
    where = f" in element {int(element[1]) + 1}" if element else ""
    if "RFC3339" in what:
        return f"{_IN_TOML['date']} is expected, not {_shown(value)}"
    if not got:
        return f"{what}{where}"
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    hint = f'; write it as "{value}"' if options == [_IN_TOML["str"]] and is_number else ""
    return f"{' or '.join(options)} is expected{where}, not {_IN_TOML.get(got.strip('`'), got)}{hint}"


def _choices(form: Any) -> Iterator[str]:
    """The texts that a form names one by one."""
    for each in get_args(form):
        if isinstance(each, str):
            yield each
        else:
            yield from _choices(each)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, (str, int, float)) else "a table" if isinstance(value, dict) else "an array"


# --- single values --------------------------------------------------------------------------------------------------


def _all(check: Callable[[Any], object]) -> Callable[[Any], Iterator[str]]:
    """Check each element of an array, or the one value."""

    def each_of(value: Any) -> Iterator[str]:
        for each in value if isinstance(value, tuple) else (value,):
            try:
                check(each)
            except (SmtpprobeError, ValueError, re.error) as error:
                yield str(error)

    return each_of


def _port(value: str | int) -> None:
    from smtpprobe.endpoints import parse_port

    parse_port(str(value))


def _resolver(value: str) -> None:
    from smtpprobe.targets import parse_name_server

    parse_name_server(value)


def _target(value: str) -> None:
    from smtpprobe.targets import parse_target

    parse_target(value)


def _ehlo(value: str) -> None:
    from smtpprobe.names import own_ehlo_name

    own_ehlo_name(value)


def _keyword(value: str) -> None:
    if not is_keyword(value):
        raise ValueError(f"{value!r} is no keyword of an EHLO reply, such as STARTTLS or 8BITMIME")


def _mechanism(value: str) -> None:
    if not is_mechanism(value):
        raise ValueError(f"{value!r} is no AUTH mechanism, such as PLAIN or SCRAM-SHA-256")


def _pattern(value: str) -> None:
    from smtpprobe.expectations.patterns import check_pattern

    check_pattern(value)


def _code(value: int) -> None:
    if not 200 <= value <= 599:
        raise ValueError(f"{value} is no reply code; they go from 200 to 599")


def _reason(value: str) -> None:
    if not value.strip():
        raise ValueError("say why, for whoever reads the report")


def _resolve(name: str, address: str | None) -> Iterator[str]:
    from smtpprobe.targets import parse_override

    if address is None:
        return
    try:
        parse_override(f"{name}={address}")
    except SmtpprobeError as error:
        yield str(error)


def _finding(id: str) -> Iterator[str]:
    """An id that can be allowed."""
    from smtpprobe.checks import KINDS
    from smtpprobe.checks.kinds import Topic

    if id not in KINDS:
        from difflib import get_close_matches

        near = get_close_matches(id, KINDS, n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else "'smtpprobe codes --findings' lists them"
        yield f"{id!r} is no finding; {hint}"
    elif KINDS[id].topic is Topic.EXPECTATIONS:
        yield f"{id!r} tells what this file expects: change the expectation instead"


def _raised(id: str, _: str | None) -> Iterator[str]:
    from smtpprobe.checks import KINDS
    from smtpprobe.report import Severity

    yield from _finding(id)
    if id in KINDS and KINDS[id].severities == (Severity.OK,):
        yield f"{id!r} says that all is well; there is nothing to raise"


def _above_zero(value: int) -> None:
    if value < 0:
        raise ValueError(f"{value} is below 0")


_CHECKS: Final[dict[str, Callable[[Any], Iterator[str]]]] = {
    "ports": _all(_port),
    "port": _all(_port),
    "policy-port": _all(_port),
    "resolvers": _all(_resolver),
    "target": _all(_target),
    "ehlo": _all(_ehlo),
    "timeout": _all(seconds),
    "deadline": _all(seconds),
    "within": _all(seconds),
    "greeting-within": _all(seconds),
    "greeting-code": _all(_code),
    "greeting-matches": _all(_pattern),
    "capabilities": _all(_keyword),
    "no-capabilities": _all(_keyword),
    "capabilities-before-tls": _all(_keyword),
    "no-capabilities-before-tls": _all(_keyword),
    "auth": _all(_mechanism),
    "size": _all(_above_zero),
    "certificate-days": _all(_above_zero),
    "mx": _all(parse_mx),
    "replies": _all(parse_reply_wanted),
    "sender": _all(parse_address),
    "finding": _finding,
    "reason": _all(_reason),
}
"""What a type does not tell, by key: the problems of a value."""

_ENTRY_CHECKS: Final[dict[str, Callable[[str, Any], Iterator[str]]]] = {"resolve": _resolve, "raise": _raised}
"""The same for the entries of a table of plain values."""
