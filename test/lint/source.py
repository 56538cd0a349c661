# SPDX-License-Identifier: Apache-2.0
"""source.py: C files as the rules see them: the text, the text without comments and strings (same
lines and columns), and the functions with their lines, parameters and nesting. No full parser: the
house style (one declaration a statement, braces always) is what makes this small one enough."""

import functools
import glob
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
CONTROL = {"if", "for", "while", "switch"}


def blank(match):
    """Spaces for a comment or a string's inside, so that columns stay."""
    text = match.group(0)
    if text[0] in "\"'":
        return text[0] + " " * (len(text) - 2) + text[-1]
    return re.sub(r"[^\n]", " ", text)


class Function:
    def __init__(self, name, line, end, parameters, nesting):
        self.name, self.line, self.end = name, line, end
        self.parameters, self.nesting = parameters, nesting
        self.lines = end - line + 1


class Source:
    def __init__(self, path, text=None):
        self.path = path
        if text is None:
            with open(os.path.join(ROOT, path), encoding="utf-8") as file:
                text = file.read()
        self.text = text
        self.lines = self.text.splitlines()
        self.area = path.split("/")[0]
        self.room = path.split("/")[1] if self.area == "lib" else None

    @functools.cached_property
    def code(self):
        return TOKEN.sub(blank, self.text)

    @functools.cached_property
    def logic(self):
        """The code without preprocessor lines."""
        return re.sub(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", blank, self.code, flags=re.M)

    @functools.cached_property
    def includes(self):
        return [
            (number, match.group(1)[0], match.group(1)[1:-1])
            for number, line in enumerate(self.lines, 1)
            if (match := re.match(r'\s*#\s*include\s+(<[^>]+>|"[^"]+")', line))
        ]

    def line_of(self, offset):
        return self.text.count("\n", 0, offset) + 1

    @functools.cached_property
    def functions(self):
        return list(find_functions(self))


def matching_open(code, close):
    """The offset of the bracket that the one at `close` closes."""
    depth = 0
    for i in range(close, -1, -1):
        depth += (code[i] in ")]}") - (code[i] in "([{")
        if depth == 0:
            return i
    return 0


def last_word(code, end):
    match = re.search(r"(\w+)\s*$", code[max(0, end - 200) : end])
    return match.group(1) if match else ""


def is_block(code, brace):
    """Whether a brace inside a function begins statements, not an initializer."""
    before = code[:brace].rstrip()
    if before.endswith(")"):
        return bool(last_word(before, matching_open(before, len(before) - 1)))
    return before[-1:] in ";{}:" or last_word(before, len(before)) in ("else", "do")


def count_parameters(text):
    depth, count = 0, 1
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        count += char == "," and depth == 0
    return 0 if text.strip() in ("", "void") else count


def find_functions(source):
    """A function's body is a brace at depth 0 after a parameter list."""
    code = source.logic
    stack = []
    start = None
    for offset, char in enumerate(code):
        if char == "{":
            before = code[:offset].rstrip()
            if not stack and before.endswith('"'):  # extern "C" {
                continue
            if not stack and before.endswith(")"):
                opening = matching_open(before, len(before) - 1)
                begin = max(before.rfind(mark, 0, opening) for mark in ";}") + 1
                begin += len(before[begin:]) - len(before[begin:].lstrip())
                start = (last_word(before, opening), begin, before[opening + 1 : len(before) - 1])
                nesting = 0
            stack.append(start is not None and (not stack or is_block(code, offset)))
            if start is not None:
                nesting = max(nesting, sum(stack) - 1)
        elif char == "}" and stack:
            stack.pop()
            if not stack and start is not None:
                yield Function(
                    start[0],
                    source.line_of(start[1]),
                    source.line_of(offset),
                    count_parameters(start[2]),
                    nesting,
                )
                start = None


def c_paths():
    patterns = (
        "include/kvraft/*.h",
        "lib/*/*.[ch]",
        "examples/*/*.[ch]",
        "test/*/*.[ch]",
        "test/*/*/*.[ch]",
        "bench/*.[ch]",
        "bench/*/*.[ch]",
    )
    return sorted(
        {
            os.path.relpath(path, ROOT)
            for pattern in patterns
            for path in glob.glob(os.path.join(ROOT, pattern))
        }
    )


def load():
    return [Source(path) for path in c_paths()]
