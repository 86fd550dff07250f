/*
 * fetch.c
 *		One key from the agent, checked against its row.
 */
#include "postgres.h"

#include "keyring/fetch.h"

#include "keyring/keyring.h"
#include "sdes_errors.h"

static void
make_request(const SdesDekRow *row, SdesRequest *request)
{
	memset(request, 0, sizeof(*request));
	request->op = SDES_OP_DEK_UNWRAP;
	request->binding = row->binding;
	if (row->wrapped_size > sizeof(request->wrapped))
		sdes_report(ERROR, SDES_ERR_COMMITMENT, NULL);
	request->wrapped_size = row->wrapped_size;
	memcpy(request->wrapped, row->wrapped, row->wrapped_size);
}

void
sdes_fetched_free(SdesFetched *fetched)
{
	sdes_aead_free(fetched->aead);
	sdes_mac_free(fetched->mac);
	fetched->aead = NULL;
	fetched->mac = NULL;
}

/* What a key of its purpose is used through. */
static SdesStatus
expand(SdesBytes dek, const SdesDekRow *row, SdesFetched *out)
{
	if (row->binding.purpose == SDES_PURPOSE_SEARCH)
		return sdes_dek_open_search(dek, &row->binding, row->commitment, &out->mac);
	return sdes_dek_open(dek, &row->binding, row->commitment, &out->aead);
}

const SdesReply *
sdes_fetch_raw(const SdesDekRow *row, SdesPatience patience, SdesLinkFailure *failure)
{
	SdesRequest request;
	const SdesReply *reply;

	make_request(row, &request);
	reply = sdes_agentlink_try(&request, patience, failure);
	/* What does not unwrap is not what was wrapped for this row. */
	if (reply == NULL && failure->status == SDES_ERR_TAG)
		failure->status = SDES_ERR_COMMITMENT;
	return reply;
}

SdesStatus
sdes_fetch_key(const SdesDekRow *row, SdesPatience patience, SdesFetched *out,
               SdesLinkFailure *failure)
{
	const SdesReply *reply;
	SdesStatus status;

	out->aead = NULL;
	out->mac = NULL;
	reply = sdes_fetch_raw(row, patience, failure);
	if (reply == NULL)
		return failure->status;
	if (row->binding.mode == SDES_MODE_HSM)
	{
		status = sdes_dek_check(reply->dek, &row->binding, row->commitment);
		/* Its values are what will be asked next. */
		sdes_agentlink_finish_for_now();
	}
	else
	{
		status = expand(reply->dek, row, out);
		sdes_agentlink_finish();
	}
	failure->status = status;
	failure->detail[0] = '\0';
	return status;
}

SdesStatus
sdes_keyring_round_trip(const SdesDekRow *row, char *detail, size_t size)
{
	SdesLinkFailure failure;
	SdesFetched fetched;
	SdesStatus status = sdes_fetch_key(row, SDES_ONCE, &fetched, &failure);

	sdes_fetched_free(&fetched);
	strlcpy(detail, failure.detail, size);
	return status;
}
