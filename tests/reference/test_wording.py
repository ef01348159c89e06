"""What the words of a reply say, in whatever words and language."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpprobe.reference import wordings
from smtpprobe.reference.lasting import sounds_permanent, sounds_temporary
from smtpprobe.reference.matching import match
from smtpprobe.reference.reading import read_reply
from smtpprobe.reference.wording import find_wording, ideas_of
from smtpprobe.reference.wordtables import lexicon

REPLIES = [
    tuple(line.split("\t"))
    for line in (Path(__file__).parent / "replies.tsv").read_text(encoding="utf-8").splitlines()[1:]
]
"""(category, phase or ``-``, reply): made up, in many words and languages."""
CATEGORIES = sorted({category for category, _, _ in REPLIES})


def judged(reply: str, phase: str | None = None) -> tuple[str, str]:
    read = read_reply(reply)
    found = match(read.code, read.enhanced, phase, read.lines)
    return found.category, found.rule


@pytest.mark.parametrize("category", CATEGORIES)
def test_replies_of_one_kind_are_told_as_that_kind(category: str) -> None:
    wrong = []
    for phase, reply in ((phase, reply) for wanted, phase, reply in REPLIES if wanted == category):
        found, rule = judged(reply, None if phase == "-" else phase)
        if found != category:
            wrong.append(f"{found} ({rule}): {reply}")
    assert not wrong, "\n".join(wrong)


def test_each_example_selects_its_own_rule_first() -> None:
    wrong = []
    for row in wordings():
        for example in row.examples:
            read = read_reply(example)
            found = match(read.code, read.enhanced, row.phases[0] if row.phases else None, read.lines)
            if found.rule != f"wording:{row.id}":
                wrong.append(f"{row.id}: {example!r} selects {found.rule}")
    assert not wrong, "\n".join(wrong)


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ideas"),
    [
        ("User unknown", {"rcpt", "unknown"}),
        ("the user was not found", {"neg", "rcpt", "missing"}),
        ("mailbox doesn't exist", {"neg", "rcpt", "missing"}),
        ("NoSuchUser", {"rcpt", "nosuch"}),
        ("Das Postfach existiert nicht", {"neg", "rcpt", "missing"}),
        ("boîte du destinataire pleine", {"rcpt", "receiver", "full"}),
        ("BOITE PLEINE", {"rcpt", "full"}),
        ("用户不存在", {"rcpt", "unknown"}),
        ("받는 사용자", {"rcpt"}),
        ("kullanıcı bulunamadı", {"exist", "neg", "rcpt"}),
        ("relay=[192.0.2.7]", set()),
        ("SPF=fail", {"spf", "fail"}),
        ("SPF校验", {"spf"}),
        ("IP가", {"client"}),
        ("", set()),
        ("¡¿?!", set()),
    ],
)
def test_a_text_is_read_as_ideas(text: str, ideas: set[str]) -> None:
    assert set(ideas_of(text)) == ideas


@pytest.mark.parametrize(
    "foreign",
    ["<spam@dest.example>", "spam@dest.example", "spam.dest.example", "https://dest.example/spam", "id=spam7"],
)
def test_what_stands_in_an_address_a_host_or_a_link_is_no_word_of_the_server(foreign: str) -> None:
    assert "spam" not in ideas_of(f"no such user {foreign}")


def test_hosts_of_block_lists_are_told_from_others() -> None:
    assert "listhost" in ideas_of("blocked using zen.spamhaus.org")
    assert "listhost" in ideas_of("blocked using rbl.lists.example")
    assert "urllisthost" in ideas_of("found at multi.surbl.org")
    assert "hostname" in ideas_of("blocked using mx.dest.example")


def test_advice_behind_the_reason_is_left_off() -> None:
    assert "spam" not in ideas_of("This mailbox is full. Please see our page about spam")
    assert "spam" in ideas_of("Please see our page about spam"), "without a reason before, the advice is all there is"


def test_a_negation_reaches_a_few_words_and_no_further() -> None:
    assert "missing" in ideas_of("could not be found")
    assert "missing" not in ideas_of("not one two three four five six seven eight found")


@pytest.mark.parametrize("code", ["550", "450", "5", "4", ""])
def test_a_rule_for_a_class_holds_for_its_codes_and_where_there_is_no_code(code: str) -> None:
    found = find_wording(code, None, "mailbox is full")
    assert found is not None
    assert found.row.id == "full"
    assert found.has("rcpt", "spam")
    assert not found.has("spam")


def test_a_rule_for_one_code_does_not_hold_for_others() -> None:
    assert find_wording("551", None, "recipient not local") is not None
    found = find_wording("450", None, "recipient not local")
    assert found is None or found.row.id != "not-local-moved"


def test_a_rule_for_a_phase_needs_the_phase_known() -> None:
    for phase, expected in (("mail", "mail-domain"), (None, "domain-missing"), ("rcpt", "domain-missing")):
        found = find_wording("550", phase, "the domain does not exist")
        assert found is not None
        assert found.row.id == expected


@given(st.text(max_size=400))
def test_any_text_is_read(text: str) -> None:
    find_wording("550", "rcpt", text)


@given(st.lists(st.sampled_from([word for row in lexicon() for word in row.words]), max_size=40))
def test_any_row_of_known_words_is_read(words: list[str]) -> None:
    found = find_wording("550", None, " ".join(words))
    assert found is None or found.row.diagnosis


# --- how lasting it sounds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "permanent", "temporary"),
    [
        ("permanently refused", True, False),
        ("Do not try again", True, False),
        ("come back later", False, True),
        ("banned for 30 minutes", False, True),
        ("temporarily deferred", False, True),
        ("bitte später noch einmal", False, True),
        ("veuillez réessayer plus tard", False, True),
        ("permanently deferred", False, False),
        ("mailbox full", False, False),
        ("나중에 다시 시도해 주세요", False, True),
        ("しばらくしてから再送してください", False, True),
        ("Lütfen daha sonra tekrar deneyin", False, True),
        ("영구 오류", True, False),
    ],
)
def test_words_sound_lasting_passing_or_neither(text: str, permanent: bool, temporary: bool) -> None:
    assert (sounds_permanent(text), sounds_temporary(text)) == (permanent, temporary)
