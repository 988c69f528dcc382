"""What a new database needs before anyone can use it: an administrator and a first key. Called once when the server
starts.
"""

from django.contrib.auth.models import User
from django.db import transaction

from accounts.models import ApiKey

ADMINISTRATOR = "admin"
FIRST_KEY = "First key"


def prepare() -> str | None:
    """Make an administrator if there are no users, and a key if there are no keys; return the text of the key, only
    this once.

    The administrator has no password: a sign-in link lets them in, and a password can then be set in the admin.
    """
    with transaction.atomic():
        if not User.objects.exists():
            User.objects.create_superuser(ADMINISTRATOR)
        if ApiKey.objects.filter(is_playground=False).exists():
            return None
        key = ApiKey(name=FIRST_KEY, owner=administrator())
        text = key.make_secret()
        key.save()
        return text


def administrator() -> User | None:
    """Return the first active superuser, whom sign-in links are for unless another is named."""
    return User.objects.filter(is_superuser=True, is_active=True).order_by("pk").first()
