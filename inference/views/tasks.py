"""The API over plain HTTP: the same tasks as over WebSocket, for a single shot. Event loop.

An exchange lives as long as its answer is wanted: it ends with the task in which Django serves the client.
"""

from collections.abc import AsyncIterator

import msgspec
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from accounts import addresses
from accounts.authentication import Caller
from inference.apps import manager
from inference.callers import account_errors, identify, spend_request
from inference.catalog import ModelEntry, Task
from inference.errors import AisterError
from inference.exchange import Exchange
from inference.http import endpoint, event_response, headers_of, read_body
from inference.protocol import (
    ChatBody,
    ChatSettings,
    Error,
    HttpMessage,
    Message,
    ResponseDone,
    Role,
    ServerEvent,
    TranslateBody,
    encode,
)
from inference.tasks.answer import Answer
from inference.tasks.chat import ChatAnswer
from inference.tasks.conversation import Conversation, checked_text, new_message
from inference.tasks.translation import TranslationAnswer

CHAT_BODY = msgspec.json.Decoder(ChatBody)
TRANSLATE_BODY = msgspec.json.Decoder(TranslateBody)


@endpoint("POST", websocket=True)
async def chat(request: HttpRequest) -> HttpResponseBase:
    """`POST /v1/chat`: answer a conversation, as JSON or as server-sent events."""
    caller = await identify(headers_of(request), addresses.of_request(request), task="chat")
    body = read_body(request, CHAT_BODY)
    entry = choose_model(caller, "chat", body.model)
    exchange = Exchange(caller, entry, body.id, chat_answer(body))
    spend_request(caller)
    return await (stream(exchange) if body.stream else single(exchange))


@endpoint("POST", websocket=True)
async def translate(request: HttpRequest) -> HttpResponseBase:
    """`POST /v1/translate`: translate a text or a list of texts."""
    caller = await identify(headers_of(request), addresses.of_request(request), task="translation")
    body = read_body(request, TRANSLATE_BODY)
    entry = choose_model(caller, "translation", body.model)
    exchange = Exchange(caller, entry, body.id, TranslationAnswer(body.text, body.source, body.target))
    spend_request(caller)
    return await single(exchange)


def choose_model(caller: Caller, task: Task, model_id: str | None) -> ModelEntry:
    """Return the model that was asked for; raise AisterError (unknown_model, wrong_task, forbidden_model)."""
    entry = manager().catalog.find(task, model_id)
    with account_errors():
        caller.check_model(entry.id)
    return entry


def chat_answer(body: ChatBody) -> Answer:
    """Return the answer to the conversation in a body.

    Raises AisterError: invalid_conversation, nothing_to_answer, empty_text, text_too_long.
    """
    first, *others = body.messages
    if any(message.role == "system" for message in others):
        raise AisterError("invalid_conversation", "Only the first message may be of the system.", param="messages")
    turns = others if first.role == "system" else body.messages
    if not turns or turns[-1].role != "user":
        raise AisterError("nothing_to_answer", "The last message must be the user's.", param="messages")
    settings = with_system(body.settings, first) if first.role == "system" else body.settings
    if settings.system:
        checked_text(settings.system, "settings.system")
    offset = len(body.messages) - len(turns)
    draft = [turn_message(turn, f"messages[{position}].text") for position, turn in enumerate(turns, start=offset)]
    return ChatAnswer(Conversation(), draft, settings, is_kept=False)


def turn_message(turn: HttpMessage, param: str) -> Message:
    """Return a user's or assistant's message of a body as one of a conversation."""
    role: Role = "assistant" if turn.role == "assistant" else "user"
    return new_message(role, checked_text(turn.text, param, role=role))


def with_system(settings: ChatSettings, message: HttpMessage) -> ChatSettings:
    """Return the settings with a system message as their system prompt."""
    return msgspec.structs.replace(settings, system=checked_text(message.text, "messages[0].text"))


async def single(exchange: Exchange) -> HttpResponseBase:
    """Run an exchange to its end and answer with its last event, under the status of its error if it has one."""
    async for event in exchange.begin():
        if isinstance(event, Error | ResponseDone):
            return event_response(event)
    raise AisterError("internal_error")


async def stream(exchange: Exchange) -> HttpResponseBase:
    """Answer with server-sent events; a request that is refused is answered as JSON under its error's status."""
    events = exchange.begin()
    first = await anext(events)
    if isinstance(first, Error):
        return event_response(first)
    response = StreamingHttpResponse(server_sent(first, events), content_type="text/event-stream; charset=utf-8")
    response["Cache-Control"] = "no-cache"
    response["X-Accel-Buffering"] = "no"  # nginx would hold the events back
    return response


async def server_sent(first: ServerEvent, events: AsyncIterator[ServerEvent]) -> AsyncIterator[str]:
    """Yield events in the format of text/event-stream."""
    yield server_sent_event(first)
    async for event in events:
        yield server_sent_event(event)


def server_sent_event(event: ServerEvent) -> str:
    """Return one event. JSON holds no line break, so one `data` line is enough."""
    return f"event: {event.__struct_config__.tag}\ndata: {encode(event)}\n\n"
