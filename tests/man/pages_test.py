#!/usr/bin/env python3
"""The manual pages as they are installed: clean for those who read them (groff, mandoc), and with every command, flag,
default and example that --help prints."""

import argparse
import gzip
import pathlib
import re
import subprocess
import tempfile
import unittest

OPTIONS = None


def run(*args, **more):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=120, **more)
    assert done.returncode == 0, f"{args}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def words(text):
    """On a page lines are broken elsewhere than in --help, and in columns there are more spaces."""
    return " ".join(text.split())


def rendered(page):
    """As man shows it, each paragraph in one line."""
    return run("groff", "-man", "-Tascii", "-P-cbou", "-rLL=5000n", "-rHY=0", page)


class Help:
    """What `kvctl ... --help` prints, taken apart."""

    def __init__(self, path):
        self.path = path
        self.text = run(OPTIONS.kvctl, *path, "--help")
        head, rest = self.text.split("\n\nUsage:\n", 1)
        self.about = head
        self.usage = rest.split("\n", 1)[0].strip()
        blocks = {}
        for block in re.split(r"\n\n(?=[A-Z][A-Za-z]*:\n)", "\n\n" + rest.split("\n", 1)[1].lstrip("\n"))[1:]:
            title, lines = block.split(":\n", 1)
            blocks[title] = [line for line in lines.split("\n\nUse '")[0].rstrip("\n").split("\n") if line]
        self.examples = [line.strip() for line in blocks.pop("Examples", [])]
        self.flags = [words(line) for line in blocks.pop("Flags", [])]
        self.groups = list(blocks)
        self.children = [line.split()[0] for lines in blocks.values() for line in lines]


class PagesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(prefix="kvd-man-")
        prefix = pathlib.Path(cls.directory.name)
        run(OPTIONS.cmake, "--install", OPTIONS.build, "--prefix", prefix)
        cls.pages = {}
        for name, section in (("kvctl", 1), ("kvd", 8)):
            cls.pages[name] = prefix / "share" / "man" / f"man{section}" / f"{name}.{section}.gz"
        cls.sources = {}
        for name, page in cls.pages.items():
            cls.sources[name] = prefix / page.stem
            cls.sources[name].write_bytes(gzip.decompress(page.read_bytes()))

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def test_compressed_so_that_the_same_page_gives_the_same_file(self):
        for page in self.pages.values():
            header = page.read_bytes()[:10]
            self.assertEqual(header[3], 0, "a name is in it")
            self.assertEqual(header[4:8], b"\0\0\0\0", "the time is in it")
            self.assertEqual(header[8], 2, "not compressed as well as it can be")

    def test_is_what_the_program_prints_now(self):
        for name, source in self.sources.items():
            self.assertEqual(run(getattr(OPTIONS, name), "__man"), source.read_text())

    def test_groff_and_mandoc_find_nothing(self):
        for source in self.sources.values():
            found = subprocess.run(["groff", "-ww", "-man", "-Tascii", "-z", source], capture_output=True, text=True, timeout=60)
            self.assertEqual((found.returncode, found.stdout, found.stderr), (0, "", ""))
            found = subprocess.run(["mandoc", "-T", "lint", source], capture_output=True, text=True, timeout=60)
            self.assertEqual((found.returncode, found.stdout, found.stderr), (0, "", ""))

    def test_has_the_sections_that_a_page_has(self):
        for name, more in (("kvctl", ["COMMANDS"]), ("kvd", ["SIGNALS"])):
            titles = re.findall(r"^([A-Z][A-Z ]+)$", rendered(self.sources[name]), re.MULTILINE)
            for title in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "ENVIRONMENT", "EXIT STATUS", "FILES",
                          "EXAMPLES", "SEE ALSO", *more]:
                self.assertEqual(titles.count(title), 1, f"{title} in {titles}")
            # What whatis and apropos read.
            self.assertRegex(self.sources[name].read_text(), rf'\.SH "?NAME"?\n{name} \\- \S')

    def test_kvctls_page_has_all_of_its_help(self):
        page = rendered(self.sources["kvctl"])
        commands = page[page.index("\nCOMMANDS\n"):page.index("\nOPTIONS\n")]
        seen = []

        def visit(path, flags_above):
            shown = Help(path)
            seen.append(path)
            # From its usage to the next command's.
            lines = commands.split("\n")
            starts = [i for i, line in enumerate(lines) if re.match(r" {2,}kvctl [a-z]", line)
                      and not line.startswith(" " * 12)]
            at = [i for i in starts if words(lines[i]) == words(shown.usage)
                  or words(lines[i]).startswith(words(shown.usage) + " ")]
            self.assertTrue(at, f"{shown.usage} is not on the page")
            begin = at[0]
            end = min([i for i in starts if i > begin], default=len(lines))
            block = words("\n".join(lines[begin:end]))
            self.assertIn(words(shown.about), block)
            for flag in shown.flags:
                if flag not in flags_above:
                    self.assertIn(flag, block, shown.usage)
            for example in shown.examples:
                self.assertIn(words(example), block)
            for child in shown.children:
                visit([*path, child], flags_above + shown.flags)

        root = Help([])
        for group in root.groups:
            self.assertRegex(commands, rf"(?m)^ {{1,4}}{group}$")
        for child in root.children:
            visit([child], [])
        self.assertGreater(len(seen), 60)
        self.assertIn(words(root.about), words(page))
        examples = words(page[page.index("\nEXAMPLES\n"):])
        for example in root.examples:
            self.assertIn(words(example), examples)

        options = words(page[page.index("\nOPTIONS\n"):page.index("\nENVIRONMENT\n")])
        environment = page[page.index("\nENVIRONMENT\n"):]
        flags = [line for line in run(OPTIONS.kvctl, "options").split("\n") if "--" in line[:8]]
        self.assertGreater(len(flags), 20)
        for flag in flags:
            self.assertIn(words(flag), options)
            variable = "KVCTL_" + re.search(r"--(\S+)", flag)[1].upper().replace("-", "_")
            self.assertIn(variable, environment)

    def test_kvds_page_has_all_of_its_help(self):
        page = rendered(self.sources["kvd"])
        options = page[page.index("\nOPTIONS\n"):page.index("\nENVIRONMENT\n")]
        # An option that does not fit its column goes on in the next line.
        rows = re.sub(r"\n {20,}", " ", run(OPTIONS.kvd, "--help")).split("\n")
        flags = [line for line in rows if line.startswith("  -")]
        self.assertGreater(len(flags), 70)
        for line in flags:
            flag, default, meaning = re.match(r"  (--[a-z0-9-]+)(?: (\[.*?\]))?\s+(.*)", line).groups()
            with self.subTest(flag):
                block = re.search(rf"(?ms)^ +{flag}(?:, --\S+)?(?: |$).*?(?=^ +--|^ ? ? ?[A-Z]|\Z)", options)
                self.assertTrue(block, f"{flag} is not on the page")
                self.assertIn(words(meaning), words(block[0]))
                if default:
                    self.assertIn(default, block[0])
                if flag not in ("--help", "--version"):
                    self.assertIn("KVD_" + flag[2:].upper().replace("-", "_"), block[0])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for program in ("kvd", "kvctl", "cmake"):
        parser.add_argument(f"--{program}", required=True)
    parser.add_argument("--build", required=True, help="what is installed from")
    OPTIONS, rest = parser.parse_known_args()
    unittest.main(argv=[__file__, *rest], verbosity=2)
