"""Turns at servers: one at a time, each server for itself, and nobody waits for ever."""

from __future__ import annotations

import asyncio

from smtpprobe.turns import Turns
from tests.loopback import endpoint

HERE, THERE = endpoint(("192.0.2.1", 25)), endpoint(("192.0.2.1", 465))
LONG_S = 60.0


async def test_one_after_the_other_at_the_same_server() -> None:
    turns, there, most = Turns(), 0, 0

    async def visit() -> None:
        nonlocal there, most
        async with turns.at(HERE, patience_s=LONG_S):
            there += 1
            most = max(most, there)
            await asyncio.sleep(0)
            there -= 1

    await asyncio.gather(*(visit() for _ in range(10)))
    assert most == 1


async def test_another_port_is_another_server() -> None:
    turns = Turns()
    async with turns.at(HERE, patience_s=LONG_S), turns.at(THERE, patience_s=LONG_S):
        pass


async def test_who_has_waited_long_enough_goes_on_and_takes_nobody_else_s_turn() -> None:
    turns, order = Turns(), []
    async with turns.at(HERE, patience_s=LONG_S):
        async with turns.at(HERE, patience_s=0.0):
            order.append("impatient")
        late = asyncio.create_task(_note(turns, order))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        order.append("first")
    await late
    assert order == ["impatient", "first", "late"]


async def _note(turns: Turns, order: list[str]) -> None:
    async with turns.at(HERE, patience_s=LONG_S):
        order.append("late")


async def test_a_turn_ends_with_an_error() -> None:
    turns = Turns()
    for _ in range(2):
        try:
            async with turns.at(HERE, patience_s=LONG_S):
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
