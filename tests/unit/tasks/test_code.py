"""What a task's digest covers: all of its package, found on disk."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from oneoff.tasks.code import code_digest
from oneoff.tasks.registry import task_name
from oneoff.tasks.task import Task

PRINT = """
from oneoff.tasks.code import code_digest
from oneoff.tasks.task import Task
def purge(): ...
def main():
    print(code_digest(Task(name="purge", function=purge)))
if __name__ == "__main__":
    main()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A package with a package below it, and a module beside it."""
    (tmp_path / "shop" / "sub").mkdir(parents=True)
    for name in ("shop/__init__.py", "shop/rows.py", "shop/sub/deep.py", "beside.py"):
        (tmp_path / name).write_text("N = 1\n")
    (tmp_path / "shop" / "admin.py").write_text(PRINT)
    return tmp_path


def digest(folder: Path, *python: str) -> str | None:
    """What a process of its own prints for the task."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, *(python or ("-c", "import shop.admin; shop.admin.main()"))]
    ended = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    printed = ended.stdout.strip()
    return None if printed == "None" else printed


@pytest.mark.parametrize(
    "name", ["__init__.py", "rows.py", "sub/deep.py", "admin.py", "new.py", "sub/new.py"]
)
def test_each_file_of_the_package_counts(folder: Path, name: str) -> None:
    """Whichever of them changes, comes or goes."""
    before = digest(folder)
    with (folder / "shop" / name).open("a") as file:
        file.write("# changed\n")
    assert before is not None and before != digest(folder)


def test_a_file_that_moves_counts(folder: Path) -> None:
    """The same bytes under another name are another package; borders between files count as well."""
    before = digest(folder)
    (folder / "shop" / "rows.py").rename(folder / "shop" / "lines.py")
    assert before != digest(folder)


@pytest.mark.parametrize("name", ["beside.py", "shop/notes.txt", "shop/.#rows.py", "shop/.cache/x.py"])
def test_what_is_no_module_of_it_does_not_count(folder: Path, name: str) -> None:
    """Neither a neighbour nor a text nor what no import can name."""
    before = digest(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("N = 2\n")
    assert before == digest(folder)


def test_it_is_the_same_however_the_process_was_started(folder: Path) -> None:
    """Imported from here or there, started with -m, with and without compiled files."""
    imported = digest(folder)
    assert imported == digest(folder, "-m", "shop.admin")
    assert imported == digest(
        folder, "-X", "pycache_prefix=elsewhere", "-c", "import shop.admin as a; a.main()"
    )
    below = f"import sys; sys.path[:0] = [{str(folder)!r}]; import shop.admin; shop.admin.main()"
    assert imported == digest(folder / "shop" / "sub", "-c", below)


def test_a_package_without_init_files(folder: Path) -> None:
    """The module's name tells where it begins."""
    (folder / "shop" / "__init__.py").unlink()
    before = digest(folder)
    assert before == digest(folder, "-m", "shop.admin")
    (folder / "shop" / "sub" / "deep.py").write_text("N = 2\n")
    assert before != digest(folder)


def test_a_task_in_the_package_itself(folder: Path) -> None:
    """``shop/__init__.py`` is of the package shop."""
    (folder / "shop" / "__init__.py").write_text(PRINT)
    before = digest(folder, "-c", "import shop; shop.main()")
    (folder / "shop" / "sub" / "deep.py").write_text("N = 2\n")
    assert before != digest(folder, "-c", "import shop; shop.main()")


def test_a_lone_module_and_a_script(folder: Path) -> None:
    """They stand for the modules of their own folder, and for nothing below it."""
    (folder / "manage.py").write_text(PRINT)
    imported = ("-c", "import manage; manage.main()")
    before = digest(folder, *imported)
    assert before is not None and before == digest(folder, "manage.py") == digest(folder, "-m", "manage")
    (folder / "shop" / "rows.py").write_text("N = 2\n")
    assert before == digest(folder, *imported)
    (folder / "beside.py").write_text("N = 2\n")
    assert before != digest(folder, *imported)


def test_a_script_without_an_ending(folder: Path) -> None:
    """Its own file counts whatever it is called."""
    (folder / "manage").write_text(PRINT)
    before = digest(folder, "manage")
    (folder / "manage").write_text(PRINT + "# changed\n")
    assert before is not None and before != digest(folder, "manage")


def test_linked_folders(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What a link leads to counts; one that leads round in circles is followed once."""
    away = tmp_path_factory.mktemp("away")
    (away / "linked.py").write_text("N = 1\n")
    (folder / "shop" / "away").symlink_to(away)
    (folder / "shop" / "sub" / "round.py").symlink_to(folder / "shop")
    before = digest(folder)
    (away / "linked.py").write_text("N = 2\n")
    assert before is not None and before != digest(folder)


def test_a_file_that_cannot_be_read(folder: Path) -> None:
    """Then there is no digest, rather than one that leaves something out."""
    (folder / "shop" / "broken.py").symlink_to("nowhere.py")
    assert digest(folder) is None


def test_a_package_inside_a_zip_archive(folder: Path) -> None:
    """There are no files then."""
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        archive.writestr("zipped/__init__.py", PRINT)
    assert (
        digest(folder, "-c", "import sys; sys.path[:0] = ['all.zip']; import zipped; zipped.main()") is None
    )


def test_the_bytes_that_are_hashed(tmp_path: Path) -> None:
    """Which function, then path, length and content of each file: anybody can compute it again."""
    (tmp_path / "lone.py").write_text(PRINT)
    (tmp_path / "a.py").write_text("A = 'ä'\n")
    hashed = b"lone.py:4\0a.py\x009\0A = '\xc3\xa4'\n" + b"lone.py\0%d\0%s" % (len(PRINT), PRINT.encode())
    assert digest(tmp_path, "lone.py") == hashlib.sha256(hashed).hexdigest()


def test_another_function_of_the_same_package() -> None:
    """It is other code, under whatever name; below its decorators a function stays the same."""

    def plain() -> None: ...

    @functools.wraps(plain)
    def wrapped() -> None: ...

    def other() -> None: ...

    ours, same, another = (
        code_digest(Task(name=task_name("a"), function=function)) for function in (plain, wrapped, other)
    )
    assert ours is not None and ours == same != another


def test_a_command_stands_for_its_arguments() -> None:
    """As JSON."""
    command = Task(name=task_name("a"), command=("npm", "run", "größe"))
    assert code_digest(command) == hashlib.sha256(b'["npm", "run", "gr\\u00f6\\u00dfe"]').hexdigest()


def test_a_function_without_a_file_has_no_digest() -> None:
    """What was typed into a shell, or is written in C, has no file to hash."""
    scope: dict[str, object] = {}
    exec("def typed(): ...", scope)
    assert code_digest(Task(name=task_name("a"), function=scope["typed"])) is None  # type: ignore[arg-type] # is a function
    assert code_digest(Task(name=task_name("a"), function=print)) is None
