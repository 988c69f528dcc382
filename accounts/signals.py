"""Signals of this package. Sent after the transaction commits, on the thread that made the change."""

from django.dispatch import Signal

key_revoked = Signal()
"""A key was revoked in this process: `key_id` is its primary key. Other processes learn of it from
`accounts.revision`, and sooner from `accounts.announcements` where there is a Redis.
"""
