"""`manage.py doctor` as a process, in surroundings that are really broken; what can't be broken here, as functions."""

import re
import shutil
import socket
import sys
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from aister_site import crowd, doctor
from aister_site.configuration import Configuration
from aister_site.doctor import Finding
from aister_site.settings import channel_layers
from inference.apps import BUNDLED
from inference.catalog import Catalog, ModelEntry
from tests import live
from tests.live import ROOT
from tests.redis_server import PASSWORD, Redis

MB = 1024 * 1024
PREPARE = "from accounts import first_run; print(first_run.prepare())"
NOBODY = "from django.contrib.auth.models import User; User.objects.update(is_superuser=False)"


def examine(home: Path, **settings: str) -> tuple[int, list[Finding]]:
    """Run the doctor and return its exit code and what it found; what it says at the end must agree."""
    done = live.run(home, "doctor", **settings)
    assert not done.stderr
    *lines, empty, end = done.stdout.splitlines()
    findings = [Finding(*re.split(r"  +", line, maxsplit=2)) for line in lines]  # type: ignore[arg-type]
    counts = {level: sum(finding.level == level for finding in findings) for level in ("fault", "warning")}
    assert (empty, end) == ("", f"Faults: {counts['fault']}. Warnings: {counts['warning']}.")
    assert done.returncode == (1 if counts["fault"] else 0)
    return done.returncode, findings


def complaints(home: Path, **settings: str) -> list[Finding]:
    """Run the doctor and return what is not ok."""
    return [finding for finding in examine(home, **settings)[1] if finding.level != "ok"]


@pytest.fixture(scope="module")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A home as a first start leaves it, and its first key. Copied for each test."""
    home = tmp_path_factory.mktemp("doctor") / "home"
    live.run(home, "migrate").check_returncode()
    done = live.run(home, "shell", "-v0", "-c", PREPARE)
    return home, done.stdout.strip()


@pytest.fixture
def home(first_start: tuple[Path, str], tmp_path: Path) -> Path:
    """A home in good order."""
    return shutil.copytree(first_start[0], tmp_path / "home")


@pytest.fixture
def chat_model(tmp_path: Path) -> Path:
    """A copy of the bundled chat model, to break."""
    return shutil.copytree(BUNDLED / "aister-guide", tmp_path / "model")


# -- all is well ------------------------------------------------------------------------------------------------------


def test_what_is_in_order_is_said_to_be_and_the_documentation_names_every_check(home: Path) -> None:
    code, findings = examine(home, AISTER_MEMORY_MB="1")
    assert (code, {finding.level for finding in findings}) == (0, {"ok"})
    documented = (ROOT / "docs" / "operations.md").read_text().partition("\n| about |")[2].partition("\n\n")[0]
    subjects = re.findall(r"^\| (\w+) \|", documented, re.MULTILINE)
    assert list(dict.fromkeys(finding.subject for finding in findings)) == subjects


def test_nothing_secret_is_shown(first_start: tuple[Path, str], home: Path) -> None:
    first_key = first_start[1]
    assert first_key.startswith("aister_")
    shown = live.run(home, "doctor", AISTER_PASSWORD="hunter2").stdout
    assert "AISTER_PASSWORD is no setting." in shown
    assert not [
        secret for secret in ("hunter2", first_key, (home / "secret_key").read_text().strip()) if secret in shown
    ]


def test_a_new_home_has_warnings_only_for_the_first_start_mends_them(tmp_path: Path) -> None:
    (found,) = complaints(tmp_path / "home", AISTER_MEMORY_MB="1")
    assert (found.level, found.subject) == ("warning", "Database")
    assert re.fullmatch(r"\d+ migrations are missing. 'manage.py serve' applies them at its start.", found.text)


# -- HOST and PORT ----------------------------------------------------------------------------------------------------


def test_a_port_that_another_program_has_is_a_fault(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        text = f"Port {taken} is in use. Stop what uses it, or set PORT to another, such as {taken + 1}."
        assert Finding("fault", "Port", text) in complaints(home, PORT=str(taken))


def test_a_port_where_aister_itself_answers_is_none(live: live.Server, home: Path) -> None:
    port = urlsplit(live.url).port
    found = examine(live.home, PORT=str(port))[1]
    assert Finding("ok", "Port", f"Aister itself answers on 127.0.0.1, port {port}") in found


def test_aister_is_known_on_an_address_that_only_its_proxy_uses(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.2", 0))
        port = probe.getsockname()[1]
    behind = {"HOST": "127.0.0.2", "PORT": str(port), "AISTER_URL": "http://models.example.com"}
    with live.start(tmp_path / "home", **behind) as server:
        server.wait_for(live.LOADED)
        text = f"Aister itself answers on 127.0.0.2, port {port}"
        assert Finding("ok", "Port", text) in examine(server.home, **behind)[1]


def test_migrations_that_are_missing_are_a_fault_while_aister_runs(live: live.Server, tmp_path: Path) -> None:
    found = complaints(tmp_path / "home", PORT=str(urlsplit(live.url).port))
    faults = [(finding.subject, finding.text) for finding in found if finding.level == "fault"]
    assert [subject for subject, _ in faults] == ["Database"]
    assert faults[0][1].endswith(" migrations are missing while Aister runs. Start it anew.")


@pytest.mark.parametrize("host", ["192.0.2.1", "[", "a" * 70])
def test_a_host_that_is_not_ours_or_no_name_is_a_fault(host: str, home: Path) -> None:
    (found,) = (finding for finding in complaints(home, HOST=host) if finding.subject == "Port")
    assert found.level == "fault"
    assert found.text.endswith("Try HOST=127.0.0.1.")


# -- settings and permissions -----------------------------------------------------------------------------------------


def test_https_without_trusted_proxies_is_a_warning(home: Path) -> None:
    text = (
        "AISTER_URL is https, so a proxy stands in front, but AISTER_TRUSTED_PROXIES is 0: failed attempts of "
        "everybody count together. Set it to the number of proxies."
    )
    url = "https://models.example.com"
    assert Finding("warning", "Settings", text) in complaints(home, AISTER_URL=url)
    found = complaints(home, AISTER_URL=url, AISTER_TRUSTED_PROXIES="1")
    assert "Settings" not in {finding.subject for finding in found}


def test_a_misspelt_setting_is_a_warning_with_the_nearest_name(home: Path) -> None:
    text = "AISTER_MEMROY_MB is no setting. Did you mean AISTER_MEMORY_MB?"
    assert Finding("warning", "Settings", text) in complaints(home, AISTER_MEMROY_MB="100")


def test_secrets_that_others_can_read_are_faults(home: Path) -> None:
    (home / "first_key").touch(0o600)
    for name in ("secret_key", "first_key"):
        (home / name).chmod(0o640)
    home.chmod(0o755)
    assert [finding for finding in complaints(home) if finding.subject == "Home"] == [
        Finding("fault", "Home", f"Others can read secret_key. Run: chmod 600 {home}/secret_key"),
        Finding("fault", "Home", f"Others can read first_key. Run: chmod 600 {home}/first_key"),
        Finding("warning", "Home", f"Every user of this machine can look into it. Run: chmod 700 {home}"),
    ]


# -- the database, people and keys ------------------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_a_fault(home: Path) -> None:
    file = home / "aister.sqlite3"
    file.write_bytes(b"no database " * 1000)
    text = f"It is damaged: file is not a database. Stop Aister and put a backup in the place of {file}."
    assert Finding("fault", "Database", text) in complaints(home)


def test_a_database_with_a_damaged_page_is_a_fault(home: Path) -> None:
    file = home / "aister.sqlite3"
    with file.open("r+b") as opened:
        opened.seek(-4096 * 10, 2)
        opened.write(b"\xff" * 4096 * 10)
    (found,) = (finding for finding in complaints(home) if finding.subject == "Database")
    assert found.level == "fault"
    assert found.text.startswith("It is damaged: ")


def test_a_database_server_that_is_not_there_is_a_fault_without_its_password(home: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        address = f"postgres://user:hunter2@127.0.0.1:{closed.getsockname()[1]}/name"
        found = [finding for finding in complaints(home, DATABASE_URL=address) if finding.subject == "Database"]
    assert [finding.level for finding in found] == ["fault"]
    assert found[0].text.endswith("Check DATABASE_URL, and that its server runs.")
    assert "hunter2" not in found[0].text


def test_nobody_who_can_use_the_admin_is_a_fault_and_no_active_key_a_warning(home: Path) -> None:
    live.run(home, "shell", "-v0", "-c", NOBODY).check_returncode()
    public_id = live.run(home, "keys", "list").stdout.split("aister_")[1][:10]
    live.run(home, "keys", "revoke", public_id).check_returncode()
    assert [finding for finding in complaints(home) if finding.subject in ("Administrator", "Keys")] == [
        Finding("fault", "Administrator", "Nobody is one. Run: manage.py createsuperuser"),
        Finding("warning", "Keys", "No key is active, so no program gets in. Run: manage.py keys create NAME"),
    ]


def test_a_database_that_nobody_has_used_yet_needs_its_first_start(tmp_path: Path) -> None:
    live.run(tmp_path, "migrate").check_returncode()
    text = "There is none yet. 'manage.py serve' makes one at its start."
    assert Finding("warning", "Administrator", text) in complaints(tmp_path)


# -- Redis ------------------------------------------------------------------------------------------------------------


def redis_found(url: str, settings: Any) -> Finding:
    """Return what the doctor finds of a Redis."""
    settings.CHANNEL_LAYERS = channel_layers(url)
    return doctor.redis(Configuration({"REDIS_URL": url}))


def test_a_redis_that_answers_is_in_order(redis: Redis, settings: Any) -> None:
    assert redis_found(redis.url(), settings) == Finding("ok", "Redis", "answers")


@pytest.mark.parametrize("trouble", ["ConnectionError", "TimeoutError", "AuthenticationError"])
def test_a_redis_that_does_not_answer_is_a_warning(trouble: str, absent_redis: Redis, settings: Any) -> None:
    if trouble != "ConnectionError":
        absent_redis.start()
    if trouble == "TimeoutError":
        absent_redis.freeze()
    password = "swordfish" if trouble == "AuthenticationError" else PASSWORD
    text = (
        f"It does not answer ({trouble}), so keys revoked elsewhere are noticed later. "
        "Check REDIS_URL, and that its server runs."
    )
    assert redis_found(absent_redis.url(password), settings) == Finding("warning", "Redis", text)


# -- models -----------------------------------------------------------------------------------------------------------


def test_a_directory_without_weights_and_tokenizer_is_a_fault(home: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_text("{}")
    text = f"bare: {bare} lacks weights (*.safetensors) and a tokenizer. Copy the model anew."
    assert Finding("fault", "Models", text) in complaints(home, AISTER_CHAT_MODEL=str(bare))


def test_weights_that_were_cut_off_are_a_fault(home: Path, chat_model: Path) -> None:
    weights = chat_model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    text = f"aister-guide: {chat_model} lacks a whole model.safetensors. Copy the model anew."
    assert Finding("fault", "Models", text) in complaints(home, AISTER_CHAT_MODEL=str(chat_model))


def test_a_pointer_in_the_place_of_weights_is_not_whole(chat_model: Path) -> None:
    (chat_model / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    assert doctor.lacking(chat_model) == ["a whole model.safetensors"]


def test_a_part_that_only_the_index_names_is_missed(chat_model: Path) -> None:
    index = '{"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}'
    (chat_model / "model.safetensors.index.json").write_text(index)
    assert doctor.lacking(chat_model) == ["a whole model-00002-of-00002.safetensors"]


def test_a_broken_model_that_is_no_default_is_a_warning(chat_model: Path) -> None:
    (chat_model / "tokenizer.json").unlink()
    entries = [
        ModelEntry(id="guide", task="chat", source=str(BUNDLED / "aister-guide"), is_default=True),
        ModelEntry(id="other", task="chat", source=str(chat_model)),
    ]
    text = f"other: {chat_model} lacks a tokenizer. Copy the model anew."
    found = list(doctor.models(Catalog(entries)))
    assert found[0] == Finding(
        "fault", "Models", "None for translation. Set AISTER_TRANSLATION_MODEL, or restore inference/bundled."
    )
    assert [finding.level for finding in found] == ["fault", "ok", "warning"]
    assert found[2].text == text


def test_a_hub_s_model_is_downloaded_or_will_be_or_can_t_be(home: Path, chat_model: Path) -> None:
    cache = home / "models"
    text = f"org/name is not in {cache} yet. It will be downloaded at first use: the hub must be reachable then."
    assert Finding("warning", "Models", text) in complaints(home, AISTER_CHAT_MODEL="org/name")
    text = f"org/name is not in {cache}, and HF_HUB_OFFLINE keeps it from being downloaded. Unset that once."
    found = complaints(home, AISTER_CHAT_MODEL="org/name", HF_HUB_OFFLINE="1")
    assert Finding("fault", "Models", text) in found

    kept = cache / "models--org--name"
    shutil.copytree(chat_model, kept / "snapshots" / "c0ffee")
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("c0ffee")
    found = examine(home, AISTER_CHAT_MODEL="org/name", HF_HUB_OFFLINE="1")[1]
    assert Finding("ok", "Models", "org/name, for chat: downloaded before") in found


# -- the machine ------------------------------------------------------------------------------------------------------


def test_an_old_python_is_a_fault() -> None:
    assert doctor.python((3, 11)).level == "ok"
    text = "3.9 is too old. Make .venv anew with 3.11 or newer."
    assert doctor.python((3, 9)) == Finding("fault", "Python", text)


def test_a_package_that_is_missing_is_a_fault_and_of_another_version_a_warning() -> None:
    what_to_do = f"Run: {sys.executable} -m pip install -r requirements.txt"
    django = metadata.version("django")
    here = f"# pinned\ndjango=={django}\npsycopg[binary,pool]==1.0\n"
    text = f"Not as pinned: psycopg {metadata.version('psycopg')} instead of 1.0. {what_to_do}"
    assert doctor.packages(here) == Finding("warning", "Packages", text)
    found = doctor.packages(f"{here}no-such-package-of-aister==1.0")
    assert found == Finding("fault", "Packages", f"Not installed: no-such-package-of-aister. {what_to_do}")


def test_a_full_disk_is_a_fault_and_little_space_a_warning(tmp_path: Path) -> None:
    levels = [doctor.disk(tmp_path, free_mb * MB).level for free_mb in (99, 100, 1023, 1024)]
    assert levels == ["fault", "warning", "warning", "ok"]
    what_to_do = "Free some space, or set AISTER_HOME to a larger disk."
    text = f"99 MB free in {tmp_path}: usage can't be kept for long. {what_to_do}"
    assert doctor.disk(tmp_path, 99 * MB).text == text


def test_a_budget_that_memory_does_not_hold_is_a_warning(home: Path) -> None:
    (found,) = (finding for finding in complaints(home, AISTER_MEMORY_MB="999999999") if finding.subject == "Memory")
    assert found.level == "warning"
    assert re.search(r"^[\d,]+ MB for a budget of 999,999,999 MB\. Set AISTER_MEMORY_MB to \d+ or less", found.text)
    assert doctor.memory(8192, None).level == "ok"


def test_fewer_files_than_sessions_need_are_a_warning() -> None:
    needed = crowd.files_needed(4_096)
    assert doctor.files(4_096, needed).level == "ok"
    found = doctor.files(4_096, needed - 96)
    assert found.level == "warning"
    what_to_do = "Raise it (LimitNOFILE, ulimit -Hn), or set AISTER_SESSIONS to 4000."
    assert found.text == f"{needed - 96:,} may be open: too few for 4,096 sessions. {what_to_do}"
