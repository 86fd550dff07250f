/*
 * store.c
 *		Where the sdes.* tables are, and what their columns say in C.
 *
 * Everything is looked up by name in the schema "sdes", never by search_path.
 */
#include "postgres.h"

#include "store/store.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "crypto/mac.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "sdes_errors.h"
#include "store/tables.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

static const char *const table_names[SDES_NTABLES] = {
    [SDES_TABLE_BUCKET] = "bucket",     [SDES_TABLE_KEK] = "kek",
    [SDES_TABLE_DEK] = "dek",           [SDES_TABLE_ACCESS] = "access",
    [SDES_TABLE_COPY] = "dek_copy",     [SDES_TABLE_USAGE] = "usage",
    [SDES_TABLE_SITE] = "site",         [SDES_TABLE_EXPORTED] = "exported",
    [SDES_TABLE_IMPORTED] = "imported", [SDES_TABLE_INSTANCE] = "instance",
    [SDES_TABLE_HONEY] = "honey",
};

static const char *const type_names[SDES_NTYPES] = {
    [SDES_ENC_TEXT] = "enc_text",
    [SDES_ENC_PAN] = "enc_pan",
};

static const char *const purpose_names[] = {
    [SDES_PURPOSE_DATA] = "data",
    [SDES_PURPOSE_LITERAL] = "literal",
    [SDES_PURPOSE_SEARCH] = "search",
    [SDES_PURPOSE_AUDIT] = "audit",
};

static const char *const mode_names[] = {
    [SDES_MODE_CACHED] = "cached",
    [SDES_MODE_HSM] = "hsm",
};

static const char *const state_names[] = {
    [SDES_KEY_ACTIVE] = "active",     [SDES_KEY_DECRYPT_ONLY] = "decrypt-only",
    [SDES_KEY_RETIRED] = "retired",   [SDES_KEY_DESTROYED] = "destroyed",
    [SDES_KEY_INCOMING] = "incoming",
};

static const char *const kek_state_names[] = {
    [SDES_KEK_ACTIVE] = "active",
    [SDES_KEK_RETIRED] = "retired",
    [SDES_KEK_DESTROYING] = "destroying",
    [SDES_KEK_DESTROYED] = "destroyed",
};

/*
 * Only a superuser can create the extension, and its schema with it. One of
 * that name that somebody else made could hold a forged sdes.reveal(), which
 * other users' statements would then call.
 */
static bool
is_owned_by_superuser(Oid schema)
{
	HeapTuple tuple = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(schema));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		return false;
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	return superuser_arg(owner);
}

Oid
sdes_schema_oid(void)
{
	Oid schema = get_namespace_oid("sdes", true);

	return OidIsValid(schema) && is_owned_by_superuser(schema) ? schema : InvalidOid;
}

static Oid
require_schema(void)
{
	Oid schema = sdes_schema_oid();

	if (!OidIsValid(schema))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
		                errmsg("extension \"sdes\" does not exist in this database"),
		                errhint("Run CREATE EXTENSION sdes."), SDES_KEEP_OUT_OF_LOG));
	return schema;
}

static Oid
relation_oid(const char *name)
{
	Oid relation = get_relname_relid(name, require_schema());

	if (!OidIsValid(relation))
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
		                errmsg("relation \"sdes.%s\" does not exist", name),
		                errhint("The extension was damaged; restore it from a backup."),
		                SDES_KEEP_OUT_OF_LOG));
	return relation;
}

Oid
sdes_table_oid(SdesTable table)
{
	return relation_oid(table_names[table]);
}

Oid
sdes_index_oid(const char *name)
{
	return relation_oid(name);
}

void
sdes_type_oids(Oid oids[SDES_NTYPES])
{
	Oid schema = sdes_schema_oid();

	for (int i = 0; i < SDES_NTYPES; i++)
		oids[i] = !OidIsValid(schema) ? InvalidOid
		                              : GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid,
		                                                CStringGetDatum(type_names[i]),
		                                                ObjectIdGetDatum(schema));
}

int
sdes_type_by_oid(const Oid oids[SDES_NTYPES], Oid oid)
{
	for (int i = 0; i < SDES_NTYPES; i++)
		if (OidIsValid(oid) && oids[i] == oid)
			return i;
	return -1;
}

const char *
sdes_type_name(SdesEncType type)
{
	return type_names[type];
}

int32
sdes_bucket_hash(const char *name)
{
	const char *utf8 = pg_server_to_any(name, (int) strlen(name), PG_UTF8);
	SdesBytes piece = sdes_bytes(utf8, strlen(utf8));
	uint8 digest[SDES_DIGEST_SIZE];

	sdes_check(sdes_sha256(&piece, 1, digest));
	return (int32) (((uint32) digest[0] << 18) | ((uint32) digest[1] << 10) |
	                ((uint32) digest[2] << 2) | (digest[3] >> 6));
}

static int
index_of(const char *name, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (names[i] != NULL && strcmp(names[i], name) == 0)
			return i;
	return -1;
}

int
sdes_purpose_by_name(const char *name)
{
	return index_of(name, purpose_names, lengthof(purpose_names));
}

int
sdes_mode_by_name(const char *name)
{
	return index_of(name, mode_names, lengthof(mode_names));
}

int
sdes_state_by_name(const char *name)
{
	return index_of(name, state_names, lengthof(state_names));
}

int
sdes_kek_state_by_name(const char *name)
{
	return index_of(name, kek_state_names, lengthof(kek_state_names));
}

const char *
sdes_purpose_name(SdesDekPurpose purpose)
{
	return purpose_names[purpose];
}

const char *
sdes_mode_name(SdesDekMode mode)
{
	return mode_names[mode];
}

const char *
sdes_state_name(SdesKeyState state)
{
	return state_names[state];
}

const char *
sdes_kek_state_name(SdesKekState state)
{
	return kek_state_names[state];
}
