"""``smtpprobe compare``: reply codes side by side."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from itertools import combinations

import pytest

from smtpprobe import texts
from smtpprobe.cli import main
from smtpprobe.reference.compare import side
from smtpprobe.reference.tables import codes, enhanced_codes
from smtpprobe.render.comparison import Comparison, comparison, markdown, text
from smtpprobe.render.layout import Terminal, cell_width

HEAVY = {"asyncio", "dns", "aiosmtplib", "cryptography", "OpenSSL", "rich", "ssl", "msgspec", "json", "tomllib"}


def lines(*codes: str, width: int = 100, phase: str | None = None) -> list[str]:
    return list(text(comparison([side(code, phase) for code in codes], "en"), Terminal(width=width)))


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def test_two_codes_stand_side_by_side_and_then_what_the_difference_comes_to(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "450", "550"]) == 0
    out = capsys.readouterr().out
    head, *rows = out.splitlines()
    assert head.split() == ["450", "550"]
    start = head.index("550")
    assert [row[:start].split("  ")[0] for row in rows[:4]] == ["Name", "Class", "Category", "Status"]
    assert rows[1][start:] == "permanent failure"
    for heading in ("Differences", "Which to expect", "If you write a server"):
        assert f"\n\n{heading}\n  " in out
    assert texts.phrase("en", "compare", "450-550", "use")[:40] in out


def test_the_text_of_a_pair_is_the_same_in_either_order() -> None:
    assert lines("551", "251")[-8:] == lines("251", "551")[-8:]


def test_a_pair_without_words_of_its_own_is_compared_by_its_facts() -> None:
    out = "\n".join(lines("221", "235"))
    assert "After 221 the server closes the connection; after 235 it stays open." in out
    assert "They answer different commands: 221: QUIT; 235: AUTH." in out
    assert "Send 221 at: QUIT; 235 at: AUTH." in out


def test_with_three_codes_each_pair_has_its_paragraph() -> None:
    out = lines("550", "553", "554")
    assert [line for line in out if line in ("550 and 553", "550 and 554", "553 and 554")] == [
        "550 and 553",
        "550 and 554",
        "553 and 554",
    ]
    assert out.count("  If you write a server") == 3


def test_equal_codes_have_nothing_to_compare_but_their_stories() -> None:
    out = lines("421", "421")
    assert out[0] == "421 was given twice, so there is nothing to compare."
    assert "  421.quit         Closing, said as 421" in out
    assert "Differences" not in out


def test_an_equal_code_without_other_stories_is_shown_alone() -> None:
    assert not any("different stories" in line for line in lines("4.7.1", "4.7.1"))


def test_a_code_given_twice_beside_another_is_shown_once() -> None:
    assert lines("450", "550", "450") == lines("450", "550")


def test_an_unknown_code_is_said_to_be_unknown_and_compared_by_its_digits() -> None:
    out = lines("599", "550")
    assert out[0] == "599 is in no list; what is said of it follows from its digits."
    assert "  • Both are permanent failures: the mail goes back to its author." in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["421", "foo"], "smtpprobe: 'foo' is no code to compare; write a code as 421"),
        (["421", "4500"], "smtpprobe: '4500' is no code to compare"),
        (["421"], "smtpprobe compare: two codes are needed, as: smtpprobe compare 421 550"),
        ([], "smtpprobe compare: Missing argument 'CODE CODE...'."),
        (["--phase", "lunch", "421", "450"], "'lunch' is not one of connect, greeting, ehlo"),
    ],
)
def test_what_cannot_be_compared_ends_with_status_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err.splitlines()[0]


def test_the_step_chooses_among_the_stories_of_a_code() -> None:
    assert "Turned away at the greeting" in "\n".join(lines("421", "554", phase="greeting"))
    assert "Closed before the message was accepted" in "\n".join(lines("421", "554", phase="message"))


# --- layout ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 60, 80, 100, 132, 200])
@pytest.mark.parametrize("wanted", [("450", "550"), ("220", "421", "554"), ("4.7.1", "5.7.1"), ("421.greeting", "454")])
def test_no_line_is_wider_than_the_terminal(wanted: tuple[str, ...], width: int) -> None:
    assert max(map(cell_width, lines(*wanted, width=width))) <= width


def test_on_a_narrow_terminal_the_codes_stand_one_below_the_other() -> None:
    out = lines("450", "550", width=50)
    assert [line for line in out if line.startswith(("450  ", "550  "))] == [
        "450  Mailbox not available now",
        "550  Refused: mailbox or policy",
    ]


def test_the_name_of_a_setting_is_never_broken() -> None:
    """The columns of 80 cells are too narrow for it, so the codes are stacked."""
    assert any("smtpd_client_connection_count_limit" in line for line in lines("421.greeting", "450", width=80))


def test_wide_characters_line_up() -> None:
    sides = (side("450"), side("550"))
    cells = (
        {"name": "邮箱暂时不可用", "meaning": "服务器目前不接受发往该邮箱的邮件，稍后再试可能成功。" * 3},
        {"name": "拒绝", "meaning": "The mailbox does not exist."},
    )
    out = list(text(Comparison("en", sides, cells, (), ()), Terminal(width=80)))
    second = cell_width(out[0][: out[0].index("550")])
    assert cell_width(out[1][: out[1].index("拒绝")]) == second
    assert cell_width(out[2][: out[2].index("The mailbox")]) == second
    assert max(map(cell_width, out)) <= 80
    assert "".join(line.split("   ")[0].replace("Meaning", "").strip() for line in out[2:]).startswith("服务器目前")


def test_colours_repeat_what_is_there_without_them() -> None:
    shown = comparison([side("450"), side("550")], "en")
    painted = "\n".join(text(shown, Terminal(is_coloured=True)))
    assert "\x1b[" in painted
    assert re.sub("\x1b\\[[0-9;]*m", "", painted) == "\n".join(text(shown, Terminal()))


# --- other formats --------------------------------------------------------------------------------------------------


def test_json_has_the_facts_as_ids_beside_the_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--format", "json", "550", "451", "421.greeting"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["schema"], document["language"]) == ("smtpprobe/compare/1", "en")
    assert [code["code"] for code in document["codes"]] == ["550", "451", "421.greeting"]
    first = document["codes"][0]
    assert (first["class"], first["retry"], first["status"], first["connection"]) == ("5", "no", "standard", "stays")
    assert len(first["fix"]) == 2
    assert [(pair["a"], pair["b"], pair["written"]) for pair in document["pairs"]] == [
        ("451", "550", True),
        ("421.greeting", "550", True),
        ("421.greeting", "451", True),
    ]
    assert document["pairs"][0]["differences"][0] == {"kind": "4-5", "a": "451", "b": "550"}


def test_markdown_is_one_table_and_a_section_a_pair() -> None:
    out = list(markdown(comparison([side("450"), side("550"), side("4.7.1")], "en")))
    table = [line for line in out if line.startswith("|")]
    assert table[0] == "| | `450` | `550` | `4.7.1` |"
    assert {line.count("|") - line.count("\\|") for line in table} == {5}
    assert [line for line in out if line.startswith("### ")] == [
        "### 450 and 550",
        "### 450 and 4.7.1",
        "### 550 and 4.7.1",
    ]


def test_markdown_does_not_take_our_words_for_markup() -> None:
    shown = comparison([side("450"), side("550")], "en")
    odd = shown._replace(cells=({"name": "a_b <i> [x] | `c`"}, {"name": "*"}))
    assert "| Name | a\\_b \\<i> \\[x\\] \\| \\`c\\` | \\* |" in list(markdown(odd))


# --- completeness and speed -----------------------------------------------------------------------------------------


def test_any_two_codes_get_a_summary_and_advice() -> None:
    """All basic codes with each other, and each enhanced code with one of each kind."""
    basic = [side(code) for code in (*dict.fromkeys(key[:3] for key in codes()), "199", "299", "399", "499", "599")]
    pairs = list(combinations(basic, 2))
    enhanced = [side(key) for key in enhanced_codes() if "-" not in key]
    pairs += [(one, other) for one in enhanced for other in (side("450"), side("5.7.1"), side("2.0.0"), enhanced[9])]
    for a, b in pairs:
        if a == b:
            continue
        (pair,) = comparison([a, b], "en").pairs
        assert all(pair.summary), (a.code, b.code)
        assert "{" not in "".join((*pair.summary, pair.use, pair.server)), (a.code, b.code)
        has_no_advice = a.number == b.number or a.is_enhanced != b.is_enhanced or "x" in (a.digit, b.digit)
        assert pair.use or has_no_advice, (a.code, b.code)


def test_comparing_imports_nothing_that_it_does_not_need() -> None:
    program = (
        "import sys; from smtpprobe.cli import main; status = main(['compare', '450', '550']);"
        "print(status, *sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    status, *modules = ended.stderr.split()
    assert status == "0"
    assert HEAVY.isdisjoint(modules)
