"""What lines of text are like: words that are real, variety, copies, letters."""

import math
import re
from collections import Counter
from collections.abc import Collection, Sequence

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")  # letters and digits, apostrophes within


def words(line: str) -> list[str]:
    """The words of a line, in small letters."""
    return WORD.findall(line.casefold())


def real_words(lines: Sequence[str], known: Collection[str]) -> float:
    """The share of the words of lines that are known; 0 where they have none."""
    found = [word in known for line in lines for word in words(line)]
    return sum(found) / max(1, len(found))


def shared_words(lines: Sequence[str], known: Collection[str]) -> float:
    """The share of the words of lines that are known, or in another of the lines: `real_words` of lines that are among the known ones themselves."""
    among = Counter(word for line in lines for word in {*words(line)})
    found = [word in known or among[word] > 1 for line in lines for word in words(line)]
    return sum(found) / max(1, len(found))


def distinct(lines: Sequence[str], n: int) -> float:
    """distinct-n: different runs of n words over all of them (Li et al. 2016). It falls with the number of lines, so compare as many."""
    runs = [run for line in lines for own in [words(line)] for run in zip(*(own[i:] for i in range(n)), strict=False)]
    return len({*runs}) / max(1, len(runs))


def copied(lines: Sequence[str], of: Collection[str]) -> float:
    """The share of lines that are among others, letter by letter."""
    return sum(line in of for line in lines) / max(1, len(lines))


def entropy(lines: Sequence[str]) -> float:
    """Bits a letter of the letters' own frequencies, -Σ p log2 p, whatever stands before each."""
    counts = Counter(letter for line in lines for letter in line)
    total = counts.total()
    return -sum(count / total * math.log2(count / total) for count in counts.values())


def length(lines: Sequence[str]) -> float:
    """Letters of a line, on average."""
    return sum(map(len, lines)) / max(1, len(lines))
