/*
 * make.c
 *		New keys: a KEK in the HSM, a DEK wrapped under it, and their rows.
 *
 * A KEK exists in the HSM before its transaction commits. If that aborts, the
 * supervisor destroys it; after a crash in between, sdes.health() lists it as
 * an orphan. Nothing was sealed under it, so nothing is lost.
 */
#include "postgres.h"

#include "keyring/keyring.h"

#include "access/xlog.h"
#include "agentlink/agentlink.h"
#include "audit/audit.h"
#include "crypto/kdf.h"
#include "keyring/copies.h"
#include "keyring/instance.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "sdes_errors.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

void
sdes_random_uuid(uint8 *uuid)
{
	sdes_check(sdes_random(uuid, SDES_UUID_SIZE));
	uuid[6] = (uuid[6] & 0x0f) | 0x40; /* version 4 */
	uuid[8] = (uuid[8] & 0x3f) | 0x80; /* variant 1 */
}

void
sdes_keyring_label_prefix(char *out, size_t size)
{
	snprintf(out, size, "sdes:" UINT64_FORMAT ":%u:", GetSystemIdentifier(), MyDatabaseId);
}

/* The key's label in the token: for people, and to find what a crash left. */
static void
make_label(const char *bucket, char *out, size_t size)
{
	char *utf8 = pg_server_to_any(bucket, (int) strlen(bucket), PG_UTF8);

	sdes_keyring_label_prefix(out, size);
	strlcat(out, utf8, size);
}

static const char *const kind_names[] = {
    [SDES_KEK_AES_256] = "aes-256",
    [SDES_KEK_RSA_4096] = "rsa-4096",
};

const char *
sdes_kek_kind_name(uint8 kind)
{
	return kind < lengthof(kind_names) ? kind_names[kind] : NULL;
}

bool
sdes_keyring_make_kek_at(int link, const SdesBucketRow *bucket, const SdesKeySpec *spec,
                         SdesKekRow *kek, SdesLinkFailure *failure)
{
	SdesRequest request = {.op = SDES_OP_KEK_CREATE};
	const SdesReply *reply;

	request.kind = spec->kind;
	request.seals = spec->mode == SDES_MODE_HSM;
	make_label(bucket->name, request.label, sizeof(request.label));
	reply = sdes_agentlink_try_at(link, &request, SDES_PATIENT, failure);
	if (reply == NULL)
		return false;
	memset(kek, 0, sizeof(*kek));
	memcpy(kek->id, reply->kek_id, SDES_KEK_ID_SIZE);
	kek->mechanism = pstrdup(reply->mechanism);
	sdes_agentlink_finish();
	sdes_agentlink_kek_pending(link, kek->id);

	/* By now the agent knows its token. */
	request.op = SDES_OP_STATUS;
	reply = sdes_agentlink_ask_at(link, &request);
	kek->token_label = pstrdup(reply->info.token_label);
	kek->token_serial = pstrdup(reply->info.token_serial);
	sdes_agentlink_finish();
	kek->kind = sdes_kek_kind_name(spec->kind);
	memcpy(kek->bucket, bucket->uuid, SDES_UUID_SIZE);
	sdes_store_insert_kek(kek);
	sdes_instance_claim();
	sdes_audit_event("create KEK", bucket->uuid, "%s in token %s", kek->kind,
	                 kek->token_label);
	return true;
}

/* The first token that can be reached; the first one when none can, to say why. */
static const SdesHsmToken *
first_ready(const SdesHsmToken *tokens, int n)
{
	for (int i = 0; i < n; i++)
		if (tokens[i].ready)
			return &tokens[i];
	return &tokens[0];
}

void
sdes_keyring_make_kek(const SdesBucketRow *bucket, const SdesKeySpec *spec, SdesKekRow *kek)
{
	SdesHsmToken tokens[SDES_MAX_TOKENS];
	int n = sdes_tokens_look(tokens);
	SdesLinkFailure failure;

	if (!sdes_keyring_make_kek_at(first_ready(tokens, n)->link, bucket, spec, kek,
	                              &failure))
		sdes_report(ERROR, failure.status, failure.detail);
}

/*
 * Where a DEK is made: by the KEK, or in mode cached, should its token be out of reach,
 * by one of the same bucket and kind in another.
 */
static void
choose_place(const SdesHsmToken *tokens, int n, const SdesKekRow *kek,
             const SdesKeySpec *spec, SdesPlace *place)
{
	const SdesHsmToken *home = sdes_token_of(tokens, n, kek);
	SdesLinkFailure failure;
	SdesBucketRow bucket;

	/* One that is starting has not told its name; one that fails has its reason. */
	if (n == 1 && (!tokens[0].ready || tokens[0].label[0] == '\0'))
		home = &tokens[0];
	place->link = home != NULL ? home->link : 0;
	place->kek = *kek;
	if (spec->mode == SDES_MODE_HSM || (home != NULL && (n == 1 || home->ready)))
		return;
	if (!sdes_store_bucket_by_uuid(kek->bucket, &bucket))
		elog(ERROR, "the bucket of a key is gone");
	if (!sdes_keyring_kek_in(first_ready(tokens, n), &bucket, spec, place, &failure))
		sdes_report(ERROR, failure.status, failure.detail);
}

static void
copy_to_others(const SdesDekRow *row, SdesHsmToken *tokens, int n)
{
	SdesCopied copied[SDES_MAX_TOKENS];

	sdes_keyring_copy(row, tokens, n, copied);
	for (int i = 0; i < n; i++)
		if (copied[i].failure.status != SDES_OK)
			ereport(WARNING, (errmsg("the new key has no copy in HSM token \"%s\"",
			                         sdes_token_name(&tokens[i])),
			                  errdetail_internal("%s%s%s",
			                                     sdes_status_name(copied[i].failure.status),
			                                     copied[i].failure.detail[0] ? ": " : "",
			                                     copied[i].failure.detail),
			                  errhint("Once it can be reached, run SELECT * FROM "
			                          "sdes.sync_tokens().")));
}

void
sdes_keyring_make_dek(const SdesKekRow *kek, const SdesKeySpec *spec, uint32 version)
{
	SdesRequest request = {.op = SDES_OP_DEK_CREATE};
	SdesDekBinding *binding = &request.binding;
	SdesDekRow row = {.state = spec->state};
	SdesHsmToken tokens[SDES_MAX_TOKENS];
	int n = sdes_tokens_look(tokens);
	SdesPlace place;
	const SdesReply *reply;

	choose_place(tokens, n, kek, spec, &place);
	sdes_check(sdes_random(binding->key_id, SDES_KEY_ID_SIZE));
	memcpy(binding->bucket, kek->bucket, SDES_UUID_SIZE);
	binding->version = version;
	binding->purpose = spec->purpose;
	binding->mode = spec->mode;
	memcpy(binding->kek_id, place.kek.id, SDES_KEK_ID_SIZE);

	reply = sdes_agentlink_ask_at(place.link, &request);
	row.binding = *binding;
	memcpy(row.commitment, reply->commitment, SDES_COMMITMENT_SIZE);
	row.wrapped_size = reply->wrapped_size;
	row.wrapped = palloc(reply->wrapped_size);
	memcpy(row.wrapped, reply->wrapped, reply->wrapped_size);
	sdes_agentlink_finish();
	sdes_store_insert_dek(&row);
	if (n > 1)
		copy_to_others(&row, tokens, n);
}

void
sdes_keyring_spread(const SdesDekRow *row)
{
	SdesHsmToken tokens[SDES_MAX_TOKENS];
	int n = sdes_tokens_look(tokens);

	if (n > 1)
		copy_to_others(row, tokens, n);
}

const SdesKekRow *
sdes_keyring_kek(const uint8 *id)
{
	ListCell *cell;

	foreach (cell, sdes_store_keks())
	{
		const SdesKekRow *kek = lfirst(cell);

		if (memcmp(kek->id, id, SDES_KEK_ID_SIZE) == 0)
			return kek;
	}
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
	                errmsg("the row of a key encryption key is missing in sdes.kek"),
	                errhint("See SELECT * FROM sdes.health().")));
}

uint8
sdes_kek_kind(const SdesKekRow *kek)
{
	uint8 kind = SDES_KEK_AES_256;

	while (strcmp(kek->kind, sdes_kek_kind_name(kind)) != 0)
		kind++;
	return kind;
}

/*
 * A bucket's active keys of a purpose, those that were made here first: one, or none, or
 * one of another database as well, whose rows arrive here. And the latest version.
 */
static List *
versions(const uint8 *bucket, SdesDekPurpose purpose, uint32 *latest)
{
	List *active = NIL;
	ListCell *cell;

	*latest = 0;
	foreach (cell, sdes_store_deks())
	{
		SdesDekRow *row = lfirst(cell);

		if (memcmp(row->binding.bucket, bucket, SDES_UUID_SIZE) != 0 ||
		    row->binding.purpose != purpose)
			continue;
		*latest = Max(*latest, row->binding.version);
		if (row->state == SDES_KEY_ACTIVE)
			active = row->foreign ? lappend(active, row) : lcons(row, active);
	}
	return active;
}

/*
 * Rows of the other database's keys may be brought here, by a dump of them, and a number
 * can be had once only.
 */
#define FOREIGN_STEP 1000

static uint32
next_version(uint32 latest, bool foreign)
{
	return foreign ? (latest / FOREIGN_STEP + 1) * FOREIGN_STEP : latest + 1;
}

/*
 * The number after that of this database's search key. Not after the greatest one: keys of
 * other sites are here, too, and what follows theirs is what they will take next.
 */
static uint32
next_search_number(const uint8 *bucket, uint32 number)
{
	ListCell *cell;
	bool taken;

	do
	{
		number++;
		taken = false;
		foreach (cell, sdes_store_deks())
		{
			const SdesDekRow *row = lfirst(cell);

			taken |= memcmp(row->binding.bucket, bucket, SDES_UUID_SIZE) == 0 &&
			         row->binding.purpose == SDES_PURPOSE_SEARCH &&
			         row->binding.version == number;
		}
	} while (taken);
	return number;
}

/*
 * The active keys of a bucket and purpose, of which there should be one, and what a
 * successor is like: its KEK, its spec, its version. An error if there is none.
 */
static List *
take_after(const SdesBucketRow *bucket, SdesDekPurpose purpose, SdesKekRow *kek,
           SdesKeySpec *spec, uint32 *version)
{
	const SdesDekRow *present;
	List *active;

	LockRelationOid(sdes_table_oid(SDES_TABLE_BUCKET), ShareUpdateExclusiveLock);
	active = versions(bucket->uuid, purpose, version);
	if (active == NIL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("bucket \"%s\" has no active encryption key", bucket->name),
		                errhint("See SELECT * FROM sdes.keys.")));
	present = linitial(active);
	*version = purpose == SDES_PURPOSE_SEARCH && !present->foreign
	               ? next_search_number(bucket->uuid, present->binding.version)
	               : next_version(*version, present->foreign);
	*kek = *sdes_keyring_kek(present->binding.kek_id);
	*spec =
	    (SdesKeySpec){sdes_kek_kind(kek), present->binding.mode, purpose, SDES_KEY_ACTIVE};
	return active;
}

uint32
sdes_keyring_new_version(const SdesBucketRow *bucket, SdesDekPurpose purpose)
{
	List *active;
	ListCell *cell;
	SdesKekRow kek;
	SdesKeySpec spec;
	uint32 version;

	active = take_after(bucket, purpose, &kek, &spec, &version);
	if (spec.mode == SDES_MODE_HSM)
		sdes_keyring_make_kek(bucket, &spec, &kek);
	sdes_keyring_make_dek(&kek, &spec, version);
	foreach (cell, active)
		sdes_store_set_dek_state(((SdesDekRow *) lfirst(cell))->binding.key_id,
		                         SDES_KEY_DECRYPT_ONLY, NULL);
	sdes_audit_event("create key", bucket->uuid, "version %u", version);
	return version;
}

uint32
sdes_keyring_new_search_key(const SdesBucketRow *system)
{
	SdesKekRow kek;
	SdesKeySpec spec;
	uint32 version;

	take_after(system, SDES_PURPOSE_SEARCH, &kek, &spec, &version);
	if (version > PG_UINT16_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
		                errmsg("there are no more numbers for search keys"),
		                errdetail("A search token carries its key's number in 16 bits.")));
	spec.state = SDES_KEY_INCOMING;
	sdes_keyring_make_dek(&kek, &spec, version);
	sdes_audit_event("create search key", system->uuid, "version %u", version);
	return version;
}

static bool
is_shorter(const Interval *a, const Interval *b)
{
	return DatumGetInt32(DirectFunctionCall2(interval_cmp, IntervalPGetDatum(a),
	                                         IntervalPGetDatum(b))) < 0;
}

void
sdes_check_rotation_period(const Interval *period)
{
	static const Interval least = {.time = USECS_PER_HOUR};
	static const Interval most = {.month = 100 * MONTHS_PER_YEAR};

	if (is_shorter(period, &least) || is_shorter(&most, period))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("rotation period must be an hour to 100 years"),
		                errhint("90 days is the default.")));
}
