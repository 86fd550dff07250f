/*
 * spool.c
 *		Keeps the plaintext of results that the server spools off the disk.
 *
 * The results of RETURNING, FETCH and EXECUTE, and the rows of a cursor WITH HOLD,
 * wait in a tuplestore, which writes to disk what exceeds work_mem. A receiver of
 * ours stands before it: once the transaction has opened a value, it puts what a row
 * has of variable length into memory, and hands on a pointer to that (an indirect
 * toast pointer, which the type's output function follows).
 *
 * Invariant: that memory lives as long as whoever may have got the pointer: for the
 * client's own results as long as the portal; for a cursor until the transaction has
 * ended in which it was closed, since a function may have fetched from it.
 */
#include "postgres.h"

#include "reveal/spool.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "agentlink/agentlink.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "sdes_compat.h"
#include "tcop/pquery.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/tuplestore.h"
#include "value/value.h"

#define BLOCK_SIZE 65536

/* A cursor's rows: who they were opened for. */
typedef struct Held
{
	MemoryContext memory;
	MemoryContext store;
	bool opened;
	Oid role;
	uint64 access_changes;
	struct Held *next;
	MemoryContextCallback callback;
} Held;

typedef struct Spool
{
	DestReceiver base;
	DestReceiver *next;
	Tuplestorestate *store; /* a cursor's: put in there, next would follow pointers */
	Held *held;             /* of a cursor */
	bool always;            /* others may have opened values, too */
	MemoryContext memory;
	char *block;
	Size left;
	TupleDesc desc;
	TupleTableSlot *slot;
	char *pointers; /* one for each column of a row */
	bool *movable;  /* whether a column's values can be pointed to */
} Spool;

#define POINTER_SIZE MAXALIGN(VARHDRSZ_EXTERNAL + sizeof(varatt_indirect))

static ExecutorRun_hook_type previous_run = NULL;
static int depth = 0;
static Held *all_held = NULL;

static char *
take_memory(Spool *spool, Size size)
{
	char *taken;

	size = MAXALIGN(size);
	if (size > BLOCK_SIZE / 8)
		return MemoryContextAllocHuge(spool->memory, size);
	if (size > spool->left)
	{
		spool->block = MemoryContextAlloc(spool->memory, BLOCK_SIZE);
		spool->left = BLOCK_SIZE;
	}
	taken = spool->block;
	spool->block += size;
	spool->left -= size;
	return taken;
}

/* A copy in memory, and the pointer to it. What is on disk as it is stays there. */
static Datum
keep_off_disk(Spool *spool, Datum value, char *pointer)
{
	struct varlena *data = (struct varlena *) DatumGetPointer(value);
	struct varlena *flat = data;
	varatt_indirect to;

	/* But from a held cursor, whose rows outlive the table's. */
	if (VARATT_IS_EXTERNAL_ONDISK(data) && spool->store == NULL)
		return value;
	if (VARATT_IS_EXTERNAL(data))
		flat = detoast_external_attr(data);
	to.pointer = (struct varlena *) take_memory(spool, VARSIZE_ANY(flat));
	memcpy(to.pointer, flat, VARSIZE_ANY(flat));
	if (flat != data)
		pfree(flat);
	SET_VARTAG_EXTERNAL(pointer, VARTAG_INDIRECT);
	memcpy(VARDATA_EXTERNAL(pointer), &to, sizeof(to));
	return PointerGetDatum(pointer);
}

static void
keep_row(Spool *spool, TupleTableSlot *from)
{
	TupleTableSlot *slot = ExecClearTuple(spool->slot);

	slot_getallattrs(from);
	for (int i = 0; i < spool->desc->natts; i++)
	{
		slot->tts_isnull[i] = from->tts_isnull[i];
		slot->tts_values[i] = from->tts_values[i];
		if (!slot->tts_isnull[i] && spool->movable[i])
			slot->tts_values[i] = keep_off_disk(spool, slot->tts_values[i],
			                                    spool->pointers + i * POINTER_SIZE);
	}
	ExecStoreVirtualTuple(slot);
}

static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	Spool *spool = (Spool *) self;

	if (!spool->always && !sdes_value_opened_here())
		return spool->next->receiveSlot(slot, spool->next);
	keep_row(spool, slot);
	if (spool->store == NULL)
		return spool->next->receiveSlot(spool->slot, spool->next);
	spool->held->opened = true;
	tuplestore_puttupleslot(spool->store, spool->slot);
	return true;
}

/* Functions of types that are never toasted (tsquery, int2vector) follow no pointer. */
static bool
is_movable(Form_pg_attribute column)
{
	return column->attlen == -1 && get_typstorage(column->atttypid) != TYPSTORAGE_PLAIN;
}

static void
startup(DestReceiver *self, int operation, TupleDesc desc)
{
	Spool *spool = (Spool *) self;
	MemoryContext old = MemoryContextSwitchTo(spool->memory);

	spool->desc = CreateTupleDescCopy(desc);
	spool->slot = MakeSingleTupleTableSlot(spool->desc, &TTSOpsVirtual);
	spool->pointers = palloc(Max(desc->natts, 1) * POINTER_SIZE);
	spool->movable = palloc(Max(desc->natts, 1) * sizeof(bool));
	for (int i = 0; i < desc->natts; i++)
		spool->movable[i] = is_movable(TupleDescAttr(desc, i));
	MemoryContextSwitchTo(old);
	spool->next->rStartup(spool->next, operation, desc);
}

static void
shut_down(DestReceiver *self)
{
	Spool *spool = (Spool *) self;

	spool->next->rShutdown(spool->next);
}

static void
destroy(DestReceiver *self)
{
}

static Spool *
make_spool(DestReceiver *next, MemoryContext memory)
{
	Spool *spool = MemoryContextAllocZero(memory, sizeof(*spool));

	spool->base = (DestReceiver){receive, startup, shut_down, destroy, next->mydest};
	spool->next = next;
	spool->memory = memory;
	return spool;
}

static MemoryContext
memory_below(MemoryContext parent)
{
	return AllocSetContextCreate(parent, "sdes spool", ALLOCSET_DEFAULT_SIZES);
}

DestReceiver *
sdes_spool_for_utility(DestReceiver *dest)
{
	if (dest->mydest != DestTuplestore || ActivePortal == NULL ||
	    ActivePortal->strategy != PORTAL_UTIL_SELECT || ActivePortal->holdStore == NULL)
		return dest;
	return &make_spool(dest, memory_below(ActivePortal->holdContext))->base;
}

/* ---- cursors WITH HOLD ---- */

/* The cursor is closed: a function's variables may point to its rows until the end. */
static void
release(void *arg)
{
	Held *held = arg;
	Held **link = &all_held;

	while (*link != held)
		link = &(*link)->next;
	*link = held->next;
	if (IsTransactionState() && TopTransactionContext != NULL)
		MemoryContextSetParent(held->memory, TopTransactionContext);
	else
		MemoryContextDelete(held->memory);
}

static Spool *
make_held_spool(QueryDesc *query, Portal portal)
{
	MemoryContext memory = memory_below(TopMemoryContext);
	Held *held = MemoryContextAllocZero(memory, sizeof(*held));
	Spool *spool = make_spool(query->dest, memory);

	spool->store = portal->holdStore;
	spool->held = held;
	held->memory = memory;
	held->store = portal->holdContext;
	held->role = GetUserId();
	held->access_changes = sdes_agentlink_access_changes();
	held->next = all_held;
	all_held = held;
	held->callback = (MemoryContextCallback){.func = release, .arg = held};
	MemoryContextRegisterResetCallback(portal->holdContext, &held->callback);
	return spool;
}

void
sdes_spool_check_held(const char *cursor)
{
	Portal portal = GetPortalByName(cursor);

	if (!PortalIsValid(portal) || portal->holdContext == NULL)
		return;
	for (const Held *held = all_held; held != NULL; held = held->next)
		if (held->store == portal->holdContext && held->opened &&
		    (held->role != GetUserId() ||
		     held->access_changes != sdes_agentlink_access_changes()))
			ereport(ERROR,
			        (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			         errmsg("cursor \"%s\" holds values that were opened for another "
			                "role or before access changed",
			                cursor),
			         errhint("Close the cursor and declare it again.")));
}

/* ---- the executor's hook ---- */

bool
sdes_spool_is(const DestReceiver *dest)
{
	return dest->receiveSlot == receive;
}

/* A cursor's rows are being put into its store. */
static bool
is_being_held(const QueryDesc *query, Portal portal)
{
	return portal->queryDesc == query && portal->holdStore != NULL;
}

static bool
returns(const QueryDesc *query, Portal portal)
{
	return depth == 0 && portal->holdStore != NULL &&
	       (portal->strategy == PORTAL_ONE_RETURNING ||
	        portal->strategy == PORTAL_ONE_MOD_WITH);
}

/* NULL where the result is not spooled, or not by us. */
static Spool *
spool_for(QueryDesc *query)
{
	Portal portal = ActivePortal;
	Spool *spool = NULL;

	if (query->dest == NULL || query->dest->mydest != DestTuplestore)
		return NULL;
	if (sdes_spool_is(query->dest))
		spool = (Spool *) query->dest;
	else if (MyBackendType != B_BACKEND || portal == NULL)
		return NULL;
	else if (is_being_held(query, portal))
		spool = make_held_spool(query, portal);
	else if (returns(query, portal))
		spool = make_spool(query->dest, memory_below(portal->holdContext));
	if (spool != NULL && query->plannedstmt->parallelModeNeeded)
		spool->always = true;
	return spool;
}

static void
run_standard(SDES_RUN_PARAMETERS)
{
	if (previous_run)
		previous_run(SDES_RUN_ARGUMENTS);
	else
		standard_ExecutorRun(SDES_RUN_ARGUMENTS);
}

static void
run(SDES_RUN_PARAMETERS)
{
	DestReceiver *dest = query->dest;
	Spool *spool = spool_for(query);

	if (spool != NULL)
		query->dest = &spool->base;
	depth++;
	PG_TRY();
	{
		run_standard(SDES_RUN_ARGUMENTS);
	}
	PG_FINALLY();
	{
		depth--;
		query->dest = dest;
	}
	PG_END_TRY();
}

void
sdes_spool_init(void)
{
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = run;
}
