"""What the voices say: lower case, no punctuation, numbers spelled out.

A small grammar: [a|b] is a choice (may be empty), <name> a slot. TRAIN holds the wordings that are trained, HELD wordings kept back for
testing (their words occur in training, in other wordings). Three more kinds of text keep the decoder listening instead of completing
the templates: cut and rejoined utterances, plain sequences of common words, and words in loose frames."""
import re

ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
        "nineteen").split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def number(n):
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10 - 2] + (" " + ONES[n % 10] if n % 10 else "")
    if n < 1000:
        rest = n % 100
        return ONES[n // 100] + " hundred" + (" " + ("and " if n % 3 == 0 else "") + number(rest) if rest else "")
    return number(n // 1000) + " thousand" + (" " + number(n % 1000) if n % 1000 else "")


def lines(s):
    return [x.strip() for x in s.strip().splitlines() if x.strip()]


SLOTS = {k: v.split("|") for k, v in {
    "app": "music|the calendar|calendar|mail|the browser|browser|the camera|camera|maps|notes|settings|the settings|the terminal|terminal|"
           "calculator|the calculator|photos|the weather|weather|the clock|clock|messages|firefox|the editor|files|the file manager|spotify|"
           "chrome|downloads|documents|my documents|the player|the web browser|the text editor|my email|contacts|the news|videos|my photos|my music",
    "day": "monday|tuesday|wednesday|thursday|friday|saturday|sunday",
    "month": "january|february|march|april|may|june|july|august|september|october|november|december",
    "ord": "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth|fifteenth|twentieth|twenty first|thirtieth|last",
    "person": "my mother|my father|my mom|my dad|my sister|my brother|my friend|my wife|my husband|my boss|the doctor|the dentist|the teacher|"
              "the bank|the office|anna|john|peter|maria|david|sarah|tom|lisa|michael|emma|james|laura|robert|daniel|alice|paul|grandma|the kids|the neighbors",
    "verb": "buy|bring|find|check|get|clean|fix|take|move|send|return|order|pick up|look for|pay for|think about|ask about|talk about|"
            "read|write|wash|cook|sell|finish|start|water|feed|book|cancel|change|print|renew|prepare|paint|repair|visit|collect",
    "noun": "milk|bread|eggs|butter|cheese|coffee|tea|sugar|salt|water|apples|bananas|oranges|tomatoes|potatoes|onions|carrots|rice|pasta|chicken|"
            "beef|fish|soup|salad|juice|beer|wine|chocolate|cake|cookies|dinner|lunch|breakfast|car|keys|door|window|kitchen|garden|house|"
            "bedroom|bathroom|office|school|work|meeting|doctor|dentist|mother|father|sister|brother|friend|teacher|dog|cat|bird|horse|"
            "book|letter|phone|computer|ticket|train|bus|plane|station|airport|money|bank|bill|rent|birthday|party|present|flowers|"
            "shirt|shoes|coat|bag|table|chair|lamp|light|battery|batteries|paper|pen|box|road|street|city|river|mountain|beach|sun|rain|"
            "snow|wind|fire|tree|grass|music|game|movie|song|story|picture|question|answer|idea|plan|list|report|project|email|number|"
            "name|address|password|medicine|homework|laundry|dishes|trash|heating|oven|fridge|soap|toothpaste|towel|toilet paper|"
            "passport|insurance|garage|package|parcel|tickets|hotel|flight|haircut|rent|plants|bike|printer|shopping|glasses|wallet|umbrella|"
            "vacuum cleaner|dog food|cat food|gift|presentation|essay|exam|invoice|lawn|windows|tires|gas|sofa|carpet|ladder|hammer|nails",
    "adj": "new|old|big|small|red|blue|green|black|white|yellow|brown|good|bad|hot|cold|long|short|fresh|clean|dirty|little|happy|nice|"
           "cheap|expensive|heavy|light|dark|soft|hard|fast|slow|important|empty|full|broken|favorite|whole|sweet|warm|large|extra",
    "when": "today|tomorrow|tonight|this morning|this afternoon|this evening|next week|on the weekend|after work|before lunch|at noon|"
            "next month|later|on <day>|at <hour>|in <dur>|tomorrow morning|tomorrow evening|before <hour>|next <day>|at midnight|after dinner",
    "room": "kitchen|living room|bedroom|bathroom|office|hall|garage|garden",
    "device": "light|lights|lamp|heating|music|radio|tv|television|fan|computer|oven|screen|alarm|bluetooth|wifi|speaker|microphone|night mode|dark mode",
    "city": "london|paris|berlin|rome|madrid|new york|tokyo|chicago|boston|dublin|vienna|moscow|sydney|toronto|los angeles|san francisco|"
            "amsterdam|stockholm|oslo|athens|cairo|beijing|delhi|seattle|texas|california|florida|hamburg|munich|prague",
    "country": "france|germany|italy|spain|england|ireland|china|japan|india|canada|australia|brazil|mexico|russia|egypt|greece|sweden|"
               "norway|poland|turkey|america|the united states|portugal|scotland|austria|denmark|finland|argentina|africa|europe",
    "famous": "albert einstein|isaac newton|mozart|beethoven|bach|shakespeare|napoleon|caesar|cleopatra|marie curie|darwin|galileo|columbus|"
              "leonardo da vinci|picasso|abraham lincoln|george washington|alan turing|ada lovelace|charles dickens|plato|socrates|gandhi|"
              "nelson mandela|martin luther king|queen victoria|winston churchill|thomas edison|tesla|marco polo|elvis presley|the first president",
    "topic": "the moon|the sun|mars|jupiter|saturn|the stars|the ocean|the weather|dogs|cats|horses|whales|elephants|lions|bears|birds|bees|"
             "the romans|ancient egypt|the middle ages|the second world war|electricity|gravity|light|sound|the human body|the heart|the brain|"
             "chess|football|tennis|basketball|computers|robots|space|black holes|dinosaurs|volcanoes|earthquakes|history|music|art|science|"
             "mathematics|physics|chemistry|biology|trees|flowers|coffee|tea|chocolate|bread|cheese|the bible|the olympic games|yourself|"
             "your voice|your day|linux|rust|programming|the internet|trains|planes|ships|cars|gold|water|fire|sleep|dreams|love|"
             "<city>|<country>|<famous>|<word>|the <word>|<word> <word>",
    "op": "plus|plus|minus|times|divided by|multiplied by",
    "list": "shopping list|list|todo list|grocery list|to do list",
    "unit": "kilometers|miles|meters|feet|inches|pounds|kilos|grams|ounces|liters|cups|gallons|degrees|hours|minutes|seconds|days|weeks|dollars|euros",
}.items()}

TRAIN = [(float(s.split(" ", 1)[0]), s.split(" ", 1)[1].strip()) for s in lines(open(__file__.replace("texts.py", "train-wordings.txt")).read())
         if not s.startswith("#")]
HELD = [(float(s.split(" ", 1)[0]), s.split(" ", 1)[1].strip()) for s in lines(open(__file__.replace("texts.py", "held-wordings.txt")).read())
        if not s.startswith("#")]


def duration(r):
    k = r.random()
    if k < .8:
        n = r.choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 45, 50, 60, 90]) if r.random() < .6 else r.randint(1, 60)
        u = r.choice(["second", "minute", "minute", "minute", "hour"])
        return number(n) + " " + (u if n == 1 else u + "s")
    if k < .88:
        return r.choice(["half an hour", "an hour", "a minute", "an hour and a half", "a quarter of an hour", "one and a half hours",
                         "two and a half minutes", "half a minute"])
    n, m = r.randint(1, 12), r.choice([5, 10, 15, 20, 30, 45])
    u, v = r.choice([("hour", "minutes"), ("hour", "minutes"), ("minute", "seconds")])
    return "%s %s and %s %s" % (number(n), u if n == 1 else u + "s", number(m), v)


def hour(r):
    h = number(r.randint(1, 12))
    k = r.random()
    if k < .3:
        return h + r.choice(["", " o'clock", " o'clock"])
    if k < .5:
        return h + " " + r.choice(["thirty", "fifteen", "forty five", number(r.randint(10, 59)), "oh five"])
    if k < .65:
        return r.choice(["half past", "quarter past", "quarter to", "ten past", "five to", "twenty past"]) + " " + h
    return h + r.choice(["", "", " thirty"]) + r.choice([" a m", " p m", " in the morning", " in the evening", " in the afternoon", " tonight"])


def quantity(r):
    return number(r.randint(0, 20) if r.random() < .5 else r.randint(0, 100) if r.random() < .8 else r.choice([r.randint(100, 999), r.randint(10, 99) * 100, 1000, 2000]))


def thing(r):
    d = r.choice(["the", "a", "some", "my", "the", "", "your", "two", "more"])
    a = r.choice(SLOTS["adj"]) if r.random() < .3 else ""
    n = r.choice(WORDS.free) if r.random() < .2 else r.choice(SLOTS["noun"])
    return " ".join(x for x in (d, a, n) if x)


class WORDS:
    """The words for free positions; filled by vocab.py (kept here so that the grammar needs no other module)."""
    free = []

    @classmethod
    def pick(cls, r):
        # half evenly, half leaning to the common end of the list (it is sorted by frequency)
        return cls.free[int(len(cls.free) * (r.random() if r.random() < .5 else r.random() ** 2.5))]


SPECIAL = {"dur": duration, "hour": hour, "num": quantity, "thing": thing, "word": WORDS.pick,
           "digit": lambda r: ONES[r.randint(0, 9)], "n60": lambda r: number(r.randint(1, 60)), "n100": lambda r: number(r.randint(0, 100)),
           "n31": lambda r: number(r.randint(1, 31)), "year": lambda r: r.choice(["nineteen", "eighteen", "twenty"]) + " " + number(r.randint(10, 99))}


def expand(s, r):
    while True:
        m = re.search(r"\[([^\[\]]*)\]", s)
        if not m:
            break
        s = s[:m.start()] + r.choice(m.group(1).split("|")) + s[m.end():]
    while True:
        m = re.search(r"<(\w+)>", s)
        if not m:
            break
        k = m.group(1)
        s = s[:m.start()] + (SPECIAL[k](r) if k in SPECIAL else r.choice(SLOTS[k])) + s[m.end():]
    return " ".join(s.split())


def template(r, table=None):
    """One utterance of the assistant's domain."""
    table = table or TRAIN
    s = expand(r.choices(table, [w for w, _ in table])[0][1], r)
    k = r.random()
    if k < .10:
        return "hey hark " + s
    if k < .14:
        return "computer " + s
    if k < .155:
        return r.choice(["hey hark", "computer", "hark", "okay hark"])
    if k < .175 and "please" not in s:
        return s + " please"
    return s


FRAMES = lines("""
the <word> <word> and the <word>
<word> of the <word>
i <word> the <word> <word>
is the <word> <word> or <word>
<word> <word> in the <word>
they <word> a <word> <word> for <word>
he was <word> to <word> the <word>
we <word> <word> with <word>
she is <word> than <word>
it <word> my <word> <word> at <word>
you have <word> <word>
there are <num> <word> <word>
what <word> does <word> <word>
why is <word> <word>
do you <word> <word> <word>
can we <word> the <word>
""")


def free(r):
    """Wording that no template has."""
    k = r.random()
    if k < .5:
        return " ".join(WORDS.pick(r) for _ in range(r.choice([1, 2, 2, 3, 3, 4, 4, 5, 6])))
    if k < .72:
        return expand(r.choice(FRAMES), r)
    a, b = template(r).split(), template(r).split()
    i, j = r.randint(0, len(a)), r.randint(0, len(b))
    parts = (a[:i] if r.random() < .5 else a[i:])[:5] + [WORDS.pick(r) for _ in range(r.choice([0, 0, 1]))] + (b[:j] if r.random() < .5 else b[j:])[:5]
    return " ".join(parts) or WORDS.pick(r)


def draw(r, kind):
    """kind: train (half templates, half free) | free | known (templates) | held (held-out wordings)"""
    for _ in range(100):
        s = template(r, HELD) if kind == "held" else free(r) if kind == "free" or kind == "train" and r.random() < .5 else template(r)
        if len(s.split()) <= 14:
            return s
