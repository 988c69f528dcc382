"""One model, many sessions: everyone is answered as if alone, from one batch, by one model loaded once."""

import asyncio
import re

from tests.live import Server
from tests.server.client import Answer, Event, Session, session

QUESTIONS = ("What is Aister?", "How do I get an API key?", "Hello!", "How do I connect my own program?")
LOADED = re.compile(r"Model (\S+) is loaded")


async def ask(chat: Session, text: str) -> Answer:
    """Ask one question, with nothing left to chance."""
    await chat.do("session.update", settings={"temperature": 0})
    return await chat.ask("message.create", text=text)


async def test_sixteen_sessions_are_answered_at_the_same_time_each_as_if_alone(live: Server) -> None:
    alone = {}
    for question in QUESTIONS:
        async with session(live) as chat:
            alone[question] = (await ask(chat, question)).text
    assert len(set(alone.values())) > 1
    log: list[Event] = []

    async def take_part(question: str, everyone: asyncio.Barrier) -> str:
        async with session(live) as chat:
            await chat.do("session.update", settings={"temperature": 0})
            await everyone.wait()
            await chat.send("message.create", text=question)
            answer = Answer()
            while "response.done" not in answer.types:
                answer.events.append(await chat.receive())
                log.append(answer.events[-1])
                await asyncio.sleep(0)  # what has come already is taken in turns
            return answer.text

    everyone = asyncio.Barrier(16)
    asked = QUESTIONS * 4
    said = await asyncio.gather(*(take_part(question, everyone) for question in asked))
    assert said == [alone[question] for question in asked]
    assert most_open(log) > 1
    assert sorted(LOADED.findall(live.log.read_text())) == ["aister-guide", "aister-phrasebook"]


def most_open(log: list[Event]) -> int:
    """Return how many answers were under way at once."""
    now = most = 0
    for event in log:
        now += {"response.created": 1, "response.done": -1}.get(event["type"], 0)
        most = max(most, now)
    return most


async def test_a_translation_is_answered_while_a_chat_goes_on(live: Server) -> None:
    async with session(live) as chat, session(live, "translate") as translation:
        await chat.ramble("long")
        assert (await translation.ask("translation.create", text="Good morning", target="fr")).status == "completed"
        await chat.send("response.cancel", "stop", target="long")
        assert (await chat.until("response.done"))[-1]["status"] == "cancelled"


async def test_what_one_session_sends_no_other_hears(live: Server) -> None:
    async with session(live) as first, session(live) as second:
        await first.ramble("same")
        await first.send("response.cancel", "stop", target="same")
        assert (await second.do("response.cancel", "stop", target="same"))["found"] is False
        await first.until("response.done")
        assert (await second.do("conversation.get"))["messages"] == []
