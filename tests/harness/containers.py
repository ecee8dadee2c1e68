"""What tests that run containers share: commands, waiting, and the base image and package that images are made from."""
import pathlib
import shutil
import subprocess
import time

BASE = "debian:bookworm-slim"


class Failure(Exception):
    pass


class Skipped(Exception):
    """Why this machine can't run the test."""


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def run(args, timeout=120, check=True, **more):
    """Runs a command to its end; its standard output."""
    done = subprocess.run(args, timeout=timeout, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(args)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def works(args, timeout=60):
    try:
        return subprocess.run(args, timeout=timeout, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def quietly(args, timeout=120):
    subprocess.run(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=timeout, check=False)


def wait_for(what, seconds, condition):
    """Waits until `condition` answers something true, which it returns. A failed command is a no."""
    last = None
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            answer = condition()
            if answer:
                return answer
        except (Failure, subprocess.TimeoutExpired) as error:
            last = error
        time.sleep(0.2)
    raise Failure(f"waited {seconds} s for {what}; last: {last}")


def need_engine():
    if not works(["docker", "version", "-f", "{{.Server.Version}}"]):
        raise Skipped("no Docker engine answers")


def base_image(project, source, build):
    """The name of an image of Debian 12: the real one, or one made here, which begins with `project` and is the caller's
    to remove."""
    if works(["docker", "image", "inspect", BASE]):
        return BASE
    if works(["docker", "pull", "-q", BASE], timeout=90):
        return BASE
    tar = build / "tests" / "compose" / "base.tar"  # kept: it takes a minute to make
    if not tar.exists():
        tar.parent.mkdir(parents=True, exist_ok=True)
        say("no base image can be pulled: making one with debootstrap")
        done = subprocess.run([str(source / "tests" / "compose" / "make_base"), str(tar)], text=True,
                              stderr=subprocess.PIPE, timeout=1200)
        if done.returncode != 0:
            raise Skipped(f"no base image: {BASE} can't be pulled, and {done.stderr.strip()}")
    name = f"{project}-base:bookworm"
    run(["docker", "import", str(tar), name])
    return name


def make_package(build, deb):
    """The package of a build folder's programs, as the file `deb`."""
    packages = pathlib.Path(f"{deb}.made")
    run(["cpack", "-G", "DEB", "-B", str(packages)], cwd=build, timeout=600)
    made = list(packages.glob("*.deb"))
    if len(made) != 1:
        raise Failure(f"cpack made {made}")
    shutil.move(made[0], deb)
    shutil.rmtree(packages)
