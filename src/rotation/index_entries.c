/*
 * index_entries.c
 *		As ExecInsertIndexTuples(), but for its question whether the row is unique.
 *
 * That question reads the row's former version in the heap, once for each unique index,
 * while a page of the index is locked. It answers itself here: the index compares tokens,
 * and the new bytes carry the same one. A session that brings the same key in meanwhile
 * finds the former version, and waits for this transaction; then it finds the new one.
 *
 * An index that computes something (an expression, a predicate) may compute something
 * else of the new bytes. It is asked, and so is an exclusion constraint that does.
 */
#include "postgres.h"

#include "rotation/index_entries.h"

#include "access/genam.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "utils/rel.h"

static bool
computes(const IndexInfo *info)
{
	return info->ii_Expressions != NIL || info->ii_Predicate != NIL;
}

static bool
holds_row(IndexInfo *info, EState *estate)
{
	if (info->ii_Predicate == NIL)
		return true;
	if (info->ii_PredicateState == NULL)
		info->ii_PredicateState = ExecPrepareQual(info->ii_Predicate, estate);
	return ExecQual(info->ii_PredicateState, GetPerTupleExprContext(estate));
}

static void
add(Relation table, Relation index, IndexInfo *info, TupleTableSlot *slot, EState *estate)
{
	bool asked = index->rd_index->indisunique && computes(info);
	Datum values[INDEX_MAX_KEYS];
	bool nulls[INDEX_MAX_KEYS];

	FormIndexDatum(info, slot, estate, values, nulls);
	/* "Unchanged" has the index look for former versions that nobody sees any more. */
	index_insert(index, values, nulls, &slot->tts_tid, table,
	             asked ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, !computes(info), info);
	if (info->ii_ExclusionOps != NULL && computes(info))
		check_exclusion_constraint(table, index, info, &slot->tts_tid, values, nulls,
		                           estate, false);
}

void
sdes_index_entries_add(ResultRelInfo *target, TupleTableSlot *slot, EState *estate,
                       SDES_UPDATE_INDEXES indexes)
{
	GetPerTupleExprContext(estate)->ecxt_scantuple = slot;
	for (int i = 0; i < target->ri_NumIndices; i++)
	{
		Relation index = target->ri_IndexRelationDescs[i];
		IndexInfo *info = target->ri_IndexRelationInfo[i];

		if (index != NULL && info->ii_ReadyForInserts &&
		    SDES_INDEX_IS_CONCERNED(info, indexes) && holds_row(info, estate))
			add(target->ri_RelationDesc, index, info, slot, estate);
	}
}
