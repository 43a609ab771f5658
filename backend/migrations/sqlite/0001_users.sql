-- AUTOINCREMENT: an id is never given twice, so that a cursor of the keyset
-- pagination and a cached user stay true for ever.
CREATE TABLE users (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    email         TEXT    NOT NULL,
    -- The address folded to lower case: what "the same address" means.
    email_key     TEXT    NOT NULL UNIQUE,
    name          TEXT    NOT NULL,
    -- A PHC string; the parameters of the hash travel with it.
    password_hash TEXT    NOT NULL,
    -- Milliseconds since 1970-01-01T00:00:00Z.
    created_at    INTEGER NOT NULL
);
