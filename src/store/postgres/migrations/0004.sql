-- Layout 4: devices and one-time tokens. `record` holds what src/store/registry keeps; the columns beside it
-- are what statements look at.

CREATE TABLE device (
    id text COLLATE "C" PRIMARY KEY,
    barred bool NOT NULL,           -- it may neither enroll nor authenticate
    import int8,                    -- the import that staged it: nobody sees it before that is finished
    record bytea NOT NULL
);
CREATE TABLE identifier (
    identifier text COLLATE "C" PRIMARY KEY,
    device text COLLATE "C" NOT NULL,
    import int8
);

-- One row: the staged import, if there is one.
CREATE TABLE staging (
    one bool PRIMARY KEY DEFAULT true CHECK (one),
    last int8 NOT NULL DEFAULT 0,   -- the number of the last import
    import int8,
    abandoned bool NOT NULL DEFAULT false,
    -- A device that was registered in place of a staged one, and the identifier that both have.
    device text,
    identifier text
);
INSERT INTO staging DEFAULT VALUES;

CREATE TABLE token (
    id bytea PRIMARY KEY,
    label text,
    device text,
    expires int8 NOT NULL,
    disabled bool NOT NULL,
    consumed_by bytea,              -- serial number
    reissued bool NOT NULL,
    record bytea NOT NULL           -- all, but as it was when it was added
);
CREATE INDEX token_consumed ON token (consumed_by) WHERE consumed_by IS NOT NULL;
