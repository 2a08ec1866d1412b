-- An estd of layout 2 that still runs can add no row: it would be missing from the index.
ALTER TABLE issuance ALTER COLUMN spki SET NOT NULL;
CREATE INDEX issuance_device ON issuance (device) WHERE device IS NOT NULL;
CREATE INDEX issuance_spki ON issuance (spki);
CREATE INDEX issuance_not_after ON issuance (not_after);
CREATE INDEX issuance_predecessor ON issuance (predecessor) WHERE predecessor IS NOT NULL;
CREATE INDEX issuance_revoked_at ON issuance (revoked) WHERE state = 4;
