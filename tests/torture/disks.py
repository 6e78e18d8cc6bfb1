"""Disks for one round: a small one that can be filled up, and one whose power can be cut.

A power cut here is ext4 on a loop device that is shut down as it stands: what was
not flushed is gone, as if the machine had lost its power, and the next mount
replays the journal. Killing processes never shows that: the page cache outlives them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from torture.backends import kill_9
from torture.processes import until
from torture.rows import Missing
from torture.stage import FOLDER, folder_on_disk

from ledger_server.store.child import server_user

# linux/fs.h: _IOR('X', 125, __u32), and its flag that throws away what the journal has not yet.
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
# Written and never flushed.
_WITNESS = b"x" * 8192


class Disk:
    """An ext4 file system of its own, of 1 GiB at most, on a loop device."""

    def __init__(self, folder: Path) -> None:
        self._image = folder / "image"
        self.path = folder / "disk"
        self.path.mkdir()
        with self._image.open("wb") as image:
            image.truncate(1 << 30)
        _must("mkfs.ext4", "-q", "-F", self._image)

    def mount(self) -> None:
        """Mounts it for the first time. Raises Missing."""
        _must("mount", "-o", "loop", self._image, self.path)
        self.path.chmod(0o711)

    def unmount(self) -> None:
        """Waits until nobody holds it."""
        if self.path.is_mount():
            until(lambda: _does("umount", self.path), "unmounted", 20.0)

    def cut_power(self) -> None:
        """From now on nothing is written to it; what was not flushed yet is gone."""
        self.write_witness()
        folder = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(folder)

    def write_witness(self) -> None:
        """Writes what a power cut takes away."""
        (self.path / "witness").write_bytes(_WITNESS)

    def come_back(self) -> bool:
        """Ends who used it and mounts it again; whether what nobody had flushed is gone, as it must."""
        until(self.is_left, "left by its processes", 20.0)
        self.unmount()
        # Replays the journal.
        until(lambda: _does("mount", "-o", "loop", self._image, self.path), "mounted again", 20.0)
        witness = self.path / "witness"
        is_gone = not witness.exists() or witness.read_bytes() != _WITNESS
        witness.unlink(missing_ok=True)
        return is_gone

    def is_left(self) -> bool:
        """Kills who works in it; whether nobody does."""
        users = [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and _works_in(entry, self.path)
        ]
        for pid in users:
            kill_9(pid)
        return not users


@contextmanager
def loop_disk() -> Iterator[Disk]:
    """A disk whose power can be cut. Raises Missing."""
    _remove_leftovers()
    with folder_on_disk() as folder:
        disk = Disk(folder)
        disk.mount()
        try:
            yield disk
        finally:
            until(disk.is_left, "left by its processes", 20.0)
            disk.unmount()


@contextmanager
def small_disk_over(path: Path, size_mib: int) -> Iterator[Path]:
    """Puts a folder of PostgreSQL's onto a small file system in memory. Raises Missing."""
    _remove_leftovers()
    user = server_user()
    aside = path.with_name(f"{path.name}.aside")
    path.rename(aside)
    path.mkdir(mode=0o700)
    _must(
        "mount",
        "-t",
        "tmpfs",
        "-o",
        f"size={size_mib}m,mode=0700,uid={user.uid},gid={user.gid}",
        "tmpfs",
        path,
    )
    try:
        _must("cp", "-a", f"{aside}/.", path)
        yield path
    finally:
        until(lambda: _does("umount", path), "unmounted", 20.0)


@contextmanager
def filled_up(path: Path) -> Iterator[None]:
    """Leaves no room on the file system; gives it back at the end."""
    ballast = path / "ballast"
    file = os.open(ballast, os.O_CREAT | os.O_WRONLY)
    try:
        size, step = 0, 16 << 20
        while step >= 4096:
            try:
                os.posix_fallocate(file, size, step)
                size += step
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                step //= 2
        yield
    finally:
        os.close(file)
        ballast.unlink()


def _remove_leftovers() -> None:
    """Unmounts and removes what runs left that were killed themselves."""
    mounts = Path("/proc/self/mounts")
    for line in mounts.read_text().splitlines() if mounts.exists() else ():
        path = Path(line.split()[1])
        for folder in path.parents:
            match = re.fullmatch(rf"{FOLDER}(\d+)-\w+", folder.name)
            if match and not Path(f"/proc/{match[1]}").exists() and _does("umount", "-l", path):
                shutil.rmtree(folder, ignore_errors=True)


def _does(*words: str | Path) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def _must(*words: str | Path) -> None:
    """Raises Missing where this machine cannot."""
    try:
        subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    except FileNotFoundError as error:
        raise Missing(f"{words[0]} is missing", fails_ci=False) from error
    except subprocess.CalledProcessError as error:
        raise Missing(
            f"{words[0]} fails here (as root, with loop devices?): {error.stderr.strip()}", fails_ci=False
        ) from error


def _works_in(process: Path, path: Path) -> bool:
    with suppress(OSError):
        return process.joinpath("cwd").readlink().is_relative_to(path)
    return False
