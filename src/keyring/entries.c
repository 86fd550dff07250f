/*
 * entries.c
 *		The cache of keys: by id, and by the bucket whose active key they are.
 *
 * Invariant: an entry in the table is always whole: the row it was made from,
 * and the key, or in mode hsm the fact, that row commits to.
 *
 * Expanded keys may live on OpenSSL's plain heap, so they are freed (and wiped) on
 * eviction and at exit, and the process is undumpable from its start.
 */
#include "postgres.h"

#include "keyring/entries.h"

#include "access/xact.h"
#include "keyring/search_keys.h"
#include "sdes_guc.h"
#include "sdes_recent.h"
#include "storage/ipc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

static HTAB *keys = NULL;
static HTAB *actives = NULL;
static SdesRecent recent_keys;
static SdesRecent recent_actives;
static bool incoming = false; /* another search key is to succeed the one in use */
static uint64 changes = 0;    /* of sdes.dek, as far as this backend was told */
static uint64 seen = 0;       /* the value of changes when the entries were read */
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

/* NULL when nothing is known of that key. */
SdesKeyEntry *
sdes_entry_find(const uint8 *key_id)
{
	return sdes_recent_find(&recent_keys, keys, key_id, SDES_KEY_ID_SIZE, key_id[0]);
}

/* Wipes the key; what its row says stays. */
void
sdes_entry_let_go(SdesKeyEntry *entry)
{
	sdes_aead_free(entry->key.aead);
	sdes_mac_free(entry->key.mac);
	entry->key.aead = NULL;
	entry->key.mac = NULL;
	entry->held = false;
}

static void
forget(SdesKeyEntry *entry)
{
	sdes_entry_let_go(entry);
	sdes_recent_forget(&recent_keys);
	hash_search(keys, entry->key_id, HASH_REMOVE, NULL);
}

static void
forget_all(int code, Datum arg)
{
	HASH_SEQ_STATUS seq;
	SdesKeyEntry *entry;

	hash_seq_init(&seq, keys);
	while ((entry = hash_seq_search(&seq)) != NULL)
		forget(entry);
}

/*
 * A statement that compares under locks keeps the keys that were made ready for it,
 * however long it takes: it could not fetch them again.
 */
static bool
is_needed(const SdesKeyEntry *entry)
{
	return entry->needed_in != 0 && entry->needed_in == GetCurrentStatementStartTimestamp();
}

/*
 * Lets go of what is too old, and has the next one noticed in time. At the end of a
 * transaction nothing is needed any more.
 */
#define LOOK_AGAIN_MS 1000

static void
sweep(bool at_end)
{
	HASH_SEQ_STATUS seq;
	SdesKeyEntry *entry;
	int soonest = -1;
	int expired = 0;

	hash_seq_init(&seq, keys);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		int left = entry->held ? sdes_freshness_left_ms(&entry->freshness) : -1;

		if (left == 0 && !at_end && is_needed(entry))
			left = LOOK_AGAIN_MS;
		if (left == 0)
		{
			sdes_entry_let_go(entry);
			entry->expired = true;
			expired++;
		}
		else if (left > 0 && (soonest < 0 || left < soonest))
			soonest = left;
	}
	if (expired > 0)
		elog(DEBUG1, "%d cached encryption key(s) expired", expired);
	if (soonest > 0)
		sdes_expiry_set(soonest);
	else
		sdes_expiry_none();
}

/*
 * An error takes all alarms with it, so one is set again here. (A second error in
 * a failed transaction block has no callback: then the next transaction's end.)
 */
static void
sweep_at_end(XactEvent event, void *arg)
{
	if (keys != NULL && sdes_expiry_due())
		sweep(true);
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
	actives = make_table("sdes active keys", sizeof(ActiveSlot), sizeof(SdesActiveEntry));
	keys = make_table("sdes keys", SDES_KEY_ID_SIZE, sizeof(SdesKeyEntry));
	before_shmem_exit(forget_all, 0);
}

void
sdes_entries_init(void)
{
	CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
	RegisterXactCallback(sweep_at_end, NULL);
}

bool
sdes_entry_opens(const SdesKeyEntry *entry)
{
	return entry->key.state == SDES_KEY_ACTIVE ||
	       entry->key.state == SDES_KEY_DECRYPT_ONLY ||
	       entry->key.state == SDES_KEY_INCOMING;
}

/*
 * Puts what a row says into its entry. A key that was fetched for a row that said
 * anything else is let go of, and so is one that opens nothing any more.
 */
SdesKeyEntry *
sdes_entry_remember(const SdesDekRow *row)
{
	bool found;
	SdesKeyEntry *entry = hash_search(keys, row->binding.key_id, HASH_ENTER, &found);
	uint8 binding[SDES_DEK_BINDING_SIZE];

	sdes_dek_binding_encode(&row->binding, binding);
	if (!found)
		memset((char *) entry + SDES_KEY_ID_SIZE, 0, sizeof(*entry) - SDES_KEY_ID_SIZE);
	else if (memcmp(entry->commitment, row->commitment, sizeof(entry->commitment)) != 0 ||
	         memcmp(entry->binding, binding, sizeof(binding)) != 0)
		sdes_entry_let_go(entry);
	memcpy(entry->commitment, row->commitment, sizeof(entry->commitment));
	memcpy(entry->binding, binding, sizeof(binding));
	memcpy(entry->key.key_id, row->binding.key_id, SDES_KEY_ID_SIZE);
	memcpy(entry->key.bucket, row->binding.bucket, SDES_UUID_SIZE);
	memcpy(entry->key.kek_id, row->binding.kek_id, SDES_KEK_ID_SIZE);
	entry->key.version = row->binding.version;
	entry->key.purpose = row->binding.purpose;
	entry->key.mode = row->binding.mode;
	entry->key.state = row->state;
	if (!sdes_entry_opens(entry))
		sdes_entry_let_go(entry);
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

/*
 * Of two active keys of a bucket the one that was made here counts, as where rows of
 * another database's keys arrive; else the one made last.
 */
static bool
is_preferred(const SdesDekRow *row, const SdesActiveEntry *active)
{
	const SdesKeyEntry *other = sdes_entry_find(active->key_id);

	if (active->foreign != row->foreign)
		return active->foreign;
	return other == NULL || other->key.version < row->binding.version;
}

static void
note_active(const SdesDekRow *row)
{
	ActiveSlot slot;
	SdesActiveEntry *active;
	bool found;

	if (row->state != SDES_KEY_ACTIVE && row->state != SDES_KEY_INCOMING)
		return;
	memset(&slot, 0, sizeof(slot));
	memcpy(slot.bucket, row->binding.bucket, SDES_UUID_SIZE);
	slot.purpose =
	    row->state == SDES_KEY_INCOMING ? SDES_INCOMING_SEARCH : row->binding.purpose;
	active = hash_search(actives, &slot, HASH_ENTER, &found);
	if (found && !is_preferred(row, active))
		return;
	memcpy(active->key_id, row->binding.key_id, SDES_KEY_ID_SIZE);
	active->foreign = row->foreign;
	incoming |= row->state == SDES_KEY_INCOMING;
}

/* Reads all rows, and holds every known key against its own; what is gone is forgotten. */
static void
refresh(void)
{
	uint64 now = changes; /* what arrives while reading is for the next time */
	List *rows;
	ListCell *cell;
	HASH_SEQ_STATUS seq;
	SdesActiveEntry *active;
	SdesKeyEntry *entry;

	dek_table = sdes_table_oid(SDES_TABLE_DEK);
	rows = sdes_store_deks();
	incoming = false;
	sdes_recent_forget(&recent_actives);
	hash_seq_init(&seq, actives);
	while ((active = hash_seq_search(&seq)) != NULL)
		hash_search(actives, &active->slot, HASH_REMOVE, NULL);

	/* Of a table that is being scanned, only the current entry may go. */
	hash_seq_init(&seq, keys);
	while ((entry = hash_seq_search(&seq)) != NULL)
		if (row_of(rows, entry->key_id) == NULL)
			forget(entry);
	foreach (cell, rows)
	{
		sdes_entry_remember(lfirst(cell));
		note_active(lfirst(cell));
	}
	list_free_deep(rows);
	seen = now;
}

/*
 * Invalidations are looked for at each use, so that a revocation ends a statement under
 * way, in a parallel worker and on a standby, too: one that only reads on takes no lock,
 * and would hear of no change. To the callers' callers it is as if a function had opened
 * a table. Without news it costs a look at one flag in shared memory.
 */
void
sdes_entries_ready(void)
{
	start();
	if (!sdes_must_not_wait())
	{
		AcceptInvalidationMessages();
		if (sdes_expiry_due())
			sweep(false);
	}
	if (seen == changes && OidIsValid(dek_table))
		return;
	if (!sdes_must_not_wait())
		refresh();
	else if (!OidIsValid(dek_table))
		sdes_keyring_report_unprepared();
}

/* The entry of a key id, from its row if need be; NULL when there is no row. */
SdesKeyEntry *
sdes_entry_of(const uint8 *key_id)
{
	SdesKeyEntry *entry = sdes_entry_find(key_id);
	SdesDekRow row;

	if (entry != NULL || sdes_must_not_wait())
		return entry;
	return sdes_store_dek_by_id(key_id, &row) ? sdes_entry_remember(&row) : NULL;
}

/* A bucket's active key; NULL if it has none. */
const SdesActiveEntry *
sdes_entry_active(const uint8 *bucket, SdesDekPurpose purpose)
{
	ActiveSlot slot;

	sdes_entries_ready();
	memset(&slot, 0, sizeof(slot));
	memcpy(slot.bucket, bucket, SDES_UUID_SIZE);
	slot.purpose = purpose;
	return sdes_recent_find(&recent_actives, actives, &slot, sizeof(slot),
	                        bucket[0] ^ purpose);
}

bool
sdes_entries_stale(void)
{
	return keys == NULL || seen != changes;
}

bool
sdes_entries_incoming(void)
{
	return incoming;
}
