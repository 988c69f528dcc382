"""Clients that behave: people who chat, programs that translate, pages that idle. Each function is one visit."""

from typing import Any

from benchmarks.soak.client import Client, Session

SAID = [
    "Hello!",
    "What is Aister?",
    "How do I get an API key?",
    "How do I connect my own program?",
    "Hi! My name is Marta.",
    "Thank you!",
    "How are you?",
]
BRIEF = {"max_tokens": 24}
# Sampled so, a small model hardly ever finds the end of its answer.
LONG = {"temperature": 2, "top_k": 256, "top_p": 1, "repetition_penalty": 2, "max_tokens": 150}
PLAIN: dict[str, Any] = dict.fromkeys([*LONG, "seed"])  # the model's own settings again
PHRASES = {
    "en": ["Good morning", "Where is the train station?", "Your message has been sent.", "I would like a coffee."],
    "fr": ["Bonjour", "Où est la gare ?", "Votre message a été envoyé.", "Je voudrais un café."],
    "de": ["Guten Morgen", "Wo ist der Bahnhof?", "Ihre Nachricht wurde gesendet.", "Ich möchte einen Kaffee."],
    "es": ["Buenos días", "¿Dónde está la estación de tren?", "Su mensaje ha sido enviado.", "Quisiera un café."],
    "it": ["Buongiorno", "Dov'è la stazione?", "Il tuo messaggio è stato inviato.", "Vorrei un caffè."],
    "pt": ["Bom dia", "Onde fica a estação de trem?", "Sua mensagem foi enviada.", "Eu gostaria de um café."],
}


# -- chat -------------------------------------------------------------------------------------------------------------


async def chat(client: Client) -> None:
    """Have a conversation of several turns, and do with it whatever one can do."""
    async with client.session("chat") as session:
        await session.do("session.update", settings={**BRIEF, "seed": client.rng.randrange(1_000_000)})
        if client.chance(0.3):
            await session.do("conversation.load", messages=remembered(client))
        for _ in range(client.rng.randint(1, 7)):
            (move,) = client.rng.choices([say, ramble, cancel, edit, regenerate, look], [10, 3, 2, 2, 2, 2])
            await move(client, session)
            await client.think(1.2)


def remembered(client: Client) -> list[dict[str, str]]:
    """Return a conversation that a client kept."""
    turns = client.rng.randint(1, 6)
    pairs = [(client.rng.choice(SAID), "I see. Is there anything else?") for _ in range(turns)]
    return [{"role": role, "text": text} for pair in pairs for role, text in zip(("user", "assistant"), pair)]  # noqa: B905


async def say(client: Client, session: Session) -> None:
    """Say something short."""
    await session.ask("chat", "message.create", text=client.rng.choice(SAID))


async def ramble(client: Client, session: Session) -> None:
    """Have a long answer."""
    await session.do("session.update", settings=LONG)
    await session.ask("long chat", "message.create", text=client.rng.choice(SAID))
    await session.do("session.update", settings={**PLAIN, **BRIEF})


async def cancel(client: Client, session: Session) -> None:
    """Cancel a long answer: in its middle, or at once."""
    await session.do("session.update", settings=LONG)
    request = await session.start("cancelled chat", "message.create", text=client.rng.choice(SAID))
    if client.chance(0.8):
        await session.begun(request)
        await client.think(0.1)
    if request.end == "open":
        await session.do("response.cancel", target=session.id_of(request))
    await session.ended(request)
    await session.do("session.update", settings={**PLAIN, **BRIEF})


async def edit(client: Client, session: Session) -> None:
    """Say something else instead of something that was said."""
    conversation = await session.do("conversation.get")
    said = [message["id"] for message in conversation["messages"] if message["role"] == "user"]
    if said:
        text = client.rng.choice(SAID)
        await session.ask("chat", "message.edit", message_id=client.rng.choice(said), text=text)


async def regenerate(_client: Client, session: Session) -> None:
    """Have the last answer once more."""
    conversation = await session.do("conversation.get")
    if conversation["messages"]:
        await session.ask("chat", "response.regenerate")


async def look(_client: Client, session: Session) -> None:
    """Give the conversation back as it is."""
    conversation = await session.do("conversation.get")
    await session.do("conversation.load", messages=conversation["messages"])


# -- translation ------------------------------------------------------------------------------------------------------


def translation(client: Client) -> dict[str, Any]:
    """Return what to translate: any direction, one text, a list or a long one, with or without its source."""
    source, target = client.rng.sample(list(PHRASES), 2)
    phrases = PHRASES[source]
    shape = client.rng.random()
    text: str | list[str] = client.rng.choice(phrases)
    if shape < 0.2:
        text = client.rng.choices(phrases, k=client.rng.randint(2, 8))
    elif shape < 0.3:
        text = "\n\n".join(client.rng.choices(phrases, k=12))
    body = {"text": text, "target": target}
    return body if client.chance(0.5) else {**body, "source": source}


async def translate(client: Client) -> None:
    """Translate for a while, now and then several texts at once."""
    async with client.session("translate") as session:
        for _ in range(client.rng.randint(2, 10)):
            how_many = client.rng.choice([1, 1, 1, 4])
            asked = [
                await session.start("translation", "translation.create", **translation(client)) for _ in range(how_many)
            ]
            await session.ended(*asked)
            await client.think(1.0)


# -- plain HTTP -------------------------------------------------------------------------------------------------------


def chat_body(client: Client, settings: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a conversation for POST /v1/chat."""
    messages = remembered(client) if client.chance(0.5) else []
    said = {"role": "user", "text": client.rng.choice(SAID)}
    return {"messages": [*messages, said], "settings": settings or {**BRIEF, "seed": client.rng.randrange(1_000_000)}}


async def post(client: Client) -> None:
    """Ask by HTTP, in each of the three ways, and leave one stream in its middle."""
    for _ in range(4):
        await client.post("/v1/translate", "POST translate", translation(client))
        await client.think(1.0)
        await client.post("/v1/chat", "POST chat", chat_body(client))
        await client.think(1.0)
        await client.stream("SSE chat", chat_body(client))
        await client.think(1.0)
    await client.stream("left SSE chat", chat_body(client, LONG), most_events=5)


async def with_token(client: Client) -> None:
    """Chat as a web page does, with a token that its key was exchanged for."""
    made = await client.http.post("/v1/tokens", headers=client.headers, json={"expires_in_s": 60})
    protocols = ["aister.v1", f"aister.token.{made.json()['token']}"]
    async with client.session("chat", additional_headers={}, subprotocols=protocols) as session:
        await session.do("session.update", settings=BRIEF)
        await say(client, session)
    await client.think(5.0)


async def idle(client: Client) -> None:
    """Open a session, sit there for about as long as pings matter, and say one thing before leaving."""
    async with client.session("chat") as session:
        await client.think(40.0)
        await session.do("session.update", settings=BRIEF)
        await session.ask("chat", "message.create", text="Hello!")
