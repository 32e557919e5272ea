"""The five programs and all their commands."""

from collections.abc import Iterator
from importlib import import_module

import typer
from typer.core import TyperGroup

APPS = {
    "silo": "silo_node.app",
    "aggregator": "aggregator.app",
    "consortium": "deploy.consortium.app",
    "compliance": "compliance.app",
    "sandbox": "deploy.sandbox.app",
}


def commands_of(name: str) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every command of a program with the words that call it; groups too."""

    def below(words: tuple[str, ...], command: object) -> Iterator[tuple[tuple[str, ...], object]]:
        yield words, command
        if isinstance(command, TyperGroup):
            for word, child in command.commands.items():
                yield from below((*words, word), child)

    yield from below((name,), typer.main.get_command(import_module(APPS[name]).app))
