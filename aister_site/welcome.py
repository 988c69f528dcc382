"""What `manage.py serve` prints when it listens. Plain text, no I/O.

On a terminal: links and the first key. Elsewhere output becomes a log, so nothing secret: where the key is, and the
commands that make others.
"""

import shlex
import sys
from pathlib import Path

CLIENT = """\
curl {url}/v1/chat \\
  -H "Authorization: Bearer {key}" \\
  -d '{{"messages": [{{"role": "user", "text": "Hello!"}}]}}'"""


def manage() -> str:
    """Return how this process's own `manage.py` is called from where we are."""
    python = Path(sys.executable)
    here = Path.cwd()
    shown = python.relative_to(here) if python.is_relative_to(here) else python
    return f"{shlex.quote(str(shown))} manage.py"


def on_terminal(url: str, link: str | None, key: str | None) -> str:
    """Return the text for a person: `link` signs them in, `key` is the first key if it was made now."""
    command = manage()
    playground = f"{link}\n              (signs you in: once, within 10 minutes)" if link else url
    shown = f"{key}\n              (shown only now)" if key else f"{command} keys create NAME"
    client = CLIENT.format(url=url, key=key or "YOUR_KEY")
    return f"""
Aister is ready.

  Playground  {playground}
  Admin       {url}/admin/
  API key     {shown}

{client}

More keys: {command} keys create NAME. More sign-in links: {command} signin. Ctrl-C stops Aister.
"""


def in_log(url: str, key_file: Path | None) -> str:
    """Return the text for a log: `key_file` holds the first key, if it is there."""
    command = manage()
    key = f"The first API key is in {key_file}. " if key_file else ""
    return f"""\
Aister is ready: playground {url}, admin {url}/admin/
{key}Make a key: {command} keys create NAME. Make a sign-in link: {command} signin.
"""
