/*
 * keyring.c
 *		The cache of open keys.
 *
 * Invariant: an entry in the table is always whole: the row it was made from,
 * and the expanded key that row commits to. Nothing can throw between making
 * a cipher and putting it into its entry.
 *
 * Expanded keys live on OpenSSL's plain heap, so they are freed (and wiped) on
 * eviction and at exit, and the process is undumpable from its start.
 */
#include "postgres.h"

#include "keyring/keyring.h"

#include "agentlink/agentlink.h"
#include "keyring/buckets.h"
#include "miscadmin.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "storage/ipc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* After a failed fetch during a restore, how long not to try that key again. */
#define RESTORE_RETRY_MS 10000

typedef struct KeyEntry
{
	uint8 key_id[SDES_KEY_ID_SIZE]; /* hash key */
	SdesKey key;                    /* key.aead NULL: row known, key not fetched */
	uint8 commitment[SDES_COMMITMENT_SIZE];
	TimestampTz failed_at; /* of the last fetch that failed */
} KeyEntry;

typedef struct ActiveSlot
{
	uint8 bucket[SDES_UUID_SIZE];
	SdesDekPurpose purpose;
} ActiveSlot;

typedef struct ActiveEntry
{
	ActiveSlot slot; /* hash key */
	uint8 key_id[SDES_KEY_ID_SIZE];
} ActiveEntry;

static HTAB *keys = NULL;
static HTAB *actives = NULL;
static uint64 changes = 0; /* of sdes.dek, as far as this backend was told */
static uint64 seen = 0;    /* the value of changes when the entries were read */
static Oid dek_table = InvalidOid;

static HTAB *
make_table(const char *name, Size keysize, Size entrysize)
{
	HASHCTL ctl = {0};

	ctl.keysize = keysize;
	ctl.entrysize = entrysize;
	ctl.hcxt = TopMemoryContext;
	return hash_create(name, 32, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
forget(KeyEntry *entry)
{
	sdes_aead_free(entry->key.aead);
	entry->key.aead = NULL;
	hash_search(keys, entry->key_id, HASH_REMOVE, NULL);
}

static void
forget_all(int code, Datum arg)
{
	HASH_SEQ_STATUS seq;
	KeyEntry *entry;

	hash_seq_init(&seq, keys);
	while ((entry = hash_seq_search(&seq)) != NULL)
		forget(entry);
}

static void
invalidate(Datum arg, Oid relid)
{
	/* Before the first key there is nothing to go stale. */
	if (relid == InvalidOid || relid == dek_table)
		changes++;
}

static void
start(void)
{
	if (keys != NULL)
		return;
	sdes_require_preload();
	actives = make_table("sdes active keys", sizeof(ActiveSlot), sizeof(ActiveEntry));
	keys = make_table("sdes keys", SDES_KEY_ID_SIZE, sizeof(KeyEntry));
	before_shmem_exit(forget_all, 0);
}

void
sdes_keyring_init(void)
{
	CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
	sdes_buckets_init();
}

/* Puts what a row says into its entry; keeps the open key if it is the same. */
static KeyEntry *
remember(const SdesDekRow *row)
{
	bool found;
	KeyEntry *entry = hash_search(keys, row->binding.key_id, HASH_ENTER, &found);

	if (!found)
	{
		memset(&entry->key, 0, sizeof(entry->key));
		entry->failed_at = 0;
	}
	else if (memcmp(entry->commitment, row->commitment, SDES_COMMITMENT_SIZE) != 0)
	{
		sdes_aead_free(entry->key.aead);
		entry->key.aead = NULL;
	}
	memcpy(entry->commitment, row->commitment, SDES_COMMITMENT_SIZE);
	memcpy(entry->key.key_id, row->binding.key_id, SDES_KEY_ID_SIZE);
	memcpy(entry->key.bucket, row->binding.bucket, SDES_UUID_SIZE);
	entry->key.version = row->binding.version;
	entry->key.purpose = row->binding.purpose;
	entry->key.state = row->state;
	return entry;
}

static const SdesDekRow *
row_of(const List *rows, const uint8 *key_id)
{
	ListCell *cell;

	foreach (cell, rows)
	{
		const SdesDekRow *row = lfirst(cell);

		if (memcmp(row->binding.key_id, key_id, SDES_KEY_ID_SIZE) == 0)
			return row;
	}
	return NULL;
}

/* Holds every known key against its row again; what is gone is forgotten. */
static void
refresh(void)
{
	uint64 now = changes; /* what arrives while reading is for the next time */
	List *rows;
	HASH_SEQ_STATUS seq;
	ActiveEntry *active;
	KeyEntry *entry;

	dek_table = sdes_table_oid(SDES_TABLE_DEK);
	rows = sdes_store_deks();
	hash_seq_init(&seq, actives);
	while ((active = hash_seq_search(&seq)) != NULL)
		hash_search(actives, &active->slot, HASH_REMOVE, NULL);

	/* Of a table that is being scanned, only the current entry may go. */
	hash_seq_init(&seq, keys);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		const SdesDekRow *row = row_of(rows, entry->key_id);

		if (row != NULL)
			remember(row);
		else
			forget(entry);
	}
	list_free_deep(rows);
	seen = now;
}

static void
ready(void)
{
	start();
	if (seen != changes || !OidIsValid(dek_table))
		refresh();
}

/* The entry of a key id, from its row if need be; NULL when there is no row. */
static KeyEntry *
entry_of(const uint8 *key_id)
{
	KeyEntry *entry = hash_search(keys, key_id, HASH_FIND, NULL);
	SdesDekRow row;

	if (entry != NULL)
		return entry;
	return sdes_store_dek_by_id(key_id, &row) ? remember(&row) : NULL;
}

static void
make_request(const SdesDekRow *row, SdesRequest *request)
{
	memset(request, 0, sizeof(*request));
	request->op = SDES_OP_DEK_UNWRAP;
	request->binding = row->binding;
	if (row->wrapped_size > sizeof(request->wrapped))
		sdes_report(ERROR, SDES_ERR_COMMITMENT, NULL);
	request->wrapped_size = row->wrapped_size;
	memcpy(request->wrapped, row->wrapped, row->wrapped_size);
}

/* Asks the agent for a row's key and expands it. Raises only for interrupts. */
static SdesStatus
fetch(const SdesDekRow *row, bool patient, SdesAead **aead, SdesLinkFailure *failure)
{
	SdesRequest request;
	const SdesReply *reply;
	SdesStatus status;

	make_request(row, &request);
	reply = sdes_agentlink_try(&request, patient, failure);
	if (reply == NULL)
		return failure->status;
	status = sdes_dek_open(reply->dek, &row->binding, row->commitment, aead);
	sdes_agentlink_finish();
	failure->status = status;
	failure->detail[0] = '\0';
	return status;
}

/* Makes sure the entry's key is open. */
static SdesStatus
open_entry(KeyEntry *entry, bool patient, SdesLinkFailure *failure)
{
	SdesDekRow row;
	SdesAead *aead = NULL;
	SdesStatus status;
	uint8 key_id[SDES_KEY_ID_SIZE];

	if (entry->key.aead != NULL)
		return SDES_OK;
	memcpy(key_id, entry->key_id, sizeof(key_id));
	if (!sdes_store_dek_by_id(key_id, &row))
	{
		failure->status = SDES_ERR_HSM_KEY_MISSING;
		failure->detail[0] = '\0';
		return failure->status;
	}
	status = fetch(&row, patient, &aead, failure);
	if (status == SDES_OK)
		remember(&row)->key.aead = aead;
	return status;
}

static void
report_unknown(const uint8 *key_id)
{
	char id[2 * SDES_KEY_ID_SIZE + 1];

	for (int i = 0; i < SDES_KEY_ID_SIZE; i++)
		snprintf(id + 2 * i, 3, "%02x", key_id[i]);
	ereport(ERROR,
	        (errcode(ERRCODE_UNDEFINED_OBJECT),
	         errmsg("encryption key %s is not known in this database", id),
	         errhint("The value came from another database. Bring that database's rows of "
	                 "sdes.bucket, sdes.kek and sdes.dek along."),
	         SDES_KEEP_OUT_OF_LOG));
}

static const SdesKey *
opened(KeyEntry *entry)
{
	SdesLinkFailure failure;
	uint8 key_id[SDES_KEY_ID_SIZE];

	if (entry->key.aead != NULL)
		return &entry->key;
	/* Waiting may process invalidations, but nobody frees entries meanwhile. */
	memcpy(key_id, entry->key_id, sizeof(key_id));
	if (open_entry(entry, true, &failure) != SDES_OK)
		sdes_report(ERROR, failure.status, failure.detail);
	entry = hash_search(keys, key_id, HASH_FIND, NULL);
	return &entry->key;
}

const SdesKey *
sdes_keyring_by_id(const uint8 *key_id)
{
	KeyEntry *entry;

	ready();
	entry = entry_of(key_id);
	if (entry == NULL)
		report_unknown(key_id);
	if (entry->key.state != SDES_KEY_ACTIVE && entry->key.state != SDES_KEY_DECRYPT_ONLY)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("encryption key version %u is %s", entry->key.version,
		                       sdes_state_name(entry->key.state)),
		                errhint("Values under it cannot be opened any more."),
		                SDES_KEEP_OUT_OF_LOG));
	return opened(entry);
}

const SdesKey *
sdes_keyring_try(const uint8 *key_id)
{
	SdesLinkFailure failure;
	KeyEntry *entry;
	uint8 id[SDES_KEY_ID_SIZE];

	ready();
	entry = entry_of(key_id);
	if (entry == NULL)
		return NULL;
	if (entry->key.aead != NULL)
		return &entry->key;
	if (entry->failed_at != 0 &&
	    !TimestampDifferenceExceeds(entry->failed_at, GetCurrentTimestamp(),
	                                RESTORE_RETRY_MS))
		return NULL;
	memcpy(id, entry->key_id, sizeof(id));
	if (open_entry(entry, false, &failure) != SDES_OK)
	{
		entry = hash_search(keys, id, HASH_FIND, NULL);
		if (entry != NULL)
			entry->failed_at = GetCurrentTimestamp();
		return NULL;
	}
	entry = hash_search(keys, id, HASH_FIND, NULL);
	return &entry->key;
}

bool
sdes_keyring_owner(const uint8 *key_id, uint8 *bucket, SdesDekPurpose *purpose)
{
	KeyEntry *entry;

	ready();
	entry = entry_of(key_id);
	if (entry == NULL)
		return false;
	memcpy(bucket, entry->key.bucket, SDES_UUID_SIZE);
	*purpose = entry->key.purpose;
	return true;
}

const SdesKey *
sdes_keyring_active(const uint8 *bucket, SdesDekPurpose purpose)
{
	ActiveSlot slot;
	ActiveEntry *active;
	uint8 key_id[SDES_KEY_ID_SIZE];
	SdesDekRow row;

	ready();
	memset(&slot, 0, sizeof(slot));
	memcpy(slot.bucket, bucket, SDES_UUID_SIZE);
	slot.purpose = purpose;
	active = hash_search(actives, &slot, HASH_FIND, NULL);
	if (active == NULL)
	{
		if (!sdes_store_dek_active(bucket, purpose, &row))
			ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			                errmsg("bucket has no active encryption key"),
			                errhint("See SELECT * FROM sdes.keys."), SDES_KEEP_OUT_OF_LOG));
		remember(&row);
		active = hash_search(actives, &slot, HASH_ENTER, NULL);
		memcpy(active->key_id, row.binding.key_id, SDES_KEY_ID_SIZE);
	}
	/* A copy: the entry may go while the key is fetched. */
	memcpy(key_id, active->key_id, SDES_KEY_ID_SIZE);
	return sdes_keyring_by_id(key_id);
}

SdesStatus
sdes_keyring_round_trip(const SdesDekRow *row, char *detail, size_t size)
{
	SdesLinkFailure failure;
	SdesAead *aead = NULL;
	SdesStatus status = fetch(row, false, &aead, &failure);

	sdes_aead_free(aead);
	strlcpy(detail, failure.detail, size);
	return status;
}
