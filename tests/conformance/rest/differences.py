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


def field(pairs, name):
    return next((inner for key, inner in pairs if key == name), None)


def node_of(event):
    return field(event["json"], "node") if isinstance(event, dict) else None


def only_files(step, a, b):
    """Two watches' events: equal in those of files, once what etcd says twice is said once.

    An event of a directory stands in etcd's list for the keys that went with it, which have one each in kvd's.
    """
    if step is not None and step.kind != "close" or "events" not in a or any(node_of(event) is None for event in a["events"] + b["events"]):
        return False
    index = lambda event: field(node_of(event), "modifiedIndex")
    of_directories = {index(event) for event in a["events"] if field(node_of(event), "dir")}
    if a["ended"] and of_directories:
        # The first event was all that was asked for. Whether the next one is told is not this watch's to show.
        return len(a["events"]) == 1 and all(index(event) in of_directories or late(index(event), of_directories) for event in b["events"])
    if a["ended"] != b["ended"]:
        return False
    if a["asks for the past"] and len(a["events"]) == 1:
        # What etcd finds in its history is all that such a stream ever tells there; and it finds hidden keys, too.
        if hidden(a["events"][0]) and not any(hidden(event) for event in b["events"]):
            return True
        last = index(a["events"][0])
        b = dict(b, events=[event for event in b["events"] if not late(index(event), {last})])
    theirs, ours = ([without_created(event) for event in side["events"] if index(event) not in of_directories] for side in (a, b))
    once = [event for number, event in enumerate(theirs) if event not in theirs[:number]]
    return once == ours


def hidden(event):
    return "/_" in field(node_of(event), "key")


def late(index, indexes):
    """Whether the index comes after all of them; both as "+7"."""
    number = lambda text: int(str(text).lstrip("+"))
    return number(index) > max(map(number, indexes))


DIFFERENCES = [
    # Making or deleting a directory shows by the keys that come or go.
    Difference("Waiting", only_files),
    # A PUT over a key keeps the index at which it was created.
    Difference("createdIndex", lambda step, a, b: without_created(a) == without_created(b)),
]


def explanation(step, a, b):
    """The section of docs/rest.md that explains why these two answers differ, or None."""
    for difference in DIFFERENCES:
        if difference.explains(step, a, b):
            return difference.section
    return None
