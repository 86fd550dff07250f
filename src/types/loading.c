/*
 * loading.c
 *		Which table the rows of a dump are being loaded into.
 *
 * In a dump the rows of keys come after those of tables, or beside them, and who restores
 * need not be who may decrypt. A CHECK constraint that opens values cannot be judged then.
 * It was judged when they were stored: so what it would open is NULL, and NULL passes.
 *
 * Invariant: nothing but constraints gets that NULL, and only where the role could drop
 * them as well. A statement loads if a client sent it by itself, in a session that looks
 * like a restore, as COPY FROM or as INSERT of constants that returns nothing, and brings
 * ciphertext only; whatever statement runs within it does not. Beside the constraints of
 * table and domains, such a statement has no expression over a column that could open a
 * value but the WHEN of row triggers: a table with these is not loaded so. What a function
 * does with a value it does by parameters.
 */
#include "postgres.h"

#include "types/loading.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "replication/logicalworker.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "value/value.h"

static ProcessUtility_hook_type previous_utility = NULL;
static ExecutorRun_hook_type previous_run = NULL;

/* What the innermost statement loads. */
typedef struct Load
{
	Oid table;     /* InvalidOid: nothing */
	Oid role;      /* that sent it, whatever functions are run as meanwhile */
	uint64 sealed; /* values that this process had sealed before */
	bool judged;
	bool passes; /* what cannot be opened, if judged */
} Load;

static Load load;

/* ---- which statements load ---- */

static bool
is_restoring(void)
{
	return !check_function_bodies && !IsLogicalWorker();
}

/*
 * The table is locked as COPY is about to do itself: so that nobody can put another one
 * under its name.
 */
static Oid
copied_into(const Node *statement, ProcessUtilityContext context)
{
	const CopyStmt *copy = (const CopyStmt *) statement;

	if (!IsA(statement, CopyStmt) || context != PROCESS_UTILITY_TOPLEVEL ||
	    !is_restoring() || !copy->is_from || copy->whereClause != NULL)
		return InvalidOid;
	return RangeVarGetRelid(copy->relation, RowExclusiveLock, true);
}

/* VALUES of one row or more, which are not made of columns. */
static bool
gives_constants(const Plan *plan)
{
	ListCell *cell;

	if (plan == NULL || plan->lefttree != NULL || plan->qual != NIL ||
	    !(IsA(plan, Result) || IsA(plan, ValuesScan)))
		return false;
	foreach (cell, plan->targetlist)
	{
		Node *expr = (Node *) lfirst_node(TargetEntry, cell)->expr;

		if (!IsA(expr, Var) && contain_var_clause(expr))
			return false;
	}
	return true;
}

static Oid
inserted_into(const QueryDesc *query)
{
	const PlannedStmt *plan = query->plannedstmt;
	const ModifyTable *insert = (const ModifyTable *) plan->planTree;

	if (plan->commandType != CMD_INSERT || query->sourceText != debug_query_string ||
	    !is_restoring() || plan->hasReturning || plan->subplans != NIL ||
	    !IsA(insert, ModifyTable) || insert->onConflictAction == ONCONFLICT_UPDATE ||
	    !gives_constants(outerPlan(insert)))
		return InvalidOid;
	return rt_fetch(linitial_int(insert->resultRelations), plan->rtable)->relid;
}

/* Mostly there is nothing to undo after a statement. */
static bool
is_change(Load inner)
{
	return OidIsValid(load.table) || OidIsValid(inner.table);
}

static void
utility(SDES_UTILITY_PARAMETERS)
{
	Load outer = load;
	Load inner = {copied_into(pstmt->utilityStmt, context), GetUserId(),
	              sdes_value_sealed_here()};
	ProcessUtility_hook_type next =
	    previous_utility ? previous_utility : standard_ProcessUtility;

	if (!is_change(inner))
	{
		next(SDES_UTILITY_ARGUMENTS);
		return;
	}
	PG_TRY();
	{
		load = inner;
		next(SDES_UTILITY_ARGUMENTS);
	}
	PG_FINALLY();
	{
		load = outer;
	}
	PG_END_TRY();
}

static void
run(SDES_RUN_PARAMETERS)
{
	Load outer = load;
	Load inner = {inserted_into(query), GetUserId(), sdes_value_sealed_here()};
	ExecutorRun_hook_type next = previous_run ? previous_run : standard_ExecutorRun;

	if (!is_change(inner))
	{
		next(SDES_RUN_ARGUMENTS);
		return;
	}
	PG_TRY();
	{
		load = inner;
		next(SDES_RUN_ARGUMENTS);
	}
	PG_FINALLY();
	{
		load = outer;
	}
	PG_END_TRY();
}

void
sdes_loading_init(void)
{
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility;
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = run;
}

/* ---- which calls may give NULL ---- */

/* As the server decides it. */
static bool
is_enabled(const Trigger *trigger)
{
	char off = SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA
	               ? TRIGGER_FIRES_ON_ORIGIN
	               : TRIGGER_FIRES_ON_REPLICA;

	return trigger->tgenabled != TRIGGER_DISABLED && trigger->tgenabled != off;
}

/* Not those of foreign keys and deferrable constraints. */
static bool
fires(const Trigger *trigger)
{
	bool of_constraint = trigger->tgisinternal && OidIsValid(trigger->tgconstraint);

	return TRIGGER_FOR_ROW(trigger->tgtype) && TRIGGER_FOR_INSERT(trigger->tgtype) &&
	       !of_constraint && is_enabled(trigger);
}

static void
refuse_triggers(Oid table)
{
	Relation rel = table_open(table, NoLock);
	const TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
		if (fires(&triggers->triggers[i]))
			ereport(ERROR,
			        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			         errmsg("encrypted value cannot be opened to check the constraints of "
			                "table \"%s\"",
			                RelationGetRelationName(rel)),
			         errdetail("Its key is not there yet, or the current role may not "
			                   "decrypt; and the row would be shown to trigger \"%s\".",
			                   triggers->triggers[i].tgname),
			         errhint("Restore the keys first, as a role that may decrypt, or "
			                 "leave triggers out of it: pg_restore --disable-triggers."),
			         SDES_KEEP_OUT_OF_LOG));
	table_close(rel, NoLock);
}

/* A partition may have another owner and triggers of its own. */
static bool
judge(void)
{
	List *tables = get_rel_relkind(load.table) == RELKIND_PARTITIONED_TABLE
	                   ? find_all_inheritors(load.table, AccessShareLock, NULL)
	                   : list_make1_oid(load.table);
	ListCell *cell;

	foreach (cell, tables)
		if (!SDES_OWNS_TABLE(lfirst_oid(cell), load.role))
			return false;
	foreach (cell, tables)
		refuse_triggers(lfirst_oid(cell));
	return true;
}

/* Whether an expression is about a column, or what is to be of a domain. */
static bool
is_about_row(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var) || IsA(node, CoerceToDomainValue))
		return true;
	return expression_tree_walker(node, is_about_row, context);
}

bool
sdes_is_loading(void)
{
	return OidIsValid(load.table);
}

bool
sdes_loading_passes(const FmgrInfo *call)
{
	if (!OidIsValid(load.table) || call == NULL || !is_about_row(call->fn_expr, NULL))
		return false;
	/* Plaintext comes in, which nobody has checked before. */
	if (load.sealed != sdes_value_sealed_here())
		return false;
	if (!load.judged)
	{
		load.passes = judge();
		load.judged = true;
	}
	return load.passes;
}
