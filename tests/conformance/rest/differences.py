"""What kvd answers otherwise than etcd on purpose. Each entry names its section of docs/rest.md, where the reason stands."""
from dataclasses import dataclass
from typing import Callable


@dataclass
class Difference:
    section: str                 # the heading in docs/rest.md
    explains: Callable           # (step, etcd's answer, kvd's answer), both normal -> whether the difference is this one


# The runner itself follows etcd's redirects and compares what comes then.
REDIRECTS = "Paths"

DIFFERENCES = [
]


def explanation(step, a, b):
    """The section of docs/rest.md that explains why these two answers differ, or None."""
    for difference in DIFFERENCES:
        if difference.explains(step, a, b):
            return difference.section
    return None
