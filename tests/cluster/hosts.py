"""Two hosts on this machine: network namespaces with an address and an sshd each, joined by a bridge."""

import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

NAMES = ("ibh1", "ibh2")
BRIDGE, FAR_BRIDGE = "ibbridge", "ibfar"
TAPS = ("ibtap1", "ibtap2")
SSHD = """Port 22
ListenAddress {address}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PermitRootLogin yes
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile {folder}/{name}.pid
"""
NAMES_KNOWN = """127.0.0.1 localhost
10.77.0.1 ibh1
10.77.0.2 ibh2
"""
SSH = """Host *
  IdentityFile {folder}/key
  StrictHostKeyChecking no
  UserKnownHostsFile /dev/null
  LogLevel ERROR
"""


class Hosts:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._daemons: dict[str, subprocess.Popen] = {}
        self._relay: subprocess.Popen | None = None

    def start(self) -> None:
        self._clear()
        for name in ("key", "host_key"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name))
        (self.folder / "config").write_text(SSH.format(folder=self.folder))
        (self.folder / "hosts").write_text("".join(f"{name} slots=1\n" for name in NAMES))
        (self.folder / "names").write_text(NAMES_KNOWN)
        # ssh looks for its settings in the home of the user whatever HOME says.
        (self.folder / "bin").mkdir()
        wrapper = self.folder / "bin" / "ssh"
        wrapper.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {self.folder}/config "$@"\n')
        wrapper.chmod(0o755)
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "link", "set", BRIDGE, "up")
        Path("/run/sshd").mkdir(exist_ok=True)
        for number, name in enumerate(NAMES, start=1):
            self._start_host(name, f"10.77.0.{number}")

    def _start_host(self, name: str, address: str) -> None:
        run("ip", "netns", "add", name)
        run("ip", "link", "add", f"{name}v", "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", f"{name}v", "master", BRIDGE, "up")
        for words in (
            ("addr", "add", f"{address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            run("ip", "-n", name, *words)
        config = self.folder / f"{name}.conf"
        config.write_text(SSHD.format(folder=self.folder, name=name, address=address))
        self._daemons[name] = subprocess.Popen(self.on(name, "/usr/sbin/sshd", "-D", "-f", str(config)))
        deadline = time.monotonic() + 10
        while subprocess.run(
            self.on(name, f"{self.folder}/bin/ssh", name, "true"), capture_output=True
        ).returncode:
            assert time.monotonic() < deadline, f"the sshd of {name} did not start"
            time.sleep(0.2)

    def on(self, name: str, *words: str) -> list[str]:
        """These words as typed on a host: with its network, its name, the names that it knows, and its own core."""
        become = f'hostname "$0"; mount --bind {self.folder}/names /etc/hosts; exec "$@"'
        named = ("unshare", "--uts", "--mount", "sh", "-c", become, name)
        # Two hosts that take each other's cores wait for each other more than for the wire.
        core = ("taskset", "-c", str(NAMES.index(name) % os.cpu_count()))
        return ["ip", "netns", "exec", name, *core, *named, *words]

    def mpirun(self, command: list[str]) -> list[str]:
        """A rank on each host, started from the first."""
        tcp = [word for kind in ("btl", "oob") for word in ("--mca", f"{kind}_tcp_if_include", "eth0")]
        words = ["mpirun", "--allow-run-as-root", "--host", ",".join(NAMES), "-n", "2", *tcp]
        words += ["--mca", "plm_rsh_agent", f"{self.folder}/bin/ssh", "-x", "PATH", "-x", "OMP_NUM_THREADS"]
        return self.on(NAMES[0], *words, sys.executable, *command)

    def hide(self, name: str, folder: Path) -> None:
        """This host, and no other, no longer has what is in the folder."""
        self._in_mounts_of(name, "mount", "-t", "tmpfs", "tmpfs", str(folder))

    def show(self, name: str, folder: Path) -> None:
        self._in_mounts_of(name, "umount", str(folder))

    def _in_mounts_of(self, name: str, *words: str) -> None:
        run("nsenter", "-t", str(self._daemons[name].pid), "-m", *words)

    def deepspeed(self, command: list[str], *flags: str, hostfile: str = "") -> list[str]:
        """`deepspeed script …`, typed on the first host with launcher flags behind the script."""
        flags = ("--hostfile", hostfile or str(self.folder / "hosts"), "--master_addr", "10.77.0.1", *flags)
        words = shlex.join(["deepspeed", *command, *flags])
        return self.on(NAMES[0], "sh", "-c", f"PATH={self.folder}/bin:$PATH; exec {words}")

    def cut(self, name: str) -> None:
        run("ip", "link", "set", f"{name}v", "down")

    def join(self, name: str) -> None:
        run("ip", "link", "set", f"{name}v", "up")

    def shape(self, megabits: float) -> None:
        """What each host sends passes a bucket of this rate."""
        for name in NAMES:
            bucket = ["tbf", "rate", f"{megabits}mbit", "burst", "16k", "latency", "2s"]
            run("tc", "-n", name, "qdisc", "replace", "dev", "eth0", "root", *bucket)

    def unshape(self) -> None:
        for name in NAMES:
            run("tc", "-n", name, "qdisc", "del", "dev", "eth0", "root")

    def delay(self, seconds: float) -> None:
        """What a host sends reaches the other so much later: the second one moves to the far end of a slow wire."""
        words = [sys.executable, str(Path(__file__).with_name("relay.py")), *TAPS, str(seconds)]
        self._relay = subprocess.Popen(words, stdout=subprocess.PIPE)
        assert self._relay.stdout.readline() == b"ready\n"
        run("ip", "link", "add", FAR_BRIDGE, "type", "bridge")
        for device, bridge in zip((*TAPS, f"{NAMES[1]}v"), (BRIDGE, FAR_BRIDGE, FAR_BRIDGE), strict=True):
            run("ip", "link", "set", device, "master", bridge, "up")
        run("ip", "link", "set", FAR_BRIDGE, "up")

    def undelay(self) -> None:
        run("ip", "link", "set", f"{NAMES[1]}v", "master", BRIDGE)
        self._relay.kill()
        self._relay.wait()
        self._relay = None
        run("ip", "link", "del", FAR_BRIDGE)

    def block(self, name: str, address: str, port: int, lift: bool = False) -> None:
        """What a host sends to this port is lost; or no longer."""
        verb = "del" if lift else "add"
        run("ip", "-n", name, "rule", verb, "to", address, "dport", str(port), "blackhole")

    def sent(self, name: str) -> int:
        """Bytes that a host has sent."""
        counter = self.on(name, "cat", "/sys/class/net/eth0/statistics/tx_bytes")
        return int(subprocess.run(counter, capture_output=True, text=True, check=True).stdout)

    def stop(self) -> None:
        for daemon in (*self._daemons.values(), *([self._relay] if self._relay else [])):
            daemon.terminate()
            daemon.wait(timeout=10)
        self._clear()

    @staticmethod
    def _clear() -> None:
        """What an earlier run may have left, too: a namespace lives as long as a process in it."""
        for name in NAMES:
            pids = subprocess.run(
                ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
            ).stdout
            for pid in pids.split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
            subprocess.run(["ip", "link", "del", f"{name}v"], capture_output=True, check=False)
        for bridge in (BRIDGE, FAR_BRIDGE):
            subprocess.run(["ip", "link", "del", bridge], capture_output=True)


def run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
