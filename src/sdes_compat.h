/*
 * sdes_compat.h
 *		What differs between PostgreSQL 14 and 18, in one place; and parameters of hooks.
 */
#ifndef SDES_COMPAT_H
#define SDES_COMPAT_H

#include "postgres.h"

#include "access/tableam.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "postmaster/autovacuum.h"
#include "utils/tuplestore.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/*
 * Everything is compiled with hidden visibility; what PostgreSQL must find by
 * name is exported one by one. (PG_FUNCTION_INFO_V1 exports its record only.)
 */
#define SDES_EXPORT PGDLLEXPORT

#define SDES_SQL_FUNCTION(function)                                                        \
	extern SDES_EXPORT Datum function(PG_FUNCTION_ARGS);                                   \
	PG_FUNCTION_INFO_V1(function)

#if PG_VERSION_NUM < 150000
/* A set-returning function's tuplestore, as InitMaterializedSRF() makes it. */
static inline void
InitMaterializedSRF(FunctionCallInfo fcinfo, bits32 flags)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);

	if (get_call_result_type(fcinfo, NULL, &rsinfo->setDesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	rsinfo->setResult = tuplestore_begin_heap(true, false, work_mem);
	rsinfo->returnMode = SFRM_Materialize;
	MemoryContextSwitchTo(old);
}
#endif

/* Also true for a superuser. The includer needs utils/acl.h and catalog/pg_database.h. */
#if PG_VERSION_NUM < 160000
#define SDES_OWNS_DATABASE() pg_database_ownercheck(MyDatabaseId, GetUserId())
#else
#define SDES_OWNS_DATABASE()                                                               \
	object_ownercheck(DatabaseRelationId, MyDatabaseId, GetUserId())
#endif

/* Likewise, for a role. The includer needs utils/acl.h and catalog/pg_class.h. */
#if PG_VERSION_NUM < 160000
#define SDES_OWNS_TABLE(table, role) pg_class_ownercheck(table, role)
#else
#define SDES_OWNS_TABLE(table, role) object_ownercheck(RelationRelationId, table, role)
#endif

/* The timeline that is written. Not during recovery. The includer needs access/xlog.h. */
#if PG_VERSION_NUM < 150000
#define SDES_WAL_TIMELINE() ThisTimeLineID
#else
#define SDES_WAL_TIMELINE() GetWALInsertionTimeLine()
#endif

#if PG_VERSION_NUM < 170000
#define SDES_IS_AUTOVACUUM_WORKER() IsAutoVacuumWorkerProcess()
#else
#define SDES_IS_AUTOVACUUM_WORKER() AmAutoVacuumWorkerProcess()
#endif

/* Which columns of which relation a plan reads and writes, as far as the client named them. */
#if PG_VERSION_NUM < 160000
#define SDES_PERMISSION        RangeTblEntry
#define SDES_PERMISSIONS(plan) ((plan)->rtable)
#define SDES_IS_PERMISSION(entry)                                                          \
	((entry)->rtekind == RTE_RELATION && (entry)->requiredPerms != 0)
#else
#define SDES_PERMISSION           RTEPermissionInfo
#define SDES_PERMISSIONS(plan)    ((plan)->permInfos)
#define SDES_IS_PERMISSION(entry) true
#endif

/* The columns that an entry of FROM has, as expressions. */
#if PG_VERSION_NUM < 180000
#define SDES_EXPAND_RTE(rte, number, levels, columns)                                      \
	expandRTE(rte, number, levels, -1, false, NULL, columns)
#else
#define SDES_EXPAND_RTE(rte, number, levels, columns)                                      \
	expandRTE(rte, number, levels, VAR_RETURNING_DEFAULT, -1, false, NULL, columns)
#endif

/* ExecutorRun's last parameter went away. */
#if PG_VERSION_NUM < 180000
#define SDES_RUN_PARAMETERS                                                                \
	QueryDesc *query, ScanDirection direction, uint64 count, bool once
#define SDES_RUN_ARGUMENTS query, direction, count, once
#else
#define SDES_RUN_PARAMETERS QueryDesc *query, ScanDirection direction, uint64 count
#define SDES_RUN_ARGUMENTS  query, direction, count
#endif

/* What an update says of the indexes; summarizing ones may be all there is to do. */
#if PG_VERSION_NUM < 160000
#define SDES_UPDATE_INDEXES                    bool
#define SDES_NEEDS_INDEXES(indexes)            (indexes)
#define SDES_INDEX_IS_CONCERNED(info, indexes) true
#define SDES_INSERT_INDEX_TUPLES(target, slot, estate)                                     \
	list_free(ExecInsertIndexTuples(target, slot, estate, false, false, NULL, NIL))
#else
#define SDES_UPDATE_INDEXES         TU_UpdateIndexes
#define SDES_NEEDS_INDEXES(indexes) ((indexes) != TU_None)
#define SDES_INDEX_IS_CONCERNED(info, indexes)                                             \
	((indexes) != TU_Summarizing || (info)->ii_Summarizing)
#define SDES_INSERT_INDEX_TUPLES(target, slot, estate)                                     \
	list_free(ExecInsertIndexTuples(target, slot, estate, false, false, NULL, NIL, false))
#endif

/* Of ProcessUtility, into which many rooms hook; the same in all versions. */
#define SDES_UTILITY_PARAMETERS                                                            \
	PlannedStmt *pstmt, const char *source, bool read_only, ProcessUtilityContext context, \
	    ParamListInfo params, QueryEnvironment *env, DestReceiver *dest,                   \
	    QueryCompletion *qc
#define SDES_UTILITY_ARGUMENTS pstmt, source, read_only, context, params, env, dest, qc

/* The includer needs catalog/index.h. */
#if PG_VERSION_NUM < 170000
#define SDES_REINDEX_INDEX(id, persistence)                                                \
	do                                                                                     \
	{                                                                                      \
		ReindexParams params_ = {0};                                                       \
                                                                                           \
		reindex_index(id, false, persistence, &params_);                                   \
	} while (0)
#else
#define SDES_REINDEX_INDEX(id, persistence)                                                \
	do                                                                                     \
	{                                                                                      \
		ReindexParams params_ = {0};                                                       \
                                                                                           \
		reindex_index(NULL, id, false, persistence, &params_);                             \
	} while (0)
#endif

#if PG_VERSION_NUM < 160000
#define SDES_RESERVE_PREFIX(prefix) EmitWarningsOnPlaceholders(prefix)
#else
#define SDES_RESERVE_PREFIX(prefix) MarkGUCPrefixReserved(prefix)
#endif

#endif
