#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""format.py FILE...: what `make format` does. Words that pass column 100 in a block comment go to
the next line of their paragraph, a comment that stands behind code and does not fit goes above it,
and clang-format lays out the code. clang-format's own reflowing is off: it takes tables and
drawings for paragraphs. Here a line is only touched if it is too long, and a paragraph ends where
the indent changes, at a list's item, or at a table's row."""

import re
import subprocess
import sys

WIDTH = 100
LINE = re.compile(r"^(\s*(?:/\*|\*))( +)(\S.*)$")
ITEM = re.compile(r"(?:[-*] |\d+\. )")
ROW = re.compile(r"\S {2,}(?=\S)")
BEHIND = re.compile(r"^(\s*)(\S.*?)\s*(/\*.*\*/)$")
RULER = re.compile(r"-{10,}")


def hang(indent, text):
    """The column, after the star, at which the words that follow `text` go on."""
    if row := ROW.search(text):
        return indent + row.end()
    if item := ITEM.match(text):
        return indent + item.end()
    return indent


def wrap_comment(lines):
    """The lines of one block comment, none of them too long if it can be helped."""
    result, queue = [], list(lines)
    margin = re.match(r"\s*", queue[0]).group(0)
    while queue:
        line = queue.pop(0)
        match = LINE.match(line)
        if len(line) <= WIDTH or not match:
            result.append(line)
            continue
        prefix, space, text = match.groups()
        room = WIDTH - len(prefix) - len(space)
        cut = text.rfind(" ", 0, room + 1)
        if cut <= 0 or ROW.search(text) and cut < ROW.search(text).end():
            result.append(line)
            continue
        head, rest = text[:cut].rstrip(), text[cut:].strip()
        if rest == "*/":  # never alone: it takes a word along
            cut = head.rfind(" ")
            head, rest = head[:cut], head[cut + 1 :] + " */"
        column = hang(len(space), text)
        result.append(prefix + space + head)
        following = LINE.match(queue[0]) if queue else None
        if (
            following
            and len(following.group(2)) == column
            and not ITEM.match(following.group(3))
            and not (ROW.search(following.group(3)))
        ):
            queue[0] = following.group(1) + following.group(2) + rest + " " + following.group(3)
        else:
            queue.insert(0, margin + " *" + " " * column + rest)
    return result


def wrap(text):
    lines, result = text.split("\n"), []
    while lines:
        size = 1
        behind = BEHIND.match(lines[0])
        if len(lines[0]) > WIDTH and RULER.search(lines[0]):
            excess = len(lines[0]) - WIDTH
            lines[0] = RULER.sub(
                lambda ruler: ruler.group(0)[: max(3, len(ruler.group(0)) - excess)], lines[0]
            )
        if len(lines[0]) > WIDTH and behind and not behind.group(2).startswith(("/*", "*", "#")):
            lines[:1] = [behind.group(1) + behind.group(3), behind.group(1) + behind.group(2)]
        if lines[0].lstrip().startswith("/*"):
            while "*/" not in lines[size - 1] and size < len(lines):
                size += 1
            result += wrap_comment(lines[:size])
        else:
            result.append(lines[0])
        del lines[:size]
    return "\n".join(result)


def main():
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            before = file.read()
        laid_out = before
        for _ in range(3):  # laying out may push a comment past the column again
            laid_out = subprocess.run(
                ["clang-format", "--assume-filename=" + path],
                input=wrap(laid_out),
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        if laid_out != before:
            with open(path, "w", encoding="utf-8") as file:
                file.write(laid_out)
            print("  FMT  " + path)


if __name__ == "__main__":
    main()
