"""Where another thread stops until the test lets it on, so that everything else can happen meanwhile."""

import asyncio
import threading

PATIENCE_S = 60.0


class Door:
    """Where the manager's threads stop. `visitor` says who stands there: what is being done to which model."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.visitor: tuple[str, str] | None = None
        self.answer: Exception | bool = False
        self.is_open = False

    def enter(self, doing: str, model_id: str) -> None:
        """Stop until let on; raise what the test wants to go wrong."""
        with self.changed:
            if self.is_open:
                return
            self.visitor, self.answer = (doing, model_id), False
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.answer is not False, PATIENCE_S)
            answer = self.answer
        if isinstance(answer, Exception):
            raise answer

    def let_on(self, fault: Exception | None = None) -> None:
        """Let whoever stands there go on, or fail."""
        with self.changed:
            self.visitor, self.answer = None, fault or True
            self.changed.notify_all()

    def open(self) -> None:
        """Stop nobody any more."""
        with self.changed:
            self.is_open = True
            self.visitor, self.answer = None, True
            self.changed.notify_all()


async def turns() -> None:
    """Let what is ready on the loop run, and what that makes ready, some times over."""
    for _ in range(10):
        await asyncio.sleep(0)
