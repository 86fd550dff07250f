/*
 * audit.c
 *		What a process is using keys for, and the records of it.
 *
 * A use is of one statement, bucket, operation and role, and of the same columns. It ends
 * with the statement, when the next one uses something, or with the transaction. Its end is
 * put into the queue and waited for by nobody, so that an abort can neither fail nor wait
 * here; a begin is there before anything is opened.
 */
#include "postgres.h"

#include "audit/audit.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "agentlink/agentlink.h"
#include "audit/internal.h"
#include "commands/dbcommands.h"
#include "common/ip.h"
#include "libpq/libpq-be.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "store/store.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#define FIRST_LEASE 100 /* values; each further one is ten times as large */

typedef struct Use
{
	TimestampTz statement;
	uint8 bucket[SDES_UUID_SIZE];
	SdesAuditOperation operation;
	Oid role;
	uint32 columns;   /* what stands for those that are read or written */
	uint64 execution; /* that asked for it last; it need not look for them again */
	bool async;       /* of the bucket: records are not waited for */
	uint64 number;
	uint64 ticket; /* of its begin or last lease, while it is not on the disk; else 0 */
	int64 leased;  /* values that are on record, or will be with that ticket */
	int64 values;
	int64 bytes;
} Use;

static Use uses[SDES_AUDIT_USES];
static int nuses = 0;
static Use *last = NULL; /* of which bytes are counted */
static uint64 owed = 0;  /* ticket of what has to be on the disk before a commit */

static emit_log_hook_type previous_log = NULL;
static int last_error = 0; /* SQLSTATE, 0: none; of the statement that began at: */
static TimestampTz last_error_at = 0;

static const char *const operation_names[] = {
    [SDES_AUDIT_ENCRYPT] = "encrypt", [SDES_AUDIT_DECRYPT] = "decrypt",
    [SDES_AUDIT_MASK] = "mask",       [SDES_AUDIT_SEARCH] = "search",
    [SDES_AUDIT_SORT] = "sort",
};

/* ---- who ---- */

static int64
unix_time(TimestampTz time)
{
	return time + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) USECS_PER_DAY;
}

static void
describe_port(SdesAuditClient *client, const Port *port)
{
	char service[32] = "";

	strlcpy(client->authenticated, port->user_name ? port->user_name : "",
	        sizeof(client->authenticated));
	if (port->raddr.addr.ss_family == AF_UNIX ||
	    pg_getnameinfo_all(&port->raddr.addr, port->raddr.salen, client->address,
	                       sizeof(client->address), service, sizeof(service),
	                       NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		strlcpy(client->address, "local", sizeof(client->address));
	else
		client->port = atoi(service);
#ifdef USE_SSL
	if (port->ssl_in_use)
	{
		strlcpy(client->tls, be_tls_get_version((Port *) port), sizeof(client->tls));
		strlcpy(client->cipher, be_tls_get_cipher((Port *) port), sizeof(client->cipher));
	}
#endif
}

/* A parallel worker acts for its leader's client. */
static const SdesAuditClient *
client_of_process(void)
{
	SdesAuditClient *client = sdes_audit_client();
	const SdesAuditClient *leader = IsParallelWorker() ? sdes_audit_leader() : NULL;

	if (leader != NULL && leader->known)
		return leader;
	if (client->known && client->backend == MyProcPid &&
	    client->backend_start == unix_time(MyStartTimestamp))
		return client;
	memset(client, 0, sizeof(*client));
	client->backend = MyProcPid;
	client->backend_start = unix_time(MyStartTimestamp);
	if (MyProcPort != NULL)
		describe_port(client, MyProcPort);
	else
		strlcpy(client->address, "none", sizeof(client->address));
	client->known = true;
	return client;
}

void
sdes_audit_know_client(void)
{
	static bool done = false;

	if (!done)
		(void) client_of_process();
	done = true;
}

/* With what is not ASCII as \xNN. */
static char *
escaped(const char *text)
{
	char *out = palloc(4 * strlen(text) + 1);
	char *at = out;

	for (; *text != '\0'; text++)
		at += (unsigned char) *text < 128
		          ? snprintf(at, 2, "%c", *text)
		          : snprintf(at, 5, "\\x%02x", (unsigned char) *text);
	*at = '\0';
	return out;
}

/* In UTF-8, in the current memory context. A name may be in any encoding: no error. */
const char *
sdes_audit_utf8(const char *text)
{
	int encoding = GetDatabaseEncoding() == PG_SQL_ASCII ? PG_UTF8 : GetDatabaseEncoding();
	int size = text == NULL ? 0 : (int) strlen(text);

	if (size == 0)
		return NULL;
	if (!pg_verify_mbstr(encoding, text, size, true))
		return escaped(text);
	return encoding == PG_UTF8 ? text : pg_server_to_any(text, size, PG_UTF8);
}

static const char *
role_name(Oid role)
{
	const char *name = GetUserNameFromId(role, true);

	return name != NULL ? name : psprintf("oid %u", role);
}

void
sdes_audit_write_client(SdesWriter *w)
{
	const SdesAuditClient *client = client_of_process();

	sdes_write_text(w, SDES_FIELD_AUTHENTICATED, sdes_audit_utf8(client->authenticated));
	sdes_write_text(w, SDES_FIELD_SESSION_ROLE,
	                sdes_audit_utf8(role_name(GetSessionUserId())));
	sdes_write_text(w, SDES_FIELD_ROLE, sdes_audit_utf8(role_name(GetUserId())));
	sdes_write_text(w, SDES_FIELD_ADDRESS, client->address);
	if (client->port != 0)
		sdes_write_number(w, SDES_FIELD_PORT, (uint64) client->port);
	sdes_write_text(w, SDES_FIELD_TLS, client->tls[0] ? client->tls : NULL);
	sdes_write_text(w, SDES_FIELD_CIPHER, client->cipher[0] ? client->cipher : NULL);
	sdes_write_text(w, SDES_FIELD_APPLICATION, sdes_audit_utf8(application_name));
	sdes_write_number(w, SDES_FIELD_BACKEND, (uint64) client->backend);
	sdes_write_number(w, SDES_FIELD_BACKEND_START, (uint64) client->backend_start);
	if (pgstat_get_my_query_id() != 0)
		sdes_write_number(w, SDES_FIELD_QUERY, (uint64) pgstat_get_my_query_id());
}

static void
write_database(SdesWriter *w)
{
	sdes_audit_note_news();
	sdes_write_text(w, SDES_FIELD_DATABASE,
	                sdes_audit_utf8(get_database_name(MyDatabaseId)));
	sdes_write_number(w, SDES_FIELD_DATABASE_OID, MyDatabaseId);
}

/* name is NULL of one that is not there any more. */
static void
write_known_bucket(SdesWriter *w, const uint8 *uuid, const char *name)
{
	sdes_write_text(w, SDES_FIELD_BUCKET, sdes_audit_utf8(name));
	sdes_write_field(w, SDES_FIELD_BUCKET_UUID, sdes_bytes(uuid, SDES_UUID_SIZE));
}

void
sdes_audit_write_bucket(SdesWriter *w, const uint8 *uuid)
{
	SdesBucketRow bucket;

	write_database(w);
	if (uuid != NULL)
		write_known_bucket(w, uuid,
		                   sdes_store_bucket_by_uuid(uuid, &bucket) ? bucket.name : NULL);
}

/* What is used; row is NULL of a bucket that is not there any more. */
typedef struct Used
{
	const uint8 *uuid;
	const SdesBucketRow *row;
	List *columns;
} Used;

static void
find_columns(Used *used, SdesAuditOperation operation)
{
	used->columns = used->row == NULL ? NIL
	                                  : sdes_audit_columns(used->row->hash,
	                                                       operation == SDES_AUDIT_ENCRYPT);
}

static void
write_used(SdesWriter *w, const Used *used)
{
	write_known_bucket(w, used->uuid, used->row != NULL ? used->row->name : NULL);
	sdes_audit_write_columns(w, used->columns);
}

/* ---- records ---- */

/*
 * Puts a record into the queue, if need be after what is there has been written; an error
 * when that cannot be.
 */
static uint64
put(SdesJournalKind kind, const uint8 *fields, const SdesWriter *w)
{
	SdesBytes bytes = sdes_bytes(fields, (size_t) (w->at - fields));
	uint64 ticket;

	if (w->failed)
		elog(ERROR, "audit record is too long");
	while ((ticket = sdes_audit_put(kind, bytes)) == 0)
		sdes_audit_wait_for_room();
	return ticket;
}

static void
put_begin(Use *use, const Used *used)
{
	uint8 fields[SDES_AUDIT_FIELDS_MAX];
	SdesWriter w = sdes_writer(fields, sizeof(fields));

	sdes_write_text(&w, SDES_FIELD_OPERATION, operation_names[use->operation]);
	sdes_write_number(&w, SDES_FIELD_USE, use->number);
	write_database(&w);
	write_used(&w, used);
	sdes_write_number(&w, SDES_FIELD_VALUES, (uint64) use->leased);
	sdes_audit_write_client(&w);
	use->ticket = put(SDES_JOURNAL_BEGIN, fields, &w);
}

static void
put_lease(Use *use, int64 values)
{
	uint8 fields[64];
	SdesWriter w = sdes_writer(fields, sizeof(fields));

	sdes_write_number(&w, SDES_FIELD_USE, use->number);
	sdes_write_number(&w, SDES_FIELD_VALUES, (uint64) values);
	use->ticket = put(SDES_JOURNAL_LEASE, fields, &w);
	use->leased = values;
}

/* Neither waits nor fails; there is room, since a begin was there before. */
static void
put_end(const Use *use, const char *outcome, const char *reason)
{
	uint8 fields[SDES_AUDIT_END];
	SdesWriter w = sdes_writer(fields, sizeof(fields));

	sdes_write_text(&w, SDES_FIELD_OUTCOME, outcome);
	sdes_write_text(&w, SDES_FIELD_REASON, reason);
	sdes_write_number(&w, SDES_FIELD_USE, use->number);
	sdes_write_number(&w, SDES_FIELD_VALUES, (uint64) use->values);
	sdes_write_number(&w, SDES_FIELD_BYTES, (uint64) use->bytes);
	sdes_audit_note_news();
	(void) sdes_audit_put(SDES_JOURNAL_END, sdes_bytes(fields, (size_t) (w.at - fields)));
}

/* ---- uses ---- */

static void
end_uses(const char *outcome, const char *reason)
{
	for (int i = 0; i < nuses; i++)
		put_end(&uses[i], outcome, reason);
	nuses = 0;
	last = NULL;
}

/* What the statements before have used ends when another one uses something. */
static void
end_older(TimestampTz statement)
{
	if (nuses > 0 && uses[0].statement != statement)
		end_uses("ok", NULL);
}

static bool
is_use(const Use *use, const uint8 *bucket, SdesAuditOperation operation,
       TimestampTz statement)
{
	return use->operation == operation && use->role == GetUserId() &&
	       memcmp(use->bucket, bucket, SDES_UUID_SIZE) == 0 && use->statement == statement;
}

/* Of whichever columns: the latest one. */
static Use *
find_any(const uint8 *bucket, SdesAuditOperation operation, TimestampTz statement)
{
	for (int i = nuses - 1; i >= 0; i--)
		if (is_use(&uses[i], bucket, operation, statement))
			return &uses[i];
	return NULL;
}

/* Which this execution has had. */
static Use *
find_at_hand(const uint8 *bucket, SdesAuditOperation operation, TimestampTz statement)
{
	for (int i = nuses - 1; i >= 0; i--)
		if (uses[i].execution == sdes_audit_execution() &&
		    is_use(&uses[i], bucket, operation, statement))
			return &uses[i];
	return NULL;
}

/* Of the same columns, whoever had it. */
static Use *
find(const uint8 *bucket, SdesAuditOperation operation, TimestampTz statement,
     uint32 columns)
{
	for (int i = nuses - 1; i >= 0; i--)
		if (uses[i].columns == columns && is_use(&uses[i], bucket, operation, statement))
			return &uses[i];
	return NULL;
}

/*
 * Waits until what is on record is on the disk, too, unless it was already. After a wait
 * that failed or was cancelled the next use waits for the same. What is encrypted is seen
 * by nobody before the commit, which is when that is waited for.
 */
static void
settle(Use *use)
{
	if (use->ticket == 0)
		return;
	/* Where records cannot be written nobody goes on without. */
	if (!use->async || sdes_audit_trouble() != NULL || !sdes_audit_is_watched())
	{
		if (use->operation == SDES_AUDIT_ENCRYPT)
			owed = use->ticket;
		else
			sdes_audit_require(use->ticket);
	}
	use->ticket = 0;
}

/* There are more than are kept at a time: the oldest one ends. */
static void
make_room(void)
{
	if (nuses < SDES_AUDIT_USES)
		return;
	put_end(&uses[0], "ok", NULL);
	memmove(&uses[0], &uses[1], --nuses * sizeof(Use));
	last = NULL;
}

static Use *
begin(const Used *used, SdesAuditOperation operation, TimestampTz statement, uint32 columns,
      int64 values)
{
	Use use = {.statement = statement,
	           .operation = operation,
	           .role = GetUserId(),
	           .columns = columns,
	           .number = sdes_audit_new_use(),
	           .async = used->row != NULL && used->row->audit_async,
	           .leased = Max(values, FIRST_LEASE)};

	make_room();
	memcpy(use.bucket, used->uuid, SDES_UUID_SIZE);
	put_begin(&use, used);
	/* From here on it has an end, whatever comes of the wait. */
	uses[nuses] = use;
	return &uses[nuses++];
}

static Use *
find_or_begin(const uint8 *bucket, SdesAuditOperation operation, TimestampTz statement,
              int64 values)
{
	Use *use = find_at_hand(bucket, operation, statement);
	Used used = {.uuid = bucket};
	SdesBucketRow row;
	uint32 columns;

	if (use != NULL)
		return use;
	if (sdes_store_known_bucket(bucket, &row))
		used.row = &row;
	find_columns(&used, operation);
	columns = sdes_audit_hash_columns(used.columns);
	use = find(bucket, operation, statement, columns);
	if (use == NULL)
		use = begin(&used, operation, statement, columns, values);
	sdes_audit_free_columns(used.columns);
	use->execution = sdes_audit_execution();
	return use;
}

static void
lease(Use *use, int64 values)
{
	int64 leased = use->leased;

	while (leased < values)
		leased *= 10;
	put_lease(use, leased);
}

static void
refuse_under_lock(void)
{
	ereport(
	    ERROR,
	    (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	     errmsg("values cannot be opened where their audit record cannot be waited for"),
	     errhint("Give the index their text, as in email = other::text."),
	     SDES_KEEP_OUT_OF_LOG));
}

static void
use_values(const uint8 *bucket, SdesAuditOperation operation, int64 values, int64 expected)
{
	TimestampTz statement = GetCurrentStatementStartTimestamp();
	bool at_once = sdes_must_not_wait();
	Use *use;

	if (at_once)
	{
		use = find_any(bucket, operation, statement);
		/* To compare tokens that are there opens nothing. */
		if (values > 0 &&
		    (use == NULL || use->ticket != 0 || use->values + values > use->leased))
			refuse_under_lock();
	}
	else
	{
		end_older(statement);
		use = find_or_begin(bucket, operation, statement, values + expected);
		if (use->values + values + expected > use->leased)
			lease(use, use->values + values + expected);
		settle(use);
	}
	if (use != NULL)
		use->values += values;
	last = use;
}

void
sdes_audit_use(const uint8 *bucket, SdesAuditOperation operation, int64 values)
{
	use_values(bucket, operation, values, 0);
}

void
sdes_audit_expect(const uint8 *bucket, SdesAuditOperation operation, int64 values)
{
	use_values(bucket, operation, 0, values);
}

void
sdes_audit_bytes(int64 bytes)
{
	if (last != NULL)
		last->bytes += bytes;
}

void
sdes_audit_denied(const uint8 *bucket, SdesAuditOperation operation)
{
	uint8 fields[SDES_AUDIT_FIELDS_MAX];
	SdesWriter w = sdes_writer(fields, sizeof(fields));
	Used used = {.uuid = bucket};
	SdesBucketRow row;
	uint64 ticket;

	if (sdes_must_not_wait())
		return; /* names are not at hand; the error is in the server log */
	if (sdes_store_bucket_by_uuid(bucket, &row))
		used.row = &row;
	find_columns(&used, operation);
	sdes_write_text(&w, SDES_FIELD_OPERATION, operation_names[operation]);
	sdes_write_text(&w, SDES_FIELD_OUTCOME, "denied");
	write_database(&w);
	write_used(&w, &used);
	sdes_audit_write_client(&w);
	if (w.failed)
		return;
	ticket =
	    sdes_audit_put(SDES_JOURNAL_EVENT, sdes_bytes(fields, (size_t) (w.at - fields)));
	if (ticket != 0)
		(void) sdes_audit_wait(ticket);
}

/* ---- ends ---- */

static void
pay(void)
{
	uint64 ticket = owed;

	owed = 0;
	if (ticket != 0)
		sdes_audit_require(ticket);
}

/* The SQLSTATE of the statement's error; NULL when it had none that was logged. */
static const char *
reason_of_abort(void)
{
	return last_error != 0 && last_error_at == GetCurrentStatementStartTimestamp()
	           ? unpack_sql_state(last_error)
	           : NULL;
}

/* An error is told before the transaction ends that it aborts. */
static void
note_error(ErrorData *error)
{
	if (previous_log)
		previous_log(error);
	if (error->elevel >= ERROR)
	{
		last_error = error->sqlerrcode;
		last_error_at = GetCurrentStatementStartTimestamp();
	}
}

static void
end_of_transaction(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			pay();
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
			end_uses("ok", NULL);
			break;
		case XACT_EVENT_PREPARE:
			end_uses("prepared", NULL);
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
			end_uses("aborted", reason_of_abort());
			owed = 0;
			break;
	}
}

void
sdes_audit_init(void)
{
	sdes_audit_queue_init();
	sdes_audit_signer_init();
	sdes_audit_mirror_init();
	sdes_audit_event_init();
	RegisterXactCallback(end_of_transaction, NULL);
	previous_log = emit_log_hook;
	emit_log_hook = note_error;
}
