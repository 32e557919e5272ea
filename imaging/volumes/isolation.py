"""Compressed frames are decoded in another process, so that a stream that breaks a decoder costs one image only.

The decoding process (`decoder`) is started when it is first needed and stays. If it dies, hangs, or answers what
was not asked, it is killed, and the next frame gets a new one. It limits its own memory and leaves no core file;
it is no sandbox: what takes it over has the rights of its user. One for a process; threads take turns.
"""

import atexit
import json
import os
import select
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

SECONDS = 60.0
"""A frame that takes longer is given up; the slowest codec needs a second for the largest detector."""

_PROGRAM = Path(__file__).with_name("decoder.py")
_MAX_ANSWER = 4096
_DTYPES = frozenset({"|u1", "|i1", "<u2", "<i2"})


class DecoderDied(Exception):
    """The decoding process crashed, hung or answered nonsense over a frame."""


class DecodingProcess:
    """The process that decodes for this one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def decode(
        self, plugin: str, syntax: str, attributes: Mapping[str, Any], stream: bytes, *, colour: bool
    ) -> NDArray[Any] | None:
        """Decode one frame.

        Args:
            plugin: pydicom's name of the decoder.
            syntax: transfer syntax UID.
            attributes: image pixel attributes of a single frame, as plain JSON values.
            stream: the compressed frame.
            colour: whether samples are wanted as RGB.

        Returns:
            Writable (rows, columns) or (rows, columns, 3) of 8 or 16 bits; None if the decoder cannot read it.

        Raises:
            DecoderDied: the process is gone; the stream must not be tried again.
        """
        question = {"plugin": plugin, "syntax": syntax, "attributes": dict(attributes), "colour": colour}
        shape = (int(attributes["Rows"]), int(attributes["Columns"]), *((3,) if colour else ()))
        with self._lock:
            child = self._running()
            try:
                return self._ask(child, json.dumps(question).encode(), stream, shape)
            except (DecoderDied, OSError, ValueError, KeyError, TypeError) as error:
                self._kill(child)
                raise DecoderDied from error

    def _ask(
        self, child: subprocess.Popen[bytes], question: bytes, stream: bytes, shape: tuple[int, ...]
    ) -> NDArray[Any] | None:
        if child.stdin is None or child.stdout is None:
            raise RuntimeError("the decoding process has no pipes")
        child.stdin.write(struct.pack(">II", len(question), len(stream)) + question)
        child.stdin.write(stream)
        child.stdin.flush()
        deadline = monotonic() + SECONDS
        length, size = struct.unpack(">II", _read(child.stdout.fileno(), 8, deadline))
        # The answer may come from code that a stream took over: nothing of it is believed.
        if length > _MAX_ANSWER:
            raise DecoderDied
        answer = json.loads(_read(child.stdout.fileno(), length, deadline))
        if answer == {} and size == 0:
            return None
        if answer["dtype"] not in _DTYPES or tuple(answer["shape"]) != shape:
            raise DecoderDied
        dtype = np.dtype(answer["dtype"])
        if size != int(np.prod(shape)) * dtype.itemsize:
            raise DecoderDied
        return np.frombuffer(_read(child.stdout.fileno(), size, deadline), dtype).reshape(shape)

    def _running(self) -> subprocess.Popen[bytes]:
        """The child, started if there is none or if it is that of a process this one was forked from."""
        if self._child is None or self._owner != os.getpid() or self._child.poll() is not None:
            # -P: the program's folder does not become a place to import from.
            self._child = subprocess.Popen(  # noqa: S603 - our own interpreter and file, no shell
                [sys.executable, "-P", str(_PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"},
            )
            self._owner = os.getpid()
        return self._child

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            if self._child is not None and self._owner == os.getpid():
                self._kill(self._child)

    def _kill(self, child: subprocess.Popen[bytes]) -> None:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was not sent yet is not wanted any more
                    pipe.close()
        self._child = None


def _read(descriptor: int, count: int, deadline: float) -> bytearray:
    content, view = bytearray(count), 0
    while view < count:
        left = deadline - monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            raise DecoderDied
        piece = os.read(descriptor, min(count - view, 2**20))
        if not piece:
            raise DecoderDied
        content[view : view + len(piece)] = piece
        view += len(piece)
    return content


PROCESS = DecodingProcess()
"""The one of this process."""
atexit.register(PROCESS.close)
