/*
 * shared.c
 *		Shared memory of supervisor and backends.
 *
 * It holds the secret by which the agent knows its server's processes, which
 * is why the postmaster and all that it forks are undumpable.
 */
#include "postgres.h"

#include "agentlink/shared.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "sdes_guc.h"
#include "sdes_shmem.h"
#include "storage/ipc.h"
#include "storage/pg_shmem.h"
#include "utils/timestamp.h"

SdesShared *sdes_shared = NULL;

static bool access_changed = false; /* by this transaction */

/* KEKs of this transaction that exist in the HSM but are not committed here. */
static int npending = 0;
static SdesOrphan pending[SDES_MAX_ORPHANS];

static void
make_shared(void *memory, LWLock *lock)
{
	SdesShared *shared = memory;

	pg_atomic_init_u64(&shared->access_changes, 0);
	pg_atomic_init_u64(&shared->last_fetch, 0);
	pg_atomic_init_u32(&shared->serving, 0);
	shared->lock = lock;
}

int
sdes_agentlink_count(void)
{
	int n;

	if (sdes_agent_socket[0] != '\0')
		return sdes_config_count(sdes_agent_socket);
	LWLockAcquire(sdes_shared->lock, LW_SHARED);
	n = sdes_shared->nlinks;
	LWLockRelease(sdes_shared->lock);
	return Max(n, 1);
}

SdesAgentPublic
sdes_agentlink_public(int link)
{
	SdesAgentPublic published;

	LWLockAcquire(sdes_shared->lock, LW_SHARED);
	published = sdes_shared->links[link].published;
	LWLockRelease(sdes_shared->lock);
	return published;
}

void
sdes_link_serves(int link)
{
	if (pg_atomic_read_u32(&sdes_shared->serving) != (uint32) link)
		pg_atomic_write_u32(&sdes_shared->serving, (uint32) link);
}

int
sdes_agentlink_serving(void)
{
	return (int) pg_atomic_read_u32(&sdes_shared->serving);
}

bool
sdes_agentlink_is_private(void)
{
	return shared_memory_type == SHMEM_TYPE_MMAP;
}

void
sdes_agentlink_publish(int link, const SdesAgentPublic *published,
                       const uint8 secret[SDES_AGENT_SECRET_SIZE])
{
	LWLockAcquire(sdes_shared->lock, LW_EXCLUSIVE);
	sdes_shared->links[link].published = *published;
	memcpy(sdes_shared->links[link].secret, secret, SDES_AGENT_SECRET_SIZE);
	sdes_shared->supervisor_latch = published->supervisor_pid ? MyLatch : NULL;
	LWLockRelease(sdes_shared->lock);
}

void
sdes_agentlink_publish_count(int n)
{
	LWLockAcquire(sdes_shared->lock, LW_EXCLUSIVE);
	sdes_shared->nlinks = n;
	LWLockRelease(sdes_shared->lock);
}

void
sdes_link_suspect(int link, const uint8 *kek_id)
{
	LWLockAcquire(sdes_shared->lock, LW_EXCLUSIVE);
	sdes_shared->links[link].suspect = true;
	memcpy(sdes_shared->links[link].suspect_kek, kek_id, SDES_KEK_ID_SIZE);
	LWLockRelease(sdes_shared->lock);
}

bool
sdes_agentlink_suspected(int link, uint8 *kek_id)
{
	bool suspect;

	LWLockAcquire(sdes_shared->lock, LW_SHARED);
	suspect = sdes_shared->links[link].suspect;
	if (kek_id != NULL)
		memcpy(kek_id, sdes_shared->links[link].suspect_kek, SDES_KEK_ID_SIZE);
	LWLockRelease(sdes_shared->lock);
	return suspect;
}

void
sdes_agentlink_trust(int link)
{
	LWLockAcquire(sdes_shared->lock, LW_EXCLUSIVE);
	sdes_shared->links[link].suspect = false;
	LWLockRelease(sdes_shared->lock);
}

/* Keys made through a link that the settings have no more are for the first one. */
bool
sdes_agentlink_take_orphan(int link, SdesOrphan *out)
{
	bool found = false;
	int n = sdes_agentlink_count();

	LWLockAcquire(sdes_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < sdes_shared->norphans && !found; i++)
	{
		SdesOrphan *orphan = &sdes_shared->orphans[i];

		found = orphan->link == link || (link == 0 && orphan->link >= n);
		if (!found)
			continue;
		*out = *orphan;
		*orphan = sdes_shared->orphans[--sdes_shared->norphans];
	}
	LWLockRelease(sdes_shared->lock);
	return found;
}

/* More than fit are left to sdes.health(), which lists orphans. */
static void
put_orphan(const SdesOrphan *orphan)
{
	if (sdes_shared->norphans < SDES_MAX_ORPHANS)
		sdes_shared->orphans[sdes_shared->norphans++] = *orphan;
}

void
sdes_agentlink_put_orphan(const SdesOrphan *orphan)
{
	LWLockAcquire(sdes_shared->lock, LW_EXCLUSIVE);
	put_orphan(orphan);
	LWLockRelease(sdes_shared->lock);
}

void
sdes_agentlink_kek_pending(int link, const uint8 kek_id[SDES_KEK_ID_SIZE])
{
	if (npending == SDES_MAX_ORPHANS)
		return;
	pending[npending].link = link;
	pending[npending].asked = 0;
	memcpy(pending[npending++].kek_id, kek_id, SDES_KEK_ID_SIZE);
}

static void
hand_over_pending(void)
{
	LWLockAcquire(sdes_shared->lock, LW_EXCLUSIVE);
	for (int i = 0; i < npending; i++)
		put_orphan(&pending[i]);
	if (sdes_shared->supervisor_latch)
		SetLatch(sdes_shared->supervisor_latch);
	LWLockRelease(sdes_shared->lock);
}

uint64
sdes_agentlink_access_changes(void)
{
	return sdes_shared ? pg_atomic_read_u64(&sdes_shared->access_changes) : 0;
}

void
sdes_agentlink_access_changed(void)
{
	access_changed = true;
}

void
sdes_agentlink_key_fetched(void)
{
	pg_atomic_write_u64(&sdes_shared->last_fetch, (uint64) GetCurrentTimestamp());
}

TimestampTz
sdes_agentlink_last_fetch(void)
{
	return (TimestampTz) pg_atomic_read_u64(&sdes_shared->last_fetch);
}

/*
 * The rows of a KEK and the KEK share one transaction's fate. A rolled-back
 * subtransaction leaves its KEK until the end, when health() lists it: rare,
 * harmless, and not worth a stack. A prepared transaction keeps its KEKs.
 */
static void
end_of_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT && npending > 0)
		hand_over_pending();
	/* By now others see what this transaction wrote. */
	if (event == XACT_EVENT_COMMIT && access_changed)
		pg_atomic_fetch_add_u64(&sdes_shared->access_changes, 1);
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT ||
	    event == XACT_EVENT_PREPARE)
	{
		npending = 0;
		access_changed = false;
	}
}

void
sdes_shared_init(void)
{
	sdes_shmem_add("sdes", sizeof(SdesShared), sizeof(SdesShared), (void **) &sdes_shared,
	               make_shared);
	RegisterXactCallback(end_of_transaction, NULL);
}
