/*
 * usage.c
 *		How many messages were reserved of each key, in sdes.usage.
 *
 * What was reserved may have been used, so it must not come back: not by an abort, a
 * crash, a snapshot or a dump. A row is therefore changed in place, as sequences are:
 * under an exclusive lock of its page, by a generic WAL record, which is flushed before
 * anybody uses what it reserves. Nothing else of the row changes, and none of these
 * rows is ever updated, so there is one version of each.
 */
#include "postgres.h"

#include "store/store.h"

#include "access/genam.h"
#include "access/generic_xlog.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xlog.h"
#include "storage/bufmgr.h"
#include "store/tables.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

/* Where in a row the first column is. */
static int64 *
messages_of(Page page, ItemPointer place)
{
	HeapTupleHeader row = (HeapTupleHeader) PageGetItem(
	    page, PageGetItemId(page, ItemPointerGetOffsetNumber(place)));

	return (int64 *) ((char *) row + row->t_hoff);
}

/* Adds to a row that the caller holds a pin on, so that it stays where it is. */
static SdesReservation
add_in_place(Relation rel, ItemPointer place, int64 messages, int64 limit)
{
	GenericXLogState *change = GenericXLogStart(rel);
	Buffer buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(place));
	XLogRecPtr end = InvalidXLogRecPtr;
	int64 *total;
	bool fits;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	total = messages_of(GenericXLogRegisterBuffer(change, buffer, 0), place);
	fits = *total <= limit - messages;
	if (*total >= limit)
		GenericXLogAbort(change);
	else
	{
		*total = fits ? *total + messages : limit;
		end = GenericXLogFinish(change);
	}
	UnlockReleaseBuffer(buffer);
	/* Before anybody takes of it. */
	XLogFlush(end);
	return fits ? SDES_RESERVED : SDES_USED_UP;
}

static SysScanDesc
begin_scan(Relation rel, const uint8 *key_id)
{
	bytea *id = palloc(VARHDRSZ + SDES_KEY_ID_SIZE);
	ScanKeyData key;

	SET_VARSIZE(id, VARHDRSZ + SDES_KEY_ID_SIZE);
	memcpy(VARDATA(id), key_id, SDES_KEY_ID_SIZE);
	ScanKeyInit(&key, SDES_USAGE_KEY_ID, BTEqualStrategyNumber, F_BYTEAEQ,
	            PointerGetDatum(id));
	return systable_beginscan(rel, sdes_index_oid("usage_pkey"), true, NULL, 1, &key);
}

SdesReservation
sdes_store_reserve(const uint8 *key_id, int64 messages, int64 limit)
{
	Relation rel = table_open(sdes_table_oid(SDES_TABLE_USAGE), RowExclusiveLock);
	SysScanDesc scan = begin_scan(rel, key_id);
	HeapTuple tuple = systable_getnext(scan);
	SdesReservation outcome = SDES_UNRESERVED;

	if (HeapTupleIsValid(tuple))
		outcome = add_in_place(rel, &tuple->t_self, messages, limit);
	systable_endscan(scan);
	table_close(rel, RowExclusiveLock);
	return outcome;
}

int64
sdes_store_reserved(const uint8 *key_id)
{
	Relation rel = table_open(sdes_table_oid(SDES_TABLE_USAGE), AccessShareLock);
	SysScanDesc scan = begin_scan(rel, key_id);
	HeapTuple tuple = systable_getnext(scan);
	int64 messages = -1;
	bool isnull;

	if (HeapTupleIsValid(tuple))
		messages = DatumGetInt64(
		    heap_getattr(tuple, SDES_USAGE_MESSAGES, RelationGetDescr(rel), &isnull));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return messages;
}
