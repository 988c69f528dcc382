"""A real nginx in front of a real server, with TLS, by the very configuration that docs/operations.md shows.

Only names are replaced: the site's, the ports, and where the certificate is. Clients trust that certificate (`trust`),
and Chromium is told not to look at it.
"""

import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.live import LOADED, ROOT, START_S, STOP_S, Server, start

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
TALKATIVE = str(Path(__file__).with_name("talkative.py"))
AROUND = """
daemon off;
master_process off;
pid nginx.pid;
error_log error.log info;
events {}
http {
    access_log access.log;
    client_body_temp_path bodies;
    proxy_temp_path responses;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
%s
}
"""


@dataclass(frozen=True)
class Nginx:
    """A running nginx. `port` is the public one, `upstream` the one where it looks for Aister."""

    directory: Path
    port: int
    upstream: int

    @property
    def url(self) -> str:
        """The address that people use."""
        return f"https://localhost:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext:
        """What a client needs to believe that it is who it says."""
        return ssl.create_default_context(cafile=str(self.directory / "fullchain.pem"))

    @property
    def settings(self) -> dict[str, str]:
        """The settings that the documentation tells to use with it, and the port where it looks."""
        (told,) = re.findall(r"^and `(AISTER_URL=.*)`\.$", OPERATIONS, re.M)
        named = dict(setting.split("=") for setting in told.split())
        return {**named, "AISTER_URL": self.url, "PORT": str(self.upstream)}

    @property
    def log(self) -> str:
        """Everything it wrote, of requests and of errors."""
        return "".join((self.directory / name).read_text() for name in ("access.log", "error.log"))


@contextmanager
def run_nginx(directory: Path) -> Iterator[Nginx]:
    """Run nginx until the block ends, whether or not there is an Aister behind it."""
    if NGINX is None:
        pytest.skip("needs nginx: apt install nginx")
    directory.mkdir()
    nginx = Nginx(directory, free_port(), free_port())
    write_certificate(directory)
    (directory / "nginx.conf").write_text(AROUND % documented(nginx))
    command = [NGINX, "-p", f"{directory}/", "-e", "error.log", "-c", "nginx.conf"]
    with (directory / "output").open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until_it_listens(nginx, process)
        yield nginx
    finally:
        process.terminate()
        process.wait(STOP_S)


def documented(nginx: Nginx) -> str:
    """Return the documentation's configuration, with this one's names."""
    (text,) = re.findall(r"^```nginx\n(.*?)^```$", OPERATIONS, re.M | re.S)
    names = {
        r"listen 443 ssl;": f"listen 127.0.0.1:{nginx.port} ssl;",
        r"models\.example\.com;": "localhost;",
        r"/etc/\S*/": f"{nginx.directory}/",
        r"127\.0\.0\.1:8000": f"127.0.0.1:{nginx.upstream}",
    }
    for name, ours in names.items():
        text, count = re.subn(name, ours, text)
        assert count, f"the documented configuration has no {name}"
    return str(text)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_until_it_listens(nginx: Nginx, process: "subprocess.Popen[bytes]") -> None:
    """Return when it takes connections; fail when it ends before it does."""
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", nginx.port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"nginx does not listen: {(nginx.directory / 'output').read_text()}")


def write_certificate(directory: Path) -> None:
    """Write a certificate for localhost, signed by itself, and its key, under the names that certbot gives."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (directory / "fullchain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "privkey.pem").write_bytes(secret)


@contextmanager
def start_behind(
    nginx: Nginx, home: Path, program: str = "manage.py", umask: int = -1, **settings: str
) -> Iterator[Server]:
    """Run a server behind nginx. Its `url` is the public one, as is what it says of itself."""
    with start(home, program, umask, **nginx.settings, **settings) as server:
        assert server.url == nginx.url
        yield replace(server, trust=nginx.trust)


@dataclass(frozen=True)
class Site:
    """A server, and the nginx in front of it."""

    server: Server
    nginx: Nginx


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for the whole run. It answers one request at a time, lets an address fail as often as by default, was started
    with a umask that keeps nothing from anyone, and logs all it can, each line however often.
    """
    directory = tmp_path_factory.mktemp("site")
    settings = {"AISTER_BATCH": "1", "AISTER_ATTEMPTS": "", "AISTER_LOG_LEVEL": "DEBUG"}
    home = directory / "home"
    with run_nginx(directory / "nginx") as nginx, start_behind(nginx, home, TALKATIVE, umask=0, **settings) as server:
        server.wait_for(LOADED)
        yield Site(server, nginx)
