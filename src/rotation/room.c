/*
 * room.c
 *		Pages that were re-encrypted are pruned, and the free space map is told of them.
 *
 * A batch leaves as many dead rows as it writes. Who reads their pages prunes them, but the
 * free space map hears of it by VACUUM alone, which comes when a fifth of the table is
 * dead, or not in time at all: so each batch would put its rows at the table's end. The worker does
 * for the pages of the batch before what VACUUM would, but for line pointers and indexes.
 */
#include "postgres.h"

#include "rotation/room.h"

#include "access/heapam.h"
#include "catalog/pg_am.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/freespace.h"
#include "utils/memutils.h"

typedef struct Pages
{
	Oid relation;
	BlockNumber from;
	BlockNumber to;
} Pages;

static List *noted = NIL; /* of Pages *, of transactions of this process */

void
sdes_room_note(Relation rel, BlockNumber from, BlockNumber to)
{
	MemoryContext old;
	Pages *pages;

	if (rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		return;
	old = MemoryContextSwitchTo(TopMemoryContext);
	pages = palloc(sizeof(*pages));
	*pages = (Pages){RelationGetRelid(rel), from, to};
	noted = lappend(noted, pages);
	MemoryContextSwitchTo(old);
}

static void
reclaim_page(Relation rel, BlockNumber block)
{
	Buffer buffer = ReadBuffer(rel, block);
	Size room;

	heap_page_prune_opt(rel, buffer);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	room = PageGetHeapFreeSpace(BufferGetPage(buffer));
	UnlockReleaseBuffer(buffer);
	RecordPageWithFreeSpace(rel, block, room);
}

static void
reclaim(Relation rel, const Pages *pages)
{
	BlockNumber end = Min(pages->to, RelationGetNumberOfBlocks(rel));

	for (BlockNumber block = pages->from; block < end; block++)
		reclaim_page(rel, block);
	if (pages->from < end)
		FreeSpaceMapVacuumRange(rel, pages->from, end);
}

void
sdes_room_reclaim(Relation rel)
{
	ListCell *cell;

	foreach (cell, noted)
	{
		Pages *pages = lfirst(cell);

		if (pages->relation != RelationGetRelid(rel))
			continue;
		reclaim(rel, pages);
		noted = foreach_delete_current(noted, cell);
		pfree(pages);
	}
}
