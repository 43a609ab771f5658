ALTER TABLE users ADD COLUMN role TEXT NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin'));

-- Tokens carry the version that was current when they were issued, and are
-- refused with another: a new password signs the user out everywhere.
ALTER TABLE users ADD COLUMN token_version INTEGER NOT NULL DEFAULT 0;

-- Tokens whose bearer has signed out, until they would have expired anyway.
CREATE TABLE revoked_tokens (
    id         TEXT    PRIMARY KEY,
    -- Seconds since 1970-01-01T00:00:00Z.
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX revoked_tokens_by_expiry ON revoked_tokens (expires_at);
