"""The TUN device on a real kernel, opened by python-pytun and by the fallback."""

from __future__ import annotations

import json
import sys

import pytest

from ghost.runtime.namespaces import NamespacePair

OPEN_TWICE = """
import json, os, subprocess, sys
if sys.argv[1] == "without pytun":
    sys.modules["pytun"] = None
from ghost.errors import HostError
from ghost.runtime.tun import open_tun
tun = open_tun("gtest0")
try:
    open_tun("gtest0")
    again = ""
except HostError as error:
    again = str(error)
try:
    tun.read(2048)
    idle = ""
except BlockingIOError:
    idle = "would block"
for command in ("address add 10.9.0.1/24 dev gtest0", "link set gtest0 addrgenmode none", "link set gtest0 up"):
    subprocess.run(["ip", *command.split()], check=True)
subprocess.run(["ping", "-c", "1", "-W", "0.1", "10.9.0.2"], stdout=subprocess.DEVNULL)
packet = tun.read(2048)
tun.close()
gone = not os.path.exists("/sys/class/net/gtest0")
print(json.dumps({"again": again, "idle": idle, "first_byte": packet[0], "target": packet[16:20].hex(), "gone": gone}))
"""


@pytest.mark.parametrize("way", ["with pytun", "without pytun"])
def test_a_device_carries_bare_ip_packets_and_vanishes_with_its_owner(pair: NamespacePair, way: str) -> None:
    done = pair.run("a", sys.executable, "-c", OPEN_TWICE, way, timeout=20)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "again": "network device gtest0 exists already: stop what uses it or choose another --tun-name",
        "idle": "would block",
        "first_byte": 0x45,
        "target": "0a090002",
        "gone": True,
    }
