"""A database that can't be used: how to tell that from one that refuses a row, what clients hear of it, and the log.

Away, locked, full, hung or out of connections is all the same to who asks: try again shortly. The log says so once a
minute at most, however many ask. Any thread.
"""

import logging

from django.db import InterfaceError, InternalError, OperationalError

from aister_site.seldom import Seldom
from inference.errors import AisterError

log = logging.getLogger(__name__)

RETRY_AFTER_S = 5.0
READ_ONLY = "25006"  # PostgreSQL's, of a server that has become a replica
WHAT_TO_DO = "'manage.py doctor' says what to do."


def is_outage(fault: BaseException) -> bool:
    """Say whether the database could not be used, rather than refusing what it was given."""
    if isinstance(fault, InternalError):
        return getattr(fault.__cause__, "sqlstate", None) == READ_ONLY
    return isinstance(fault, OperationalError | InterfaceError)


def reason(fault: BaseException) -> str:
    """Return the first line of what the driver says of an outage: it quotes neither rows nor passwords."""
    return next(iter(str(fault).splitlines()), "") or type(fault).__name__


lines = Seldom()


def unavailable(fault: BaseException) -> AisterError | None:
    """Return what a client is told during an outage, and let the log say why; None for any other fault."""
    if not is_outage(fault):
        return None
    if lines.is_due():
        log.error("The database can't be used: %s. %s", reason(fault), WHAT_TO_DO)
    return AisterError("unavailable", retry_after_s=RETRY_AFTER_S)
