"""How much of a model's weights is read, as transformers tells it. Imports transformers only when asked to watch.

Transformers turns a model's weights into tensors one after the other, behind a progress bar; whoever shows bars of his
own may put them in its place. That is one place for the whole process, so only one thread may load: the manager's.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

Report = Callable[[float], None]
"""Called, on the thread that loads, with the fraction of the weights that is read: from 0 to 1."""

WEIGHTS_BAR = "Loading weights"


def nobody(_fraction: float) -> None:
    """Nobody wants to know."""


@contextmanager
def reported(report: Report) -> Iterator[None]:
    """Report how far transformers has come with the weights of what it loads in this block."""
    from transformers.utils import logging

    def show(make_bar: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        is_weights = options.get("desc") == WEIGHTS_BAR and len(args) == 1
        return counted(args[0], report) if is_weights else make_bar(*args, **options)

    earlier = logging.set_tqdm_hook(show)
    try:
        yield
    finally:
        logging.set_tqdm_hook(earlier)


def counted(tensors: Iterable[Any], report: Report) -> Iterator[Any]:
    """Yield the tensors, and report after each how many of them are done."""
    every = list(tensors)
    for number, tensor in enumerate(every):
        report(number / len(every))
        yield tensor
    report(1.0)
