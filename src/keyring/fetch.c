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

SdesStatus
sdes_fetch_key(const SdesDekRow *row, SdesPatience patience, SdesAead **aead,
               SdesLinkFailure *failure)
{
	SdesRequest request;
	const SdesReply *reply;
	SdesStatus status;

	make_request(row, &request);
	reply = sdes_agentlink_try(&request, patience, failure);
	if (reply == NULL)
	{
		/* What does not unwrap is not what was wrapped for this row. */
		if (failure->status == SDES_ERR_TAG)
			failure->status = SDES_ERR_COMMITMENT;
		return failure->status;
	}
	if (row->binding.mode == SDES_MODE_HSM)
	{
		status = sdes_dek_check(reply->dek, &row->binding, row->commitment);
		/* Its values are what will be asked next. */
		sdes_agentlink_finish_for_now();
	}
	else
	{
		status = sdes_dek_open(reply->dek, &row->binding, row->commitment, aead);
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
	SdesAead *aead = NULL;
	SdesStatus status = sdes_fetch_key(row, SDES_ONCE, &aead, &failure);

	sdes_aead_free(aead);
	strlcpy(detail, failure.detail, size);
	return status;
}
