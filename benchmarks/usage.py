"""What a process uses of a machine, as the kernel counts it: memory at its peak, CPU, threads, bytes written."""

import os
from pathlib import Path


class Usage:
    """What a process has used so far, as the kernel counts it; its peak of memory starts anew here."""

    def __init__(self, pid: int) -> None:
        proc = Path("/proc") / str(pid)
        lines = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        self.peak_mb = int(lines["VmHWM"].split()[0]) * 1024 / 1e6
        self.threads = int(lines["Threads"])
        after_name = (proc / "stat").read_text().rpartition(")")[2].split()
        self.cpu_s = (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")
        written = dict(line.split(":") for line in (proc / "io").read_text().splitlines())
        self.written = int(written["write_bytes"])
        (proc / "clear_refs").write_text("5")

    def since(self, before: "Usage | None") -> dict[str, float]:
        """The difference to earlier, or to the beginning of the process; of memory the peak since then."""
        return {
            "peak_mb": round(self.peak_mb, 1),
            "threads": self.threads,
            "cpu_s": round(self.cpu_s - (before.cpu_s if before else 0), 2),
            "written_bytes": self.written - (before.written if before else 0),
        }
