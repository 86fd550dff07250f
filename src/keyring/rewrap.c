/*
 * rewrap.c
 *		The keys of a bucket, wrapped under new KEKs: no value is touched.
 *
 * Invariant: a data key is in locked memory here, for as long as it takes to wrap it
 * again, and is wiped however that ends. It is wrapped again only if its row commits
 * to it.
 */
#include "postgres.h"

#include "keyring/keyring.h"

#include "agentlink/agentlink.h"
#include "keyring/copies.h"
#include "keyring/fetch.h"
#include "sdes_errors.h"

/* Has a token unwrap a row's key, checks it, and puts it into *dek. */
static bool
unwrap(const SdesDekRow *row, SdesSecret *dek, SdesLinkFailure *failure)
{
	const SdesReply *reply = sdes_fetch_raw(row, SDES_PATIENT, failure);

	if (reply == NULL)
		return false;
	failure->status = sdes_secret_new(dek, SDES_DEK_SIZE);
	if (failure->status == SDES_OK)
		memcpy(dek->data, reply->dek.data, SDES_DEK_SIZE);
	sdes_agentlink_finish();
	if (failure->status == SDES_OK)
		failure->status =
		    sdes_dek_check(sdes_secret_bytes(dek), &row->binding, row->commitment);
	return failure->status == SDES_OK;
}

/* *row becomes the row as it is under the KEK. */
static void
wrap(const SdesSecret *dek, const SdesPlace *place, SdesDekRow *row,
     SdesLinkFailure *failure)
{
	SdesRequest request = {.op = SDES_OP_DEK_WRAP, .binding = row->binding};
	const SdesReply *reply;

	memcpy(request.binding.kek_id, place->kek.id, SDES_KEK_ID_SIZE);
	request.dek = sdes_secret_bytes(dek);
	failure->status = SDES_OK;
	reply = sdes_agentlink_try_at(place->link, &request, SDES_PATIENT, failure);
	if (reply == NULL)
		return;
	row->binding = request.binding;
	memcpy(row->commitment, reply->commitment, SDES_COMMITMENT_SIZE);
	row->wrapped_size = reply->wrapped_size;
	row->wrapped = palloc(reply->wrapped_size);
	memcpy(row->wrapped, reply->wrapped, reply->wrapped_size);
	sdes_agentlink_finish();
}

/* *dek is the caller's to free, also when this raises an error. */
static void
wrap_all(const SdesDekRow *row, SdesSecret *dek, const SdesPlace *places, int n,
         SdesDekRow *wrapped, SdesLinkFailure *failures)
{
	SdesLinkFailure failure;
	bool unwrapped = unwrap(row, dek, &failure);

	for (int i = 0; i < n; i++)
	{
		wrapped[i] = *row;
		failures[i] = failure;
		if (unwrapped)
			wrap(dek, &places[i], &wrapped[i], &failures[i]);
	}
}

void
sdes_keyring_wrap_again(const SdesDekRow *row, const SdesPlace *places, int n,
                        SdesDekRow *wrapped, SdesLinkFailure *failures)
{
	SdesSecret dek = {NULL, 0};

	PG_TRY();
	{
		wrap_all(row, &dek, places, n, wrapped, failures);
	}
	PG_CATCH();
	{
		sdes_secret_free(&dek);
		PG_RE_THROW();
	}
	PG_END_TRY();
	sdes_secret_free(&dek);
}

List *
sdes_keyring_living_deks(const uint8 *bucket)
{
	List *living = NIL;
	ListCell *cell;

	foreach (cell, sdes_store_deks())
	{
		SdesDekRow *row = lfirst(cell);

		if (row->state != SDES_KEY_DESTROYED &&
		    memcmp(row->binding.bucket, bucket, SDES_UUID_SIZE) == 0)
			living = lappend(living, row);
	}
	return living;
}

static void
warn(const SdesHsmToken *token, const SdesLinkFailure *failure)
{
	ereport(
	    WARNING,
	    (errmsg("keys are not wrapped anew in HSM token \"%s\"", sdes_token_name(token)),
	     errdetail_internal("%s%s%s", sdes_status_name(failure->status),
	                        failure->detail[0] ? ": " : "", failure->detail),
	     errhint("Once it can be reached, run SELECT * FROM sdes.sync_tokens().")));
}

/* A new KEK in each token that can have one now, and in one at the least. */
static int
make_keks(const SdesBucketRow *bucket, const SdesKeySpec *spec, const SdesHsmToken *tokens,
          int n, SdesPlace *places)
{
	int made = 0;

	for (int i = 0; i < n; i++)
	{
		SdesLinkFailure failure = tokens[i].failure;

		places[made].link = tokens[i].link;
		if ((n == 1 || tokens[i].ready) &&
		    sdes_keyring_make_kek_at(tokens[i].link, bucket, spec, &places[made].kek,
		                             &failure))
			made++;
		else if (made == 0 && i == n - 1)
			sdes_report(ERROR, failure.status, failure.detail);
		else
			warn(&tokens[i], &failure);
	}
	return made;
}

/*
 * Copies that were wrapped anew go, and so do all when nothing of the old is to open
 * any more; else one in a token out of reach stays good.
 */
static void
drop_copies(const SdesDekRow *row, const SdesPlace *places, int n, bool all)
{
	ListCell *cell;

	foreach (cell, sdes_store_copies(row))
	{
		const SdesDekRow *copy = lfirst(cell);
		const SdesKekRow *old = sdes_keyring_kek(copy->binding.kek_id);
		bool again = all;

		for (int i = 0; i < n; i++)
			again = again || (strcmp(old->token_label, places[i].kek.token_label) == 0 &&
			                  strcmp(old->token_serial, places[i].kek.token_serial) == 0);
		if (again)
			sdes_store_delete_copies(row->binding.key_id, copy->binding.kek_id);
	}
}

static void
rewrap_key(const SdesDekRow *row, const SdesPlace *places, int n, bool drop_all)
{
	SdesDekRow wrapped[SDES_MAX_TOKENS];
	SdesLinkFailure failures[SDES_MAX_TOKENS];

	sdes_keyring_wrap_again(row, places, n, wrapped, failures);
	for (int i = 0; i < n; i++)
		if (failures[i].status != SDES_OK)
			sdes_report(ERROR, failures[i].status, failures[i].detail);
	drop_copies(row, places, n, drop_all);
	sdes_store_set_dek_wrap(&wrapped[0]);
	for (int i = 1; i < n; i++)
		sdes_store_insert_copy(&wrapped[i]);
}

void
sdes_keyring_rewrap(const SdesBucketRow *bucket, const SdesKeySpec *spec, bool drop_all,
                    SdesKekRow *kek)
{
	SdesHsmToken tokens[SDES_MAX_TOKENS];
	SdesPlace places[SDES_MAX_TOKENS];
	int n = make_keks(bucket, spec, tokens, sdes_tokens_look(tokens), places);
	ListCell *cell;

	*kek = places[0].kek;
	foreach (cell, sdes_keyring_living_deks(bucket->uuid))
		rewrap_key(lfirst(cell), places, n, drop_all);
}
