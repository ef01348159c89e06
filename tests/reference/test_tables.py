"""The tables are sound: keys once, values from closed sets, references well-formed, rows that point at each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpprobe.evidence import Phase
from smtpprobe.reference import (
    banners,
    codes,
    diagnoses,
    enhanced_codes,
    keywords,
    patterns,
    providers,
    wordings,
)
from smtpprobe.reference.model import Actor, Confidence, Retry
from smtpprobe.reference.tables import FOLDER, class_key, code_row, contexts, enhanced_row, lines
from smtpprobe.reference.wordtables import lexicon

TABLES = sorted(path.stem for path in Path(FOLDER).glob("*.tsv"))
PHASES = {*Phase, "any"}
ACTORS = set(Actor)
CONFIDENCES = set(Confidence)
RFC = re.compile(r"RFC [0-9]{3,4}(?: [0-9A-Z]{1,2}(?:\.[0-9]{1,2}){0,5}(?:, [0-9A-Z]{1,2}(?:\.[0-9]{1,2}){0,5})*)?")


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_plain_text_with_a_header_and_no_empty_cell(name: str) -> None:
    raw = (Path(FOLDER) / f"{name}.tsv").read_bytes()
    assert b"\r" not in raw
    assert raw.endswith(b"\n")
    rows = [line.split("\t") for line in raw.decode("utf-8").splitlines()]
    assert all(len(row) == len(rows[0]) for row in rows)
    assert all(cell and cell == cell.strip(" ") for row in rows for cell in row)


@pytest.mark.parametrize("name", [name for name in TABLES if name != "lexicon"])
def test_a_key_stands_once(name: str) -> None:
    keys = [line.split("\t")[0] for line in lines(name)]
    assert len(keys) == len(set(keys))


def test_what_keywords_take_is_a_grammar_and_no_language() -> None:
    words = {word for row in keywords().values() for word in re.findall(r"[a-z]+", f"{row.parameters} {row.adds}")}
    assert words.isdisjoint({"a", "and", "is", "means", "names", "no", "of", "or", "the", "with"})


def references() -> Iterator[str]:
    for code in codes().values():
        yield code.reference
    for enhanced in enhanced_codes().values():
        yield enhanced.reference
    for keyword in keywords().values():
        yield keyword.reference


def test_references_to_an_rfc_name_it_and_its_sections_in_one_form() -> None:
    for reference in references():
        for part in reference.split(";"):
            for found in re.finditer(r"(?<!pre-)RFC [^;()]*", part):
                assert RFC.match(found[0]), reference
        assert reference.count("(") == reference.count(")")


def test_every_code_has_a_general_row_before_its_contexts() -> None:
    for key in codes():
        assert contexts(int(key[:3]))[0].key == key[:3]


def test_codes_name_phases_actors_and_causes_that_exist() -> None:
    for row in codes().values():
        assert set(row.phases) <= PHASES
        assert set(row.select) <= set(Phase)
        assert row.retry in {"yes", "no", "n.a."}
        assert row.actor in ACTORS
        assert row.diagnosis is None or row.diagnosis in diagnoses()
        assert (row.retry == "n.a.") == (row.diagnosis is None), row.key


def test_no_two_contexts_of_a_code_are_chosen_by_the_same_phase() -> None:
    for row in codes().values():
        others = [other for other in contexts(row.code) if other.key != row.key]
        assert not any(set(row.select) & set(other.select) for other in others), row.key


def test_enhanced_codes_name_actors_and_causes_that_exist() -> None:
    for row in enhanced_codes().values():
        assert row.actor in ACTORS
        assert {row.temporary, row.permanent} <= {None, *diagnoses()}


def test_causes_have_an_actor_and_wait_only_where_waiting_helps() -> None:
    for row in diagnoses().values():
        assert row.actor in ACTORS
        assert row.retry in set(Retry)
        assert row.retry_after_s is None or (row.retry == "yes" and row.retry_after_s > 0)


def test_there_are_at_least_sixty_causes_and_two_hundred_patterns() -> None:
    assert len(diagnoses()) >= 60
    assert len(patterns()) >= 200


def test_patterns_name_causes_actors_proofs_and_confidences_that_exist() -> None:
    for row in patterns().values():
        assert row.diagnosis in diagnoses(), row.id
        assert row.actor in ACTORS, row.id
        assert row.retry in {"yes", "no"}, row.id
        assert row.confidence in CONFIDENCES, row.id
        assert row.proof in ({"text", "host", "host-only"} if row.provider else {"-"}), row.id
        assert row.link is None or row.link.startswith(("https://", "http://")), row.id
        assert row.source != "-", row.id
        assert row.examples, row.id
        assert all(re.fullmatch(r"[245][0-9]{2}|[45]\*|\*", each) for each in row.codes), row.id
        assert all(re.fullmatch(r"[245]\.[0-9]{1,2}\.[0-9]{1,3}|-|\*", each) for each in row.enhanced), row.id


def test_wordings_name_causes_phases_and_ideas_that_exist() -> None:
    from smtpprobe.reference.wording import NEGATED

    ideas = {row.idea for row in lexicon()} | set(NEGATED.values())
    for row in wordings():
        assert row.diagnosis in diagnoses(), row.id
        assert set(row.phases) <= set(Phase), row.id
        assert row.confidence in CONFIDENCES, row.id
        assert set(re.split(r"[ |~>]", row.needs)) <= ideas, row.id
        assert not row.lacks or set(row.lacks.split("|")) <= ideas, row.id
        assert row.examples, row.id


def test_every_idea_of_the_lexicon_is_used_and_no_phrase_stands_twice_under_it() -> None:
    from smtpprobe.reference.wording import NEGATED

    used = {idea for row in wordings() for idea in re.split(r"[ |~>]", f"{row.needs} {row.lacks}")}
    for row in lexicon():
        assert row.idea in used | set(NEGATED) | {"neg", "nolonger"}, row.idea
        assert len(set(row.words)) == len(row.words), row.idea


def test_banners_name_confidences_and_providers_in_the_patterns_or_none() -> None:
    named = {row.provider for row in patterns().values()} | set(providers())
    for row in banners().values():
        assert row.where in {"greeting", "ehlo", "host"}, row.id
        assert row.confidence in CONFIDENCES, row.id
        assert row.provider is None or row.provider in named, row.id


def test_a_domain_proves_one_provider_only() -> None:
    for field in ("hosts", "links", "mailboxes", "marks"):
        domains = [domain for row in providers().values() for domain in getattr(row, field)]
        assert len(domains) == len(set(domains)), field


@pytest.mark.parametrize(
    ("code", "key"),
    [
        ("4.7.1", "x.7.1"),
        ("5.7.606", "x.7.606-649"),
        ("5.7.507", "x.7.501-513"),
        ("5.7.510", "x.7.510"),
        ("5.2.122", "x.2.121-122"),
        ("4.7.650", "x.7.650-651"),
        ("5.7.299", "x.7.x"),
        ("5.1.234", "x.1.x"),
        ("5.9.9", "5.x.x"),
    ],
)
def test_an_enhanced_code_is_found_by_itself_its_narrowest_range_its_subject_or_its_class(code: str, key: str) -> None:
    row = enhanced_row(code)
    assert row is not None
    assert row.key == key


@pytest.mark.parametrize(
    ("code", "phase", "diagnosis", "key"),
    [
        (421, None, None, "421"),
        (421, "greeting", None, "421.greeting"),
        (421, "quit", None, "421.quit"),
        (550, "rcpt", None, "550.rcpt"),
        (452, "rcpt", "too-many-recipients", "452.recipients"),
        (250, "noop", None, "250"),
        (503, None, "protocol-error", "503"),  # which tells nothing of BDAT
        (554, None, "policy-rejected", "554"),
    ],
)
def test_a_context_is_chosen_by_phase_or_cause(code: int, phase: str | None, diagnosis: str | None, key: str) -> None:
    row = code_row(code, phase, diagnosis)
    assert row is not None
    assert row.key == key


def test_an_unknown_number_has_no_row_but_a_class() -> None:
    assert code_row(478, None) is None
    assert (class_key(478), class_key(178), class_key(700), class_key(12)) == ("4xx", "1xx", "xxx", "xxx")
