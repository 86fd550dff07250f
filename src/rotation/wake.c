/*
 * wake.c
 *		Shared memory: how a session tells the launcher that there is work, and a worker
 *		whether it left some.
 */
#include "postgres.h"

#include "rotation/rotation.h"

#include "access/xact.h"
#include "keyring/keyring.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "rotation/internal.h"
#include "sdes_shmem.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

typedef struct Report
{
	Oid database; /* InvalidOid: free */
	SdesRotationNext next;
} Report;

/* A key that somebody waits for, and asks for again if nothing comes of it. */
typedef struct Wish
{
	Oid database; /* InvalidOid: free */
	uint8 bucket[SDES_UUID_SIZE];
} Wish;

#define WISHES 64

typedef struct WakeShared
{
	LWLock *lock;
	Latch *launcher;                           /* under the lock; NULL: not running */
	Report reports[2 * SDES_ROTATION_WORKERS]; /* under the lock */
	Wish wishes[WISHES];                       /* under the lock */
	int next_wish;                             /* under the lock: the next to be lost */
	pg_atomic_uint64 calls;
} WakeShared;

static WakeShared *shared = NULL;
static bool wanted = false; /* by this transaction */
static bool is_worker = false;

static void
make_shared(void *memory, LWLock *lock)
{
	WakeShared *made = memory;

	pg_atomic_init_u64(&made->calls, 0);
	made->lock = lock;
}

static void
call(void)
{
	pg_atomic_fetch_add_u64(&shared->calls, 1);
	LWLockAcquire(shared->lock, LW_SHARED);
	if (shared->launcher != NULL)
		SetLatch(shared->launcher);
	LWLockRelease(shared->lock);
}

static void
end_of_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && wanted)
		call();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
	    event == XACT_EVENT_PREPARE)
		wanted = false;
}

void
sdes_rotation_wake(void)
{
	wanted = true;
}

static bool
is_wish(const Wish *wish, const uint8 *bucket)
{
	return wish->database == MyDatabaseId &&
	       memcmp(wish->bucket, bucket, SDES_UUID_SIZE) == 0;
}

bool
sdes_rotation_wish(const uint8 *bucket)
{
	Wish *place = NULL;

	if (is_worker)
		return false;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < WISHES; i++)
		if (is_wish(&shared->wishes[i], bucket))
			place = &shared->wishes[i];
	if (place == NULL)
	{
		place = &shared->wishes[shared->next_wish];
		shared->next_wish = (shared->next_wish + 1) % WISHES;
	}
	place->database = MyDatabaseId;
	memcpy(place->bucket, bucket, SDES_UUID_SIZE);
	LWLockRelease(shared->lock);
	call();
	return true;
}

bool
sdes_rotation_is_wished(Oid database)
{
	bool found = false;

	LWLockAcquire(shared->lock, LW_SHARED);
	for (int i = 0; i < WISHES && !found; i++)
		found = shared->wishes[i].database == database;
	LWLockRelease(shared->lock);
	return found;
}

bool
sdes_rotation_take_wish(uint8 bucket[SDES_UUID_SIZE])
{
	bool found = false;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < WISHES && !found; i++)
	{
		Wish *wish = &shared->wishes[i];

		found = wish->database == MyDatabaseId;
		if (!found)
			continue;
		memcpy(bucket, wish->bucket, SDES_UUID_SIZE);
		wish->database = InvalidOid;
	}
	LWLockRelease(shared->lock);
	return found;
}

void
sdes_rotation_worker_begins(void)
{
	is_worker = true;
}

static void
stop_listening(int code, Datum arg)
{
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher = NULL;
	LWLockRelease(shared->lock);
}

void
sdes_rotation_listen(void)
{
	before_shmem_exit(stop_listening, 0);
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->launcher = MyLatch;
	LWLockRelease(shared->lock);
}

uint64
sdes_rotation_calls(void)
{
	return pg_atomic_read_u64(&shared->calls);
}

static Report *
report_of(Oid database)
{
	for (int i = 0; i < (int) lengthof(shared->reports); i++)
		if (shared->reports[i].database == database)
			return &shared->reports[i];
	return NULL;
}

void
sdes_rotation_report(Oid database, SdesRotationNext next)
{
	Report *report;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	report = report_of(database);
	if (report == NULL)
		report = report_of(InvalidOid);
	if (report != NULL)
		*report = (Report){database, next};
	LWLockRelease(shared->lock);
}

SdesRotationNext
sdes_rotation_reported(Oid database)
{
	SdesRotationNext next = SDES_ROTATION_FAILED;
	Report *report;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	report = report_of(database);
	if (report != NULL)
	{
		next = report->next;
		report->database = InvalidOid;
	}
	LWLockRelease(shared->lock);
	return next;
}

void
sdes_rotation_init(void)
{
	sdes_shmem_add("sdes rotation", sizeof(WakeShared), sizeof(WakeShared),
	               (void **) &shared, make_shared);
	RegisterXactCallback(end_of_transaction, NULL);
	sdes_keyring_set_maker(sdes_rotation_wish);
}
