-- A role for the receiver, which can be reached from outside: it adds to the inbox and counts it, and sees no other table.
-- In the ledger's database, as its owner; given again, it takes over a new password:
--   PGOPTIONS="-c receiver.password=…" psql -1 -v ON_ERROR_STOP=1 -d ledger -f deployments/receiver.sql
DO $$
DECLARE
  password text := coalesce(current_setting('receiver.password', true), '');
BEGIN
  IF password !~ '^[A-Za-z0-9]{16,}$' THEN
    RAISE EXCEPTION 'the receiver''s password is not set, or not 16 or more letters and digits: openssl rand -hex 24';
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'receiver') THEN
    CREATE ROLE receiver;
  END IF;
  EXECUTE format('ALTER ROLE receiver LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD %L', password);
END $$;

-- The inbox's tables as caspio-sync makes them: the receiver could not, and may be the first to need them.
CREATE TABLE IF NOT EXISTS inbox_post (
  seq BIGINT PRIMARY KEY, received_at BIGINT NOT NULL, source TEXT NOT NULL, count INTEGER NOT NULL, events BYTEA NOT NULL
);
CREATE TABLE IF NOT EXISTS inbox_malformed (
  seq BIGINT PRIMARY KEY, received_at BIGINT NOT NULL, source TEXT NOT NULL, reason TEXT NOT NULL, event BYTEA NOT NULL
);
CREATE TABLE IF NOT EXISTS inbox_poll (source TEXT PRIMARY KEY, position TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS inbox_hint (
  number BIGSERIAL PRIMARY KEY, sync TEXT NOT NULL, message_id TEXT NOT NULL, source_pk BIGINT NOT NULL,
  type TEXT NOT NULL, changed_at BIGINT, received_at BIGINT NOT NULL, read_at BIGINT,
  UNIQUE (sync, message_id, source_pk)
);
CREATE INDEX IF NOT EXISTS inbox_hint_waiting ON inbox_hint (sync, read_at, number);
CREATE TABLE IF NOT EXISTS inbox_payload (
  sync TEXT NOT NULL, message_id TEXT NOT NULL, source_pk BIGINT NOT NULL, received_at BIGINT NOT NULL, sealed BYTEA NOT NULL,
  PRIMARY KEY (sync, message_id, source_pk)
);
CREATE TABLE IF NOT EXISTS inbox_heard (
  sync TEXT NOT NULL, day DATE NOT NULL, outcome TEXT NOT NULL, messages BIGINT NOT NULL, last_at BIGINT NOT NULL,
  PRIMARY KEY (sync, day, outcome)
);
CREATE TABLE IF NOT EXISTS inbox_posted (
  number BIGINT PRIMARY KEY, path TEXT NOT NULL, id_digest BYTEA, received_at BIGINT NOT NULL, sealed BYTEA NOT NULL,
  UNIQUE (path, id_digest)
);
CREATE INDEX IF NOT EXISTS inbox_posted_in_order ON inbox_posted (path, number);

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM receiver;
GRANT USAGE ON SCHEMA public TO receiver;
GRANT SELECT, INSERT ON inbox_post, inbox_malformed TO receiver;
GRANT SELECT, INSERT ON inbox_hint, inbox_payload TO receiver;
GRANT SELECT, INSERT ON inbox_posted TO receiver;
GRANT USAGE ON SEQUENCE inbox_hint_number_seq TO receiver;
GRANT SELECT, INSERT, UPDATE ON inbox_heard TO receiver;
