"""Mail servers in a test-suite, with the pytest plugin of smtpprobe.

pip install 'smtpprobe[pytest]', write your names into it, and run: pytest test_mail.py
"""

from __future__ import annotations

import pytest

from smtpprobe.integrations.pytest_plugin import Health, SmtpHealth


@pytest.mark.smtp_target("example.org", "example.net")
def test_mail_can_come_in(smtp_target: Health) -> None:
    assert smtp_target.ok


def test_every_server_offers_starttls(smtp_health: SmtpHealth) -> None:
    ids = smtp_health("example.org").ids
    assert "starttls-works" in ids  # else a server that nobody reaches would pass
    assert "starttls-missing" not in ids


@pytest.mark.smtp(timeout="10s", fail_on="warning")
def test_the_servers_are_as_they_are_to_be(smtp_health: SmtpHealth) -> None:
    wanted = {"reachable": ["smtp"], "min-tls": "1.2", "certificate-trusted": True, "certificate-days": 30}
    assert smtp_health("example.org", expect=wanted, allow=["ptr-missing"])


def test_the_old_server_is_gone(smtp_health: SmtpHealth) -> None:
    assert smtp_health("old.example.org", expect=["domain-not-found"]).ok


def test_a_server_that_puts_us_off_is_not_judged(smtp_health: SmtpHealth) -> None:
    health = smtp_health("example.org")
    if health.outcome == "inconclusive":  # greylisting, a rate limit, port 25 that is blocked here
        pytest.skip(str(health))
    assert health
