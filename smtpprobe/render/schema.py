"""The JSON Schema of the forms that smtpprobe writes, with the documentation of every field.

The definition of a value is its class: type, codec and schema at once. What the fields mean stands below them as
docstrings, which Python does not keep; they are read from the source, so that the schema says what the code says.
"""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import Any, Final

import msgspec

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema_of(form: type[msgspec.Struct]) -> dict[str, Any]:
    """Make the schema (2020-12) of a form."""
    (schema,), definitions = msgspec.json.schema_components([form], ref_template="#/$defs/{name}")
    classes = {each.__name__: each for each in _classes(form)}
    for name, definition in definitions.items():
        if name in classes:
            _document(definition, classes[name])
    return {"$schema": DIALECT, "title": form.__name__, **schema, "$defs": definitions}


def _classes(form: type[Any]) -> set[type[Any]]:
    """The structs and enumerations that a form is made of."""
    found: set[type[Any]] = set()
    waiting: list[Any] = [msgspec.inspect.type_info(form)]
    while waiting:
        info = waiting.pop()
        if isinstance(info, (msgspec.inspect.StructType, msgspec.inspect.EnumType)):
            if info.cls in found:
                continue
            found.add(info.cls)
        if isinstance(info, msgspec.inspect.StructType):
            waiting.extend(field.type for field in info.fields)
        elif isinstance(info, msgspec.inspect.UnionType):
            waiting.extend(info.types)
        elif isinstance(info, msgspec.inspect.VarTupleType):
            waiting.append(info.item_type)
        elif isinstance(info, msgspec.inspect.DictType):
            waiting.append(info.value_type)
    return found


def _document(definition: dict[str, Any], class_: type[Any]) -> None:
    """Write the docstrings into the schema of a class; those of an enumeration into its description."""
    docs = {}
    for each in reversed(class_.__mro__):
        if each.__module__.startswith("smtpprobe."):
            docs.update(field_docs(each))
    definition["description"] = _one_paragraph(class_.__doc__ or "")
    properties = definition.get("properties", {})
    if issubclass(class_, msgspec.Struct):
        docs = {field.encode_name: docs[field.name] for field in msgspec.structs.fields(class_) if field.name in docs}
    for name, text in docs.items():
        if name in properties:
            # A reference may have siblings in 2020-12 (JSON Schema Core 8.2.3.1).
            properties[name]["description"] = text
    if "enum" in definition:
        members = {getattr(class_, name).value: text for name, text in docs.items() if hasattr(class_, name)}
        lines = [f"{value}: {text}" for value, text in members.items()]
        definition["description"] = "\n".join([definition["description"], *lines])


def field_docs(class_: type[Any]) -> dict[str, str]:
    """Read the docstrings below the fields of a class: name -> text."""
    docs = {}
    for field, after in pairwise(_bodies(class_.__module__).get(class_.__name__, ())):
        if not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)):
            continue
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            docs[field.target.id] = _one_paragraph(str(after.value.value))
        elif isinstance(field, ast.Assign) and isinstance(field.targets[0], ast.Name):
            docs[field.targets[0].id] = _one_paragraph(str(after.value.value))
    return docs


@cache
def _bodies(module: str) -> dict[str, list[ast.stmt]]:
    """The statements of each class of a module."""
    tree = ast.parse(inspect.getsource(import_module(module)))
    return {each.name: each.body for each in tree.body if isinstance(each, ast.ClassDef)}


def _one_paragraph(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
