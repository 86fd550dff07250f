/*
 * columns.c
 *		Which columns a statement names: what the record of a use says of where its values
 *		are from, or go.
 *
 * Values do not tell where they are stored, so this is what the statement that is being
 * executed reads or writes of columns of the bucket: an upper bound, and nothing for
 * values that come from elsewhere. It is looked up as a use begins, which is rare compared
 * with values.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "audit/audit.h"
#include "audit/internal.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "nodes/bitmapset.h"
#include "parser/parsetree.h"
#include "sdes_compat.h"
#include "store/store.h"
#include "tcop/pquery.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#define NAMES_MAX 200 /* bytes of each field */

static ExecutorRun_hook_type previous_run = NULL;
static ExecutorFinish_hook_type previous_finish = NULL;

/* The statement that is being executed, the innermost one. */
static const QueryDesc *current = NULL;

/* Of its execution, another one each time; 0: none. */
static uint64 execution = 0;
static uint64 executions = 0;

/* Columns of one relation. */
typedef struct Columns
{
	Oid relation;
	Bitmapset *numbers;
} Columns;

static void
run(SDES_RUN_PARAMETERS)
{
	const QueryDesc *outer = current;
	uint64 outer_execution = execution;

	current = query;
	execution = ++executions;
	PG_TRY();
	{
		if (previous_run)
			previous_run(SDES_RUN_ARGUMENTS);
		else
			standard_ExecutorRun(SDES_RUN_ARGUMENTS);
	}
	PG_FINALLY();
	{
		current = outer;
		execution = outer_execution;
	}
	PG_END_TRY();
}

/* Triggers run here. */
static void
finish(QueryDesc *query)
{
	const QueryDesc *outer = current;
	uint64 outer_execution = execution;

	current = query;
	execution = ++executions;
	PG_TRY();
	{
		if (previous_finish)
			previous_finish(query);
		else
			standard_ExecutorFinish(query);
	}
	PG_FINALLY();
	{
		current = outer;
		execution = outer_execution;
	}
	PG_END_TRY();
}

void
sdes_audit_watch_statements(void)
{
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = run;
	previous_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = finish;
}

/* ---- which columns ---- */

static Columns *
columns_of(List **all, Oid relation)
{
	Columns *made;
	ListCell *cell;

	foreach (cell, *all)
		if (((Columns *) lfirst(cell))->relation == relation)
			return lfirst(cell);
	made = palloc0(sizeof(Columns));
	made->relation = relation;
	*all = lappend(*all, made);
	return made;
}

static void
add_if_of_bucket(List **all, Oid relation, AttrNumber number, int32 hash)
{
	Columns *columns;

	if (!sdes_store_column_is_of(relation, number, hash))
		return;
	columns = columns_of(all, relation);
	columns->numbers = bms_add_member(columns->numbers, number);
}

static void
add_all_columns(List **all, Oid relation, int32 hash)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	int n;

	if (!HeapTupleIsValid(tuple))
		return;
	n = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
	ReleaseSysCache(tuple);
	for (int number = 1; number <= n; number++)
		add_if_of_bucket(all, relation, (AttrNumber) number, hash);
}

/* Members are numbers of columns as of permission checks; 0 is the whole row. */
static void
add_set(List **all, Oid relation, const Bitmapset *set, int32 hash)
{
	int member = -1;

	while ((member = bms_next_member(set, member)) >= 0)
	{
		int number = member + FirstLowInvalidHeapAttributeNumber;

		if (number == InvalidAttrNumber)
			add_all_columns(all, relation, hash);
		else if (number > 0)
			add_if_of_bucket(all, relation, (AttrNumber) number, hash);
	}
}

/* Views are there with the tables that they are made of. */
static void
add_of_plan(List **all, const PlannedStmt *plan, int32 hash, bool written)
{
	ListCell *cell;

	foreach (cell, SDES_PERMISSIONS(plan))
	{
		const SDES_PERMISSION *one = lfirst(cell);

		if (!SDES_IS_PERMISSION(one) || get_rel_relkind(one->relid) == RELKIND_VIEW)
			continue;
		if (!written)
		{
			add_set(all, one->relid, one->selectedCols, hash);
			continue;
		}
		add_set(all, one->relid, one->insertedCols, hash);
		add_set(all, one->relid, one->updatedCols, hash);
	}
}

/* Those that COPY FROM names, or all. */
static void
add_of_copy(List **all, const CopyStmt *copy, int32 hash)
{
	Oid relation = RangeVarGetRelid(copy->relation, NoLock, true);
	ListCell *cell;

	if (!OidIsValid(relation))
		return;
	if (copy->attlist == NIL)
		add_all_columns(all, relation, hash);
	foreach (cell, copy->attlist)
		add_if_of_bucket(all, relation, get_attnum(relation, strVal(lfirst(cell))), hash);
}

List *
sdes_audit_columns(int32 hash, bool written)
{
	List *all = NIL;
	const QueryDesc *query = current;
	const PlannedStmt *outer = NULL;

	if (query == NULL && ActivePortal != NULL)
	{
		query = ActivePortal->queryDesc;
		if (list_length(ActivePortal->stmts) == 1)
			outer = linitial_node(PlannedStmt, ActivePortal->stmts);
	}
	if (query != NULL)
		add_of_plan(&all, query->plannedstmt, hash, written);
	else if (outer != NULL && outer->utilityStmt != NULL &&
	         IsA(outer->utilityStmt, CopyStmt) &&
	         ((CopyStmt *) outer->utilityStmt)->relation != NULL)
		add_of_copy(&all, (CopyStmt *) outer->utilityStmt, hash);
	return all;
}

void
sdes_audit_free_columns(List *all)
{
	ListCell *cell;

	foreach (cell, all)
		bms_free(((Columns *) lfirst(cell))->numbers);
	list_free_deep(all);
}

uint32
sdes_audit_hash_columns(const List *all)
{
	uint32 hash = 0;
	ListCell *cell;

	foreach (cell, all)
	{
		const Columns *one = lfirst(cell);

		hash = hash_combine(hash, hash_bytes_uint32(one->relation));
		hash = hash_combine(hash, bms_hash_value(one->numbers));
	}
	return hash;
}

bool
sdes_audit_reads(const PlannedStmt *plan, int32 hash)
{
	List *all = NIL;
	bool reads;

	add_of_plan(&all, plan, hash, false);
	reads = all != NIL;
	sdes_audit_free_columns(all);
	return reads;
}

uint64
sdes_audit_execution(void)
{
	return execution;
}

/* ---- their names ---- */

static void
append_relation(StringInfo out, Oid relation)
{
	const char *schema = get_namespace_name(get_rel_namespace(relation));
	const char *name = get_rel_name(relation);

	appendStringInfo(out, "%s%s.%s", out->len > 0 ? ", " : "", schema ? schema : "",
	                 name ? name : "");
}

/* With the table's name where there are several. */
static void
append_columns(StringInfo out, const Columns *columns, bool several)
{
	const char *relation = several ? get_rel_name(columns->relation) : NULL;
	int number = -1;

	while ((number = bms_next_member(columns->numbers, number)) >= 0)
	{
		const char *name = get_attname(columns->relation, (AttrNumber) number, true);

		appendStringInfo(out, "%s%s%s%s", out->len > 0 ? ", " : "",
		                 relation ? relation : "", relation ? "." : "", name ? name : "");
	}
}

/* Clipped as UTF-8, between characters: a record has room for so many bytes. */
static void
write_names(SdesWriter *w, SdesFieldTag tag, StringInfo names)
{
	const char *utf8 = sdes_audit_utf8(names->data);
	size_t size = utf8 == NULL ? 0 : strlen(utf8);

	if (size > NAMES_MAX)
	{
		size = NAMES_MAX - 3;
		while (((unsigned char) utf8[size] & 0xc0) == 0x80)
			size--;
		utf8 = psprintf("%.*s...", (int) size, utf8);
	}
	sdes_write_text(w, tag, utf8);
}

void
sdes_audit_write_columns(SdesWriter *w, const List *all)
{
	StringInfoData relations, columns;
	ListCell *cell;

	initStringInfo(&relations);
	initStringInfo(&columns);
	foreach (cell, all)
	{
		const Columns *one = lfirst(cell);

		append_relation(&relations, one->relation);
		append_columns(&columns, one, list_length(all) > 1);
	}
	write_names(w, SDES_FIELD_RELATION, &relations);
	write_names(w, SDES_FIELD_COLUMN, &columns);
}
