/* sdes--1.0.sql */

\echo Use "CREATE EXTENSION sdes" to load this file. \quit

-- Without preload nothing would refuse a column of no bucket. (The setting is
-- defined by a preloaded library only.)
DO $$
BEGIN
    IF pg_catalog.current_setting('sdes.agent_socket', true) IS NULL THEN
        RAISE EXCEPTION 'sdes must be loaded by "shared_preload_libraries"'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Add ''sdes'' to shared_preload_libraries in postgresql.conf and restart the server.';
    END IF;
END
$$;

-- CREATE EXTENSION takes a schema that is there already. Whoever owns it could
-- replace what is in it, as superusers can anyway: a dump that one of them restores
-- gives it to the one who had it.
DO $$
BEGIN
    IF (SELECT NOT rolsuper FROM pg_catalog.pg_namespace
        JOIN pg_catalog.pg_roles AS owner ON owner.oid OPERATOR(pg_catalog.=) nspowner
        WHERE nspname OPERATOR(pg_catalog.=) 'sdes') THEN
        RAISE EXCEPTION 'schema "sdes" exists and belongs to a role that is no superuser'
            USING ERRCODE = 'duplicate_schema',
                  HINT = 'Drop or rename it, then run CREATE EXTENSION sdes again.';
    END IF;
END
$$;

-- ---------------------------------------------------------------------------
-- Roles. They belong to the cluster, so another database may have made them.
-- ---------------------------------------------------------------------------

DO $$
DECLARE
    role text;
    what text;
BEGIN
    FOR role, what IN VALUES ('sdes_admin', 'sdes: creates buckets and looks after keys'),
                             ('sdes_officer', 'sdes: grants and revokes access to encrypted values'),
                             ('sdes_auditor', 'sdes: reads what was done with encrypted values') LOOP
        CONTINUE WHEN pg_catalog.to_regrole(role) IS NOT NULL;
        BEGIN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN', role);
            EXECUTE pg_catalog.format('COMMENT ON ROLE %I IS %L', role, what);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL; -- another database was quicker
        END;
    END LOOP;
END
$$;

COMMENT ON SCHEMA sdes IS 'transparent column encryption';
GRANT USAGE ON SCHEMA sdes TO PUBLIC;

-- ---------------------------------------------------------------------------
-- Tables. Rows are written by functions of this extension only. Everybody may
-- read them, else the owner of an encrypted table could not dump the database;
-- keys in them are wrapped by the HSM. They have no foreign keys, which a
-- parallel restore would violate; sdes.health() checks that they fit together.
-- ---------------------------------------------------------------------------

CREATE TABLE sdes.bucket (
    uuid uuid NOT NULL CONSTRAINT bucket_pkey PRIMARY KEY,
    name text COLLATE "C" NOT NULL CONSTRAINT bucket_name_key UNIQUE
        CONSTRAINT bucket_name_check
        CHECK (pg_catalog.octet_length(name) OPERATOR(pg_catalog.<=) 63),
    hash integer NOT NULL CONSTRAINT bucket_hash_key UNIQUE,
    system boolean NOT NULL,
    rotation_period interval NOT NULL DEFAULT '90 days' CONSTRAINT bucket_rotation_period_check
        CHECK (rotation_period OPERATOR(pg_catalog.>=) '1 hour'::interval AND rotation_period OPERATOR(pg_catalog.<=) '100 years'::interval),
    rotation_paused boolean NOT NULL DEFAULT false,
    audit_async boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    created_by text NOT NULL
);
COMMENT ON TABLE sdes.bucket IS 'sets of values that share keys and grants';
COMMENT ON COLUMN sdes.bucket.uuid IS 'identity of the bucket, part of what every value is bound to';
COMMENT ON COLUMN sdes.bucket.name IS 'what a column''s type names';
COMMENT ON COLUMN sdes.bucket.hash IS 'first 26 bits of SHA-256 over the name, held by type modifiers';
COMMENT ON COLUMN sdes.bucket.system IS 'true for the one bucket under which literals are sealed';
COMMENT ON COLUMN sdes.bucket.rotation_period IS 'cryptoperiod: how long values are sealed under one key';
COMMENT ON COLUMN sdes.bucket.rotation_paused IS 'neither makes new keys by itself nor re-encrypts values';
COMMENT ON COLUMN sdes.bucket.audit_async IS 'values are opened before their audit record is on the disk';
COMMENT ON COLUMN sdes.bucket.created_at IS 'when it was created';
COMMENT ON COLUMN sdes.bucket.created_by IS 'the role that created it';

CREATE TABLE sdes.kek (
    id bytea NOT NULL CONSTRAINT kek_pkey PRIMARY KEY
        CONSTRAINT kek_id_check CHECK (pg_catalog.octet_length(id) OPERATOR(pg_catalog.=) 16),
    bucket uuid NOT NULL,
    kind text NOT NULL CONSTRAINT kek_kind_check
        CHECK (kind OPERATOR(pg_catalog.=) ANY ('{aes-256,rsa-4096}'::text[])),
    mechanism text NOT NULL,
    token_label text NOT NULL,
    token_serial text NOT NULL,
    created_at timestamptz NOT NULL,
    state text NOT NULL CONSTRAINT kek_state_check
        CHECK (state OPERATOR(pg_catalog.=) ANY ('{active,retired,destroying,destroyed}'::text[])),
    retired_at timestamptz,
    destroying_at timestamptz,
    destroyed_at timestamptz
);
COMMENT ON TABLE sdes.kek IS 'key encryption keys: which key in which HSM token; the keys never leave it';
COMMENT ON COLUMN sdes.kek.id IS 'CKA_ID of the key object in the token';
COMMENT ON COLUMN sdes.kek.bucket IS 'the bucket whose data encryption keys it wraps';
COMMENT ON COLUMN sdes.kek.kind IS 'algorithm and length';
COMMENT ON COLUMN sdes.kek.mechanism IS 'how it wraps, as proved by a round trip when it was made';
COMMENT ON COLUMN sdes.kek.token_label IS 'label of the token it was generated in';
COMMENT ON COLUMN sdes.kek.token_serial IS 'serial number of that token';
COMMENT ON COLUMN sdes.kek.created_at IS 'when it was generated';
COMMENT ON COLUMN sdes.kek.state IS
    'active, retired (wraps nothing in this database, opens backups), destroying (waits to be destroyed in the HSM) or destroyed';
COMMENT ON COLUMN sdes.kek.retired_at IS 'since when it wraps nothing in this database any more';
COMMENT ON COLUMN sdes.kek.destroying_at IS 'when its destruction was ordered';
COMMENT ON COLUMN sdes.kek.destroyed_at IS 'when it was found to be gone from every token';

CREATE TABLE sdes.dek (
    key_id bytea NOT NULL CONSTRAINT dek_pkey PRIMARY KEY
        CONSTRAINT dek_key_id_check CHECK (pg_catalog.octet_length(key_id) OPERATOR(pg_catalog.=) 8),
    bucket uuid NOT NULL,
    version integer NOT NULL,
    purpose text COLLATE "C" NOT NULL CONSTRAINT dek_purpose_check
        CHECK (purpose OPERATOR(pg_catalog.=) ANY ('{data,literal,search,audit}'::text[])),
    mode text NOT NULL CONSTRAINT dek_mode_check
        CHECK (mode OPERATOR(pg_catalog.=) ANY ('{cached,hsm}'::text[])),
    state text NOT NULL CONSTRAINT dek_state_check
        CHECK (state OPERATOR(pg_catalog.=) ANY ('{active,decrypt-only,retired,destroyed,incoming}'::text[])),
    kek bytea NOT NULL,
    wrapped bytea NOT NULL CONSTRAINT dek_wrapped_check
        CHECK (pg_catalog.octet_length(wrapped) OPERATOR(pg_catalog.<=) 1024),
    commitment bytea NOT NULL CONSTRAINT dek_commitment_check
        CHECK (pg_catalog.octet_length(commitment) OPERATOR(pg_catalog.=) 32),
    created_at timestamptz NOT NULL,
    created_by text NOT NULL,
    system_id bigint NOT NULL,
    database oid NOT NULL,
    timeline integer NOT NULL,
    pinned boolean NOT NULL,
    decrypt_only_at timestamptz,
    clean_at timestamptz,
    emptied_at timestamptz,
    emptied_lsn pg_lsn,
    retired_at timestamptz,
    destroyed_at timestamptz,
    reason text,
    CONSTRAINT dek_bucket_purpose_version_key UNIQUE (bucket, purpose, version)
);
COMMENT ON TABLE sdes.dek IS 'data encryption keys, wrapped by the HSM';
COMMENT ON COLUMN sdes.dek.key_id IS 'random id that every value sealed under the key carries';
COMMENT ON COLUMN sdes.dek.bucket IS 'the bucket it belongs to';
COMMENT ON COLUMN sdes.dek.version IS 'counts the keys of a bucket and purpose';
COMMENT ON COLUMN sdes.dek.purpose IS 'what it is for: data, literal, search or audit';
COMMENT ON COLUMN sdes.dek.mode IS
    'cached: unwrapped and kept by each backend; hsm: values are sealed inside the HSM, under the key encryption key';
COMMENT ON COLUMN sdes.dek.state IS 'active (seals and opens), decrypt-only, retired (opened by re-encryption only) or destroyed; incoming: a search key whose tokens are being added to values';
COMMENT ON COLUMN sdes.dek.kek IS 'the key encryption key that wraps it';
COMMENT ON COLUMN sdes.dek.wrapped IS 'the key, wrapped; in mode hsm it seals nothing and only proves this row';
COMMENT ON COLUMN sdes.dek.commitment IS 'HKDF output over the key and all that this row says of it';
COMMENT ON COLUMN sdes.dek.created_at IS 'when it was made';
COMMENT ON COLUMN sdes.dek.created_by IS 'the role that made it';
COMMENT ON COLUMN sdes.dek.system_id IS 'system identifier of the cluster where it came about, 0 if that is not known; nothing is sealed under it elsewhere';
COMMENT ON COLUMN sdes.dek.database IS 'OID of the database there';
COMMENT ON COLUMN sdes.dek.timeline IS 'timeline of the WAL at that time; on another one it gets a successor soon';
COMMENT ON COLUMN sdes.dek.pinned IS 're-encryption leaves its values under it: its rotation was cancelled, or they come from another site';
COMMENT ON COLUMN sdes.dek.decrypt_only_at IS 'since when nothing is sealed under it any more';
COMMENT ON COLUMN sdes.dek.clean_at IS 'when a look at all places found no value under it; empty once nothing older is left and another look agrees';
COMMENT ON COLUMN sdes.dek.emptied_at IS 'when re-encryption found no value under it any more';
COMMENT ON COLUMN sdes.dek.emptied_lsn IS 'position in the WAL at that time, which replicas have to reach before it can be destroyed';
COMMENT ON COLUMN sdes.dek.retired_at IS 'since when no client''s statement opens a value under it';
COMMENT ON COLUMN sdes.dek.destroyed_at IS 'since when its blob is gone from this row';
COMMENT ON COLUMN sdes.dek.reason IS 'why it was revoked';

CREATE TABLE sdes.dek_copy (
    key_id bytea NOT NULL
        CONSTRAINT dek_copy_key_id_check CHECK (pg_catalog.octet_length(key_id) OPERATOR(pg_catalog.=) 8),
    kek bytea NOT NULL,
    wrapped bytea NOT NULL CONSTRAINT dek_copy_wrapped_check
        CHECK (pg_catalog.octet_length(wrapped) OPERATOR(pg_catalog.<=) 1024),
    commitment bytea NOT NULL CONSTRAINT dek_copy_commitment_check
        CHECK (pg_catalog.octet_length(commitment) OPERATOR(pg_catalog.=) 32),
    created_at timestamptz NOT NULL,
    CONSTRAINT dek_copy_pkey PRIMARY KEY (key_id, kek)
);
COMMENT ON TABLE sdes.dek_copy IS 'data encryption keys, wrapped by the HSM tokens that take over when the first one fails';
COMMENT ON COLUMN sdes.dek_copy.key_id IS 'which key of sdes.dek';
COMMENT ON COLUMN sdes.dek_copy.kek IS 'the key encryption key, of another token, that wraps it';
COMMENT ON COLUMN sdes.dek_copy.wrapped IS 'the key, wrapped';
COMMENT ON COLUMN sdes.dek_copy.commitment IS 'HKDF output over the key, what its row in sdes.dek says of it, and this kek';
COMMENT ON COLUMN sdes.dek_copy.created_at IS 'when it was made';

CREATE TABLE sdes.access (
    bucket uuid NOT NULL,
    role text COLLATE "C" NOT NULL,
    privilege text COLLATE "C" NOT NULL CONSTRAINT access_privilege_check
        CHECK (privilege OPERATOR(pg_catalog.=) ANY ('{encrypt,search,mask,decrypt}'::text[])),
    role_oid oid NOT NULL,
    system_id bigint NOT NULL,
    granted_at timestamptz NOT NULL,
    granted_by text NOT NULL,
    forced boolean NOT NULL,
    CONSTRAINT access_pkey PRIMARY KEY (bucket, role, privilege)
);
COMMENT ON TABLE sdes.access IS 'who may do what with the values of a bucket';
COMMENT ON COLUMN sdes.access.bucket IS 'the bucket';
COMMENT ON COLUMN sdes.access.role IS 'name of the role, "public" for every role but superusers';
COMMENT ON COLUMN sdes.access.privilege IS 'encrypt, search, mask or decrypt';
COMMENT ON COLUMN sdes.access.role_oid IS 'OID of the role in the cluster where it was granted';
COMMENT ON COLUMN sdes.access.system_id IS 'system identifier of that cluster';
COMMENT ON COLUMN sdes.access.granted_at IS 'when it was granted';
COMMENT ON COLUMN sdes.access.granted_by IS 'the role that granted it';
COMMENT ON COLUMN sdes.access.forced IS 'granted with force, although card numbers could be guessed with it';

-- Its rows are changed in place, whatever becomes of the transaction; messages comes
-- first so that C finds it.
CREATE TABLE sdes.usage (
    messages bigint NOT NULL CONSTRAINT usage_messages_check
        CHECK (messages OPERATOR(pg_catalog.>=) 0),
    key_id bytea NOT NULL CONSTRAINT usage_pkey PRIMARY KEY
        CONSTRAINT usage_key_id_check CHECK (pg_catalog.octet_length(key_id) OPERATOR(pg_catalog.=) 8)
);
COMMENT ON TABLE sdes.usage IS 'how many values data encryption keys may have sealed';
COMMENT ON COLUMN sdes.usage.messages IS 'reserved in blocks, before they are sealed: an upper bound';
COMMENT ON COLUMN sdes.usage.key_id IS 'the key''s id in sdes.dek';

-- How far re-encryption has come. Nothing here is needed to go on: what is left to do
-- follows from the states of keys. So dumps leave it out.
CREATE TABLE sdes.rotation (
    relation oid NOT NULL CONSTRAINT rotation_pkey PRIMARY KEY,
    buckets uuid[] NOT NULL,
    phase text NOT NULL,
    pass integer NOT NULL,
    pass_started_at timestamptz NOT NULL,
    started_at timestamptz NOT NULL,
    next_block bigint NOT NULL,
    blocks bigint NOT NULL,
    found bigint NOT NULL,
    skipped bigint NOT NULL,
    rows_done bigint NOT NULL,
    bytes_done bigint NOT NULL,
    retries integer NOT NULL,
    retry_at timestamptz NOT NULL,
    error text,
    updated_at timestamptz NOT NULL
);
COMMENT ON TABLE sdes.rotation IS 'how far re-encryption has come; see sdes.rotation_progress';
COMMENT ON COLUMN sdes.rotation.relation IS 'the table, 0 for what concerns the whole database';
COMMENT ON COLUMN sdes.rotation.buckets IS 'the buckets that its columns name';
COMMENT ON COLUMN sdes.rotation.phase IS 'pending, re-encrypting, checking or done; of the whole database what it waits for';
COMMENT ON COLUMN sdes.rotation.pass IS 'passes through the table, the one under way included, until one finds nothing to do';
COMMENT ON COLUMN sdes.rotation.pass_started_at IS 'when the pass began: it sees to all keys that were succeeded before';
COMMENT ON COLUMN sdes.rotation.started_at IS 'when the first pass began';
COMMENT ON COLUMN sdes.rotation.next_block IS 'where the next batch begins, -1 between passes';
COMMENT ON COLUMN sdes.rotation.blocks IS 'blocks that the table had at the last batch';
COMMENT ON COLUMN sdes.rotation.found IS 'values under keys that are due, found in this pass';
COMMENT ON COLUMN sdes.rotation.skipped IS 'rows left to the next pass since somebody had locked or changed them';
COMMENT ON COLUMN sdes.rotation.rows_done IS 'rows re-encrypted since the first pass began';
COMMENT ON COLUMN sdes.rotation.bytes_done IS 'bytes of those rows';
COMMENT ON COLUMN sdes.rotation.retries IS 'tries in a row that failed or got no further';
COMMENT ON COLUMN sdes.rotation.retry_at IS 'not before this time';
COMMENT ON COLUMN sdes.rotation.error IS 'why the last try failed';
COMMENT ON COLUMN sdes.rotation.updated_at IS 'time of the last batch';

-- Exchange with other sites, and backups of keys: docs/exchange.md.

CREATE TABLE sdes.site (
    fingerprint bytea NOT NULL CONSTRAINT site_pkey PRIMARY KEY
        CONSTRAINT site_fingerprint_check CHECK (pg_catalog.octet_length(fingerprint) OPERATOR(pg_catalog.=) 32),
    name text COLLATE "C" NOT NULL CONSTRAINT site_name_key UNIQUE,
    certificate text NOT NULL,
    own boolean NOT NULL,
    signing_key bytea NOT NULL,
    encryption_key bytea NOT NULL,
    kem_key bytea NOT NULL,
    kem_root bytea NOT NULL,
    added_at timestamptz NOT NULL,
    added_by text NOT NULL
);
COMMENT ON TABLE sdes.site IS 'this site and those it trusts: where keys may go, and come from';
COMMENT ON COLUMN sdes.site.fingerprint IS 'SHA-256 of the certificate, which an officer compared';
COMMENT ON COLUMN sdes.site.name IS 'common name of the certificate';
COMMENT ON COLUMN sdes.site.certificate IS 'of the key that signs and of the one to encrypt to, in PEM';
COMMENT ON COLUMN sdes.site.own IS 'true for this site';
COMMENT ON COLUMN sdes.site.signing_key IS 'CKA_ID of this site''s key in the token; empty for others';
COMMENT ON COLUMN sdes.site.encryption_key IS 'the same of the key to which others encrypt';
COMMENT ON COLUMN sdes.site.kem_key IS 'the same of the key that wraps the root of this site''s ML-KEM key; empty without one';
COMMENT ON COLUMN sdes.site.kem_root IS 'that root, wrapped';
COMMENT ON COLUMN sdes.site.added_at IS 'since when it is trusted';
COMMENT ON COLUMN sdes.site.added_by IS 'the role that added it';

CREATE TABLE sdes.exported (
    parcel uuid NOT NULL,
    bucket uuid NOT NULL,
    recipient text NOT NULL,
    kind text COLLATE "C" NOT NULL CONSTRAINT exported_kind_check
        CHECK (kind OPERATOR(pg_catalog.=) ANY ('{export,backup}'::text[])),
    key_ids bytea[] NOT NULL,
    exported_at timestamptz NOT NULL,
    exported_by text NOT NULL,
    CONSTRAINT exported_pkey PRIMARY KEY (parcel, bucket, recipient)
);
COMMENT ON TABLE sdes.exported IS 'copies of keys outside this database, which destroying keys here does not reach';
COMMENT ON COLUMN sdes.exported.parcel IS 'id of the parcel';
COMMENT ON COLUMN sdes.exported.bucket IS 'the bucket whose keys it holds';
COMMENT ON COLUMN sdes.exported.recipient IS 'the site, or the officer who has a share of a backup';
COMMENT ON COLUMN sdes.exported.kind IS 'export or backup';
COMMENT ON COLUMN sdes.exported.key_ids IS 'the keys';
COMMENT ON COLUMN sdes.exported.exported_at IS 'when it was made';
COMMENT ON COLUMN sdes.exported.exported_by IS 'the role that made it';

CREATE TABLE sdes.imported (
    parcel uuid NOT NULL CONSTRAINT imported_pkey PRIMARY KEY,
    sender text NOT NULL,
    fingerprint bytea NOT NULL,
    imported_at timestamptz NOT NULL,
    imported_by text NOT NULL
);
COMMENT ON TABLE sdes.imported IS 'parcels of keys that were imported, each of them once';
COMMENT ON COLUMN sdes.imported.parcel IS 'id of the parcel';
COMMENT ON COLUMN sdes.imported.sender IS 'the site that sent it';
COMMENT ON COLUMN sdes.imported.fingerprint IS 'of that site''s certificate';
COMMENT ON COLUMN sdes.imported.imported_at IS 'when it was imported';
COMMENT ON COLUMN sdes.imported.imported_by IS 'the role that imported it';

CREATE TABLE sdes.instance (
    id uuid NOT NULL CONSTRAINT instance_pkey PRIMARY KEY,
    system_id bigint NOT NULL,
    database oid NOT NULL,
    adopted_at timestamptz NOT NULL,
    adopted_by text NOT NULL
);
COMMENT ON TABLE sdes.instance IS 'the database that owns the keys: a copy of it finds another one here';
COMMENT ON COLUMN sdes.instance.id IS 'random, another one with each owner';
COMMENT ON COLUMN sdes.instance.system_id IS 'system identifier of its cluster';
COMMENT ON COLUMN sdes.instance.database IS 'its OID there';
COMMENT ON COLUMN sdes.instance.adopted_at IS 'since when it owns them';
COMMENT ON COLUMN sdes.instance.adopted_by IS 'the role that said so';

GRANT SELECT ON sdes.bucket, sdes.kek, sdes.dek, sdes.dek_copy, sdes.usage, sdes.access, sdes.rotation TO PUBLIC;
GRANT SELECT ON sdes.site, sdes.exported, sdes.imported, sdes.instance TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('sdes.bucket', '');
SELECT pg_catalog.pg_extension_config_dump('sdes.kek', '');
SELECT pg_catalog.pg_extension_config_dump('sdes.dek', '');
SELECT pg_catalog.pg_extension_config_dump('sdes.usage', '');
SELECT pg_catalog.pg_extension_config_dump('sdes.dek_copy', '');
SELECT pg_catalog.pg_extension_config_dump('sdes.access', '');
SELECT pg_catalog.pg_extension_config_dump('sdes.site', '');
SELECT pg_catalog.pg_extension_config_dump('sdes.exported', '');
SELECT pg_catalog.pg_extension_config_dump('sdes.imported', '');
SELECT pg_catalog.pg_extension_config_dump('sdes.instance', '');

-- Rows that a restore, a replica or a superuser changes must be noticed by every
-- backend's cache, as those are that the functions below change; and by the auditor.
CREATE FUNCTION sdes.invalidate() RETURNS trigger
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'sdes_invalidate';
COMMENT ON FUNCTION sdes.invalidate() IS 'makes every backend read the rows of its table again, and records that somebody changed them by hand';
REVOKE EXECUTE ON FUNCTION sdes.invalidate() FROM PUBLIC;

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY '{bucket,kek,dek,dek_copy,access,usage,site,exported,imported,instance}'::text[] LOOP
        EXECUTE pg_catalog.format(
            'CREATE TRIGGER invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON sdes.%1$I
                 FOR EACH STATEMENT EXECUTE FUNCTION sdes.invalidate();
             COMMENT ON TRIGGER invalidate ON sdes.%1$I IS %2$L;
             ALTER TABLE sdes.%1$I ENABLE ALWAYS TRIGGER invalidate', name, 'keeps caches right, and records changes by hand');
    END LOOP;
END
$$;

-- ---------------------------------------------------------------------------
-- The audit as a table: docs/audit.md. The journal's records of this database, filled in
-- by a background worker; the journal is what proves them. None of it is dumped: a copy
-- of the database has done nothing yet.
-- ---------------------------------------------------------------------------

CREATE TABLE sdes.audit_log (
    "time" timestamptz NOT NULL,
    journal uuid NOT NULL,
    sequence bigint NOT NULL,
    ended timestamptz,
    operation text NOT NULL,
    outcome text NOT NULL,
    reason text,
    bucket text,
    bucket_uuid uuid,
    relation text,
    "column" text,
    "values" bigint,
    bytes bigint,
    authenticated text,
    session_role text,
    role text,
    address text,
    port integer,
    tls text,
    cipher text,
    application text,
    backend integer,
    backend_start timestamptz,
    query bigint,
    object text,
    CONSTRAINT audit_log_pkey PRIMARY KEY ("time", journal, sequence)
) PARTITION BY RANGE ("time");
COMMENT ON TABLE sdes.audit_log IS 'who used keys for what, and what was done to keys and grants; a partition for each month';
COMMENT ON COLUMN sdes.audit_log."time" IS 'when it began';
COMMENT ON COLUMN sdes.audit_log.journal IS 'the journal that has its records; see sdes.audit_journal';
COMMENT ON COLUMN sdes.audit_log.sequence IS 'number of its first record there';
COMMENT ON COLUMN sdes.audit_log.ended IS 'when it ended; empty for what happens at once, and where a crash came first';
COMMENT ON COLUMN sdes.audit_log.operation IS 'encrypt, decrypt, mask, search, sort, or what was done to a key or grant';
COMMENT ON COLUMN sdes.audit_log.outcome IS 'ok, aborted, prepared, denied or begun; unknown: a crash came first, and "values" is the most that it can have been';
COMMENT ON COLUMN sdes.audit_log.reason IS 'the SQLSTATE of the error that aborted it, where there was one';
COMMENT ON COLUMN sdes.audit_log.bucket IS 'name of the bucket at that time';
COMMENT ON COLUMN sdes.audit_log.bucket_uuid IS 'the bucket';
COMMENT ON COLUMN sdes.audit_log.relation IS 'the tables with columns of the bucket that the statement names';
COMMENT ON COLUMN sdes.audit_log."column" IS 'those columns';
COMMENT ON COLUMN sdes.audit_log."values" IS 'how many values were opened or sealed';
COMMENT ON COLUMN sdes.audit_log.bytes IS 'of their plaintext';
COMMENT ON COLUMN sdes.audit_log.authenticated IS 'who logged in';
COMMENT ON COLUMN sdes.audit_log.session_role IS 'session_user';
COMMENT ON COLUMN sdes.audit_log.role IS 'current_user';
COMMENT ON COLUMN sdes.audit_log.address IS 'the client''s address, or "local"';
COMMENT ON COLUMN sdes.audit_log.port IS 'the client''s port';
COMMENT ON COLUMN sdes.audit_log.tls IS 'version of TLS';
COMMENT ON COLUMN sdes.audit_log.cipher IS 'of TLS';
COMMENT ON COLUMN sdes.audit_log.application IS 'application_name';
COMMENT ON COLUMN sdes.audit_log.backend IS 'process id of the session';
COMMENT ON COLUMN sdes.audit_log.backend_start IS 'when that process started';
COMMENT ON COLUMN sdes.audit_log.query IS 'query id, as in pg_stat_statements';
COMMENT ON COLUMN sdes.audit_log.object IS 'what was done, and to what';

CREATE TABLE sdes.audit_journal (
    journal uuid NOT NULL CONSTRAINT audit_journal_pkey PRIMARY KEY,
    node text,
    segment bigint NOT NULL,
    "offset" bigint NOT NULL,
    next bigint NOT NULL,
    hash bytea NOT NULL,
    loaded_at timestamptz NOT NULL,
    wrong text,
    lacks text,
    trouble text,
    database oid,
    system_id bigint
);
COMMENT ON TABLE sdes.audit_journal IS 'the journals that sdes.audit_log is made of, and how far each is loaded';
COMMENT ON COLUMN sdes.audit_journal.journal IS 'name of its folder';
COMMENT ON COLUMN sdes.audit_journal.node IS 'host and data directory of who wrote it last';
COMMENT ON COLUMN sdes.audit_journal.segment IS 'first record of the segment that is loaded next';
COMMENT ON COLUMN sdes.audit_journal."offset" IS 'from where on in that file';
COMMENT ON COLUMN sdes.audit_journal.next IS 'number of the record that is loaded next';
COMMENT ON COLUMN sdes.audit_journal.hash IS 'of the record before it';
COMMENT ON COLUMN sdes.audit_journal.loaded_at IS 'when records were loaded last';
COMMENT ON COLUMN sdes.audit_journal.wrong IS 'what is wrong with the journal, of which no more is loaded';
COMMENT ON COLUMN sdes.audit_journal.lacks IS 'records that were moved away before they were loaded';
COMMENT ON COLUMN sdes.audit_journal.trouble IS 'why it could not be loaded last; tried again';
COMMENT ON COLUMN sdes.audit_journal.database IS 'OID of the database that loaded it: a copy begins anew';
COMMENT ON COLUMN sdes.audit_journal.system_id IS 'system identifier of its cluster';

CREATE TABLE sdes.audit_open (
    journal uuid NOT NULL,
    sequence bigint NOT NULL,
    use bigint NOT NULL,
    "time" timestamptz NOT NULL,
    "values" bigint,
    fields bytea NOT NULL,
    CONSTRAINT audit_open_pkey PRIMARY KEY (journal, sequence)
);
COMMENT ON TABLE sdes.audit_open IS 'what has begun and not ended as far as the journal is loaded; in sdes.audit_log once it has';
COMMENT ON COLUMN sdes.audit_open.journal IS 'the journal that has its records';
COMMENT ON COLUMN sdes.audit_open.sequence IS 'number of its first record there';
COMMENT ON COLUMN sdes.audit_open.use IS 'what that has in common with its end';
COMMENT ON COLUMN sdes.audit_open."time" IS 'when it began';
COMMENT ON COLUMN sdes.audit_open."values" IS 'how many values it may be so far';
COMMENT ON COLUMN sdes.audit_open.fields IS 'the fields of the record';

CREATE TABLE sdes.audit_hour (
    hour timestamptz NOT NULL,
    role text NOT NULL,
    bucket text NOT NULL,
    relation text NOT NULL,
    "column" text NOT NULL,
    operation text NOT NULL,
    outcome text NOT NULL,
    uses bigint NOT NULL,
    "values" bigint NOT NULL,
    bytes bigint NOT NULL,
    first timestamptz NOT NULL,
    last timestamptz NOT NULL,
    CONSTRAINT audit_hour_pkey PRIMARY KEY (role, bucket, hour, operation, outcome, relation, "column")
);
COMMENT ON TABLE sdes.audit_hour IS 'sums of sdes.audit_log by hour';
COMMENT ON COLUMN sdes.audit_hour.hour IS 'when the hour began';
COMMENT ON COLUMN sdes.audit_hour.role IS 'current_user';
COMMENT ON COLUMN sdes.audit_hour.bucket IS 'the bucket';
COMMENT ON COLUMN sdes.audit_hour.relation IS 'the tables, empty where they are not known';
COMMENT ON COLUMN sdes.audit_hour."column" IS 'their columns';
COMMENT ON COLUMN sdes.audit_hour.operation IS 'what was done';
COMMENT ON COLUMN sdes.audit_hour.outcome IS 'what came of it';
COMMENT ON COLUMN sdes.audit_hour.uses IS 'how often';
COMMENT ON COLUMN sdes.audit_hour."values" IS 'how many values it was';
COMMENT ON COLUMN sdes.audit_hour.bytes IS 'of their plaintext';
COMMENT ON COLUMN sdes.audit_hour.first IS 'the first time';
COMMENT ON COLUMN sdes.audit_hour.last IS 'the last time';

CREATE FUNCTION sdes.refuse_change() RETURNS trigger
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'sdes_refuse_change';
COMMENT ON FUNCTION sdes.refuse_change() IS 'rows of sdes.audit_log are added, and never changed';
REVOKE EXECUTE ON FUNCTION sdes.refuse_change() FROM PUBLIC;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON sdes.audit_log
    FOR EACH ROW EXECUTE FUNCTION sdes.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON sdes.audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION sdes.refuse_change();
COMMENT ON TRIGGER refuse_change ON sdes.audit_log IS 'rows are added, and never changed';
COMMENT ON TRIGGER refuse_truncate ON sdes.audit_log IS 'rows are added, and never changed';
ALTER TABLE sdes.audit_log ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE sdes.audit_log ENABLE ALWAYS TRIGGER refuse_truncate;

CREATE TABLE sdes.alert_rule (
    name text COLLATE "C" NOT NULL CONSTRAINT alert_rule_pkey PRIMARY KEY,
    kind text COLLATE "C" NOT NULL CONSTRAINT alert_rule_kind_check
        CHECK (kind OPERATOR(pg_catalog.=) ANY ('{rate,hours,network,denied}'::text[])),
    settings jsonb NOT NULL,
    bucket text COLLATE "C",
    role text COLLATE "C",
    enabled boolean NOT NULL,
    set_at timestamptz NOT NULL,
    set_by text NOT NULL
);
COMMENT ON TABLE sdes.alert_rule IS 'what is to raise an alert; see sdes.alert_rules';
COMMENT ON COLUMN sdes.alert_rule.name IS 'the rule';
COMMENT ON COLUMN sdes.alert_rule.kind IS 'rate, hours, network or denied';
COMMENT ON COLUMN sdes.alert_rule.settings IS 'from when on it is raised';
COMMENT ON COLUMN sdes.alert_rule.bucket IS 'of which bucket only';
COMMENT ON COLUMN sdes.alert_rule.role IS 'of which role only';
COMMENT ON COLUMN sdes.alert_rule.enabled IS 'whether it is raised at all';
COMMENT ON COLUMN sdes.alert_rule.set_at IS 'when it was set';
COMMENT ON COLUMN sdes.alert_rule.set_by IS 'the role that set it';
SELECT pg_catalog.pg_extension_config_dump('sdes.alert_rule', '');
GRANT SELECT ON sdes.alert_rule TO pg_database_owner;

CREATE TABLE sdes.honey (
    nonce bytea NOT NULL CONSTRAINT honey_pkey PRIMARY KEY
        CONSTRAINT honey_nonce_check CHECK (pg_catalog.octet_length(nonce) OPERATOR(pg_catalog.=) 12),
    bucket uuid NOT NULL,
    label text NOT NULL CONSTRAINT honey_label_check
        CHECK (pg_catalog.octet_length(label) OPERATOR(pg_catalog.>) 0 AND pg_catalog.octet_length(label) OPERATOR(pg_catalog.<=) 63),
    added_at timestamptz NOT NULL,
    added_by text NOT NULL
);
COMMENT ON TABLE sdes.honey IS 'values whose opening always raises an alert; see sdes.add_honey()';
COMMENT ON COLUMN sdes.honey.nonce IS 'of the stored value; one more each time that it is re-encrypted';
COMMENT ON COLUMN sdes.honey.bucket IS 'its bucket';
COMMENT ON COLUMN sdes.honey.label IS 'what an officer calls it';
COMMENT ON COLUMN sdes.honey.added_at IS 'when it was added';
COMMENT ON COLUMN sdes.honey.added_by IS 'the role that added it';
SELECT pg_catalog.pg_extension_config_dump('sdes.honey', '');
GRANT SELECT ON sdes.honey TO pg_database_owner, sdes_officer, sdes_auditor;
CREATE TRIGGER invalidate AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON sdes.honey
    FOR EACH STATEMENT EXECUTE FUNCTION sdes.invalidate();
COMMENT ON TRIGGER invalidate ON sdes.honey IS 'keeps caches right, and records changes by hand';
ALTER TABLE sdes.honey ENABLE ALWAYS TRIGGER invalidate;

CREATE TABLE sdes.alert (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT alert_pkey PRIMARY KEY,
    raised_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    rule text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    role text COLLATE "C" NOT NULL,
    bucket text COLLATE "C" NOT NULL,
    hour timestamptz NOT NULL,
    address text,
    application text,
    journal uuid,
    sequence bigint,
    detail text NOT NULL,
    CONSTRAINT alert_rule_role_bucket_hour_key UNIQUE (rule, role, bucket, hour)
);
COMMENT ON TABLE sdes.alert IS 'alerts that were raised; see sdes.alerts';
COMMENT ON COLUMN sdes.alert.id IS 'what the notification on sdes_alert names';
COMMENT ON COLUMN sdes.alert.raised_at IS 'when it was raised';
COMMENT ON COLUMN sdes.alert.rule IS 'by which rule';
COMMENT ON COLUMN sdes.alert.kind IS 'the kind of that rule';
COMMENT ON COLUMN sdes.alert.role IS 'who raised it';
COMMENT ON COLUMN sdes.alert.bucket IS 'with the values of which bucket, empty where it is no particular one';
COMMENT ON COLUMN sdes.alert.hour IS 'the hour of what happened; there is one alert of a rule, role and bucket in it';
COMMENT ON COLUMN sdes.alert.address IS 'the client''s address';
COMMENT ON COLUMN sdes.alert.application IS 'application_name';
COMMENT ON COLUMN sdes.alert.journal IS 'with sequence the first row of sdes.audit_log that shows it, or the largest one';
COMMENT ON COLUMN sdes.alert.sequence IS 'see journal';
COMMENT ON COLUMN sdes.alert.detail IS 'what happened';

-- A publication FOR ALL TABLES publishes all of these. What a subscriber is sent of them
-- is not in force there: docs/replication.md.
CREATE FUNCTION sdes.ignore_replicated() RETURNS trigger
    LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'sdes_ignore_replicated';
COMMENT ON FUNCTION sdes.ignore_replicated() IS 'ignores rows of sdes tables that a subscription receives';
REVOKE EXECUTE ON FUNCTION sdes.ignore_replicated() FROM PUBLIC;

-- Triggers fire by their names: before that of sdes.audit_log which refuses changes. It
-- refuses TRUNCATE, too.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY '{bucket,kek,dek,dek_copy,access,usage,rotation,site,exported,imported,instance,'
        'audit_log,audit_journal,audit_open,audit_hour,alert_rule,honey,alert}'::text[] LOOP
        EXECUTE pg_catalog.format(
            'CREATE TRIGGER ignore_replicated BEFORE INSERT OR UPDATE OR DELETE ON sdes.%1$I
                 FOR EACH ROW EXECUTE FUNCTION sdes.ignore_replicated();
             COMMENT ON TRIGGER ignore_replicated ON sdes.%1$I IS %2$L;
             ALTER TABLE sdes.%1$I ENABLE REPLICA TRIGGER ignore_replicated', name, 'rows here are this database''s own');
        CONTINUE WHEN name OPERATOR(pg_catalog.=) 'audit_log';
        EXECUTE pg_catalog.format(
            'CREATE TRIGGER ignore_replicated_truncate BEFORE TRUNCATE ON sdes.%1$I
                 FOR EACH STATEMENT EXECUTE FUNCTION sdes.ignore_replicated();
             COMMENT ON TRIGGER ignore_replicated_truncate ON sdes.%1$I IS %2$L;
             ALTER TABLE sdes.%1$I ENABLE REPLICA TRIGGER ignore_replicated_truncate', name, 'rows here are this database''s own');
    END LOOP;
END
$$;

COMMENT ON SEQUENCE sdes.alert_id_seq IS 'numbers of alerts';
GRANT SELECT ON sdes.audit_log, sdes.audit_journal, sdes.audit_open, sdes.audit_hour, sdes.alert, sdes.alert_rule TO sdes_auditor;
GRANT SELECT ON sdes.alert, sdes.alert_rule TO sdes_officer;

-- ---------------------------------------------------------------------------
-- The types. Input, output and casts are STABLE: IMMUTABLE would let the planner
-- store one ciphertext for all rows, VOLATILE would keep indexes from being
-- used and make ALTER TABLE rewrite.
-- ---------------------------------------------------------------------------

CREATE TYPE sdes.enc_text;

CREATE FUNCTION sdes.enc_text_in(cstring, oid, integer) RETURNS sdes.enc_text
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_text_in';
CREATE FUNCTION sdes.enc_text_out(sdes.enc_text) RETURNS cstring
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_text_out';
CREATE FUNCTION sdes.enc_text_recv(internal, oid, integer) RETURNS sdes.enc_text
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_text_recv';
CREATE FUNCTION sdes.enc_text_send(sdes.enc_text) RETURNS bytea
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_text_send';
CREATE FUNCTION sdes.enc_text_typmod_in(cstring[]) RETURNS integer
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_text_typmod_in';
CREATE FUNCTION sdes.enc_text_typmod_out(integer) RETURNS cstring
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_text_typmod_out';
COMMENT ON FUNCTION sdes.enc_text_in(cstring, oid, integer) IS 'seals text';
COMMENT ON FUNCTION sdes.enc_text_out(sdes.enc_text) IS 'gives ciphertext, whoever asks';
COMMENT ON FUNCTION sdes.enc_text_recv(internal, oid, integer) IS 'seals text';
COMMENT ON FUNCTION sdes.enc_text_send(sdes.enc_text) IS 'gives ciphertext, whoever asks';
CREATE FUNCTION sdes.enc_analyze(internal) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_analyze';
COMMENT ON FUNCTION sdes.enc_text_typmod_in(cstring[]) IS 'reads the name of a bucket and what search tokens values carry';
COMMENT ON FUNCTION sdes.enc_text_typmod_out(integer) IS 'prints the name of a bucket and what search tokens values carry';
COMMENT ON FUNCTION sdes.enc_analyze(internal) IS 'has ANALYZE compare values by their tokens, where they carry some';

CREATE TYPE sdes.enc_text (
    INPUT = sdes.enc_text_in,
    OUTPUT = sdes.enc_text_out,
    RECEIVE = sdes.enc_text_recv,
    SEND = sdes.enc_text_send,
    TYPMOD_IN = sdes.enc_text_typmod_in,
    TYPMOD_OUT = sdes.enc_text_typmod_out,
    ANALYZE = sdes.enc_analyze,
    INTERNALLENGTH = VARIABLE,
    STORAGE = external,
    CATEGORY = 'S',
    COLLATABLE = true
);
COMMENT ON TYPE sdes.enc_text IS
    'text that is stored encrypted; enc_text(''bucket'') names its bucket, enc_text(''bucket'', ''searchable'') can be indexed';

CREATE FUNCTION sdes.enc_text(sdes.enc_text, integer, boolean) RETURNS sdes.enc_text
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_text_from_enc_text';
CREATE FUNCTION sdes.enc_text(text, integer, boolean) RETURNS sdes.enc_text
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_text_from_text';
CREATE FUNCTION sdes.enc_text(character varying, integer, boolean) RETURNS sdes.enc_text
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_text_from_text';
CREATE FUNCTION sdes.enc_text(character, integer, boolean) RETURNS sdes.enc_text
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_text_from_bpchar';
CREATE FUNCTION sdes.to_text(sdes.enc_text) RETURNS text
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_text_to_text';
CREATE FUNCTION sdes.to_varchar(sdes.enc_text) RETURNS character varying
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_text_to_text';
CREATE FUNCTION sdes.to_bpchar(sdes.enc_text) RETURNS character
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_text_to_text';
COMMENT ON FUNCTION sdes.enc_text(sdes.enc_text, integer, boolean) IS 'brings a value into the bucket of a column';
COMMENT ON FUNCTION sdes.enc_text(text, integer, boolean) IS 'seals text';
COMMENT ON FUNCTION sdes.enc_text(character varying, integer, boolean) IS 'seals text';
COMMENT ON FUNCTION sdes.enc_text(character, integer, boolean) IS 'seals text';
COMMENT ON FUNCTION sdes.to_text(sdes.enc_text) IS 'opens a value, for roles that may decrypt it';
COMMENT ON FUNCTION sdes.to_varchar(sdes.enc_text) IS 'opens a value, for roles that may decrypt it';
COMMENT ON FUNCTION sdes.to_bpchar(sdes.enc_text) IS 'opens a value, for roles that may decrypt it';

CREATE CAST (sdes.enc_text AS sdes.enc_text)
    WITH FUNCTION sdes.enc_text(sdes.enc_text, integer, boolean) AS IMPLICIT;
CREATE CAST (text AS sdes.enc_text)
    WITH FUNCTION sdes.enc_text(text, integer, boolean) AS ASSIGNMENT;
CREATE CAST (character varying AS sdes.enc_text)
    WITH FUNCTION sdes.enc_text(character varying, integer, boolean) AS ASSIGNMENT;
CREATE CAST (character AS sdes.enc_text)
    WITH FUNCTION sdes.enc_text(character, integer, boolean) AS ASSIGNMENT;
CREATE CAST (sdes.enc_text AS text) WITH FUNCTION sdes.to_text(sdes.enc_text) AS IMPLICIT;
CREATE CAST (sdes.enc_text AS character varying)
    WITH FUNCTION sdes.to_varchar(sdes.enc_text) AS IMPLICIT;
CREATE CAST (sdes.enc_text AS character)
    WITH FUNCTION sdes.to_bpchar(sdes.enc_text) AS ASSIGNMENT;
COMMENT ON CAST (sdes.enc_text AS sdes.enc_text) IS 'into the bucket of a column';
COMMENT ON CAST (text AS sdes.enc_text) IS 'seals text';
COMMENT ON CAST (character varying AS sdes.enc_text) IS 'seals text';
COMMENT ON CAST (character AS sdes.enc_text) IS 'seals text';
COMMENT ON CAST (sdes.enc_text AS text) IS 'opens a value, for roles that may decrypt it';
COMMENT ON CAST (sdes.enc_text AS character varying) IS 'opens a value, for roles that may decrypt it';
COMMENT ON CAST (sdes.enc_text AS character) IS 'opens a value, for roles that may decrypt it';

-- Card numbers. There is no cast between the types: a value gets from one to the
-- other as text, through the hands of who may decrypt it.

CREATE TYPE sdes.enc_pan;

CREATE FUNCTION sdes.enc_pan_in(cstring, oid, integer) RETURNS sdes.enc_pan
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_pan_in';
CREATE FUNCTION sdes.enc_pan_out(sdes.enc_pan) RETURNS cstring
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_pan_out';
CREATE FUNCTION sdes.enc_pan_recv(internal, oid, integer) RETURNS sdes.enc_pan
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_pan_recv';
CREATE FUNCTION sdes.enc_pan_send(sdes.enc_pan) RETURNS bytea
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_pan_send';
CREATE FUNCTION sdes.enc_pan_typmod_in(cstring[]) RETURNS integer
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_pan_typmod_in';
COMMENT ON FUNCTION sdes.enc_pan_typmod_in(cstring[]) IS 'reads the name of a bucket and what search tokens values carry';
COMMENT ON FUNCTION sdes.enc_pan_in(cstring, oid, integer) IS 'seals a card number';
COMMENT ON FUNCTION sdes.enc_pan_out(sdes.enc_pan) IS 'gives ciphertext, whoever asks';
COMMENT ON FUNCTION sdes.enc_pan_recv(internal, oid, integer) IS 'seals a card number';
COMMENT ON FUNCTION sdes.enc_pan_send(sdes.enc_pan) IS 'gives ciphertext, whoever asks';

CREATE TYPE sdes.enc_pan (
    INPUT = sdes.enc_pan_in,
    OUTPUT = sdes.enc_pan_out,
    RECEIVE = sdes.enc_pan_recv,
    SEND = sdes.enc_pan_send,
    TYPMOD_IN = sdes.enc_pan_typmod_in,
    TYPMOD_OUT = sdes.enc_text_typmod_out,
    ANALYZE = sdes.enc_analyze,
    INTERNALLENGTH = VARIABLE,
    STORAGE = external,
    CATEGORY = 'S',
    COLLATABLE = true
);
COMMENT ON TYPE sdes.enc_pan IS
    'payment card number (PAN) that is stored encrypted; enc_pan(''bucket'') names its bucket, enc_pan(''bucket'', ''searchable'') can be indexed';

CREATE FUNCTION sdes.enc_pan(sdes.enc_pan, integer, boolean) RETURNS sdes.enc_pan
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_pan_from_enc_pan';
CREATE FUNCTION sdes.enc_pan(text, integer, boolean) RETURNS sdes.enc_pan
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_pan_from_text';
CREATE FUNCTION sdes.enc_pan(character varying, integer, boolean) RETURNS sdes.enc_pan
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_pan_from_text';
CREATE FUNCTION sdes.enc_pan(character, integer, boolean) RETURNS sdes.enc_pan
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_pan_from_bpchar';
CREATE FUNCTION sdes.to_text(sdes.enc_pan) RETURNS text
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_pan_to_text';
CREATE FUNCTION sdes.to_varchar(sdes.enc_pan) RETURNS character varying
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_pan_to_text';
CREATE FUNCTION sdes.to_bpchar(sdes.enc_pan) RETURNS character
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_pan_to_text';
COMMENT ON FUNCTION sdes.enc_pan(sdes.enc_pan, integer, boolean) IS 'brings a value into the bucket of a column';
COMMENT ON FUNCTION sdes.enc_pan(text, integer, boolean) IS 'seals a card number';
COMMENT ON FUNCTION sdes.enc_pan(character varying, integer, boolean) IS 'seals a card number';
COMMENT ON FUNCTION sdes.enc_pan(character, integer, boolean) IS 'seals a card number';
COMMENT ON FUNCTION sdes.to_text(sdes.enc_pan) IS 'opens a value, for roles that may decrypt it';
COMMENT ON FUNCTION sdes.to_varchar(sdes.enc_pan) IS 'opens a value, for roles that may decrypt it';
COMMENT ON FUNCTION sdes.to_bpchar(sdes.enc_pan) IS 'opens a value, for roles that may decrypt it';

CREATE CAST (sdes.enc_pan AS sdes.enc_pan)
    WITH FUNCTION sdes.enc_pan(sdes.enc_pan, integer, boolean) AS IMPLICIT;
CREATE CAST (text AS sdes.enc_pan)
    WITH FUNCTION sdes.enc_pan(text, integer, boolean) AS ASSIGNMENT;
CREATE CAST (character varying AS sdes.enc_pan)
    WITH FUNCTION sdes.enc_pan(character varying, integer, boolean) AS ASSIGNMENT;
CREATE CAST (character AS sdes.enc_pan)
    WITH FUNCTION sdes.enc_pan(character, integer, boolean) AS ASSIGNMENT;
CREATE CAST (sdes.enc_pan AS text) WITH FUNCTION sdes.to_text(sdes.enc_pan) AS IMPLICIT;
CREATE CAST (sdes.enc_pan AS character varying)
    WITH FUNCTION sdes.to_varchar(sdes.enc_pan) AS IMPLICIT;
CREATE CAST (sdes.enc_pan AS character)
    WITH FUNCTION sdes.to_bpchar(sdes.enc_pan) AS ASSIGNMENT;
COMMENT ON CAST (sdes.enc_pan AS sdes.enc_pan) IS 'into the bucket of a column';
COMMENT ON CAST (text AS sdes.enc_pan) IS 'seals a card number';
COMMENT ON CAST (character varying AS sdes.enc_pan) IS 'seals a card number';
COMMENT ON CAST (character AS sdes.enc_pan) IS 'seals a card number';
COMMENT ON CAST (sdes.enc_pan AS text) IS 'opens a value, for roles that may decrypt it';
COMMENT ON CAST (sdes.enc_pan AS character varying) IS 'opens a value, for roles that may decrypt it';
COMMENT ON CAST (sdes.enc_pan AS character) IS 'opens a value, for roles that may decrypt it';

-- ---------------------------------------------------------------------------
-- Comparisons. = and <> are in pg_catalog: elsewhere an application whose
-- search_path lacks sdes would silently get text = text, with every row opened.
-- They take a value and a text, too, so that a parameter of type text or varchar
-- uses the index. The order of the operator classes is that of tokens and has no
-- meaning, so its operators have names of their own.
--
-- For both types t: functions t_eq_vv, t_eq_vt ... of two values, of a value and a
-- text, of a text and a value, and of two texts as if they were values.
-- ---------------------------------------------------------------------------

DO $$
DECLARE
    type text;    -- the encrypted type
    tag text;     -- what sets operators of two texts apart by type
    side record;  -- which arguments
    rel record;   -- which relation
    func text;
    op text;
BEGIN
    FOR type, tag IN VALUES ('enc_text', '#'), ('enc_pan', '##') LOOP
        FOR side IN
            SELECT * FROM (VALUES ('vv', 'sdes.' || type, 'sdes.' || type, 'two values'),
                                  ('vt', 'sdes.' || type, 'pg_catalog.text', 'a value with a text'),
                                  ('tv', 'pg_catalog.text', 'sdes.' || type, 'a text with a value'),
                                  ('tt', 'pg_catalog.text', 'pg_catalog.text', 'two texts as if they were values of ' || type))
                AS s (name, l, r, what)
        LOOP
            FOR rel IN
                SELECT * FROM (VALUES ('eq', '=', '=', '<>', 'eq', 'equality of %s'),
                                      ('ne', '<>', '<>', '=', 'neq', 'inequality of %s'),
                                      ('lt', '<', '>', '>=', 'scalarlt', 'order of search tokens (no meaning): %s'),
                                      ('le', '<=', '>=', '>', 'scalarle', 'order of search tokens (no meaning): %s'),
                                      ('ge', '>=', '<=', '<', 'scalarge', 'order of search tokens (no meaning): %s'),
                                      ('gt', '>', '<', '<=', 'scalargt', 'order of search tokens (no meaning): %s'))
                    AS r (name, op, commutator, negator, estimator, what)
            LOOP
                CONTINUE WHEN side.name = 'tt' AND rel.name = 'ne';
                func := pg_catalog.format('%s_%s_%s', type, rel.name, side.name);
                op := CASE WHEN side.name = 'tt' THEN 'sdes.%s' || tag
                           WHEN rel.name IN ('eq', 'ne') THEN 'pg_catalog.%s'
                           ELSE 'sdes.%s#' END;
                EXECUTE pg_catalog.format(
                    'CREATE FUNCTION sdes.%1$s(%2$s, %3$s) RETURNS boolean
                         LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS %4$L, %1$L;
                     COMMENT ON FUNCTION sdes.%1$s(%2$s, %3$s) IS %5$L;
                     CREATE OPERATOR %6$s (FUNCTION = sdes.%1$s, LEFTARG = %2$s, RIGHTARG = %3$s,
                         COMMUTATOR = OPERATOR(%7$s), %8$s RESTRICT = pg_catalog.%9$ssel, JOIN = pg_catalog.%9$sjoinsel %10$s);
                     COMMENT ON OPERATOR %6$s (%2$s, %3$s) IS %5$L',
                    func, side.l, side.r, 'MODULE_PATHNAME', pg_catalog.format(rel.what, side.what),
                    pg_catalog.format(op, rel.op), pg_catalog.format(op, rel.commutator),
                    CASE WHEN side.name = 'tt' AND rel.name = 'eq' THEN ''
                         ELSE pg_catalog.format('NEGATOR = OPERATOR(%s),', pg_catalog.format(op, rel.negator)) END,
                    rel.estimator, CASE WHEN rel.name = 'eq' THEN ', HASHES, MERGES' ELSE '' END);
            END LOOP;
            EXECUTE pg_catalog.format(
                'CREATE FUNCTION sdes.%1$s(%2$s, %3$s) RETURNS integer
                     LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS %4$L, %1$L;
                 COMMENT ON FUNCTION sdes.%1$s(%2$s, %3$s) IS %5$L',
                type || '_cmp_' || side.name, side.l, side.r, 'MODULE_PATHNAME',
                'compares the search tokens of ' || side.what);
        END LOOP;

        FOR side IN
            SELECT * FROM (VALUES ('v', 'sdes.' || type, 'a value'),
                                  ('t', 'pg_catalog.text', 'a text as if it were a value of ' || type))
                AS s (name, l, what)
        LOOP
            EXECUTE pg_catalog.format(
                'CREATE FUNCTION sdes.%1$s(%2$s) RETURNS integer
                     LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS %4$L, %1$L;
                 CREATE FUNCTION sdes.%3$s(%2$s, bigint) RETURNS bigint
                     LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS %4$L, %3$L;
                 COMMENT ON FUNCTION sdes.%1$s(%2$s) IS %5$L;
                 COMMENT ON FUNCTION sdes.%3$s(%2$s, bigint) IS %5$L',
                type || '_hash_' || side.name, side.l, type || '_hash_extended_' || side.name, 'MODULE_PATHNAME',
                'hashes the search token of ' || side.what);
        END LOOP;

        EXECUTE pg_catalog.format(
            'CREATE OPERATOR CLASS sdes.%1$s_ops DEFAULT FOR TYPE sdes.%1$s USING btree AS
                 OPERATOR 1 sdes.<#, OPERATOR 2 sdes.<=#, OPERATOR 3 pg_catalog.=, OPERATOR 4 sdes.>=#, OPERATOR 5 sdes.>#,
                 FUNCTION 1 sdes.%1$s_cmp_vv(sdes.%1$s, sdes.%1$s);
             CREATE OPERATOR CLASS sdes.%1$s_ops DEFAULT FOR TYPE sdes.%1$s USING hash AS
                 OPERATOR 1 pg_catalog.=,
                 FUNCTION 1 sdes.%1$s_hash_v(sdes.%1$s), FUNCTION 2 sdes.%1$s_hash_extended_v(sdes.%1$s, bigint);
             ALTER OPERATOR FAMILY sdes.%1$s_ops USING btree ADD
                 OPERATOR 1 sdes.<# (sdes.%1$s, text), OPERATOR 2 sdes.<=# (sdes.%1$s, text),
                 OPERATOR 3 pg_catalog.= (sdes.%1$s, text),
                 OPERATOR 4 sdes.>=# (sdes.%1$s, text), OPERATOR 5 sdes.># (sdes.%1$s, text),
                 FUNCTION 1 (sdes.%1$s, text) sdes.%1$s_cmp_vt(sdes.%1$s, text),
                 OPERATOR 1 sdes.<# (text, sdes.%1$s), OPERATOR 2 sdes.<=# (text, sdes.%1$s),
                 OPERATOR 3 pg_catalog.= (text, sdes.%1$s),
                 OPERATOR 4 sdes.>=# (text, sdes.%1$s), OPERATOR 5 sdes.># (text, sdes.%1$s),
                 FUNCTION 1 (text, sdes.%1$s) sdes.%1$s_cmp_tv(text, sdes.%1$s),
                 OPERATOR 1 sdes.<%2$s (text, text), OPERATOR 2 sdes.<=%2$s (text, text),
                 OPERATOR 3 sdes.=%2$s (text, text),
                 OPERATOR 4 sdes.>=%2$s (text, text), OPERATOR 5 sdes.>%2$s (text, text),
                 FUNCTION 1 (text, text) sdes.%1$s_cmp_tt(text, text);
             ALTER OPERATOR FAMILY sdes.%1$s_ops USING hash ADD
                 OPERATOR 1 pg_catalog.= (sdes.%1$s, text), OPERATOR 1 pg_catalog.= (text, sdes.%1$s),
                 OPERATOR 1 sdes.=%2$s (text, text),
                 FUNCTION 1 (text, text) sdes.%1$s_hash_t(text),
                 FUNCTION 2 (text, text) sdes.%1$s_hash_extended_t(text, bigint);
             COMMENT ON OPERATOR FAMILY sdes.%1$s_ops USING btree IS %3$L;
             COMMENT ON OPERATOR FAMILY sdes.%1$s_ops USING hash IS %3$L;
             COMMENT ON OPERATOR CLASS sdes.%1$s_ops USING btree IS %3$L;
             COMMENT ON OPERATOR CLASS sdes.%1$s_ops USING hash IS %3$L',
            type, tag, 'equality of encrypted values, by search tokens');

        -- The order of plaintext, into which sort clauses are rewritten. Its functions
        -- open values, so they are neither immutable nor leakproof.
        FOR rel IN
            SELECT * FROM (VALUES ('lt', '<~', '>~', '>=~', 'scalarlt'), ('le', '<=~', '>=~', '>~', 'scalarle'),
                                  ('ge', '>=~', '<=~', '<~', 'scalarge'), ('gt', '>~', '<~', '<=~', 'scalargt'))
                AS r (name, op, commutator, negator, estimator)
        LOOP
            EXECUTE pg_catalog.format(
                'CREATE FUNCTION sdes.%2$s(sdes.%1$s, sdes.%1$s) RETURNS boolean
                     LANGUAGE c STABLE STRICT PARALLEL SAFE AS %3$L, %2$L;
                 COMMENT ON FUNCTION sdes.%2$s(sdes.%1$s, sdes.%1$s) IS %8$L;
                 CREATE OPERATOR sdes.%4$s (FUNCTION = sdes.%2$s, LEFTARG = sdes.%1$s, RIGHTARG = sdes.%1$s,
                     COMMUTATOR = OPERATOR(sdes.%5$s), NEGATOR = OPERATOR(sdes.%6$s),
                     RESTRICT = pg_catalog.%7$ssel, JOIN = pg_catalog.%7$sjoinsel);
                 COMMENT ON OPERATOR sdes.%4$s (sdes.%1$s, sdes.%1$s) IS %8$L',
                type, type || '_order_' || rel.name, 'MODULE_PATHNAME', rel.op, rel.commutator, rel.negator,
                rel.estimator, 'order of plaintext, for sorts');
        END LOOP;
        EXECUTE pg_catalog.format(
            'CREATE FUNCTION sdes.%1$s_order_cmp(sdes.%1$s, sdes.%1$s) RETURNS integer
                 LANGUAGE c STABLE STRICT PARALLEL SAFE AS %2$L, %3$L;
             CREATE FUNCTION sdes.%1$s_order_support(internal) RETURNS void
                 LANGUAGE c STABLE STRICT PARALLEL SAFE AS %2$L, %4$L;
             COMMENT ON FUNCTION sdes.%1$s_order_cmp(sdes.%1$s, sdes.%1$s) IS %5$L;
             COMMENT ON FUNCTION sdes.%1$s_order_support(internal) IS %5$L;
             CREATE OPERATOR sdes.=~ (FUNCTION = sdes.%1$s_eq_vv, LEFTARG = sdes.%1$s, RIGHTARG = sdes.%1$s,
                 COMMUTATOR = OPERATOR(sdes.=~), RESTRICT = pg_catalog.eqsel, JOIN = pg_catalog.eqjoinsel);
             COMMENT ON OPERATOR sdes.=~ (sdes.%1$s, sdes.%1$s) IS %5$L;
             CREATE OPERATOR CLASS sdes.%1$s_order_ops FOR TYPE sdes.%1$s USING btree AS
                 OPERATOR 1 sdes.<~, OPERATOR 2 sdes.<=~, OPERATOR 3 sdes.=~, OPERATOR 4 sdes.>=~, OPERATOR 5 sdes.>~,
                 FUNCTION 1 sdes.%1$s_order_cmp(sdes.%1$s, sdes.%1$s), FUNCTION 2 sdes.%1$s_order_support(internal);
             COMMENT ON OPERATOR FAMILY sdes.%1$s_order_ops USING btree IS %5$L;
             COMMENT ON OPERATOR CLASS sdes.%1$s_order_ops USING btree IS %5$L',
            type, 'MODULE_PATHNAME', type || '_order_cmp', type || '_order_support',
            'order of plaintext, for sorts; not for indexes');
    END LOOP;

    -- lower(email) = $1 becomes email =^ $1, which an index of enc_text_ci_ops serves.
    FOR side IN
        SELECT * FROM (VALUES ('vv', 'sdes.enc_text', 'sdes.enc_text', 'lower-cased values'),
                              ('vt', 'sdes.enc_text', 'pg_catalog.text', 'a lower-cased value with a text'),
                              ('tv', 'pg_catalog.text', 'sdes.enc_text', 'a text with a lower-cased value'),
                              ('tt', 'pg_catalog.text', 'pg_catalog.text', 'two texts as if they were lower-cased values'))
            AS s (name, l, r, what)
    LOOP
        FOR rel IN
            SELECT * FROM (VALUES ('eq', '=^', 'eq', 'equality of %s'),
                                  ('lt', '<^', 'scalarlt', 'order of search tokens (no meaning): %s'),
                                  ('le', '<=^', 'scalarle', 'order of search tokens (no meaning): %s'),
                                  ('ge', '>=^', 'scalarge', 'order of search tokens (no meaning): %s'),
                                  ('gt', '>^', 'scalargt', 'order of search tokens (no meaning): %s'))
                AS r (name, op, estimator, what)
        LOOP
            EXECUTE pg_catalog.format(
                'CREATE FUNCTION sdes.%1$s(%7$s, %2$s) RETURNS boolean
                     LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS %3$L, %1$L;
                 COMMENT ON FUNCTION sdes.%1$s(%7$s, %2$s) IS %6$L;
                 CREATE OPERATOR sdes.%4$s (FUNCTION = sdes.%1$s, LEFTARG = %7$s, RIGHTARG = %2$s,
                     RESTRICT = pg_catalog.%5$ssel, JOIN = pg_catalog.%5$sjoinsel %8$s);
                 COMMENT ON OPERATOR sdes.%4$s (%7$s, %2$s) IS %6$L',
                'enc_text_ci_' || rel.name || '_' || side.name, side.r, 'MODULE_PATHNAME', rel.op, rel.estimator,
                pg_catalog.format(rel.what, side.what), side.l,
                CASE WHEN rel.name = 'eq' THEN ', COMMUTATOR = OPERATOR(sdes.=^), HASHES, MERGES' ELSE '' END);
        END LOOP;
        EXECUTE pg_catalog.format(
            'CREATE FUNCTION sdes.%1$s(%5$s, %2$s) RETURNS integer
                 LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS %3$L, %1$L;
             COMMENT ON FUNCTION sdes.%1$s(%5$s, %2$s) IS %4$L',
            'enc_text_ci_cmp_' || side.name, side.r, 'MODULE_PATHNAME', 'compares the search tokens of ' || side.what, side.l);
    END LOOP;
END
$$;

CREATE FUNCTION sdes.enc_text_ci_hash_v(sdes.enc_text) RETURNS integer
    LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_text_ci_hash_v';
CREATE FUNCTION sdes.enc_text_ci_hash_t(text) RETURNS integer
    LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_text_ci_hash_t';
CREATE FUNCTION sdes.enc_text_ci_hash_extended_v(sdes.enc_text, bigint) RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_text_ci_hash_extended_v';
CREATE FUNCTION sdes.enc_text_ci_hash_extended_t(text, bigint) RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'enc_text_ci_hash_extended_t';
COMMENT ON FUNCTION sdes.enc_text_ci_hash_v(sdes.enc_text) IS 'hashes the search token of a lower-cased value';
COMMENT ON FUNCTION sdes.enc_text_ci_hash_t(text) IS 'hashes the search token of a lower-cased text';
COMMENT ON FUNCTION sdes.enc_text_ci_hash_extended_v(sdes.enc_text, bigint) IS 'hashes the search token of a lower-cased value';
COMMENT ON FUNCTION sdes.enc_text_ci_hash_extended_t(text, bigint) IS 'hashes the search token of a lower-cased text';
CREATE OPERATOR CLASS sdes.enc_text_ci_ops FOR TYPE sdes.enc_text USING hash AS
    OPERATOR 1 sdes.=^,
    FUNCTION 1 sdes.enc_text_ci_hash_v(sdes.enc_text), FUNCTION 2 sdes.enc_text_ci_hash_extended_v(sdes.enc_text, bigint);
ALTER OPERATOR FAMILY sdes.enc_text_ci_ops USING hash ADD
    OPERATOR 1 sdes.=^ (sdes.enc_text, text), OPERATOR 1 sdes.=^ (text, sdes.enc_text), OPERATOR 1 sdes.=^ (text, text),
    FUNCTION 1 (text, text) sdes.enc_text_ci_hash_t(text), FUNCTION 2 (text, text) sdes.enc_text_ci_hash_extended_t(text, bigint);
COMMENT ON OPERATOR FAMILY sdes.enc_text_ci_ops USING hash IS 'equality of lower-cased values, by search tokens';
COMMENT ON OPERATOR CLASS sdes.enc_text_ci_ops USING hash IS 'equality of lower-cased values, by search tokens';
CREATE OPERATOR CLASS sdes.enc_text_ci_ops FOR TYPE sdes.enc_text USING btree AS
    OPERATOR 1 sdes.<^, OPERATOR 2 sdes.<=^, OPERATOR 3 sdes.=^, OPERATOR 4 sdes.>=^, OPERATOR 5 sdes.>^,
    FUNCTION 1 sdes.enc_text_ci_cmp_vv(sdes.enc_text, sdes.enc_text);
ALTER OPERATOR FAMILY sdes.enc_text_ci_ops USING btree ADD
    OPERATOR 1 sdes.<^ (sdes.enc_text, text), OPERATOR 2 sdes.<=^ (sdes.enc_text, text),
    OPERATOR 3 sdes.=^ (sdes.enc_text, text),
    OPERATOR 4 sdes.>=^ (sdes.enc_text, text), OPERATOR 5 sdes.>^ (sdes.enc_text, text),
    FUNCTION 1 (sdes.enc_text, text) sdes.enc_text_ci_cmp_vt(sdes.enc_text, text),
    OPERATOR 1 sdes.<^ (text, sdes.enc_text), OPERATOR 2 sdes.<=^ (text, sdes.enc_text),
    OPERATOR 3 sdes.=^ (text, sdes.enc_text),
    OPERATOR 4 sdes.>=^ (text, sdes.enc_text), OPERATOR 5 sdes.>^ (text, sdes.enc_text),
    FUNCTION 1 (text, sdes.enc_text) sdes.enc_text_ci_cmp_tv(text, sdes.enc_text),
    OPERATOR 1 sdes.<^ (text, text), OPERATOR 2 sdes.<=^ (text, text), OPERATOR 3 sdes.=^ (text, text),
    OPERATOR 4 sdes.>=^ (text, text), OPERATOR 5 sdes.>^ (text, text),
    FUNCTION 1 (text, text) sdes.enc_text_ci_cmp_tt(text, text);
COMMENT ON OPERATOR FAMILY sdes.enc_text_ci_ops USING btree IS 'equality of lower-cased values, by search tokens';
COMMENT ON OPERATOR CLASS sdes.enc_text_ci_ops USING btree IS
    'equality of lower-cased values: the index for lower(email) = $1 on a column that is ''searchable_ci''';

-- What sdes.switch_search_key() builds indexes with before it switches: ordered by the
-- tokens of the search key that is to be. Operators of their own, which no query has, keep
-- plans away from them.
DO $$
DECLARE
    prefix text;
    type text;
    tag text;
    rel record;
    object text;
BEGIN
    FOR prefix, type, tag IN VALUES ('enc_text', 'enc_text', '|'), ('enc_pan', 'enc_pan', '|'), ('enc_text_ci', 'enc_text', '|^') LOOP
        FOR rel IN
            SELECT * FROM (VALUES ('eq', '=', '=', 'eq', ', HASHES, MERGES'), ('lt', '<', '>', 'scalarlt', ''),
                                  ('le', '<=', '>=', 'scalarle', ''), ('ge', '>=', '<=', 'scalarge', ''), ('gt', '>', '<', 'scalargt', ''))
                AS r (name, op, commutator, estimator, more)
        LOOP
            EXECUTE pg_catalog.format(
                'CREATE FUNCTION sdes.%1$s(sdes.%2$s, sdes.%2$s) RETURNS boolean
                     LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS %3$L, %1$L;
                 CREATE OPERATOR sdes.%4$s (FUNCTION = sdes.%1$s, LEFTARG = sdes.%2$s, RIGHTARG = sdes.%2$s,
                     COMMUTATOR = OPERATOR(sdes.%5$s), RESTRICT = pg_catalog.%8$ssel, JOIN = pg_catalog.%8$sjoinsel %6$s);
                 COMMENT ON FUNCTION sdes.%1$s(sdes.%2$s, sdes.%2$s) IS %7$L;
                 COMMENT ON OPERATOR sdes.%4$s (sdes.%2$s, sdes.%2$s) IS %7$L',
                prefix || '_next_' || rel.name, type, 'MODULE_PATHNAME', rel.op || tag, rel.commutator || tag, rel.more,
                'search tokens under the search key that is to be; only for sdes.switch_search_key()', rel.estimator);
        END LOOP;
        EXECUTE pg_catalog.format(
            'CREATE FUNCTION sdes.%1$s_next_cmp(sdes.%2$s, sdes.%2$s) RETURNS integer
                 LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS %3$L, %4$L;
             CREATE FUNCTION sdes.%1$s_next_hash(sdes.%2$s) RETURNS integer
                 LANGUAGE c IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS %3$L, %5$L;
             COMMENT ON FUNCTION sdes.%1$s_next_cmp(sdes.%2$s, sdes.%2$s) IS %6$L;
             COMMENT ON FUNCTION sdes.%1$s_next_hash(sdes.%2$s) IS %7$L;
             CREATE OPERATOR CLASS sdes.%1$s_next_ops FOR TYPE sdes.%2$s USING btree AS
                 OPERATOR 1 sdes.<%8$s, OPERATOR 2 sdes.<=%8$s, OPERATOR 3 sdes.=%8$s, OPERATOR 4 sdes.>=%8$s, OPERATOR 5 sdes.>%8$s,
                 FUNCTION 1 sdes.%1$s_next_cmp(sdes.%2$s, sdes.%2$s);
             CREATE OPERATOR CLASS sdes.%1$s_next_ops FOR TYPE sdes.%2$s USING hash AS
                 OPERATOR 1 sdes.=%8$s,
                 FUNCTION 1 sdes.%1$s_next_hash(sdes.%2$s);',
            prefix, type, 'MODULE_PATHNAME', prefix || '_next_cmp', prefix || '_next_hash',
            'compares the search tokens of two values under the search key that is to be',
            'hashes the search token of a value under the search key that is to be', tag);
        FOR object IN VALUES ('OPERATOR CLASS sdes.%s_next_ops USING btree'), ('OPERATOR CLASS sdes.%s_next_ops USING hash'),
                             ('OPERATOR FAMILY sdes.%s_next_ops USING btree'), ('OPERATOR FAMILY sdes.%s_next_ops USING hash') LOOP
            EXECUTE pg_catalog.format('COMMENT ON ' || object || ' IS %L', prefix, 'only for sdes.switch_search_key()');
        END LOOP;
    END LOOP;
END
$$;

-- VOLATILE and PARALLEL RESTRICTED keep it above sorts and gathers in a plan.
CREATE FUNCTION sdes.reveal(sdes.enc_text) RETURNS text
    LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'sdes_reveal_text';
CREATE FUNCTION sdes.reveal(sdes.enc_pan) RETURNS text
    LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'sdes_reveal_pan';
CREATE FUNCTION sdes.reveal(sdes.enc_text[]) RETURNS text[]
    LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'sdes_reveal_array';
CREATE FUNCTION sdes.reveal(sdes.enc_pan[]) RETURNS text[]
    LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'sdes_reveal_array';
CREATE FUNCTION sdes.reveal(record) RETURNS record
    LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'sdes_reveal_record';
CREATE FUNCTION sdes.reveal(record[]) RETURNS record[]
    LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'sdes_reveal_array';
COMMENT ON FUNCTION sdes.reveal(sdes.enc_text) IS
    'what the current role may see of a value: the plaintext, a mask, or the ciphertext';
COMMENT ON FUNCTION sdes.reveal(sdes.enc_pan) IS
    'what the current role may see of a value: the plaintext, a mask, or the ciphertext';
COMMENT ON FUNCTION sdes.reveal(sdes.enc_text[]) IS 'the same of the elements of an array';
COMMENT ON FUNCTION sdes.reveal(sdes.enc_pan[]) IS 'the same of the elements of an array';
COMMENT ON FUNCTION sdes.reveal(record) IS 'the same of the columns of a row';
COMMENT ON FUNCTION sdes.reveal(record[]) IS 'the same of the columns of many rows';

-- ---------------------------------------------------------------------------
-- Administration. The functions check the caller themselves; that nobody else
-- may call them says so in \df+ too. They are not STRICT: an argument that is NULL
-- is an error, not a silent nothing.
-- ---------------------------------------------------------------------------

CREATE FUNCTION sdes.create_bucket(name text, kek text DEFAULT 'aes-256', mode text DEFAULT 'cached',
                                   rotation_period interval DEFAULT '90 days')
    RETURNS uuid
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_create_bucket';
COMMENT ON FUNCTION sdes.create_bucket(text, text, text, interval) IS
    'creates a bucket, its key encryption key in the HSM (kek aes-256 or rsa-4096) and its first data encryption key; mode cached: sessions keep that key, mode hsm: values are sealed inside the HSM';
REVOKE EXECUTE ON FUNCTION sdes.create_bucket(text, text, text, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.create_bucket(text, text, text, interval) TO sdes_admin;

CREATE FUNCTION sdes.rotate_bucket(name text) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_rotate_bucket';
COMMENT ON FUNCTION sdes.rotate_bucket(text) IS
    'makes a new version of a bucket''s data encryption key and returns its number; values under older versions are re-encrypted in the background';
REVOKE EXECUTE ON FUNCTION sdes.rotate_bucket(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.rotate_bucket(text) TO sdes_admin;

CREATE FUNCTION sdes.set_audit(bucket text, mode text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_set_audit';
COMMENT ON FUNCTION sdes.set_audit(text, text) IS
    'strict: the record of a statement is on the disk before a value of the bucket is opened; async: within about a second';
REVOKE EXECUTE ON FUNCTION sdes.set_audit(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.set_audit(text, text) TO sdes_officer;

CREATE FUNCTION sdes.set_rotation_period(bucket text, period interval) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_set_rotation_period';
COMMENT ON FUNCTION sdes.set_rotation_period(text, interval) IS
    'sets the cryptoperiod of a bucket''s data encryption keys';
REVOKE EXECUTE ON FUNCTION sdes.set_rotation_period(text, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.set_rotation_period(text, interval) TO sdes_admin;

CREATE FUNCTION sdes.pause_rotation(bucket text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_pause_rotation';
COMMENT ON FUNCTION sdes.pause_rotation(text) IS
    'stops re-encryption of a bucket''s values, and rotation by schedule, until sdes.resume_rotation()';
REVOKE EXECUTE ON FUNCTION sdes.pause_rotation(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.pause_rotation(text) TO sdes_admin;

CREATE FUNCTION sdes.resume_rotation(bucket text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_resume_rotation';
COMMENT ON FUNCTION sdes.resume_rotation(text) IS
    'goes on with what was paused or cancelled, and looks again where nothing was left';
REVOKE EXECUTE ON FUNCTION sdes.resume_rotation(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.resume_rotation(text) TO sdes_admin;

CREATE FUNCTION sdes.cancel_rotation(bucket text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_cancel_rotation';
COMMENT ON FUNCTION sdes.cancel_rotation(text) IS
    'leaves values that are not re-encrypted yet under their keys; the newest key stays in use';
REVOKE EXECUTE ON FUNCTION sdes.cancel_rotation(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.cancel_rotation(text) TO sdes_admin;

CREATE FUNCTION sdes.rotate_search_key() RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_rotate_search_key';
COMMENT ON FUNCTION sdes.rotate_search_key() IS
    'makes a new search key and returns its number; all values get a token of it in the background, until sdes.switch_search_key() can be called';
REVOKE EXECUTE ON FUNCTION sdes.rotate_search_key() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.rotate_search_key() TO sdes_admin;

CREATE PROCEDURE sdes.switch_search_key()
    LANGUAGE c AS 'MODULE_PATHNAME', 'sdes_switch_search_key';
COMMENT ON PROCEDURE sdes.switch_search_key() IS
    'has values compared by the new search key from now on: builds new indexes, then exchanges them while all tables with encrypted columns are locked';
REVOKE EXECUTE ON PROCEDURE sdes.switch_search_key() FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE sdes.switch_search_key() TO sdes_admin;

CREATE FUNCTION sdes.inventory(bucket text, OUT version integer, OUT state text, OUT place text, OUT object text,
                               OUT "values" bigint)
    RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10 AS 'MODULE_PATHNAME', 'sdes_inventory';
COMMENT ON FUNCTION sdes.inventory(text) IS
    'counts the values of a bucket by version of its key and by place: reads every table with encrypted columns';
REVOKE EXECUTE ON FUNCTION sdes.inventory(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.inventory(text) TO sdes_admin, sdes_auditor;

CREATE FUNCTION sdes.destroy_key(bucket text, version integer) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_destroy_key';
COMMENT ON FUNCTION sdes.destroy_key(text, integer) IS
    'takes the wrapped key of a version out of this database, once nothing is left under it';
REVOKE EXECUTE ON FUNCTION sdes.destroy_key(text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.destroy_key(text, integer) TO sdes_admin;

CREATE FUNCTION sdes.grant_access(bucket text, role text, privileges text[], force boolean DEFAULT false)
    RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_grant_access';
COMMENT ON FUNCTION sdes.grant_access(text, text, text[], boolean) IS
    'lets a role encrypt, search, mask or decrypt the values of a bucket; force: even if card numbers could be guessed then';
REVOKE EXECUTE ON FUNCTION sdes.grant_access(text, text, text[], boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.grant_access(text, text, text[], boolean) TO sdes_officer;

CREATE FUNCTION sdes.revoke_access(bucket text, role text, privileges text[]) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_revoke_access';
COMMENT ON FUNCTION sdes.revoke_access(text, text, text[]) IS
    'takes privileges on the values of a bucket from a role';
REVOKE EXECUTE ON FUNCTION sdes.revoke_access(text, text, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.revoke_access(text, text, text[]) TO sdes_officer;

-- The life of key encryption keys.

CREATE FUNCTION sdes.rewrap_bucket(bucket text, kek text DEFAULT NULL, destroy_old boolean DEFAULT false)
    RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_rewrap_bucket';
COMMENT ON FUNCTION sdes.rewrap_bucket(text, text, boolean) IS
    'makes a new key encryption key for a bucket (kek aes-256 or rsa-4096, else of the kind it has), wraps its data encryption keys under it and returns its id; destroy_old: the old one is destroyed in the HSM, else it is kept for backups';
REVOKE EXECUTE ON FUNCTION sdes.rewrap_bucket(text, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.rewrap_bucket(text, text, boolean) TO sdes_admin;

CREATE FUNCTION sdes.destroy_kek(kek_id text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_destroy_kek';
COMMENT ON FUNCTION sdes.destroy_kek(text) IS
    'has a key encryption key destroyed in the HSM that wraps nothing any more; sdes.destroy_keks() does it once this is committed';
REVOKE EXECUTE ON FUNCTION sdes.destroy_kek(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.destroy_kek(text) TO sdes_admin;

CREATE FUNCTION sdes.destroy_keks(OUT kek_id text, OUT bucket text, OUT token text, OUT destroyed boolean,
                                  OUT detail text)
    RETURNS SETOF record
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_destroy_keks';
COMMENT ON FUNCTION sdes.destroy_keks() IS
    'destroys in the HSM the key encryption keys that are to be destroyed, and says of each whether that was done or what stands in the way';
REVOKE EXECUTE ON FUNCTION sdes.destroy_keks() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.destroy_keks() TO sdes_admin;

CREATE FUNCTION sdes.shred_bucket(name text, confirm text, OUT what text, OUT place text, OUT detail text)
    RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_shred_bucket';
COMMENT ON FUNCTION sdes.shred_bucket(text, text) IS
    'destroys all keys of a bucket, so that nobody can read its values again, and lists what still opens some; confirm is its name once more';
REVOKE EXECUTE ON FUNCTION sdes.shred_bucket(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.shred_bucket(text, text) TO sdes_admin;

CREATE FUNCTION sdes.sync_tokens(OUT token text, OUT bucket text, OUT keys integer, OUT detail text)
    RETURNS SETOF record
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_sync_tokens';
COMMENT ON FUNCTION sdes.sync_tokens() IS
    'wraps in every HSM token the data encryption keys that it lacks, and tells how many it wrapped or what stands in the way';
REVOKE EXECUTE ON FUNCTION sdes.sync_tokens() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.sync_tokens() TO sdes_admin;

CREATE FUNCTION sdes.retry_pin() RETURNS void
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_retry_pin';
COMMENT ON FUNCTION sdes.retry_pin() IS
    'has the PIN tried again that the HSM token refused, once it was corrected';
REVOKE EXECUTE ON FUNCTION sdes.retry_pin() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.retry_pin() TO sdes_admin;

CREATE FUNCTION sdes.revoke_key(bucket text, version integer, reason text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_revoke_key';
COMMENT ON FUNCTION sdes.revoke_key(text, integer, text) IS
    'has no client open values under a key version any more, from the commit on; they are readable again once they are re-encrypted';
REVOKE EXECUTE ON FUNCTION sdes.revoke_key(text, integer, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.revoke_key(text, integer, text) TO sdes_admin;

CREATE FUNCTION sdes.verify_audit("from" bigint DEFAULT NULL, "to" bigint DEFAULT NULL, keys text[] DEFAULT NULL,
    OUT first bigint, OUT last bigint, OUT wrong text, OUT signed_to bigint, OUT signed_at timestamptz, OUT key text, OUT folder text)
    RETURNS record
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_verify_audit';
COMMENT ON FUNCTION sdes.verify_audit(bigint, bigint, text[]) IS
    'follows the chain of this server''s audit journal, or of the segments with the records from .. to: its first and last good record, what is wrong with the one after it, up to where it is signed, and by which key; keys: fingerprints of those that may have signed';
REVOKE EXECUTE ON FUNCTION sdes.verify_audit(bigint, bigint, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.verify_audit(bigint, bigint, text[]) TO sdes_auditor;

CREATE FUNCTION sdes.audit_signing_key(OUT fingerprint text, OUT algorithm text, OUT bits integer)
    RETURNS SETOF record
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE ROWS 1 AS 'MODULE_PATHNAME', 'sdes_audit_signing_key';
COMMENT ON FUNCTION sdes.audit_signing_key() IS 'the key in the HSM that signs this server''s audit journal, once it has since the server started';

CREATE FUNCTION sdes.health(OUT "check" text, OUT ok boolean, OUT detail text, OUT hint text)
    RETURNS SETOF record
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE ROWS 15 AS 'MODULE_PATHNAME', 'sdes_health';
COMMENT ON FUNCTION sdes.health() IS 'checks everything encryption depends on, and says what to do';
REVOKE EXECUTE ON FUNCTION sdes.health() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.health() TO sdes_admin, sdes_officer, sdes_auditor, pg_monitor;

CREATE FUNCTION sdes.preflight(OUT bucket text, OUT purpose text, OUT version integer, OUT state text, OUT kek text,
    OUT token_label text, OUT token_serial text, OUT opens boolean, OUT problem text, OUT remedy text)
    RETURNS SETOF record
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE ROWS 10 SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'sdes_preflight';
COMMENT ON FUNCTION sdes.preflight() IS
    'which keys of this database can be had here, and what to bring for those that cannot: tries each one, and keeps none';
REVOKE EXECUTE ON FUNCTION sdes.preflight() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.preflight() TO sdes_admin, sdes_officer, sdes_auditor;

-- For sdes.leak_check(): what no catalog tells.
CREATE FUNCTION sdes.server_leaks(OUT severity text, OUT leak text, OUT object text, OUT detail text, OUT remedy text)
    RETURNS SETOF record
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE ROWS 5 AS 'MODULE_PATHNAME', 'sdes_server_leaks';
COMMENT ON FUNCTION sdes.server_leaks() IS 'part of sdes.leak_check()';
CREATE FUNCTION sdes.keeps_plain_text(pg_node_tree) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'sdes_keeps_plain_text';
COMMENT ON FUNCTION sdes.keeps_plain_text(pg_node_tree) IS 'whether an expression has a constant of plain text beside encrypted values; part of sdes.leak_check()';
REVOKE EXECUTE ON FUNCTION sdes.server_leaks(), sdes.keeps_plain_text(pg_node_tree) FROM PUBLIC;

-- Nothing that users made is executed, and none of their tables is read. Names are printed
-- with their schemas.
CREATE FUNCTION sdes.leak_check(OUT severity text, OUT leak text, OUT object text, OUT detail text, OUT remedy text)
    RETURNS SETOF record
    LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off ROWS 10 AS $$
WITH RECURSIVE
-- The encrypted types, and what values of them can be in: domains, arrays, ranges,
-- composites, rows of tables.
part_of (part, whole) AS (
    SELECT typbasetype, oid FROM pg_type WHERE typbasetype <> 0
    UNION ALL SELECT typelem, oid FROM pg_type WHERE typelem <> 0
    UNION ALL SELECT rngsubtype, rngtypid FROM pg_range
    UNION ALL SELECT rngtypid, rngmultitypid FROM pg_range
    UNION ALL SELECT a.atttypid, c.reltype FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE a.attnum > 0 AND NOT a.attisdropped AND c.reltype <> 0
),
encrypted (type) AS (
    SELECT oid FROM pg_type WHERE typnamespace = 'sdes'::regnamespace AND typname IN ('enc_text', 'enc_pan')
    UNION SELECT whole FROM encrypted JOIN part_of ON part = type
),
encrypted_column (relation, name) AS (
    SELECT a.attrelid, a.attname FROM pg_attribute a JOIN encrypted ON type = a.atttypid JOIN pg_class c ON c.oid = a.attrelid
    WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f')
),
ours (classid, objid) AS (
    SELECT classid, objid FROM pg_depend
    WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass
      AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'sdes')
),
-- What else names something of ours.
ours_in (classid, objid) AS (
    SELECT d.classid, d.objid FROM pg_depend d JOIN ours o ON o.classid = d.refclassid AND o.objid = d.refobjid
    EXCEPT SELECT * FROM ours
),
-- The functions of the casts to text, and reveal().
opener (classid, objid) AS (
    SELECT 'pg_proc'::regclass, p.oid FROM pg_proc p
    WHERE p.pronamespace = 'sdes'::regnamespace AND p.proname IN ('to_text', 'to_varchar', 'to_bpchar', 'reveal')
),
-- Functions and operators of users that could open an argument.
taker (classid, objid) AS (
    SELECT 'pg_proc'::regclass, p.oid FROM pg_proc p
    WHERE p.oid >= 16384 AND ('pg_proc'::regclass, p.oid) NOT IN (SELECT * FROM ours)
      AND EXISTS (SELECT FROM unnest(p.proargtypes) AS a (oid) JOIN pg_type t USING (oid)
                  WHERE a.oid IN (SELECT type FROM encrypted) OR t.typtype = 'p')
    UNION ALL
    SELECT 'pg_operator'::regclass, o.oid FROM pg_operator o
    WHERE o.oid >= 16384 AND ('pg_operator'::regclass, o.oid) NOT IN (SELECT * FROM ours)
      AND (o.oprleft IN (SELECT type FROM encrypted) OR o.oprright IN (SELECT type FROM encrypted))
    UNION ALL SELECT * FROM opener
),

-- Settings, as the server has them, and as sessions get them by ALTER ROLE and ALTER
-- DATABASE. While the server log is redacted, those that write to it do no harm.
bad_setting (name, pattern, logs, leak, good, detail) AS (VALUES
    ('sdes.redact', '^(off|false|no|f|n|0)$', false, 'redaction', 'on',
     'literals of statements get into the server log and pg_stat_activity'),
    ('log_statement', '^(ddl|mod|all)$', true, 'statement log', 'none',
     'statements get into the server log with their literals and parameters'),
    ('log_min_duration_statement', '^[0-9]', true, 'statement log', '-1',
     'statements get into the server log with their literals and parameters'),
    ('log_min_duration_sample', '^[0-9]', true, 'statement log', '-1',
     'statements get into the server log with their literals and parameters'),
    ('log_transaction_sample_rate', '[1-9]', true, 'statement log', '0',
     'statements get into the server log with their literals and parameters'),
    ('log_parameter_max_length_on_error', '^(-1|[1-9])', true, 'statement log', '0',
     'parameters of statements that fail get into the server log'),
    ('debug_print_parse', '^(on|true|yes|t|y|1)$', true, 'statement log', 'off',
     'statements get into the server log as trees, with literals of plain types'),
    ('debug_print_rewritten', '^(on|true|yes|t|y|1)$', true, 'statement log', 'off',
     'statements get into the server log as trees, with literals of plain types'),
    ('debug_print_plan', '^(on|true|yes|t|y|1)$', true, 'statement log', 'off',
     'plans get into the server log, with literals of plain types'),
    ('auto_explain.log_min_duration', '^[0-9]', true, 'statement log', '-1',
     'statements and plans get into the server log with their literals'),
    ('pg_stat_statements.track_utility', '^(on|true|yes|t|y|1)$', true, 'statement statistics', 'off',
     'pg_stat_statements keeps utility statements with their literals, on the disk as well')
),
setting (name, value, object, remedy) AS (
    SELECT name, reset_val, name, format('ALTER SYSTEM SET %s = %%L; SELECT pg_reload_conf()', name) FROM pg_settings
    WHERE source NOT IN ('database', 'user', 'database user', 'client')
    UNION ALL
    SELECT name, substr(line, strpos(line, '=') + 1), name || ' of' || place, format('ALTER%s RESET %s', place, name)
    FROM pg_db_role_setting s
    LEFT JOIN pg_roles r ON r.oid = s.setrole
    LEFT JOIN pg_database d ON d.oid = s.setdatabase,
    unnest(s.setconfig) AS line, split_part(line, '=', 1) AS name,
    concat(CASE WHEN s.setrole <> 0 THEN format(' ROLE %I', r.rolname) WHEN s.setdatabase = 0 THEN ' ROLE ALL' END,
           CASE WHEN s.setdatabase <> 0 THEN format(CASE WHEN s.setrole <> 0 THEN ' IN' ELSE '' END || ' DATABASE %I', d.datname) END) AS place
    WHERE s.setdatabase = 0 OR d.datname = current_database()
),
setting_leak AS (
    SELECT 'high', leak, object, detail, CASE WHEN object = name THEN format(remedy, good) ELSE remedy END
    FROM bad_setting JOIN setting USING (name)
    WHERE value ~* pattern AND NOT (logs AND coalesce((SELECT value FROM setting WHERE object = 'sdes.redact'), 'on') = 'on')
),
-- The module that is loaded last sees a statement first, as it was sent.
loaded (name, n) AS (
    SELECT regexp_replace(trim(BOTH '" ' FROM l), '^.*/', ''), n
    FROM unnest(string_to_array(current_setting('shared_preload_libraries'), ',')) WITH ORDINALITY AS u (l, n)
),
preload_leak AS (
    SELECT CASE WHEN keeps THEN 'medium' ELSE 'low' END, 'preload order', name,
           CASE WHEN keeps THEN 'it sees statements before sdes does, and keeps utility statements with their literals'
                ELSE 'it sees statements before sdes does, with their literals' END,
           'Name sdes last in shared_preload_libraries and restart the server.'
    FROM loaded, LATERAL (SELECT name = 'pg_stat_statements'
                                 AND coalesce(current_setting('pg_stat_statements.track_utility', true), 'off') = 'on') AS k (keeps)
    WHERE n > (SELECT max(n) FROM loaded WHERE name = 'sdes')
),

-- What is computed of a row and stored. The casts are not immutable: it takes a function
-- that says so falsely. Statistics cannot be filled, since ANALYZE opens nothing.
stored (severity, leak, classid, objid, objsubid, relation, object, detail, remedy) AS (
    SELECT 'high', 'index', 'pg_class'::regclass, indexrelid, 0, indrelid, indexrelid::regclass::text,
           'it holds what a function makes of encrypted values', format('DROP INDEX %s', indexrelid::regclass)
    FROM pg_index WHERE indexprs IS NOT NULL OR indpred IS NOT NULL
    UNION ALL
    SELECT 'high', 'generated column', d.classid, d.objid, d.objsubid, a.attrelid, format('%s.%I', a.attrelid::regclass, a.attname),
           'it holds what a function makes of encrypted values', format('ALTER TABLE %s DROP COLUMN %I', a.attrelid::regclass, a.attname)
    FROM pg_attribute a JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum,
         LATERAL (VALUES ('pg_attrdef'::regclass, f.oid, 0), ('pg_class'::regclass, a.attrelid, a.attnum)) AS d (classid, objid, objsubid)
    WHERE a.attgenerated <> '' AND NOT a.attisdropped
    UNION ALL
    SELECT 'high', 'partition key', 'pg_class'::regclass, partrelid, 0, partrelid, partrelid::regclass::text,
           'bounds of its partitions hold what a function makes of encrypted values, and each row''s partition tells it',
           'Make the table anew, partitioned by HASH or LIST of the encrypted column itself.'
    FROM pg_partitioned_table WHERE partexprs IS NOT NULL
    UNION ALL
    SELECT 'low', 'statistics', 'pg_statistic_ext'::regclass, oid, 0, stxrelid, format('%I.%I', stxnamespace::regnamespace::text, stxname),
           'they would hold what is opened; ANALYZE of the table fails instead', format('DROP STATISTICS %I.%I', stxnamespace::regnamespace::text, stxname)
    FROM pg_statistic_ext WHERE stxexprs IS NOT NULL
),
stored_leak AS (
    SELECT DISTINCT s.severity, s.leak, s.object, s.detail, s.remedy FROM stored s
    JOIN pg_depend d ON d.classid = s.classid AND d.objid = s.objid AND d.objsubid = s.objsubid
    JOIN taker t ON t.classid = d.refclassid AND t.objid = d.refobjid
    WHERE s.relation IN (SELECT relation FROM encrypted_column)
),
-- Views whose queries open values, also by way of other views.
opening_view (relation) AS (
    SELECT r.ev_class FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
    JOIN opener o ON o.classid = d.refclassid AND o.objid = d.refobjid WHERE r.rulename = '_RETURN'
    UNION
    SELECT r.ev_class FROM opening_view v JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = v.relation
    JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND r.rulename = '_RETURN'
),
view_leak AS (
    SELECT 'low', 'materialized view', oid::regclass::text, 'its query opens values; REFRESH fails rather than store them',
           format('DROP MATERIALIZED VIEW %s', oid::regclass)
    FROM pg_class WHERE relkind = 'm' AND oid IN (SELECT relation FROM opening_view)
    UNION ALL
    SELECT DISTINCT 'low', 'rule', format('%I on %s', r.rulename, r.ev_class::regclass), 'it opens values; what it stores of them is plaintext',
           format('DROP RULE %I ON %s', r.rulename, r.ev_class::regclass)
    FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
    JOIN opener o ON o.classid = d.refclassid AND o.objid = d.refobjid WHERE r.rulename <> '_RETURN'
),
-- A literal that is compared with an encrypted column, or stored in it, is sealed as it is
-- read. One that is text by itself, or is compared with opened text, stays as it is.
kept (classid, objid, object, tree) AS MATERIALIZED (
    SELECT 'pg_rewrite'::regclass, oid, CASE rulename WHEN '_RETURN' THEN 'view' ELSE format('rule %I on', rulename) END || ' ' || ev_class::regclass, ev_action
    FROM pg_rewrite
    UNION ALL SELECT 'pg_attrdef'::regclass, d.oid, format('default of %s.%I', adrelid::regclass, attname), adbin
    FROM pg_attrdef d JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
    UNION ALL SELECT 'pg_constraint'::regclass, oid,
        format('constraint %I of %s', conname, CASE contypid WHEN 0 THEN conrelid::regclass::text ELSE contypid::regtype::text END), conbin
    FROM pg_constraint
    UNION ALL SELECT 'pg_policy'::regclass, oid, format('policy %I on %s', polname, polrelid::regclass), t
    FROM pg_policy, LATERAL (VALUES (polqual), (polwithcheck)) AS v (t)
    UNION ALL SELECT 'pg_trigger'::regclass, oid, format('trigger %I on %s', tgname, tgrelid::regclass), tgqual FROM pg_trigger
    UNION ALL SELECT 'pg_class'::regclass, indexrelid, format('index %s', indexrelid::regclass), t
    FROM pg_index, LATERAL (VALUES (indexprs), (indpred)) AS v (t)
    UNION ALL SELECT 'pg_proc'::regclass, oid, format('function %s', oid::regprocedure), t
    FROM pg_proc, LATERAL (VALUES (prosqlbody), (proargdefaults)) AS v (t)
    UNION ALL SELECT 'pg_type'::regclass, oid, format('domain %s', oid::regtype), typdefaultbin FROM pg_type
),
about_ours AS MATERIALIZED (
    SELECT object, tree FROM kept JOIN ours_in USING (classid, objid) WHERE tree IS NOT NULL
),
constant_leak AS (
    SELECT DISTINCT 'low', 'constant', object, 'it keeps a constant of plain text that is compared with, or stored as, encrypted values',
           'Write the literal without a cast and compare it with the column itself: then it is kept as ciphertext.'
    FROM about_ours WHERE sdes.keeps_plain_text(tree)
),
-- Functions by their text: one that casts to text and stores rows may do both to a value.
body (oid, source) AS (
    SELECT p.oid, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
    WHERE l.lanname NOT IN ('c', 'internal') AND p.oid >= 16384 AND ('pg_proc'::regclass, p.oid) NOT IN (SELECT * FROM ours)
),
storing (oid, source) AS (
    SELECT oid, source FROM body
    WHERE source ~* '(::|\mcast\s*\(.*\mas)\s*(pg_catalog\.)?(text|varchar|character|char|bpchar)\M'
      AND source ~* ('\m(insert\s+into|update\s+\S+\s+(as\s+\S+\s+)?set|merge\s+into|create\s+(\w+\s+)?table|copy)\M'
                       '|(^|;|\mbegin|\mthen|\melse)\s*new\.\S+\s*:?=')
),
word (oid, word) AS (
    SELECT DISTINCT oid, w FROM storing, regexp_split_to_table(lower(source), '[^[:alnum:]_$]+') AS w
),
-- Which of them name an encrypted column and its table.
naming (oid) AS MATERIALIZED (
    SELECT t.oid FROM encrypted_column e JOIN pg_class c ON c.oid = e.relation
    JOIN word t ON t.word = lower(c.relname) JOIN word n ON n.oid = t.oid AND n.word = lower(e.name)
),
function_leak AS (
    SELECT 'low', 'trigger', format('%I on %s', t.tgname, t.tgrelid::regclass),
           format('a hint: %s casts to text, and stores rows', s.oid::regprocedure),
           'See that what it stores of an encrypted column goes into one, without a cast.'
    FROM pg_trigger t JOIN storing s ON s.oid = t.tgfoid
    WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgrelid IN (SELECT relation FROM encrypted_column)
    UNION ALL
    SELECT 'low', 'function', s.oid::regprocedure::text, 'a hint: it names an encrypted column, casts to text, and stores rows',
           'See that what it stores of an encrypted column goes into one, without a cast.'
    FROM storing s JOIN pg_proc p USING (oid)
    WHERE p.prorettype <> 'trigger'::regtype AND oid IN (SELECT oid FROM naming)
    UNION ALL
    SELECT 'medium', 'ciphertext input', oid::regprocedure::text,
           'it names sdes.accept_ciphertext: who holds stolen ciphertext could have it stored where it is read as plaintext',
           'Set sdes.accept_ciphertext in the session that copies ciphertext, and in no function.'
    FROM body WHERE source ~* 'sdes\.accept_ciphertext'
),
publication_leak AS (
    SELECT CASE WHEN p.puballtables THEN 'medium' ELSE 'low' END, 'publication', quote_ident(p.pubname),
           'its subscribers get rows of sdes: who was granted what, wrapped keys',
           CASE WHEN p.puballtables THEN format('DROP PUBLICATION %I; then make it anew FOR TABLE ..., without those of sdes', p.pubname)
                ELSE format('ALTER PUBLICATION %I DROP TABLE %s; or, of a schema, DROP TABLES IN SCHEMA sdes', p.pubname,
                            string_agg('sdes.' || quote_ident(t.tablename), ', ')) END
    FROM pg_publication p JOIN pg_publication_tables t USING (pubname) WHERE t.schemaname = 'sdes'
    GROUP BY p.pubname, p.puballtables
),
foreign_leak AS (
    SELECT 'low', 'foreign table', f.ftrelid::regclass::text,
           format('server %I may hold, and send, the values of its encrypted columns as plaintext', s.srvname),
           format('Keep them encrypted there as well, and say so: ALTER SERVER %I OPTIONS (ADD options ''-c sdes.accept_ciphertext=on''); or DROP FOREIGN TABLE %s',
                  s.srvname, f.ftrelid::regclass)
    FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver
    WHERE f.ftrelid IN (SELECT relation FROM encrypted_column)
      AND NOT EXISTS (SELECT FROM unnest(s.srvoptions) AS o WHERE o ~ 'sdes\.accept_ciphertext')
),
audit_leak AS (
    SELECT 'low', 'audit', format('bucket %I', name), 'values are opened before their record is on the disk: a crash loses those of about a second',
           format('SELECT sdes.set_audit(%L, ''strict'')', name)
    FROM sdes.bucket WHERE audit_async
    UNION ALL
    SELECT 'low', 'audit', 'sdes.audit_mirror', 'the audit journal is on this host only: who may delete files here may delete it',
           'Set sdes.audit_mirror to a folder on another host or disk.'
    WHERE current_setting('sdes.audit_mirror', true) = ''
),
connection_leak AS (
    SELECT 'medium', 'connection', format('%I from %s', a.usename, host(a.client_addr)),
           format('%s session(s) of this database by TCP without TLS: results can be read on the way', count(*)),
           'Have only hostssl or hostgssenc lines in pg_hba.conf for other hosts, reload it, and end the session.'
    FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) LEFT JOIN pg_stat_gssapi g USING (pid)
    WHERE a.datname = current_database() AND a.client_addr IS NOT NULL AND NOT s.ssl AND g.encrypted IS NOT TRUE
      AND NOT a.client_addr <<= '127.0.0.0/8' AND a.client_addr <> '::1'
    GROUP BY a.usename, a.client_addr
),
folder_leak AS (
    SELECT 'low', 'data directory', current_setting('data_directory'), 'its group may read it: what is plain in this server, and logs in it',
           format('Stop the server, chmod -R go= %s, and start it.', current_setting('data_directory'))
    WHERE current_setting('data_directory_mode') <> '0700'
)
SELECT * FROM setting_leak
UNION ALL SELECT * FROM preload_leak
UNION ALL SELECT * FROM stored_leak
UNION ALL SELECT * FROM view_leak
UNION ALL SELECT * FROM constant_leak
UNION ALL SELECT * FROM function_leak
UNION ALL SELECT * FROM publication_leak
UNION ALL SELECT * FROM foreign_leak
UNION ALL SELECT * FROM audit_leak
UNION ALL SELECT * FROM connection_leak
UNION ALL SELECT * FROM folder_leak
UNION ALL SELECT * FROM sdes.server_leaks()
$$;
COMMENT ON FUNCTION sdes.leak_check() IS
    'what on this server still lets plaintext out: settings, objects of this database, and sessions; each with how to end it';
REVOKE EXECUTE ON FUNCTION sdes.leak_check() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.leak_check() TO sdes_admin, sdes_officer, sdes_auditor;

-- Exchange with other sites, and backups of keys: docs/exchange.md.

CREATE FUNCTION sdes.site_certificate() RETURNS text
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_site_certificate';
COMMENT ON FUNCTION sdes.site_certificate() IS
    'the certificate of this site, whose keys in the HSM are made at the first call';
REVOKE EXECUTE ON FUNCTION sdes.site_certificate() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.site_certificate() TO sdes_admin;

CREATE FUNCTION sdes.trust_site(certificate text, fingerprint text) RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_trust_site';
COMMENT ON FUNCTION sdes.trust_site(text, text) IS
    'trusts a site, whose certificate''s fingerprint was compared by another way; returns its name';
REVOKE EXECUTE ON FUNCTION sdes.trust_site(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.trust_site(text, text) TO sdes_officer;

CREATE FUNCTION sdes.distrust_site(name text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_distrust_site';
COMMENT ON FUNCTION sdes.distrust_site(text) IS 'ends trust in a site: no keys go there or come from it any more';
REVOKE EXECUTE ON FUNCTION sdes.distrust_site(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.distrust_site(text) TO sdes_officer;

CREATE FUNCTION sdes.export_keys(bucket text, recipient text) RETURNS bytea
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_export_keys';
COMMENT ON FUNCTION sdes.export_keys(text, text) IS
    'a parcel with the keys of a bucket, encrypted for a trusted site and signed by this one';
REVOKE EXECUTE ON FUNCTION sdes.export_keys(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.export_keys(text, text) TO sdes_admin;

CREATE FUNCTION sdes.import_keys(parcel bytea, kek text DEFAULT 'aes-256') RETURNS text
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_import_keys';
COMMENT ON FUNCTION sdes.import_keys(bytea, text) IS
    'takes in the keys that a trusted site exported for this one, under a key encryption key of this site; returns the name of their bucket';
REVOKE EXECUTE ON FUNCTION sdes.import_keys(bytea, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.import_keys(bytea, text) TO sdes_admin;

CREATE FUNCTION sdes.backup_keys(certificates text[], threshold integer) RETURNS bytea
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_backup_keys';
COMMENT ON FUNCTION sdes.backup_keys(text[], integer) IS
    'a sealed backup of all keys of this database, which as many officers as threshold says open together';
REVOKE EXECUTE ON FUNCTION sdes.backup_keys(text[], integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.backup_keys(text[], integer) TO sdes_officer;

CREATE FUNCTION sdes.backup_shares(backup bytea, OUT number integer, OUT officer text, OUT fingerprint text,
                                   OUT share bytea)
    RETURNS SETOF record
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE ROWS 5 AS 'MODULE_PATHNAME', 'sdes_backup_shares';
COMMENT ON FUNCTION sdes.backup_shares(bytea) IS
    'the shares in a backup, each encrypted to its officer, who decrypts it with openssl';
REVOKE EXECUTE ON FUNCTION sdes.backup_shares(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.backup_shares(bytea) TO sdes_admin, sdes_officer;

CREATE FUNCTION sdes.restore_keys(backup bytea, shares text[]) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_restore_keys';
COMMENT ON FUNCTION sdes.restore_keys(bytea, text[]) IS
    'brings the keys of a backup back under new key encryption keys in the HSM, by the shares that officers decrypted; returns how many';
REVOKE EXECUTE ON FUNCTION sdes.restore_keys(bytea, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.restore_keys(bytea, text[]) TO sdes_admin;

CREATE FUNCTION sdes.adopt_keys() RETURNS void
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_adopt_keys';
COMMENT ON FUNCTION sdes.adopt_keys() IS
    'makes this copy of a database the owner of its keys: it gets new ones to seal under, and may destroy the old ones';
REVOKE EXECUTE ON FUNCTION sdes.adopt_keys() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.adopt_keys() TO sdes_admin;

-- ---------------------------------------------------------------------------
-- The audit: its table, and alerts. docs/audit.md
-- ---------------------------------------------------------------------------

CREATE FUNCTION sdes.verify_audit_log("from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL,
    OUT journal uuid, OUT sequence bigint, OUT "time" timestamptz, OUT wrong text)
    RETURNS SETOF record
    LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'sdes_verify_audit_log';
COMMENT ON FUNCTION sdes.verify_audit_log(timestamptz, timestamptz) IS
    'the rows of sdes.audit_log that are not what the journals say: edited, missing or made up; none when all is well';
REVOKE EXECUTE ON FUNCTION sdes.verify_audit_log(timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.verify_audit_log(timestamptz, timestamptz) TO sdes_auditor;

CREATE FUNCTION sdes.is_within("time" timestamptz, settings jsonb) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT settings->'days' @> to_jsonb(extract(isodow FROM "time" AT TIME ZONE (settings->>'time_zone'))::integer)
       AND ("time" AT TIME ZONE (settings->>'time_zone'))::time >= (settings->>'from')::time
       AND ("time" AT TIME ZONE (settings->>'time_zone'))::time < (settings->>'to')::time
$$;
COMMENT ON FUNCTION sdes.is_within(timestamptz, jsonb) IS 'whether a time is within the hours of a rule';

CREATE FUNCTION sdes.is_from(address text, settings jsonb) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM jsonb_array_elements_text(settings->'networks') AS n (network)
                   WHERE CASE WHEN network = 'local' OR address !~ '^[0-9a-fA-F.:]+(%.*)?$' THEN network = address
                              ELSE split_part(address, '%', 1)::inet <<= network::cidr END)
$$;
COMMENT ON FUNCTION sdes.is_from(text, jsonb) IS 'whether an address is of the networks of a rule';
REVOKE EXECUTE ON FUNCTION sdes.is_within(timestamptz, jsonb), sdes.is_from(text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.is_within(timestamptz, jsonb), sdes.is_from(text, jsonb) TO sdes_auditor, sdes_officer;

CREATE FUNCTION sdes.note_alert_rule(operation text, object text) RETURNS void
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_note_alert_rule';
COMMENT ON FUNCTION sdes.note_alert_rule(text, text) IS 'records in the audit journal what was done to a rule';
REVOKE EXECUTE ON FUNCTION sdes.note_alert_rule(text, text) FROM PUBLIC;

CREATE FUNCTION sdes.set_alert(name text, kind text, settings jsonb DEFAULT '{}', bucket text DEFAULT NULL,
                               role text DEFAULT NULL, enabled boolean DEFAULT true) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    defaults CONSTANT jsonb := jsonb_build_object(
        'rate', '{"factor": 10, "at_least": 1000, "days": 30}'::jsonb,
        'hours', jsonb_build_object('from', '07:00', 'to', '20:00', 'days', '[1, 2, 3, 4, 5]'::jsonb,
                                    'time_zone', current_setting('TimeZone')),
        'network', '{"networks": ["local", "127.0.0.0/8", "::1/128"]}'::jsonb,
        'denied', '{"count": 10}'::jsonb);
    unknown text;
    made jsonb;
BEGIN
    IF name IS NULL OR kind IS NULL OR settings IS NULL OR enabled IS NULL THEN
        RAISE EXCEPTION 'an alert has a name, a kind and settings' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    IF name = '' OR octet_length(name) > 63 THEN
        RAISE EXCEPTION 'the name of an alert has 1 to 63 bytes' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT defaults ? kind THEN
        RAISE EXCEPTION 'unrecognized kind of alert "%"', kind USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Kinds are rate, hours, network and denied.';
    END IF;
    IF jsonb_typeof(settings) <> 'object' THEN
        RAISE EXCEPTION 'settings are a JSON object' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT k INTO unknown FROM jsonb_object_keys(settings) AS k WHERE NOT defaults->kind ? k LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'an alert of kind "%" has no setting "%"', kind, unknown USING ERRCODE = 'invalid_parameter_value',
            HINT = format('Settings, and what they are if not given: %s', defaults->kind);
    END IF;
    IF bucket IS NOT NULL AND NOT EXISTS (SELECT FROM sdes.bucket b WHERE b.name = set_alert.bucket AND NOT b.system) THEN
        RAISE EXCEPTION 'bucket "%" does not exist', bucket USING ERRCODE = 'undefined_object';
    END IF;
    made := defaults->kind || settings;
    -- What cannot be applied is not stored: it, and others of its kind, would raise nothing.
    BEGIN
        CASE kind
            WHEN 'rate' THEN
                IF NOT (made->>'factor')::numeric BETWEEN 0.001 AND 1000000 OR (made->>'at_least')::bigint < 1
                   OR (made->>'days')::integer NOT BETWEEN 1 AND 3650 THEN
                    RAISE invalid_parameter_value;
                END IF;
            WHEN 'denied' THEN
                IF (made->>'count')::bigint < 1 THEN
                    RAISE invalid_parameter_value;
                END IF;
            WHEN 'hours' THEN
                PERFORM sdes.is_within(now(), made);
                -- Abbreviations are others in other sessions.
                PERFORM FROM pg_timezone_names AS z WHERE z.name = made->>'time_zone';
                IF NOT FOUND THEN
                    RAISE invalid_parameter_value;
                END IF;
                IF jsonb_typeof(made->'days') <> 'array' OR NOT '[1, 2, 3, 4, 5, 6, 7]'::jsonb @> (made->'days')
                   OR (made->>'from')::time IS NULL OR (made->>'to')::time IS NULL OR (made->>'time_zone') IS NULL
                   OR (made->>'from')::time >= (made->>'to')::time THEN
                    RAISE invalid_parameter_value;
                END IF;
            WHEN 'network' THEN
                IF jsonb_typeof(made->'networks') <> 'array' THEN
                    RAISE invalid_parameter_value;
                END IF;
                PERFORM network::cidr FROM jsonb_array_elements_text(made->'networks') AS n (network) WHERE network <> 'local';
                PERFORM sdes.is_from('192.0.2.1', made);
        END CASE;
        IF (SELECT bool_or(value = 'null') FROM jsonb_each(made)) THEN
            RAISE invalid_parameter_value;
        END IF;
    EXCEPTION WHEN data_exception THEN
        RAISE EXCEPTION 'settings of an alert of kind "%" are not valid', kind USING ERRCODE = 'invalid_parameter_value',
            HINT = format('For example: %s', defaults->kind);
    END;
    INSERT INTO sdes.alert_rule AS r
        VALUES (name, kind, made, bucket, role, enabled, now(), session_user)
        ON CONFLICT ON CONSTRAINT alert_rule_pkey DO UPDATE
        SET kind = excluded.kind, settings = excluded.settings, bucket = excluded.bucket, role = excluded.role,
            enabled = excluded.enabled, set_at = excluded.set_at, set_by = excluded.set_by;
    PERFORM sdes.note_alert_rule('set alert', format('%s, %s, %s%s', name, kind, made, CASE WHEN enabled THEN '' ELSE ', not enabled' END));
END
$$;
COMMENT ON FUNCTION sdes.set_alert(text, text, jsonb, text, text, boolean) IS
    'sets a rule that raises alerts: kind rate, hours, network or denied; of one bucket or role only, if given';
REVOKE EXECUTE ON FUNCTION sdes.set_alert(text, text, jsonb, text, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.set_alert(text, text, jsonb, text, text, boolean) TO sdes_officer;

CREATE FUNCTION sdes.add_honey(value sdes.enc_text, label text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_add_honey';
CREATE FUNCTION sdes.add_honey(value sdes.enc_pan, label text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_add_honey';
CREATE FUNCTION sdes.drop_honey(label text) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'sdes_drop_honey';
COMMENT ON FUNCTION sdes.add_honey(sdes.enc_text, text) IS 'from now on it raises an alert when this stored value is opened; the value is not opened here';
COMMENT ON FUNCTION sdes.add_honey(sdes.enc_pan, text) IS 'from now on it raises an alert when this stored value is opened; the value is not opened here';
COMMENT ON FUNCTION sdes.drop_honey(text) IS 'ends that for the values of a label';
REVOKE EXECUTE ON FUNCTION sdes.add_honey(sdes.enc_text, text), sdes.add_honey(sdes.enc_pan, text), sdes.drop_honey(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.add_honey(sdes.enc_text, text), sdes.add_honey(sdes.enc_pan, text), sdes.drop_honey(text) TO sdes_officer;

CREATE FUNCTION sdes.drop_alert(name text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM sdes.alert_rule r WHERE r.name = drop_alert.name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no rule "%" was set', name USING ERRCODE = 'undefined_object',
            HINT = 'Rules that are there from the beginning can be set with enabled => false.';
    END IF;
    PERFORM sdes.note_alert_rule('drop alert', name);
END
$$;
COMMENT ON FUNCTION sdes.drop_alert(text) IS 'removes a rule; one that is there from the beginning is then as it was';
REVOKE EXECUTE ON FUNCTION sdes.drop_alert(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sdes.drop_alert(text) TO sdes_officer;

-- ---------------------------------------------------------------------------
-- Views
-- ---------------------------------------------------------------------------

CREATE VIEW sdes.buckets AS
    SELECT b.name,
           b.uuid,
           k.kind AS kek,
           k.token_label AS token,
           d.version AS key_version,
           d.mode,
           CASE WHEN b.audit_async THEN 'async' ELSE 'strict' END AS audit,
           b.created_at,
           b.created_by
    FROM sdes.bucket b
    LEFT JOIN sdes.dek d ON d.bucket OPERATOR(pg_catalog.=) b.uuid
        AND d.state OPERATOR(pg_catalog.=) 'active' AND d.purpose OPERATOR(pg_catalog.=) 'data'
    LEFT JOIN sdes.kek k ON k.id OPERATOR(pg_catalog.=) d.kek
    WHERE NOT b.system;
COMMENT ON VIEW sdes.buckets IS 'the buckets of this database';
GRANT SELECT ON sdes.buckets TO PUBLIC;

CREATE VIEW sdes.keys AS
    SELECT b.name AS bucket,
           d.purpose,
           d.version,
           d.state,
           d.mode,
           pg_catalog.encode(d.key_id, 'hex') AS key_id,
           'AES-256'::text AS algorithm,
           pg_catalog.encode(d.kek, 'hex') AS kek_id,
           k.kind AS kek_kind,
           k.mechanism AS wrapped_by,
           k.token_label AS token,
           u.messages,
           d.created_at,
           d.created_by,
           d.decrypt_only_at,
           d.emptied_at,
           d.retired_at,
           d.destroyed_at,
           d.reason
    FROM sdes.dek d
    JOIN sdes.bucket b ON b.uuid OPERATOR(pg_catalog.=) d.bucket
    JOIN sdes.kek k ON k.id OPERATOR(pg_catalog.=) d.kek
    LEFT JOIN sdes.usage u ON u.key_id OPERATOR(pg_catalog.=) d.key_id;
COMMENT ON COLUMN sdes.keys.messages IS 'how many values it may have sealed, an upper bound';
COMMENT ON VIEW sdes.keys IS 'the data encryption keys of this database, without key material';
GRANT SELECT ON sdes.keys TO PUBLIC;

CREATE VIEW sdes.rotation_progress AS
    SELECT b.name AS bucket,
           k.from_version,
           k.to_version,
           CASE WHEN r.relation OPERATOR(pg_catalog.<>) 0 THEN r.relation::regclass END AS relation,
           CASE WHEN b.rotation_paused AND r.phase OPERATOR(pg_catalog.<>) 'done' THEN 'paused' ELSE r.phase END AS phase,
           r.pass,
           r.rows_done,
           s.rows_left,
           r.bytes_done,
           s.bytes_left,
           s.rows_per_second,
           CASE WHEN s.rows_left OPERATOR(pg_catalog.=) 0 THEN interval '0'
                WHEN s.rows_per_second OPERATOR(pg_catalog.>) 0
                    THEN pg_catalog.make_interval(secs => pg_catalog.round((s.rows_left OPERATOR(pg_catalog./) s.rows_per_second)::numeric)::double precision)
           END AS eta,
           r.skipped AS rows_skipped,
           r.retries,
           r.error AS last_error,
           r.updated_at
    FROM sdes.rotation r
    JOIN sdes.bucket b ON b.uuid OPERATOR(pg_catalog.=) ANY (r.buckets)
    CROSS JOIN LATERAL (
        SELECT pg_catalog.min(d.version) FILTER (WHERE d.state OPERATOR(pg_catalog.<>) 'active' AND d.emptied_at IS NULL
                                                       AND NOT d.pinned) AS from_version,
               pg_catalog.max(d.version) FILTER (WHERE d.state OPERATOR(pg_catalog.=) 'active') AS to_version
        FROM sdes.dek d
        WHERE d.bucket OPERATOR(pg_catalog.=) b.uuid AND d.purpose OPERATOR(pg_catalog.=) ANY ('{data,literal}'::text[])
    ) k
    LEFT JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) r.relation
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.phase OPERATOR(pg_catalog.=) 'done' THEN 0
                    ELSE pg_catalog.round(greatest(c.reltuples, 0) OPERATOR(pg_catalog.*)
                         (1 OPERATOR(pg_catalog.-) greatest(r.next_block, 0)::double precision OPERATOR(pg_catalog./) greatest(r.blocks, 1)))::bigint
               END AS rows_left,
               CASE WHEN r.phase OPERATOR(pg_catalog.=) 'done' THEN 0
                    ELSE (r.blocks OPERATOR(pg_catalog.-) greatest(r.next_block, 0))
                         OPERATOR(pg_catalog.*) pg_catalog.current_setting('block_size')::bigint
               END AS bytes_left,
               CASE WHEN r.updated_at OPERATOR(pg_catalog.>) r.started_at
                    THEN pg_catalog.round((r.rows_done OPERATOR(pg_catalog./)
                         EXTRACT(epoch FROM r.updated_at OPERATOR(pg_catalog.-) r.started_at))::numeric)::double precision
               END AS rows_per_second
    ) s;
COMMENT ON VIEW sdes.rotation_progress IS
    'how far the values of each bucket are re-encrypted, by table; eta at the present rate';
GRANT SELECT ON sdes.rotation_progress TO PUBLIC;
-- Every algorithm and key in use (PCI DSS 4.0, 12.3.3): when it was made, how long it
-- may be used, and whether a quantum computer would break it. A key is as good as
-- what wraps it.
CREATE VIEW sdes.crypto_inventory AS
    SELECT 'key encryption key'::text AS what,
           b.name AS bucket,
           pg_catalog.encode(k.id, 'hex') AS id,
           pg_catalog.upper(pg_catalog.split_part(k.kind, '-', 1)) AS algorithm,
           pg_catalog.split_part(k.kind, '-', 2)::integer AS bits,
           k.mechanism,
           k.created_at,
           pg_catalog.now() OPERATOR(pg_catalog.-) k.created_at AS age,
           k.state,
           NULL::timestamptz AS expires_at,
           k.kind OPERATOR(pg_catalog.=) 'aes-256' AS quantum_safe,
           pg_catalog.format('HSM token %s, serial %s', k.token_label, k.token_serial) AS location
    FROM sdes.kek k
    LEFT JOIN sdes.bucket b ON b.uuid OPERATOR(pg_catalog.=) k.bucket
    WHERE k.state OPERATOR(pg_catalog.<>) 'destroyed'
    UNION ALL
    SELECT CASE d.purpose WHEN 'data' THEN 'data encryption key' WHEN 'literal' THEN 'literal key'
                          WHEN 'search' THEN 'search key' ELSE d.purpose OPERATOR(pg_catalog.||) ' key' END,
           b.name,
           pg_catalog.encode(d.key_id, 'hex'),
           CASE WHEN d.purpose OPERATOR(pg_catalog.=) 'search' THEN 'HMAC-SHA-256' ELSE 'AES' END,
           256,
           CASE WHEN d.purpose OPERATOR(pg_catalog.=) 'search' THEN 'search tokens of 128 bits, key by HKDF-SHA-256'
                WHEN d.mode OPERATOR(pg_catalog.=) 'hsm' THEN 'proof of its row; the key encryption key seals values by AES-GCM'
                ELSE 'AES-GCM, 96-bit random nonce, 128-bit tag, key by HKDF-SHA-256' END,
           d.created_at,
           pg_catalog.now() OPERATOR(pg_catalog.-) d.created_at,
           d.state,
           CASE WHEN d.state OPERATOR(pg_catalog.=) 'active' THEN d.created_at OPERATOR(pg_catalog.+) b.rotation_period END,
           k.kind OPERATOR(pg_catalog.=) 'aes-256' AND NOT EXISTS (
               SELECT FROM sdes.dek_copy c JOIN sdes.kek ck ON ck.id OPERATOR(pg_catalog.=) c.kek
               WHERE c.key_id OPERATOR(pg_catalog.=) d.key_id AND ck.kind OPERATOR(pg_catalog.<>) 'aes-256'),
           pg_catalog.format('sdes.dek, wrapped by %s', k.mechanism)
    FROM sdes.dek d
    LEFT JOIN sdes.bucket b ON b.uuid OPERATOR(pg_catalog.=) d.bucket
    LEFT JOIN sdes.kek k ON k.id OPERATOR(pg_catalog.=) d.kek
    WHERE d.state OPERATOR(pg_catalog.<>) 'destroyed'
    UNION ALL
    SELECT k.what, NULL, pg_catalog.encode(k.id, 'hex'), 'RSA', 4096, k.mechanism,
           s.added_at, pg_catalog.now() OPERATOR(pg_catalog.-) s.added_at, 'active', NULL, false, 'HSM token'
    FROM sdes.site s,
         LATERAL (VALUES ('site signing key', s.signing_key, 'RSASSA-PKCS1-v1_5 with SHA-256'),
                         ('site encryption key', s.encryption_key, 'RSAES-OAEP with SHA-256')) AS k (what, id, mechanism)
    WHERE s.own
    UNION ALL
    SELECT 'audit signing key', NULL, k.fingerprint, k.algorithm, k.bits,
           CASE k.algorithm WHEN 'ECDSA' THEN 'ECDSA on P-256 with SHA-256' ELSE 'RSASSA-PKCS1-v1_5 with SHA-256' END,
           NULL, NULL, 'active', NULL, false, 'HSM token'
    FROM sdes.audit_signing_key() AS k
    UNION ALL
    SELECT 'channel to the key agent', NULL, NULL, 'none', 256,
           'Unix socket, unencrypted; peer known by its user and, of the server''s own agent, a secret drawn at each start',
           NULL, NULL, 'active', NULL, true,
           'within this host';
COMMENT ON VIEW sdes.crypto_inventory IS
    'the algorithms and keys in use, their age, when they expire, and whether a quantum computer would break them';
GRANT SELECT ON sdes.crypto_inventory TO PUBLIC;

-- The audit's views. Times of day are those of the session's time zone.

CREATE VIEW sdes.alert_rules AS
    SELECT coalesce(r.name, b.name) AS name, coalesce(r.kind, b.kind) AS kind, coalesce(r.settings, b.settings) AS settings,
           r.bucket, r.role, coalesce(r.enabled, b.enabled) AS enabled, r.set_at, r.set_by
    FROM sdes.alert_rule r
    FULL JOIN (VALUES ('many refusals', 'denied', '{"count": 10}'::jsonb, true),
                      ('unusual rate', 'rate', '{"factor": 10, "at_least": 1000, "days": 30}'::jsonb, true),
                      ('out of hours', 'hours',
                       '{"from": "07:00", "to": "20:00", "days": [1, 2, 3, 4, 5], "time_zone": "UTC"}'::jsonb, false))
        AS b (name, kind, settings, enabled) ON b.name OPERATOR(pg_catalog.=) r.name;
COMMENT ON VIEW sdes.alert_rules IS 'what raises alerts: the rules that were set, and those that are there from the beginning';

CREATE VIEW sdes.alerts AS
    SELECT id, raised_at, rule, kind, role, nullif(bucket, '') AS bucket, detail, address, application, hour, journal, sequence
    FROM sdes.alert;
COMMENT ON VIEW sdes.alerts IS 'alerts that were raised';

CREATE VIEW sdes.audit_by_role AS
    SELECT pg_catalog.date_trunc('day', hour) AS day, role, nullif(bucket, '') AS bucket, operation,
           pg_catalog.sum(uses) AS uses, pg_catalog.sum("values") AS "values", pg_catalog.sum(bytes) AS bytes,
           coalesce(pg_catalog.sum(uses) FILTER (WHERE outcome OPERATOR(pg_catalog.=) 'denied'), 0) AS denied,
           pg_catalog.min(first) AS first, pg_catalog.max(last) AS last
    FROM sdes.audit_hour GROUP BY 1, 2, 3, 4;
COMMENT ON VIEW sdes.audit_by_role IS 'how much each role did, by day';

CREATE VIEW sdes.audit_by_column AS
    SELECT pg_catalog.date_trunc('day', hour) AS day, relation, "column", nullif(bucket, '') AS bucket, role, operation,
           pg_catalog.sum(uses) AS uses, pg_catalog.sum("values") AS "values", pg_catalog.sum(bytes) AS bytes,
           pg_catalog.min(first) AS first, pg_catalog.max(last) AS last
    FROM sdes.audit_hour WHERE relation OPERATOR(pg_catalog.<>) '' GROUP BY 1, 2, 3, 4, 5, 6;
COMMENT ON VIEW sdes.audit_by_column IS 'who used which columns, by day';

CREATE VIEW sdes.audit_by_hour AS
    SELECT hour, nullif(bucket, '') AS bucket, operation, pg_catalog.count(DISTINCT role) AS roles,
           pg_catalog.sum(uses) AS uses, pg_catalog.sum("values") AS "values", pg_catalog.sum(bytes) AS bytes
    FROM sdes.audit_hour GROUP BY 1, 2, 3;
COMMENT ON VIEW sdes.audit_by_hour IS 'how much was done in each hour';

CREATE VIEW sdes.audit_denied AS
    SELECT "time", operation, bucket, authenticated, session_role, role, address, application, relation, "column", reason, journal, sequence
    FROM sdes.audit_log WHERE outcome OPERATOR(pg_catalog.=) 'denied';
COMMENT ON VIEW sdes.audit_denied IS 'what was refused';

CREATE VIEW sdes.audit_first_access AS
    SELECT f.role, f.bucket, f.operation, f.first, l.address, l.application, l.authenticated, l.journal, l.sequence
    FROM (SELECT role, bucket, operation, pg_catalog.min(first) AS first FROM sdes.audit_hour
          WHERE operation OPERATOR(pg_catalog.=) ANY ('{encrypt,decrypt,mask,search,sort}'::text[])
            AND outcome OPERATOR(pg_catalog.<>) 'denied' GROUP BY 1, 2, 3) AS f
    LEFT JOIN LATERAL (SELECT * FROM sdes.audit_log l
                       WHERE l."time" OPERATOR(pg_catalog.=) f.first AND l.role OPERATOR(pg_catalog.=) f.role
                         AND l.bucket OPERATOR(pg_catalog.=) f.bucket AND l.operation OPERATOR(pg_catalog.=) f.operation
                       LIMIT 1) AS l ON true;
COMMENT ON VIEW sdes.audit_first_access IS 'when each role first did what with the values of a bucket, as far back as the audit is kept';

CREATE VIEW sdes.audit_out_of_hours AS
    SELECT r.name AS rule, l."time", l.operation, l.bucket, l."values", l.role, l.authenticated, l.address, l.application,
           l.relation, l."column", l.journal, l.sequence
    FROM sdes.audit_log l
    JOIN sdes.alert_rules r ON r.kind OPERATOR(pg_catalog.=) 'hours'
        AND (r.bucket IS NULL OR r.bucket OPERATOR(pg_catalog.=) l.bucket)
        AND (r.role IS NULL OR r.role OPERATOR(pg_catalog.=) l.role)
    WHERE l.operation OPERATOR(pg_catalog.=) ANY ('{decrypt,mask,sort}'::text[])
      AND l.outcome OPERATOR(pg_catalog.<>) 'denied' AND NOT sdes.is_within(l."time", r.settings);
COMMENT ON VIEW sdes.audit_out_of_hours IS 'who saw values outside of the hours of a rule, whether it raises alerts or not';

CREATE VIEW sdes.audit_top_volume AS
    SELECT day, pg_catalog.rank() OVER (PARTITION BY day ORDER BY "values" DESC) AS rank, role, bucket, "values", bytes, uses
    FROM (SELECT pg_catalog.date_trunc('day', hour) AS day, role, bucket, pg_catalog.sum("values") AS "values",
                 pg_catalog.sum(bytes) AS bytes, pg_catalog.sum(uses) AS uses
          FROM sdes.audit_hour
          WHERE operation OPERATOR(pg_catalog.=) ANY ('{decrypt,mask,sort}'::text[]) AND bucket OPERATOR(pg_catalog.<>) ''
          GROUP BY 1, 2, 3) AS s;
COMMENT ON VIEW sdes.audit_top_volume IS 'who saw the most values, by day';

GRANT SELECT ON sdes.audit_by_role, sdes.audit_by_column, sdes.audit_by_hour, sdes.audit_denied, sdes.audit_first_access,
    sdes.audit_out_of_hours, sdes.audit_top_volume, sdes.alerts, sdes.alert_rules TO sdes_auditor;
GRANT SELECT ON sdes.alerts, sdes.alert_rules TO sdes_officer;
