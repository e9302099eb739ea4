# SPDX-License-Identifier: Apache-2.0
"""Python's tarfile as a tool with the options that the tests need.

usage: _tar_tool.py create FORMAT ARCHIVE DIRECTORY [EXCLUDED...]
       _tar_tool.py extract ARCHIVE DIRECTORY
       _tar_tool.py list ARCHIVE
"""

import sys
import tarfile

FORMATS = {"pax": tarfile.PAX_FORMAT, "gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}


def create(form, archive, directory, *excluded):
    def wanted(member):
        return None if member.name.removeprefix("./").split("/")[0] in excluded else member

    mode = "w:gz" if archive.endswith(".gz") else "w"
    with tarfile.open(archive, mode, format=FORMATS[form]) as tar:
        tar.add(directory, arcname=".", filter=wanted)


def extract(archive, directory):
    with tarfile.open(archive) as tar:
        tar.extractall(directory, numeric_owner=True, filter="fully_trusted")


def list_names(archive):
    with tarfile.open(archive) as tar:
        for member in tar:
            print(ascii(member.name))


{"create": create, "extract": extract, "list": list_names}[sys.argv[1]](*sys.argv[2:])
