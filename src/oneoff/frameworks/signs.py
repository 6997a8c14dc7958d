"""Whether a folder looks like a framework's project; looking loads no framework and imports nothing of it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

_DJANGO = (b"DJANGO_SETTINGS_MODULE", b"django.core.management")
_DOTENV = (".env", ".flaskenv")
_FLASK_FILES = ("wsgi.py", "app.py")
_FLASK = (b"flask", b"create_app", b"make_app")  # the factories that `flask` looks for


def manage_of(root: Path) -> Path | None:
    """The ``manage.py`` of a Django project."""
    manage = root / "manage.py"
    return manage if _mentions(manage, *_DJANGO) else None


def flask_files(root: Path) -> list[Path]:
    """Where ``flask`` looks for an app, in its order."""
    return [root / name for name in _FLASK_FILES if (root / name).is_file()]


def names_flask_app(root: Path, flask_app: str | None) -> bool:
    """Whether somebody says where the app is: ``FLASK_APP``, or a file that sets it."""
    return flask_app is not None or any(_mentions(root / name, b"FLASK_APP") for name in _DOTENV)


def has_flask(root: Path, flask_app: str | None, *, alone: bool) -> bool:
    """Whether to look for a Flask app.

    Args:
        flask_app: ``FLASK_APP``.
        alone: whether nothing else was found here. Then any file that may hold one is looked at, as ``flask``
            would; else only one that mentions Flask or a factory is.
    """
    files = flask_files(root)
    mentioned = any(_mentions(file, *_FLASK) for file in files)
    wanted = names_flask_app(root, flask_app) or mentioned or (alone and bool(files))
    return wanted and find_spec("flask") is not None


def _mentions(file: Path, *words: bytes) -> bool:
    """Whether there is such a file with one of the words in it, whatever their case."""
    if not file.is_file():
        return False
    text = file.read_bytes().lower()
    return any(word.lower() in text for word in words)
