/*
 * sync.c
 *		sdes.sync_tokens(): the keys that a token lacks, after it was added or away.
 */
#include "postgres.h"

#include "admin/admin.h"
#include "keyring/copies.h"
#include "sdes_compat.h"
#include "utils/builtins.h"

SDES_SQL_FUNCTION(sdes_sync_tokens);

/* What came of a bucket's keys in a token. */
typedef struct Tally
{
	int made;
	SdesLinkFailure failure; /* the first */
} Tally;

static void
put_row(ReturnSetInfo *result, const SdesHsmToken *token, const char *bucket,
        const Tally *tally)
{
	const SdesLinkFailure *failure = &tally->failure;
	Datum values[4];
	bool nulls[4] = {false};

	values[0] = CStringGetTextDatum(sdes_token_name(token));
	nulls[1] = bucket == NULL;
	values[1] = bucket ? CStringGetTextDatum(bucket) : (Datum) 0;
	values[2] = Int32GetDatum(tally->made);
	nulls[3] = failure->status == SDES_OK;
	values[3] = nulls[3] ? (Datum) 0
	                     : CStringGetTextDatum(
	                           psprintf("%s%s%s", sdes_status_name(failure->status),
	                                    failure->detail[0] ? ": " : "", failure->detail));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static void
count(Tally *tally, const SdesCopied *copied)
{
	tally->made += copied->made;
	if (copied->failure.status != SDES_OK && tally->failure.status == SDES_OK)
		tally->failure = copied->failure;
}

/* A row for each token in which something was made, or should have been. */
static void
sync_bucket(ReturnSetInfo *result, const SdesBucketRow *bucket, const SdesHsmToken *tokens,
            int n)
{
	Tally tallies[SDES_MAX_TOKENS] = {{0}};
	ListCell *cell;

	foreach (cell, sdes_keyring_living_deks(bucket->uuid))
	{
		SdesCopied copied[SDES_MAX_TOKENS];

		sdes_keyring_copy(lfirst(cell), tokens, n, copied);
		for (int i = 0; i < n; i++)
			count(&tallies[i], &copied[i]);
	}
	for (int i = 0; i < n; i++)
		if (tokens[i].ready &&
		    (tallies[i].made > 0 || tallies[i].failure.status != SDES_OK))
			put_row(result, &tokens[i], bucket->name, &tallies[i]);
}

/* Of one that cannot be reached there is one row. */
static void
put_unreachable(ReturnSetInfo *result, const SdesHsmToken *tokens, int n)
{
	for (int i = 0; i < n; i++)
	{
		Tally tally = {0, tokens[i].failure};

		if (!tokens[i].ready)
			put_row(result, &tokens[i], NULL, &tally);
	}
}

Datum
sdes_sync_tokens(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SdesHsmToken tokens[SDES_MAX_TOKENS];
	ListCell *cell;
	int n;

	sdes_admin_require("sdes.sync_tokens()", "wrap encryption keys in other HSM tokens");
	InitMaterializedSRF(fcinfo, 0);
	sdes_admin_take_turns();
	n = sdes_tokens_look(tokens);
	put_unreachable(result, tokens, n);
	/* With one token there is no other to take over. */
	if (n == 1)
		return (Datum) 0;
	foreach (cell, sdes_store_buckets())
		sync_bucket(result, lfirst(cell), tokens, n);
	return (Datum) 0;
}
