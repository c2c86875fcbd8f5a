#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the table of values in helm/reqtap/README.md from values.yaml; --check only compares."""
import re
import sys
from pathlib import Path

import yaml

CHART = Path(__file__).resolve().parents[2] / "helm" / "reqtap"
MARK = "<!-- values: written by tests/helm/readme.py -->"


def comments(text):
    """The comment above each key, by its dotted path."""
    found, path, comment = {}, [], []
    for line in text.splitlines():
        key = re.match(r"^( *)([A-Za-z][A-Za-z0-9]*):", line)
        if line.strip().startswith("#"):
            comment.append(line.strip("# "))
            continue
        if key:
            path = path[: len(key[1]) // 2] + [key[2]]
            found[".".join(path)] = " ".join(comment)
        comment = []
    return found


def rows(values, words, prefix=""):
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value and not words.get(name):
            yield from rows(value, words, name + ".")
            continue
        default = yaml.safe_dump(value, default_flow_style=True, width=999).splitlines()[0]
        yield f"| `{name}` | `{default}` | {words.get(name, '').replace('|', chr(92) + '|')} |"


def main():
    text = (CHART / "values.yaml").read_text()
    table = "\n".join(["| value | default | |", "|---|---|---|", *rows(yaml.safe_load(text), comments(text))])
    readme = CHART / "README.md"
    old = readme.read_text()
    head = old.split(MARK)[0]
    new = f"{head}{MARK}\n\n{table}\n"
    if "--check" in sys.argv:
        return 0 if new == old else "helm/reqtap/README.md: run tests/helm/readme.py"
    readme.write_text(new)
    return 0


sys.exit(main())
