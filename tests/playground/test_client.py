"""client.js as people use it in pages of their own."""

from typing import Any

from playwright.sync_api import Page

from tests.live import Server

PROGRAM = """async ([url, key]) => {
  const { connect, AisterError, fetchToken } = await import("/static/aister/client.js");
  %s
}"""


def run(page: Page, server: Server, program: str) -> Any:
    """Run a program that has `connect`, `AisterError`, `fetchToken`, `url` and `key`; return what it returns."""
    page.goto(server.url)
    return page.evaluate(PROGRAM % program, [server.url, server.key])


def test_six_lines_chat(page: Page, live: Server) -> None:
    text, status, role = run(
        page,
        live,
        """const session = await connect({ url, key });
        const response = session.send("What is Aister?");
        let text = "";
        for await (const part of response) text += part;
        const { status, message } = await response.done;
        session.close();
        return [text === message.text && text, status, message.role];""",
    )
    assert text
    assert (status, role) == ("completed", "assistant")


def test_leaving_the_loop_cancels_the_request(pages: Any, endless: Server) -> None:
    with pages(endless) as page:
        status = run(
            page,
            endless,
            """const session = await connect({ url, key });
            const response = session.send("What is Aister?");
            for await (const part of response) break;
            return (await response.done).status;""",
        )
    assert status == "cancelled"


def test_a_conversation_is_loaded_edited_and_read_back(page: Page, live: Server) -> None:
    texts = run(
        page,
        live,
        """const session = await connect({ url, key });
        const loaded = await session.load([{ role: "user", text: "Hi!" }, { role: "assistant", text: "Hello." }]);
        await session.update({ max_tokens: 3, temperature: 0 });
        await session.edit(loaded[0].id, "What is Aister?").done;
        await session.regenerate().done;
        return (await session.conversation()).map(({ role, text }) => [role, text]);""",
    )
    assert [role for role, _ in texts] == ["user", "assistant"]
    assert texts[0] == ["user", "What is Aister?"]


def test_a_list_is_translated_item_by_item(page: Page, live: Server) -> None:
    translations = run(
        page,
        live,
        """const { token } = await fetchToken({ url, key, tasks: ["translation"] });
        const session = await connect({ url, token, task: "translate" });
        const languages = { source: "en", target: "fr" };
        const { translations } = await session.translate(["Good morning", "Thank you"], languages).done;
        return translations;""",
    )
    assert [translation["source"] for translation in translations] == ["en", "en"]
    assert all(translation["text"] for translation in translations)


FAILURES = {
    "missing_key": "await connect({ url })",
    "malformed_key": "await connect({ url, key: key + 'x' })",
    "unknown_model": "await connect({ url, key, model: 'none' })",
    "unknown_endpoint": "await connect({ url, key, task: 'none' })",
    "empty_text": "await (await connect({ url, key })).send('').done",
    "invalid_field": "await (await connect({ url, key })).update({ temperature: 9 })",
    "unknown_message": "for await (const part of (await connect({ url, key })).edit('none', 'text'));",
    "disconnected": "const s = await connect({ url, key }); s.close(); await s.closed; await s.send('Hi').done",
}
MEET = "try {{ {} }} catch (error) {{ met.push(error instanceof AisterError && error.code); }}"


def test_every_failure_is_an_error_with_a_code(page: Page, live: Server) -> None:
    attempts = " ".join(MEET.format(program) for program in FAILURES.values())
    assert run(page, live, f"const met = []; {attempts} return met;") == list(FAILURES)
