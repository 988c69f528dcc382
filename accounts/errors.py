"""The one exception of this package. Pure: no Django, any thread."""


class AccountError(Exception):
    """Who asks may not, or not this: a `code` of the error table that clients see (inference/errors.py).

    `message` is empty where the table's own says it all, and never holds a key, a token or a code. `param` names the
    field at fault; `retry_after_s` says after how many seconds the same may be asked again.
    """

    def __init__(
        self, code: str, message: str = "", *, param: str | None = None, retry_after_s: float | None = None
    ) -> None:
        self.code = code
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        super().__init__(code)
