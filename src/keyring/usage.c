/*
 * usage.c
 *		Counting messages in shared memory, and reserving blocks of them.
 *
 * A slot holds what is left of the blocks that were reserved of a key of a database. To
 * take some is one atomic subtraction; who finds that it took more than was there
 * reserves another block, or what is missing, before it seals. Where nothing can be reserved the
 * slot stays overdrawn, within limits, and the next one who can makes it good.
 *
 * There are slots for the keys in use. Should there be more keys, a slot changes hands,
 * and what was left in it is lost. Its turn number, which shares a word with what is left,
 * tells a backend that still takes from it that it is not its key's any more.
 */
#include "postgres.h"

#include "keyring/usage.h"

#include "access/xlog.h"
#include "agentlink/agentlink.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "sdes_errors.h"
#include "sdes_shmem.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/lwlock.h"

#define SLOTS 4096

/*
 * How far a slot may be overdrawn: where the server must not wait, or the row of a key is
 * still to be restored; and on a standby, which can reserve nothing at all. A crash
 * forgets it.
 */
#define OVERDRAFT         SDES_USAGE_BLOCK
#define STANDBY_OVERDRAFT SDES_USAGE_HARD

/* What is left is less than zero in an overdrawn slot: stored with a bias. */
#define LEFT_BITS 40
#define LEFT_MASK ((UINT64CONST(1) << LEFT_BITS) - 1)
#define LEFT_BIAS (INT64CONST(1) << (LEFT_BITS - 1))

typedef struct Slot
{
	/* the lock covers these */
	Oid database;
	uint8 key_id[SDES_KEY_ID_SIZE];

	pg_atomic_uint64 state; /* turn and what is left; the turn changes under the lock */
} Slot;

typedef struct Usage
{
	LWLock *lock;
	int nslots; /* that were ever used */
	int next;   /* to be taken from its key, once all are used */
	Slot slots[SLOTS];
} Usage;

/* Where this backend found a key's slot. */
typedef struct Place
{
	uint8 key_id[SDES_KEY_ID_SIZE];
	Slot *slot; /* NULL: nowhere yet */
	uint64 turn;
} Place;

#define PLACES 16

static Usage *usage = NULL;
static Place places[PLACES];

static uint64
make_state(uint64 turn, int64 left)
{
	return turn << LEFT_BITS | (uint64) (left + LEFT_BIAS);
}

static uint64
turn_of(uint64 state)
{
	return state >> LEFT_BITS;
}

static int64
left_of(uint64 state)
{
	return (int64) (state & LEFT_MASK) - LEFT_BIAS;
}

static void
make_usage(void *memory, LWLock *lock)
{
	Usage *made = memory;

	for (int i = 0; i < SLOTS; i++)
		pg_atomic_init_u64(&made->slots[i].state, make_state(0, 0));
	made->lock = lock;
}

void
sdes_usage_init(void)
{
	sdes_shmem_add("sdes usage", sizeof(Usage), sizeof(Usage), (void **) &usage,
	               make_usage);
}

/* ---- slots ---- */

static Slot *
find_slot(const uint8 *key_id)
{
	for (int i = 0; i < usage->nslots; i++)
	{
		Slot *slot = &usage->slots[i];

		if (slot->database == MyDatabaseId &&
		    memcmp(slot->key_id, key_id, SDES_KEY_ID_SIZE) == 0)
			return slot;
	}
	return NULL;
}

/* Gives a slot its next turn; false if it is overdrawn, which must not be forgotten. */
static bool
empty_slot(Slot *slot)
{
	uint64 state = pg_atomic_read_u64(&slot->state);

	while (left_of(state) >= 0)
		if (pg_atomic_compare_exchange_u64(
		        &slot->state, &state,
		        make_state((turn_of(state) + 1) & (UINT64_MAX >> LEFT_BITS), 0)))
			return true;
	return false;
}

/* A slot for a key that has none, the lock being held; NULL if all are overdrawn. */
static Slot *
make_slot(const uint8 *key_id)
{
	Slot *slot = NULL;

	if (usage->nslots < SLOTS)
		slot = &usage->slots[usage->nslots++];
	for (int i = 0; slot == NULL && i < SLOTS; i++)
	{
		if (empty_slot(&usage->slots[usage->next]))
			slot = &usage->slots[usage->next];
		usage->next = (usage->next + 1) % SLOTS;
	}
	if (slot == NULL)
		return NULL;
	slot->database = MyDatabaseId;
	memcpy(slot->key_id, key_id, SDES_KEY_ID_SIZE);
	return slot;
}

/* Finds or makes the slot of a key, for which the place is. */
static void
look_up(Place *place, const uint8 *key_id)
{
	Slot *slot;

	LWLockAcquire(usage->lock, LW_EXCLUSIVE);
	slot = find_slot(key_id);
	if (slot == NULL)
		slot = make_slot(key_id);
	if (slot != NULL)
		place->turn = turn_of(pg_atomic_read_u64(&slot->state));
	LWLockRelease(usage->lock);
	if (slot == NULL)
		ereport(ERROR,
		        (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
		         errmsg("too many encryption keys are in use to count what they seal"),
		         SDES_KEEP_OUT_OF_LOG));
	place->slot = slot;
	memcpy(place->key_id, key_id, SDES_KEY_ID_SIZE);
}

static Place *
place_of(const uint8 *key_id)
{
	Place *place = &places[key_id[0] % PLACES];

	if (place->slot == NULL || memcmp(place->key_id, key_id, SDES_KEY_ID_SIZE) != 0)
		look_up(place, key_id);
	return place;
}

/*
 * Adds to what is left, which n < 0 takes from. False if the slot is another key's by now:
 * then what was left in it is lost. *left is what is there now.
 */
static bool
add(const Place *place, int64 n, int64 *left)
{
	uint64 state = pg_atomic_fetch_add_u64(&place->slot->state, n);

	if (turn_of(state) == place->turn)
	{
		*left = left_of(state) + n;
		return true;
	}
	/* Back to whom it belongs. */
	pg_atomic_fetch_sub_u64(&place->slot->state, n);
	return false;
}

/* ---- reserving ---- */

static void
report_used_up(const SdesKey *key)
{
	SdesBucketRow bucket;

	if (!sdes_store_bucket_by_uuid(key->bucket, &bucket))
		strlcpy(bucket.name, "?", sizeof(bucket.name));
	ereport(
	    ERROR,
	    (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
	     errmsg("encryption key version %u of bucket \"%s\" has sealed as many values as "
	            "a key may",
	            key->version, bucket.name),
	     errdetail("Under one key " INT64_FORMAT " values may be sealed.", SDES_USAGE_HARD),
	     errhint("Make a new one: SELECT sdes.rotate_bucket('%s').", bucket.name),
	     SDES_KEEP_OUT_OF_LOG));
}

static void
report_overdrawn(void)
{
	if (RecoveryInProgress())
		ereport(
		    ERROR,
		    (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
		     errmsg("this standby has sealed as many literals as it may under one key"),
		     errhint("Rotate the system bucket on the primary, or restart the standby."),
		     SDES_KEEP_OUT_OF_LOG));
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	                errmsg("what an encryption key seals cannot be counted"),
	                errhint("Its row of sdes.usage is missing, or still to be restored."),
	                SDES_KEEP_OUT_OF_LOG));
}

/* Where the count cannot be put down, what was taken stays, or is given back. */
static void
overdraw(const Place *place, int n, int64 left, int64 limit)
{
	if (left >= -limit)
		return;
	add(place, n, &left);
	report_overdrawn();
}

static int64
whole_blocks(int64 messages)
{
	return (messages + SDES_USAGE_BLOCK - 1) / SDES_USAGE_BLOCK * SDES_USAGE_BLOCK;
}

/*
 * Reserves as many blocks as the slot is overdrawn by, unless somebody else has done that
 * meanwhile. An error when the key is used up.
 */
static void
make_good(const SdesKey *key, const Place *place, int n)
{
	Oid table = sdes_table_oid(SDES_TABLE_USAGE);
	SdesReservation outcome = SDES_RESERVED;
	int64 left = 0;
	int64 missing;

	/* One at a time: a hundred who come at once must not take a block each. */
	LockDatabaseObject(RelationRelationId, table, 0, ExclusiveLock);
	if (add(place, 0, &left) && left < 0)
	{
		missing = whole_blocks(-left);
		outcome = sdes_store_reserve(key->key_id, missing, SDES_USAGE_HARD);
		if (outcome == SDES_RESERVED)
			add(place, missing, &left);
	}
	UnlockDatabaseObject(RelationRelationId, table, 0, ExclusiveLock);
	if (outcome == SDES_UNRESERVED)
		overdraw(place, n, left, OVERDRAFT);
	if (outcome == SDES_USED_UP)
	{
		add(place, n, &left);
		report_used_up(key);
	}
}

void
sdes_usage_take(const SdesKey *key, int n)
{
	Place *place = place_of(key->key_id);
	int64 left;

	while (!add(place, -n, &left))
		look_up(place, key->key_id);
	if (left >= 0)
		return;
	if (RecoveryInProgress())
		overdraw(place, n, left, STANDBY_OVERDRAFT);
	else if (sdes_must_not_wait())
		overdraw(place, n, left, OVERDRAFT);
	else
		make_good(key, place, n);
}

int64
sdes_usage_reserved(const uint8 *key_id)
{
	return Max(sdes_store_reserved(key_id), 0);
}

bool
sdes_usage_due(const uint8 *key_id)
{
	return sdes_store_reserved(key_id) >= SDES_USAGE_SOFT;
}
