/*
 * keyring.c
 *		Asking for a key: it is fetched if need be, checked, and not too old.
 *
 * Nothing can throw between making a cipher and putting it into its entry.
 */
#include "postgres.h"

#include "keyring/keyring.h"

#include "access/xact.h"
#include "keyring/buckets.h"
#include "keyring/entries.h"
#include "keyring/fetch.h"
#include "keyring/own_key.h"
#include "keyring/search_keys.h"
#include "keyring/usage.h"
#include "sdes_errors.h"
#include "utils/timestamp.h"

/* After a failed fetch during a restore, how long not to try that key again. */
#define RESTORE_RETRY_MS 10000

void
sdes_keyring_init(void)
{
	sdes_entries_init();
	sdes_buckets_init();
	sdes_search_keys_init();
	sdes_usage_init();
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

/* Gets the key anew; what was held stays if that fails. */
static SdesStatus
obtain(const uint8 *key_id, SdesPatience patience, SdesLinkFailure *failure)
{
	SdesDekRow row;
	SdesFetched fetched;
	SdesKeyEntry *entry;

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
	entry = sdes_entry_remember(&row);
	sdes_entry_let_go(entry);
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
	SdesKeyEntry *entry = sdes_entry_find(key_id);
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
		sdes_entry_let_go(entry);
		entry->expired = outage;
	}
	if (entry->expired && outage)
		explain_expiry(failure);
	return failure->status;
}

/* Whether the key is there and known to be young. Under a lock it is used as it is. */
static bool
at_hand(SdesKeyEntry *entry)
{
	return entry->held && (sdes_must_not_wait() || sdes_freshness_known(&entry->freshness));
}

/* Makes sure the entry's key is at hand and not too old. */
static SdesStatus
ensure(SdesKeyEntry *entry, SdesPatience patience, SdesLinkFailure *failure)
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
opened(SdesKeyEntry *entry)
{
	SdesLinkFailure failure;
	uint8 key_id[SDES_KEY_ID_SIZE];

	if (at_hand(entry))
		return &entry->key;
	memcpy(key_id, entry->key_id, sizeof(key_id));
	if (ensure(entry, SDES_PATIENT, &failure) != SDES_OK)
		sdes_report(ERROR, failure.status, failure.detail);
	entry = sdes_entry_find(key_id);
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

/* After sdes_entries_ready(), as usable(). */
static SdesKeyEntry *
known(const uint8 *key_id)
{
	SdesKeyEntry *entry = sdes_entry_of(key_id);

	if (entry == NULL)
		report_unknown(key_id);
	return entry;
}

/* Of a key in a state that opens nothing. */
static void
report_closed(const SdesKeyEntry *entry)
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
	SdesKeyEntry *entry = known(key_id);

	if (!sdes_entry_opens(entry))
		report_closed(entry);
	return opened(entry);
}

const SdesKey *
sdes_keyring_by_id(const uint8 *key_id)
{
	sdes_entries_ready();
	return usable(key_id);
}

const SdesKey *
sdes_keyring_for_renewal(const uint8 *key_id)
{
	SdesKeyEntry *entry;

	sdes_entries_ready();
	entry = known(key_id);
	if (entry->key.state == SDES_KEY_DESTROYED)
		report_closed(entry);
	return opened(entry);
}

const SdesKey *
sdes_keyring_try(const uint8 *key_id)
{
	SdesLinkFailure failure;
	SdesKeyEntry *entry;
	uint8 id[SDES_KEY_ID_SIZE];

	sdes_entries_ready();
	entry = sdes_entry_of(key_id);
	if (entry == NULL || !sdes_entry_opens(entry))
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
	entry = sdes_entry_find(id);
	return &entry->key;
}

void
sdes_keyring_unreachable(const uint8 *key_id)
{
	SdesKeyEntry *entry = sdes_entry_find(key_id);

	if (entry != NULL)
		entry->failed_at = GetCurrentTimestamp();
}

bool
sdes_keyring_owner(const uint8 *key_id, SdesKeyOwner *owner)
{
	/* These never change: no news is looked for, which would cost each value. */
	SdesKeyEntry *entry = sdes_entries_stale() ? NULL : sdes_entry_find(key_id);

	if (entry == NULL)
	{
		sdes_entries_ready();
		entry = sdes_entry_of(key_id);
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
	sdes_entries_ready();
	return known(key_id)->key.state;
}

static bool
has_own_active(const uint8 *bucket, SdesDekPurpose purpose)
{
	const SdesActiveEntry *active = sdes_entry_active(bucket, purpose);

	return active != NULL && !active->foreign;
}

const SdesKey *
sdes_keyring_active(const uint8 *bucket, SdesDekPurpose purpose)
{
	const SdesActiveEntry *active = sdes_entry_active(bucket, purpose);
	uint8 key_id[SDES_KEY_ID_SIZE];

	/* Nothing is sealed by a search key, and values must be found under the same one. */
	if (active != NULL && active->foreign && purpose != SDES_PURPOSE_SEARCH)
	{
		if (sdes_must_not_wait())
			sdes_keyring_report_unprepared();
		sdes_keyring_await_own(bucket, purpose, has_own_active);
		active = sdes_entry_active(bucket, purpose);
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
	const SdesActiveEntry *active =
	    system ? sdes_entry_active(system->uuid, SDES_PURPOSE_SEARCH) : NULL;
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
	const SdesActiveEntry *found;
	uint8 key_id[SDES_KEY_ID_SIZE];

	sdes_entries_ready();
	if (!sdes_entries_incoming())
		return NULL;
	found = sdes_entry_active(sdes_keyring_system_bucket()->uuid, SDES_INCOMING_SEARCH);
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
	const SdesActiveEntry *active = sdes_entry_active(bucket, purpose);
	uint8 key_id[SDES_KEY_ID_SIZE];
	SdesLinkFailure failure;
	SdesKeyEntry *entry;

	if (active == NULL)
		return false;
	memcpy(key_id, active->key_id, SDES_KEY_ID_SIZE);
	entry = sdes_entry_of(key_id);
	if (entry == NULL || !sdes_entry_opens(entry))
		return false;
	if (!likely && sdes_keyring_try(key_id) == NULL)
		return false;
	if (likely && ensure(entry, SDES_PATIENT, &failure) != SDES_OK)
	{
		unprepared = failure;
		unprepared_in = GetCurrentStatementStartTimestamp();
		return false;
	}
	entry = sdes_entry_find(key_id);
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
