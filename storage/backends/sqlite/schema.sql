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

-- Many meters. Everything that belongs to a meter is keyed by it first, so that its rows lie together
-- and a transaction touches one meter.

DROP TRIGGER state_after_meter;

-- names the meter in requests and commands
ALTER TABLE meters ADD COLUMN public_id TEXT NOT NULL DEFAULT 'main';

-- for people
ALTER TABLE meters ADD COLUMN name TEXT;

ALTER TABLE meters ADD COLUMN note TEXT;

-- in m2
ALTER TABLE meters ADD COLUMN area REAL;

-- when it was registered, UTC
ALTER TABLE meters ADD COLUMN created TEXT;

-- the meter that took its place
ALTER TABLE meters ADD COLUMN replaced_by INTEGER;

-- when its removal began, UTC
ALTER TABLE meters ADD COLUMN removed TEXT;

CREATE UNIQUE INDEX meters_public_id ON meters (public_id);

CREATE UNIQUE INDEX meters_identifier ON meters (identifier);

-- before this one, readings of no known meter are given one
-- number of the last import
ALTER TABLE states ADD COLUMN imports INTEGER NOT NULL DEFAULT 0;

-- starts of the first and of the last reading, seconds since 1970; NULL once another program has
-- changed some
ALTER TABLE states ADD COLUMN first_utc INTEGER;

ALTER TABLE states ADD COLUMN last_utc INTEGER;

-- when the last import was written, UTC
ALTER TABLE states ADD COLUMN changed TEXT;

UPDATE states SET imports = (SELECT COALESCE(MAX(id), 0) FROM imports);

DELETE FROM states WHERE meter_id NOT IN (SELECT id FROM meters);

CREATE TABLE imports_by_meter (
    meter_id INTEGER NOT NULL,
    id INTEGER NOT NULL,      -- number of the import of its meter
    version TEXT NOT NULL,    -- names the state of the data after it
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
    readings INTEGER NOT NULL, -- of the meter after it, as are the ids
    first_id INTEGER,
    last_id INTEGER,
    PRIMARY KEY (meter_id, id)
) WITHOUT ROWID;

INSERT INTO imports_by_meter
    (meter_id, id, version, file, sha256, new, changed, unchanged, rejected, first_reading,
     last_reading, finished, seconds, readings, first_id, last_id)
    SELECT meter_id, id, version, file, sha256, new, changed, unchanged, rejected, first_reading,
        last_reading, finished, seconds, readings, first_id, last_id
    FROM imports;

DROP TABLE imports;

ALTER TABLE imports_by_meter RENAME TO imports;

CREATE TABLE readings (
    meter_id INTEGER NOT NULL DEFAULT 1,
    id INTEGER NOT NULL,      -- number of the reading of its meter
    date TEXT NOT NULL,       -- start of the interval, local time, 'YYYY-MM-DD HH:MM:SS'
    utc INTEGER NOT NULL,     -- start of the interval, seconds since 1970-01-01 00:00:00 UTC
    energy INTEGER,           -- Energy (kWh), like all below in hundred-thousandths, so that sums are exact
    reactive_energy INTEGER,  -- Reactive energy (kVArh)
    power INTEGER,            -- Power (kW)
    maximeter INTEGER,        -- Maximeter (kW)
    reactive_power INTEGER,   -- Reactive power (kVAr)
    voltage INTEGER,          -- Voltage (V)
    intensity INTEGER,        -- Intensity (A)
    power_factor INTEGER,     -- Power factor (Fi)
    exported_energy INTEGER,  -- Exported energy (kWh)
    exported_reactive_energy INTEGER, -- Exported reactive energy (kVArh)
    import_id INTEGER NOT NULL DEFAULT 0, -- import that wrote it, 0 if it is older
    PRIMARY KEY (meter_id, id)
) WITHOUT ROWID;

INSERT INTO readings
    (meter_id, id, date, utc, energy, reactive_energy, power, maximeter, reactive_power, voltage,
     intensity, power_factor)
    SELECT meter_id, id, date, utc, energy, reactive_energy, power, maximeter, reactive_power,
        voltage, intensity, power_factor
    FROM consumpdata ORDER BY meter_id, id;

CREATE UNIQUE INDEX readings_utc ON readings (meter_id, utc);

CREATE INDEX readings_date ON readings (meter_id, date);

DROP TABLE consumpdata;

CREATE TABLE pages_by_meter (
    meter_id INTEGER NOT NULL,
    first_id INTEGER NOT NULL,    -- of 4000 readings whose ids follow each other
    size INTEGER NOT NULL,        -- of their records as JSON, joined by commas
    crc INTEGER NOT NULL,         -- the CRC-32 of the same
    deflated BLOB NOT NULL,
    PRIMARY KEY (meter_id, first_id)
);

INSERT INTO pages_by_meter (meter_id, first_id, size, crc, deflated)
    SELECT 1, first_id, size, crc, deflated FROM pages;

DROP TABLE pages;

ALTER TABLE pages_by_meter RENAME TO pages;

CREATE TABLE flags_by_meter (
    meter_id INTEGER NOT NULL,
    reading_id INTEGER NOT NULL,
    flags INTEGER NOT NULL,   -- sum of the bits of its flags
    PRIMARY KEY (meter_id, reading_id)
) WITHOUT ROWID;

INSERT INTO flags_by_meter (meter_id, reading_id, flags) SELECT 1, reading_id, flags FROM flags;

DROP TABLE flags;

ALTER TABLE flags_by_meter RENAME TO flags;

-- The loader fills it within its transaction, and nobody ever sees a row: as long as there is one,
-- the triggers below leave the counting to the loader.
CREATE TABLE loading (meter_id INTEGER PRIMARY KEY);

CREATE TRIGGER forget_page_of_changed AFTER UPDATE ON readings
BEGIN
    DELETE FROM pages WHERE meter_id = OLD.meter_id AND first_id = (OLD.id - 1) / 4000 * 4000 + 1;
    DELETE FROM pages WHERE meter_id = NEW.meter_id AND first_id = (NEW.id - 1) / 4000 * 4000 + 1;
END;

CREATE TRIGGER forget_page_of_deleted AFTER DELETE ON readings
BEGIN
    DELETE FROM pages WHERE meter_id = OLD.meter_id AND first_id = (OLD.id - 1) / 4000 * 4000 + 1;
    DELETE FROM flags WHERE meter_id = OLD.meter_id AND reading_id = OLD.id;
END;

CREATE TRIGGER state_after_insert AFTER INSERT ON readings
WHEN NOT EXISTS (SELECT 1 FROM loading)
BEGIN
    UPDATE states SET
        changes = changes + 1,
        corrections = corrections + (NEW.id <= last_id),
        readings = NULL,
        first_utc = NULL,
        last_utc = NULL,
        last_id = max(last_id, NEW.id)
    WHERE meter_id = NEW.meter_id;
    DELETE FROM pages WHERE meter_id = NEW.meter_id AND first_id = (NEW.id - 1) / 4000 * 4000 + 1;
    DELETE FROM flags WHERE meter_id = NEW.meter_id AND reading_id = NEW.id;
END;

-- INSERT OR REPLACE fires no trigger for the reading that it replaces. INSERT OR IGNORE fires this
-- one, too: what it deletes can be built again. Flags of readings that are gone harm nobody.
CREATE TRIGGER state_before_insert BEFORE INSERT ON readings
WHEN NOT EXISTS (SELECT 1 FROM loading)
    AND EXISTS (SELECT 1 FROM readings WHERE meter_id = NEW.meter_id AND (utc = NEW.utc OR id = NEW.id))
BEGIN
    UPDATE states SET
        changes = changes + 1,
        corrections = corrections + 1,
        readings = NULL,
        first_utc = NULL,
        last_utc = NULL
    WHERE meter_id = NEW.meter_id;
    DELETE FROM pages WHERE meter_id = NEW.meter_id AND first_id IN
        (SELECT (id - 1) / 4000 * 4000 + 1 FROM readings
         WHERE meter_id = NEW.meter_id AND utc = NEW.utc);
END;

CREATE TRIGGER state_after_update AFTER UPDATE ON readings
WHEN NOT EXISTS (SELECT 1 FROM loading)
BEGIN
    UPDATE states SET
        changes = changes + 1,
        corrections = corrections + 1,
        readings = iif(NEW.id = OLD.id AND NEW.meter_id = OLD.meter_id, readings, NULL),
        first_utc = NULL,
        last_utc = NULL,
        last_id = iif(meter_id = NEW.meter_id, max(last_id, NEW.id), last_id)
    WHERE meter_id IN (OLD.meter_id, NEW.meter_id);
END;

CREATE TRIGGER state_after_delete AFTER DELETE ON readings
WHEN NOT EXISTS (SELECT 1 FROM loading)
BEGIN
    UPDATE states SET
        changes = changes + 1,
        corrections = corrections + 1,
        readings = NULL,
        first_utc = NULL,
        last_utc = NULL
    WHERE meter_id = OLD.meter_id;
END;

CREATE TRIGGER state_after_meter AFTER UPDATE ON meters
WHEN NOT EXISTS (SELECT 1 FROM loading)
BEGIN
    UPDATE states SET changes = changes + 1 WHERE meter_id = NEW.id;
END;

UPDATE states SET
    version = lower(hex(randomblob(16))),
    readings = (SELECT COUNT(*) FROM readings AS r WHERE r.meter_id = states.meter_id),
    first_id = (SELECT MIN(id) FROM readings AS r WHERE r.meter_id = states.meter_id),
    first_utc = (SELECT MIN(utc) FROM readings AS r WHERE r.meter_id = states.meter_id),
    last_utc = (SELECT MAX(utc) FROM readings AS r WHERE r.meter_id = states.meter_id);

-- Who measures, who may see what: filled by commands of their own.

CREATE TABLE devices (
    meter_id INTEGER NOT NULL, -- meter that it measured for
    id INTEGER NOT NULL,      -- number of the device of its meter
    serial TEXT,
    model TEXT,               -- maker and model
    installed INTEGER,        -- when it began to measure, seconds since 1970
    removed INTEGER,          -- when it ended; NULL while it measures
    note TEXT,
    PRIMARY KEY (meter_id, id)
) WITHOUT ROWID;

CREATE TABLE meter_groups (
    id INTEGER PRIMARY KEY,
    public_id TEXT NOT NULL UNIQUE, -- names the group in requests and commands
    name TEXT,                -- for people
    note TEXT,
    created TEXT NOT NULL     -- UTC
);

CREATE TABLE group_members (
    group_id INTEGER NOT NULL,
    id INTEGER NOT NULL,      -- number of the member of its group
    meter_id INTEGER,         -- the member; NULL if it is a group
    member_group_id INTEGER,  -- the member; NULL if it is a meter
    sign INTEGER NOT NULL,    -- 1: its energy is added, -1: subtracted
    first_day TEXT,           -- first day that counts, 'YYYY-MM-DD'; NULL from the beginning
    last_day TEXT,            -- last day that counts; NULL without end
    PRIMARY KEY (group_id, id)
) WITHOUT ROWID;

CREATE INDEX group_members_meter ON group_members (meter_id);

CREATE INDEX group_members_group ON group_members (member_group_id);

CREATE TABLE grants (
    user TEXT NOT NULL,       -- who may
    id INTEGER NOT NULL,      -- number of the grant of its user
    meter_id INTEGER,         -- NULL if it is for a group or for all
    group_id INTEGER,         -- NULL if it is for a meter or for all
    permission TEXT NOT NULL, -- what the user may do, such as read
    first_day TEXT,           -- first day of the readings, 'YYYY-MM-DD'; NULL from the beginning
    last_day TEXT,            -- last day of the readings; NULL without end
    expires INTEGER,          -- seconds since 1970; NULL never
    granted_by TEXT NOT NULL,
    granted INTEGER NOT NULL, -- seconds since 1970
    PRIMARY KEY (user, id)
) WITHOUT ROWID;

CREATE INDEX grants_meter ON grants (meter_id);

CREATE INDEX grants_group ON grants (group_id);

CREATE TABLE api_keys (
    hash TEXT PRIMARY KEY,    -- SHA-256 of the key, in hex
    user TEXT NOT NULL,       -- who uses it
    name TEXT NOT NULL,       -- which the user gave it
    permissions TEXT NOT NULL, -- what it is good for, words separated by blanks
    created INTEGER NOT NULL, -- seconds since 1970, like the next two
    expires INTEGER,          -- NULL never
    revoked INTEGER,          -- NULL if it was not
    UNIQUE (user, name)
) WITHOUT ROWID;

CREATE TABLE days (
    meter_id INTEGER NOT NULL,
    day TEXT NOT NULL,        -- in the local time of the meter, 'YYYY-MM-DD'
    clean INTEGER NOT NULL,   -- 1: without the implausible readings, for a day that has any
    first_utc INTEGER NOT NULL, -- start of its first reading, seconds since 1970
    last_utc INTEGER NOT NULL,
    readings INTEGER NOT NULL,
    present INTEGER NOT NULL, -- readings with any value
    flagged INTEGER NOT NULL, -- readings flagged catch_up, implausible or zero_voltage
    implausible INTEGER NOT NULL, -- readings with this flag, like missing and those after it
    energy INTEGER,           -- sums are named like the quantity
    energy_count INTEGER NOT NULL, -- readings that have the quantity
    reactive_energy INTEGER,
    power INTEGER,
    power_count INTEGER NOT NULL,
    power_min INTEGER,
    power_max INTEGER,
    reactive_power INTEGER,
    reactive_power_count INTEGER NOT NULL,
    reactive_power_min INTEGER,
    reactive_power_max INTEGER,
    voltage INTEGER,
    voltage_count INTEGER NOT NULL,
    voltage_min INTEGER,
    voltage_max INTEGER,
    intensity INTEGER,
    intensity_count INTEGER NOT NULL,
    intensity_min INTEGER,
    intensity_max INTEGER,
    maximeter INTEGER,        -- the greatest
    maximeter_utc INTEGER,    -- start of the first reading that has it
    missing INTEGER NOT NULL,
    catch_up INTEGER NOT NULL,
    zero_voltage INTEGER NOT NULL,
    repeated_hour INTEGER NOT NULL,
    catch_up_energy INTEGER,  -- energy of the readings flagged catch_up
    catch_up_energy_count INTEGER NOT NULL,
    catch_up_power_count INTEGER NOT NULL,
    implausible_energy INTEGER, -- energy of the readings flagged implausible
    PRIMARY KEY (meter_id, day, clean)
) WITHOUT ROWID;

-- What SQLite cannot know: a meter has many readings, and few of them one local time. Otherwise it
-- would go through all readings of a meter for those of one time. With fewer rows on record than in
-- a table of which it knows nothing, it would go through them for a filter as well.
ANALYZE sqlite_master;

INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('readings', 'readings', '1000000000 10000 1'),
    ('readings', 'readings_utc', '1000000000 10000 1'),
    ('readings', 'readings_date', '1000000000 10000 1');

ANALYZE sqlite_master;

-- Comes last: a server takes it for the sign that all of these are there.
CREATE VIEW consumpdata AS
    SELECT id, date, energy, reactive_energy, power, maximeter, reactive_power, voltage, intensity,
        power_factor, meter_id, utc
    FROM readings WHERE meter_id = 1;

ALTER TABLE days ADD COLUMN power_factor INTEGER;

ALTER TABLE days ADD COLUMN power_factor_count INTEGER NOT NULL DEFAULT 0;

-- of the readings without power that are not flagged catch_up, like the next three
ALTER TABLE days ADD COLUMN derived_energy INTEGER;

ALTER TABLE days ADD COLUMN derived_energy_count INTEGER NOT NULL DEFAULT 0;

ALTER TABLE days ADD COLUMN derived_energy_min INTEGER;

ALTER TABLE days ADD COLUMN derived_energy_max INTEGER;

-- sum of positive reactive power, unless power is negative
ALTER TABLE days ADD COLUMN inductive_power INTEGER;

-- sum of negative reactive power without its sign, likewise
ALTER TABLE days ADD COLUMN capacitive_power INTEGER;

-- Corrections: what an import has kept and replaced.

-- values that stayed because the report has an empty field
ALTER TABLE imports ADD COLUMN kept INTEGER NOT NULL DEFAULT 0;

-- of the report; NULL if it is older
ALTER TABLE imports ADD COLUMN format TEXT;

CREATE TABLE replaced_values (
    meter_id INTEGER NOT NULL,
    reading_id INTEGER NOT NULL,
    import_id INTEGER NOT NULL,   -- the import that replaced them
    previous_import_id INTEGER NOT NULL, -- the import that wrote the reading before, 0 if it is older
    replaced TEXT NOT NULL,       -- when they were replaced, UTC
    quantities INTEGER NOT NULL,  -- sum of the bits of those that were replaced: 1 for the next column, then 2, 4 and so on
    energy INTEGER,
    reactive_energy INTEGER,
    power INTEGER,
    maximeter INTEGER,
    reactive_power INTEGER,
    voltage INTEGER,
    intensity INTEGER,
    power_factor INTEGER,
    PRIMARY KEY (meter_id, reading_id, import_id)
) WITHOUT ROWID;

CREATE INDEX replaced_values_import ON replaced_values (meter_id, import_id);

-- How long readings last. A meter whose readings all last as long has that in meters, too.
CREATE TABLE intervals (
    meter_id INTEGER NOT NULL,
    first_utc INTEGER NOT NULL, -- start of the first reading of this length, seconds since 1970
    seconds INTEGER,          -- from the start of a reading to that of the next; NULL if unknown
    said INTEGER NOT NULL,    -- 1: the configuration says so, 0: the readings do
    PRIMARY KEY (meter_id, first_utc)
) WITHOUT ROWID;

INSERT OR REPLACE INTO intervals (meter_id, first_utc, seconds, said)
    SELECT id, (SELECT MIN(utc) FROM readings WHERE meter_id = meters.id), interval_seconds, 0
    FROM meters WHERE interval_seconds IS NOT NULL
        AND EXISTS (SELECT 1 FROM readings WHERE meter_id = meters.id);

-- Grants: who may see what. Users that were there before may read all meters, as they could.

CREATE INDEX grants_user_meter ON grants (user, meter_id, group_id);

CREATE TRIGGER grant_new_user AFTER INSERT ON users
BEGIN
    INSERT INTO grants (user, id, permission, granted_by, granted)
    SELECT NEW.user, COALESCE(MAX(id), 0) + 1, 'read', '', CAST(strftime('%s') AS INTEGER)
    FROM grants WHERE user = NEW.user;
END;

CREATE TRIGGER forget_deleted_user AFTER DELETE ON users
BEGIN
    DELETE FROM grants WHERE user = OLD.user;
    DELETE FROM api_keys WHERE user = OLD.user;
END;

-- Comes last: a server takes it for the sign that users have grants.
INSERT OR REPLACE INTO grants (user, id, permission, granted_by, granted)
    SELECT user, 1, 'read', '', CAST(strftime('%s') AS INTEGER) FROM users;

-- What an API key is good for, unless it is good for all that its user may do.

CREATE TABLE api_key_scopes (
    hash TEXT NOT NULL,       -- API key
    id INTEGER NOT NULL,      -- number of the scope of its key
    meter_id INTEGER,         -- meter that the key is good for; NULL if it is a group, or was removed
    group_id INTEGER,         -- group that the key is good for; NULL if it is a meter, or was removed
    PRIMARY KEY (hash, id)
) WITHOUT ROWID;

CREATE INDEX api_key_scopes_meter ON api_key_scopes (meter_id);

CREATE INDEX api_key_scopes_group ON api_key_scopes (group_id);

-- Comes last: a server takes it for the sign that there are API keys.
CREATE TRIGGER forget_scopes_of_key AFTER DELETE ON api_keys
BEGIN
    DELETE FROM api_key_scopes WHERE hash = OLD.hash;
END;

-- What SQLite cannot know: a user may have thousands of grants, and few of them are for one meter.
-- Otherwise it would go through all of them for each meter of a list.
INSERT OR REPLACE INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('grants', 'grants', '100000 1000 1'),
    ('grants', 'grants_user_meter', '100000 1000 2 1');

ANALYZE sqlite_master;

-- Servers change grants, too: one statement each.

CREATE TRIGGER count_changed_grant AFTER UPDATE ON grants
BEGIN
    UPDATE access SET changes = changes + 1;
END;

CREATE TRIGGER count_removed_grant AFTER DELETE ON grants
BEGIN
    UPDATE access SET changes = changes + 1;
END;

-- The grant that a user begins with is counted with the user.
CREATE TRIGGER count_new_grant AFTER INSERT ON grants WHEN NEW.granted_by <> ''
BEGIN
    UPDATE access SET changes = changes + 1;
END;

-- Whoever is called so later is to have nothing of a user who was given another name.

CREATE TRIGGER follow_renamed_user AFTER UPDATE OF user ON users WHEN NEW.user <> OLD.user
BEGIN
    UPDATE grants SET user = NEW.user WHERE user = OLD.user;
    UPDATE api_keys SET user = NEW.user WHERE user = OLD.user;
END;

-- What reports say beside the eight quantities: exported energy, and which readings were estimated.

-- 1: its report says that it was estimated; otherwise NULL
ALTER TABLE readings ADD COLUMN estimated INTEGER;

ALTER TABLE replaced_values ADD COLUMN exported_energy INTEGER;

ALTER TABLE replaced_values ADD COLUMN exported_reactive_energy INTEGER;

-- 1: it was estimated before; otherwise NULL
ALTER TABLE replaced_values ADD COLUMN estimated INTEGER;

ALTER TABLE days ADD COLUMN exported_energy INTEGER;

ALTER TABLE days ADD COLUMN exported_reactive_energy INTEGER;

-- readings with this flag
-- after this one, all days are summed up
-- Comes last: a server takes it for the sign that all of these are there.
ALTER TABLE days ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0;

-- The number of a grant names it in requests, and is never that of another one.

CREATE TABLE grant_numbers (
    user TEXT NOT NULL,       -- whose grants were removed
    last_id INTEGER NOT NULL, -- highest number of one of these
    PRIMARY KEY (user)
) WITHOUT ROWID;

CREATE TRIGGER keep_removed_number AFTER DELETE ON grants
BEGIN
    INSERT INTO grant_numbers (user, last_id) VALUES (OLD.user, OLD.id)
        ON CONFLICT (user) DO UPDATE SET last_id = MAX(last_id, excluded.last_id);
END;

-- Of a user who was given another name, so that the next user of the name begins after them.
CREATE TRIGGER keep_moved_number AFTER UPDATE OF user ON grants WHEN NEW.user <> OLD.user
BEGIN
    INSERT INTO grant_numbers (user, last_id) VALUES (OLD.user, OLD.id)
        ON CONFLICT (user) DO UPDATE SET last_id = MAX(last_id, excluded.last_id);
END;

DROP TRIGGER IF EXISTS grant_new_user;

-- Comes last: a server takes it for the sign that it may change grants.
CREATE TRIGGER grant_new_user AFTER INSERT ON users
BEGIN
    INSERT INTO grants (user, id, permission, granted_by, granted)
    SELECT NEW.user, COALESCE(MAX(id), 0) + 1, 'read', '', CAST(strftime('%s') AS INTEGER)
    FROM (
        SELECT id FROM grants WHERE user = NEW.user
        UNION ALL SELECT last_id FROM grant_numbers WHERE user = NEW.user
    );
END;

-- Blocks: the quantities of readings by columns, for figures and exports. A block lives as long as
-- the page of the same readings, whoever deletes or writes that.

CREATE TABLE blocks (
    meter_id INTEGER NOT NULL,
    first_id INTEGER NOT NULL,  -- of 4000 readings whose ids follow each other
    first_utc INTEGER NOT NULL, -- start of the earliest of them, seconds since 1970-01-01 00:00:00 UTC
    last_utc INTEGER NOT NULL,  -- start of the latest of them
    columns BLOB NOT NULL,      -- their quantities and starts, see storage/columns/block.py
    PRIMARY KEY (meter_id, first_id)
);

-- tells which blocks there are without their columns
CREATE INDEX blocks_times ON blocks (meter_id, first_id, first_utc, last_utc);

CREATE TRIGGER forget_block_of_page AFTER DELETE ON pages
BEGIN
    DELETE FROM blocks WHERE meter_id = OLD.meter_id AND first_id = OLD.first_id;
END;

-- UPDATE OR REPLACE fires no trigger for the reading that it replaces.
CREATE TRIGGER forget_page_of_replaced BEFORE UPDATE OF meter_id, id, utc ON readings
BEGIN
    DELETE FROM pages WHERE meter_id = NEW.meter_id AND first_id IN
        (SELECT (id - 1) / 4000 * 4000 + 1 FROM readings
         WHERE meter_id = NEW.meter_id AND (utc = NEW.utc OR id = NEW.id));
END;

-- Comes last: a server takes it for the sign that there are blocks.
CREATE TRIGGER forget_block_before_page AFTER INSERT ON pages
BEGIN
    DELETE FROM blocks WHERE meter_id = NEW.meter_id AND first_id = NEW.first_id;
END;
