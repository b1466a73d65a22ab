"""Characters that nobody sees: what counts as a blank at the ends of a text, and which signs no text of ours holds.

One place for both, because two readings of "empty" or "the same key" make two profiles of one person. Joiners inside a
text are part of it (an emoji of several signs, Persian and Indic spelling); at its ends they are blanks.
"""

import re

# Unicode's White_Space, and the signs that are drawn as nothing: fillers, joiners, direction marks, byte-order mark.
# Variation selectors and tag signs are not among them: an emoji may end with one.
BLANKS = "".join(
    chr(code)
    for first, last in (
        (0x09, 0x0D),
        (0x1C, 0x20),
        (0x85, 0x85),
        (0xA0, 0xA0),
        (0xAD, 0xAD),  # soft hyphen
        (0x034F, 0x034F),  # combining grapheme joiner
        (0x061C, 0x061C),  # Arabic letter mark
        (0x115F, 0x1160),  # Hangul fillers
        (0x1680, 0x1680),
        (0x180E, 0x180E),  # Mongolian vowel separator
        (0x2000, 0x200F),  # spaces, zero-width space and joiners, direction marks
        (0x2028, 0x202F),  # line and paragraph separator, embeddings, narrow space
        (0x205F, 0x2064),  # mathematical space, word joiner, invisible operators
        (0x2066, 0x206F),  # isolates
        (0x2800, 0x2800),  # Braille blank
        (0x3000, 0x3000),
        (0x3164, 0x3164),  # Hangul filler
        (0xFEFF, 0xFEFF),  # byte-order mark
        (0xFFA0, 0xFFA0),  # halfwidth Hangul filler
    )
    for code in range(first, last + 1)
)
# Control characters other than tab, line feed and carriage return, as a pattern of polars and of `re`.
CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"

_CONTROLS = re.compile(CONTROLS)
_HALVES = re.compile(r"[\ud800-\udfff]")


def trimmed(text: str) -> str:
    """`text` without the blanks at its ends; "" where it holds nothing else."""
    return text.strip(BLANKS)


def without_controls(text: str) -> str:
    """`text` without control characters, tab and line ends apart, and with U+FFFD for each half of a surrogate pair.

    PostgreSQL takes no NUL and UTF-8 no half of a pair: either would stop whoever stores the text.
    """
    return _HALVES.sub("\ufffd", _CONTROLS.sub("", text))
