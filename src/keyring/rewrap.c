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
#include "keyring/fetch.h"
#include "sdes_errors.h"

/* Has the HSM unwrap a row's key, checks it, and puts it into *dek. */
static void
unwrap(const SdesDekRow *row, SdesSecret *dek)
{
	SdesLinkFailure failure;
	const SdesReply *reply = sdes_fetch_raw(row, SDES_PATIENT, &failure);

	if (reply == NULL)
		sdes_report(ERROR, failure.status, failure.detail);
	failure.status = sdes_secret_new(dek, SDES_DEK_SIZE);
	if (failure.status == SDES_OK)
		memcpy(dek->data, reply->dek.data, SDES_DEK_SIZE);
	sdes_agentlink_finish();
	sdes_check(failure.status);
	sdes_check(sdes_dek_check(sdes_secret_bytes(dek), &row->binding, row->commitment));
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
	unwrap(row, dek);
	for (int i = 0; i < n; i++)
	{
		wrapped[i] = *row;
		failures[i].status = SDES_OK;
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

void
sdes_keyring_rewrap(const SdesBucketRow *bucket, const SdesKeySpec *spec, SdesKekRow *kek)
{
	SdesPlace place;
	ListCell *cell;

	sdes_keyring_make_kek(bucket, spec, &place.kek);
	place.link = 0;
	*kek = place.kek;
	foreach (cell, sdes_keyring_living_deks(bucket->uuid))
	{
		SdesDekRow wrapped;
		SdesLinkFailure failure;

		sdes_keyring_wrap_again(lfirst(cell), &place, 1, &wrapped, &failure);
		if (failure.status != SDES_OK)
			sdes_report(ERROR, failure.status, failure.detail);
		sdes_store_set_dek_wrap(&wrapped);
	}
}
