"""Answers of two servers in a form that can be compared: indexes count from the beginning of the run, times are only looked at."""
import datetime
import json
import re

# Compared in letters. Others (Date, Content-Length, CORS) are the HTTP server's own affair.
HEADERS = ("Content-Type", "Allow", "Location")
# These only have to be there, and be more than 0.
PRESENT = ("X-Etcd-Cluster-Id", "X-Raft-Index", "X-Raft-Term")
INDEXES = ("modifiedIndex", "createdIndex", "index")
SECONDS_APART = 60  # how far a time may be from the other side's, on a machine that is very busy
IN_ORDER = re.compile(r"(?<!\d)\d{20}(?!\d)")
COMPARED = re.compile(r"(?<=\[)\d+ != \d+(?=\])")


def to_go_json(value):
    """The text that Go's encoder writes, but for a U+FFFD that was in the value: the servers must agree on that too."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for found, go in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"),
                      ("\\b", "\\u0008"), ("\\f", "\\u000c"), ("\ufffd", "\\ufffd")):
        # An escape is not to be found in an escaped backslash.
        text = re.sub(r"(?<!\\)((?:\\\\)*)" + re.escape(found), lambda match, go=go: match[1] + go, text)
    return text


class Time:
    """Equal to any other that is near."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __eq__(self, other):
        return isinstance(other, Time) and abs(self.seconds - other.seconds) < SECONDS_APART

    def __repr__(self):
        return f"<{self.seconds}>"


def to_time(text):
    """`expiration`: RFC 3339 with up to nine digits of a second, in UTC."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?Z", text) if isinstance(text, str) else None
    return Time(datetime.datetime.fromisoformat(match[1] + "+00:00").timestamp()) if match else text


class Normal:
    """Reads one side's answers, and learns what that side calls things."""

    def __init__(self, side):
        self.side = side

    def relative(self, index):
        return index if index <= 1 else f"+{index - self.side.base}"

    def text(self, text):
        text = IN_ORDER.sub(lambda match: "<" + str(self.relative(int(match[0]))) + ">", text)
        return COMPARED.sub(lambda match: " != ".join(str(self.relative(int(n))) for n in match[0].split(" != ")), text)

    def value(self, name, value, is_sorted):
        if isinstance(value, list) and name == "nodes":
            nodes = [self.value("node", node, is_sorted) for node in value]
            # Unless it was asked for, etcd's order is that of a hash table.
            return nodes if is_sorted else sorted(nodes, key=repr)
        if isinstance(value, dict):
            if "key" in value and "modifiedIndex" in value:
                self.side.modified[value["key"]] = value["modifiedIndex"]
            # A list of pairs, for the order of fields.
            return [(key, self.value(key, inner, is_sorted)) for key, inner in value.items()]
        if name in INDEXES and isinstance(value, int):
            return self.relative(value)
        if name == "expiration":
            return to_time(value)
        if name == "ttl" and isinstance(value, int):
            return Time(value)
        return self.text(value) if isinstance(value, str) and name in ("key", "cause") else value

    def body(self, raw, is_sorted):
        try:
            text = raw.decode()
            parsed = json.loads(text)
        except ValueError:
            return raw
        if not isinstance(parsed, dict):
            return raw
        as_go = text.rstrip("\n") == to_go_json(parsed)
        return {"json": self.value("", parsed, is_sorted), "written as Go does": as_go, "newlines": len(text) - len(text.rstrip("\n"))}

    def answer(self, answer, is_sorted, is_post=False):
        """The whole answer as a dictionary."""
        result = {"status": answer.status}
        for name in HEADERS:
            result[name] = answer.headers.get(name)
        for name in PRESENT:
            result[name] = answer.headers.get(name, "0") != "0"
        index = answer.headers.get("X-Etcd-Index")
        if index is not None and index.isdigit():
            self.side.index = max(self.side.index, int(index))
            index = self.relative(int(index))
        result["X-Etcd-Index"] = index
        result["body"] = self.body(answer.body, is_sorted)
        if is_post:
            node = json.loads(answer.body).get("node", {}) if isinstance(result["body"], dict) else {}
            self.side.posted.append(node.get("key", "/none").rsplit("/", 1)[1])
        return result
