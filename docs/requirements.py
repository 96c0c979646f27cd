#!/usr/bin/env python3
"""Writes requirements.tsv beside this file: the rules of the standards that a test names, with our sentence for each.

usage: python3 docs/requirements.py IDS.tsv

IDS.tsv is a table of rules with a header line that names at least the columns id, level and requirement. A test names its rules in
a line `// req: 6749-4.1.3-3, 7636-4.5-1` directly above it, in `src` or `tests`. A named id that the table does not have is an error,
and then nothing is written.
"""
import csv
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent


def named_rules(root):
    """From each id that a test names to the first place that does."""
    named = {}
    for folder in ("src", "tests"):
        for path in sorted((root / folder).rglob("*.rs")):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                match = re.match(r"\s*// req:(.*)", line)
                for ident in filter(None, (i.strip() for i in match[1].split(","))) if match else ():
                    named.setdefault(ident, f"{path.relative_to(root)}:{number}")
    return named


def natural(ident):
    """7636-4.10-1 comes after 7636-4.9-1."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"\d+|\D+", ident)]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8", newline="") as file:
        rules = {row["id"]: row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}
    named = named_rules(HERE.parent)
    unknown = sorted(set(named) - set(rules), key=natural)
    if unknown:
        sys.exit("\n".join(f"{named[ident]}: no rule has the id {ident}" for ident in unknown))
    lines = ["id\tlevel\tsentence"]
    for ident in sorted(named, key=natural):
        rule = rules[ident]
        lines.append("\t".join((ident, rule["level"], rule["requirement"].strip())))
    (HERE / "requirements.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(named)} rules of {len(rules)} are named by a test")


main()
