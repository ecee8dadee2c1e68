"""Random steps of the v2 keys API, from a seed alone: what the servers answer is no part of it.

What only a server knows stands in the text as a name, which each side replaces by its own: {now-D} and {now+D} (its index), {mod:KEY}
(the last modifiedIndex that it showed of KEY), {post:N} (the name of the run's N-th in-order key).
"""
import random
from dataclasses import dataclass
from urllib.parse import quote, quote_from_bytes

FORM = "application/x-www-form-urlencoded"
VALUES = ["v0", "v1", "v2", "v3", "v4"]
ODD_VALUES = ["", "é", "<b>&amp;\"\\/'</b>", "\x01\b\f\t\n\r\x7f", "\u2028\u2029", "\U0001f600", "\ufffd", "x" * 3000, " a+b=c&d ", "null"]
KEYS = ["/a", "/b", "/c", "/a/b", "/a/b/c", "/a/c", "/d", "/d/e", "/d/e/f", "/ab", "/q", "/q/r", "/_h", "/_h/x", "/a/_h",
        "/d/_g/y"]
ODD_KEYS = ["/é", "/x%20y", "/a%2Fb", "/%61", "/a;b", "/a+b", "/%25", "/.well", "/%22q%22", "/a%3Fb", "/%F0%9F%98%80", "/d/%09",
            "/a/", "/a/b/", "/a=b", "/~a", "/%E2%80%A8", "/*", "/a%23b", "/a:b@c"]
ODD_FORMS = ["", "/", "//a", "/a//b", "/./a", "/a/./b", "/a/../b", "/..", "/../a", "/a%2F", "/a%2F%2Fb", "/a%2F..%2Fb",
             "/a%2F.", "/a%zz", "/a%", "/%00", "/%ff", "/d/%c3%28"]
WRONG = ["ttl=x", "ttl=-1", "ttl=1.5", "ttl=+5", "ttl=%205", "prevIndex=x", "prevIndex=-1", "prevIndex=", "prevExist=maybe",
         "prevExist=", "dir=x", "dir=", "prevValue=", "refresh=x", "refresh=true", "refresh=true&value=v1&ttl=100",
         "refresh=true&ttl=", "value=%zz", "value=a;b=c", "ttl=99999999999999999999", "waitIndex=x", "wait=x", "wait=true",
         "recursive=x", "sorted=2", "quorum=x", "stream=x", "noValueOnSuccess=true", "unknown=1", "value=a&value=b", "%zz=1",
         "dir=1", "dir=T", "dir=FALSE", "prevExist=0", "prevExist=1", "value", "&&value=v1&", "=x", "VALUE=v1",
         "dir=true&value=v1", "prevNoSuch=1", "prevIndex=0", "prevIndex=18446744073709551616", "recursive=1", "ttl"]
METHODS = ["PATCH", "OPTIONS", "HEAD", "FOO", "put", "TRACE"]


@dataclass
class Step:
    kind: str              # "call"; "watch", "close" (of the watch of that name); "expire"
    method: str = "GET"
    key: str = ""          # as it stands in the request, with its escapes
    query: str = ""
    body: str = None
    content_type: str = None
    name: str = ""

    def target(self):
        return "/v2/keys" + self.key + ("?" + self.query if self.query else "")

    def __str__(self):
        words = [self.kind] if self.kind != "call" else []
        words += [self.name] if self.name else []
        if self.kind != "close":
            words += [self.method, self.target()]
        if self.body is not None:
            words.append(f"-d {self.body!r}" + ("" if self.content_type == FORM else f" (Content-Type: {self.content_type})"))
        return " ".join(word if len(word) < 400 else word[:80] + f"...({len(word)} characters)" for word in words)


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.posts = 0
        self.open = []         # (name, key) of watches
        self.watches = self.expires = 0

    def chance(self, share):
        return self.random.random() < share

    def pick(self, *choices):
        return self.random.choice(choices)

    def key(self):
        kind = self.random.random()
        if kind < 0.78:
            return self.random.choice(KEYS)
        if kind < 0.84 and self.posts:
            return self.pick("/q", "/a", "/d", "/_h") + "/{post:%d}" % self.random.randrange(self.posts)
        if kind < 0.92:
            return self.random.choice(ODD_KEYS)
        if kind < 0.96:
            return self.random.choice(ODD_FORMS)
        return self.random.choice(KEYS) + "/" + self.pick("1", "2", "_3")

    def value(self):
        if self.chance(0.85):
            return self.random.choice(VALUES)
        if self.chance(0.1):
            return None
        return self.random.choice(ODD_VALUES)

    def value_field(self):
        value = self.value()
        return "value=" + (quote_from_bytes(b"\xff\xfea\xc3") if value is None else quote(value, safe=""))

    def index(self, key):
        return self.pick("{mod:%s}" % key, "{mod:%s}" % key, "{now-0}", "{now-%d}" % self.random.randrange(1, 20), "1", "{now+5}")

    def conditions(self, key):
        fields = []
        if self.chance(0.4):
            fields.append("prevExist=" + self.pick("true", "false"))
        if self.chance(0.4):
            fields.append("prevValue=" + self.random.choice(VALUES))
        if self.chance(0.3):
            fields.append("prevIndex=" + self.index(key))
        return fields

    def put(self):
        key = self.key()
        fields = []
        kind = self.random.random()
        if kind < 0.45:
            fields = [self.value_field()]
        elif kind < 0.75:
            fields = [self.value_field()] + self.conditions(key)
        elif kind < 0.85:
            fields = ["dir=true"] + (self.conditions(key) if self.chance(0.4) else [])
        elif kind < 0.93:
            fields = ["refresh=true", "ttl=%d" % self.pick(100, 1000, 5000)] + \
                ([self.pick("prevExist=true", "prevExist=true", "prevExist=false", "dir=true")] if self.chance(0.8) else [])
        else:
            fields = self.conditions(key)
        if self.chance(0.2):
            fields.append("ttl=" + self.pick("100", "1000", "5000", ""))
        return self.form("PUT", key, fields)

    def form(self, method, key, fields):
        if self.chance(0.06):
            fields = fields + [self.random.choice(WRONG)]
        self.random.shuffle(fields)
        cut = self.random.randrange(len(fields) + 1) if self.chance(0.2) else 0
        query, body = "&".join(fields[:cut]), "&".join(fields[cut:])
        if not body and self.chance(0.5):
            return Step("call", method, key, query)
        content_type = FORM if self.chance(0.97) else self.pick("application/x-www-form-urlencoded; charset=utf-8", "bad;;")
        return Step("call", method, key, query, body, content_type)

    def get(self):
        fields = [name + "=true" for name in ("recursive", "sorted", "quorum") if self.chance(0.4)]
        if self.chance(0.04):
            fields.append(self.random.choice(WRONG))
        return Step("call", "GET", self.key(), "&".join(field for field in fields if field != "wait=true"))

    def post(self):
        self.posts += 1
        key = self.pick("/q", "/q", "/a", "/d", "/_h", self.key())
        fields = [self.value_field()] if self.chance(0.8) else ["dir=true"] if self.chance(0.5) else []
        if self.chance(0.15):
            fields.append("ttl=" + self.pick("100", "1000", ""))
        if self.chance(0.1):
            fields += self.conditions(key)
        return self.form("POST", key, fields)

    def delete(self):
        key = self.key()
        fields = []
        if self.chance(0.35):
            fields.append("dir=" + self.pick("true", "true", "false"))
        if self.chance(0.3):
            fields.append("recursive=" + self.pick("true", "true", "false"))
        if self.chance(0.3):
            fields += self.conditions(key)
        if self.chance(0.04):
            fields.append(self.random.choice(WRONG))
        if self.chance(0.05):
            return Step("call", "DELETE", key, "", "&".join(fields), FORM)
        return Step("call", "DELETE", key, "&".join(fields))

    def watch(self):
        self.watches += 1
        name = f"w{self.watches}"
        key = self.random.choice(KEYS + ["", "/"]) if self.chance(0.9) else self.key()
        fields = ["wait=true"]
        if self.chance(0.5):
            fields.append("recursive=true")
        if self.chance(0.4):
            fields.append("stream=true")
        if self.chance(0.6):
            fields.append("waitIndex=" + self.pick("{now-0}", "{now-%d}" % self.random.randrange(1, 60), "{now+1}", "{mod:%s}" % key, "0",
                                                   "{now+%d}" % self.random.randrange(2, 5), ""))
        if self.chance(0.1):
            fields.append(self.pick("sorted=true", "dir=true", "stream=x", "prevExist=true", "value=v1"))
        self.open.append((name, key))
        return Step("watch", "GET", key, "&".join(fields), name=name)

    def close(self):
        """Changes the watched key, unless other changes shall do, and looks at what the watch has shown."""
        name, key = self.open.pop(self.random.randrange(len(self.open)))
        if self.chance(0.7):
            yield Step("call", "DELETE", key, "recursive=true")
            yield Step("call", "PUT", key, "", "value=last", FORM)
        yield Step("close", key=key, name=name)

    def expire(self):
        self.expires += 1
        key = self.random.choice(KEYS)
        fields = self.pick(["value=brief"], ["dir=true"], ["value=brief", "prevExist=true"]) + ["ttl=1"]
        return Step("expire", "PUT", key, "", "&".join(fields), FORM)

    def more(self):
        """The next steps, one or a few."""
        kind = self.random.random()
        if kind < 0.03 and len(self.open) < 3:
            return [self.watch()]
        if kind < 0.06 and self.open:
            return self.close()
        if kind < 0.07 and self.expires < 2:
            return [self.expire()]
        if kind < 0.08:
            return [Step("call", self.random.choice(METHODS), self.key(), "", self.pick(None, "value=v1"), FORM)]
        if kind < 0.33:
            return [self.get()]
        if kind < 0.72:
            return [self.put()]
        if kind < 0.82:
            return [self.post()]
        return [self.delete()]


def steps(seed, count):
    generator = Generator(seed)
    made = []
    while len(made) < count:
        made += generator.more()
    while generator.open:
        made += generator.close()
    return made
