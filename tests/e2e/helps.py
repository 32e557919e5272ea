"""Asks every command of a program for its help in one process; run as `python -m tests.e2e.helps silo`.

Prints one JSON object: what each command said, by its words, and which modules were imported when all had been asked.
"""

import json
import sys
from importlib import import_module

from typer.testing import CliRunner

from tests.e2e.programs import APPS, commands_of


def main(name: str) -> None:
    """Ask them all."""
    app = import_module(APPS[name]).app
    said = {}
    for words, _ in commands_of(name):
        ended = CliRunner().invoke(app, [*words[1:], "--help"], env={"COLUMNS": "200", "TERM": "dumb"}, color=False)
        said[" ".join(words)] = [ended.exit_code, ended.output]
    print(json.dumps({"said": said, "modules": sorted(sys.modules)}))


if __name__ == "__main__":
    main(sys.argv[1])
