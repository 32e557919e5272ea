"""A real token in software: SoftHSM2 with its tokens in a temporary folder."""

import atexit
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from privacy.token.description import TokenDescription
from privacy.token.session import Token, token_of

PROGRAM = shutil.which("softhsm2-util")
MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm2.so")
MODULE = next((path for path in MODULES if Path(path).exists()), None)
TEMPLATES: list[Path] = []
"""One fresh token, once one was made."""
LABEL, PIN = "collegium", "271828"


def needed() -> None:
    """Skip the test where there is no SoftHSM2, unless it must be there."""
    if (PROGRAM is None or MODULE is None) and os.environ.get("COLLEGIUM_REQUIRE_SERVERS") != "1":
        pytest.skip("SoftHSM2 is not installed (Debian: softhsm2)")


class SoftHsm:
    """One token; it can be pulled out and plugged in again."""

    def __init__(self, root: Path) -> None:
        assert PROGRAM is not None
        assert MODULE is not None
        self.root, self.module = root, MODULE
        self.tokens, self.configuration, self.pin_file = root / "tokens", root / "softhsm2.conf", root / "pin"
        self.tokens.mkdir(parents=True)
        self.configuration.write_text(f"directories.tokendir = {self.tokens}\nlog.level = ERROR\n")
        self.pin_file.touch(mode=0o600)
        self.pin_file.write_text(PIN + "\n")
        if TEMPLATES:  # to make a token takes a process and a third of a second, to copy it does not
            shutil.copytree(TEMPLATES[0], self.tokens, dirs_exist_ok=True)
        else:
            self.initialize(LABEL)
            TEMPLATES.append(Path(tempfile.mkdtemp(prefix="softhsm-")) / "tokens")
            atexit.register(shutil.rmtree, TEMPLATES[0].parent, ignore_errors=True)
            shutil.copytree(self.tokens, TEMPLATES[0])

    def initialize(self, label: str) -> None:
        """One more token."""
        subprocess.run(
            [str(PROGRAM), "--init-token", "--free", "--label", label, "--so-pin", "31415926", "--pin", PIN],
            env={**os.environ, "SOFTHSM2_CONF": str(self.configuration)},
            check=True,
            capture_output=True,
        )

    def description(self, key_label: str = "st-marys", token: str = LABEL) -> TokenDescription:
        return TokenDescription(module=self.module, token=token, key_label=key_label, pin_file=str(self.pin_file))

    def file(self, key_label: str = "st-marys") -> Path:
        """`pkcs11.yaml` as a person would write it."""
        path = self.root / f"{key_label}.yaml"
        path.write_bytes(self.description(key_label).dump())
        return path

    def token(self, key_label: str = "st-marys") -> Token:
        return token_of(self.description(key_label))

    def unplug(self) -> None:
        self.tokens.rename(self.root / "unplugged")

    def plug_in(self) -> None:
        (self.root / "unplugged").rename(self.tokens)

    def labels(self) -> list[str]:
        """Of all private keys in the token, as its own tool would list them."""
        from pkcs11 import Attribute, ObjectClass

        wanted = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
        found = self.token("inspection")._do(lambda session: list(session.get_objects(wanted)))
        return sorted(str(key.label) for key in found)


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    """A token of this test alone; for the `conftest.py` of a package that wants it."""
    needed()
    made = SoftHsm(tmp_path / "hsm")
    monkeypatch.setenv("SOFTHSM2_CONF", str(made.configuration))
    return made
