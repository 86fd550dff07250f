/*
 * honey.c
 *		Values whose opening always raises an alarm: an officer plants them, and nobody has
 *		a reason to read them.
 *
 * They are known by their nonces (sdes.honey), so that nothing in or about a stored value
 * gives it away, dumps and replicas keep them, and looking costs next to nothing. What is
 * sealed anew has another nonce, which is added: copies from before stay honey, too.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "agentlink/agentlink.h"
#include "audit/audit.h"
#include "miscadmin.h"
#include "policy/policy.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "store/honey.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "value/internal.h"

SDES_SQL_FUNCTION(sdes_add_honey);
SDES_SQL_FUNCTION(sdes_drop_honey);

/* All of the database, by nonce; NULL: there are none. */
static HTAB *honey = NULL;
static bool loaded = false;
static uint64 changes = 0; /* so often it was to be read again */
static Oid honey_table = InvalidOid;

static void
forget(Datum arg, Oid relation)
{
	if (relation == InvalidOid || relation == honey_table)
	{
		loaded = false;
		changes++;
	}
}

/* The old one is there until the new one is. */
static void
keep(const SdesHoneyRow *rows, int n)
{
	HASHCTL control = {.keysize = SDES_NONCE_SIZE,
	                   .entrysize = sizeof(SdesHoneyRow),
	                   .hcxt = CacheMemoryContext};
	HTAB *old = honey;
	HTAB *made = n == 0 ? NULL
	                    : hash_create("sdes honey", n, &control,
	                                  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	for (int i = 0; i < n; i++)
		*(SdesHoneyRow *) hash_search(made, rows[i].nonce, HASH_ENTER, NULL) = rows[i];
	honey = made;
	if (old != NULL)
		hash_destroy(old);
}

/* After an error, or what changes while the table is read, it is read again. */
static void
load(void)
{
	static bool registered = false;
	SdesHoneyRow *rows;
	uint64 before;
	int n;

	if (!registered)
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
	registered = true;
	honey_table = sdes_table_oid(SDES_TABLE_HONEY);
	before = changes;
	n = sdes_store_read_honey(&rows);
	keep(rows, n);
	pfree(rows);
	loaded = changes == before;
}

/* NULL for what is none. */
static const SdesHoneyRow *
find(const uint8 *nonce)
{
	/* Where nothing can be waited for, what is known has to do. */
	if (!loaded && !sdes_must_not_wait())
		load();
	return honey != NULL ? hash_search(honey, nonce, HASH_FIND, NULL) : NULL;
}

void
sdes_honey_opened(const SdesEnvelope *envelope, const SdesKeyOwner *owner)
{
	const SdesHoneyRow *row;

	if (owner->purpose != SDES_PURPOSE_DATA)
		return;
	row = find(envelope->sealed.nonce);
	if (row != NULL && !sdes_must_not_wait())
		sdes_audit_honey(owner->bucket, pstrdup(row->label));
}

void
sdes_honey_renewed(const SdesEnvelope *old, struct varlena *renewed)
{
	const SdesHoneyRow *row = find(old->sealed.nonce);
	SdesEnvelope envelope;
	SdesHoneyRow made;

	if (row == NULL || RecoveryInProgress())
		return;
	made = *row;
	sdes_value_parse(renewed, &envelope);
	memcpy(made.nonce, envelope.sealed.nonce, SDES_NONCE_SIZE);
	sdes_store_insert_honey(&made);
}

/* ---- for officers ---- */

static void
begin_change(const char *function)
{
	PreventCommandIfReadOnly(function);
	PreventCommandDuringRecovery(function);
	sdes_require_preload();
	sdes_policy_require_member("sdes_officer", "change what raises an alarm");
}

static void
check_label(const char *label)
{
	if (label[0] == '\0' || strlen(label) > SDES_NAME_MAX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("a label has 1 to %d bytes", SDES_NAME_MAX)));
}

Datum
sdes_add_honey(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"value", "label"};
	SdesEnvelope envelope;
	SdesKeyOwner owner;
	SdesHoneyRow row = {0};
	const char *label;

	sdes_refuse_nulls(fcinfo, arguments);
	begin_change("sdes.add_honey()");
	label = text_to_cstring(PG_GETARG_TEXT_PP(1));
	check_label(label);
	sdes_value_parse(PG_GETARG_VARLENA_PP(0), &envelope);
	sdes_value_owner(&envelope, &owner);
	if (owner.purpose != SDES_PURPOSE_DATA)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("a constant is no stored value"),
		                errhint("Give it the column, as in SELECT sdes.add_honey(card, "
		                        "'till') FROM orders WHERE id = 1.")));
	memcpy(row.nonce, envelope.sealed.nonce, SDES_NONCE_SIZE);
	memcpy(row.bucket, owner.bucket, SDES_UUID_SIZE);
	strlcpy(row.label, label, sizeof(row.label));
	/* One that is there already gets the new label. */
	(void) sdes_store_delete_honey(NULL, row.nonce);
	sdes_store_insert_honey(&row);
	sdes_audit_event("add honey", owner.bucket, "%s", label);
	PG_RETURN_VOID();
}

Datum
sdes_drop_honey(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"label"};
	const char *label;

	sdes_refuse_nulls(fcinfo, arguments);
	begin_change("sdes.drop_honey()");
	label = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (sdes_store_delete_honey(label, NULL) == 0)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
		                errmsg("no value is labelled \"%s\"", label)));
	sdes_audit_event("drop honey", NULL, "%s", label);
	PG_RETURN_VOID();
}
