# SPDX-License-Identifier: Apache-2.0
"""Makes the tree that archives are tried with: everything that a root file system has, and what breaks careless tools.

Python, because Deno cannot say a name that is not UTF-8. Each directory at the top holds what one kind of archive may be
unable to carry, so that it can be left out by name.

usage: _rich_tree.py NEW_DIRECTORY
"""

import os
import stat
import struct
import subprocess
import sys

MIB = 1 << 20


def fill(path, size=0):
    """A file whose content does not repeat and depends on its size alone."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(b"".join(struct.pack(">I", number * 2654435761 % (1 << 32)) for number in range(size // 4 + 1))[:size])
    return path


def sizes():
    for size in [0, 1, 511, 512, 513, 128 * 1024 - 1, 128 * 1024, 128 * 1024 + 1, MIB]:
        fill(f"sizes/{size}", size)
    os.mkdir("sizes/empty directory")


def modes():
    for mode in [0o4755, 0o2755, 0o7777, 0o000, 0o640]:
        os.chmod(fill(f"modes/file-{mode:o}", 5), mode)
    for mode in [0o1777, 0o2775, 0o000, 0o700]:
        fill(f"modes/directory-{mode:o}/file", 5)
        os.chmod(f"modes/directory-{mode:o}", mode)


def owners():
    for uid, gid in [(0, 0), (1000, 1001), (0o777777, 0o777777)]:
        os.chown(fill(f"owners/{uid}", 5), uid, gid)
    setuid = fill("owners/setuid", 5)
    os.chown(setuid, 1000, 50)
    os.chmod(setuid, 0o6755)
    os.makedirs("owners/directory")
    os.chown("owners/directory", 1000, 1001)
    os.symlink("nowhere", "owners/symlink")
    os.lchown("owners/symlink", 1000, 1001)
    for uid, gid in [(0o7777777, 0o7777777), (0o7777777 + 1, 0o7777777 + 1), (4294967294, 4294967294)]:
        os.chown(fill(f"large-owners/{uid}", 5), uid, gid)


def times():
    second = 10**9
    late = [("8 GiB", (1 << 33) * second), ("year 2400", 13569465600 * second)]
    cases = [
        ("times", [("zero", 0), ("one", second), ("octal end", ((1 << 33) - 1) * second)]),
        ("late-times", late),
        ("fractions", [("half", 15 * second // 10), ("fine", 981173106 * second + 123456789), ("small", second + 1)]),
        ("negative-times", [("minus one", -second), ("minus 1.75", -175 * second // 100), ("minus tiny", -1)]),
    ]
    for directory, names in cases:
        for name, time in names:
            os.utime(fill(f"{directory}/{name}", 5), ns=(time, time))
            os.symlink("target", f"{directory}/{name} link")
            os.utime(f"{directory}/{name} link", ns=(time, time), follow_symlinks=False)
            os.mkdir(f"{directory}/{name} directory")


def links():
    for name in ["links/a/first", "links/of-three"]:
        fill(name, 600)
    os.makedirs("links/b/deep")
    os.link("links/a/first", "links/b/second")
    os.link("links/of-three", "links/a/of-three")
    os.link("links/of-three", "links/b/deep/of-three")
    os.mkdir("symlinks")
    for name, target in [("absolute", "/etc/passwd"), ("dangling", "no such file"), ("up", "../../../../up")]:
        os.symlink(target, f"symlinks/{name}")
    os.mkdir("full-symlinks")
    os.symlink("t" * 100, "full-symlinks/100")
    os.mkdir("long-symlinks")
    for length in [101, 255, 256, 4095]:
        os.symlink(("t" * 99 + "/") * (length // 100) + "e" * (length % 100), f"long-symlinks/{length}")
    os.mkdir("linked-symlinks")
    os.symlink("target", "linked-symlinks/first")
    os.link("linked-symlinks/first", "linked-symlinks/second", follow_symlinks=False)


def special():
    os.mkdir("special")
    os.mkfifo("special/fifo", 0o644)
    os.mknod("special/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod("special/disk", 0o660 | stat.S_IFBLK, os.makedev(8, 17))
    os.mkdir("linked-special")
    os.mkfifo("linked-special/fifo", 0o600)
    os.link("linked-special/fifo", "linked-special/second fifo")
    os.mkdir("large-devices")
    os.mknod("large-devices/block", 0o600 | stat.S_IFBLK, os.makedev(4095, 1048575))


def names():
    for name in ["with space", " leading", "trailing ", "-rf", "--checkpoint=1", "*?[a]", "'quoted\" $HOME `id`", "#", "%s", "a:b", "=", "@x", "~"]:
        fill(f"names/{name}", 5)
    for name in ["new\nline", "tab\tbell\a", "back\\slash", "\\101"]:
        fill(f"odd-names/{name}", 5)
    for name in ["\u00fcml\u00e4ut NFC", "u\u0308mla\u0308ut NFD", "\u65e5\u672c\u8a9e", "\U0001f980"]:
        fill(f"unicode-names/{name}", 5)
        os.symlink(name, f"unicode-names/to {name}")
    for name in [b"latin1 \xfcml\xe4ut", b"\xff\xfe", b"cut \xe6\x97"]:
        fill(b"byte-names/" + name, 5)
        os.symlink(name, b"byte-names/to " + name)
    for length in [99, 100, 101, 255]:
        directory = "long-names/"
        fill(directory + "n" * (length - len(directory)) + "x" * (11 if length == 255 else 0), 5)
    deep = "/".join(["long-names"] + [chr(97 + i) * 100 for i in range(12)])
    fill(f"{deep}/leaf", 5)
    os.link(f"{deep}/leaf", "long-names/link to the leaf")
    os.mkdir("long-names/" + "d" * 200)


def attributes():
    values = {"empty": b"", "text": b"value", "binary": bytes(range(256)), "lines": b"a\nb=c\n12 x=y\n", "long": b"v" * 2000}
    for path in [fill("xattrs/file", 600), "xattrs"]:
        for name, value in values.items():
            os.setxattr(path, f"user.{name}", value)
    os.setxattr(fill("xattrs/dotted", 5), "user.a.b.c", b"1")
    os.symlink("file", "xattrs/symlink")
    os.setxattr("xattrs/symlink", "trusted.on-symlink", b"x", follow_symlinks=False)
    subprocess.run(["setcap", "cap_net_raw,cap_net_admin+ep", fill("capabilities/second revision", 600)], check=True)
    third = struct.pack("<IIIIII", 0x03000001, 1 << 13, 0, 0, 0, 100000)
    os.setxattr(fill("capabilities/third revision", 600), "security.capability", third)
    os.chown(fill("capabilities/of a user", 600), 1000, 1000)
    os.setxattr("capabilities/of a user", "security.capability", struct.pack("<IIIII", 0x02000000, 1 << 10, 0, 0, 0))


def acls():
    os.makedirs("acls/directory")
    subprocess.run(["setfacl", "-m", "u:1234:rw,g:55:r,m:rw", fill("acls/file", 5)], check=True)
    subprocess.run(["setfacl", "-m", "u:1234:rx", "-d", "-m", "g:55:rx", "acls/directory"], check=True)
    subprocess.run(["setfacl", "-b", fill("acls/directory/after", 5)], check=True)


def settle():
    """Times that the making itself left on directories and files become whole seconds in the past."""
    timed = ("times", "late-times", "fractions", "negative-times")
    for directory, directories, files in os.walk(b".", topdown=False):
        if directory.split(b"/")[1:2] and os.fsdecode(directory.split(b"/")[1]) in timed:
            continue
        for name in files + [d for d in directories if os.path.islink(os.path.join(directory, d))]:
            os.utime(os.path.join(directory, name), (1e9, 1e9), follow_symlinks=False)
        os.utime(directory, (1234567890, 1234567890))
    for name in timed:
        os.utime(name, (1234567890, 1234567890))
        for inner in os.listdir(name):
            if inner.endswith(" directory"):
                like = os.stat(f"{name}/{inner.removesuffix(' directory')}").st_mtime_ns
                os.utime(f"{name}/{inner}", ns=(like, like))
    os.utime(".", (1234567890, 1234567890))


os.umask(0o022)
os.mkdir(sys.argv[1], 0o755)
os.chdir(sys.argv[1])
for make in [sizes, modes, owners, times, links, special, names, attributes, acls, settle]:
    make()
