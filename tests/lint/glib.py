# SPDX-License-Identifier: Apache-2.0
"""What of GLib the library may use. Where memory runs out, most of GLib ends the process, which is
the embedder's: whatever size it was, a guest or a caller may have come that near to the end."""

import re

from source import lines, strip

# These allocate nothing, or say NULL.
ALLOWED = re.compile(
    r"g_try_\w+|g_free|g_autofree|g_autoptr|g_auto|g_steal_pointer|g_clear_pointer|"
    r"g_strlcpy|g_strlcat|g_utf8_validate(_len)?|"
    r"g_ascii_(is\w+|strtoll|strtoull|digit_value|xdigit_value|tolower|toupper|str(n)?casecmp)")

# What a file may use besides, each name with the reason for which it cannot run out of memory, as
# {"lib/room/file.c": {"g_name": "reason"}}.
EXCEPTIONS = {}

# On the stack, sizes end the process as well.
CALL = re.compile(r"(?<![\w.>])(g_[a-z]\w*|alloca|strdupa|strndupa)\b")


def allocation(tree):
    """no function of GLib that ends the process without memory is used"""
    for path, text in tree.items():
        if not path.startswith("lib/") or not path.endswith((".c", ".h", ".inc")):
            continue
        allowed_here = EXCEPTIONS.get(path, {})
        for number, line in lines(strip(text)):
            for found in CALL.finditer(line):
                name = found.group(1)
                if not ALLOWED.fullmatch(name) and name not in allowed_here:
                    yield path, number, f"uses {name}, which may end the process"


RULES = [allocation]
