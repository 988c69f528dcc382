"""What single fields of events may hold, and how much there may be of each thing. docs/protocol.md says the same."""

from typing import Annotated, Literal

from msgspec import Meta

SUBPROTOCOL = "aister.v1"
MAX_FRAME_BYTES = 512 * 1024
MAX_OPEN_REQUESTS = 16
MAX_INVALID_FRAMES = 10
MAX_MESSAGES = 2_000
MAX_STOPS = 8

EventId = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:\-]+\Z")]
Role = Literal["user", "assistant"]
Stop = Annotated[str, Meta(min_length=1, max_length=64)]
Seed = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
TopP = Annotated[float, Meta(gt=0, le=1)]
TopK = Annotated[int, Meta(ge=1, le=256)]
RepetitionPenalty = Annotated[float, Meta(ge=0.5, le=2)]
MaxTokens = Annotated[int, Meta(ge=1, le=32_768)]
