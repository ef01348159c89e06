"""What README shows of the code book is so: the languages, the measured quality, and the rows that it adds."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from smtpprobe import texts
from smtpprobe.cli import main
from smtpprobe.reference import tables

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def row_of(id_: str) -> str:
    """A row of a table as README shows it."""
    [row] = [line[4:] for line in README.splitlines() if line.startswith(f"    {id_}\t")]
    return row


def after_adding(tmp_path: Path, table: str, row: str, program: str) -> str:
    """What a program prints where a table has one more row at its top."""
    folder = tmp_path / "data"
    shutil.copytree(tables.FOLDER, folder)
    header, rows = (folder / f"{table}.tsv").read_text(encoding="utf-8").split("\n", 1)
    (folder / f"{table}.tsv").write_text(f"{header}\n{row}\n{rows}", encoding="utf-8")
    start = "import sys; from smtpprobe.reference import tables; tables.FOLDER = sys.argv.pop(1)"
    ended = subprocess.run(
        [sys.executable, "-c", f"{start}\n{program}", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ended.stdout


def commands_of_the_code_book() -> list[str]:
    """The commands that README lists, without what it says about each."""
    section = README.split("## The code book\n", 1)[1].split("\n## ", 1)[0]
    lines = [line[4:] for line in section.splitlines() if line.startswith("    smtpprobe ")]
    return [line.split("   ")[0] for line in lines if "<" not in line]


@pytest.mark.parametrize("language", texts.languages())
def test_the_commands_of_the_code_book_work_as_printed(language: str, capsys: pytest.CaptureFixture[str]) -> None:
    commands = commands_of_the_code_book()
    assert {words.split()[1] for words in commands} == {"explain", "compare", "codes"}
    for words in commands:
        assert main([*shlex.split(words)[1:], "--lang", language]) == 0
        out, err = capsys.readouterr()
        assert (bool(out.strip()), err) == (True, "")


def test_the_languages_are_those_that_are_shipped() -> None:
    [sentence] = [each for each in README.split("\n\n") if each.startswith("Texts are shipped in these languages")]
    assert all(f"(`{language}`)" in sentence for language in texts.languages())
    assert sentence.count("(`") - 1 == len(texts.languages())  # one is of the option


def test_the_table_of_quality_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "tests" / "benchmarks" / "explain.py"))["quality"]()
    printed = capsys.readouterr().out.splitlines()
    lines = README.splitlines()
    block = lines[lines.index(f"    {printed[0]}") :]
    shown = [line[4:] for line in block[: block.index("")]]
    assert len(shown) > 4
    assert [line for line in shown if line != "..." and line not in printed] == []


def test_the_row_of_a_pattern_explains_its_example(tmp_path: Path) -> None:
    row = row_of("acme-hurry")
    program = f"from smtpprobe.cli import main; main(['explain', '--lang', 'en', {row.split(chr(9))[-1]!r}])"
    assert "likely (pattern:acme-hurry)" in after_adding(tmp_path, "patterns", row, program)


def test_the_row_of_a_fingerprint_tells_product_and_version(tmp_path: Path) -> None:
    row = row_of("acme-mta")
    greeting = row.split("\t")[-1].removeprefix("220 ")
    program = f"""
from smtpprobe.reference.fingerprints import of_greeting
found = of_greeting([{greeting!r}])
print(found.row.product, found.version)"""
    assert after_adding(tmp_path, "banners", row, program) == "AcmeMTA 2.1\n"


def test_every_room_is_named_where_readme_tells_how_it_is_built() -> None:
    rows = README.partition("\n| room | knows |\n")[2].partition("\n\n")[0].splitlines()[1:]
    named = {name for row in rows for name in re.findall("`([a-z_]+/?)`", row.split("|")[1])}
    package = ROOT / "smtpprobe"
    modules = {each.stem for each in package.glob("*.py")} - {"__init__", "__main__"}
    folders = {f"{each.parent.name}/" for each in package.glob("*/__init__.py")}
    assert named == modules | folders
