"""The many mail hosts that one Postfix plays, each with one thing to show.

A case ``expired`` is the host ``mx-expired.example.test`` and the domain ``expired.example.test``, whose only MX it is.
Its TLSA records are written as ``USAGE SELECTOR MATCHING OF``, where OF is what the data is taken from: ``leaf``,
``intermediate`` or ``root`` of its own certificates, ``next`` (a key made for later), or ``nothing`` (fits no
certificate); or as the record itself where there is no OF to take it from.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.real.certificates import Make


@dataclass(frozen=True, slots=True)
class Case:
    """One Postfix on an address of its own."""

    make: Make | None = Make.GOOD
    """Its certificate; None: no TLS."""
    tlsa: tuple[str, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    """Postfix parameters beside those of all."""
    is_postscreen: bool = False


OLD_CIPHERS = {"smtpd_tls_ciphers": "medium", "tls_medium_cipherlist": "ALL:@SECLEVEL=0"}
"""What OpenSSL 3 needs before it speaks TLS 1.0 and 1.1, whose handshake is signed over SHA-1."""


def _only(version: str) -> dict[str, str]:
    return {"smtpd_tls_protocols": f">={version}, <={version}"}


CASES = {
    # certificates
    "expired": Case(Make.EXPIRED),
    "notyet": Case(Make.NOT_YET_VALID),
    "wrongname": Case(Make.WRONG_NAME),
    "selfsigned": Case(Make.SELF_SIGNED),
    "nochain": Case(Make.NO_INTERMEDIATE),
    "rsa": Case(Make.RSA),
    "rsa1024": Case(Make.RSA_1024),
    "sha1": Case(Make.SHA1),
    "both": Case(Make.BOTH),
    # versions of TLS
    "tls10": Case(Make.RSA, settings=_only("TLSv1") | OLD_CIPHERS),
    "tls11": Case(Make.RSA, settings=_only("TLSv1.1") | OLD_CIPHERS),
    "tls12": Case(settings=_only("TLSv1.2")),
    "tls13": Case(settings=_only("TLSv1.3")),
    # what Postfix says
    "plain": Case(None),
    "needtls": Case(settings={"smtpd_tls_security_level": "encrypt"}),
    "tlsrefused": Case(settings={"smtpd_tls_CAfile": "/no/such/file"}),  # offers STARTTLS, then refuses it with 454
    "tlsbroken": Case(settings={"smtpd_tls_chain_files": "/no/such/file"}),  # has no certificate: the handshake fails
    "reject": Case(settings={"smtpd_delay_reject": "no", "smtpd_client_restrictions": "reject"}),
    "rejecthelo": Case(settings={"smtpd_delay_reject": "no", "smtpd_helo_restrictions": "reject"}),
    "busy": Case(settings={"smtpd_client_connection_count_limit": "1"}),
    "postscreen": Case(is_postscreen=True),
    # DANE that authenticates (RFC 7672 3.1)
    "dane311": Case(tlsa=("3 1 1 leaf",)),
    "dane310": Case(tlsa=("3 1 0 leaf",)),
    "dane312": Case(tlsa=("3 1 2 leaf",)),
    "dane301": Case(tlsa=("3 0 1 leaf",)),
    "dane302": Case(tlsa=("3 0 2 leaf",)),
    "dane300": Case(tlsa=("3 0 0 leaf",)),
    "dane211": Case(tlsa=("2 1 1 intermediate",)),
    "daneroot": Case(Make.WITH_ROOT, tlsa=("2 1 1 root",)),
    "danefullroot": Case(tlsa=("2 0 0 root",)),  # not sent, but the record holds all of it (RFC 7671 5.2.2)
    "daneexpired": Case(Make.EXPIRED, tlsa=("3 1 1 leaf",)),
    "danewrongname": Case(Make.WRONG_NAME, tlsa=("3 0 2 leaf",)),
    "daneselfsigned": Case(Make.SELF_SIGNED, tlsa=("3 1 1 leaf",)),
    "danerollover": Case(tlsa=("3 1 1 next", "3 1 1 leaf")),
    "danestale": Case(tlsa=("3 1 1 leaf", "3 1 1 nothing")),
    "daneboth": Case(Make.BOTH, tlsa=("3 1 1 leaf",)),  # the record fits the EC certificate of the two
    "danekey": Case(Make.NO_INTERMEDIATE, tlsa=("2 1 0 intermediate",)),  # not sent, but the record holds the key
    "danekeyroot": Case(tlsa=("2 1 0 root",)),
    "danestronger": Case(tlsa=("3 1 1 nothing", "3 1 2 leaf")),
    "danemixed": Case(tlsa=("1 1 1 leaf", "3 1 1 leaf")),
    # DANE that does not
    "danebad": Case(tlsa=("3 1 1 nothing",)),
    "danewrongkey": Case(tlsa=("2 1 0 next",)),
    "daneweaker": Case(tlsa=("3 1 1 leaf", f"3 1 2 {'01' * 64}")),  # RFC 7671 9: the stronger digest alone counts
    "danemixedbad": Case(tlsa=("1 1 1 leaf", "3 1 1 nothing")),
    "daneunsentroot": Case(tlsa=("2 1 1 root",)),
    "danetawrongname": Case(Make.WRONG_NAME, tlsa=("2 1 1 intermediate",)),
    "danetaexpired": Case(Make.EXPIRED, tlsa=("2 1 1 intermediate",)),
    "daneplain": Case(None, tlsa=("3 1 1 nothing",)),
    # DANE records that SMTP cannot use (RFC 7672 3.1.3)
    "danepkix": Case(tlsa=("1 1 1 leaf",)),
    "danepkixta": Case(tlsa=("0 1 1 intermediate",)),
    "danematching": Case(tlsa=("3 1 9 00",)),
    "daneselector": Case(tlsa=("3 7 1 nothing",)),
    "daneshort": Case(tlsa=("3 1 1 00ff",)),
    # DANE whose records cannot be had: their zone below `mx-danefail` is bogus
    "danefail": Case(),
    # DANE by way of aliases; the records are in the world's zone
    "danealias": Case(),
    "danecname": Case(),
}

ALIAS = "mx-alias"
"""The MX host of the domain ``alias`` is a CNAME for the host of the case ``danealias``."""
