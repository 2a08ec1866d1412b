-- Layout 1. Octets in `intent`, `event` and `record` are those of src/store/format.rs; what queries
-- look at stands beside them in columns. Moments are seconds since 1970. No sequences: numbers come
-- from the nodes.

CREATE TABLE issuance (
    serial bytea PRIMARY KEY,
    state int2 NOT NULL,            -- 1 open, 2 issued, 3 void
    label text,
    names bytea NOT NULL,           -- subject and subjectAltName entries, ASCII in lower case, a line each
    not_after int8 NOT NULL,
    begun int8 NOT NULL,
    request_key bytea NOT NULL,
    intent bytea NOT NULL,          -- all that was known when it was begun, but for tbs
    tbs bytea,                      -- what is to be signed, while open
    certificate bytea,              -- once issued
    ended int8
);
CREATE INDEX issuance_open ON issuance (serial) WHERE state = 1;

-- Which issuance a repeated request leads to. Rows that are over are removed now and then.
CREATE TABLE request (
    request_key bytea PRIMARY KEY,
    serial bytea NOT NULL,
    begun int8 NOT NULL,
    repeat_until int8 NOT NULL
);

CREATE TABLE account (
    name text PRIMARY KEY,
    record bytea NOT NULL
);

-- A writer is one start of one node: it numbers its events from 1, without gaps.
CREATE TABLE writer (
    id int8 PRIMARY KEY,
    started timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE event (
    writer int8 NOT NULL,
    number int8 NOT NULL,
    event bytea NOT NULL,
    PRIMARY KEY (writer, number)
);

-- What was decided once for all nodes.
CREATE TABLE decision (
    matter text PRIMARY KEY,
    value bytea NOT NULL
);
