"""From a frame or a body to an event, and from an event to a frame."""

import re
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from inference.errors import AisterError
from inference.protocol.client_events import ClientEvent
from inference.protocol.fields import MAX_FRAME_BYTES
from inference.protocol.server_events import ErrorBody

T = TypeVar("T")


class EventError(AisterError):
    """An error about one client event; `event_id` is its id, or None when that could not be read."""

    def __init__(self, error: AisterError, event_id: str | None) -> None:
        super().__init__(error.code, error.message, param=error.param, retry_after_s=error.retry_after_s)
        self.event_id = event_id


class Envelope(Struct, frozen=True):
    """The two fields that every client event has, of whatever type."""

    type: Any = None
    id: Any = None


class Parser:
    """Parses the frames of one kind of session; made once for each task, used by all its sessions."""

    def __init__(self, events: Iterable[type[ClientEvent]]) -> None:
        self.decoders = {str(event.__struct_config__.tag): msgspec.json.Decoder(event) for event in events}

    def parse(self, frame: str | bytes) -> ClientEvent:
        """Return the event in `frame`.

        Raise EventError (frame_too_large, invalid_json, invalid_field, unknown_type).
        """
        data = frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame
        if len(data) > MAX_FRAME_BYTES:
            raise EventError(too_large(), None)
        envelope = decode(ENVELOPE, data, None)
        event_id = readable_id(envelope.id)
        if not isinstance(envelope.type, str) or envelope.type not in self.decoders:
            raise EventError(self.unknown_type(envelope.type), event_id)
        return decode(self.decoders[envelope.type], data, event_id)

    def unknown_type(self, name: object) -> AisterError:
        """The error for an event that is not of this task."""
        known = ", ".join(self.decoders)
        if not isinstance(name, str):
            return AisterError("unknown_type", f"The event has no type. Events here: {known}.", param="type")
        return AisterError("unknown_type", f"No event {name[:64]!r} here. Events here: {known}.", param="type")


ENVELOPE = msgspec.json.Decoder(Envelope)
EVENT_ID = re.compile(r"[A-Za-z0-9_.:\-]{1,64}")
# msgspec names a wrong field by its path, a missing or unknown one in back quotes
FIELD = re.compile(r"(?:missing required|unknown) field `([^`]*)`")
PATH = re.compile(r" - at `\$\.?([^`]*)`$")


def readable_id(value: object) -> str | None:
    """Return the id when it is one that can be echoed."""
    return value if isinstance(value, str) and EVENT_ID.fullmatch(value) else None


def too_large() -> AisterError:
    """The error for a frame or body over MAX_FRAME_BYTES."""
    return AisterError("frame_too_large", f"At most {MAX_FRAME_BYTES:,} bytes in one go. Split the text.")


def decode(decoder: "msgspec.json.Decoder[T]", data: bytes, event_id: str | None) -> T:
    """Decode with one decoder; raise EventError (invalid_json, invalid_field)."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise EventError(field_error(str(error)), event_id) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise EventError(AisterError("invalid_json"), event_id) from None
    except RecursionError:
        raise EventError(AisterError("invalid_json", "The JSON is nested too deeply."), event_id) from None


def field_error(reason: str) -> AisterError:
    """Turn msgspec's reason into an error that names the field."""
    path, field = PATH.search(reason), FIELD.search(reason)
    if reason.startswith("Expected `object`") and path is None:
        return AisterError("invalid_json")
    parts = [m.group(1) for m in (path, field) if m and m.group(1)]
    said = PATH.sub("", reason)
    where = f" in '{parts[0]}'" if path and path.group(1) else ""
    return AisterError("invalid_field", f"{said}{where}.", param=".".join(parts) or None)


def encode(event: Struct) -> str:
    """Return the event as the text of one frame."""
    return msgspec.json.encode(event).decode()


def error_body(error: AisterError) -> ErrorBody:
    """Return an error as clients see it."""
    return ErrorBody(code=error.code, message=error.message, param=error.param, retry_after=error.retry_after_s)
