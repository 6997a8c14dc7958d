"""The code that a task stands for, as one digest: where it is equal, the same code would run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType

from oneoff.tasks.source import plain_function
from oneoff.tasks.task import Task


def code_digest(task: Task) -> str | None:
    """SHA-256 (hex) of the task's package, or of a command's argument list as JSON.

    The package is every ``*.py`` file of the top-level package that the task's function lives in: their
    relative paths and contents, sorted. Before them stands which function it is, by its file and line.
    A module that is in no package, or a script, stands for the ``*.py`` files of its own folder. Names that
    begin with a dot are no modules and do not count.

    None where the code cannot be read as files: a function typed into a shell, or inside a zip archive.
    """
    from hashlib import sha256

    if task.command is not None:
        import json

        return sha256(json.dumps(list(task.command)).encode()).hexdigest()
    function = plain_function(task.function) if task.function is not None else None
    if function is None:
        return None
    digest = sha256()
    try:
        for part in _parts(function):
            digest.update(part)
    except OSError:
        return None
    return digest.hexdigest()


def _parts(function: FunctionType) -> Iterator[bytes]:
    """What is hashed; raises OSError where a file cannot be read."""
    file = Path(function.__code__.co_filename).absolute()
    package = _package(file, function)
    top = f"{package or file.parent}/"
    yield os.fsencode(f"{str(file).removeprefix(top)}:{function.__code__.co_firstlineno}\0")
    # The file itself counts whatever its name: a script may have no ending.
    for path in sorted({str(file), *_modules(top, below=package is not None, seen=set())}):
        with open(path, "rb") as opened:  # noqa: PTH123 # hundreds of Paths would take their time
            content = opened.read()
        yield os.fsencode(f"{path.removeprefix(top)}\0{len(content)}\0")
        yield content


def _package(file: Path, function: FunctionType) -> Path | None:
    """The folder of the top-level package, found by the module's name; None for a module that is in none."""
    spec = function.__globals__.get("__spec__")  # of `python -m shop.manage`, whose name is __main__
    name = str(getattr(spec, "name", None) or function.__globals__.get("__name__"))
    names = name.split(".") if file.name == "__init__.py" else name.split(".")[:-1]
    folders = list(file.parents)[: len(names)]
    return folders[-1] if names and [folder.name for folder in reversed(folders)] == names else None


def _modules(folder: str, *, below: bool, seen: set[tuple[int, int]]) -> Iterator[str]:
    """The ``*.py`` files of a folder, and of all those below; a folder that is linked twice counts once."""
    status = os.stat(folder)  # noqa: PTH116 # as above
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    with os.scandir(folder) as entries:
        listed = sorted((entry for entry in entries if entry.name[0] != "."), key=lambda entry: entry.name)
    for entry in listed:
        if entry.is_dir():
            if below:
                yield from _modules(entry.path, below=True, seen=seen)
        elif entry.name.endswith(".py"):
            yield entry.path
