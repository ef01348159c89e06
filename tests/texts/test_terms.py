"""The words of a language are the same throughout, and those that its administrators use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from smtpprobe import texts
from smtpprobe.texts.gaps import read

_HAN: Final = "[\u3040-\u30ff\u4e00-\u9fff]"
_HALF_WIDTH: Final = rf"{_HAN} ?[,:;!?(]|\) ?{_HAN}"
_STRAIGHT_QUOTES: Final = r"""['"]\{[a-z_]+\}['"]"""

AVOIDED: Final[Mapping[str, Mapping[str, str]]] = {
    "de": {
        "Warteschlange": "Queue",
        "Blockliste|Blacklist": "Sperrliste",
        "Gr[ae]ylist(?!ing)|Graylisting": "Greylisting",
        "Anbieter": "Provider",
        "Wurzel": "Stammzertifikat, or Root-Zone",
        "Namenssystem": "DNS",
        "Strg-": "Strg+C",
        r"(?<=[a-zäöüß,] )(Sie|Ihnen|Ihre[mnrs]?)\b|\b[Dd]ein(e[mnrs]?)?\b": "the infinitive, which addresses nobody",
        _STRAIGHT_QUOTES: "„…“",
    },
    "ko": {
        '(습|합|입|됩)니다|(세|해|예)요[."]|십시오': "the plain style (-다)",
        "블랙리스트|블록리스트": "차단 목록",
        "회색 목록": "그레이리스팅",
        "컴퓨터": "머신",
        "(레코드|정책)를? 게시": "등록",
    },
    "tr": {
        r"\b[Vv]ekil": "proxy",
        r"\b[Mm]akam": "otorite",
        r"\b[Pp]olitika": "ilke",
        r"TLS'(ye|den|nin|yi)\b": "TLS'e, TLS'ten, TLS'in, TLS'i",
        "[Kk]ara liste": "engelleme listesi",
        _STRAIGHT_QUOTES: "“…”",
    },
    "zh-Hans": {
        "您": "你, or nobody",
        "域名系统": "DNS",
        "名称服务器": "域名服务器",
        "直接 TLS": "隐式 TLS",
        "回复码|响应码": "应答码",
        "发送方|发信方": "发件方",
        "阻止列表|屏蔽列表": "黑名单",
        "提供商|供应商": "服务商",
        _HALF_WIDTH: "a mark of full width",
        _STRAIGHT_QUOTES: "“…”",
    },
    "es": {
        r"\b(colgó|cuelga|colgar)\b": "cerrar, cortar: 'colgarse' is to hang",
        r"\bextremos\b": "endpoints",
        "registros? de correo": "log de correo: 'registro' is a DNS record",
        r"(^|\. )RFC \d+[ \d.]* [a-z]": "La RFC",
        r"\busted\b": "the infinitive, which addresses nobody",
        _STRAIGHT_QUOTES: "«…»",
    },
    "fr": {
        "[Mm]andataire": "proxy",
        "raccroch": "couper la connexion",
        "questions DNS": "requêtes DNS",
        r"(^|\. )RFC \d+[ \d.]* [a-z]": "La RFC",
        r"\b(vous|votre|vos)\b": "the infinitive, which addresses nobody",
        "[\\w)}»] [:;!?»](?= |$)|« ": "a blank that does not break (U+00A0)",
        _STRAIGHT_QUOTES: "« … »",
    },
    "ja": {
        "(です|ます|ません|ました|ください)(?=[。、」（]|$)": "the plain style (である)",
        "ブラックリスト": "ブロックリスト",
        "グレーリスト|グレイリスト(?!ィング)": "グレイリスティング",
        "添付された OCSP": "ステープリングされた OCSP",
        _HALF_WIDTH: "a mark of full width",
        _STRAIGHT_QUOTES: "「…」",
    },
    "pt-BR": {
        r"\b[Gg]rampe": "anexar (stapling)",
        r"\bcifrad[ao]": "criptografado",
        r"\bdesligou\b": "encerrou a conexão",
        r"\b(utilizador|ficheiro|ecrã|palavra-passe|encriptad[ao])": "the Brazilian word",
        r"(^|\. )RFC \d+[ \d.]* [a-z]": "A RFC",
        _STRAIGHT_QUOTES: "“…”",
    },
}
"""Language -> what must not be written -> what is written instead."""


def phrases(language: str) -> Iterator[tuple[str, str]]:
    """Each line of each text, and where it stands."""
    for room in texts.rooms(language):
        for key, fields in read(language, room).items():
            for field, text in fields.items():
                for line in text.split("\n"):
                    yield f"{room}.toml [{key}] {field}", line


@pytest.mark.parametrize("language", AVOIDED)
def test_a_language_keeps_to_its_terms_and_marks(language: str) -> None:
    found = []
    for pattern, instead in AVOIDED[language].items():
        written = re.compile(pattern)
        found += [f"{place}: {line!r} ({instead})" for place, line in phrases(language) if written.search(line)]
    assert not found, "\n".join(["", *found])


def test_every_translation_has_its_terms() -> None:
    assert {*texts.languages()} == {texts.DEFAULT_LANGUAGE, *AVOIDED}
