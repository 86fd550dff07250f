/*
 * state.c
 *		How far sdes.audit_log has come, for whoever may not read its tables.
 */
#include "postgres.h"

#include "auditlog/auditlog.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "audit/audit.h"
#include "auditlog/internal.h"
#include "sdes_guc.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define LATE_S 300 /* besides twice the time that a worker takes to come by */

/* Columns of sdes.audit_journal. */
#define JOURNAL   1
#define NEXT      5
#define LOADED_AT 7
#define WRONG     8
#define COLUMNS   9

static void
see(SdesAuditLogState *state, const SdesAuditJournal *own, const Datum *values,
    const bool *nulls)
{
	const pg_uuid_t *journal = DatumGetUUIDP(values[JOURNAL - 1]);
	TimestampTz at = DatumGetTimestampTz(values[LOADED_AT - 1]);

	if (!nulls[WRONG - 1])
		state->wrong = TextDatumGetCString(values[WRONG - 1]);
	if (memcmp(journal->data, own->id, sizeof(own->id)) != 0)
		return;
	state->loaded_at = at;
	state->complete =
	    (uint64) DatumGetInt64(values[NEXT - 1]) >= own->end.next ||
	    !TimestampDifferenceExceeds(at, GetCurrentTimestamp(),
	                                1000 * (LATE_S + 2 * sdes_rotation_naptime));
}

SdesAuditLogState
sdes_auditlog_state(void)
{
	SdesAuditLogState state = {.complete = true};
	Relation rel = sdes_log_open("audit_journal");
	SdesAuditJournal own;
	SysScanDesc scan;
	HeapTuple tuple;

	if (rel == NULL)
		return state;
	if (sdes_audit_peek(&own))
	{
		scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			Datum values[COLUMNS];
			bool nulls[COLUMNS];

			heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
			see(&state, &own, values, nulls);
		}
		systable_endscan(scan);
	}
	table_close(rel, AccessShareLock);
	return state;
}
