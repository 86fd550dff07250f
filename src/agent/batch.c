/*
 * batch.c
 *		SEAL and OPEN: values that only the token can read.
 *
 * What is sealed is the value and then the first bytes of its SHA-256. The
 * token's tag tells that the ciphertext is right; nothing but this check tells
 * that the plaintext is, on its way out of a token that is not well.
 *
 * Memory is ordinary, taken for one batch, and wiped.
 */
#include "agent/batch.h"

#include "crypto/mac.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(SDES_VALUE_OVERHEAD == SDES_HSM_SEALED_OVERHEAD + SDES_VALUE_CHECK_SIZE,
               "one size of sealed values");

#define SEALED_MAX    (SDES_VALUE_MAX + SDES_VALUE_OVERHEAD)
#define REPLY_HEADER  (1 + 2 + 2) /* op, status, number of results */
#define RESULT_HEADER (2 + 4)     /* status, size */

/* A value's plaintext with its check, then its sealed form; or the reverse. */
#define SCRATCH_SIZE (2 * (size_t) SEALED_MAX)

/* What the results take, whatever comes of each value. */
static size_t
results_size(const SdesRequest *request)
{
	SdesReader values = sdes_reader(request->values);
	size_t size = 0;
	SdesBytes aad, data;

	for (int i = 0; i < request->nvalues; i++)
	{
		sdes_value_read(&values, &aad, &data);
		size += RESULT_HEADER + data.size;
		if (request->op == SDES_OP_SEAL)
			size += SDES_VALUE_OVERHEAD;
	}
	return size;
}

static SdesStatus
begin(SdesBatch *batch, const SdesRequest *request, SdesHsmFault *fault)
{
	size_t size = results_size(request);

	if (size > SDES_RESULTS_MAX - REPLY_HEADER)
		return sdes_hsm_fault(fault, SDES_ERR_TOO_LONG,
		                      "the results would not fit into one reply");
	batch->results = malloc(size);
	batch->results_size = size;
	batch->scratch = malloc(SCRATCH_SIZE);
	if (batch->results == NULL || batch->scratch == NULL)
	{
		sdes_batch_free(batch);
		return sdes_hsm_fault(fault, SDES_ERR_MEMORY, "no memory for the results");
	}
	batch->values = sdes_reader(request->values);
	batch->written = sdes_writer(batch->results, size);
	return SDES_OK;
}

static SdesStatus
value_check(SdesBytes value, uint8_t out[SDES_DIGEST_SIZE], SdesHsmFault *fault)
{
	SdesStatus status = sdes_sha256(&value, 1, out);

	return status == SDES_OK ? status : sdes_hsm_fault(fault, status, "no digest");
}

static SdesStatus
seal(SdesBatch *batch, SdesOps *ops, const SdesHsmWrap *under, SdesBytes *data,
     SdesHsmFault *fault)
{
	uint8_t digest[SDES_DIGEST_SIZE], *sealed = batch->scratch + SEALED_MAX;
	SdesBytes plain = sdes_bytes(batch->scratch, data->size + SDES_VALUE_CHECK_SIZE);
	SdesStatus status;

	if (data->size > SDES_VALUE_MAX)
		return SDES_ERR_TOO_LONG;
	status = value_check(*data, digest, fault);
	if (status != SDES_OK)
		return status;
	if (data->size > 0)
		memcpy(batch->scratch, data->data, data->size);
	memcpy(batch->scratch + data->size, digest, SDES_VALUE_CHECK_SIZE);
	status = ops->provider->seal(ops->session, under, plain, sealed, fault);
	*data = sdes_bytes(sealed, data->size + SDES_VALUE_OVERHEAD);
	return status;
}

static SdesStatus
open_sealed(SdesBatch *batch, SdesOps *ops, const SdesHsmWrap *under, SdesBytes *data,
            SdesHsmFault *fault)
{
	uint8_t digest[SDES_DIGEST_SIZE];
	SdesBytes plain;
	SdesStatus status;

	if (data->size < SDES_VALUE_OVERHEAD)
		return SDES_ERR_FORMAT;
	if (data->size > SEALED_MAX)
		return SDES_ERR_TOO_LONG;
	status = ops->provider->open_sealed(ops->session, under, *data, batch->scratch, fault);
	if (status != SDES_OK)
		return status;
	plain = sdes_bytes(batch->scratch, data->size - SDES_VALUE_OVERHEAD);
	status = value_check(plain, digest, fault);
	if (status == SDES_OK &&
	    !sdes_equal(plain.data + plain.size, digest, SDES_VALUE_CHECK_SIZE))
		status = sdes_hsm_fault(fault, SDES_ERR_HSM,
		                        "the token opened a value to what was never sealed");
	*data = plain;
	return status;
}

/* What can only be wrong with this value: the next may do. */
static bool
is_verdict(SdesStatus status)
{
	return status == SDES_OK || status == SDES_ERR_TAG || status == SDES_ERR_FORMAT ||
	       status == SDES_ERR_TOO_LONG;
}

/* A call that fails may leave an operation active in its session. */
static SdesStatus
fresh_session(SdesOps *ops, SdesHsmFault *fault)
{
	if (ops->session != NULL)
		return SDES_OK;
	return ops->provider->session_open(ops->hsm, &ops->session, fault);
}

static void
close_session(SdesOps *ops)
{
	ops->provider->session_close(ops->session);
	ops->session = NULL;
}

/*
 * Does one value: *data becomes its result. A bad tag is believed the second
 * time, since some tokens have one code for it and for a bad moment.
 */
static SdesStatus
do_value(SdesBatch *batch, SdesOps *ops, const SdesRequest *request, SdesBytes aad,
         SdesBytes *data, SdesHsmFault *fault)
{
	SdesHsmWrap under = {.aad = aad};
	SdesStatus status = SDES_ERR_TAG;

	memcpy(under.kek_id, request->kek_id, sizeof(under.kek_id));
	for (int attempt = 0; attempt <= 1 && status == SDES_ERR_TAG; attempt++)
	{
		status = fresh_session(ops, fault);
		if (status == SDES_OK && request->op == SDES_OP_SEAL)
			status = seal(batch, ops, &under, data, fault);
		else if (status == SDES_OK)
			status = open_sealed(batch, ops, &under, data, fault);
		if (status == SDES_ERR_TAG)
			close_session(ops);
	}
	return status;
}

/* Does the next value; the batch stays where it is unless that is SDES_OK. */
static SdesStatus
next_value(SdesBatch *batch, SdesOps *ops, const SdesRequest *request, SdesHsmFault *fault)
{
	SdesReader values = batch->values;
	SdesBytes aad, data;
	SdesStatus status;

	sdes_value_read(&values, &aad, &data);
	status = do_value(batch, ops, request, aad, &data, fault);
	if (!is_verdict(status))
		return status;
	sdes_result_write(&batch->written, status,
	                  status == SDES_OK ? data : sdes_bytes(NULL, 0));
	batch->values = values;
	batch->done++;
	return SDES_OK;
}

SdesStatus
sdes_batch_run(SdesBatch *batch, SdesOps *ops, const SdesRequest *request, SdesReply *reply,
               SdesHsmFault *fault)
{
	SdesStatus status = batch->results == NULL ? begin(batch, request, fault) : SDES_OK;

	while (status == SDES_OK && batch->done < request->nvalues)
	{
		if (batch->done > 0 && ops->go_on != NULL && !ops->go_on(ops->argument))
			return sdes_hsm_fault(fault, SDES_ERR_HSM_TIMEOUT,
			                      "the token is too slow for so many values");
		status = next_value(batch, ops, request, fault);
	}
	if (status != SDES_OK)
		return status;
	reply->nresults = request->nvalues;
	reply->results = sdes_bytes(batch->results, batch->results_size - batch->written.left);
	return SDES_OK;
}

void
sdes_batch_free(SdesBatch *batch)
{
	if (batch->results != NULL)
		OPENSSL_cleanse(batch->results, batch->results_size);
	if (batch->scratch != NULL)
		OPENSSL_cleanse(batch->scratch, SCRATCH_SIZE);
	free(batch->results);
	free(batch->scratch);
	memset(batch, 0, sizeof(*batch));
}
