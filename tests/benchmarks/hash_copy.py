"""The least that a durable snapshot of one file can be: hash while copying, once, and flush.

The baseline of W1, run as a process of its own: ``python hash_copy.py SOURCE TARGET``.
"""

import hashlib
import os
import sys


def main() -> None:
    """Copy, flush, and print the SHA-256."""
    digest = hashlib.sha256()
    buffer = bytearray(1 << 20)
    view = memoryview(buffer)
    with open(sys.argv[1], "rb", buffering=0) as source, open(sys.argv[2], "xb", 0) as target:
        while count := source.readinto(buffer):
            digest.update(view[:count])
            target.write(view[:count])
        os.fsync(target.fileno())
    sys.stdout.write(f"{digest.hexdigest()}\n")


main()
