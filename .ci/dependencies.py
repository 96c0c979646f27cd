"""Checks licences, sources and forbidden crates of every dependency against deny.toml.

Reads `cargo metadata` from standard input. cargo-deny checks more (advisories, wildcards), but takes long to build.
"""
import json
import pathlib
import re
import sys
import tomllib

DENY = tomllib.loads((pathlib.Path(__file__).resolve().parent.parent / "deny.toml").read_text(encoding="utf-8"))
ALLOWED = set(DENY["licenses"]["allow"])
FORBIDDEN = {crate["crate"] for crate in DENY["bans"]["deny"]}


def allowed(expression):
    """Whether a licence expression (SPDX: AND binds closer than OR, WITH belongs to its name) can be met."""
    words = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))

    def choice():
        met = both()
        while words and words[0] == "OR":
            words.pop(0)
            met = both() or met
        return met

    def both():
        met = one()
        while words and words[0] == "AND":
            words.pop(0)
            met = one() and met
        return met

    def one():
        name = words.pop(0)
        if name == "(":
            met = choice()
            words.pop(0)
            return met
        if words and words[0] == "WITH":
            name = " ".join((name, words.pop(0), words.pop(0)))
        return name in ALLOWED

    return choice()


for expression, met in {"MIT/Apache-2.0": True, "GPL-3.0 OR MIT": True, "GPL-3.0": False, "MIT AND (GPL-3.0 OR Zlib)": True,
                        "(MIT OR Zlib) AND GPL-3.0": False, "Apache-2.0 WITH Unknown-exception": False}.items():
    assert allowed(expression) == met, expression

wrong = []
packages = json.load(sys.stdin)["packages"]
for package in packages:
    name = f"{package['name']} {package['version']}"
    if not package["license"] or not allowed(package["license"]):
        wrong.append(f"{name}: licence {package['license']} is not among those allowed")
    if package["source"] not in (None, "registry+https://github.com/rust-lang/crates.io-index"):
        wrong.append(f"{name}: comes from {package['source']}")
    if package["name"] in FORBIDDEN:
        wrong.append(f"{name}: is forbidden")
print("\n".join(wrong) or f"{len(packages)} packages: licences, sources and names are fine")
sys.exit(bool(wrong))
