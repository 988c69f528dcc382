"""The usage ledger in the Django admin: to look at and take along, never to change.

Two pages over one set of filters: the requests, and what each key used; both also as CSV.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ALL_VAR, ORDER_VAR, SEARCH_VAR, ChangeList
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.models import ApiKey
from inference import usage_export, usage_summary
from inference.models import UsageRecord
from inference.usage_filters import FromFilter, KeyFilter, ModelFilter, PeriodFilter, StatusFilter, TaskFilter, ToFilter

if TYPE_CHECKING:
    UsageModelAdmin = admin.ModelAdmin[UsageRecord]
else:
    UsageModelAdmin = admin.ModelAdmin  # takes no parameters when it runs

MOST_KEYS = 500
FIELDSETS: Any = [
    (None, {"fields": ["request_id", "when", "key", "task", "model", "transport", "state", "error_code"]}),
    ("Tokens", {"fields": ["tokens_in", "tokens_cached", "tokens_out"]}),
    ("Time", {"fields": ["queued", "first_token", "total"]}),
]


def milliseconds(value: float | None) -> str:
    """Return a time in figures that can be compared at a glance; a dash where there was none."""
    if value is None:
        return "–"  # noqa: RUF001  # a dash is meant
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


class UsageChangeList(ChangeList):
    """The filtered rows and what they add up to. Figures are worked out only where a page shows them."""

    def get_filters_params(self, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Leave out the filters that were sent empty: a form sends all of its controls."""
        return {name: values for name, values in super().get_filters_params(params).items() if any(values)}

    def get_query_string(self, new_params: dict[str, Any] | None = None, remove: Iterable[str] | None = None) -> str:
        """Return the query of a page of this list, without what is empty."""
        empty = {name: None for name, values in self.filter_params.items() if not any(values)}
        return super().get_query_string({**empty, **(new_params or {})}, remove)

    @cached_property
    def totals(self) -> usage_summary.Totals:
        """The sum of all filtered rows."""
        return usage_summary.total(self.queryset)

    @cached_property
    def by_key(self) -> list[usage_summary.KeyTotals]:
        """The sum for each key."""
        return usage_summary.total_by_key(self.queryset)

    @property
    def figures(self) -> list[tuple[str, str, str]]:
        """The sum of all filtered rows as titles, figures and notes to them."""
        totals = self.totals
        return [
            ("Requests", f"{totals.requests:,}", ""),
            ("Errors", f"{totals.errors:,}", f"{totals.error_percent:.1f}%"),
            ("Input tokens", f"{totals.input_tokens:,}", ""),
            ("of them cached", f"{totals.cached_tokens:,}", f"{totals.cached_percent:.1f}%"),
            ("Output tokens", f"{totals.output_tokens:,}", ""),
        ]

    @property
    def top_keys(self) -> list[tuple[ApiKey, str, list[str]]]:
        """The keys that used most: each key, the query that finds its requests, its figures."""
        return [
            (each.key, self.get_query_string({"key": each.key.pk}), [f"{figure:,}" for figure in each.totals.figures])
            for each in self.by_key[:MOST_KEYS]
        ]

    @cached_property
    def is_ledger_empty(self) -> bool:
        """Whether there is nothing at all yet, rather than nothing that the filters let through."""
        return not self.result_count and not UsageRecord.objects.exists()

    @property
    def query_string(self) -> str:
        """The filters and the search, for another page over the same rows."""
        return self.get_query_string({ORDER_VAR: None, ALL_VAR: None})


@admin.register(UsageRecord)
class UsageRecordAdmin(UsageModelAdmin):
    """Look at the ledger."""

    list_display = [
        "when",
        "key",
        "model_and_task",
        "state_and_error",
        "tokens_in",
        "tokens_cached",
        "tokens_out",
        "first_token",
        "total",
        "request",
    ]
    list_display_links = ["request"]
    list_filter = [PeriodFilter, FromFilter, ToFilter, KeyFilter, TaskFilter, ModelFilter, StatusFilter]
    search_fields = ["request_id__exact"]  # the index finds it; a part of one would read the whole table
    list_per_page = 100
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # the totals of each key say more, and cost less
    actions = None
    fieldsets = FIELDSETS

    class Media:
        css = {"all": ["accounts/states.css", "inference/admin.css"]}

    # -- what is shown ------------------------------------------------------------------------------------------------

    @admin.display(description="when (UTC)", ordering="started_at")
    def when(self, record: UsageRecord) -> SafeString:
        """When the request was received."""
        return format_html("<time>{} {}</time>", f"{record.started_at:%Y-%m-%d}", f"{record.started_at:%H:%M:%S}")

    @admin.display(description="model", ordering="model")
    def model_and_task(self, record: UsageRecord) -> SafeString:
        """The model, and below it the task: columns of their own would not fit."""
        return format_html("{}<small>{}</small>", record.model, record.task)

    @admin.display(description="status", ordering="status")
    def state(self, record: UsageRecord) -> SafeString:
        """How it ended, as a word with a coloured dot before it."""
        return format_html(
            '<span class="usage-status usage-status-{}">{}</span>', record.status, record.status.capitalize()
        )

    @admin.display(description="status", ordering="status")
    def state_and_error(self, record: UsageRecord) -> SafeString:
        """How it ended, and below it why it failed."""
        error = format_html("<code>{}</code>", record.error_code) if record.error_code else ""
        return format_html("{}{}", self.state(record), error)

    @admin.display(description="input", ordering="input_tokens")
    def tokens_in(self, record: UsageRecord) -> str:
        """Tokens in."""
        return f"{record.input_tokens:,}"

    @admin.display(description="cached", ordering="cached_tokens")
    def tokens_cached(self, record: UsageRecord) -> str:
        """Those of them that the model still knew."""
        return f"{record.cached_tokens:,}"

    @admin.display(description="output", ordering="output_tokens")
    def tokens_out(self, record: UsageRecord) -> str:
        """Tokens out."""
        return f"{record.output_tokens:,}"

    @admin.display(description="queued, ms", ordering="queue_ms")
    def queued(self, record: UsageRecord) -> str:
        """How long it waited for its turn."""
        return milliseconds(record.queue_ms)

    @admin.display(description="first token, ms", ordering="first_token_ms")
    def first_token(self, record: UsageRecord) -> str:
        """How long until its first token."""
        return milliseconds(record.first_token_ms)

    @admin.display(description="total, ms", ordering="total_ms")
    def total(self, record: UsageRecord) -> str:
        """How long it took."""
        return milliseconds(record.total_ms)

    @admin.display(description="request")
    def request(self, record: UsageRecord) -> SafeString:
        """The request's id, and below it what it came by."""
        return format_html("<code>{}</code><small>{}</small>", record.request_id, record.get_transport_display())

    # -- who may what -------------------------------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only the ledger writes rows."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: UsageRecord | None = None) -> bool:
        """Nobody changes rows."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: UsageRecord | None = None) -> bool:
        """Nobody deletes rows."""
        return False

    # -- pages --------------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Add the page of keys and the downloads."""
        pages = {"keys": self.keys_view, "csv": self.csv_view, "keys/csv": self.keys_csv_view}
        own = [
            path(f"{page}/", self.admin_site.admin_view(view), name=f"inference_usagerecord_{page.replace('/', '_')}")
            for page, view in pages.items()
        ]
        return [*own, *super().get_urls()]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Take the list that adds up."""
        return UsageChangeList

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """List the requests."""
        api_url = request.build_absolute_uri("/v1/chat")
        return super().changelist_view(request, {"title": "Usage", "api_url": api_url, **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show one request."""
        return super().change_view(request, object_id, form_url, {"title": "Request", **(extra_context or {})})

    def keys_view(self, request: HttpRequest) -> HttpResponse:
        """List what each key used, under the same filters."""
        return self.changelist_view(request, {"shows_keys": True, "most_keys": MOST_KEYS})

    def csv_view(self, request: HttpRequest) -> HttpResponseBase:
        """Download the requests."""
        changes = self.filtered(request)
        return refusal() if changes is None else usage_export.requests_response(changes.queryset, timezone.now())

    def keys_csv_view(self, request: HttpRequest) -> HttpResponseBase:
        """Download what each key used."""
        changes = self.filtered(request)
        return refusal() if changes is None else usage_export.keys_response(changes.by_key, timezone.now())

    def filtered(self, request: HttpRequest) -> UsageChangeList | None:
        """Return the rows that the address asks for, None when it makes no sense; raise PermissionDenied."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            changes = cast(UsageChangeList, self.get_changelist_instance(request))
        except IncorrectLookupParameters:
            return None
        return changes if changes.query == request.GET.get(SEARCH_VAR, "") else None  # the list drops what it refuses


def refusal() -> HttpResponse:
    """What a download with unknown filters gets: never all rows instead."""
    text = "This address has filters that the usage list does not know. Choose them in the list, and download there.\n"
    return HttpResponse(text, status=400, content_type="text/plain; charset=utf-8")
