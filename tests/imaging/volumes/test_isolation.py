import io
import os
import signal
import struct
import sys

import numpy as np
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from imaging.volumes import codecs, decoder, headers, isolation
from imaging.volumes.isolation import DecoderDied, DecodingProcess
from imaging.volumes.rejection import ImageRejected, Rejection
from tests.imaging.series import Series

ATTRIBUTES = {"Rows": 32, "Columns": 32, "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
ATTRIBUTES |= {"PixelRepresentation": 0, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}


@pytest.fixture
def compressed():
    series = Series(slices=1, rows=32, columns=32)
    dataset = series.file(0)
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    (stream,) = generate_frames(dataset.PixelData, number_of_frames=1)
    return bytes(stream), series.stored[0]


@pytest.fixture
def process():
    process = DecodingProcess()
    yield process
    process.close()


def ask(process, stream):
    return process.decode("pylibjpeg", JPEG2000Lossless, ATTRIBUTES, stream, colour=False)


def test_a_process_decodes_one_frame_after_the_other(process, compressed):
    stream, expected = compressed
    for _ in range(2):
        np.testing.assert_array_equal(ask(process, stream), expected)
    first = process._child.pid
    assert ask(process, stream[:50]) is None
    np.testing.assert_array_equal(ask(process, stream), expected)
    assert process._child.pid == first != os.getpid()


def test_a_process_that_dies_costs_one_frame(process, compressed):
    stream, expected = compressed
    ask(process, stream)
    child = process._child
    os.kill(child.pid, signal.SIGSTOP)
    os.kill(child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    process._running = lambda: child  # it died between the check and the question
    with pytest.raises(DecoderDied):
        ask(process, stream)
    del process._running
    np.testing.assert_array_equal(ask(process, stream), expected)


def test_a_process_that_hangs_is_killed(process, compressed, monkeypatch):
    stream, expected = compressed
    ask(process, stream)
    child = process._child
    monkeypatch.setattr(isolation, "SECONDS", 0.2)
    os.kill(child.pid, signal.SIGSTOP)
    with pytest.raises(DecoderDied):
        ask(process, stream)
    assert child.poll() == -signal.SIGKILL
    monkeypatch.undo()
    np.testing.assert_array_equal(ask(process, stream), expected)


ANSWERS = {
    "another shape": ({"dtype": "<u2", "shape": [32, 33]}, 32 * 33 * 2),
    "another size": ({"dtype": "<u2", "shape": [32, 32]}, 32 * 32),
    "another type": ({"dtype": "|O", "shape": [32, 32]}, 32 * 32 * 8),
    "no JSON": (None, 0),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_was_not_asked_for_is_not_believed(process, compressed, tmp_path, monkeypatch, name):
    header, size = ANSWERS[name]
    text = b"nonsense" if header is None else str(header).replace("'", '"').encode()
    program = tmp_path / "liar.py"
    answer = struct.pack(">II", len(text), size) + text + bytes(size)
    program.write_text(f"import sys\nsys.stdin.buffer.read(8)\nsys.stdout.buffer.write({answer!r})\n")
    monkeypatch.setattr(isolation, "_PROGRAM", program)
    with pytest.raises(DecoderDied):
        ask(process, compressed[0])
    assert process._child is None


def test_a_forked_process_gets_one_of_its_own(process, compressed):
    stream, expected = compressed
    ask(process, stream)
    first = process._child.pid
    pid = os.fork()
    if pid == 0:
        same = np.array_equal(ask(process, stream), expected) and process._child.pid != first
        process.close()
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    np.testing.assert_array_equal(ask(process, stream), expected)


def test_the_program_imports_nothing_of_the_project():
    source = isolation._PROGRAM.read_text("utf-8")
    assert "imaging" not in source.split('"""', 2)[2]
    assert decoder.__file__ == str(isolation._PROGRAM)


def test_a_decoder_that_aborts_costs_one_image(monkeypatch):
    # A precision of 28 bits: GDCM throws what nobody catches, and its process ends.
    dataset = Series(slices=1, rows=32, columns=32).file(0)
    dataset.compress(JPEGLSLossless, generate_instance_uid=False)
    (stream,) = generate_frames(dataset.PixelData, number_of_frames=1)
    monkeypatch.setattr(codecs, "_installed", lambda _: (("gdcm", "python-gdcm"),))
    damaged = bytearray(stream)
    damaged[damaged.index(b"\xff\xf7") + 4] = 28
    dataset.PixelData = encapsulate([bytes(damaged)])
    with pytest.raises(ImageRejected) as caught, headers.foreign_errors():
        list(codecs.decode(dataset)[0])
    assert caught.value.rejection == Rejection.MALFORMED
    assert codecs.PROCESS._child is None, "it did not abort: the test needs another stream"


def test_what_libraries_print_does_not_reach_the_answers(monkeypatch, capfd):
    read, write = os.pipe()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    pid = os.fork()
    if pid == 0:
        os.dup2(write, 1)
        monkeypatch.setattr(decoder, "_serve", lambda _, answers: (os.write(1, b"noise"), answers.write(b"answer")))
        monkeypatch.setattr(decoder, "ADDRESS_SPACE", -1)
        decoder.main()
        os._exit(0)
    os.close(write)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert os.read(read, 100) == b"answer"
    os.close(read)
