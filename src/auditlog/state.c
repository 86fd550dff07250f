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
#include "auditlog/uses.h"
#include "sdes_guc.h"
#include "store/store.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define LATE_S 60 /* besides twice the time that a worker takes to come by */

/* Columns of sdes.audit_journal. */
#define JOURNAL  1
#define SEGMENT  3
#define OFFSET   4
#define NEXT     5
#define WRONG    8
#define LACKS    9
#define TROUBLE  10
#define NCOLUMNS 12

/* How far this server's journal is loaded. */
typedef struct Position
{
	bool known;
	uint64 segment;
	uint64 offset;
	uint64 next;
} Position;

static const char *
text_of(const Datum *values, const bool *nulls, int column)
{
	return nulls[column - 1] ? NULL : TextDatumGetCString(values[column - 1]);
}

/* The journal of the row is named as its folder is. */
static const char *
describe(const pg_uuid_t *journal, const char *wrong)
{
	char name[2 * UUID_LEN + 1];

	sdes_hex(sdes_bytes(journal->data, UUID_LEN), name);
	return psprintf("%s: %s", name, wrong);
}

static void
see(SdesAuditLogState *state, Position *position, const SdesAuditJournal *own,
    const Datum *values, const bool *nulls)
{
	const pg_uuid_t *journal = DatumGetUUIDP(values[JOURNAL - 1]);
	const char *wrong = text_of(values, nulls, WRONG);
	const char *trouble = text_of(values, nulls, TROUBLE);
	const char *lacks = text_of(values, nulls, LACKS);

	if (wrong != NULL || trouble != NULL)
		state->wrong = describe(journal, wrong != NULL ? wrong : trouble);
	else if (lacks != NULL)
		state->wrong = describe(
		    journal, psprintf("records %s were moved away before they were loaded", lacks));
	if (memcmp(journal->data, own->id, sizeof(own->id)) != 0)
		return;
	position->known = true;
	position->segment = (uint64) DatumGetInt64(values[SEGMENT - 1]);
	position->offset = (uint64) DatumGetInt64(values[OFFSET - 1]);
	position->next = (uint64) DatumGetInt64(values[NEXT - 1]);
}

/* Before its first key a database has nothing to be loaded: 0. */
static TimestampTz
first_key_at(void)
{
	TimestampTz first = 0;
	ListCell *cell;

	foreach (cell, sdes_store_deks())
	{
		const SdesDekRow *dek = lfirst(cell);

		if (first == 0 || dek->created_at < first)
			first = dek->created_at;
	}
	return first;
}

/* When the first record was written that is not loaded; now, when that cannot be told. */
static TimestampTz
waiting_since(const SdesAuditJournal *own, const Position *position)
{
	TimestampTz since = GetCurrentTimestamp();
	SdesBytes bytes;
	SdesReader r;
	SdesRecord record;

	if (!position->known || position->segment == 0)
		return first_key_at();
	if (sdes_journal_read(own->folder, position->segment, position->offset, &bytes) != 0)
		return since;
	r = sdes_reader(bytes);
	if (position->offset == 0)
		(void) sdes_read_bytes(&r, SDES_JOURNAL_HEADER_SIZE);
	if (!r.failed && sdes_journal_read_record(&r, &record) == SDES_RECORD_READ)
		since = sdes_uses_time(record.time);
	sdes_journal_free(bytes);
	return since;
}

static void
scan(SdesAuditLogState *state, Position *position, Relation rel,
     const SdesAuditJournal *own)
{
	SysScanDesc rows = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(rows)))
	{
		Datum values[NCOLUMNS];
		bool nulls[NCOLUMNS];

		heap_deform_tuple(tuple, RelationGetDescr(rel), values, nulls);
		see(state, position, own, values, nulls);
	}
	systable_endscan(rows);
}

SdesAuditLogState
sdes_auditlog_state(void)
{
	SdesAuditLogState state = {0};
	Relation rel = sdes_log_open("audit_journal");
	Position position = {0};
	SdesAuditJournal own;

	if (rel == NULL)
		return state;
	if (sdes_audit_peek(&own))
	{
		scan(&state, &position, rel, &own);
		if (position.next < own.end.next)
			state.waiting_since = waiting_since(&own, &position);
	}
	state.late = state.waiting_since != 0 &&
	             TimestampDifferenceExceeds(state.waiting_since, GetCurrentTimestamp(),
	                                        1000 * (LATE_S + 2 * sdes_rotation_naptime));
	table_close(rel, AccessShareLock);
	return state;
}
