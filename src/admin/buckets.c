/*
 * buckets.c
 *		What an administrator does in SQL: sdes.create_bucket(), sdes.retry_pin().
 *
 * The first bucket of a database brings the system bucket with it, under which
 * literals are sealed. CREATE EXTENSION makes neither: a restored dump brings
 * its own rows, and the HSM may not be there yet.
 */
#include "postgres.h"

#include "admin/admin.h"
#include "agentlink/agentlink.h"
#include "audit/audit.h"
#include "crypto/kdf.h"
#include "keyring/keyring.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "policy/policy.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

SDES_SQL_FUNCTION(sdes_create_bucket);
SDES_SQL_FUNCTION(sdes_set_audit);
SDES_SQL_FUNCTION(sdes_retry_pin);

#define DEFAULT_PERIOD_DAYS 90 /* of the system bucket's keys */

/*
 * Tokens carry the version of their search key, and keys of other sites may come here by
 * sdes.import_keys(): two databases begin with different numbers, as good as always. The
 * upper half of what a token can hold is left for versions to come.
 */
static uint32
first_search_version(void)
{
	uint16 number;

	sdes_check(sdes_random(&number, sizeof(number)));
	return (uint32) (number & 0x7fff) + 1;
}

static void
make_bucket(const char *name, const SdesKeySpec *spec, const Interval *period,
            SdesBucketRow *bucket)
{
	SdesKeySpec search = {spec->kind, SDES_MODE_CACHED, SDES_PURPOSE_SEARCH};
	SdesKekRow kek = {0};

	memset(bucket, 0, sizeof(*bucket));
	sdes_random_uuid(bucket->uuid);
	strlcpy(bucket->name, name, sizeof(bucket->name));
	bucket->hash = sdes_bucket_hash(name);
	bucket->system = spec->purpose == SDES_PURPOSE_LITERAL;
	bucket->rotation_period = *period;
	sdes_store_insert_bucket(bucket);
	sdes_keyring_make_kek(bucket, spec, &kek);
	sdes_keyring_make_dek(&kek, spec, 1);
	/* One search key for all buckets, so that their values can be joined. */
	if (bucket->system)
		sdes_keyring_make_dek(&kek, &search, first_search_version());
}

uint8
sdes_parse_kek_kind(const char *kek)
{
	for (uint8 kind = SDES_KEK_AES_256; sdes_kek_kind_name(kind) != NULL; kind++)
		if (strcmp(kek, sdes_kek_kind_name(kind)) == 0)
			return kind;
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	                errmsg("unrecognized kind of key encryption key: \"%s\"", kek),
	                errhint("A bucket's kek is \"%s\" or \"%s\".",
	                        sdes_kek_kind_name(SDES_KEK_AES_256),
	                        sdes_kek_kind_name(SDES_KEK_RSA_4096))));
	return 0;
}

static SdesDekMode
parse_mode(const char *mode)
{
	if (strcmp(mode, sdes_mode_name(SDES_MODE_CACHED)) == 0)
		return SDES_MODE_CACHED;
	if (strcmp(mode, sdes_mode_name(SDES_MODE_HSM)) == 0)
		return SDES_MODE_HSM;
	ereport(ERROR,
	        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
	         errmsg("unrecognized mode of a bucket: \"%s\"", mode),
	         errhint("A bucket's mode is \"%s\" or \"%s\".",
	                 sdes_mode_name(SDES_MODE_CACHED), sdes_mode_name(SDES_MODE_HSM))));
	return 0;
}

/*
 * Of the system bucket that comes with a first bucket. Literals are sealed at parse
 * time, which must not take a round trip for each: mode cached. The kind is the same,
 * since a token may have no other.
 */
static SdesKeySpec
system_spec(const SdesKeySpec *first)
{
	SdesKeySpec spec = {first->kind, SDES_MODE_CACHED, SDES_PURPOSE_LITERAL};

	return spec;
}

/* From the words of create_bucket(). */
static SdesKeySpec
parse_spec(const char *kek, const char *mode)
{
	SdesKeySpec spec = {sdes_parse_kek_kind(kek), parse_mode(mode), SDES_PURPOSE_DATA};

	if (spec.mode == SDES_MODE_HSM && spec.kind != SDES_KEK_AES_256)
		ereport(ERROR,
		        (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		         errmsg("a bucket of mode \"%s\" cannot have kek \"%s\"", mode, kek),
		         errdetail("In that mode the key seals the values themselves, which an "
		                   "RSA key cannot."),
		         errhint("Use kek \"%s\".", sdes_kek_kind_name(SDES_KEK_AES_256))));
	return spec;
}

static void
check_name(const char *name)
{
	const char *wrong = NULL;

	if (name[0] == '\0')
		wrong = "It is empty.";
	else if (name[0] == '#')
		wrong = "It begins with \"#\".";
	else if (strlen(name) > SDES_NAME_MAX ||
	         strlen(pg_server_to_any(name, (int) strlen(name), PG_UTF8)) > SDES_NAME_MAX)
		wrong = "It is longer than 63 bytes.";
	for (const char *c = name; wrong == NULL && *c; c++)
		if ((unsigned char) *c < ' ' || *c == 0x7f)
			wrong = "It has a control character.";
	if (wrong)
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME), errmsg("invalid bucket name"),
		                errdetail_internal("%s", wrong)));
}

static void
check_free(const char *name)
{
	SdesBucketRow other;

	if (!sdes_store_bucket_by_hash(sdes_bucket_hash(name), &other))
		return;
	if (strcmp(other.name, name) == 0)
		ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
		                errmsg("bucket \"%s\" already exists", name)));
	ereport(
	    ERROR,
	    (errcode(ERRCODE_DUPLICATE_OBJECT),
	     errmsg("bucket name \"%s\" collides with that of bucket \"%s\"", name, other.name),
	     errdetail("Type modifiers hold 26 bits of a name's hash, and these are equal."),
	     errhint("Choose another name.")));
}

Datum
sdes_create_bucket(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"name", "kek", "mode", "rotation_period"};
	static const Interval default_period = {.day = DEFAULT_PERIOD_DAYS};
	pg_uuid_t *uuid = palloc(sizeof(pg_uuid_t));
	const char *name;
	SdesKeySpec spec;
	SdesKeySpec literals;
	SdesBucketRow bucket;
	const Interval *period;

	sdes_refuse_nulls(fcinfo, arguments);
	period = PG_GETARG_INTERVAL_P(3);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	spec = parse_spec(text_to_cstring(PG_GETARG_TEXT_PP(1)),
	                  text_to_cstring(PG_GETARG_TEXT_PP(2)));
	literals = system_spec(&spec);

	PreventCommandIfReadOnly("sdes.create_bucket()");
	PreventCommandDuringRecovery("sdes.create_bucket()");
	sdes_require_preload();
	sdes_policy_require_member("sdes_admin", "create encryption buckets");
	check_name(name);
	sdes_check_rotation_period(period);
	/* Two sessions that create buckets take turns; readers are not held up. */
	LockRelationOid(sdes_table_oid(SDES_TABLE_BUCKET), ShareUpdateExclusiveLock);
	check_free(name);
	if (!sdes_store_bucket_by_name(SDES_SYSTEM_BUCKET, &bucket))
		make_bucket(SDES_SYSTEM_BUCKET, &literals, &default_period, &bucket);
	make_bucket(name, &spec, period, &bucket);
	sdes_audit_event("create bucket", bucket.uuid, "%s, %s",
	                 text_to_cstring(PG_GETARG_TEXT_PP(1)),
	                 text_to_cstring(PG_GETARG_TEXT_PP(2)));
	memcpy(uuid->data, bucket.uuid, SDES_UUID_SIZE);
	PG_RETURN_UUID_P(uuid);
}

/* "strict" or "async"; an error for any other word. */
static bool
parse_audit(const char *mode)
{
	if (strcmp(mode, "async") != 0 && strcmp(mode, "strict") != 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("unrecognized audit mode \"%s\"", mode),
		                errhint("Modes are strict and async.")));
	return strcmp(mode, "async") == 0;
}

Datum
sdes_set_audit(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"bucket", "mode"};
	SdesBucketRow bucket;
	const char *mode;

	sdes_refuse_nulls(fcinfo, arguments);
	mode = text_to_cstring(PG_GETARG_TEXT_PP(1));
	PreventCommandIfReadOnly("sdes.set_audit()");
	PreventCommandDuringRecovery("sdes.set_audit()");
	sdes_require_preload();
	sdes_policy_require_member("sdes_officer", "change how values are audited");
	sdes_admin_take_turns();
	sdes_admin_find_bucket(text_to_cstring(PG_GETARG_TEXT_PP(0)), &bucket);
	bucket.audit_async = parse_audit(mode);
	sdes_store_set_audit(&bucket);
	sdes_audit_event("set audit", bucket.uuid, "%s", mode);
	PG_RETURN_VOID();
}

Datum
sdes_retry_pin(PG_FUNCTION_ARGS)
{
	SdesRequest request = {.op = SDES_OP_PIN_RETRY};
	SdesLinkFailure failure = {SDES_OK};

	sdes_require_preload();
	sdes_policy_require_member("sdes_admin", "have the PIN of the HSM token tried again");
	/* Each has a PIN of its own; one that cannot be asked keeps no other from it. */
	for (int link = 0; link < sdes_agentlink_count(); link++)
	{
		SdesLinkFailure one;

		if (sdes_agentlink_try_at(link, &request, SDES_PATIENT, &one) != NULL)
			sdes_agentlink_finish();
		else if (failure.status == SDES_OK)
			failure = one;
	}
	if (failure.status != SDES_OK)
		sdes_report(ERROR, failure.status, failure.detail);
	PG_RETURN_VOID();
}
