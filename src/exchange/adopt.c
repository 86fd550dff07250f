/*
 * adopt.c
 *		sdes.adopt_keys(): a copy of a database becomes the owner of its keys.
 *
 * It then seals under keys of its own: no two databases go on under one key. What it
 * opens by stays where it is, under key encryption keys that the original may have, too.
 */
#include "postgres.h"

#include "exchange/internal.h"

#include "audit/audit.h"
#include "keyring/instance.h"
#include "sdes_compat.h"

SDES_SQL_FUNCTION(sdes_adopt_keys);

/* Whether a bucket has an active key of that purpose. */
static bool
has_active(const List *rows, const uint8 *bucket, SdesDekPurpose purpose)
{
	ListCell *cell;

	foreach (cell, rows)
	{
		const SdesDekRow *row = lfirst(cell);

		if (memcmp(row->binding.bucket, bucket, SDES_UUID_SIZE) == 0 &&
		    row->binding.purpose == purpose && row->state == SDES_KEY_ACTIVE)
			return true;
	}
	return false;
}

/* A copy retires no key; now those that are empty may, if they still are. */
static void
look_again(const List *rows)
{
	ListCell *cell;

	foreach (cell, rows)
	{
		const SdesDekRow *row = lfirst(cell);

		if (row->state == SDES_KEY_DECRYPT_ONLY && row->emptied)
			sdes_store_set_dek_emptiness(row->binding.key_id, SDES_NOT_KNOWN);
	}
}

Datum
sdes_adopt_keys(PG_FUNCTION_ARGS)
{
	List *rows;
	ListCell *cell;

	sdes_exchange_begin("sdes.adopt_keys()", "sdes_admin", "adopt encryption keys");
	rows = sdes_store_deks();
	/* Not the search key: values would not be found any more. Nothing is sealed by it. */
	foreach (cell, sdes_store_buckets())
	{
		const SdesBucketRow *bucket = lfirst(cell);
		SdesDekPurpose purpose = bucket->system ? SDES_PURPOSE_LITERAL : SDES_PURPOSE_DATA;

		if (has_active(rows, bucket->uuid, purpose))
			sdes_keyring_new_version(bucket, purpose);
	}
	look_again(rows);
	sdes_instance_adopt();
	sdes_audit_event("adopt keys", NULL, "all buckets");
	PG_RETURN_VOID();
}
