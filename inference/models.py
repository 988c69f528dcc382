"""The usage ledger's rows. They hold values of ours only: no text of a client's."""

from django.db.models import (
    PROTECT,
    CharField,
    DateTimeField,
    FloatField,
    ForeignKey,
    Index,
    Model,
    PositiveIntegerField,
)


class UsageRecord(Model):
    """One request that was answered: whose it was, what it cost, how it ended. Written once, never changed."""

    request_id = CharField(max_length=40, unique=True)
    key = ForeignKey("accounts.ApiKey", related_name="usage", on_delete=PROTECT)
    task = CharField(max_length=32)
    model = CharField(max_length=200)
    transport = CharField(max_length=16, choices=[("websocket", "WebSocket"), ("http", "HTTP")])
    status = CharField(
        max_length=16, choices=[("completed", "completed"), ("cancelled", "cancelled"), ("failed", "failed")]
    )
    error_code = CharField(max_length=40, blank=True)
    input_tokens = PositiveIntegerField(default=0)
    cached_tokens = PositiveIntegerField(default=0)
    output_tokens = PositiveIntegerField(default=0)
    started_at = DateTimeField(db_index=True)
    queue_ms = FloatField(default=0)
    first_token_ms = FloatField(null=True)
    total_ms = FloatField(default=0)

    class Meta:
        ordering = ["-started_at", "-id"]
        indexes = [Index(fields=["key", "started_at"]), Index(fields=["model", "started_at"])]
        verbose_name = "usage record"
        verbose_name_plural = "usage"

    def __str__(self) -> str:
        return self.request_id
