#!/usr/bin/env python3
"""Installs the libraries into a temporary place, and builds and runs programs against them: by CMake's find_package and
by pkg-config.

    installed_test.py client|server --cmake cmake --build BUILD --cxx g++ --cc gcc

`client` is the client in C++ and in C; `server` is a member inside a program, which comes beside the client.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

TESTS = pathlib.Path(__file__).resolve().parents[1]


def run(*argv, fails=False, **more):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=300, check=False, **more)
    if (done.returncode != 0) != fails:
        sys.exit(f"{' '.join(map(str, argv))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stderr if fails else done.stdout


class Prefix:
    """What is installed, and how programs are built with it."""

    def __init__(self, place, options):
        self.place, self.options = place, options
        self.path = place / "prefix"
        self.install("client")
        self.lib = next(self.path.glob("lib*/**/libkv_client.a")).parent
        self.env = {**os.environ, "PKG_CONFIG_PATH": str(self.lib / "pkgconfig"), "LD_LIBRARY_PATH": str(self.lib)}

    def install(self, component):
        run(self.options.cmake, "--install", self.options.build, "--component", component, "--prefix", self.path)

    def check_headers(self):
        """A header names what it needs, and neither gRPC nor the source tree is among it."""
        for header in sorted(self.path.glob("include/kv/**/*.h")):
            read = run(self.options.cxx, "-std=c++20", "-M", "-x", "c++", "-I", self.path / "include", header).split()
            strange = [f for f in read if any(s in f for s in ("grpc", "protobuf", "absl", "rocksdb", "boost", "/src/"))]
            if strange:
                sys.exit(f"{header} includes {strange}")

    def configure(self, source, **more):
        return run(self.options.cmake, "-S", source, "-B", self.place / "cmake", "-G", "Ninja",
                   f"-DCMAKE_PREFIX_PATH={self.path}", f"-DCMAKE_CXX_COMPILER={self.options.cxx}",
                   f"-DCMAKE_C_COMPILER={self.options.cc}", **more)

    def build(self):
        run(self.options.cmake, "--build", self.place / "cmake", "-j2")

    def compile(self, package, compiler, *argv):
        flags = run("pkg-config", "--cflags", "--libs", package, env=self.env).split()
        run(*compiler, *argv, *flags)

    def expect(self, program, wanted):
        said = run(self.place / program, env=self.env)
        if said != wanted:
            sys.exit(f"{program} said {said!r}, not {wanted!r}")
        print(f"{program}: built and run")


def client(prefix, options):
    source = TESTS / "client/installed"
    prefix.check_headers()
    prefix.configure(source)
    prefix.build()
    prefix.compile("kv-client", [options.cxx, "-std=c++20"], source / "program.cc", "-o", prefix.place / "pc_cpp")
    prefix.compile("kv", [options.cc], source / "program.c", "-o", prefix.place / "pc_c")
    for program in ("cmake/in_cpp", "cmake/in_c", "pc_cpp", "pc_c"):
        prefix.expect(program, "Unavailable\n")


def server(prefix, options):
    source = TESTS / "embed/installed"
    said = prefix.configure(source, fails=True)
    if '"server" is not installed' not in said:
        sys.exit(f"find_package() says nothing of the component that is missing:\n{said}")
    prefix.install("embed")
    prefix.check_headers()
    prefix.configure(source)
    prefix.build()
    prefix.compile("kv-server", [options.cxx, "-std=c++20"], source / "program.cc", "-o", prefix.place / "pc")
    for program in ("cmake/embedding", "pc"):
        prefix.expect(program, "m1, m2 and m3 have hello\nstopped\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", choices=("client", "server"))
    for name in ("cmake", "build", "cxx", "cc"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="client_installed.") as name:
        test = {"client": client, "server": server}[options.package]
        test(Prefix(pathlib.Path(name), options), options)


if __name__ == "__main__":
    main()
