"""`manage.py serve` with a chat model that takes its time: a long answer lasts as long as a test needs."""

import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STEP_S = 0.02


def main() -> None:
    """Serve."""
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aister_site.settings")
    from inference.engines.decoder import DecoderEngine

    step = DecoderEngine.step

    def deliberate(engine: DecoderEngine) -> object:
        time.sleep(STEP_S)
        return step(engine)

    DecoderEngine.step = deliberate  # type: ignore[assignment]
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *sys.argv[1:]])


if __name__ == "__main__":
    main()
