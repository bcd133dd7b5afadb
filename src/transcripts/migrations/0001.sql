-- The first schema. Wall time is UTC in milliseconds with the offset of the zone that the user was in.

CREATE TABLE sessions (
    id         INTEGER PRIMARY KEY,
    key        TEXT    NOT NULL UNIQUE, -- names the run of the daemon, also across a lost and repeated commit
    started_ms INTEGER NOT NULL,
    offset_s   INTEGER NOT NULL,
    ended_ms   INTEGER,                 -- absent while it runs, and where it was killed
    version    TEXT    NOT NULL,
    input      TEXT,
    output     TEXT,
    stt_model  TEXT,
    backend    TEXT
) STRICT;

-- AUTOINCREMENT: an id that was forgotten is never given again, so "all since 812" can be relied on.
CREATE TABLE turns (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    session    INTEGER NOT NULL REFERENCES sessions (id),
    turn       INTEGER NOT NULL,        -- its id within the session
    began_ms   INTEGER NOT NULL,
    offset_s   INTEGER NOT NULL,
    asked      TEXT    NOT NULL,
    language   TEXT    NOT NULL,
    confidence REAL    NOT NULL,
    replied    TEXT    NOT NULL,
    heard      TEXT,                    -- absent: the whole reply
    outcome    TEXT    NOT NULL,
    failure    TEXT,
    tools      TEXT    NOT NULL,        -- JSON list of {name, outcome}
    span_start INTEGER NOT NULL,        -- samples at 16 kHz
    span_end   INTEGER NOT NULL,
    receipt    TEXT    NOT NULL,        -- JSON object
    redacted   INTEGER NOT NULL,        -- secrets that were blotted out
    UNIQUE (session, turn)
) STRICT;

CREATE INDEX turns_by_time ON turns (began_ms, id);

-- For each day (UTC) a span that holds the numbers of its turns: what a search within a time is bounded by. Turns that
-- are deleted leave it wider than need be, which is harmless.
CREATE TABLE days (
    day      INTEGER PRIMARY KEY,       -- began_ms / 86400000
    first_id INTEGER NOT NULL,
    last_id  INTEGER NOT NULL
) STRICT;

CREATE TRIGGER turns_dated AFTER INSERT ON turns BEGIN
    INSERT INTO days (day, first_id, last_id) VALUES (new.began_ms / 86400000, new.id, new.id)
    ON CONFLICT (day) DO UPDATE SET first_id = min(first_id, new.id), last_id = max(last_id, new.id);
END;

CREATE TABLE events (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    session  INTEGER NOT NULL REFERENCES sessions (id),
    at_ms    INTEGER NOT NULL,
    offset_s INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    detail   TEXT    NOT NULL           -- JSON; never words of the user
) STRICT;

CREATE INDEX events_by_time ON events (at_ms);

-- Work that is to be done, also after a crash in the middle of it. 'scrub': deleted words may have left traces.
CREATE TABLE upkeep (task TEXT PRIMARY KEY) STRICT;

-- The index holds no text of its own; the triggers keep it in step with the table. Beginnings of two to four letters have
-- an index of their own: without it a search for a beginning gathers every word that has it first.
CREATE VIRTUAL TABLE turns_text USING fts5 (
    asked, replied,
    content = 'turns', content_rowid = 'id',
    prefix = '2 3 4',
    tokenize = "unicode61 remove_diacritics 2"
);

-- A deleted word leaves the index at once instead of being marked as deleted.
INSERT INTO turns_text (turns_text, rank) VALUES ('secure-delete', 1);

CREATE TRIGGER turns_indexed AFTER INSERT ON turns BEGIN
    INSERT INTO turns_text (rowid, asked, replied) VALUES (new.id, new.asked, new.replied);
END;

CREATE TRIGGER turns_unindexed AFTER DELETE ON turns BEGIN
    INSERT INTO turns_text (turns_text, rowid, asked, replied) VALUES ('delete', old.id, old.asked, old.replied);
END;
