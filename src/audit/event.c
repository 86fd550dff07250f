/*
 * event.c
 *		What is done to keys and grants: recorded as the transaction commits, before
 *		anybody can make use of it.
 *
 * Who did it is noted at once, since SET ROLE may change that; what a subtransaction did
 * that is rolled back is forgotten. A transaction whose record cannot be written fails. What
 * became of one whose events were put into the queue, an end with its number says.
 */
#include "postgres.h"

#include "audit/audit.h"

#include "access/xact.h"
#include "audit/internal.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "store/store.h"
#include "utils/memutils.h"

/* Bytes of what an act was about, so that the record has room for it in any encoding. */
#define OBJECT_MAX 200

typedef struct Event
{
	int level; /* of the transaction that it belongs to */
	size_t size;
	uint8 fields[FLEXIBLE_ARRAY_MEMBER];
} Event;

/* In TopTransactionContext. */
static List *events = NIL;
static uint64 number = 0; /* of the transaction that they belong to */
static bool put = false;  /* they are in the queue, and need an end */

/* Of what is yet to be committed there is a number in place of the outcome. */
static SdesWriter
describe(uint8 fields[SDES_AUDIT_FIELDS_MAX], const char *operation, const char *outcome,
         const uint8 *bucket, const char *object)
{
	SdesWriter w = sdes_writer(fields, SDES_AUDIT_FIELDS_MAX);

	sdes_write_text(&w, SDES_FIELD_OPERATION, operation);
	sdes_write_text(&w, SDES_FIELD_OUTCOME, outcome);
	if (outcome == NULL)
		sdes_write_number(&w, SDES_FIELD_USE, number);
	sdes_audit_write_bucket(&w, bucket);
	sdes_audit_write_client(&w);
	sdes_write_text(&w, SDES_FIELD_OBJECT, sdes_audit_utf8(object));
	if (w.failed)
		elog(ERROR, "audit record is too long");
	return w;
}

__attribute__((format(printf, 1, 0))) static char *
print_object(const char *format, va_list args)
{
	va_list again;
	char buffer[256];
	char *object = buffer;
	int size;

	va_copy(again, args);
	size = vsnprintf(buffer, sizeof(buffer), format, args);
	object = palloc(size + 1);
	vsnprintf(object, size + 1, format, again);
	va_end(again);
	object[pg_mbcliplen(object, size, OBJECT_MAX)] = '\0';
	return object;
}

void
sdes_audit_event(const char *operation, const uint8 *bucket, const char *format, ...)
{
	uint8 fields[SDES_AUDIT_FIELDS_MAX];
	MemoryContext old;
	SdesWriter w;
	Event *event;
	va_list args;

	sdes_require_preload();
	if (number == 0)
		number = sdes_audit_new_use();
	va_start(args, format);
	w = describe(fields, operation, NULL, bucket, print_object(format, args));
	va_end(args);
	old = MemoryContextSwitchTo(TopTransactionContext);
	event = palloc(offsetof(Event, fields) + (w.at - fields));
	event->level = GetCurrentTransactionNestLevel();
	event->size = (size_t) (w.at - fields);
	memcpy(event->fields, fields, event->size);
	events = lappend(events, event);
	MemoryContextSwitchTo(old);
}

void
sdes_audit_act(const char *operation, const uint8 *bucket, const char *format, ...)
{
	uint8 fields[SDES_AUDIT_FIELDS_MAX];
	uint64 ticket;
	SdesWriter w;
	va_list args;

	sdes_require_preload();
	va_start(args, format);
	w = describe(fields, operation, "begun", bucket, print_object(format, args));
	va_end(args);
	while ((ticket = sdes_audit_put(SDES_JOURNAL_EVENT,
	                                sdes_bytes(fields, (size_t) (w.at - fields)))) == 0)
		sdes_audit_wait_for_room();
	sdes_audit_require(ticket);
}

void
sdes_audit_fetched(const uint8 *bucket, uint32 version)
{
	uint8 fields[SDES_AUDIT_FIELDS_MAX];
	char object[32];
	SdesWriter w;

	snprintf(object, sizeof(object), "version %u", version);
	w = describe(fields, "fetch key", "ok", bucket, object);
	/* It goes before the begin of the use that it is for, which is waited for. */
	while (sdes_audit_put(SDES_JOURNAL_EVENT,
	                      sdes_bytes(fields, (size_t) (w.at - fields))) == 0)
		sdes_audit_wait_for_room();
}

/* The log's line is for nobody but the server's: who sets traps does not tell. */
static void
cry(const uint8 *bucket, const char *label)
{
	SdesBucketRow row;

	ereport(LOG_SERVER_ONLY,
	        (errcode(SDES_ALERT_SQLSTATE),
	         errmsg("audit alert \"honey\": value \"%s\" of bucket \"%s\" is opened for "
	                "role \"%s\"",
	                label, sdes_store_bucket_by_uuid(bucket, &row) ? row.name : "",
	                GetUserNameFromId(GetUserId(), true)),
	         SDES_KEEP_OUT_OF_LOG));
}

void
sdes_audit_honey(const uint8 *bucket, const char *label)
{
	static TimestampTz last_statement = 0;
	static char last_label[SDES_NAME_MAX + 1];
	TimestampTz statement = GetCurrentStatementStartTimestamp();
	uint8 fields[SDES_AUDIT_FIELDS_MAX];
	uint64 ticket;
	SdesWriter w;

	if (statement == last_statement && strcmp(label, last_label) == 0)
		return;
	w = describe(fields, "honey", "ok", bucket, label);
	while ((ticket = sdes_audit_put(SDES_JOURNAL_EVENT,
	                                sdes_bytes(fields, (size_t) (w.at - fields)))) == 0)
		sdes_audit_wait_for_room();
	cry(bucket, label);
	sdes_audit_require(ticket);
	last_statement = statement;
	strlcpy(last_label, label, sizeof(last_label));
}

void
sdes_audit_refused(const char *action)
{
	uint8 fields[SDES_AUDIT_FIELDS_MAX];
	SdesWriter w;
	uint64 ticket;

	if (!sdes_is_preloaded())
		return; /* there is no journal; the caller's error says enough */
	w = describe(fields, action, "denied", NULL, NULL);
	ticket =
	    sdes_audit_put(SDES_JOURNAL_EVENT, sdes_bytes(fields, (size_t) (w.at - fields)));
	if (ticket != 0)
		(void) sdes_audit_wait(ticket);
}

static uint64
put_all(void)
{
	uint64 ticket = 0;
	ListCell *cell;

	foreach (cell, events)
	{
		const Event *event = lfirst(cell);

		while ((ticket = sdes_audit_put(SDES_JOURNAL_EVENT,
		                                sdes_bytes(event->fields, event->size))) == 0)
			sdes_audit_wait_for_room();
		put = true;
	}
	events = NIL;
	return ticket;
}

/* Neither waits nor fails. */
static void
put_end(const char *outcome)
{
	uint8 fields[64];
	SdesWriter w = sdes_writer(fields, sizeof(fields));

	sdes_write_text(&w, SDES_FIELD_OUTCOME, outcome);
	sdes_write_number(&w, SDES_FIELD_USE, number);
	if (put)
		sdes_audit_note_news();
	if (put)
		(void) sdes_audit_put(SDES_JOURNAL_END,
		                      sdes_bytes(fields, (size_t) (w.at - fields)));
	events = NIL;
	number = 0;
	put = false;
}

static void
end_of_transaction(XactEvent event, void *arg)
{
	uint64 ticket;

	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			ticket = put_all();
			if (ticket != 0)
				sdes_audit_require(ticket);
			break;
		case XACT_EVENT_COMMIT:
			put_end("ok");
			break;
		case XACT_EVENT_PREPARE:
			put_end("prepared");
			break;
		case XACT_EVENT_ABORT:
			put_end("aborted");
			break;
		default:
			break;
	}
}

static void
end_of_subtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent,
                      void *arg)
{
	int level = GetCurrentTransactionNestLevel();
	ListCell *cell;

	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	foreach (cell, events)
	{
		Event *one = lfirst(cell);

		if (one->level < level)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB)
			events = foreach_delete_current(events, cell);
		else
			one->level = level - 1;
	}
}

void
sdes_audit_event_init(void)
{
	RegisterXactCallback(end_of_transaction, NULL);
	RegisterSubXactCallback(end_of_subtransaction, NULL);
}
