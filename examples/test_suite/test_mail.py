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
    assert "starttls-missing" not in smtp_health("example.org").ids


@pytest.mark.smtp(certificate_days="30,14", fail_on="warning")
def test_certificates_are_good_for_a_month(smtp_health: SmtpHealth) -> None:
    health = smtp_health("example.org")
    assert not {each.id for each in health.problems if each.id.startswith("certificate-")}


def test_the_old_server_is_gone(smtp_health: SmtpHealth) -> None:
    assert smtp_health("old.example.org", expect=["domain-not-found"]).ok
