#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's kernels by package name, unpacked into a cache; nothing is installed.

Other suites than the machine's own are read with a sources list and a lists folder of their own,
from the mirror and with the keys that this machine's apt already uses.
"""
import re
import shutil
import subprocess
from pathlib import Path

SUITES = {
    "5.10": "bullseye",
    "6.1": "bookworm",
    "6.12": "trixie",
    "7.2": "forky",
    "7.3": "trixie-backports",
}


class Missing(Exception):
    """What is missing, for a skip."""


def run(*command, cwd=None):
    done = subprocess.run(command, cwd=cwd, text=True, capture_output=True, check=False)
    if done.returncode:
        raise Missing(f"{command[0]}: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    return done.stdout


def mirror():
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)', Path("/etc/os-release").read_text(encoding="utf-8"), re.M))
    sites = run("apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Component: main",
                f"Codename: {release.get('VERSION_CODENAME')}").split()
    if not sites:
        raise Missing("apt has no source for this Debian release")
    return sites[0]


class Suite:
    """One suite of the mirror for one architecture."""

    def __init__(self, cache, suite, arch):
        self.home = cache / "apt" / f"{suite}-{arch}"
        self.options = []
        for name, value in {
            "Dir::Etc::sourcelist": self.home / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": self.home / "lists",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": self.home / "cache",
            "APT::Architecture": arch,
            "APT::Architectures": arch,
            "APT::Sandbox::User": "root",
            "Acquire::http::Timeout": "20",  # a machine without a network says so soon
            "Acquire::https::Timeout": "20",
            "Acquire::Retries": "1",
        }.items():
            self.options += ["-o", f"{name}={value}"]
        if not (self.home / "read").exists():
            for folder in ("lists/partial", "cache/archives/partial"):
                (self.home / folder).mkdir(parents=True, exist_ok=True)
            (self.home / "sources.list").write_text(f"deb {mirror()} {suite} main\n", encoding="utf-8")
            run("apt-get", *self.options, "-qq", "update")
            (self.home / "read").touch()

    def depends(self, package):
        shown = run("apt-cache", *self.options, "show", "--no-all-versions", package)
        found = re.search(r"^Depends: (.*)$", shown, re.M)
        return re.findall(r"(?:^|, |\| )([a-z0-9.+-]+)", found[1]) if found else []

    def unpack(self, package, into):
        self.home.joinpath("debs").mkdir(exist_ok=True)
        into.mkdir(parents=True, exist_ok=True)
        run("apt-get", *self.options, "-qq", "download", package, cwd=self.home / "debs")
        for deb in (self.home / "debs").glob("*.deb"):
            run("dpkg", "-x", str(deb), str(into))
            deb.unlink()


def fetch(cache, version, arch="amd64"):
    """The path of the kernel's image; downloaded once. Raises Missing."""
    if version not in SUITES:
        raise Missing(f"no kernel '{version}'; known: {' '.join(SUITES)}")
    tree = cache / "kernels" / f"{version}-{arch}"
    suite = None
    wanted = [f"linux-image-cloud-{arch}"]
    for _ in range(4):  # the name without version, then the image, from 7.2 on the binary
        images = sorted(tree.glob("boot/vmlinuz-*")) + sorted(tree.glob("usr/lib/modules/*/vmlinuz"))
        if images:
            if suite:
                shutil.rmtree(suite.home, ignore_errors=True)
            return images[0]
        suite = suite or Suite(cache, SUITES[version], arch)
        wanted = [d for p in wanted for d in suite.depends(p) if re.match(r"linux-(image|binary)-\d", d)]
        for package in wanted:
            suite.unpack(package, tree)
    raise Missing(f"{SUITES[version]} has no image for {arch}")
