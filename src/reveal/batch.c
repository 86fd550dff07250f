/*
 * batch.c
 *		Values of mode hsm in a client's result, opened many at once.
 *
 * A value that only the HSM can open costs a round trip. While the statement of a
 * client runs, a receiver of ours stands before the client's: a column of the
 * select list that is a call of reveal() gives the armor, the receiver keeps rows
 * back until there is a batch of them, has their values opened in one request, puts
 * them in and passes the rows on, in their order.
 *
 * Invariant: what takes the place of a stand-in is what was opened of the very value
 * that the last evaluation of that column was given. A datum that is not that stand-in
 * stays as it is. So whatever a plan does with rows in between, a client sees the
 * value, its armor or an error. The policy was asked when reveal() was called.
 */
#include "postgres.h"

#include "reveal/batch.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/plannodes.h"
#include "reveal/spool.h"
#include "utils/datum.h"
#include "sdes_compat.h"
#include "utils/memutils.h"
#include "value/value.h"

#define BATCH_ROWS  64
#define BATCH_BYTES 65536 /* of rows and values that are kept back */

/* A column that is a call of reveal(), and what it gave last. */
typedef struct Column
{
	const Node *call; /* NULL: it is something else */
	text *stand_in;   /* NULL: it gave the result itself */
	SdesRevealing value;
} Column;

typedef struct Row
{
	Datum *values;
	bool *nulls;
} Row;

/* A value that is kept back, and where it goes. */
typedef struct Kept
{
	int row;
	int column;
} Kept;

typedef struct Receiver
{
	DestReceiver base;
	DestReceiver *client;
	MemoryContext query; /* in which the executor calls receivers */
	MemoryContext batch; /* of what is kept back */
	TupleDesc desc;
	TupleTableSlot *slot;
	int ncolumns;
	Column *columns;
	int nrows;
	Row rows[BATCH_ROWS];
	Size bytes;
	int nvalues;
	SdesRevealing *values;
	Kept *kept;
} Receiver;

static ExecutorRun_hook_type previous_run = NULL;
static int depth = 0;
static Receiver *current = NULL;

/* Passes a row on; false when the client wants no more. */
static bool
pass_on(Receiver *receiver, const Row *row)
{
	TupleTableSlot *slot = receiver->slot;
	MemoryContext old;
	bool more;

	ExecClearTuple(slot);
	memcpy(slot->tts_values, row->values, receiver->desc->natts * sizeof(Datum));
	memcpy(slot->tts_isnull, row->nulls, receiver->desc->natts * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	/* What it allocates for itself must outlive the batch. */
	old = MemoryContextSwitchTo(receiver->query);
	more = receiver->client->receiveSlot(slot, receiver->client);
	MemoryContextSwitchTo(old);
	return more;
}

/* Puts in what was opened, and passes the rows on; false when the client wants no more. */
static bool
pass_all_on(Receiver *receiver)
{
	int next = 0;

	for (int i = 0; i < receiver->nrows; i++)
	{
		Row *row = &receiver->rows[i];

		for (; next < receiver->nvalues && receiver->kept[next].row == i; next++)
			row->values[receiver->kept[next].column] =
			    PointerGetDatum(sdes_value_revealed(&receiver->values[next]));
		if (!pass_on(receiver, row))
			return false;
	}
	return true;
}

/*
 * Opens what is kept back and passes it on. An error in a value comes after the rows
 * before it, as without a batch.
 */
static bool
flush(Receiver *receiver)
{
	volatile bool more = true;
	MemoryContext old;

	if (receiver->nrows == 0)
		return true;
	old = MemoryContextSwitchTo(receiver->batch);
	sdes_value_note_opened();
	PG_TRY();
	{
		sdes_value_open_revealing(receiver->values, receiver->nvalues);
		more = pass_all_on(receiver);
	}
	PG_CATCH();
	{
		sdes_value_wipe_revealing(receiver->values, receiver->nvalues);
		PG_RE_THROW();
	}
	PG_END_TRY();
	sdes_value_wipe_revealing(receiver->values, receiver->nvalues);
	MemoryContextSwitchTo(old);
	ExecClearTuple(receiver->slot);
	MemoryContextReset(receiver->batch);
	receiver->nrows = receiver->nvalues = 0;
	receiver->bytes = 0;
	return more;
}

static bool
is_stand_in(const Receiver *receiver, const TupleTableSlot *slot, int i)
{
	const Column *column = &receiver->columns[i];

	return column->stand_in != NULL && !slot->tts_isnull[i] &&
	       DatumGetPointer(slot->tts_values[i]) == (Pointer) column->stand_in;
}

/* Keeps a row back, and its values. */
static void
keep(Receiver *receiver, TupleTableSlot *slot)
{
	Row *row = &receiver->rows[receiver->nrows];
	MemoryContext old = MemoryContextSwitchTo(receiver->batch);

	row->values = palloc(receiver->desc->natts * sizeof(Datum));
	row->nulls = palloc(receiver->desc->natts * sizeof(bool));
	memcpy(row->nulls, slot->tts_isnull, receiver->desc->natts * sizeof(bool));
	for (int i = 0; i < receiver->desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(receiver->desc, i);

		if (row->nulls[i])
			row->values[i] = (Datum) 0;
		else if (is_stand_in(receiver, slot, i))
		{
			receiver->kept[receiver->nvalues] = (Kept){receiver->nrows, i};
			receiver->values[receiver->nvalues] = receiver->columns[i].value;
			receiver->values[receiver->nvalues].value = (struct varlena *) DatumGetPointer(
			    datumCopy(PointerGetDatum(receiver->columns[i].value.value), false, -1));
			receiver->bytes += VARSIZE_ANY(receiver->columns[i].value.value);
			receiver->nvalues++;
		}
		else
		{
			row->values[i] =
			    datumCopy(slot->tts_values[i], attribute->attbyval, attribute->attlen);
			receiver->bytes +=
			    datumGetSize(row->values[i], attribute->attbyval, attribute->attlen);
		}
	}
	receiver->nrows++;
	MemoryContextSwitchTo(old);
}

static bool
receive(TupleTableSlot *slot, DestReceiver *self)
{
	Receiver *receiver = (Receiver *) self;
	bool any = false;

	slot_getallattrs(slot);
	for (int i = 0; i < receiver->ncolumns && !any; i++)
		any = is_stand_in(receiver, slot, i);
	if (!any && receiver->nrows == 0)
		return receiver->client->receiveSlot(slot, receiver->client);
	keep(receiver, slot);
	for (int i = 0; i < receiver->ncolumns; i++)
		receiver->columns[i].stand_in = NULL;
	if (receiver->nrows < BATCH_ROWS && receiver->bytes < BATCH_BYTES)
		return true;
	return flush(receiver);
}

static void
startup(DestReceiver *self, int operation, TupleDesc desc)
{
	Receiver *receiver = (Receiver *) self;

	receiver->query = CurrentMemoryContext;
	receiver->client->rStartup(receiver->client, operation, desc);
}

static void
shut_down(DestReceiver *self)
{
	Receiver *receiver = (Receiver *) self;

	flush(receiver);
	receiver->client->rShutdown(receiver->client);
}

static void
destroy(DestReceiver *self)
{
}

/*
 * The entry of the plan that is evaluated for an entry of its top node. LIMIT hands
 * on one row at a time; nothing else is looked through.
 */
static Expr *
evaluated(const Plan *plan, const TargetEntry *entry)
{
	const Var *var = (const Var *) entry->expr;
	const Plan *below = plan->lefttree;

	if (!IsA(plan, Limit))
		return entry->expr;
	if (((const Limit *) plan)->limitOption != LIMIT_OPTION_COUNT || !IsA(var, Var) ||
	    var->varno != OUTER_VAR || IsA(below, Limit))
		return NULL;
	return list_nth_node(TargetEntry, below->targetlist, var->varattno - 1)->expr;
}

/* Finds the columns that are calls; how many of them may be of reveal(). */
static int
find_columns(Receiver *receiver, const Plan *plan)
{
	ListCell *cell;
	int calls = 0;

	foreach (cell, plan->targetlist)
	{
		const TargetEntry *entry = lfirst_node(TargetEntry, cell);
		const Expr *expr = entry->resjunk ? NULL : evaluated(plan, entry);

		if (entry->resjunk)
			continue;
		if (receiver->ncolumns == receiver->desc->natts)
			return 0;
		if (expr != NULL && IsA(expr, FuncExpr) &&
		    ((const FuncExpr *) expr)->funcresulttype == TEXTOID)
		{
			receiver->columns[receiver->ncolumns].call = (const Node *) expr;
			calls++;
		}
		receiver->ncolumns++;
	}
	return receiver->ncolumns == receiver->desc->natts ? calls : 0;
}

/* NULL when nothing can be kept back. */
static Receiver *
make_receiver(QueryDesc *query)
{
	Receiver *receiver = palloc0(sizeof(*receiver));
	int calls;

	receiver->base =
	    (DestReceiver){receive, startup, shut_down, destroy, query->dest->mydest};
	receiver->client = query->dest;
	receiver->desc = query->tupDesc;
	receiver->columns = palloc0(Max(receiver->desc->natts, 1) * sizeof(Column));
	calls = find_columns(receiver, query->plannedstmt->planTree);
	if (calls == 0)
		return NULL;
	receiver->values = palloc(calls * BATCH_ROWS * sizeof(SdesRevealing));
	receiver->kept = palloc(calls * BATCH_ROWS * sizeof(Kept));
	receiver->slot = MakeSingleTupleTableSlot(receiver->desc, &TTSOpsVirtual);
	receiver->batch =
	    AllocSetContextCreate(CurrentMemoryContext, "sdes rows", ALLOCSET_DEFAULT_SIZES);
	return receiver;
}

/* A client's own SELECT, whose rows go straight to it, or by a spool of ours. */
static bool
is_for_client(const QueryDesc *query, ScanDirection direction)
{
	return depth == 0 && MyBackendType == B_BACKEND && query->operation == CMD_SELECT &&
	       ScanDirectionIsForward(direction) && query->instrument_options == 0 &&
	       (query->dest->mydest == DestRemote || query->dest->mydest == DestRemoteExecute ||
	        query->dest->mydest == DestCopyOut || sdes_spool_is(query->dest)) &&
	       query->tupDesc != NULL;
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
	DestReceiver *client = query->dest;
	Receiver *outer = current;
	MemoryContext volatile context = NULL;
	MemoryContext old;

	if (is_for_client(query, direction))
	{
		context = AllocSetContextCreate(CurrentMemoryContext, "sdes batch",
		                                ALLOCSET_DEFAULT_SIZES);
		old = MemoryContextSwitchTo(context);
		current = make_receiver(query);
		MemoryContextSwitchTo(old);
		if (current != NULL)
			query->dest = &current->base;
	}
	depth++;
	PG_TRY();
	{
		run_standard(SDES_RUN_ARGUMENTS);
	}
	PG_FINALLY();
	{
		depth--;
		if (context != NULL)
			current = outer;
		query->dest = client;
	}
	PG_END_TRY();
	if (context != NULL)
		MemoryContextDelete(context);
}

text *
sdes_batch_defer(FunctionCallInfo fcinfo, struct varlena *value, const SdesType *type)
{
	if (current == NULL || depth != 1)
		return NULL;
	for (int i = 0; i < current->ncolumns; i++)
	{
		Column *column = &current->columns[i];

		if (column->call == NULL || column->call != (const Node *) fcinfo->flinfo->fn_expr)
			continue;
		column->stand_in = NULL;
		if (!sdes_value_begin_revealing(value, type, &column->value))
			return NULL;
		/* In the memory of the row, as the armor is. */
		column->value.value = (struct varlena *) DatumGetPointer(
		    datumCopy(PointerGetDatum(value), false, -1));
		column->stand_in = sdes_value_armor_text(value);
		return column->stand_in;
	}
	return NULL;
}

void
sdes_batch_init(void)
{
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = run;
}
