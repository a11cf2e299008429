"""A wire with a delay: two tap devices, and a process that keeps each packet for a while before it passes it on.

    python relay.py TAP TAP SECONDS

What `tc netem delay` does, for kernels without it. Reads and writes whole Ethernet frames.
"""

import fcntl
import os
import select
import struct
import sys
import time
from collections import deque

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
FRAME = 2**16


def open_tap(name: str) -> int:
    """Makes the device, for as long as this process lives."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return device


def relay(one: int, two: int, delay: float) -> None:
    waiting = {one: deque(), two: deque()}
    """Of each device, what it is to send, and when."""
    other = {one: two, two: one}
    while True:
        first = min((queue[0][0] for queue in waiting.values() if queue), default=None)
        patience = None if first is None else max(0.0, first - time.monotonic())
        ready, _, _ = select.select([one, two], [], [], patience)
        due = time.monotonic() + delay
        for device in ready:
            waiting[other[device]].append((due, os.read(device, FRAME)))
        now = time.monotonic()
        for device, queue in waiting.items():
            while queue and queue[0][0] <= now:
                os.write(device, queue.popleft()[1])


if __name__ == "__main__":
    taps = [open_tap(name) for name in sys.argv[1:3]]
    print("ready", flush=True)
    relay(*taps, float(sys.argv[3]))
