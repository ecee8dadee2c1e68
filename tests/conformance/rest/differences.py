"""What kvd answers otherwise than etcd on purpose. Each entry names its section of docs/rest.md, where the reason stands."""
from dataclasses import dataclass
from typing import Callable


@dataclass
class Difference:
    section: str                 # the heading in docs/rest.md
    explains: Callable           # (step, etcd's answer, kvd's answer), both normal -> whether the difference is this one


# The runner itself follows etcd's redirects and compares what comes then.
REDIRECTS = "Paths"


def without_created(value):
    """An answer in its normal form, without the indexes at which files were created."""
    if isinstance(value, dict):
        return {name: without_created(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_created(inner) for inner in value if not (isinstance(inner, tuple) and inner[0] == "createdIndex")]
    return tuple(without_created(inner) for inner in value) if isinstance(value, tuple) else value


DIFFERENCES = [
    # A PUT over a key keeps the index at which it was created.
    Difference("createdIndex", lambda step, a, b: without_created(a) == without_created(b)),
]


def explanation(step, a, b):
    """The section of docs/rest.md that explains why these two answers differ, or None."""
    for difference in DIFFERENCES:
        if difference.explains(step, a, b):
            return difference.section
    return None
