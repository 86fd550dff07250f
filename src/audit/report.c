/*
 * report.c
 *		sdes.verify_audit(): whether the journal of this server is what was written.
 */
#include "postgres.h"

#include "audit/audit.h"

#include <errno.h>

#include "audit/internal.h"
#include "catalog/pg_type.h"
#include "journal/verify.h"
#include "miscadmin.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

SDES_SQL_FUNCTION(sdes_verify_audit);
SDES_SQL_FUNCTION(sdes_audit_signing_key);

static void
report(int error, const char *folder)
{
	errno = error;
	ereport(ERROR, (errcode_for_file_access(),
	                errmsg("audit journal \"%s\" cannot be read: %m", folder)));
}

/* What is asked for. */
typedef struct Asked
{
	uint64 from; /* sequences */
	uint64 to;
} Asked;

uint64 *
sdes_audit_segments(const char *folder, size_t *n)
{
	uint64_t *listed;
	uint64 *segments;
	int error = sdes_journal_list(folder, &listed, n);

	if (error != 0)
		report(error, folder);
	segments = MemoryContextAllocHuge(CurrentMemoryContext, (*n + 1) * sizeof(uint64));
	if (*n > 0)
		memcpy(segments, listed, *n * sizeof(uint64));
	free(listed);
	return segments;
}

SdesBytes
sdes_audit_segment(const char *folder, uint64 segment, uint64 from)
{
	SdesBytes bytes;
	size_t size;
	uint8 *copy;
	int error = sdes_journal_read(folder, segment, from, &bytes);

	if (error != 0)
		report(error, folder);
	/* malloc'd, which an error must not leave behind. */
	size = bytes.size;
	copy = MemoryContextAllocExtended(CurrentMemoryContext, Max(size, 1),
	                                  MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (copy != NULL && size > 0)
		memcpy(copy, bytes.data, size);
	sdes_journal_free(bytes);
	if (copy == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return sdes_bytes(copy, size);
}

/* One segment; of the last one as much as was on the disk when we began. */
static bool
verify_segment(const char *folder, uint64 sequence, const SdesJournalEnd *end,
               SdesVerify *v)
{
	SdesBytes bytes = sdes_audit_segment(folder, sequence, 0);
	size_t size = sequence == end->segment ? Min(bytes.size, end->size) : bytes.size;
	bool good = sdes_verify_segment(v, sdes_bytes(bytes.data, size));

	pfree((void *) (uintptr_t) bytes.data);
	return good;
}

/* Segments that hold what is asked for. */
static void
verify(const char *folder, const SdesJournalEnd *end, const Asked *asked, SdesVerify *v)
{
	size_t n;
	uint64 *sequences = sdes_audit_segments(folder, &n);

	sequences[n] = UINT64_MAX;
	for (size_t i = 0; i < n && sequences[i] <= Min(end->segment, asked->to); i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (sequences[i + 1] > asked->from && !verify_segment(folder, sequences[i], end, v))
			return;
	}
	if (asked->to >= end->segment)
		sdes_verify_reaches(v, end->next - 1);
}

/* An argument that is a sequence; NULL: none. */
static uint64
sequence_argument(FunctionCallInfo fcinfo, int i, uint64 otherwise)
{
	if (PG_ARGISNULL(i))
		return otherwise;
	if (PG_GETARG_INT64(i) < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("records are numbered from 1 on")));
	return (uint64) PG_GETARG_INT64(i);
}

static void
add_key(SdesSignatures *s, const char *text)
{
	if (strlen(text) != 2 * SDES_DIGEST_SIZE ||
	    strspn(text, "0123456789abcdef") != 2 * SDES_DIGEST_SIZE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("a key's fingerprint has 64 hexadecimal digits"),
		                errhint("sdes.verify_audit() returns it as \"key\".")));
	if (s->npins == SDES_PINS_MAX)
		ereport(ERROR, (errcode(ERRCODE_TOO_MANY_ARGUMENTS),
		                errmsg("more than %d keys", SDES_PINS_MAX)));
	hex_decode(text, 2 * SDES_DIGEST_SIZE, (char *) s->pins[s->npins++]);
}

static void
keys_argument(FunctionCallInfo fcinfo, int i, SdesSignatures *s)
{
	Datum *elements;
	bool *nulls;
	int n;

	if (PG_ARGISNULL(i))
		return;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(i), TEXTOID, -1, false, TYPALIGN_INT, &elements,
	                  &nulls, &n);
	for (int k = 0; k < n; k++)
		if (!nulls[k])
			add_key(s, TextDatumGetCString(elements[k]));
}

static TimestampTz
postgres_time(int64 unix_time)
{
	return unix_time - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (int64) USECS_PER_DAY;
}

/* NULL: nothing. */
static const char *
describe_wrong(const SdesVerify *v)
{
	const SdesSignatures *s = v->signatures;

	if (v->wrong != SDES_WRONG_NOTHING)
		return psprintf("record " UINT64_FORMAT " is %s", v->next,
		                sdes_wrong_name(v->wrong));
	if (sdes_signatures_suffice(s))
		return NULL;
	return s->count == 0 ? "no record is signed by a key that was given"
	                     : psprintf("the records after " UINT64_FORMAT " are not signed",
	                                s->last.sequence);
}

static Datum
make_row(TupleDesc desc, const SdesVerify *v, const char *folder)
{
	const SdesSignatures *s = v->signatures;
	char fingerprint[2 * SDES_DIGEST_SIZE + 1];
	Datum values[7];
	bool nulls[7] = {false};
	const char *wrong;

	values[0] = Int64GetDatum((int64) v->first);
	values[1] = Int64GetDatum((int64) v->next - 1);
	wrong = describe_wrong(v);
	nulls[2] = wrong == NULL;
	values[2] = nulls[2] ? (Datum) 0 : CStringGetTextDatum(wrong);
	nulls[3] = nulls[4] = nulls[5] = s->count == 0;
	values[3] = Int64GetDatum((int64) s->last.sequence);
	values[4] = TimestampTzGetDatum(postgres_time(s->last.time));
	sdes_hex(SDES_BYTES_OF(s->signed_by), fingerprint);
	values[5] = CStringGetTextDatum(fingerprint);
	values[6] = CStringGetTextDatum(folder);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* No row before the first signature of this server's life. */
Datum
sdes_audit_signing_key(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SdesAuditSigning signing = sdes_audit_signing();
	char fingerprint[2 * SDES_DIGEST_SIZE + 1];
	bool nulls[3] = {false};
	Datum values[3];

	InitMaterializedSRF(fcinfo, 0);
	if (signing.sequence == 0)
		return (Datum) 0;
	sdes_hex(SDES_BYTES_OF(signing.fingerprint), fingerprint);
	values[0] = CStringGetTextDatum(fingerprint);
	values[1] = CStringGetTextDatum(signing.is_p256 ? "ECDSA" : "RSA");
	values[2] = Int32GetDatum(signing.is_p256 ? 256 : 4096);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return (Datum) 0;
}

/* OpenSSL's key in s lies outside of any memory context. */
Datum
sdes_verify_audit(PG_FUNCTION_ARGS)
{
	char folder[SDES_JOURNAL_PATH_MAX];
	Asked asked = {.from = sequence_argument(fcinfo, 0, 1),
	               .to = sequence_argument(fcinfo, 1, UINT64_MAX)};
	SdesJournalEnd end;
	SdesSignatures s;
	SdesVerify v;
	TupleDesc desc;

	sdes_require_preload();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	sdes_signatures_start(&s);
	keys_argument(fcinfo, 2, &s);
	sdes_audit_where(folder, &end);
	sdes_verify_start(&v);
	v.signatures = &s;
	PG_TRY();
	{
		verify(folder, &end, &asked, &v);
	}
	PG_FINALLY();
	{
		sdes_signatures_end(&s);
	}
	PG_END_TRY();
	sdes_check(v.status);
	if (!v.begun)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
		                errmsg("no segment of the audit journal holds these records"),
		                errhint("Those that were moved away can be verified by sdes_audit "
		                        "verify.")));
	PG_RETURN_DATUM(make_row(desc, &v, folder));
}
