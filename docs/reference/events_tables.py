"""Prints docs/reference/events.md from the table of events in the code: `make reference`."""

from privacy.operations.events import EVENTS

PLAIN = ", ".join(f"`{code}`" for code, kind in EVENTS.items() if kind.plain)
HEAD = f"""# Events

`collegium-silo run --log-json` and `collegium-aggregator serve --log-json` write one JSON line an event to standard
error, and nothing else: `time` (UTC), `event`, `program`, `study`, `round`, and the fields below. No line has patient
data or a metric. `code` is one of [these](error-codes.md); `sentence` says to a person what is wrong and what to do,
and names addresses, hospitals and files of the state directory. The text of an error that is not ours, and what a
library logs, is left out, since it may quote what was read.

Without the option these are plain lines: {PLAIN}.
`run` then also writes a line as each round ends, with how long its phases took, and one for a phase that has lasted
half a minute (four times as long, and so on) with what is awaited. An error that ends the program is then a sentence,
and a defect is shown in full.
This page is printed by `docs/reference/events_tables.py`; a test compares it.

| event | fields | when |
|---|---|---|"""


def main() -> None:
    """Print the page."""
    print(HEAD)
    for code, kind in EVENTS.items():
        print(f"| `{code}` | {', '.join(f'`{name}`' for name in sorted(kind.fields))} | {kind.what} |")


if __name__ == "__main__":
    main()
