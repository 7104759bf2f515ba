-- The schema as numbered statements: each is applied once, in order, and never edited afterwards.

CREATE TABLE consumpdata (
    id INTEGER PRIMARY KEY,
    date TEXT NOT NULL,       -- start of the interval, local time, 'YYYY-MM-DD HH:MM:SS'
    energy INTEGER,           -- Energy (kWh), like all below in hundred-thousandths, so that sums are exact
    reactive_energy INTEGER,  -- Reactive energy (kVArh)
    power INTEGER,            -- Power (kW)
    maximeter INTEGER,        -- Maximeter (kW)
    reactive_power INTEGER,   -- Reactive power (kVAr)
    voltage INTEGER,          -- Voltage (V)
    intensity INTEGER,        -- Intensity (A)
    power_factor INTEGER,     -- Power factor (Fi)
    meter_id INTEGER NOT NULL DEFAULT 1,
    utc INTEGER NOT NULL      -- start of the interval, seconds since 1970-01-01 00:00:00 UTC
);

CREATE UNIQUE INDEX meter_utc ON consumpdata (meter_id, utc);

CREATE INDEX date ON consumpdata (date);

CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    user TEXT NOT NULL UNIQUE,
    password TEXT NOT NULL,   -- argon2id, or SHA-256 in hex
    enabled INTEGER NOT NULL DEFAULT 1
);

CREATE TRIGGER refuse_plain_new_password BEFORE INSERT ON users
WHEN NEW.password NOT LIKE '$argon2id$%' AND NEW.password NOT GLOB replace(hex(zeroblob(32)), '0', '[0-9a-f]')
BEGIN
    SELECT RAISE(ABORT, 'a password is stored as its hash only: use python -m loader.users');
END;

CREATE TRIGGER refuse_plain_changed_password BEFORE UPDATE OF password ON users
WHEN NEW.password NOT LIKE '$argon2id$%' AND NEW.password NOT GLOB replace(hex(zeroblob(32)), '0', '[0-9a-f]')
BEGIN
    SELECT RAISE(ABORT, 'a password is stored as its hash only: use python -m loader.users');
END;

CREATE TABLE meters (
    id INTEGER PRIMARY KEY,
    timezone TEXT NOT NULL    -- IANA zone of the local times of its readings
);

CREATE TABLE imports (
    id INTEGER PRIMARY KEY,
    version TEXT NOT NULL,    -- names the state of the data after it
    meter_id INTEGER NOT NULL,
    file TEXT NOT NULL,
    sha256 TEXT NOT NULL,     -- of the report, uncompressed
    new INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    unchanged INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    first_reading TEXT,       -- earliest and latest local time in the report
    last_reading TEXT,
    finished TEXT NOT NULL,   -- UTC
    seconds REAL NOT NULL,
    readings INTEGER NOT NULL, -- in the table after it, as are the ids
    first_id INTEGER,
    last_id INTEGER
);

CREATE TABLE pages (
    first_id INTEGER PRIMARY KEY, -- of 4000 readings whose ids follow each other
    size INTEGER NOT NULL,        -- of their records as JSON, joined by commas
    crc INTEGER NOT NULL,         -- the CRC-32 of the same
    deflated BLOB NOT NULL
);

CREATE TRIGGER forget_page_of_changed AFTER UPDATE ON consumpdata
BEGIN
    DELETE FROM pages
    WHERE first_id IN ((OLD.id - 1) / 4000 * 4000 + 1, (NEW.id - 1) / 4000 * 4000 + 1);
END;

CREATE TRIGGER forget_page_of_deleted AFTER DELETE ON consumpdata
BEGIN
    DELETE FROM pages WHERE first_id = (OLD.id - 1) / 4000 * 4000 + 1;
END;

-- what reports call the meter, such as a CUPS
ALTER TABLE meters ADD COLUMN identifier TEXT;

-- from the start of a reading to that of the next
ALTER TABLE meters ADD COLUMN interval_seconds INTEGER;

CREATE TABLE flags (
    reading_id INTEGER PRIMARY KEY,
    flags INTEGER NOT NULL    -- sum of the bits of its flags
);

CREATE TRIGGER forget_flags_of_deleted AFTER DELETE ON consumpdata
BEGIN
    DELETE FROM flags WHERE reading_id = OLD.id;
END;

-- what the flags of its readings were worked out with
ALTER TABLE meters ADD COLUMN quality TEXT;

-- read or admin
ALTER TABLE users ADD COLUMN role TEXT NOT NULL DEFAULT 'read';

-- of its tokens: older ones are revoked
ALTER TABLE users ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;

CREATE TABLE revocations (
    id INTEGER PRIMARY KEY,
    jti TEXT NOT NULL,        -- token that was revoked
    expires INTEGER NOT NULL  -- seconds since 1970-01-01 00:00:00 UTC
);

CREATE INDEX revocations_jti ON revocations (jti);

CREATE INDEX revocations_expires ON revocations (expires);

CREATE TABLE access (
    id INTEGER PRIMARY KEY,   -- of the only row
    changes INTEGER NOT NULL  -- of users and revocations so far
);

INSERT INTO access (id, changes) VALUES (1, 0);

CREATE TRIGGER count_revocation AFTER INSERT ON revocations
BEGIN
    UPDATE access SET changes = changes + 1;
END;

CREATE TRIGGER count_deleted_user AFTER DELETE ON users
BEGIN
    UPDATE access SET changes = changes + 1;
END;

CREATE TRIGGER count_new_user AFTER INSERT ON users
BEGIN
    UPDATE access SET changes = changes + 1;
    UPDATE users SET generation = (SELECT changes FROM access) WHERE id = NEW.id;
END;

CREATE TRIGGER count_changed_user AFTER UPDATE OF user, password, enabled, role ON users
BEGIN
    UPDATE access SET changes = changes + 1;
    UPDATE users SET generation = (SELECT changes FROM access)
    WHERE id = NEW.id
    AND (NEW.user <> OLD.user OR NEW.password <> OLD.password OR NEW.enabled <> OLD.enabled);
END;

CREATE TABLE sessions (
    jti TEXT PRIMARY KEY,     -- of the token
    user TEXT NOT NULL,
    generation INTEGER NOT NULL, -- of the user's tokens
    issued INTEGER NOT NULL,  -- seconds since 1970-01-01 00:00:00 UTC, as is the next
    expires INTEGER NOT NULL,
    address TEXT NOT NULL,    -- that the user logged in from
    agent TEXT NOT NULL       -- beginning of the header User-Agent
);

CREATE INDEX sessions_user ON sessions (user);

CREATE INDEX sessions_expires ON sessions (expires);

CREATE TABLE states (
    meter_id INTEGER PRIMARY KEY,
    version TEXT NOT NULL,         -- random name, a new one with each import
    changes INTEGER NOT NULL,      -- by other programs since the last import
    corrections INTEGER NOT NULL,  -- of readings that were there: grows from a random number on
    readings INTEGER,              -- NULL once another program has added or deleted some
    first_id INTEGER,              -- smallest id after the last import
    last_id INTEGER NOT NULL       -- largest id so far, 0 without readings
);

INSERT INTO states (meter_id, version, changes, corrections, readings, first_id, last_id)
    SELECT 1, lower(hex(randomblob(16))), 0, abs(random() % 1000000000000), COUNT(*), MIN(id),
        COALESCE(MAX(id), 0)
    FROM consumpdata;

-- the loader drops these triggers while it writes, and counts for itself, once an import
CREATE TRIGGER state_after_insert AFTER INSERT ON consumpdata
BEGIN
    UPDATE states SET
        changes = changes + 1,
        corrections = corrections + (NEW.id <= last_id),
        readings = NULL,
        last_id = max(last_id, NEW.id);
    DELETE FROM pages WHERE first_id = (NEW.id - 1) / 4000 * 4000 + 1;
    DELETE FROM flags WHERE reading_id = NEW.id;
END;

-- INSERT OR REPLACE fires no trigger for the reading that it replaces. INSERT OR IGNORE fires this
-- one, too: what it deletes can be built again. Flags of readings that are gone harm nobody.
CREATE TRIGGER state_before_insert BEFORE INSERT ON consumpdata
WHEN EXISTS (SELECT 1 FROM consumpdata WHERE meter_id = NEW.meter_id AND utc = NEW.utc)
BEGIN
    UPDATE states SET changes = changes + 1, corrections = corrections + 1, readings = NULL;
    DELETE FROM pages WHERE first_id IN
        (SELECT (id - 1) / 4000 * 4000 + 1 FROM consumpdata
         WHERE meter_id = NEW.meter_id AND utc = NEW.utc);
END;

CREATE TRIGGER state_after_update AFTER UPDATE ON consumpdata
BEGIN
    UPDATE states SET
        changes = changes + 1,
        corrections = corrections + 1,
        readings = iif(NEW.id = OLD.id, readings, NULL),
        last_id = max(last_id, NEW.id);
END;

CREATE TRIGGER state_after_delete AFTER DELETE ON consumpdata
BEGIN
    UPDATE states SET changes = changes + 1, corrections = corrections + 1, readings = NULL;
END;

CREATE TRIGGER state_after_meter AFTER UPDATE ON meters
BEGIN
    UPDATE states SET changes = changes + 1;
END;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,   -- number, without gaps
    entry TEXT NOT NULL,      -- what happened, as JSON
    hash TEXT NOT NULL        -- SHA-256 of three lines: the hash before, the number, the entry
);

CREATE TABLE audit_head (
    id INTEGER PRIMARY KEY,   -- of the only row
    last INTEGER NOT NULL,    -- number of the last entry
    hash TEXT NOT NULL,       -- its hash
    pruned INTEGER NOT NULL   -- entries up to this number may be deleted
);

CREATE TRIGGER refuse_changed_audit BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is only appended to');
END;

CREATE TRIGGER refuse_deleted_audit BEFORE DELETE ON audit
WHEN OLD.id > COALESCE((SELECT MAX(pruned) FROM audit_head), 0)
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is only appended to');
END;

CREATE TRIGGER refuse_unlinked_audit BEFORE INSERT ON audit
WHEN NEW.id IS NOT (SELECT last + 1 FROM audit_head)
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is only appended to');
END;

CREATE TRIGGER append_audit AFTER INSERT ON audit
BEGIN
    UPDATE audit_head SET last = NEW.id, hash = NEW.hash;
END;

-- Comes last: a server takes it for the sign that all of these are there.
REPLACE INTO audit_head (id, last, hash, pruned) VALUES (1, 0, printf('%064d', 0), 0);
