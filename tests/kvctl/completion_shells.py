#!/usr/bin/env python3
"""The scripts of `kvctl completion` in the shells themselves, those of them that are installed."""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

# What is typed, and what the shell must offer for it.
CASES = [
    (["endp"], ["endpoint"]),
    (["endpoint", ""], ["health", "status", "hashkv"]),
    (["endpoint", "h"], ["health", "hashkv"]),
    (["put", "--ignore-v"], ["--ignore-value"]),
    (["get", "--write-out", "p"], ["protobuf"]),
    (["completion", ""], ["bash", "fish", "zsh"]),
]


def quoted(word):
    return "'" + word.replace("'", "'\\''") + "'"


def bash(words):
    return ["bash", "--norc", "-c", f"""
source <(kvctl completion bash) || exit 1
COMP_WORDS=(kvctl {' '.join(map(quoted, words))})
COMP_CWORD={len(words)}
_kvctl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""]


# _describe is zsh's own and only works while a line is edited: here it prints what it is given.
def zsh(words):
    return ["zsh", "-f", "-c", f"""
compdef() {{ [[ "$*" == "_kvctl kvctl" ]] || exit 1 }}
_describe() {{ local -a all; all=("${{(@P)2}}"); print -rl -- "${{all[@]%%:*}}" }}
_files() {{ print files }}
source <(kvctl completion zsh) || exit 1
words=(kvctl {' '.join(map(quoted, words))})
CURRENT={len(words) + 1}
_kvctl
"""]


def fish(words):
    return ["fish", "--no-config", "-c",
            f"kvctl completion fish | source; complete -C {quoted('kvctl ' + ' '.join(words))}"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kvctl", type=pathlib.Path, required=True)
    kvctl = parser.parse_args().kvctl.resolve()
    ran = []
    failed = 0
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "PATH": f"{kvctl.parent}:{os.environ['PATH']}", "HOME": home,
                       "XDG_CONFIG_HOME": home, "XDG_DATA_HOME": home}
        for shell in (bash, zsh, fish):
            if not shutil.which(shell.__name__):
                print(f"{shell.__name__} is not installed: not run")
                continue
            ran.append(shell.__name__)
            cases = list(CASES)
            if shell is bash:  # which takes such a word apart, and wants the last part of it
                cases.append((["get", "--write-out", "=", "t"], ["table"]))
            else:
                cases.append((["get", "--write-out=t"], ["--write-out=table"]))
            for words, wanted in cases:
                done = subprocess.run(shell(words), env=environment, text=True, capture_output=True, timeout=60,
                                      cwd=home)
                # fish shows a description behind a tab.
                offered = [line.split("\t")[0] for line in done.stdout.splitlines() if line]
                if done.returncode != 0 or sorted(offered) != sorted(wanted):
                    failed += 1
                    print(f"{shell.__name__}: {words}: offers {offered}, not {wanted}\n{done.stderr}")
    print(f"shells: {', '.join(ran)}")
    print(f"{len(ran)} passed, {failed} failed")
    return 1 if failed or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
