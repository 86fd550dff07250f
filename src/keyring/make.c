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
#include "crypto/kdf.h"
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

void
sdes_keyring_make_kek(const SdesBucketRow *bucket, const SdesKeySpec *spec, SdesKekRow *kek)
{
	SdesRequest request = {.op = SDES_OP_STATUS};
	const SdesReply *reply;

	reply = sdes_agentlink_ask(&request);
	kek->token_label = pstrdup(reply->info.token_label);
	kek->token_serial = pstrdup(reply->info.token_serial);
	sdes_agentlink_finish();

	request.op = SDES_OP_KEK_CREATE;
	request.kind = spec->kind;
	request.seals = spec->mode == SDES_MODE_HSM;
	make_label(bucket->name, request.label, sizeof(request.label));
	reply = sdes_agentlink_ask(&request);
	memcpy(kek->id, reply->kek_id, SDES_KEK_ID_SIZE);
	kek->mechanism = pstrdup(reply->mechanism);
	sdes_agentlink_finish();
	sdes_agentlink_kek_pending(kek->id);

	kek->kind = sdes_kek_kind_name(spec->kind);
	memcpy(kek->bucket, bucket->uuid, SDES_UUID_SIZE);
	sdes_store_insert_kek(kek);
	sdes_instance_claim();
}

void
sdes_keyring_make_dek(const SdesKekRow *kek, const SdesKeySpec *spec, uint32 version)
{
	SdesRequest request = {.op = SDES_OP_DEK_CREATE};
	SdesDekBinding *binding = &request.binding;
	SdesDekRow row = {.state = SDES_KEY_ACTIVE};
	const SdesReply *reply;

	sdes_check(sdes_random(binding->key_id, SDES_KEY_ID_SIZE));
	memcpy(binding->bucket, kek->bucket, SDES_UUID_SIZE);
	binding->version = version;
	binding->purpose = spec->purpose;
	binding->mode = spec->mode;
	memcpy(binding->kek_id, kek->id, SDES_KEK_ID_SIZE);

	reply = sdes_agentlink_ask(&request);
	row.binding = *binding;
	memcpy(row.commitment, reply->commitment, SDES_COMMITMENT_SIZE);
	row.wrapped_size = reply->wrapped_size;
	row.wrapped = palloc(reply->wrapped_size);
	memcpy(row.wrapped, reply->wrapped, reply->wrapped_size);
	sdes_agentlink_finish();
	sdes_store_insert_dek(&row);
}

static const SdesKekRow *
kek_of(const uint8 *id)
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

static uint8
kind_of(const SdesKekRow *kek)
{
	uint8 kind = SDES_KEK_AES_256;

	while (strcmp(kek->kind, sdes_kek_kind_name(kind)) != 0)
		kind++;
	return kind;
}

/* A bucket's keys of a purpose: the active one, NULL if there is none, and the latest. */
static const SdesDekRow *
versions(const uint8 *bucket, SdesDekPurpose purpose, uint32 *latest)
{
	const SdesDekRow *active = NULL;
	ListCell *cell;

	*latest = 0;
	foreach (cell, sdes_store_deks())
	{
		const SdesDekRow *row = lfirst(cell);

		if (memcmp(row->binding.bucket, bucket, SDES_UUID_SIZE) != 0 ||
		    row->binding.purpose != purpose)
			continue;
		*latest = Max(*latest, row->binding.version);
		if (row->state == SDES_KEY_ACTIVE)
			active = row;
	}
	return active;
}

uint32
sdes_keyring_new_version(const SdesBucketRow *bucket, SdesDekPurpose purpose)
{
	const SdesDekRow *active;
	SdesKekRow kek;
	SdesKeySpec spec;
	uint32 latest;

	LockRelationOid(sdes_table_oid(SDES_TABLE_BUCKET), ShareUpdateExclusiveLock);
	active = versions(bucket->uuid, purpose, &latest);
	if (active == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("bucket \"%s\" has no active encryption key", bucket->name),
		                errhint("See SELECT * FROM sdes.keys.")));
	kek = *kek_of(active->binding.kek_id);
	spec = (SdesKeySpec){kind_of(&kek), active->binding.mode, purpose};
	if (spec.mode == SDES_MODE_HSM)
		sdes_keyring_make_kek(bucket, &spec, &kek);
	sdes_keyring_make_dek(&kek, &spec, latest + 1);
	sdes_store_set_dek_state(active->binding.key_id, SDES_KEY_DECRYPT_ONLY, NULL);
	return latest + 1;
}

void
sdes_check_rotation_period(const Interval *period)
{
	static const Interval zero = {0};

	if (DatumGetInt32(DirectFunctionCall2(interval_cmp, IntervalPGetDatum(period),
	                                      IntervalPGetDatum(&zero))) <= 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("rotation period must be longer than nothing"),
		                errhint("90 days is the default.")));
}
