/*
 * report.c
 *		sdes.verify_audit(): whether the journal of this server is what was written.
 */
#include "postgres.h"

#include "audit/audit.h"

#include <errno.h>

#include "audit/internal.h"
#include "journal/verify.h"
#include "miscadmin.h"
#include "sdes_compat.h"
#include "sdes_guc.h"
#include "utils/builtins.h"

SDES_SQL_FUNCTION(sdes_verify_audit);

static void
report(int error, const char *folder)
{
	errno = error;
	ereport(ERROR, (errcode_for_file_access(),
	                errmsg("audit journal \"%s\" cannot be read: %m", folder)));
}

/* One segment; of the last one as much as was on the disk when we began. */
static bool
verify_segment(const char *folder, uint64 sequence, const SdesJournalEnd *end,
               SdesVerify *v)
{
	SdesBytes bytes;
	bool good;
	int error = sdes_journal_read(folder, sequence, 0, &bytes);

	if (error != 0)
		report(error, folder);
	good = sdes_verify_segment(v, sequence == end->segment
	                                  ? sdes_bytes(bytes.data, Min(bytes.size, end->size))
	                                  : bytes);
	sdes_journal_free(bytes);
	return good;
}

static void
verify(const char *folder, const SdesJournalEnd *end, SdesVerify *v)
{
	uint64_t *listed;
	uint64 *sequences;
	size_t n;
	int error = sdes_journal_list(folder, &listed, &n);

	if (error != 0)
		report(error, folder);
	sequences = MemoryContextAllocHuge(CurrentMemoryContext, (n + 1) * sizeof(uint64));
	if (n > 0)
		memcpy(sequences, listed, n * sizeof(uint64));
	free(listed);
	sdes_verify_start(v);
	for (size_t i = 0; i < n && sequences[i] <= end->segment; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!verify_segment(folder, sequences[i], end, v))
			return;
	}
	sdes_verify_reaches(v, end->next - 1);
}

Datum
sdes_verify_audit(PG_FUNCTION_ARGS)
{
	char folder[SDES_JOURNAL_PATH_MAX];
	SdesJournalEnd end;
	SdesVerify v;
	TupleDesc desc;
	Datum values[4];
	bool nulls[4] = {false};

	sdes_require_preload();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	sdes_audit_where(folder, &end);
	verify(folder, &end, &v);
	values[0] = Int64GetDatum((int64) v.first);
	values[1] = Int64GetDatum((int64) v.next - 1);
	nulls[2] = v.wrong == SDES_WRONG_NOTHING;
	values[2] = nulls[2] ? (Datum) 0
	                     : CStringGetTextDatum(psprintf("record " UINT64_FORMAT " is %s",
	                                                    v.next, sdes_wrong_name(v.wrong)));
	values[3] = CStringGetTextDatum(folder);
	PG_RETURN_DATUM(
	    HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
