"""The scenarios of the lab: every way in which a mail domain can stand that a check has to tell apart.

    >>> SCENARIOS["greeting-421"].description
    'Greets with 421 and hangs up: no service just now'

Each is a row that says what a check must find there, and is probed by a test. To add one: write it into the module of
its topic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from smtpprobe.errors import OptionError
from smtpprobe.lab.scenarios import domains, greeting, session, tls
from smtpprobe.lab.scenarios.model import Conduct as Conduct
from smtpprobe.lab.scenarios.model import Part as Part
from smtpprobe.lab.scenarios.model import Scenario as Scenario
from smtpprobe.lab.scenarios.model import Stage as Stage

TOPICS: Final[Mapping[str, tuple[Scenario, ...]]] = MappingProxyType(
    {
        "The domain and its hosts": domains.SCENARIOS,
        "Greeting": greeting.SCENARIOS,
        "Session": session.SCENARIOS,
        "TLS and certificates": tls.SCENARIOS,
    }
)
"""The scenarios by topic, in the order of a session."""

SCENARIOS: Final[Mapping[str, Scenario]] = MappingProxyType(
    {each.name: each for scenarios in TOPICS.values() for each in scenarios}
)
"""The same by name."""


def choose(names: Iterable[str]) -> tuple[Scenario, ...]:
    """Find scenarios by their names, each once.

    Raises:
        OptionError: there is none of a name; the message suggests one that is near.
    """
    chosen: dict[str, Scenario] = {}
    for name in names:
        found = SCENARIOS.get(name)
        if found is None:
            from difflib import get_close_matches

            near = get_close_matches(name, SCENARIOS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "'smtpprobe lab --list' names them"
            raise OptionError(f"no such scenario: {name!r}; {hint}")
        chosen[name] = found
    return tuple(chosen.values())
