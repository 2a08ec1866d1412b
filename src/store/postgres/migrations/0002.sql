-- Layout 2: revocation.

-- state: 4 revoked. Both columns have a value then, and none otherwise.
ALTER TABLE issuance
    ADD COLUMN revoked int8,        -- when
    ADD COLUMN reason int2;         -- the CRLReason of RFC 5280

-- A list of what is revoked does not read what is not.
CREATE INDEX issuance_revoked ON issuance (serial) WHERE state = 4;
