/*
 * wake.c
 *		Shared memory: how a session tells the launcher that there is work, and a worker
 *		whether it left some.
 */
#include "postgres.h"

#include "rotation/rotation.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

typedef struct Report
{
	Oid database; /* InvalidOid: free */
	SdesRotationNext next;
} Report;

typedef struct WakeShared
{
	LWLock *lock;
	Latch *launcher;                           /* under the lock; NULL: not running */
	Report reports[2 * SDES_ROTATION_WORKERS]; /* under the lock */
	pg_atomic_uint64 calls;
} WakeShared;

static WakeShared *shared = NULL;
static bool wanted = false; /* by this transaction */
static shmem_startup_hook_type previous_startup = NULL;
#if PG_VERSION_NUM >= 150000
static shmem_request_hook_type previous_request = NULL;
#endif

static void
request(void)
{
#if PG_VERSION_NUM >= 150000
	if (previous_request)
		previous_request();
#endif
	RequestAddinShmemSpace(MAXALIGN(sizeof(WakeShared)));
	RequestNamedLWLockTranche("sdes rotation", 1);
}

static void
startup(void)
{
	bool found;

	if (previous_startup)
		previous_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("sdes rotation", sizeof(WakeShared), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(*shared));
		pg_atomic_init_u64(&shared->calls, 0);
		shared->lock = &GetNamedLWLockTranche("sdes rotation")->lock;
	}
	LWLockRelease(AddinShmemInitLock);
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
	SdesRotationNext next = SDES_ROTATION_WAIT;
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
#if PG_VERSION_NUM >= 150000
	previous_request = shmem_request_hook;
	shmem_request_hook = request;
#else
	request();
#endif
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = startup;
	RegisterXactCallback(end_of_transaction, NULL);
}
