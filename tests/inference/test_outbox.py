"""The outbox: order, merging, and its bound."""

import asyncio

from inference.outbox import MOST_BYTES, Outbox
from inference.protocol import ResponseCancelled, ResponseDelta, SessionClosing


def delta(text: str, request: str = "1", item: int = 0) -> ResponseDelta:
    return ResponseDelta(id=request, text=text, item=item)


def outbox() -> tuple[Outbox, list[bool]]:
    overflows: list[bool] = []
    return Outbox(lambda: overflows.append(True)), overflows


async def test_events_come_out_in_order_and_waiting_deltas_of_one_text_are_merged() -> None:
    box, _ = outbox()
    for event in (delta("a"), delta("b"), delta("c", request="2"), delta("d", item=1, request="2"), delta("e")):
        box.put(event)
    box.close()
    assert [await box.get() for _ in range(5)] == [
        delta("ab"),
        delta("c", request="2"),
        delta("d", request="2", item=1),
        delta("e"),
        None,
    ]


async def test_deltas_are_not_merged_across_another_event() -> None:
    box, _ = outbox()
    between = ResponseCancelled(id="9", target="1", found=True)
    for event in (delta("a"), between, delta("b")):
        box.put(event)
    assert [await box.get() for _ in range(3)] == [delta("a"), between, delta("b")]


async def test_get_waits_for_an_event() -> None:
    box, _ = outbox()
    waiting = asyncio.ensure_future(box.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    box.put(delta("a"))
    assert await waiting == delta("a")


async def test_a_client_that_does_not_read_overflows_once_and_gets_only_the_farewell() -> None:
    box, overflows = outbox()
    for _ in range(100):
        box.put(delta("x" * 10_000))
    assert overflows == [True]
    box.close(SessionClosing(grace_s=1))
    assert [await box.get(), await box.get()] == [SessionClosing(grace_s=1), None]


async def test_what_is_read_makes_room() -> None:
    box, overflows = outbox()
    for _ in range(20):
        box.put(delta("x" * (MOST_BYTES // 2)))
        box.put(delta("y" * (MOST_BYTES // 2), item=1))
        await box.get()
        await box.get()
    assert overflows == []
    assert box.size_bytes == 0


async def test_one_event_larger_than_the_bound_goes_through() -> None:
    box, overflows = outbox()
    box.put(delta("x" * (2 * MOST_BYTES)))
    assert await box.get() == delta("x" * (2 * MOST_BYTES))
    assert overflows == []


async def test_nothing_is_taken_after_close_and_a_second_close_adds_nothing() -> None:
    box, _ = outbox()
    box.close(SessionClosing(grace_s=1))
    box.put(delta("late"))
    box.close(SessionClosing(grace_s=2))
    assert [await box.get(), await box.get()] == [SessionClosing(grace_s=1), None]
