"""What the clients saw: every request from its sending to its end, and every error. One event loop.

Times are seconds since the record began. Kinds name what was asked, such as `chat`; who names a kind of client.
"""

import time
from collections.abc import Collection
from typing import Any, Literal

import msgspec

End = Literal["open", "completed", "cancelled", "failed", "refused", "gone"]
STOPPING = ("restarting",)  # what may be heard while the server stops


class Request(msgspec.Struct, eq=False, array_like=True):
    """One request. `refused` ended in an error before anything ran, `gone` had no end that its client saw.

    `tokens` are those of its usage: input, cached, output. A request whose client never heard `response.created` has
    no id.
    """

    kind: str
    began_s: float
    request_id: str | None = None
    first_s: float | None = None
    ended_s: float | None = None
    end: End = "open"
    code: str | None = None
    tokens: tuple[int, int, int] | None = None

    @property
    def has_row(self) -> bool:
        """Whether the ledger must have it: it was begun, and the client was not told that its usage is lost."""
        return self.request_id is not None and self.end != "refused" and self.code != "usage_unavailable"


class Fault(msgspec.Struct, frozen=True, array_like=True):
    """An error that a client met, and whether it had it coming."""

    at_s: float
    who: str
    code: str
    is_expected: bool


class Page(msgspec.Struct, frozen=True, array_like=True):
    """A page, file or download that was asked for by HTTP."""

    kind: str
    began_s: float
    ended_s: float


class Record:
    """The whole run, as clients saw it."""

    def __init__(self) -> None:
        self.began_s = time.monotonic()
        self.requests: list[Request] = []
        self.ended: list[Request] = []  # in the order of their ends
        self.pages: list[Page] = []
        self.faults: list[Fault] = []
        self.visits: dict[str, int] = {}  # by who: how often such a client did what it came for
        self.sessions = 0  # open now
        self.is_stopping = False

    @property
    def now_s(self) -> float:
        """Seconds since the record began."""
        return time.monotonic() - self.began_s

    @property
    def open_requests(self) -> int:
        """How many requests wait for their end."""
        return len(self.requests) - len(self.ended)

    def begin(self, kind: str) -> Request:
        """Take down that a request is being sent."""
        request = Request(kind, self.now_s)
        self.requests.append(request)
        return request

    def hear(self, request: Request, event: dict[str, Any], who: str, expected: Collection[str] = ()) -> None:
        """Take down an event about a request."""
        request.request_id = event.get("request_id") or request.request_id
        match event["type"]:
            case "response.delta" if request.first_s is None:
                request.first_s = self.now_s
            case "response.done":
                usage = event["usage"]
                request.tokens = (usage["input_tokens"], usage["cached_tokens"], usage["output_tokens"])
                self.finish(request, event["status"], event.get("error"), who, expected)
            case "error":
                self.finish(request, "refused", event["error"], who, expected)

    def finish(
        self, request: Request, end: End, error: dict[str, Any] | None, who: str, expected: Collection[str]
    ) -> None:
        """Let a request end; an error it ended with is a fault."""
        request.end, request.ended_s = end, self.now_s
        self.ended.append(request)
        if error is not None:
            request.code = error["code"]
            self.fault(who, error["code"], expected)

    def lose(self, request: Request) -> None:
        """Take down that nobody waits for a request any more. Nothing happens when it has ended."""
        if request.end == "open":
            self.finish(request, "gone", None, "", ())

    def fault(self, who: str, code: str, expected: Collection[str] = ()) -> None:
        """Take down an error; what is expected of a server that stops is expected then."""
        is_expected = code in expected or (self.is_stopping and code in STOPPING)
        self.faults.append(Fault(self.now_s, who, code, is_expected))

    def cut_off(self, who: str, what: str) -> None:
        """Take down that there was no answer, or no sensible one, which is expected of a server that stops."""
        self.fault(who, what, (what,) if self.is_stopping else ())
