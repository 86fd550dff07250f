/*
 * horizon.c
 *		Old transactions and replicas that lag.
 */
#include "postgres.h"

#include "rotation/horizon.h"

#include "access/table.h"
#include "access/transam.h"
#include "access/xlog.h"
#include "replication/slot.h"
#include "replication/walsender_private.h"
#include "storage/procarray.h"
#include "utils/rel.h"

/*
 * A row's xmin that this cluster did not write (a restored dump writes rows anew, a
 * frozen one is old) never holds anything up.
 */
const char *
sdes_horizon_transactions(const SdesDekRow *row)
{
	Relation rel;
	TransactionId oldest;

	if (!TransactionIdIsNormal(row->xmin))
		return NULL;
	rel = table_open(sdes_table_oid(SDES_TABLE_DEK), AccessShareLock);
	oldest = GetOldestNonRemovableTransactionId(rel);
	table_close(rel, AccessShareLock);
	if (TransactionIdPrecedes(row->xmin, oldest))
		return NULL;
	return psprintf("a transaction, prepared transaction or replication slot older than "
	                "transaction %u",
	                row->xmin);
}

/* What a slot has confirmed; invalid for one that is of no concern. */
static XLogRecPtr
confirmed(const ReplicationSlot *slot)
{
	return SlotIsLogical(slot) ? slot->data.confirmed_flush : slot->data.restart_lsn;
}

static const char *
lagging_slot(XLogRecPtr position)
{
	const char *found = NULL;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots && found == NULL; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
		XLogRecPtr reached;

		if (!slot->in_use)
			continue;
		SpinLockAcquire(&slot->mutex);
		reached = confirmed(slot);
		SpinLockRelease(&slot->mutex);
		if (!XLogRecPtrIsInvalid(reached) && reached < position)
			found = pstrdup(NameStr(slot->data.name));
	}
	LWLockRelease(ReplicationSlotControlLock);
	return found ? psprintf("replication slot \"%s\" is behind", found) : NULL;
}

/* The position that the replica that lags most has applied. */
static XLogRecPtr
least_applied(void)
{
	XLogRecPtr least = InvalidXLogRecPtr;

	for (int i = 0; i < max_wal_senders; i++)
	{
		WalSnd *sender = &WalSndCtl->walsnds[i];
		XLogRecPtr applied;

		SpinLockAcquire(&sender->mutex);
		applied = sender->pid != 0 && (sender->state == WALSNDSTATE_STREAMING ||
		                               sender->state == WALSNDSTATE_CATCHUP)
		              ? sender->apply
		              : InvalidXLogRecPtr;
		SpinLockRelease(&sender->mutex);
		if (!XLogRecPtrIsInvalid(applied) &&
		    (XLogRecPtrIsInvalid(least) || applied < least))
			least = applied;
	}
	return least;
}

const char *
sdes_horizon_replicas(XLogRecPtr position)
{
	XLogRecPtr applied = least_applied();

	/* A position of another cluster, from which this one was restored. */
	if (XLogRecPtrIsInvalid(position) || position > GetXLogInsertRecPtr())
		return NULL;
	if (!XLogRecPtrIsInvalid(applied) && applied < position)
		return "a standby or subscriber has not applied all changes yet";
	return lagging_slot(position);
}

uint64
sdes_horizon_lag(void)
{
	XLogRecPtr applied = least_applied();
	XLogRecPtr written = GetXLogWriteRecPtr();

	return XLogRecPtrIsInvalid(applied) || applied > written ? 0 : written - applied;
}
