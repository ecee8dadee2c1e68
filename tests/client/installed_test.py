#!/usr/bin/env python3
"""Installs the client library into a temporary place, and builds and runs programs in C++ and C against it: by CMake's
find_package and by pkg-config.

    installed_test.py --cmake cmake --build BUILD --cxx g++ --cc gcc
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parent / "installed"


def run(*argv, **more):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=300, check=False, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, argv))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("cmake", "build", "cxx", "cc"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="client_installed.") as name:
        place = pathlib.Path(name)
        prefix = place / "prefix"
        run(options.cmake, "--install", options.build, "--component", "client", "--prefix", prefix)
        lib = next(prefix.glob("lib*/**/libkv_client.a")).parent
        found = {**os.environ, "PKG_CONFIG_PATH": str(lib / "pkgconfig"), "LD_LIBRARY_PATH": str(lib)}

        # A header names what it needs, and neither gRPC nor this source tree is among it.
        for header in sorted(prefix.glob("include/kv/**/*.h")):
            read = run(options.cxx, "-std=c++20", "-M", "-x", "c++", "-I", prefix / "include", header).split()
            strange = [f for f in read if "grpc" in f or "protobuf" in f or "absl" in f or "/src/" in f]
            if strange:
                sys.exit(f"{header} includes {strange}")

        run(options.cmake, "-S", SOURCE, "-B", place / "cmake", "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}",
            f"-DCMAKE_CXX_COMPILER={options.cxx}", f"-DCMAKE_C_COMPILER={options.cc}")
        run(options.cmake, "--build", place / "cmake", "-j2")

        def flags(package):
            return run("pkg-config", "--cflags", "--libs", package, env=found).split()

        run(options.cxx, "-std=c++20", SOURCE / "program.cc", "-o", place / "pc_cpp", *flags("kv-client"))
        run(options.cc, SOURCE / "program.c", "-o", place / "pc_c", *flags("kv"))
        for program in ("cmake/in_cpp", "cmake/in_c", "pc_cpp", "pc_c"):
            said = run(place / program, env=found)
            if said != "Unavailable\n":
                sys.exit(f"{program} said {said!r}")
            print(f"{program}: built and run")


if __name__ == "__main__":
    main()
