"""`manage.py keys create|list|revoke`: API keys from a terminal. Bad input ends with one line and exit status 2."""

import re
from argparse import _SubParsersAction
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts import announcements, scopes
from accounts.models import ApiKey

UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
MADE = """{key}

This key is shown only now. Programs send it as 'Authorization: Bearer <key>'.
To take it back: python manage.py keys revoke {public_id}"""
NO_KEYS = "No keys yet. Make one: python manage.py keys create NAME"


class Command(BaseCommand):
    """Make, list and revoke API keys."""

    help = "Make, list and revoke API keys."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the three subcommands."""
        commands = parser.add_subparsers(dest="command", required=True, metavar="create|list|revoke")
        add_create(commands)
        commands.add_parser("list", help="Show all keys: state and last use, no secrets.")
        revoke = commands.add_parser("revoke", help="Revoke a key for good; its sessions close.")
        revoke.add_argument("id", metavar="ID", help="The key's id, as 'keys list' shows it.")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run one subcommand."""
        {"create": self.create, "list": self.list, "revoke": self.revoke}[options["command"]](options)

    def create(self, options: dict[str, Any]) -> None:
        """Make a key and print it, once."""
        key = read_key(options)
        text = key.make_secret()
        key.save()
        self.stdout.write(text if options["quiet"] else MADE.format(key=text, public_id=key.public_id))

    def list(self, _options: dict[str, Any]) -> None:
        """Print a table of all keys, newest first."""
        rows = [
            (key.masked, key.name, key.state, moment(key.last_used_at), key.owner.get_username() if key.owner else "-")
            for key in ApiKey.objects.select_related("owner")
        ]
        lines = table([("KEY", "NAME", "STATE", "LAST USED (UTC)", "OWNER"), *rows]) if rows else [NO_KEYS]
        self.stdout.write("\n".join(lines))

    def revoke(self, options: dict[str, Any]) -> None:
        """Revoke one key, named by its id or masked text."""
        key = find_key(options["id"])
        if key.revoke():
            announcements.announcer.wait()
            self.stdout.write(f"Revoked {key.masked} ({key.name}). Its sessions close within a second.")
        else:
            self.stdout.write(f"{key.masked} ({key.name}) was revoked before, at {moment(key.revoked_at)} UTC.")


def add_create(commands: "_SubParsersAction[CommandParser]") -> None:
    """Declare what `keys create` takes."""
    parser = commands.add_parser("create", help="Make a key and print it, once.")
    parser.add_argument("name", metavar="NAME", help="What uses it, such as 'Support page'.")
    parser.add_argument("--tasks", default="", metavar="chat,translation", help="Tasks it may use; all when left out.")
    parser.add_argument("--models", default="", metavar="A,B", help="Models it may use; all when left out.")
    parser.add_argument(
        "--origins", default="", metavar="URL,URL", help="Web pages that may use it; any when left out."
    )
    parser.add_argument(
        "--expires", metavar="90d", help="Hours (h), days (d) or weeks (w) until it ends; never when left out."
    )
    parser.add_argument("--requests-per-minute", type=int, metavar="N", help="No limit when left out.")
    parser.add_argument("--owner", metavar="USERNAME", help="Who answers for it.")
    parser.add_argument("--quiet", action="store_true", help="Print nothing but the key.")


def read_key(options: dict[str, Any]) -> ApiKey:
    """Return the key that the options describe, checked and not yet saved; raise CommandError for what can't be."""
    key = ApiKey(
        name=options["name"],
        owner=read_owner(options["owner"]),
        tasks=read_names("--tasks", scopes.read_tasks, options["tasks"]),
        models=read_names("--models", scopes.read_models, options["models"]),
        origins=read_names("--origins", scopes.read_origins, options["origins"]),
        expires_at=read_end(options["expires"]),
        requests_per_minute=options["requests_per_minute"],
    )
    try:
        key.full_clean()
    except ValidationError as error:
        raise wrong("; ".join(f"{field}: {' '.join(texts)}" for field, texts in error.message_dict.items())) from None
    return key


def read_names(option: str, read: Any, text: str) -> list[str]:
    """Return the names between the commas."""
    try:
        names: list[str] = read(name.strip() for name in text.split(",") if name.strip())
    except ValueError as error:
        raise wrong(f"{option}: {error}") from None
    return names


def read_end(text: str | None) -> datetime | None:
    """Return when a key made now ends, from such as `90d`."""
    if text is None:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,4})([hdw])", text, re.ASCII)
    if match is None:
        raise wrong(f"--expires: {text!r:.40} is no time span. Write 12h, 90d or 52w.")
    return timezone.now() + int(match[1]) * UNITS[match[2]]


def read_owner(username: str | None) -> User | None:
    """Return the user of this name."""
    if username is None:
        return None
    owner = User.objects.filter(username=username).first()
    if owner is None:
        raise wrong(f"--owner: there is no user {username!r:.40}.")
    return owner


def find_key(text: str) -> ApiKey:
    """Return the key of an id. Who pastes a whole key, say a leaked one, means its id; the rest is never repeated."""
    match = re.fullmatch(r"(?:aister_)?([0-9A-Za-z]{10})(?:_.*)?", text.strip(), re.ASCII)
    key = ApiKey.objects.filter(public_id=match[1]).first() if match else None
    if key is None:
        raise wrong("There is no such key. 'python manage.py keys list' shows the ids.")
    return key


def wrong(message: str) -> CommandError:
    """The error for bad input."""
    return CommandError(message, returncode=2)


def moment(when: datetime | None) -> str:
    """Return a date and time to the minute."""
    return when.strftime("%Y-%m-%d %H:%M") if when else "never"


def table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the rows as lines with aligned columns."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
