-- Layout 3: lookups by device, key, expiry and predecessor. The program fills `spki` and `predecessor`
-- of the rows that exist (migration.rs); then comes 0003-filled.sql.
ALTER TABLE issuance
    ADD COLUMN device text,         -- none if it is not known
    ADD COLUMN spki bytea,          -- SHA-256 of the SubjectPublicKeyInfo
    ADD COLUMN predecessor bytea;   -- serial number of the certificate that this one renews or rekeys
