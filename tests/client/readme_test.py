#!/usr/bin/env python3
"""Does what README.md says under "From C++", as printed, beside three members: installs the library, writes the files,
types the commands, and compares what is printed below them.

    readme_test.py --kvd KVD --build BUILD

A new user's home and checkout are directories of this test. Two things differ from what is printed: the members listen
on free ports, and `ninja` only looks whether it knows the targets, since whoever runs the tests has built them.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/kvd"), str(ROOT / "tests/harness")]
from kvd_process import Member, until  # noqa: E402
from ports import take_port  # noqa: E402

SECTION = "### From C++\n"
FILE = re.compile(r"(?://|#) ([\w.]+)\n")  # a block that begins with a file's name is that file
PORTS = (2379, 22379, 32379)
TIMEOUT_S = 300


def blocks(text):
    """The indented blocks of the section, without their indentation."""
    _, found, section = text.partition(SECTION)
    if not found:
        sys.exit(f"README.md has no {SECTION!r}")
    section = re.split(r"^##", section, maxsplit=1, flags=re.M)[0]
    for block in re.split(r"^(?! {4}|$)", section, flags=re.M):
        lines = [line[4:] for line in block.split("\n") if line.startswith("    ") or not line]
        if any(lines):
            yield "\n".join(lines).strip("\n") + "\n"


def session(block):
    """The commands of a block, each with what is printed below it."""
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def three_members(program, directory):
    members, locks = [], []
    for i in range(len(PORTS)):
        (client, one), (peer, other) = take_port(), take_port()
        locks += [one, other]
        members.append(Member(program, f"n{i + 1}", f"{directory}/n{i + 1}", f"{directory}/n{i + 1}.log", client=client,
                              peer=peer))
    urls = ",".join(f"{member.name}=http://127.0.0.1:{member.peer}" for member in members)
    for member in members:
        member.flags = [f"--initial-cluster={urls}"]
    return members, locks


class Shell:
    """Runs one command after another, as in one terminal: `cd` holds for the next."""

    def __init__(self, place, env):
        self.place, self.env = place, env
        self.where = place / "where"

    def run(self, command, cwd):
        done = subprocess.run(["bash", "-c", f'{command}\nstatus=$?\npwd >"{self.where}"\nexit $status'], cwd=cwd,
                              env=self.env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if done.returncode != 0:
            sys.exit(f"$ {command}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout, pathlib.Path(self.where.read_text(encoding="utf-8").strip())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kvd", required=True)
    parser.add_argument("--build", required=True)
    options = parser.parse_args()
    readme = list(blocks((ROOT / "README.md").read_text(encoding="utf-8")))

    with tempfile.TemporaryDirectory(prefix="client_readme.") as name:
        place = pathlib.Path(name)
        for directory in ("home", "bin", "kvd/build", "data"):
            (place / directory).mkdir(parents=True)
        (place / "kvd/build/release").symlink_to(pathlib.Path(options.build).resolve())
        ninja = place / "bin/ninja"
        ninja.write_text(f'#!/bin/sh\ncase " $* " in *" -C build/release "*) exec {shutil.which("ninja")} -n "$@";; esac\n'
                         f'exec {shutil.which("ninja")} "$@"\n', encoding="utf-8")
        ninja.chmod(0o755)
        shell = Shell(place, {**os.environ, "HOME": str(place / "home"), "PATH": f"{place / 'bin'}:{os.environ['PATH']}"})

        members, locks = three_members(options.kvd, place / "data")
        try:
            for member in members:
                member.start()
            for member in members:
                until(member.serves, 60, f"{member.name} serves:\n{member.log()}\nwhich")
            cwd = place / "kvd"
            compared = 0
            for block in readme:
                if is_file := FILE.match(block):
                    (cwd / is_file[1]).write_text(block, encoding="utf-8")
                    continue
                for command, printed in session(block):
                    for port, member in zip(PORTS, members):
                        command = command.replace(f"127.0.0.1:{port}", f"127.0.0.1:{member.client}")
                    said, cwd = shell.run(command, cwd)
                    if printed and said != printed:
                        sys.exit(f"$ {command}\nprinted\n{said}\nand README.md says\n{printed}")
                    compared += bool(printed)
                    print(f"$ {command}: as printed")
            if compared == 0:
                sys.exit("README.md prints nothing that could be compared")
        finally:
            for member in members:
                member.end()
            for lock in locks:
                lock.close()


if __name__ == "__main__":
    main()
