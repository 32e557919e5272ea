"""The program of the decoding process: takes one compressed frame after the other, and gives back its pixels.

Native decoders were seen to abort and to hang on damaged frames, so that they run in a process of their own, which
`isolation` starts, limits and kills. Reads questions from standard input and writes answers to standard output,
each as two lengths, JSON, and bytes. Imports nothing of the project: it is run as a file, and knows nothing but
the frame that it is asked for.
"""

import json
import os
import resource
import struct
import sys
from typing import Any, BinaryIO

ADDRESS_SPACE = 6 * 2**30
"""What the process may take: the largest frame in a decoder's own 32 bits a sample, several times."""


def main() -> None:
    """Answer until standard input ends."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold a patient's image
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    # Libraries print to standard output and error; the answers get a descriptor that they do not know.
    with os.fdopen(os.dup(1), "wb") as answers:
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        _serve(sys.stdin.buffer, answers)


def _serve(questions: BinaryIO, answers: BinaryIO) -> None:
    while head := questions.read(8):
        lengths = struct.unpack(">II", head)
        question, stream = json.loads(questions.read(lengths[0])), questions.read(lengths[1])
        try:
            frame = _decoded(question, stream)
        except Exception:  # noqa: BLE001 - whatever a decoder raises: the answer is that it cannot
            answer, pixels = b"{}", b""
        else:
            answer = json.dumps({"dtype": frame.dtype.str, "shape": frame.shape}).encode()
            pixels = frame.tobytes()
        answers.write(struct.pack(">II", len(answer), len(pixels)) + answer)
        answers.write(pixels)
        answers.flush()


def _decoded(question: dict[str, Any], stream: bytes) -> Any:
    """One frame by the decoder that the question names."""
    import pydicom.config
    from pydicom import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.pixels.decoders.base import get_decoder

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = question["syntax"]
    for keyword, value in question["attributes"].items():
        setattr(dataset, keyword, value)
    dataset.PixelData = encapsulate([stream])
    frame, _ = get_decoder(question["syntax"]).as_array(
        dataset, index=0, raw=not question["colour"], decoding_plugin=question["plugin"]
    )
    return frame


if __name__ == "__main__":
    main()
