# SPDX-License-Identifier: Apache-2.0
"""Runs a program, and writes the most memory that it ever had resident, in KiB, to a file.

usage: _peak_memory.py FILE PROGRAM [ARGUMENT...]
"""

import resource
import subprocess
import sys

code = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
