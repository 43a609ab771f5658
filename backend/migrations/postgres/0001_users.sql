CREATE TABLE users (
    id                BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email             TEXT   NOT NULL,
    -- The address folded to lower case: what "the same address" means.
    email_key         TEXT   NOT NULL,
    name              TEXT   NOT NULL,
    role              TEXT   NOT NULL DEFAULT 'user',
    -- A PHC string; the parameters of the hash travel with it.
    password_hash     TEXT   NOT NULL,
    -- Milliseconds since 1970-01-01T00:00:00Z.
    created_at        BIGINT NOT NULL,
    -- Tokens carry the version that was current when they were issued, and are
    -- refused with another: a new password signs the user out everywhere.
    token_version     BIGINT NOT NULL DEFAULT 0,
    CONSTRAINT users_email_key_unique UNIQUE (email_key),
    CONSTRAINT users_role_known CHECK (role IN ('user', 'admin'))
);

-- Tokens whose bearer has signed out, until they would have expired anyway.
CREATE TABLE revoked_tokens (
    id         TEXT   PRIMARY KEY,
    -- Seconds since 1970-01-01T00:00:00Z.
    expires_at BIGINT NOT NULL
);

CREATE INDEX revoked_tokens_by_expiry ON revoked_tokens (expires_at);
