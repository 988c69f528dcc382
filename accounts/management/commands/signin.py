"""`manage.py signin [USERNAME]`: print a link that signs a person in, once, within 10 minutes."""

from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import first_run, sign_in


class Command(BaseCommand):
    """Print a sign-in link."""

    help = "Print a link that signs a person in, once, within 10 minutes."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare whom the link is for, and where the server is."""
        parser.add_argument("username", nargs="?", help="Whom to sign in; the first administrator when left out.")
        parser.add_argument(
            "--url", default="", help="The server's address, when it is not what AISTER_URL, HOST and PORT say."
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Issue a code and print its link."""
        user = find_user(options["username"])
        url = options["url"] or sign_in.site_url()
        if not url:
            raise CommandError(
                "PORT is 0, so the server's address is not known. Give it: --url http://127.0.0.1:<port>", returncode=2
            )
        self.stdout.write(sign_in.link(url, sign_in.issue(user)))
        self.stdout.write(f"Signs in {user.get_username()}, once, within 10 minutes.")


def find_user(username: str | None) -> User:
    """Return whom the link is for; raise CommandError when there is no such user, or they may not sign in."""
    if username is None:
        user = first_run.administrator()
        if user is None:
            raise CommandError(
                "There is no administrator yet. Start the server once, or run 'python manage.py createsuperuser'."
            )
        return user
    user = User.objects.filter(username=username).first()
    if user is None:
        raise CommandError(f"There is no user {username!r:.40}.", returncode=2)
    if not user.is_active:
        raise CommandError(f"The user {username!r:.40} is not active.", returncode=2)
    return user
