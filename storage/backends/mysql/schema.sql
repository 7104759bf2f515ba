-- The schema as numbered statements: each is applied once, in order, and never edited afterwards.
-- Statements 1 to 3 are the layout of the service that this one replaces, so that its databases
-- are taken over where they stand; the later ones bring them, or a new database, up to date.

CREATE TABLE IF NOT EXISTS consumpdata (
    id INT NOT NULL AUTO_INCREMENT COMMENT 'Row id',
    date DATETIME NOT NULL COMMENT 'Start of the interval, local time',
    energy DECIMAL(15,5) COMMENT 'Energy (kWh)',
    reactive_energy DECIMAL(15,5) COMMENT 'Reactive energy (kVArh)',
    power DECIMAL(15,5) COMMENT 'Power (kW)',
    maximeter DECIMAL(15,5) COMMENT 'Maximeter (kW)',
    reactive_power DECIMAL(15,5) COMMENT 'Reactive power (kVAr)',
    voltage DECIMAL(15,5) COMMENT 'Voltage (V)',
    intensity DECIMAL(15,5) COMMENT 'Intensity (A)',
    power_factor DECIMAL(15,5) COMMENT 'Power factor (Fi)',
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE IF NOT EXISTS users (
    id INT NOT NULL AUTO_INCREMENT COMMENT 'Row id',
    user CHAR(10) COMMENT 'Name',
    password CHAR(200) COMMENT 'Hash',
    PRIMARY KEY (id),
    UNIQUE KEY (user)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

DROP TRIGGER IF EXISTS encpassword;

ALTER TABLE users
    MODIFY user VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'Name',
    MODIFY password VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NOT NULL
        COMMENT 'argon2id, or SHA-256 in hex where the trigger made it',
    ADD COLUMN enabled BOOLEAN NOT NULL DEFAULT TRUE COMMENT 'May log in';

CREATE TRIGGER hash_new_password BEFORE INSERT ON users FOR EACH ROW
    SET NEW.password = IF(NEW.password LIKE '$argon2id$%', NEW.password, SHA2(NEW.password, 256));

CREATE TRIGGER hash_changed_password BEFORE UPDATE ON users FOR EACH ROW
    SET NEW.password = IF(NEW.password = OLD.password OR NEW.password LIKE '$argon2id$%',
                          NEW.password, SHA2(NEW.password, 256));

CREATE TABLE meters (
    id INT NOT NULL COMMENT 'Row id',
    timezone VARCHAR(64) NOT NULL COMMENT 'IANA zone of the local times of its readings',
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE imports (
    id INT NOT NULL AUTO_INCREMENT COMMENT 'Row id',
    version CHAR(32) CHARACTER SET ascii NOT NULL COMMENT 'Names the state of the data after it',
    meter_id INT NOT NULL COMMENT 'Meter that was read',
    file VARCHAR(255) NOT NULL COMMENT 'Name of the report',
    sha256 CHAR(64) CHARACTER SET ascii NOT NULL COMMENT 'Digest of the report, uncompressed',
    new INT NOT NULL COMMENT 'Readings that were not there before',
    changed INT NOT NULL COMMENT 'Readings whose values it corrected',
    unchanged INT NOT NULL COMMENT 'Readings that were there with the same values',
    rejected INT NOT NULL COMMENT 'Rows left out as faulty',
    first_reading DATETIME COMMENT 'Earliest local time in the report',
    last_reading DATETIME COMMENT 'Latest local time in the report',
    finished DATETIME NOT NULL COMMENT 'When it was written, UTC',
    seconds DECIMAL(12,3) NOT NULL COMMENT 'How long it took',
    readings INT NOT NULL COMMENT 'Readings in the table after it',
    first_id INT COMMENT 'Smallest id in the table after it',
    last_id INT COMMENT 'Largest id in the table after it',
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

ALTER TABLE consumpdata
    ADD COLUMN meter_id INT NOT NULL DEFAULT 1 COMMENT 'Meter that was read',
    ADD COLUMN utc DATETIME COMMENT 'Start of the interval, UTC';

-- after this one, the readings of a database that was taken over are given their instants

ALTER TABLE consumpdata
    MODIFY utc DATETIME NOT NULL COMMENT 'Start of the interval, UTC',
    ADD UNIQUE KEY meter_utc (meter_id, utc),
    ADD KEY date (date);

CREATE TABLE pages (
    first_id INT NOT NULL COMMENT 'First of 4000 readings whose ids follow each other',
    size INT NOT NULL COMMENT 'Bytes of their records as JSON, joined by commas',
    crc INT UNSIGNED NOT NULL COMMENT 'CRC-32 of the same',
    deflated MEDIUMBLOB NOT NULL COMMENT 'The same as raw DEFLATE',
    PRIMARY KEY (first_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

CREATE TRIGGER forget_page_of_changed AFTER UPDATE ON consumpdata FOR EACH ROW
    DELETE FROM pages WHERE first_id IN
        ((OLD.id - 1) DIV 4000 * 4000 + 1, (NEW.id - 1) DIV 4000 * 4000 + 1);

CREATE TRIGGER forget_page_of_deleted AFTER DELETE ON consumpdata FOR EACH ROW
    DELETE FROM pages WHERE first_id = (OLD.id - 1) DIV 4000 * 4000 + 1;

ALTER TABLE meters
    ADD COLUMN identifier VARCHAR(64) COMMENT 'What reports call it, such as a CUPS',
    ADD COLUMN interval_seconds INT COMMENT 'From the start of a reading to that of the next';

CREATE TABLE flags (
    reading_id INT NOT NULL COMMENT 'Reading that something is to be said about',
    flags INT NOT NULL COMMENT 'Sum of the bits of its flags',
    PRIMARY KEY (reading_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

CREATE TRIGGER forget_flags_of_deleted AFTER DELETE ON consumpdata FOR EACH ROW
    DELETE FROM flags WHERE reading_id = OLD.id;

ALTER TABLE meters
    ADD COLUMN quality VARCHAR(255) COMMENT 'What the flags of its readings were worked out with';

ALTER TABLE users
    ADD COLUMN role VARCHAR(8) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'read'
        COMMENT 'read or admin',
    ADD COLUMN generation BIGINT NOT NULL DEFAULT 0 COMMENT 'Of its tokens: older ones are revoked';

CREATE TABLE revocations (
    id BIGINT NOT NULL AUTO_INCREMENT COMMENT 'Row id',
    jti VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'Token that was revoked',
    expires BIGINT NOT NULL COMMENT 'When it expires, seconds since 1970-01-01 00:00:00 UTC',
    PRIMARY KEY (id),
    KEY jti (jti),
    KEY expires (expires)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

CREATE TRIGGER count_revocation AFTER INSERT ON revocations FOR EACH ROW
    UPDATE access SET changes = changes + 1;

CREATE TRIGGER count_deleted_user AFTER DELETE ON users FOR EACH ROW
    UPDATE access SET changes = changes + 1;

CREATE TRIGGER count_new_user BEFORE INSERT ON users FOR EACH ROW
BEGIN
    UPDATE access SET changes = changes + 1;
    SET NEW.generation = (SELECT changes FROM access);
END;

CREATE TRIGGER count_changed_user BEFORE UPDATE ON users FOR EACH ROW
BEGIN
    UPDATE access SET changes = changes + 1;
    IF NEW.user <> OLD.user OR NEW.password <> OLD.password OR NEW.enabled <> OLD.enabled THEN
        SET NEW.generation = (SELECT changes FROM access);
    END IF;
END;

-- Comes last and with its row: a server takes the table for the sign that all of these are there.
CREATE TABLE access (
    id INT NOT NULL COMMENT 'Row id, of the only row',
    changes BIGINT NOT NULL COMMENT 'Of users and revocations so far',
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 SELECT 1 AS id, 0 AS changes;

CREATE TABLE sessions (
    jti VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'Of the token',
    user VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'Name',
    generation BIGINT NOT NULL COMMENT 'Of the tokens of the user',
    issued BIGINT NOT NULL COMMENT 'Login, seconds since 1970-01-01 00:00:00 UTC',
    expires BIGINT NOT NULL COMMENT 'When the token expires, seconds since 1970-01-01 00:00:00 UTC',
    address VARCHAR(64) NOT NULL COMMENT 'Where the user logged in from',
    agent VARCHAR(64) NOT NULL COMMENT 'Beginning of the header User-Agent',
    PRIMARY KEY (jti),
    KEY user (user),
    KEY expires (expires)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE states (
    meter_id INT NOT NULL COMMENT 'Meter that was read',
    version CHAR(32) CHARACTER SET ascii NOT NULL COMMENT 'Random name, a new one with each import',
    changes BIGINT NOT NULL COMMENT 'By other programs since the last import',
    corrections BIGINT NOT NULL COMMENT 'Of readings that were there: grows from a random number on',
    readings INT COMMENT 'Readings; NULL once another program has added or deleted some',
    first_id INT COMMENT 'Smallest id after the last import',
    last_id INT NOT NULL COMMENT 'Largest id so far, 0 without readings',
    PRIMARY KEY (meter_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- The loader counts for itself, once an import. TRUNCATE fires no trigger: what is inserted after
-- it must not meet the pages and flags of before.
CREATE TRIGGER state_after_insert AFTER INSERT ON consumpdata FOR EACH ROW
IF @elecdata_loading IS NULL THEN
    UPDATE states SET
        changes = changes + 1,
        corrections = corrections + (NEW.id <= last_id),
        readings = NULL,
        last_id = GREATEST(last_id, NEW.id);
    DELETE FROM pages WHERE first_id = (NEW.id - 1) DIV 4000 * 4000 + 1;
    DELETE FROM flags WHERE reading_id = NEW.id;
END IF;

CREATE TRIGGER state_after_update AFTER UPDATE ON consumpdata FOR EACH ROW
IF @elecdata_loading IS NULL THEN
    UPDATE states SET
        changes = changes + 1,
        corrections = corrections + 1,
        readings = IF(NEW.id = OLD.id, readings, NULL),
        last_id = GREATEST(last_id, NEW.id);
END IF;

CREATE TRIGGER state_after_delete AFTER DELETE ON consumpdata FOR EACH ROW
IF @elecdata_loading IS NULL THEN
    UPDATE states SET changes = changes + 1, corrections = corrections + 1, readings = NULL;
END IF;

CREATE TRIGGER state_after_meter AFTER UPDATE ON meters FOR EACH ROW
IF @elecdata_loading IS NULL THEN
    UPDATE states SET changes = changes + 1;
END IF;

-- Comes last: a server takes the row for the sign that all of these are there.
INSERT INTO states (meter_id, version, changes, corrections, readings, first_id, last_id)
    SELECT 1, REPLACE(UUID(), '-', ''), 0, FLOOR(RAND() * 1000000000000), readings, first_id, last_id
    FROM (SELECT COUNT(*) AS readings, MIN(id) AS first_id, COALESCE(MAX(id), 0) AS last_id
          FROM consumpdata) AS found
    WHERE NOT EXISTS (SELECT 1 FROM states);

CREATE TABLE audit (
    id BIGINT NOT NULL COMMENT 'Number, without gaps',
    entry TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL COMMENT 'What happened, as JSON',
    hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL
        COMMENT 'SHA-256 of three lines: the hash before, the number, the entry',
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

CREATE TRIGGER refuse_changed_audit BEFORE UPDATE ON audit FOR EACH ROW
    SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the audit trail is only appended to';

CREATE TABLE audit_head (
    id INT NOT NULL COMMENT 'Row id, of the only row',
    last BIGINT NOT NULL COMMENT 'Number of the last entry',
    hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'Its hash',
    pruned BIGINT NOT NULL COMMENT 'Entries up to this number may be deleted',
    entry TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL
        COMMENT 'Whatever is written here is appended to the trail',
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

CREATE TRIGGER refuse_deleted_audit BEFORE DELETE ON audit FOR EACH ROW
BEGIN
    IF OLD.id > COALESCE((SELECT MAX(pruned) FROM audit_head), 0) THEN
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the audit trail is only appended to';
    END IF;
END;

CREATE TRIGGER link_audit BEFORE UPDATE ON audit_head FOR EACH ROW
BEGIN
    IF NEW.pruned = OLD.pruned THEN
        SET NEW.last = OLD.last + 1;
        SET NEW.hash = SHA2(CONCAT_WS('\n', OLD.hash, NEW.last, NEW.entry), 256);
    END IF;
END;

CREATE TRIGGER append_audit AFTER UPDATE ON audit_head FOR EACH ROW
BEGIN
    IF NEW.last > OLD.last THEN
        INSERT INTO audit (id, entry, hash) VALUES (NEW.last, NEW.entry, NEW.hash);
    END IF;
END;

-- Comes last: a server takes it for the sign that all of these are there.
REPLACE INTO audit_head (id, last, hash, pruned, entry) VALUES (1, 0, REPEAT('0', 64), 0, '');

-- Many meters. Everything that belongs to a meter is keyed by it first, so that its rows lie together
-- and a transaction touches one meter.

DROP TRIGGER IF EXISTS state_after_meter;

ALTER TABLE schema_version
    ADD COLUMN id INT NOT NULL DEFAULT 1 COMMENT 'Row id, of the only row' FIRST,
    ADD PRIMARY KEY (id);

ALTER TABLE meters
    ADD COLUMN public_id VARCHAR(64) COLLATE utf8mb4_bin COMMENT 'Names the meter in requests and commands',
    ADD COLUMN name VARCHAR(200) COMMENT 'Name for people',
    ADD COLUMN note VARCHAR(1000) COMMENT 'Remark',
    ADD COLUMN area DECIMAL(12,2) COMMENT 'Area that it supplies (m2)',
    ADD COLUMN created DATETIME COMMENT 'When it was registered, UTC',
    ADD COLUMN replaced_by INT COMMENT 'Meter that took its place',
    ADD COLUMN removed DATETIME COMMENT 'When its removal began, UTC';

UPDATE meters SET public_id = 'main' WHERE public_id IS NULL;

ALTER TABLE meters
    MODIFY public_id VARCHAR(64) COLLATE utf8mb4_bin NOT NULL COMMENT 'Names the meter in requests and commands',
    MODIFY identifier VARCHAR(64) COLLATE utf8mb4_bin COMMENT 'What reports call it, such as a CUPS',
    ADD UNIQUE KEY public_id (public_id),
    ADD UNIQUE KEY identifier (identifier);

-- before this one, readings that were taken over are given a meter

ALTER TABLE states
    ADD COLUMN imports INT NOT NULL DEFAULT 0 COMMENT 'Number of the last import',
    ADD COLUMN first_utc DATETIME COMMENT 'Start of the first reading, UTC; NULL once another program has changed some',
    ADD COLUMN last_utc DATETIME COMMENT 'Start of the last reading, UTC; NULL likewise',
    ADD COLUMN changed DATETIME COMMENT 'When the last import was written, UTC';

UPDATE states SET imports = (SELECT COALESCE(MAX(id), 0) FROM imports);

DELETE FROM states WHERE meter_id NOT IN (SELECT id FROM meters);

ALTER TABLE imports
    MODIFY id INT NOT NULL COMMENT 'Number of the import of its meter',
    DROP PRIMARY KEY,
    ADD PRIMARY KEY (meter_id, id);

ALTER TABLE pages
    ADD COLUMN meter_id INT NOT NULL DEFAULT 1 COMMENT 'Meter that was read' FIRST,
    DROP PRIMARY KEY,
    ADD PRIMARY KEY (meter_id, first_id);

ALTER TABLE flags
    ADD COLUMN meter_id INT NOT NULL DEFAULT 1 COMMENT 'Meter that was read' FIRST,
    DROP PRIMARY KEY,
    ADD PRIMARY KEY (meter_id, reading_id);

ALTER TABLE consumpdata
    DROP KEY date;

ALTER TABLE consumpdata
    MODIFY id INT NOT NULL COMMENT 'Row id',
    ADD COLUMN exported_energy DECIMAL(15,5) COMMENT 'Exported energy (kWh)',
    ADD COLUMN exported_reactive_energy DECIMAL(15,5) COMMENT 'Exported reactive energy (kVArh)',
    ADD COLUMN import_id INT NOT NULL DEFAULT 0 COMMENT 'Import that wrote it, 0 if it is older',
    DROP PRIMARY KEY,
    ADD PRIMARY KEY (meter_id, id),
    ADD KEY meter_date (meter_id, date);

-- A server that runs goes on reading: of the view, as soon as the table is gone.
RENAME TABLE consumpdata TO readings;

CREATE OR REPLACE SQL SECURITY DEFINER VIEW consumpdata AS
    SELECT id, date, energy, reactive_energy, power, maximeter, reactive_power, voltage, intensity,
        power_factor, meter_id, utc
    FROM readings WHERE meter_id = 1;

-- The old triggers were renamed with their table. No page may outlive its readings meanwhile.
CREATE TRIGGER forget_changed_page AFTER UPDATE ON readings FOR EACH ROW
BEGIN
    DELETE FROM pages WHERE meter_id = OLD.meter_id AND first_id = (OLD.id - 1) DIV 4000 * 4000 + 1;
    DELETE FROM pages WHERE meter_id = NEW.meter_id AND first_id = (NEW.id - 1) DIV 4000 * 4000 + 1;
END;

CREATE TRIGGER forget_deleted_page AFTER DELETE ON readings FOR EACH ROW
IF @elecdata_loading IS NULL THEN
    DELETE FROM pages WHERE meter_id = OLD.meter_id AND first_id = (OLD.id - 1) DIV 4000 * 4000 + 1;
    DELETE FROM flags WHERE meter_id = OLD.meter_id AND reading_id = OLD.id;
END IF;

DROP TRIGGER IF EXISTS forget_page_of_changed;

DROP TRIGGER IF EXISTS forget_page_of_deleted;

DROP TRIGGER IF EXISTS forget_flags_of_deleted;

DROP TRIGGER IF EXISTS state_after_insert;

CREATE TRIGGER state_after_insert AFTER INSERT ON readings FOR EACH ROW
IF @elecdata_loading IS NULL THEN
    UPDATE states SET
        changes = changes + 1,
        corrections = corrections + (NEW.id <= last_id),
        readings = NULL,
        first_utc = NULL,
        last_utc = NULL,
        last_id = GREATEST(last_id, NEW.id)
    WHERE meter_id = NEW.meter_id;
    DELETE FROM pages WHERE meter_id = NEW.meter_id AND first_id = (NEW.id - 1) DIV 4000 * 4000 + 1;
    DELETE FROM flags WHERE meter_id = NEW.meter_id AND reading_id = NEW.id;
END IF;

DROP TRIGGER IF EXISTS state_after_update;

CREATE TRIGGER state_after_update AFTER UPDATE ON readings FOR EACH ROW
IF @elecdata_loading IS NULL THEN
    UPDATE states SET
        changes = changes + 1,
        corrections = corrections + 1,
        readings = IF(NEW.id = OLD.id AND NEW.meter_id = OLD.meter_id, readings, NULL),
        first_utc = NULL,
        last_utc = NULL,
        last_id = IF(meter_id = NEW.meter_id, GREATEST(last_id, NEW.id), last_id)
    WHERE meter_id IN (OLD.meter_id, NEW.meter_id);
END IF;

DROP TRIGGER IF EXISTS state_after_delete;

CREATE TRIGGER state_after_delete AFTER DELETE ON readings FOR EACH ROW
IF @elecdata_loading IS NULL THEN
    UPDATE states SET
        changes = changes + 1,
        corrections = corrections + 1,
        readings = NULL,
        first_utc = NULL,
        last_utc = NULL
    WHERE meter_id = OLD.meter_id;
END IF;

CREATE TRIGGER state_after_meter AFTER UPDATE ON meters FOR EACH ROW
IF @elecdata_loading IS NULL THEN
    UPDATE states SET changes = changes + 1 WHERE meter_id = NEW.id;
END IF;

-- Who measures, who may see what: filled by commands of their own.

CREATE TABLE devices (
    meter_id INT NOT NULL COMMENT 'Meter that it measured for',
    id INT NOT NULL COMMENT 'Number of the device of its meter',
    serial VARCHAR(64) COMMENT 'Serial number',
    model VARCHAR(200) COMMENT 'Maker and model',
    installed DATETIME COMMENT 'When it began to measure, UTC',
    removed DATETIME COMMENT 'When it ended, UTC; NULL while it measures',
    note VARCHAR(1000) COMMENT 'Remark',
    PRIMARY KEY (meter_id, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE meter_groups (
    id INT NOT NULL COMMENT 'Row id',
    public_id VARCHAR(64) COLLATE utf8mb4_bin NOT NULL COMMENT 'Names the group in requests and commands',
    name VARCHAR(200) COMMENT 'Name for people',
    note VARCHAR(1000) COMMENT 'Remark',
    created DATETIME NOT NULL COMMENT 'When it was made, UTC',
    PRIMARY KEY (id),
    UNIQUE KEY public_id (public_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE group_members (
    group_id INT NOT NULL COMMENT 'Group that it belongs to',
    id INT NOT NULL COMMENT 'Number of the member of its group',
    meter_id INT COMMENT 'Member; NULL if it is a group',
    member_group_id INT COMMENT 'Member; NULL if it is a meter',
    sign SMALLINT NOT NULL COMMENT '1: its energy is added, -1: subtracted',
    first_day DATE COMMENT 'First day that counts, in local time; NULL from the beginning',
    last_day DATE COMMENT 'Last day that counts; NULL without end',
    PRIMARY KEY (group_id, id),
    KEY meter_id (meter_id),
    KEY member_group_id (member_group_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE grants (
    user VARCHAR(64) COLLATE utf8mb4_bin NOT NULL COMMENT 'Who may',
    id INT NOT NULL COMMENT 'Number of the grant of its user',
    meter_id INT COMMENT 'Meter that it is for; NULL if it is for a group or for all',
    group_id INT COMMENT 'Group that it is for; NULL if it is for a meter or for all',
    permission VARCHAR(16) NOT NULL COMMENT 'What the user may do, such as read',
    first_day DATE COMMENT 'First day of the readings, in local time; NULL from the beginning',
    last_day DATE COMMENT 'Last day of the readings; NULL without end',
    expires BIGINT COMMENT 'When it ends, seconds since 1970-01-01 00:00:00 UTC; NULL never',
    granted_by VARCHAR(64) COLLATE utf8mb4_bin NOT NULL COMMENT 'Who gave it',
    granted BIGINT NOT NULL COMMENT 'When it was given, seconds since 1970-01-01 00:00:00 UTC',
    PRIMARY KEY (user, id),
    KEY meter_id (meter_id),
    KEY group_id (group_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE api_keys (
    hash VARCHAR(64) COLLATE utf8mb4_bin NOT NULL COMMENT 'SHA-256 of the key, in hex',
    user VARCHAR(64) COLLATE utf8mb4_bin NOT NULL COMMENT 'Who uses it',
    name VARCHAR(64) COLLATE utf8mb4_bin NOT NULL COMMENT 'Name that the user gave it',
    permissions VARCHAR(200) NOT NULL COMMENT 'What it is good for, words separated by blanks',
    created BIGINT NOT NULL COMMENT 'When it was made, seconds since 1970-01-01 00:00:00 UTC',
    expires BIGINT COMMENT 'When it ends, likewise; NULL never',
    revoked BIGINT COMMENT 'When it was revoked, likewise; NULL if it was not',
    PRIMARY KEY (hash),
    UNIQUE KEY user_name (user, name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE days (
    meter_id INT NOT NULL COMMENT 'Meter that was read',
    day DATE NOT NULL COMMENT 'Day in the local time of the meter',
    clean BOOLEAN NOT NULL COMMENT '1: without the implausible readings, for a day that has any',
    first_utc DATETIME NOT NULL COMMENT 'Start of its first reading, UTC',
    last_utc DATETIME NOT NULL COMMENT 'Start of its last reading, UTC',
    readings INT NOT NULL COMMENT 'Readings',
    present INT NOT NULL COMMENT 'Readings with any value',
    flagged INT NOT NULL COMMENT 'Readings flagged catch_up, implausible or zero_voltage',
    energy DECIMAL(25,5) COMMENT 'Sum (kWh)',
    energy_count INT NOT NULL COMMENT 'Readings with energy',
    reactive_energy DECIMAL(25,5) COMMENT 'Sum (kVArh)',
    power DECIMAL(25,5) COMMENT 'Sum (kW)',
    power_count INT NOT NULL COMMENT 'Readings with power',
    power_min DECIMAL(15,5) COMMENT 'Least (kW)',
    power_max DECIMAL(15,5) COMMENT 'Greatest (kW)',
    reactive_power DECIMAL(25,5) COMMENT 'Sum (kVAr)',
    reactive_power_count INT NOT NULL COMMENT 'Readings with reactive power',
    reactive_power_min DECIMAL(15,5) COMMENT 'Least (kVAr)',
    reactive_power_max DECIMAL(15,5) COMMENT 'Greatest (kVAr)',
    voltage DECIMAL(25,5) COMMENT 'Sum (V)',
    voltage_count INT NOT NULL COMMENT 'Readings with voltage',
    voltage_min DECIMAL(15,5) COMMENT 'Least (V)',
    voltage_max DECIMAL(15,5) COMMENT 'Greatest (V)',
    intensity DECIMAL(25,5) COMMENT 'Sum (A)',
    intensity_count INT NOT NULL COMMENT 'Readings with intensity',
    intensity_min DECIMAL(15,5) COMMENT 'Least (A)',
    intensity_max DECIMAL(15,5) COMMENT 'Greatest (A)',
    maximeter DECIMAL(15,5) COMMENT 'Greatest (kW)',
    maximeter_utc DATETIME COMMENT 'Start of the first reading that has it, UTC',
    missing INT NOT NULL COMMENT 'Readings with this flag, like the next four',
    catch_up INT NOT NULL COMMENT 'See missing',
    implausible INT NOT NULL COMMENT 'See missing',
    zero_voltage INT NOT NULL COMMENT 'See missing',
    repeated_hour INT NOT NULL COMMENT 'See missing',
    catch_up_energy DECIMAL(25,5) COMMENT 'Energy of the readings flagged catch_up (kWh)',
    catch_up_energy_count INT NOT NULL COMMENT 'Of these, readings with energy',
    catch_up_power_count INT NOT NULL COMMENT 'Of these, readings with power',
    implausible_energy DECIMAL(25,5) COMMENT 'Energy of the readings flagged implausible (kWh)',
    PRIMARY KEY (meter_id, day, clean)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- Other programs may have changed readings while there were no triggers.
-- Comes last: a server takes it for the sign that all of these are there.
UPDATE states SET
    version = REPLACE(UUID(), '-', ''),
    readings = (SELECT COUNT(*) FROM readings AS r WHERE r.meter_id = states.meter_id),
    first_id = (SELECT MIN(id) FROM readings AS r WHERE r.meter_id = states.meter_id),
    last_id = GREATEST(last_id,
        COALESCE((SELECT MAX(id) FROM readings AS r WHERE r.meter_id = states.meter_id), 0)),
    first_utc = (SELECT MIN(utc) FROM readings AS r WHERE r.meter_id = states.meter_id),
    last_utc = (SELECT MAX(utc) FROM readings AS r WHERE r.meter_id = states.meter_id);

ALTER TABLE days
    ADD COLUMN power_factor DECIMAL(25,5) COMMENT 'Sum',
    ADD COLUMN power_factor_count INT NOT NULL DEFAULT 0 COMMENT 'Readings with a power factor',
    ADD COLUMN derived_energy DECIMAL(25,5)
        COMMENT 'Energy of the readings without power and not flagged catch_up (kWh)',
    ADD COLUMN derived_energy_count INT NOT NULL DEFAULT 0 COMMENT 'How many these are',
    ADD COLUMN derived_energy_min DECIMAL(15,5) COMMENT 'Least energy of one of them (kWh)',
    ADD COLUMN derived_energy_max DECIMAL(15,5) COMMENT 'Greatest energy of one of them (kWh)',
    ADD COLUMN inductive_power DECIMAL(25,5)
        COMMENT 'Sum of positive reactive power, unless power is negative (kVAr)',
    ADD COLUMN capacitive_power DECIMAL(25,5)
        COMMENT 'Sum of negative reactive power without its sign, likewise (kVAr)';

-- Corrections: what an import has kept and replaced.

ALTER TABLE imports
    ADD COLUMN kept INT NOT NULL DEFAULT 0 COMMENT 'Values that stayed because the report has an empty field',
    ADD COLUMN format VARCHAR(255) COMMENT 'Format of the report; NULL if it is older';

CREATE TABLE replaced_values (
    meter_id INT NOT NULL COMMENT 'Meter that was read',
    reading_id INT NOT NULL COMMENT 'Reading whose values they were',
    import_id INT NOT NULL COMMENT 'Number of the import that replaced them',
    previous_import_id INT NOT NULL COMMENT 'Import that wrote the reading before, 0 if it is older',
    replaced DATETIME NOT NULL COMMENT 'When they were replaced, UTC',
    quantities INT NOT NULL COMMENT 'Sum of the bits of the quantities that were replaced: 1 for the next column, then 2, 4 and so on',
    energy DECIMAL(15,5) COMMENT 'Its energy before (kWh)',
    reactive_energy DECIMAL(15,5) COMMENT 'Its reactive energy before (kVArh)',
    power DECIMAL(15,5) COMMENT 'Its power before (kW)',
    maximeter DECIMAL(15,5) COMMENT 'Its maximeter before (kW)',
    reactive_power DECIMAL(15,5) COMMENT 'Its reactive power before (kVAr)',
    voltage DECIMAL(15,5) COMMENT 'Its voltage before (V)',
    intensity DECIMAL(15,5) COMMENT 'Its intensity before (A)',
    power_factor DECIMAL(15,5) COMMENT 'Its power factor before (Fi)',
    PRIMARY KEY (meter_id, reading_id, import_id),
    KEY meter_import (meter_id, import_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- How long readings last. A meter whose readings all last as long has that in meters, too.
CREATE TABLE intervals (
    meter_id INT NOT NULL COMMENT 'Meter that was read',
    first_utc DATETIME NOT NULL COMMENT 'Start of the first reading of this length, UTC',
    seconds INT COMMENT 'From the start of a reading to that of the next; NULL if unknown',
    said BOOLEAN NOT NULL COMMENT '1: the configuration says so, 0: the readings do',
    PRIMARY KEY (meter_id, first_utc)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

REPLACE INTO intervals (meter_id, first_utc, seconds, said)
    SELECT id, (SELECT MIN(utc) FROM readings WHERE meter_id = meters.id), interval_seconds, 0
    FROM meters WHERE interval_seconds IS NOT NULL
        AND EXISTS (SELECT 1 FROM readings WHERE meter_id = meters.id);

-- Grants: who may see what. Users that were there before may read all meters, as they could.

ALTER TABLE grants
    ADD KEY user_meter (user, meter_id, group_id);

CREATE TRIGGER grant_new_user AFTER INSERT ON users FOR EACH ROW
    INSERT INTO grants (user, id, permission, granted_by, granted)
    SELECT NEW.user, COALESCE(MAX(id), 0) + 1, 'read', '', UNIX_TIMESTAMP()
    FROM grants WHERE user = NEW.user;

CREATE TRIGGER forget_deleted_user AFTER DELETE ON users FOR EACH ROW
BEGIN
    DELETE FROM grants WHERE user = OLD.user;
    DELETE FROM api_keys WHERE user = OLD.user;
END;

-- Comes last: a server takes it for the sign that users have grants.
REPLACE INTO grants (user, id, permission, granted_by, granted)
    SELECT user, 1, 'read', '', UNIX_TIMESTAMP() FROM users;

-- What an API key is good for, unless it is good for all that its user may do.

CREATE TABLE api_key_scopes (
    hash VARCHAR(64) COLLATE utf8mb4_bin NOT NULL COMMENT 'API key',
    id INT NOT NULL COMMENT 'Number of the scope of its key',
    meter_id INT COMMENT 'Meter that the key is good for; NULL if it is a group, or was removed',
    group_id INT COMMENT 'Group that the key is good for; NULL if it is a meter, or was removed',
    PRIMARY KEY (hash, id),
    KEY meter_id (meter_id),
    KEY group_id (group_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

-- Comes last: a server takes it for the sign that there are API keys.
CREATE TRIGGER forget_scopes_of_key AFTER DELETE ON api_keys FOR EACH ROW
    DELETE FROM api_key_scopes WHERE hash = OLD.hash;

-- Servers change grants, too: one statement each.

CREATE TRIGGER count_changed_grant AFTER UPDATE ON grants FOR EACH ROW
    UPDATE access SET changes = changes + 1;

CREATE TRIGGER count_removed_grant AFTER DELETE ON grants FOR EACH ROW
    UPDATE access SET changes = changes + 1;

-- The grant that a user begins with is counted with the user.
CREATE TRIGGER count_new_grant AFTER INSERT ON grants FOR EACH ROW
IF NEW.granted_by <> '' THEN
    UPDATE access SET changes = changes + 1;
END IF;

-- Whoever is called so later is to have nothing of a user who was given another name.

CREATE TRIGGER follow_renamed_user AFTER UPDATE ON users FOR EACH ROW
IF BINARY NEW.user <> BINARY OLD.user THEN
    UPDATE grants SET user = NEW.user WHERE user = OLD.user;
    UPDATE api_keys SET user = NEW.user WHERE user = OLD.user;
END IF;

-- What reports say beside the eight quantities: exported energy, and which readings were estimated.

ALTER TABLE readings
    ADD COLUMN estimated BOOLEAN COMMENT '1: its report says that it was estimated; otherwise NULL';

ALTER TABLE replaced_values
    ADD COLUMN exported_energy DECIMAL(15,5) COMMENT 'Its exported energy before (kWh)',
    ADD COLUMN exported_reactive_energy DECIMAL(15,5) COMMENT 'Its exported reactive energy before (kVArh)',
    ADD COLUMN estimated BOOLEAN COMMENT '1: it was estimated before; otherwise NULL';

-- after this one, all days are summed up
-- Comes last: a server takes it for the sign that all of these are there.
ALTER TABLE days
    ADD COLUMN exported_energy DECIMAL(25,5) COMMENT 'Sum (kWh)',
    ADD COLUMN exported_reactive_energy DECIMAL(25,5) COMMENT 'Sum (kVArh)',
    ADD COLUMN estimated INT NOT NULL DEFAULT 0 COMMENT 'Readings with this flag';

-- The number of a grant names it in requests, and is never that of another one.

CREATE TABLE grant_numbers (
    user VARCHAR(64) COLLATE utf8mb4_bin NOT NULL COMMENT 'Whose grants were removed',
    last_id INT NOT NULL COMMENT 'Highest number of one of these',
    PRIMARY KEY (user)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

CREATE TRIGGER keep_removed_number AFTER DELETE ON grants FOR EACH ROW
    INSERT INTO grant_numbers (user, last_id) VALUES (OLD.user, OLD.id)
    ON DUPLICATE KEY UPDATE last_id = GREATEST(last_id, OLD.id);

-- Of a user who was given another name, so that the next user of the name begins after them.
CREATE TRIGGER keep_moved_number AFTER UPDATE ON grants FOR EACH ROW
IF BINARY NEW.user <> BINARY OLD.user THEN
    INSERT INTO grant_numbers (user, last_id) VALUES (OLD.user, OLD.id)
    ON DUPLICATE KEY UPDATE last_id = GREATEST(last_id, OLD.id);
END IF;

DROP TRIGGER IF EXISTS grant_new_user;

-- Comes last: a server takes it for the sign that it may change grants.
CREATE TRIGGER grant_new_user AFTER INSERT ON users FOR EACH ROW
    INSERT INTO grants (user, id, permission, granted_by, granted)
    SELECT NEW.user, COALESCE(MAX(used.id), 0) + 1, 'read', '', UNIX_TIMESTAMP()
    FROM (
        SELECT g.id AS id FROM grants AS g WHERE g.user = NEW.user
        UNION ALL SELECT n.last_id FROM grant_numbers AS n WHERE n.user = NEW.user
    ) AS used;

-- Blocks: the quantities of readings by columns, for figures and exports. A block lives as long as
-- the page of the same readings, whoever deletes or writes that.

CREATE TABLE blocks (
    meter_id INT NOT NULL COMMENT 'Meter that was read',
    first_id INT NOT NULL COMMENT 'First of 4000 readings whose ids follow each other',
    first_utc DATETIME NOT NULL COMMENT 'Start of the earliest of them, UTC',
    last_utc DATETIME NOT NULL COMMENT 'Start of the latest of them, UTC',
    columns MEDIUMBLOB NOT NULL COMMENT 'Their quantities and starts, see storage/columns/block.py',
    PRIMARY KEY (meter_id, first_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4;

CREATE TRIGGER forget_block_of_page AFTER DELETE ON pages FOR EACH ROW
    DELETE FROM blocks WHERE meter_id = OLD.meter_id AND first_id = OLD.first_id;

-- Comes last: a server takes it for the sign that there are blocks.
CREATE TRIGGER forget_block_before_page AFTER INSERT ON pages FOR EACH ROW
    DELETE FROM blocks WHERE meter_id = NEW.meter_id AND first_id = NEW.first_id;
