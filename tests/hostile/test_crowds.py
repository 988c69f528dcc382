"""Very many connections of somebody who has not said who they are: opened and dropped, or kept."""

import asyncio
import resource
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from aister_site import crowd
from tests import live
from tests.hostile import wire
from tests.hostile.bystander import KEEP_HEAP, others_are_served, warm
from tests.hostile.conftest import PROGRAM
from tests.live import Server
from tests.server.admin import eventually
from tests.server.client import session

MANY = 2_000
KEYLESS = wire.handshake()


@contextmanager
def many_files() -> Iterator[None]:
    """Let the tests themselves open as many files as they need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 3 * MANY)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_many(server: Server, count: int, stack: ExitStack) -> list[socket.socket]:
    """Connect as often, all at once."""
    address = urlsplit(server.url)
    opened = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
    waiting = select.poll()
    for connecting in opened:
        connecting.setblocking(False)
        connecting.connect_ex((address.hostname, address.port))
        waiting.register(connecting, select.POLLOUT)
    connected = 0
    while connected < count:
        ready = waiting.poll(wire.WAIT_S * 1_000)
        assert ready, f"only {connected} of {count} were taken"
        for descriptor, _ in ready:
            waiting.unregister(descriptor)
        connected += len(ready)
    for connecting in opened:
        connecting.settimeout(wire.WAIT_S)
    return opened


def send(opened: socket.socket, data: bytes) -> bool:
    """Send, and say whether anybody still took it."""
    try:
        opened.sendall(data)
    except ConnectionError:
        return False
    return True


def is_open(opened: socket.socket) -> bool:
    """Say whether the server, which says nothing, keeps a connection."""
    waiting = select.poll()
    waiting.register(opened, select.POLLIN)
    return not waiting.poll(0)


def is_shaken(opened: socket.socket) -> bool:
    """Say whether the server shook hands."""
    try:
        return opened.recv(12) == b"HTTP/1.1 101"
    except ConnectionError:
        return False


def is_welcome(server: Server) -> bool:
    """Say whether a session with a key is opened."""
    try:
        with closing(wire.open_session(server, server.key)) as opened:
            return wire.read_until(opened, "session.created")["task"] == "chat"
    except (ConnectionError, EOFError):
        return False


def open_and_drop(server: Server) -> int:
    """Open many, half of them up to the handshake, and drop all at once; return how many shook hands."""
    with many_files(), ExitStack() as stack:
        opened = open_many(server, MANY, stack)
        before, after = opened[: MANY // 2], opened[MANY // 2 :]
        for half in before[::2]:
            send(half, KEYLESS[:40])
        for number, whole in enumerate(after):
            send(whole, wire.handshake(server.key if number % 2 else None))
        shaken = sum(map(is_shaken, after))
        for number, dropped in enumerate(opened):
            if number % 4 < 2:
                wire.reset(dropped)
    return shaken


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A patient server: what it drops, it does not drop for taking too long."""
    with live.start(tmp_path_factory.mktemp("crowds") / "home", PROGRAM, PATIENT="1", **KEEP_HEAP) as server:
        server.wait_for(live.LOADED)
        asyncio.run(warm(server))
        few = wire.sockets(server)
        open_and_drop(server)  # takes 30 MB, which Python keeps and uses again
        eventually(lambda: wire.sockets(server) <= few)
        yield server


async def test_two_thousand_opened_and_dropped_leave_nothing(patient: Server) -> None:
    async with others_are_served(patient):
        few = wire.sockets(patient)
        assert await asyncio.to_thread(open_and_drop, patient) == MANY // 2
        await asyncio.to_thread(eventually, lambda: wire.sockets(patient) <= few)
    async with session(patient) as chat:
        assert (await chat.ask("message.create", text="Hello!")).status == "completed"


def test_who_is_refused_and_stays_is_cut_off(server: Server) -> None:
    with closing(wire.open_session(server, None)) as opened:
        told, code = wire.read_to_the_close(opened)
        assert told is not None
        assert (told["error"]["code"], code) == ("missing_key", 4401)
        assert wire.is_over(opened)


def test_who_is_refused_and_never_reads_is_cut_off(server: Server) -> None:
    few = wire.sockets(server)
    with closing(wire.open_session(server, None, buffer_bytes=4_096)):
        eventually(lambda: wire.sockets(server) <= few)


def test_who_has_an_answer_and_asks_nothing_more_is_cut_off(server: Server) -> None:
    with closing(wire.connect(server)) as opened:
        opened.sendall(wire.request("GET", "/healthz"))
        assert wire.read_head(opened).startswith(b"HTTP/1.1 200 OK\r\n")
        while opened.recv(65_536):
            pass


async def test_who_waits_longest_makes_room_for_others(patient: Server) -> None:
    async with others_are_served(patient):
        few = wire.sockets(patient)
        with many_files(), ExitStack() as stack:
            opened = await asyncio.to_thread(open_many, patient, MANY, stack)
            for half in opened[::2]:
                send(half, KEYLESS[:40])
            await asyncio.to_thread(eventually, lambda: wire.sockets(patient) <= few + crowd.MOST_WAITING)
            async with session(patient) as chat:
                assert (await chat.ask("message.create", text="Hello!")).status == "completed"
            kept = [is_open(waiting) for waiting in opened]
    assert crowd.MOST_WAITING - 10 <= sum(kept) <= crowd.MOST_WAITING
    assert kept.index(True) > MANY // 4  # those that came first have gone


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Server]:
    """A server that nobody has asked anything, so that no thread of its own opens a file."""
    with live.start(tmp_path / "home", PROGRAM, PATIENT="1") as server:
        server.wait_for(live.LOADED)
        yield server


def test_a_server_out_of_files_closes_what_it_can_t_take_and_goes_on(quiet: Server) -> None:
    before = resource.prlimit(quiet.process.pid, resource.RLIMIT_NOFILE)
    files = len(list(Path(f"/proc/{quiet.process.pid}/fd").iterdir()))
    resource.prlimit(quiet.process.pid, resource.RLIMIT_NOFILE, (files + 20, before[1]))
    try:
        with ExitStack() as stack:
            opened = [stack.enter_context(closing(wire.connect(quiet))) for _ in range(60)]
            for refused in opened[40:]:
                assert wire.is_over(refused)
            assert is_open(opened[0])
    finally:
        resource.prlimit(quiet.process.pid, resource.RLIMIT_NOFILE, before)
    eventually(lambda: is_welcome(quiet))  # the last that it can't take may be those that come after
