"""From a target to evidence: resolution, then all endpoints at once, within one deadline. No judgement.

The longest chain of waiting is MX, addresses, the slowest conversation. What no conversation needs runs beside them:
the reverse names of the addresses, and reading in the roots. Each address and port has one connection at a time, and
what fails on one endpoint, even by a defect of ours, stays with that endpoint.

    >>> import asyncio
    >>> from smtpprobe.probing import collect
    >>> evidence = asyncio.run(collect("mx1.example.org:25"))   # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
import platform
import ssl
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing, suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from smtpprobe import __version__
from smtpprobe.conversation import Talk
from smtpprobe.endpoints import plan_endpoints
from smtpprobe.evidence import (
    Asked,
    Certificate,
    Conversation,
    Endpoint,
    Evidence,
    Fact,
    Lookup,
    LookupStatus,
    Options,
    Policies,
    Posture,
    Resolution,
    Reverse,
    Runtime,
    Target,
    TargetKind,
    Trust,
)
from smtpprobe.names import own_ehlo_name
from smtpprobe.opening import Openings
from smtpprobe.published import Published
from smtpprobe.resolution import Resolver
from smtpprobe.targets import parse_target
from smtpprobe.turns import Turns

if TYPE_CHECKING:
    from smtpprobe.certificates import Roots
    from smtpprobe.report import Report
    from smtpprobe.trials import Trials

REVERSE_GRACE_S: Final = 2.0
"""How long reverse names are still waited for once all conversations are over: they are worth a note, not a wait."""

QUESTION_WAVES: Final = 3
"""In how many waves the questions of a resolution go out at most: MX, then the addresses of all hosts, of which the
resolver takes more than half at once. A question gets no more than its share of the deadline, so that a silent DNS
ends as a failed look-up and not as a probe that came to nothing."""

PARTS_OF_DEADLINE: Final = 4
"""A probe waits no longer for its turn at a server than one of so many parts of its deadline."""


# --- progress -------------------------------------------------------------------------------------------------------


class Resolved(Fact, frozen=True, kw_only=True):
    """It is known what to connect to."""

    resolution: Resolution
    endpoints: tuple[Endpoint, ...]


class Begun(Fact, frozen=True, kw_only=True):
    """The conversation with an endpoint begins."""

    endpoint: Endpoint


class Ended(Fact, frozen=True, kw_only=True):
    """The conversation with an endpoint is over."""

    conversation: Conversation


class Decided(Fact, frozen=True, kw_only=True):
    """All is known but how some servers answer QUIT, which is waited for meanwhile. Comes once, unless the probe is
    interrupted before."""

    evidence: Evidence
    """As it will be returned, without those last exchanges."""


Progress = Resolved | Begun | Ended | Decided


# --- the probe ------------------------------------------------------------------------------------------------------


async def probe(
    target: Target | str, options: Options | None = None, *, on_progress: Callable[[Progress], None] | None = None
) -> Report:
    """Check a target: collect the evidence and judge it.

    Args:
        target: anything that `parse_target` reads.
        options: None: the defaults.
        on_progress: told what happens while it happens.

    Raises:
        TargetError: it is no target.
        OptionError: an option cannot be used.
    """
    from smtpprobe.checks import judge

    return judge(await collect(target, options, on_progress=on_progress))


async def collect(
    target: Target | str,
    options: Options | None = None,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    openings: Openings | None = None,
    turns: Turns | None = None,
) -> Evidence:
    """Collect all facts about a target. What the network does is in them; it raises nothing.

    When cancelled, as by Ctrl-C, it returns what is known so far, with `Evidence.is_interrupted`.

    Args:
        target: anything that `parse_target` reads.
        options: None: the defaults.
        on_progress: told what happens while it happens. What it raises ends the probe.
        openings: what `opening.set_out` made of the same target and options.
        turns: of all probes that run at once; None: there are no others.

    Raises:
        TargetError: it is no target.
        OptionError: an option cannot be used.
        MissingExtraError: an option needs a library that is not installed.
    """
    if isinstance(target, str):
        target = parse_target(target)
    with closing(openings or Openings(())) as under_way:
        probing = _Probing(target, options if options is not None else Options(), on_progress, under_way, turns)
        try:
            await probing.run()
        except asyncio.CancelledError:
            return probing.evidence(is_interrupted=True)
        return probing.evidence()


class _Probing:
    """One probe while it lasts."""

    def __init__(
        self,
        target: Target,
        options: Options,
        on_progress: Callable[[Progress], None] | None,
        openings: Openings,
        turns: Turns | None,
    ) -> None:
        self._openings = openings
        self._clock = openings.clock
        self._started_at = openings.started_at
        self._target = target
        self._options = options
        self._ehlo_name = own_ehlo_name(options.ehlo_name)
        self._report = on_progress if on_progress is not None else _ignore
        question_s = min(options.timeout_s, options.deadline_s / QUESTION_WAVES)
        self._resolver = Resolver(msgspec.structs.replace(options, timeout_s=question_s), self._clock)
        self._resolution = Resolution(name=target.name)
        domain = target.name if target.kind is TargetKind.NAME else None
        self._published = Published(domain, options, self._resolver, self._clock)
        self._domain = domain
        self._posture: Posture | None = None
        self._endpoints: tuple[Endpoint, ...] = ()
        self._talks: dict[int, Talk] = {}
        """By index into the endpoints."""
        self._trials: dict[int, Trials] = {}
        self._asked: dict[int, Asked] = {}
        self._has_trials = options.tls_versions or options.security or bool(options.questions)
        self._undecided: set[int] = set()
        self._all_decided = asyncio.Event()
        self._reverse: dict[str, Reverse] = {}
        self._slots = asyncio.Semaphore(options.concurrency)
        self._turns = Turns()
        self._turns_of_all = turns
        self._certificates: dict[str, Certificate] = {}
        self._trust: dict[tuple[tuple[bytes, ...], str | None], Trust | None] = {}

    async def run(self) -> None:
        """Take all steps."""
        if self._options.ca_file is not None:
            _load_roots(self._options.ca_file)  # one that cannot be used is to be heard of before anybody is bothered
        if self._options.posture:
            from smtpprobe.integrations.posture import require

            require()
        try:
            async with asyncio.TaskGroup() as group:
                of_domain = group.create_task(self._published.ask_domain())
                posture = group.create_task(self._look_at_posture())
                self._resolution = await self._resolver.resolve(self._target)
                self._endpoints = plan_endpoints(self._target, self._resolution, self._options)
                self._report(Resolved(resolution=self._resolution, endpoints=self._endpoints))
                await self._talk_to_all(of_domain, posture)
        except ExceptionGroup as group_of_errors:  # of a task group, for what `on_progress` raised
            raise _first(group_of_errors) from None

    async def _talk_to_all(self, of_domain: asyncio.Task[None], posture: asyncio.Task[None]) -> None:
        self._undecided = set(range(len(self._endpoints)))
        async with asyncio.TaskGroup() as group:
            talks = [group.create_task(self._talk(*each)) for each in enumerate(self._endpoints)]
            addresses = dict.fromkeys(endpoint.address for endpoint in self._endpoints)
            reverse = {address: group.create_task(self._look_back(address)) for address in addresses}
            of_hosts = group.create_task(self._published.ask_hosts(self._resolution, self._endpoints))
            if self._undecided:
                await asyncio.sleep(0)  # so that all have set out before the libraries of the roots are imported
                await asyncio.to_thread(_load_roots, self._options.ca_file)
                await self._all_decided.wait()
            await self._finish_published({of_domain, of_hosts})
            await self._finish_reverse(reverse)
            await posture
            self._report(Decided(evidence=self.evidence()))
            for talk in talks:
                await talk

    # --- one endpoint ---

    async def _talk(self, index: int, endpoint: Endpoint) -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._turns.at(endpoint))
            if self._turns_of_all is not None:
                patience_s = self._options.deadline_s / PARTS_OF_DEADLINE
                await stack.enter_async_context(self._turns_of_all.at(endpoint, patience_s=patience_s))
            await stack.enter_async_context(self._slots)
            self._report(Begun(endpoint=endpoint))
            talk = Talk(
                endpoint,
                options=self._options,
                ehlo_name=self._ehlo_name,
                clock=self._clock,
                opening=self._openings.take(endpoint),
                on_decided=None if self._has_trials else lambda: self._decide(index),
            )
            self._talks[index] = talk
            with suppress(
                Exception
            ):  # a defect of ours is recorded as the failure of this endpoint, and hides no other
                await talk.run()
            if self._has_trials:
                await self._try_further(index, talk)
                self._decide(index)
        self._report(Ended(conversation=talk.so_far()))

    async def _try_further(self, index: int, talk: Talk) -> None:
        """Make the further connections that were asked for."""
        from smtpprobe.asking import ask, questions_for
        from smtpprobe.trials import Trials

        conversation = talk.so_far()
        questions = questions_for(self._options, conversation)
        if questions:
            with suppress(Exception):  # the endpoint keeps what its first conversation told
                self._asked[index] = await ask(
                    talk.endpoint, questions, options=self._options, ehlo_name=self._ehlo_name, clock=self._clock
                )
        if not Trials.are_wanted(self._options, conversation):
            return
        trials = Trials(talk.endpoint, options=self._options, ehlo_name=self._ehlo_name, clock=self._clock)
        self._trials[index] = trials
        with suppress(Exception):  # what came before a defect of ours is kept
            await trials.run(conversation)

    def _decide(self, index: int) -> None:
        self._undecided.discard(index)
        if not self._undecided:
            self._all_decided.set()

    # --- one address ---

    async def _look_back(self, address: str) -> None:
        for found in await self._resolver.reverse((address,)):
            self._reverse[found.address] = found

    async def _finish_reverse(self, tasks: dict[str, asyncio.Task[None]]) -> None:
        """Give the reverse names that are still out a last chance."""
        if not tasks:
            return
        left_s = self._options.deadline_s - self._clock()
        await asyncio.wait(tasks.values(), timeout=max(0.0, min(REVERSE_GRACE_S, left_s)))
        for address, task in tasks.items():
            if task.cancel():
                name = ip_address(address).reverse_pointer
                detail = "not waited for any longer: everything else was done"
                given_up = Lookup(name=name, rrtype="PTR", status=LookupStatus.TIMEOUT, detail=detail)
                self._reverse[address] = Reverse(address=address, ptr=given_up)

    # --- what is published ---

    async def _finish_published(self, tasks: set[asyncio.Task[None]]) -> None:
        """Wait for the policies, which bound themselves, but no longer than for the whole probe."""
        left_s = max(0.0, self._options.deadline_s - self._clock())
        _, late = await asyncio.wait(tasks, timeout=left_s)
        if late:
            for task in late:
                task.cancel()
            self._published.give_up()

    async def _look_at_posture(self) -> None:
        """Look up SPF and DMARC, which end by themselves when the time for the whole probe is up."""
        if self._domain is None or not self._options.posture:
            return
        from smtpprobe.integrations.posture import look_up_posture

        left_s = max(0.0, self._options.deadline_s - self._clock())
        self._posture = await look_up_posture(self._domain, self._options, left_s=left_s)

    # --- the evidence ---

    def evidence(self, *, is_interrupted: bool = False) -> Evidence:
        """Write down what is known."""
        conversations = tuple(
            self._with_trials(index, self._judged(self._talks[index])) for index in sorted(self._talks)
        )
        return Evidence(
            target=self._target,
            options=self._options,
            started_at=self._started_at,
            elapsed_s=self._clock(),
            ehlo_name=self._ehlo_name,
            resolution=msgspec.structs.replace(self._resolution, reverse=tuple(self._written_reverse())),
            endpoints=self._endpoints,
            conversations=conversations,
            policies=self._policies(),
            posture=self._posture,
            certificates=tuple(self._certificates.values()),
            is_interrupted=is_interrupted,
            runtime=runtime(),
        )

    def _policies(self) -> Policies:
        """What is published, with the trust in the policy host's certificate."""
        policies, chain = self._published.so_far(), self._published.certificates
        if policies.policy is None or not chain:
            return policies
        host = urlsplit(policies.policy.url).hostname
        fetched = msgspec.structs.replace(policies.policy, chain=self._noted(chain), trust=self._trust_in(chain, host))
        return msgspec.structs.replace(policies, policy=fetched)

    def _written_reverse(self) -> Iterator[Reverse]:
        for address in dict.fromkeys(endpoint.address for endpoint in self._endpoints):
            if address in self._reverse:
                yield self._reverse[address]

    def _with_trials(self, index: int, conversation: Conversation) -> Conversation:
        """A conversation with the further connections that followed it."""
        asked = self._asked.get(index)
        if asked is not None:
            conversation = msgspec.structs.replace(
                conversation,
                asked=asked,
                connections=conversation.connections + 1,
                notes=(*conversation.notes, "one more connection: to ask the questions of the options"),
            )
        trials = self._trials.get(index)
        if trials is None:
            return conversation
        self._noted(tuple(trials.certificates))
        return msgspec.structs.replace(
            conversation,
            versions=tuple(trials.versions),
            security=tuple(trials.security),
            connections=conversation.connections + trials.connections,
            notes=(*conversation.notes, "further connections: asked for by --tls-versions or --security"),
        )

    def _judged(self, talk: Talk) -> Conversation:
        """A conversation with the trust in its certificates, which are added to those that are known."""
        conversation = talk.so_far()
        session = conversation.session
        if session is None or conversation.handshake is None:
            return conversation
        self._noted(talk.certificates)
        outcome = msgspec.structs.replace(session, trust=self._trust_in(talk.certificates, conversation.endpoint.name))
        return msgspec.structs.replace(
            conversation, handshake=msgspec.structs.replace(conversation.handshake, outcome=outcome)
        )

    def _noted(self, chain: tuple[bytes, ...]) -> tuple[str, ...]:
        """The keys of certificates, which are read and kept, each once."""
        from smtpprobe.certificates import read_certificate

        keys = []
        for der in chain:
            read = read_certificate(der)
            self._certificates.setdefault(read.sha256, read)
            keys.append(read.sha256)
        return tuple(keys)

    def _trust_in(self, chain: tuple[bytes, ...], name: str | None) -> Trust | None:
        """The trust in a chain, judged once for each name."""
        from smtpprobe.certificates import judge_trust

        asked = (chain, name)
        if asked not in self._trust:
            self._trust[asked] = judge_trust(*asked, self._started_at, _load_roots(self._options.ca_file))
        return self._trust[asked]


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group of groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def runtime() -> Runtime:
    """What this process runs on."""
    return Runtime(
        smtpprobe=__version__,
        python=platform.python_version(),
        openssl=ssl.OPENSSL_VERSION,
        platform=f"{platform.system()} {platform.release()} {platform.machine()}",
    )


def _load_roots(ca_file: str | None) -> Roots:
    """Load the trusted roots; the libraries that it takes are imported only here."""
    from smtpprobe.certificates import Roots

    return Roots.load(ca_file)


def _ignore(progress: Progress) -> None:
    """Tell nobody."""
