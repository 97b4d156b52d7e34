# SPDX-License-Identifier: Apache-2.0
"""The built library, the version map and the public headers name the same functions."""

import os
import re
import subprocess
import sys

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TESTS, "lint"))
import headers  # noqa: E402

# What an embedder has to have at run time, besides the C library's own parts.
NEEDED = re.compile(r"^(libglib-2\.0|libz|libfdt|libslirp|liburing|libc|libm|librt|libpthread|"
                    r"libasan|libubsan|libtsan|libgcc_s|ld-linux-[\w-]+)\.so\.\d+$")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def read_map(path):
    """Name of each exported function, and the node it stands in."""
    with open(path, encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/|#[^\n]*", "", file.read(), flags=re.DOTALL)
    nodes = re.findall(r"(VMKIT_[\d.]+)\s*\{(.*?)\}\s*(VMKIT_[\d.]+)?\s*;", text, re.DOTALL)
    names = {}
    for node, body, _ in nodes:
        for part in re.findall(r"global:(.*?)(?:local:|$)", body, re.DOTALL):
            names.update({name: node for name in re.findall(r"\bvmkit_\w+(?=;)", part)})
    return names, nodes


def exported(library):
    """Name of each defined dynamic symbol, and its version; the nodes' own symbols are left out."""
    found = {}
    for line in run("nm", "-D", "--defined-only", "--with-symbol-versions", library).splitlines():
        kind, name = line.split()[1:3]
        if kind != "A":
            symbol, _, version = name.partition("@")
            found[symbol] = version.lstrip("@")
    return found


def declared(include):
    """Name of each function in the headers, and the version that its comment names."""
    found = {}
    for name in sorted(os.listdir(os.path.join(include, "vmkit"))):
        if name.endswith(".h"):
            with open(os.path.join(include, "vmkit", name), encoding="utf-8") as file:
                for function, _, _, comment, _ in headers.functions(file.read()):
                    since = re.search(r"@since\s+([\d.]+\d)", comment)
                    found[function] = since.group(1) if since else "never"
    return found


def internal_names(archive):
    """Global functions and data of the internal library that carry no prefix of ours."""
    names = {line.split()[-1] for line in
             run("nm", "-g", "--defined-only", archive).splitlines() if len(line.split()) == 3}
    return sorted(name for name in names if not re.match(r"vmk_|vmkit_|__(?:odr_)?asan", name))


def chain(nodes):
    """Nodes that do not inherit from the one before them."""
    return [node for (before, *_), (node, _, parent) in zip(nodes, nodes[1:]) if parent != before]


def checks(library, archive, map_path, include, soname):
    in_map, nodes = read_map(map_path)
    in_library = exported(library)
    in_headers = declared(include)
    dynamic = run("readelf", "-dW", library)
    segments = run("readelf", "-lW", library)
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic)

    yield "the library exports what the map names", sorted(set(in_map) - set(in_library))
    yield "the map names what the library exports", sorted(set(in_library) - set(in_map))
    yield "each symbol has the version of its node", sorted(
        name for name, version in in_library.items() if in_map.get(name, version) != version)
    yield "the headers declare what the map names", sorted(set(in_map) - set(in_headers))
    yield "the map names what the headers declare", sorted(set(in_headers) - set(in_map))
    yield "each @since is the version of its node", sorted(
        f"{name}: @since {since}" for name, since in in_headers.items()
        if in_map.get(name, "VMKIT_" + since) != "VMKIT_" + since)
    yield "each node inherits from the one before", chain(nodes)
    yield f"the soname is {soname}", [] if f"soname: [{soname}]" in dynamic else [dynamic]
    yield "the library needs no unexpected library", [
        name for name in needed if not NEEDED.match(name)]
    yield "the library has no text relocations", ["TEXTREL"] if "TEXTREL" in dynamic else []
    yield "the library asks for no executable stack", re.findall(r"GNU_STACK.*RWE", segments)
    yield "internal names have a prefix", internal_names(archive)


def main(arguments):
    results = list(checks(*arguments))
    print(f"1..{len(results)}")
    for number, (name, wrong) in enumerate(results, 1):
        print(f"{'not ' if wrong else ''}ok {number} - {name}")
        for line in wrong:
            print(f"# {line}")
    return 1 if any(wrong for _, wrong in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
