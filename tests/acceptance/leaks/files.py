"""Ways to change a file: what Python tells of, in any thread."""

# ruff: noqa: PTH101, PTH102, PTH103, PTH104, PTH105, PTH106, PTH107, PTH123, PTH211, SIM115
from __future__ import annotations

import array
import cProfile
import ctypes
import dbm.dumb
import fcntl
import logging
import mailbox
import os
import py_compile
import shelve
import shutil
import tempfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import shared_memory
from pathlib import Path

from tests.acceptance.leaks.way import Group, Place, Way

_SET_FLAGS = 0x40086602
"""``FS_IOC_SETFLAGS``, which is what ``chattr`` does."""


def _by_folder(at: Place) -> None:
    folder = os.open(at.folder, os.O_RDONLY)
    try:
        os.remove("data.txt", dir_fd=folder)
    finally:
        os.close(folder)


def _open_by_folder(at: Place) -> None:
    """From the folder for temporary files, below which names may be written."""
    folder, before = os.open(at.folder, os.O_RDONLY), Path.cwd()
    os.chdir(tempfile.gettempdir())
    try:
        os.close(os.open("new.txt", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    finally:
        os.chdir(before)
        os.close(folder)


def _link_within(at: Place) -> None:
    """A link in the folder for temporary files leads out of it."""
    link = Path(tempfile.gettempdir(), "link")
    link.symlink_to(at.file)
    link.write_text("x")


def _hard_link_within(at: Place) -> None:
    link = Path(tempfile.gettempdir(), "hard")
    link.hardlink_to(at.file)
    link.write_text("x")


def _through_descriptor(at: Place) -> None:
    with open(at.file) as file, open(f"/proc/self/fd/{file.fileno()}", "w") as again:
        again.write("x")


def _flags(at: Place) -> None:
    with open(at.file) as file:
        fcntl.ioctl(file.fileno(), _SET_FLAGS, array.array("l", [0x40]))


def _kept(at: Place) -> None:
    with shelve.open(at.new) as shelf:
        shelf["a"] = 1


def _zip(at: Place) -> None:
    with zipfile.ZipFile(at.new, "w") as archive:
        archive.writestr("a", "b")


def _in_a_pool(at: Place) -> None:
    """The pool keeps what it gets until somebody asks."""
    with ThreadPoolExecutor(1) as pool:
        error = pool.submit(lambda: Path(at.new).write_text("x")).exception()
    if error is not None:
        raise error


def _in_a_thread(at: Place) -> None:
    def work() -> None:
        with suppress(BaseException):
            Path(at.new).write_text("x")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def _swallow(at: Place) -> None:
    with suppress(BaseException):
        Path(at.new).write_text("x")


def _shared_memory(at: Place) -> None:
    shared_memory.SharedMemory(name=at.shared, create=True, size=10).close()


FILES = Group(
    title="Files",
    ways=(
        Way("open-w", "opens a file to write it", lambda at: open(at.new, "w"), "write {new}"),
        Way("open-a", "… to append", lambda at: open(at.file, "a"), "write {file}"),
        Way("open-update", "… to update", lambda at: open(at.file, "r+"), "write {file}"),
        Way("open-x", "… to make it", lambda at: open(at.new, "x"), "write {new}"),
        Way(
            "open-bytes",
            "… by a name in bytes",
            lambda at: open(os.fsencode(at.new), "wb"),
            "write {new}",
        ),
        Way(
            "open-opener",
            "… by an opener of its own",
            lambda at: open(at.new, "w", opener=os.open),
            "write {new}",
        ),
        Way(
            "os.open",
            "… by its descriptor",
            lambda at: os.open(at.new, os.O_CREAT | os.O_WRONLY),
            "write {new}",
        ),
        Way(
            "os.open-dir-fd",
            "… by the descriptor of its folder",
            _open_by_folder,
            "write new.txt",
        ),
        Way(
            "os.open-truncate",
            "… to read it, cut off",
            lambda at: os.open(at.file, os.O_RDONLY | os.O_TRUNC),
            "write {file}",
        ),
        Way(
            "o-tmpfile",
            "makes a file without a name, to link it later",
            lambda at: os.open(at.folder, os.O_TMPFILE | os.O_WRONLY),
            "write {folder}",
        ),
        Way(
            "proc-fd",
            "opens anew what it has open to read",
            _through_descriptor,
            "write /proc/self/fd/…",
        ),
        Way("write-text", "`Path.write_text`", lambda at: Path(at.new).write_text("x"), "write {new}"),
        Way("touch", "`Path.touch`", lambda at: Path(at.new).touch(), "change the times of {new}"),
        Way(
            "symlink-out-of-tmp",
            "writes over a link in the folder for temporary files",
            _link_within,
            "write …/link",
        ),
        Way(
            "hard-link-into-tmp",
            "… over a hard link there",
            _hard_link_within,
            "make the link … to {file}",
        ),
        Way("os.remove", "removes a file", lambda at: os.remove(at.file), "remove {file}"),
        Way(
            "os.remove-dir-fd",
            "… by the descriptor of its folder",
            _by_folder,
            "remove data.txt",
        ),
        Way(
            "os.rename",
            "renames one",
            lambda at: os.rename(at.file, at.new),
            "rename {file} to {new}",
        ),
        Way(
            "os.replace",
            "puts another one in its place",
            lambda at: os.replace(tempfile.mkstemp()[1], at.file),
            "rename … to {file}",
        ),
        Way(
            "shutil.move",
            "moves one to the folder for temporary files",
            lambda at: shutil.move(at.file, tempfile.gettempdir()),
            "rename {file}",
        ),
        Way("os.mkdir", "makes a folder", lambda at: os.mkdir(at.new), "make the folder {new}"),
        Way(
            "os.makedirs",
            "makes folders",
            lambda at: os.makedirs(f"{at.new}/b/c"),
            "make the folder {new}",
        ),
        Way(
            "os.rmdir", "removes a folder", lambda at: os.rmdir(at.folder / "inner"), "remove {folder}/inner"
        ),
        Way("shutil.rmtree", "… with all in it", lambda at: shutil.rmtree(at.folder), "remove …"),
        Way(
            "shutil.copy",
            "copies a file",
            lambda at: shutil.copy(at.file, at.new),
            "write {new}",
        ),
        Way(
            "shutil.copytree",
            "copies a folder",
            lambda at: shutil.copytree(at.folder, at.folder.parent / "copy"),
            "make the folder …/copy",
        ),
        Way("os.link", "makes a hard link", lambda at: os.link(at.file, at.new), "make the link {new}"),
        Way(
            "os.symlink",
            "makes a link",
            lambda at: os.symlink("data.txt", at.new),
            "make the link {new}",
        ),
        Way(
            "os.truncate",
            "cuts a file off",
            lambda at: os.truncate(at.file, 1),
            "truncate {file}",
        ),
        Way(
            "os.chmod",
            "changes its mode",
            lambda at: os.chmod(at.file, 0o600),
            "change the mode of {file}",
        ),
        Way(
            "os.chown",
            "… its owner",
            lambda at: os.chown(at.file, -1, -1),
            "change the owner of {file}",
        ),
        Way(
            "os.utime",
            "… its times",
            lambda at: os.utime(at.file, (0, 0)),
            "change the times of {file}",
        ),
        Way(
            "os.setxattr",
            "… an attribute",
            lambda at: os.setxattr(at.file, "user.a", b"1"),
            "change an attribute of {file}",
        ),
        Way(
            "fcntl.ioctl",
            "… its flags, as `chattr` does",
            _flags,
            "change the flags of {file}",
        ),
        Way("os.mkfifo", "makes a pipe", lambda at: os.mkfifo(at.new), "make the pipe {new}"),
        Way("os.mknod", "makes a node", lambda at: os.mknod(at.new), "make the node {new}"),
        Way(
            "shared-memory",
            "makes shared memory that stays",
            _shared_memory,
            "make or change the shared memory …{shared}",
        ),
        Way(
            "tempfile-elsewhere",
            "a temporary file elsewhere",
            lambda at: tempfile.NamedTemporaryFile(dir=at.folder),
            "write {folder}",
        ),
        Way(
            "mkdtemp-elsewhere",
            "a temporary folder elsewhere",
            lambda at: tempfile.mkdtemp(dir=at.folder),
            "make the folder {folder}",
        ),
        Way("shelve", "`shelve.open`", _kept, "write {new}"),
        Way("dbm", "`dbm.open`", lambda at: dbm.dumb.open(at.new, "c"), "write {new}"),
        Way("zipfile", "makes an archive", _zip, "write {new}"),
        Way(
            "mailbox",
            "puts a mail into a mailbox",
            lambda at: mailbox.mbox(at.new).add("hello"),
            "write {new}",
        ),
        Way(
            "cProfile",
            "keeps a profile",
            lambda at: cProfile.run("1", at.new),
            "write {new}",
        ),
        Way(
            "py_compile",
            "keeps bytecode",
            lambda at: py_compile.compile(__file__, at.new),
            "write {new}",
        ),
        Way(
            "logging-file",
            "opens a log file",
            lambda at: logging.FileHandler(at.new),
            "write {new}",
        ),
        Way(
            "ctypes",
            "looks up a function of the C library: `unlink`",
            lambda at: ctypes.CDLL(None).unlink(os.fsencode(at.file)),
            "call the C function unlink",
        ),
        Way(
            "ctypes-syscall",
            "… `syscall`",
            lambda at: ctypes.CDLL(None)["syscall"](87, os.fsencode(at.file)),
            "call the C function syscall",
        ),
        Way("thread", "writes in a thread, and swallows the error", _in_a_thread, "write {new}"),
        Way("thread-pool", "… in a pool of threads", _in_a_pool, "write {new}"),
        Way("swallowed", "goes on with a bare `except`", _swallow, "write {new}"),
    ),
)
