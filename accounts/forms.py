"""The forms of the admin: signing in, and keys, whose lists are written as text or ticked, and lifetimes chosen."""

import re
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.utils import timezone

from accounts import addresses, keys, scopes, throttling
from accounts.errors import AccountError
from accounts.models import ApiKey

if TYPE_CHECKING:
    KeyModelForm = forms.ModelForm[ApiKey]
else:
    KeyModelForm = forms.ModelForm  # takes no parameters when it runs

LIFETIMES = [("", "Never"), ("30", "In 30 days"), ("90", "In 90 days"), ("365", "In a year")]


class SignInForm(AdminAuthenticationForm):
    """Sign in to the admin with a password, not too often in vain."""

    def clean(self) -> dict[str, Any]:
        """Look at the password, where there is one; raise ValidationError when it is wrong or not even looked at."""
        if self.request is None or not all(self.cleaned_data.get(name) for name in ("username", "password")):
            return super().clean()
        try:
            with throttling.passwords.watch(addresses.of_request(self.request)):
                return super().clean()
        except AccountError as error:
            raise forms.ValidationError(throttling.words(error), code=error.code) from None


class NamesField(forms.CharField):
    """A list of names, written with commas, spaces or line breaks between them."""

    def __init__(self, read: Callable[[Iterable[str]], list[str]], **kwargs: Any) -> None:
        super().__init__(
            required=False, widget=forms.Textarea(attrs={"rows": 2, "cols": 60, "spellcheck": "false"}), **kwargs
        )
        self.read = read

    def prepare_value(self, value: Any) -> Any:
        """Return the list as text, one name a line; text that was posted as it is."""
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """Return the names as a list; raise ValidationError for one that can't be."""
        try:
            return self.read(name for name in re.split(r"[\s,]+", value or "") if name)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Say whether the text means another list."""
        try:
            return bool(self.to_python(data) != (initial or []))
        except forms.ValidationError:
            return True


class ApiKeyForm(KeyModelForm):
    """Change a key: its name, its scopes, its limits."""

    tasks = forms.MultipleChoiceField(
        choices=[(task, task.capitalize()) for task in scopes.TASKS],
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text="None ticked: all.",
    )
    models = NamesField(scopes.read_models, help_text="Names, one a line, such as aister-guide. Empty: all.")
    origins = NamesField(
        scopes.read_origins,
        help_text="Web pages that may use it, one a line, such as https://app.example.com. Empty: any.",
    )

    class Meta:
        model = ApiKey
        fields = ["name", "owner", "tasks", "models", "origins", "expires_at", "requests_per_minute", "max_sessions"]


class NewApiKeyForm(ApiKeyForm):
    """Make a key. The form carries the new key's id, so that sending it twice can't make two."""

    lifetime = forms.ChoiceField(label="Expires", choices=LIFETIMES, required=False)
    public_id = forms.RegexField(keys.PUBLIC_ID, initial=keys.new_public_id, widget=forms.HiddenInput)

    class Meta(ApiKeyForm.Meta):
        fields = ["public_id", "name", "owner", "tasks", "models", "origins", "requests_per_minute", "max_sessions"]

    def clean(self) -> dict[str, Any]:
        """Turn the lifetime into the key's end."""
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("lifetime"):
            self.instance.expires_at = timezone.now() + timedelta(days=int(cleaned["lifetime"]))
        return cleaned
