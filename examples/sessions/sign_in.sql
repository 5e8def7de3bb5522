-- What the sign-in adds to a table of users that exists already.
ALTER TABLE users ADD COLUMN telegram_id TEXT;
CREATE UNIQUE INDEX users_telegram_id ON users (telegram_id);
-- A session has the number that it began with. A new number ends all sessions of the user.
ALTER TABLE users ADD COLUMN session_number INTEGER NOT NULL DEFAULT 0;
CREATE TABLE sign_ins (
    user_id INTEGER NOT NULL REFERENCES users (id),
    at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    browser TEXT NOT NULL
);
