"""Rows of a per-item log, whatever its file: .jsonl, .json, .csv, .tsv or the first sheet of an .xlsx."""

from __future__ import annotations

import csv
import json
import re
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from vlmlab.errors import DataError

Row = dict[str, Any]

_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_LONGEST_FIELD = 2**27
"""Characters of one cell: VLMEvalKit keeps images as base64 in its tables."""


def read_rows(path: Path) -> list[Row]:
    """One mapping an item. Raises DataError, naming the file and where it can the line, for what cannot be read."""
    readers = {".jsonl": _jsonl, ".json": _json, ".csv": _table, ".tsv": _table, ".xlsx": _workbook}
    if path.is_dir():
        raise DataError(str(path), "is a folder; expected a per-item log, such as FOLDER/evaluation/BENCHMARK.jsonl")
    if not path.is_file():
        raise DataError(str(path), "no such file")
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(str(path), f"cannot read {path.suffix or 'a file without ending'}; known: {', '.join(readers)}")
    try:
        rows = reader(path)
    except UnicodeDecodeError as error:
        raise DataError(str(path), f"is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise DataError(str(path), f"cannot be read: {error.strerror or error}") from error
    if not rows:
        raise DataError(str(path), "has no items")
    return rows


def _jsonl(path: Path) -> list[Row]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if line.strip():
            rows.append(_mapping(_parsed(line, where=f"{path}:{number}"), where=f"{path}:{number}"))
    return rows


def _json(path: Path) -> list[Row]:
    value = _parsed(path.read_text(encoding="utf-8-sig"), where=str(path))
    if isinstance(value, list):
        return [_mapping(row, where=f"{path}: item {place}") for place, row in enumerate(value)]
    where = str(path)
    for columns in [value] if isinstance(value, dict) else []:
        # What pandas writes by default: {column: {row: value}}.
        if columns and all(isinstance(column, dict) for column in columns.values()) and "index" in columns:
            return [{name: column.get(place) for name, column in columns.items()} for place in columns["index"]]
        if isinstance(columns.get("logs"), list):
            # lmms-eval before its logs had one line an item.
            return [_mapping(row, where=f"{path}: logs") for row in columns["logs"]]
    raise DataError(where, "expected a list of items, one object each")


def _parsed(text: str, *, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(where, f"is not JSON: {error.msg} at column {error.colno}") from error


def _mapping(value: Any, *, where: str) -> Row:
    if not isinstance(value, dict):
        raise DataError(where, f"expected an object with the item's fields, found {type(value).__name__}")
    return value


def _table(path: Path) -> list[Row]:
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            rows = []
            for row in reader:
                if None in row or None in row.values():
                    names = len(reader.fieldnames or ())
                    raise DataError(f"{path}:{reader.line_num}", f"expected {names} columns, as the first line has")
                rows.append(dict(row))
            return rows
    except csv.Error as error:
        raise DataError(str(path), f"is not a table: {error}") from error
    finally:
        csv.field_size_limit(before)


def _workbook(path: Path) -> list[Row]:
    """The first sheet; its first line names the columns. Formulas count by the value that was saved with them."""
    try:
        with zipfile.ZipFile(path) as archive:
            sheets = sorted(name for name in archive.namelist() if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", name))
            if not sheets:
                raise DataError(str(path), "is a workbook without a sheet")
            strings: list[str] = []
            if "xl/sharedStrings.xml" in archive.namelist():
                shared = ElementTree.fromstring(archive.read("xl/sharedStrings.xml"))
                strings = [_text(entry) for entry in shared.iter(f"{_SHEET}si")]
            sheet = ElementTree.fromstring(archive.read(min(sheets, key=_sheet_number)))
    except (zipfile.BadZipFile, ElementTree.ParseError) as error:
        raise DataError(str(path), f"is not an .xlsx workbook: {error}") from error
    lines = [
        {_column(cell.get("r", "")): _cell(cell, strings) for cell in line.iter(f"{_SHEET}c")}
        for line in sheet.iter(f"{_SHEET}row")
    ]
    if not lines:
        return []
    names = {place: str(name) for place, name in lines[0].items() if name not in (None, "")}
    return [{name: line.get(place) for place, name in names.items()} for line in lines[1:] if any(line.values())]


def _sheet_number(name: str) -> int:
    return int(re.sub(r"\D", "", name.rsplit("/", 1)[1]))


def _column(reference: str) -> str:
    return reference.rstrip("0123456789")


def _text(element: ElementTree.Element) -> str:
    return "".join(part.text or "" for part in element.iter(f"{_SHEET}t"))


def _cell(cell: ElementTree.Element, strings: list[str]) -> Any:
    value = cell.findtext(f"{_SHEET}v")
    match cell.get("t"):
        case "s":
            return None if value is None else strings[int(value)]
        case "inlineStr":
            return _text(cell)
        case "b":
            return value == "1"
        case "str" | "e":
            return value
        case _:
            return None if value is None else float(value)
