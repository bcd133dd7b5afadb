"""What is said for and against a phrase: the phrase as people say it, its halves, and what sounds like it."""
import functools
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import espeak

DICTIONARY = "/usr/share/dict/american-english"


def slug(phrase):
    return "-".join(phrase.lower().split())


def spoken(r, phrase):
    """Punctuation changes the melody, not the words."""
    words = phrase.split()
    s = phrase if len(words) == 1 or r.random() < .7 else ", ".join((words[0], " ".join(words[1:])))
    return s + r.choice(["", "", "", "!", "?", ",", "."])


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        last, row[0] = row[0], i + 1
        for j, y in enumerate(b):
            last, row[j + 1] = row[j + 1], min(last + (x != y), row[j] + 1, row[j + 1] + 1)
    return row[-1]


@functools.cache
def lexicon():
    words = {w.strip().lower() for w in open(DICTIONARY) if w.strip().isalpha() and w.strip().islower() and 2 <= len(w.strip()) <= 12}
    return {w: tuple(espeak.phonemes(w)) for w in sorted(words)}


@functools.cache
def similar(word, most=60):
    """Words that sound like it, nearest first; none that sounds the same or begins with all of it."""
    own = tuple(espeak.phonemes(word))
    near = []
    for w, p in lexicon().items():
        if abs(len(p) - len(own)) <= 3 and p != own and p[:len(own)] != own:
            d = distance(own, p)
            if d <= max(1, len(own) * 2 // 3):
                near.append((d, w))
    return [w for _, w in sorted(near)[:most]]


def parts(word):
    """Beginnings and ends of one word, as spelt: espeak and flite say them well enough to be mistaken."""
    return [word[:k] for k in range(3, len(word) - 1)] + [word[k:] for k in range(2, len(word) - 2)]


def against(r, phrase):
    """Something to say that is not the phrase but near it."""
    words = phrase.split()
    k = r.random()
    if len(words) == 1:
        if k < .6:
            return r.choice(similar(words[0])[:60])
        return r.choice(parts(words[0])) if k < .85 else r.choice(similar(words[0])) + " " + r.choice(similar(words[0]))
    if k < .3:
        i = r.randrange(len(words))
        return " ".join(words[:i] + [r.choice(similar(words[i])[:40])] + words[i + 1:])
    if k < .45:
        i = r.randrange(len(words))
        other = r.choice(["the", "a", "so", "they", "and", "my", "you", "his", "her", "okay", "good", "hi", "yeah", "day", "see", "in", "to"])
        return " ".join(words[:i] + [other] + words[i + 1:])
    if k < .65:  # halves
        i = r.randrange(1, len(words))
        return " ".join(words[:i] if r.random() < .5 else words[i:])
    if k < .75:
        return " ".join(reversed(words))
    if k < .9:
        return " ".join(r.choice(similar(w)[:40]) for w in words)
    i = r.randrange(1, len(words))
    return " ".join(words[:i]) + " " + r.choice(lexicon_sample(r)) + " " + " ".join(words[i:])


def lexicon_sample(r):
    words = list(lexicon())
    return [words[r.randrange(len(words))] for _ in range(4)]


def contains(text, phrase):
    """Whether the text has the phrase, or a word that begins with its last one (then it may well be heard there)."""
    t, p = text.lower().replace(",", "").split(), phrase.lower().split()
    return any(t[i:i + len(p) - 1] == p[:-1] and t[i + len(p) - 1].startswith(p[-1]) for i in range(len(t) - len(p) + 1))
