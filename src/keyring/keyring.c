/*
 * keyring.c
 *		The cache of open keys.
 *
 * Invariant: an entry in the table is always whole: the row it was made from,
 * and the key, or in mode hsm the fact, that row commits to. Nothing can throw
 * between making a cipher and putting it into its entry.
 *
 * Expanded keys may live on OpenSSL's plain heap, so they are freed (and wiped) on
 * eviction and at exit, and the process is undumpable from its start.
 */
#include "postgres.h"

#include "keyring/keyring.h"

#include "access/xact.h"
#include "keyring/buckets.h"
#include "keyring/fetch.h"
#include "keyring/freshness.h"
#include "keyring/own_key.h"
#include "keyring/search_keys.h"
#include "keyring/usage.h"
#include "miscadmin.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "sdes_recent.h"
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
	SdesKey key;
	bool held; /* fetched and proven; key.aead or key.mac is there in mode cached */
	uint8 commitment[SDES_COMMITMENT_SIZE];
	uint8 binding[SDES_DEK_BINDING_SIZE]; /* what the commitment covers */
	SdesFreshness freshness;
	bool expired;          /* let go of for its age, and not had since */
	TimestampTz failed_at; /* of the last fetch that failed */
	TimestampTz needed_in; /* the last statement that it was made ready for */
} KeyEntry;

/* In place of a purpose: the incoming search key. */
#define INCOMING_SEARCH ((SdesDekPurpose) (0x80 | SDES_PURPOSE_SEARCH))

typedef struct ActiveSlot
{
	uint8 bucket[SDES_UUID_SIZE];
	SdesDekPurpose purpose;
} ActiveSlot;

typedef struct ActiveEntry
{
	ActiveSlot slot; /* hash key */
	uint8 key_id[SDES_KEY_ID_SIZE];
	bool foreign; /* made by another database: seals nothing here */
} ActiveEntry;

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
static KeyEntry *
find(const uint8 *key_id)
{
	return sdes_recent_find(&recent_keys, keys, key_id, SDES_KEY_ID_SIZE, key_id[0]);
}

/* Wipes the key; what its row says stays. */
static void
let_go(KeyEntry *entry)
{
	sdes_aead_free(entry->key.aead);
	sdes_mac_free(entry->key.mac);
	entry->key.aead = NULL;
	entry->key.mac = NULL;
	entry->held = false;
}

static void
forget(KeyEntry *entry)
{
	let_go(entry);
	sdes_recent_forget(&recent_keys);
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

/*
 * A statement that compares under locks keeps the keys that were made ready for it,
 * however long it takes: it could not fetch them again.
 */
static bool
is_needed(const KeyEntry *entry)
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
	KeyEntry *entry;
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
			let_go(entry);
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
	actives = make_table("sdes active keys", sizeof(ActiveSlot), sizeof(ActiveEntry));
	keys = make_table("sdes keys", SDES_KEY_ID_SIZE, sizeof(KeyEntry));
	before_shmem_exit(forget_all, 0);
}

void
sdes_keyring_init(void)
{
	CacheRegisterRelcacheCallback(invalidate, (Datum) 0);
	RegisterXactCallback(sweep_at_end, NULL);
	sdes_buckets_init();
	sdes_search_keys_init();
	sdes_usage_init();
}

static bool
opens_values(const KeyEntry *entry)
{
	return entry->key.state == SDES_KEY_ACTIVE ||
	       entry->key.state == SDES_KEY_DECRYPT_ONLY ||
	       entry->key.state == SDES_KEY_INCOMING;
}

/*
 * Puts what a row says into its entry. A key that was fetched for a row that said
 * anything else is let go of, and so is one that opens nothing any more.
 */
static KeyEntry *
remember(const SdesDekRow *row)
{
	bool found;
	KeyEntry *entry = hash_search(keys, row->binding.key_id, HASH_ENTER, &found);
	uint8 binding[SDES_DEK_BINDING_SIZE];

	sdes_dek_binding_encode(&row->binding, binding);
	if (!found)
		memset((char *) entry + SDES_KEY_ID_SIZE, 0, sizeof(*entry) - SDES_KEY_ID_SIZE);
	else if (memcmp(entry->commitment, row->commitment, sizeof(entry->commitment)) != 0 ||
	         memcmp(entry->binding, binding, sizeof(binding)) != 0)
		let_go(entry);
	memcpy(entry->commitment, row->commitment, sizeof(entry->commitment));
	memcpy(entry->binding, binding, sizeof(binding));
	memcpy(entry->key.key_id, row->binding.key_id, SDES_KEY_ID_SIZE);
	memcpy(entry->key.bucket, row->binding.bucket, SDES_UUID_SIZE);
	memcpy(entry->key.kek_id, row->binding.kek_id, SDES_KEK_ID_SIZE);
	entry->key.version = row->binding.version;
	entry->key.purpose = row->binding.purpose;
	entry->key.mode = row->binding.mode;
	entry->key.state = row->state;
	if (!opens_values(entry))
		let_go(entry);
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
is_preferred(const SdesDekRow *row, const ActiveEntry *active)
{
	const KeyEntry *other = find(active->key_id);

	if (active->foreign != row->foreign)
		return active->foreign;
	return other == NULL || other->key.version < row->binding.version;
}

static void
note_active(const SdesDekRow *row)
{
	ActiveSlot slot;
	ActiveEntry *active;
	bool found;

	if (row->state != SDES_KEY_ACTIVE && row->state != SDES_KEY_INCOMING)
		return;
	memset(&slot, 0, sizeof(slot));
	memcpy(slot.bucket, row->binding.bucket, SDES_UUID_SIZE);
	slot.purpose = row->state == SDES_KEY_INCOMING ? INCOMING_SEARCH : row->binding.purpose;
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
	ActiveEntry *active;
	KeyEntry *entry;

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
		remember(lfirst(cell));
		note_active(lfirst(cell));
	}
	list_free_deep(rows);
	seen = now;
}

/* Why a statement's keys could not be made ready, which it may do without. */
static SdesLinkFailure unprepared;
static TimestampTz unprepared_in = 0;

void
sdes_keyring_report_unprepared(void)
{
	if (unprepared_in != 0 && unprepared_in == GetCurrentStatementStartTimestamp())
		sdes_report(ERROR, unprepared.status, unprepared.detail);
	ereport(ERROR,
	        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	         errmsg("encryption keys are not at hand where the server must not wait"),
	         errhint("Try again."), SDES_KEEP_OUT_OF_LOG));
}

/*
 * Invalidations are looked for at each use, so that a revocation ends a statement under
 * way, in a parallel worker and on a standby, too: one that only reads on takes no lock,
 * and would hear of no change. To the callers' callers it is as if a function had opened
 * a table. Without news it costs a look at one flag in shared memory.
 */
static void
ready(void)
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
static KeyEntry *
entry_of(const uint8 *key_id)
{
	KeyEntry *entry = find(key_id);
	SdesDekRow row;

	if (entry != NULL || sdes_must_not_wait())
		return entry;
	return sdes_store_dek_by_id(key_id, &row) ? remember(&row) : NULL;
}

/* Gets the key anew; what was held stays if that fails. */
static SdesStatus
obtain(const uint8 *key_id, SdesPatience patience, SdesLinkFailure *failure)
{
	SdesDekRow row;
	SdesFetched fetched;
	KeyEntry *entry;

	if (sdes_must_not_wait())
		sdes_keyring_report_unprepared();
	if (!sdes_store_dek_by_id(key_id, &row))
	{
		failure->status = SDES_ERR_HSM_KEY_MISSING;
		failure->detail[0] = '\0';
		return failure->status;
	}
	if (sdes_fetch_key(&row, patience, &fetched, failure) != SDES_OK)
		return failure->status;
	entry = remember(&row);
	let_go(entry);
	entry->key.aead = fetched.aead;
	entry->key.mac = fetched.mac;
	entry->held = true;
	entry->expired = false;
	entry->failed_at = 0;
	sdes_freshness_start(&entry->freshness);
	if (entry->key.mode == SDES_MODE_CACHED)
		sdes_agentlink_key_fetched();
	sdes_expiry_set(sdes_freshness_left_ms(&entry->freshness));
	return SDES_OK;
}

static void
explain_expiry(SdesLinkFailure *failure)
{
	const char *expired = "The key that this session had cached has expired "
	                      "(sdes.key_cache_max_age).";
	char detail[sizeof(failure->detail)];

	strlcpy(detail, failure->detail, sizeof(detail));
	if (strlen(detail) + strlen(expired) + 2 > sizeof(detail))
		detail[sizeof(detail) - strlen(expired) - 2] = '\0';
	snprintf(failure->detail, sizeof(failure->detail), "%s%s%s", detail,
	         detail[0] ? " " : "", expired);
}

/*
 * What a refresh that failed means for the key: an outage leaves it until it has
 * expired, anything else was said of the key and ends it.
 */
static SdesStatus
without_refresh(const uint8 *key_id, SdesKeyAge age, SdesLinkFailure *failure)
{
	KeyEntry *entry = find(key_id);
	bool outage = sdes_is_outage(failure->status);

	if (entry == NULL)
		return failure->status;
	if (entry->held && outage && age == SDES_KEY_STALE)
	{
		sdes_refresh_ended(true);
		return SDES_OK;
	}
	if (entry->held)
	{
		let_go(entry);
		entry->expired = outage;
	}
	if (entry->expired && outage)
		explain_expiry(failure);
	return failure->status;
}

/* Whether the key is there and known to be young. Under a lock it is used as it is. */
static bool
at_hand(KeyEntry *entry)
{
	return entry->held && (sdes_must_not_wait() || sdes_freshness_known(&entry->freshness));
}

/* Makes sure the entry's key is at hand and not too old. */
static SdesStatus
ensure(KeyEntry *entry, SdesPatience patience, SdesLinkFailure *failure)
{
	SdesKeyAge age = SDES_KEY_EXPIRED;
	uint8 key_id[SDES_KEY_ID_SIZE];

	if (at_hand(entry))
		return SDES_OK;
	if (entry->held)
	{
		age = sdes_freshness_age(&entry->freshness);
		if (age == SDES_KEY_FRESH || (age == SDES_KEY_STALE && !sdes_refresh_due()))
			return SDES_OK;
		/* With a key at hand, nobody waits long for a younger one. */
		if (age == SDES_KEY_STALE)
			patience = SDES_BRIEF;
	}
	/* Waiting may process invalidations, but nobody frees entries meanwhile. */
	memcpy(key_id, entry->key_id, sizeof(key_id));
	if (obtain(key_id, patience, failure) != SDES_OK)
		return without_refresh(key_id, age, failure);
	sdes_refresh_ended(false);
	return SDES_OK;
}

static void
report_unknown(const uint8 *key_id)
{
	char id[2 * SDES_KEY_ID_SIZE + 1];

	sdes_hex(sdes_bytes(key_id, SDES_KEY_ID_SIZE), id);
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

	if (at_hand(entry))
		return &entry->key;
	memcpy(key_id, entry->key_id, sizeof(key_id));
	if (ensure(entry, SDES_PATIENT, &failure) != SDES_OK)
		sdes_report(ERROR, failure.status, failure.detail);
	entry = find(key_id);
	return &entry->key;
}

/* Of a key that was revoked: since when and why, as its row says. */
static void
report_revoked(const SdesDekRow *row)
{
	SdesBucketRow bucket;

	if (!sdes_store_bucket_by_uuid(row->binding.bucket, &bucket))
		strlcpy(bucket.name, "?", sizeof(bucket.name));
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	                errmsg("encryption key version %u of bucket \"%s\" was revoked",
	                       row->binding.version, bucket.name),
	                errdetail("Since %s, because: %s", timestamptz_to_str(row->retired_at),
	                          row->reason),
	                errhint("Values under it can be read again once they are re-encrypted "
	                        "under the bucket's active key."),
	                SDES_KEEP_OUT_OF_LOG));
}

/* After ready(), as usable(). */
static KeyEntry *
known(const uint8 *key_id)
{
	KeyEntry *entry = entry_of(key_id);

	if (entry == NULL)
		report_unknown(key_id);
	return entry;
}

/* Of a key in a state that opens nothing. */
static void
report_closed(const KeyEntry *entry)
{
	SdesDekRow row;

	/* Where no row can be read, less is said. */
	if (entry->key.state == SDES_KEY_RETIRED && !sdes_must_not_wait() &&
	    sdes_store_dek_by_id(entry->key_id, &row) && row.reason != NULL &&
	    row.retired_at != 0)
		report_revoked(&row);
	ereport(ERROR,
	        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	         errmsg("encryption key version %u is %s", entry->key.version,
	                sdes_state_name(entry->key.state)),
	         errhint("Values under it cannot be opened any more."), SDES_KEEP_OUT_OF_LOG));
}

static const SdesKey *
usable(const uint8 *key_id)
{
	KeyEntry *entry = known(key_id);

	if (!opens_values(entry))
		report_closed(entry);
	return opened(entry);
}

const SdesKey *
sdes_keyring_by_id(const uint8 *key_id)
{
	ready();
	return usable(key_id);
}

const SdesKey *
sdes_keyring_for_renewal(const uint8 *key_id)
{
	KeyEntry *entry;

	ready();
	entry = known(key_id);
	if (entry->key.state == SDES_KEY_DESTROYED)
		report_closed(entry);
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
	if (entry == NULL || !opens_values(entry))
		return NULL;
	if (entry->failed_at != 0 &&
	    !TimestampDifferenceExceeds(entry->failed_at, GetCurrentTimestamp(),
	                                RESTORE_RETRY_MS))
		return NULL;
	memcpy(id, entry->key_id, sizeof(id));
	if (ensure(entry, SDES_ONCE, &failure) != SDES_OK)
	{
		sdes_keyring_unreachable(id);
		return NULL;
	}
	entry = find(id);
	return &entry->key;
}

void
sdes_keyring_unreachable(const uint8 *key_id)
{
	KeyEntry *entry = find(key_id);

	if (entry != NULL)
		entry->failed_at = GetCurrentTimestamp();
}

bool
sdes_keyring_owner(const uint8 *key_id, SdesKeyOwner *owner)
{
	/* These never change: no news is looked for, which would cost each value. */
	KeyEntry *entry = keys != NULL && seen == changes ? find(key_id) : NULL;

	if (entry == NULL)
	{
		ready();
		entry = entry_of(key_id);
	}
	if (entry == NULL)
		return false;
	memcpy(owner->bucket, entry->key.bucket, SDES_UUID_SIZE);
	owner->purpose = entry->key.purpose;
	owner->mode = entry->key.mode;
	return true;
}

SdesKeyState
sdes_keyring_state(const uint8 *key_id)
{
	ready();
	return known(key_id)->key.state;
}

/* A bucket's active key; NULL if it has none. */
static const ActiveEntry *
find_active(const uint8 *bucket, SdesDekPurpose purpose)
{
	ActiveSlot slot;

	ready();
	memset(&slot, 0, sizeof(slot));
	memcpy(slot.bucket, bucket, SDES_UUID_SIZE);
	slot.purpose = purpose;
	return sdes_recent_find(&recent_actives, actives, &slot, sizeof(slot),
	                        bucket[0] ^ purpose);
}

static bool
has_own_active(const uint8 *bucket, SdesDekPurpose purpose)
{
	const ActiveEntry *active = find_active(bucket, purpose);

	return active != NULL && !active->foreign;
}

const SdesKey *
sdes_keyring_active(const uint8 *bucket, SdesDekPurpose purpose)
{
	const ActiveEntry *active = find_active(bucket, purpose);
	uint8 key_id[SDES_KEY_ID_SIZE];

	/* Nothing is sealed by a search key, and values must be found under the same one. */
	if (active != NULL && active->foreign && purpose != SDES_PURPOSE_SEARCH)
	{
		if (sdes_must_not_wait())
			sdes_keyring_report_unprepared();
		sdes_keyring_await_own(bucket, purpose, has_own_active);
		active = find_active(bucket, purpose);
	}
	if (active == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		                errmsg("bucket has no active encryption key"),
		                errhint("See SELECT * FROM sdes.keys."), SDES_KEEP_OUT_OF_LOG));
	/* A copy: the entry may go while the key is fetched. */
	memcpy(key_id, active->key_id, SDES_KEY_ID_SIZE);
	return usable(key_id);
}

const SdesKey *
sdes_keyring_search(void)
{
	return sdes_keyring_active(sdes_keyring_system_bucket()->uuid, SDES_PURPOSE_SEARCH);
}

bool
sdes_keyring_can_search(void)
{
	const SdesBucketRow *system = sdes_keyring_find_system_bucket();
	const ActiveEntry *active =
	    system ? find_active(system->uuid, SDES_PURPOSE_SEARCH) : NULL;
	uint8 key_id[SDES_KEY_ID_SIZE];

	if (active == NULL)
		return false;
	/* A copy: the entry may go while the key is fetched. */
	memcpy(key_id, active->key_id, SDES_KEY_ID_SIZE);
	return sdes_keyring_try(key_id) != NULL;
}

const SdesKey *
sdes_keyring_search_next(void)
{
	const ActiveEntry *found;
	uint8 key_id[SDES_KEY_ID_SIZE];

	ready();
	if (!incoming)
		return NULL;
	found = find_active(sdes_keyring_system_bucket()->uuid, INCOMING_SEARCH);
	if (found == NULL)
		return NULL;
	/* A copy: the entry may go while the key is fetched. */
	memcpy(key_id, found->key_id, SDES_KEY_ID_SIZE);
	return usable(key_id);
}

/* Tries to have a key at hand; whether it is. */
static bool
prepare(const uint8 *bucket, SdesDekPurpose purpose, bool likely)
{
	const ActiveEntry *active = find_active(bucket, purpose);
	uint8 key_id[SDES_KEY_ID_SIZE];
	SdesLinkFailure failure;
	KeyEntry *entry;

	if (active == NULL)
		return false;
	memcpy(key_id, active->key_id, SDES_KEY_ID_SIZE);
	entry = entry_of(key_id);
	if (entry == NULL || !opens_values(entry))
		return false;
	if (!likely && sdes_keyring_try(key_id) == NULL)
		return false;
	if (likely && ensure(entry, SDES_PATIENT, &failure) != SDES_OK)
	{
		unprepared = failure;
		unprepared_in = GetCurrentStatementStartTimestamp();
		return false;
	}
	entry = find(key_id);
	if (entry != NULL)
		entry->needed_in = GetCurrentStatementStartTimestamp();
	return entry != NULL;
}

void
sdes_keyring_prepare(bool likely)
{
	const SdesBucketRow *system = sdes_keyring_find_system_bucket();
	uint8 bucket[SDES_UUID_SIZE];

	if (system == NULL)
		return;
	memcpy(bucket, system->uuid, SDES_UUID_SIZE);
	/* A token takes the search key; of a literal, that of literals, too. */
	if (prepare(bucket, SDES_PURPOSE_SEARCH, likely))
		(void) prepare(bucket, SDES_PURPOSE_LITERAL, likely);
}
