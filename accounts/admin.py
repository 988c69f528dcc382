"""Keys and tokens in the Django admin.

A new key is shown once, in the response to the form itself: it never touches a cookie, a session or a message. Keys are
revoked, never deleted. Tokens can be looked at only.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince

from accounts import usage_totals
from accounts.forms import ApiKeyForm, NewApiKeyForm
from accounts.models import ApiKey, Token

if TYPE_CHECKING:
    KeyModelAdmin = admin.ModelAdmin[ApiKey]
    TokenModelAdmin = admin.ModelAdmin[Token]
else:
    KeyModelAdmin = TokenModelAdmin = admin.ModelAdmin  # takes no parameters when it runs

LIMITS = (
    "Limits",
    {"classes": ["collapse"], "fields": ["models", "origins", "requests_per_minute", "max_sessions", "owner"]},
)
USE = ("Use", {"fields": ["created", "used_at", "requests", "tokens"]})
NEW_FIELDSETS = [(None, {"fields": ["public_id", "name", "tasks", "lifetime"]}), LIMITS]
FIELDSETS = [(None, {"fields": ["masked_id", "state_badge", "name", "tasks", "expires_at"]}), LIMITS, USE]
SCOPES = ["allowed_tasks", "allowed_models", "allowed_origins"]
REVOKED_FIELDSETS = [(None, {"fields": ["masked_id", "state_badge", "revoked", "owner_name", *SCOPES]}), USE]
EXAMPLES: dict[str, tuple[str, dict[str, Any]]] = {  # by task: where to, what
    "chat": ("v1/chat", {"messages": [{"role": "user", "text": "Hello!"}]}),
    "translation": ("v1/translate", {"text": "Good morning", "source": "auto", "target": "fr"}),
}


def listing(names: Sequence[str], none: str) -> str:
    """Return the names with commas, or what none of them means."""
    return ", ".join(names) or none


def ago(when: datetime | None) -> str | SafeString:
    """Return how long ago something was, with the exact time as its tooltip."""
    if when is None:
        return "never"
    return format_html('<time title="{}">{} ago</time>', f"{when:%Y-%m-%d %H:%M:%S} UTC", timesince(when, depth=1))


def moment(when: datetime | None) -> str | SafeString:
    """Return a date and time in UTC; in a list, the time is only its tooltip."""
    if when is None:
        return "never"
    exact = f"{when:%Y-%m-%d %H:%M:%S} UTC"
    return format_html(
        '<time title="{}">{}<span class="key-time"> {} UTC</span></time>', exact, f"{when:%Y-%m-%d}", f"{when:%H:%M}"
    )


def badge(state: str) -> SafeString:
    """Return a state as a word with a coloured dot before it."""
    return format_html('<span class="key-state key-state-{}">{}</span>', state, state.capitalize())


class StateFilter(admin.SimpleListFilter):
    """Keys that work, that are expired, that were revoked."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the states."""
        return [("active", "Active"), ("expired", "Expired"), ("revoked", "Revoked")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        """Keep the keys of the chosen state."""
        states = {"active": ApiKey.objects.active, "expired": ApiKey.objects.expired, "revoked": ApiKey.objects.revoked}
        state = states.get(self.value() or "")
        return queryset.filter(pk__in=state().values("pk")) if state else queryset


@admin.register(ApiKey)
class ApiKeyAdmin(KeyModelAdmin):
    """Make, list, change and revoke keys."""

    list_display = [
        "named",
        "owner",
        "state_badge",
        "last_used",
        "requests",
        "tokens",
        "created",
    ]
    list_filter = [StateFilter, ("owner", admin.RelatedOnlyFieldListFilter)]
    list_select_related = ["owner"]
    search_fields = ["name", "public_id"]
    search_help_text = "Find keys by name or id"
    actions = ["revoke_selected"]
    readonly_fields = [
        "masked_id",
        "state_badge",
        "owner_name",
        "created",
        "revoked",
        "used_at",
        "requests",
        "tokens",
        *SCOPES,
    ]
    form = ApiKeyForm

    class Media:
        css = {"all": ["accounts/states.css", "accounts/admin.css"]}
        js = ["accounts/admin.js"]

    @admin.display(description="name", ordering="name")
    def named(self, key: ApiKey) -> SafeString:
        """The name, and below it the key as it may be shown: one column, or the figures would not fit."""
        return format_html("{}<code>{}</code>", key.name, key.masked)

    @admin.display(description="key", ordering="public_id")
    def masked_id(self, key: ApiKey) -> SafeString:
        """The key as it may be shown."""
        return format_html("<code>{}</code>", key.masked)

    @admin.display(description="state", ordering="revoked_at")
    def state_badge(self, key: ApiKey) -> SafeString:
        """The state."""
        return badge(key.state)

    @admin.display(description="last used", ordering="last_used_at")
    def last_used(self, key: ApiKey) -> str | SafeString:
        """When it was last used."""
        return ago(key.last_used_at)

    @admin.display(description="last used")
    def used_at(self, key: ApiKey) -> str | SafeString:
        """When exactly it was last used."""
        return moment(key.last_used_at)

    @admin.display(description="owner")
    def owner_name(self, key: ApiKey) -> str:
        """Who answers for it."""
        return key.owner.get_username() if key.owner else "nobody"

    @admin.display(description="created", ordering="created_at")
    def created(self, key: ApiKey) -> str | SafeString:
        """When it was made."""
        return moment(key.created_at)

    @admin.display(description="revoked")
    def revoked(self, key: ApiKey) -> str | SafeString:
        """When it was revoked."""
        return moment(key.revoked_at)

    @admin.display(description="requests", ordering="requests_total")
    def requests(self, key: ApiKey) -> SafeString:
        """How many requests it made, and how many of them since midnight, UTC."""
        total, today = getattr(key, "requests_total", 0), getattr(key, "requests_today", 0)
        return format_html('{} <span class="key-today">{} today</span>', f"{total:,}", f"{today:,}")

    @admin.display(description="tokens", ordering="tokens_total")
    def tokens(self, key: ApiKey) -> str:
        """How many tokens went in and came out."""
        return f"{getattr(key, 'tokens_total', 0):,}"

    @admin.display(description="tasks")
    def allowed_tasks(self, key: ApiKey) -> str:
        """The tasks that it might use."""
        return listing(key.tasks, "all")

    @admin.display(description="models")
    def allowed_models(self, key: ApiKey) -> str:
        """The models that it might use."""
        return listing(key.models, "all")

    @admin.display(description="origins")
    def allowed_origins(self, key: ApiKey) -> str:
        """The pages that might use it."""
        return listing(key.origins, "any")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        """Keys with what they used, in one query."""
        return usage_totals.annotate(super().get_queryset(request))

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        """A new key asks for little; a revoked one can only be read."""
        if obj is None:
            return NEW_FIELDSETS
        return FIELDSETS if obj.revoked_at is None else REVOKED_FIELDSETS

    def get_form(self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any) -> Any:
        """Take the form for new keys where there is none yet. The owner is chosen from a list, not edited there."""
        if not change:
            kwargs["form"] = NewApiKeyForm
        form = super().get_form(request, obj, change, **kwargs)
        if "owner" in form.base_fields:
            for right in ("can_add_related", "can_change_related", "can_view_related", "can_delete_related"):
                setattr(form.base_fields["owner"].widget, right, False)
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> Any:
        """Who makes a key answers for it, unless they choose somebody else."""
        return {**super().get_changeform_initial_data(request), "owner": request.user.pk}

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        """A playground key stays its owner's."""
        return [*self.readonly_fields, "owner"] if obj is not None and obj.is_playground else self.readonly_fields

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Nobody deletes keys."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """A revoked key stays as it was."""
        return super().has_change_permission(request, obj) and (obj is None or obj.revoked_at is None)

    def get_urls(self) -> list[URLPattern]:
        """Add the page that revokes one key."""
        revoke = self.admin_site.admin_view(self.revoke_view)
        return [path("<int:key_id>/revoke/", revoke, name="accounts_apikey_revoke"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Call the list by its name."""
        return super().changelist_view(request, {"title": "API keys", **(extra_context or {})})

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Make a key, once for each form: one that is sent again, by reloading or otherwise, is told so."""
        if request.method == "POST" and self.has_add_permission(request):
            made = ApiKey.objects.filter(public_id=request.POST.get("public_id", "")).first()
            if made is not None:
                return self.page(request, "already_made.html", "This key was made before", {"key": made}, status=409)
        return super().add_view(request, form_url, {"title": "Make an API key", **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Change or look at one key."""
        context = {"show_save_and_add_another": False, "show_save_and_continue": False, **(extra_context or {})}
        return super().change_view(request, object_id, form_url, context)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """Save a key; a new one gets its secret."""
        if not change:
            obj.made_text = obj.make_secret()
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """Show the new key, here and never again."""
        context = {"key": obj, "text": obj.made_text, "curl": curl(request.build_absolute_uri("/"), obj)}
        response = self.page(request, "made.html", "Your new API key", context)
        response["Cache-Control"] = "no-store"
        return response

    def revoke_view(self, request: HttpRequest, key_id: int) -> HttpResponse:
        """Ask whether to revoke one key; then do, and go back to it."""
        key = ApiKey.objects.filter(pk=key_id).first()
        if key is None:
            raise Http404
        if not self.has_change_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return self.confirm(request, [key])
        self.revoke_each(request, [key])
        return HttpResponseRedirect(reverse("admin:accounts_apikey_change", args=[key.pk]))

    @admin.action(description="Revoke selected keys", permissions=["change"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        """Ask whether to revoke the ticked keys; then do."""
        if "confirmed" not in request.POST:
            return self.confirm(request, list(queryset))
        self.revoke_each(request, queryset)
        return None

    def confirm(self, request: HttpRequest, chosen: Sequence[ApiKey]) -> HttpResponse:
        """The page that says what revoking does."""
        open_keys = [key for key in chosen if key.revoked_at is None]
        title = "Revoke this API key?" if len(chosen) == 1 else "Revoke these API keys?"
        return self.page(request, "revoke.html", title, {"chosen": chosen, "open_keys": open_keys})

    def revoke_each(self, request: HttpRequest, chosen: Iterable[ApiKey]) -> None:
        """Revoke those that still can be; say and log what happened."""
        revoked = [key for key in chosen if key.revoke()]
        for key in revoked:
            self.log_change(request, key, "Revoked.")
        if revoked:
            names = ", ".join(f"“{key.name}”" for key in revoked)
            self.message_user(request, f"Revoked {names}. Sessions close within a second.", messages.SUCCESS)
        else:
            self.message_user(request, "Nothing to revoke: that was done before.", messages.WARNING)

    def page(
        self, request: HttpRequest, template: str, title: str, context: dict[str, Any], status: int = 200
    ) -> TemplateResponse:
        """Render one of our own pages in the admin's frame."""
        frame = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media, "title": title}
        return TemplateResponse(request, f"admin/accounts/apikey/{template}", {**frame, **context}, status=status)


@admin.register(Token)
class TokenAdmin(TokenModelAdmin):
    """Look at the tokens of the last day."""

    list_display = ["__str__", "key", "state_badge", "allowed_tasks", "allowed_origin", "expires"]
    list_select_related = ["key"]
    list_filter = [("key", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["public_id", "key__name"]
    fields = ["key", "state_badge", "allowed_tasks", "allowed_models", "allowed_origin", "created", "expires"]

    class Media:
        css = {"all": ["accounts/states.css", "accounts/admin.css"]}

    @admin.display(description="state", ordering="expires_at")
    def state_badge(self, token: Token) -> SafeString:
        """The state."""
        return badge(token.state)

    @admin.display(description="tasks")
    def allowed_tasks(self, token: Token) -> str:
        """The tasks that it may use."""
        return listing(token.tasks, "as its key")

    @admin.display(description="models")
    def allowed_models(self, token: Token) -> str:
        """The models that it may use."""
        return listing(token.models, "as its key")

    @admin.display(description="origin")
    def allowed_origin(self, token: Token) -> str:
        """The page that may use it."""
        return token.origin or "as its key"

    @admin.display(description="created", ordering="created_at")
    def created(self, token: Token) -> str | SafeString:
        """When it was minted."""
        return moment(token.created_at)

    @admin.display(description="expires", ordering="expires_at")
    def expires(self, token: Token) -> str | SafeString:
        """When it ends."""
        return moment(token.expires_at)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Call the list by its name."""
        return super().changelist_view(request, {"title": "Tokens", **(extra_context or {})})

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Tokens are minted by programs and pages."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Token | None = None) -> bool:
        """Tokens stay as they were minted."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Token | None = None) -> bool:
        """Expired tokens go by themselves."""
        return False


def curl(site_url: str, key: ApiKey) -> str:
    """Return a command that uses the key, for a task that it may."""
    task = "translation" if key.tasks and "chat" not in key.tasks else "chat"
    path, example = EXAMPLES[task]
    body = {"model": key.models[0], **example} if key.models else example
    return (
        f"curl {site_url}{path} \\\n"
        f"  -H 'Authorization: Bearer {key.made_text}' \\\n"
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d '{json.dumps(body)}'"
    )
