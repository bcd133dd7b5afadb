"""The words, their GPT-2 tokens (Whisper's English vocabulary) and their phonemes. Made once, kept in DATA/vocab.json."""
import base64
import json
import os
import random
import sys

import texts

DATA = os.environ.get("HARK_TRAIN_DIR", os.path.expanduser("~/.cache/hark-train"))
ASSETS = os.environ.get("HARK_TRAIN_ASSETS", os.path.join(DATA, "assets"))
FREE_WORDS = int(os.environ.get("FREE_WORDS", "2400"))
EOT, SOT, NO_SPEECH, NO_TIMESTAMPS = 50256, 50257, 50361, 50362
ROWS = 51864  # rows of Whisper's English embedding
# A voice assistant for everybody need not be good at these.
UNWANTED = ("fuck shit bitch cunt dick cock pussy nigg fag whore slut porn rape sex sexy sexual cum tits ass asshole bastard damn anal "
            "nude naked penis vagina nazi ii iii iv vi vii ix").split()

RANK = {base64.b64decode(t): int(i) for t, i in (l.split() for l in open(os.path.join(ASSETS, "gpt2.tiktoken"), "rb") if l.strip())}
TOKEN_BYTES = {i: b for b, i in RANK.items()}
DOT = RANK[b"."]


def bpe(b):
    parts = [bytes([x]) for x in b]
    while len(parts) > 1:
        rank, i = min((RANK.get(parts[i] + parts[i + 1], 1 << 30), i) for i in range(len(parts) - 1))
        if rank == 1 << 30:
            break
        parts[i:i + 2] = [parts[i] + parts[i + 1]]
    return [RANK[p] for p in parts]


_cache = {}


def encode(text):
    out = []
    for w in text.split():
        if w not in _cache:
            k = w.find("'")
            # GPT-2 splits contractions before it merges
            _cache[w] = bpe((" " + w).encode()) if k < 0 else bpe((" " + w[:k]).encode()) + bpe(w[k:].encode())
        out += _cache[w]
    return out


def build():
    import espeak
    from wordfreq import top_n_list
    r = random.Random(7)
    texts.WORDS.free = ["the"]
    domain = {}
    for table in (texts.TRAIN, texts.HELD):
        for _ in range(60000):
            for w in texts.template(r, table).split():
                domain[w] = domain.get(w, 0) + 1
    for n in range(100):
        for w in texts.number(n).split():
            domain[w] = domain.get(w, 0) + 1
    for v in texts.SLOTS.values():
        for s in v:
            for w in s.split():
                if not w.startswith("<") and not w.endswith(">"):
                    domain.setdefault(w, 1)
    dictionary = set(open("/usr/share/dict/american-english").read().split())
    common = [w for w in top_n_list("en", 12000) if w in dictionary and w.isalpha() and w.islower() and w.isascii()
              and (len(w) > 1 or w in "ai") and not any(w == u or (len(u) > 3 and w.startswith(u)) for u in UNWANTED)]
    rank = {w: i for i, w in enumerate(common)}
    # one word per sound: of homophones the domain's, then the commoner one, so that free positions are decidable by ear
    free, seen = [], set()
    lexicon = {w: espeak.phonemes(w) for w in domain}
    for w in sorted(domain, key=lambda w: -domain[w]):
        p = "".join(lexicon[w])
        if p not in seen and "'" not in w:
            free.append(w)
        seen.add(p)
    for w in common:
        if len(free) >= FREE_WORDS:
            break
        if w not in domain:
            p = espeak.phonemes(w)
            if "".join(p) not in seen:
                seen.add("".join(p))
                free.append(w)
                lexicon[w] = p
    free.sort(key=lambda w: rank.get(w, 5000))
    ids = sorted({i for w in lexicon for i in encode(w)} | {DOT}) + [EOT, SOT, NO_SPEECH, NO_TIMESTAMPS]
    phones = sorted({p for v in lexicon.values() for p in v})
    return {"free": free, "lexicon": lexicon, "ids": ids, "phones": phones}


def load():
    path = os.path.join(DATA, "vocab.json")
    if not os.path.exists(path):
        os.makedirs(DATA, exist_ok=True)
        t = build()
        with open(path + ".tmp", "w") as f:
            json.dump(t, f)
        os.replace(path + ".tmp", path)
    t = json.load(open(path))
    texts.WORDS.free = t["free"]
    return t


if __name__ == "__main__":
    t = load()
    print(len(t["free"]), "free words,", len(t["lexicon"]), "words,", len(t["ids"]), "tokens,", len(t["phones"]), "phonemes")
    if sys.argv[1:] != ["--examples"]:
        sys.exit()
    r = random.Random(1)
    known = set(t["lexicon"])
    train = {w for _ in range(40000) for w in texts.draw(r, "train").split()}
    held = {w for _ in range(5000) for w in texts.draw(r, "held").split()}
    print("words without an entry:", sorted((train | held) - known), "held-out words not in training:", sorted(held - train))
    for k in ("train", "held"):
        for _ in range(14):
            print(k, "|", texts.draw(r, k))
