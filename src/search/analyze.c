/*
 * analyze.c
 *		What ANALYZE finds out about encrypted columns.
 *
 * Values that carry tokens are compared by these, as for any type, and the values
 * that land in pg_statistic are ciphertext. Others could be compared only by opening
 * them, which maintenance must not: of these the share of NULLs and the width are found
 * out, and nothing else. Where they are compared all the same, in arrays or composites,
 * they count as all different.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_statistic.h"
#include "commands/vacuum.h"
#include "sdes_compat.h"
#include "search/analyze.h"
#include "tcop/utility.h"
#include "value/value.h"

SDES_SQL_FUNCTION(enc_analyze);

/* As std_typanalyze() has it: enough for a share and a mean. */
#define ROWS_PER_TARGET 300

static void
find_out(VacAttrStats *stats, AnalyzeAttrFetchFunc fetch, int samples, double total)
{
	int nulls = 0;
	double width = 0;

	for (int i = 0; i < samples; i++)
	{
		bool isnull;
		Datum value = fetch(stats, i, &isnull);

		if (isnull)
			nulls++;
		else
			width += (double) VARSIZE_ANY(DatumGetPointer(value));
	}
	if (samples == 0)
		return;
	stats->stats_valid = true;
	stats->stanullfrac = (float4) ((double) nulls / (double) samples);
	stats->stawidth = nulls < samples ? (int32) (width / (samples - nulls)) : 0;
	stats->stadistinct = 0.0; /* not known */
}

Datum
enc_analyze(PG_FUNCTION_ARGS)
{
	VacAttrStats *stats = (VacAttrStats *) PG_GETARG_POINTER(0);

	/* By the index's or the column's own modifier. */
	if (stats->attrtypmod >= 0 && (stats->attrtypmod & SDES_SEARCHABLE))
		PG_RETURN_BOOL(std_typanalyze(stats));
#if PG_VERSION_NUM >= 170000
	stats->minrows = ROWS_PER_TARGET * (stats->attstattarget < 0 ? default_statistics_target
	                                                             : stats->attstattarget);
#else
	stats->minrows =
	    ROWS_PER_TARGET * (stats->attr->attstattarget < 0 ? default_statistics_target
	                                                      : stats->attr->attstattarget);
#endif
	stats->compute_stats = find_out;
	PG_RETURN_BOOL(true);
}

static ProcessUtility_hook_type previous_utility = NULL;

static void
run_utility(SDES_UTILITY_PARAMETERS)
{
	if (previous_utility)
		previous_utility(SDES_UTILITY_ARGUMENTS);
	else
		standard_ProcessUtility(SDES_UTILITY_ARGUMENTS);
}

static void
utility(SDES_UTILITY_PARAMETERS)
{
	if (!IsA(pstmt->utilityStmt, VacuumStmt))
	{
		run_utility(SDES_UTILITY_ARGUMENTS);
		return;
	}
	sdes_value_set_analyzing(true);
	PG_TRY();
	{
		run_utility(SDES_UTILITY_ARGUMENTS);
	}
	PG_FINALLY();
	{
		sdes_value_set_analyzing(false);
	}
	PG_END_TRY();
}

void
sdes_analyze_init(void)
{
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility;
}
