/*
 * uses.c
 *		Records of a journal made into rows.
 */
#include "postgres.h"

#include "auditlog/uses.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "sdes_datum.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

typedef struct Row
{
	Datum values[SDES_AUDIT_NCOLUMNS];
	bool nulls[SDES_AUDIT_NCOLUMNS];
} Row;

/* Which column a field goes to; what is not here is in the journal only. */
static const struct
{
	SdesFieldTag tag;
	SdesAuditColumn column;
} columns[] = {
    {SDES_FIELD_OPERATION, SDES_AUDIT_OPERATION},
    {SDES_FIELD_OUTCOME, SDES_AUDIT_OUTCOME},
    {SDES_FIELD_REASON, SDES_AUDIT_REASON},
    {SDES_FIELD_BUCKET, SDES_AUDIT_BUCKET},
    {SDES_FIELD_BUCKET_UUID, SDES_AUDIT_BUCKET_UUID},
    {SDES_FIELD_RELATION, SDES_AUDIT_RELATION},
    {SDES_FIELD_COLUMN, SDES_AUDIT_COLUMN},
    {SDES_FIELD_VALUES, SDES_AUDIT_VALUES},
    {SDES_FIELD_BYTES, SDES_AUDIT_BYTES},
    {SDES_FIELD_AUTHENTICATED, SDES_AUDIT_AUTHENTICATED},
    {SDES_FIELD_SESSION_ROLE, SDES_AUDIT_SESSION_ROLE},
    {SDES_FIELD_ROLE, SDES_AUDIT_ROLE},
    {SDES_FIELD_ADDRESS, SDES_AUDIT_ADDRESS},
    {SDES_FIELD_PORT, SDES_AUDIT_PORT},
    {SDES_FIELD_TLS, SDES_AUDIT_TLS},
    {SDES_FIELD_CIPHER, SDES_AUDIT_CIPHER},
    {SDES_FIELD_APPLICATION, SDES_AUDIT_APPLICATION},
    {SDES_FIELD_BACKEND, SDES_AUDIT_BACKEND},
    {SDES_FIELD_BACKEND_START, SDES_AUDIT_BACKEND_START},
    {SDES_FIELD_QUERY, SDES_AUDIT_QUERY},
    {SDES_FIELD_OBJECT, SDES_AUDIT_OBJECT},
    {SDES_FIELD_NODE, SDES_AUDIT_OBJECT}, /* of a server's start */
};

TimestampTz
sdes_uses_time(int64 unix_time)
{
	return unix_time - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) USECS_PER_DAY;
}

SdesUses *
sdes_uses_new(const uint8 *journal, TupleDesc desc, Tuplestorestate *rows)
{
	SdesUses *uses = palloc0(sizeof(SdesUses));

	Assert(desc->natts == SDES_AUDIT_NCOLUMNS);
	memcpy(uses->journal, journal, sizeof(uses->journal));
	uses->desc = desc;
	uses->rows = rows;
	uses->context = CurrentMemoryContext;
	uses->row =
	    AllocSetContextCreate(CurrentMemoryContext, "sdes audit row", ALLOCSET_SMALL_SIZES);
	return uses;
}

/* ---- values ---- */

/* What another database's encoding cannot say is shown by its bytes: no error. */
static char *
escaped(SdesBytes utf8)
{
	char *out = palloc(4 * utf8.size + 1);
	char *at = out;

	for (size_t i = 0; i < utf8.size; i++)
		at += utf8.data[i] < 128 ? snprintf(at, 2, "%c", utf8.data[i])
		                         : snprintf(at, 5, "\\x%02x", utf8.data[i]);
	*at = '\0';
	return out;
}

static char *
in_server_encoding(SdesBytes utf8)
{
	int encoding = GetDatabaseEncoding();
	int room = (int) utf8.size * MAX_CONVERSION_GROWTH + 1;
	unsigned char *out;
	Oid conversion;

	if (!pg_verify_mbstr(PG_UTF8, (const char *) utf8.data, (int) utf8.size, true))
		return escaped(utf8);
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return pnstrdup((const char *) utf8.data, utf8.size);
	conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	out = palloc0(room);
	if (!OidIsValid(conversion) ||
	    pg_do_encoding_conversion_buf(conversion, PG_UTF8, encoding,
	                                  (unsigned char *) utf8.data, (int) utf8.size, out,
	                                  room, true) != (int) utf8.size)
		return escaped(utf8);
	return (char *) out;
}

/* False when the field is not what its column takes. */
static bool
value_of(const SdesField *field, SdesAuditColumn column, Datum *value)
{
	switch (column)
	{
		case SDES_AUDIT_BUCKET_UUID:
			if (field->value.size != UUID_LEN)
				return false;
			*value = sdes_uuid_datum(field->value.data);
			return true;
		case SDES_AUDIT_PORT:
		case SDES_AUDIT_BACKEND:
			*value = Int32GetDatum((int32) field->number);
			return true;
		case SDES_AUDIT_BACKEND_START:
			*value = TimestampTzGetDatum(sdes_uses_time((int64) field->number));
			return true;
		case SDES_AUDIT_VALUES:
		case SDES_AUDIT_BYTES:
		case SDES_AUDIT_QUERY:
			*value = Int64GetDatum((int64) field->number);
			return true;
		default:
			*value = CStringGetTextDatum(in_server_encoding(field->value));
			return true;
	}
}

static void
set(Row *row, SdesAuditColumn column, Datum value)
{
	row->values[column] = value;
	row->nulls[column] = false;
}

static void
set_fields(Row *row, SdesBytes fields)
{
	SdesReader r = sdes_reader(fields);
	SdesField field;

	while (sdes_read_field(&r, &field))
		for (size_t i = 0; i < lengthof(columns); i++)
		{
			Datum value;

			if (columns[i].tag == field.tag && value_of(&field, columns[i].column, &value))
				set(row, columns[i].column, value);
		}
}

static void
start_row(Row *row, const SdesUses *uses, uint64 sequence, int64 time, SdesBytes fields)
{
	memset(row->nulls, true, sizeof(row->nulls));
	set(row, SDES_AUDIT_JOURNAL, sdes_uuid_datum(uses->journal));
	set(row, SDES_AUDIT_SEQUENCE, Int64GetDatum((int64) sequence));
	set(row, SDES_AUDIT_TIME, TimestampTzGetDatum(sdes_uses_time(time)));
	set_fields(row, fields);
}

static void
emit(SdesUses *uses, Row *row)
{
	tuplestore_putvalues(uses->rows, uses->desc, row->values, row->nulls);
	uses->nrows++;
}

/* ---- what has begun ---- */

void
sdes_uses_add(SdesUses *uses, const SdesOpenUse *use)
{
	MemoryContext old = MemoryContextSwitchTo(uses->context);
	SdesOpenUse *copy = palloc(sizeof(SdesOpenUse));
	uint8 *fields = palloc(use->fields.size);

	*copy = *use;
	memcpy(fields, use->fields.data, use->fields.size);
	copy->fields.data = fields;
	uses->open = lappend(uses->open, copy);
	MemoryContextSwitchTo(old);
}

static uint64
number_of(const SdesRecord *record, SdesFieldTag tag, uint64 otherwise)
{
	SdesField field;

	return sdes_record_field(record, tag, &field) ? field.number : otherwise;
}

static void
open_use(SdesUses *uses, const SdesRecord *record, uint64 use)
{
	SdesOpenUse made = {.use = use,
	                    .sequence = record->sequence,
	                    .time = record->time,
	                    .values = (int64) number_of(record, SDES_FIELD_VALUES, UINT64_MAX),
	                    .fields = record->fields};

	sdes_uses_add(uses, &made);
}

/* With an end, or by a crash that came before it: NULL. */
static void
close_use(SdesUses *uses, const SdesOpenUse *use, const SdesRecord *end)
{
	Row row;

	start_row(&row, uses, use->sequence, use->time, use->fields);
	if (use->values >= 0)
		set(&row, SDES_AUDIT_VALUES, Int64GetDatum(use->values));
	if (end != NULL)
	{
		set_fields(&row, end->fields);
		set(&row, SDES_AUDIT_ENDED, TimestampTzGetDatum(sdes_uses_time(end->time)));
	}
	else
		set(&row, SDES_AUDIT_OUTCOME, CStringGetTextDatum("unknown"));
	emit(uses, &row);
}

static void
forget(SdesUses *uses, const SdesOpenUse *use)
{
	MemoryContext old = MemoryContextSwitchTo(uses->context);
	uint64 *sequence;

	if (use->stored)
	{
		sequence = palloc(sizeof(uint64));
		*sequence = use->sequence;
		uses->ended = lappend(uses->ended, sequence);
	}
	MemoryContextSwitchTo(old);
}

/* All of that number, or whatever there is. */
static void
close_uses(SdesUses *uses, const SdesRecord *end, uint64 use)
{
	ListCell *cell;

	foreach (cell, uses->open)
	{
		SdesOpenUse *one = lfirst(cell);

		if (end != NULL && one->use != use)
			continue;
		close_use(uses, one, end);
		forget(uses, one);
		uses->open = foreach_delete_current(uses->open, cell);
	}
}

static void
lease(SdesUses *uses, const SdesRecord *record)
{
	uint64 use = number_of(record, SDES_FIELD_USE, 0);
	ListCell *cell;

	foreach (cell, uses->open)
	{
		SdesOpenUse *one = lfirst(cell);

		if (one->use != use)
			continue;
		one->values = (int64) number_of(record, SDES_FIELD_VALUES, 0);
		one->changed = true;
	}
}

/* ---- records ---- */

static void
happened(SdesUses *uses, const SdesRecord *record, const char *operation)
{
	Row row;

	start_row(&row, uses, record->sequence, record->time, record->fields);
	if (operation != NULL)
		set(&row, SDES_AUDIT_OPERATION, CStringGetTextDatum(operation));
	if (row.nulls[SDES_AUDIT_OPERATION])
		set(&row, SDES_AUDIT_OPERATION, CStringGetTextDatum("unknown"));
	if (row.nulls[SDES_AUDIT_OUTCOME])
		set(&row, SDES_AUDIT_OUTCOME, CStringGetTextDatum("ok"));
	emit(uses, &row);
}

static void
note_node(SdesUses *uses, const SdesRecord *record)
{
	SdesField field;
	MemoryContext old = MemoryContextSwitchTo(uses->context);

	if (sdes_record_field(record, SDES_FIELD_NODE, &field))
		uses->node = in_server_encoding(field.value);
	MemoryContextSwitchTo(old);
}

/* What concerns the whole server is in the table of each database. */
static bool
is_ours(const SdesRecord *record)
{
	return number_of(record, SDES_FIELD_DATABASE_OID, MyDatabaseId) == MyDatabaseId;
}

static void
see(SdesUses *uses, const SdesRecord *record)
{
	uint64 use = number_of(record, SDES_FIELD_USE, 0);

	switch (record->kind)
	{
		case SDES_JOURNAL_STARTED:
			close_uses(uses, NULL, 0);
			note_node(uses, record);
			happened(uses, record, "audit started");
			break;
		case SDES_JOURNAL_STOPPED:
			happened(uses, record, "audit stopped");
			break;
		case SDES_JOURNAL_BEGIN:
			open_use(uses, record, use);
			break;
		case SDES_JOURNAL_LEASE:
			lease(uses, record);
			break;
		case SDES_JOURNAL_END:
			close_uses(uses, record, use);
			break;
		case SDES_JOURNAL_EVENT:
			if (use != 0)
				open_use(uses, record, use);
			else
				happened(uses, record, NULL);
			break;
		default:
			break; /* checkpoints and signatures are the journal's own affair */
	}
}

void
sdes_uses_see(SdesUses *uses, const SdesRecord *record)
{
	MemoryContext old;

	if (!is_ours(record))
		return;
	old = MemoryContextSwitchTo(uses->row);
	see(uses, record);
	MemoryContextSwitchTo(old);
	MemoryContextReset(uses->row);
}
