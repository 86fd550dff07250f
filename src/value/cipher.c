/*
 * cipher.c
 *		The two ways to seal and open: with a key at hand, and in the HSM.
 *
 * Requests to the HSM are built in a buffer that is wiped before it is freed,
 * whatever happens in between.
 */
#include "postgres.h"

#include "value/cipher.h"

#include "crypto/secret.h"
#include "keyring/usage.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "utils/memutils.h"

/* So that the armor, four characters for three bytes, fits into a string. */
#define MAX_PLAINTEXT                                                                      \
	(MaxAllocSize / 4 * 3 - SDES_ENVELOPE_MAX_OVERHEAD - 2 * VARHDRSZ - 16)

/* What a body holds besides the values: op, KEK and their number (protocol.c). */
#define BODY_OVERHEAD (1 + SDES_KEK_ID_SIZE + 2)

/* A slow HSM must be done with a batch before anybody loses patience. */
#define BATCH_VALUES 128

StaticAssertDecl(SDES_VALUE_OVERHEAD == SDES_ENVELOPE_HSM_OVERHEAD,
                 "the agent's idea of a sealed value is another");
StaticAssertDecl(SDES_VALUE_MAX + SDES_ENVELOPE_AAD_MAX + SDES_ENVELOPE_HSM_OVERHEAD + 5 +
                         BODY_OVERHEAD <=
                     SDES_VALUES_MAX,
                 "the longest value does not fit into a message");

size_t
sdes_cipher_max(SdesDekMode mode)
{
	return mode == SDES_MODE_HSM ? SDES_VALUE_MAX : MAX_PLAINTEXT;
}

static struct varlena *
make_varlena(size_t payload)
{
	struct varlena *value = palloc(VARHDRSZ + payload);

	SET_VARSIZE(value, VARHDRSZ + payload);
	return value;
}

/* ---- in the HSM ---- */

typedef struct Batch
{
	SdesRequest request;
	SdesPatience patience;
	SdesLinkFailure *failure;
	uint8 *buffer; /* of request.values */
	size_t size;
	SdesWriter writer;
} Batch;

/* Starts with room for all of so many bytes of values, or for as many as fit. */
static void
begin(Batch *batch, SdesAgentOp op, const SdesKey *key, size_t wanted)
{
	memset(&batch->request, 0, sizeof(batch->request));
	batch->request.op = op;
	memcpy(batch->request.kek_id, key->kek_id, SDES_KEK_ID_SIZE);
	batch->size = Min(wanted, SDES_VALUES_MAX - BODY_OVERHEAD);
	batch->buffer = palloc(batch->size);
}

static void
empty(Batch *batch)
{
	batch->request.nvalues = 0;
	batch->writer = sdes_writer(batch->buffer, batch->size);
}

static void
end(Batch *batch)
{
	sdes_wipe(batch->buffer, batch->size);
	pfree(batch->buffer);
}

/* How many bytes a value takes in a request; see sdes_value_write(). */
static size_t
written_size(const SdesEnvelopeAad *aad, size_t data_size)
{
	return 1 + aad->size + 4 + data_size;
}

/* False when the batch is full: send it first. */
static bool
add(Batch *batch, const SdesEnvelopeAad *aad, SdesBytes data)
{
	if (batch->request.nvalues == BATCH_VALUES ||
	    written_size(aad, data.size) > batch->writer.left)
		return false;
	sdes_value_write(&batch->writer, sdes_bytes(aad->data, aad->size), data);
	batch->request.nvalues++;
	return true;
}

/* Sends it; the results are there until it is emptied. NULL: see the failure. */
static const SdesReply *
send_batch(Batch *batch)
{
	const SdesReply *reply;

	batch->request.values = sdes_bytes(batch->buffer, batch->size - batch->writer.left);
	reply = sdes_agentlink_try(&batch->request, batch->patience, batch->failure);
	if (reply == NULL || reply->nresults == batch->request.nvalues)
		return reply;
	sdes_agentlink_finish();
	batch->failure->status = SDES_ERR_AGENT_PROTOCOL;
	batch->failure->detail[0] = '\0';
	return NULL;
}

/* What the HSM made of one value becomes its envelope. */
static SdesStatus
take_sealed(SdesSealing *item, SdesReader *results)
{
	SdesBytes sealed;
	SdesStatus status = sdes_result_read(results, &sealed);

	if (status != SDES_OK)
		return status;
	item->value = make_varlena(
	    sdes_envelope_hsm_size(item->spec.ntokens + item->spec.nci, item->plaintext.size));
	status = sdes_envelope_hsm_write(&item->spec, item->plaintext.size, sealed,
	                                 (uint8 *) VARDATA(item->value));
	return status == SDES_ERR_FORMAT ? SDES_ERR_AGENT_PROTOCOL : status;
}

static SdesStatus
seal_batch(Batch *batch, SdesSealing *items)
{
	const SdesReply *reply = send_batch(batch);
	SdesStatus status = SDES_OK;
	SdesReader results;

	if (reply == NULL)
		return batch->failure->status;
	results = sdes_reader(reply->results);
	for (int i = 0; i < reply->nresults && status == SDES_OK; i++)
		status = take_sealed(&items[i], &results);
	sdes_agentlink_finish_for_now();
	batch->failure->status = status;
	batch->failure->detail[0] = '\0';
	empty(batch);
	return status;
}

static SdesStatus
seal_all(Batch *batch, SdesSealing *items, int n)
{
	SdesStatus status = SDES_OK;
	int first = 0;

	empty(batch);
	for (int i = 0; i < n; i++)
	{
		SdesEnvelopeAad aad;

		sdes_check(sdes_envelope_hsm_seal_aad(&items[i].spec, &aad));
		if (add(batch, &aad, items[i].plaintext))
			continue;
		status = seal_batch(batch, &items[first]);
		if (status != SDES_OK)
			return status;
		first = i;
		add(batch, &aad, items[i].plaintext);
	}
	return seal_batch(batch, &items[first]);
}

static void
seal_in_hsm(const SdesKey *key, SdesSealing *items, int n)
{
	SdesLinkFailure failure;
	Batch batch = {.patience = SDES_PATIENT, .failure = &failure};
	volatile SdesStatus status = SDES_OK;
	size_t wanted = 0;

	for (int i = 0; i < n; i++)
		wanted += 1 + SDES_ENVELOPE_AAD_MAX + 4 + items[i].plaintext.size;
	begin(&batch, SDES_OP_SEAL, key, wanted);
	PG_TRY();
	{
		status = seal_all(&batch, items, n);
	}
	PG_FINALLY();
	{
		end(&batch);
	}
	PG_END_TRY();
	if (status != SDES_OK)
		sdes_report(ERROR, failure.status, failure.detail);
}

static void
take_opened(SdesOpening *item, SdesReader *results)
{
	size_t size = sdes_envelope_hsm_plaintext_size(item->envelope);
	SdesBytes plain;

	item->status = sdes_result_read(results, &plain);
	if (item->status != SDES_OK)
		return;
	if (plain.size != size)
	{
		item->status = SDES_ERR_AGENT_PROTOCOL;
		return;
	}
	item->plain = (text *) make_varlena(size);
	memcpy(VARDATA(item->plain), plain.data, size);
}

/* The results of those items whose status was left open. */
static bool
open_batch(Batch *batch, SdesOpening *items, int n)
{
	const SdesReply *reply;
	SdesReader results;

	if (batch->request.nvalues == 0)
		return true;
	reply = send_batch(batch);
	if (reply == NULL)
		return false;
	results = sdes_reader(reply->results);
	for (int i = 0; i < n; i++)
		if (items[i].status == SDES_OK)
			take_opened(&items[i], &results);
	sdes_agentlink_finish_for_now();
	empty(batch);
	return true;
}

/* Adds one to the batch; what cannot have been sealed in an HSM gets its status. */
static bool
add_opening(Batch *batch, SdesOpening *item, uint8 *sealed)
{
	SdesEnvelopeAad aad;
	size_t size;

	item->status = sdes_envelope_hsm_open_aad(item->envelope, &item->context, &aad);
	if (item->status != SDES_OK)
		return true;
	size = sdes_envelope_hsm_plaintext_size(item->envelope);
	if (size > SDES_VALUE_MAX)
	{
		item->status = SDES_ERR_FORMAT;
		return true;
	}
	sdes_envelope_hsm_sealed(item->envelope, sealed);
	return add(batch, &aad, sdes_bytes(sealed, size + SDES_ENVELOPE_HSM_OVERHEAD));
}

static bool
open_all(Batch *batch, SdesOpening *items, int n, uint8 *sealed)
{
	int first = 0;

	empty(batch);
	for (int i = 0; i < n; i++)
	{
		if (add_opening(batch, &items[i], sealed))
			continue;
		if (!open_batch(batch, &items[first], i - first))
			return false;
		first = i;
		add_opening(batch, &items[i], sealed);
	}
	return open_batch(batch, &items[first], n - first);
}

static bool
open_in_hsm(const SdesKey *key, SdesOpening *items, int n, SdesPatience patience,
            SdesLinkFailure *failure)
{
	Batch batch = {.patience = patience, .failure = failure};
	size_t wanted = 0;
	size_t longest = 0;
	uint8 *sealed;
	volatile bool answered = false;

	for (int i = 0; i < n; i++)
	{
		size_t size = Min(items[i].envelope->sealed.ciphertext.size, SDES_VALUE_MAX) +
		              SDES_ENVELOPE_HSM_OVERHEAD;

		wanted += 1 + SDES_ENVELOPE_AAD_MAX + 4 + size;
		longest = Max(longest, size);
	}
	sealed = palloc(longest);
	begin(&batch, SDES_OP_OPEN, key, wanted);
	PG_TRY();
	{
		answered = open_all(&batch, items, n, sealed);
	}
	PG_FINALLY();
	{
		/* Ciphertext, but plaintext of earlier batches lies in the items. */
		end(&batch);
		if (!answered)
			sdes_cipher_wipe(items, n);
	}
	PG_END_TRY();
	pfree(sealed);
	return answered;
}

/* ---- either way ---- */

static void
seal_here(const SdesKey *key, SdesSealing *item)
{
	item->value = make_varlena(
	    sdes_envelope_size(item->spec.ntokens + item->spec.nci, item->plaintext.size));
	sdes_check(sdes_envelope_seal(key->aead, &item->spec, item->plaintext,
	                              (uint8 *) VARDATA(item->value)));
}

void
sdes_cipher_seal(const SdesKey *key, SdesSealing *items, int n)
{
	for (int i = 0; i < n; i++)
		if (items[i].plaintext.size > sdes_cipher_max(key->mode))
			sdes_check(SDES_ERR_TOO_LONG);
	/* A request of no value is none. */
	if (n == 0)
		return;
	sdes_usage_take(key, n);
	if (key->mode == SDES_MODE_HSM)
		seal_in_hsm(key, items, n);
	else
		for (int i = 0; i < n; i++)
			seal_here(key, &items[i]);
}

static text *
open_here(const SdesKey *key, const SdesEnvelope *envelope, const SdesValueContext *context,
          SdesStatus *status)
{
	text *plain = (text *) make_varlena(envelope->sealed.ciphertext.size);

	*status = sdes_envelope_open(key->aead, envelope, context, (uint8 *) VARDATA(plain));
	if (*status == SDES_OK)
		return plain;
	pfree(plain);
	return NULL;
}

static bool
open_with(const SdesKey *key, SdesOpening *items, int n, SdesPatience patience,
          SdesLinkFailure *failure)
{
	for (int i = 0; i < n; i++)
		items[i].plain = NULL;
	if (key->mode == SDES_MODE_HSM)
		return open_in_hsm(key, items, n, patience, failure);
	for (int i = 0; i < n; i++)
		items[i].plain =
		    open_here(key, items[i].envelope, &items[i].context, &items[i].status);
	return true;
}

void
sdes_cipher_open(const SdesKey *key, SdesOpening *items, int n)
{
	SdesLinkFailure failure;

	if (!open_with(key, items, n, SDES_PATIENT, &failure))
		sdes_report(ERROR, failure.status, failure.detail);
}

text *
sdes_cipher_open_one(const SdesKey *key, const SdesEnvelope *envelope,
                     const SdesValueContext *context)
{
	SdesOpening item;

	if (key->mode == SDES_MODE_HSM)
	{
		item = (SdesOpening){.envelope = envelope, .context = *context};
		sdes_cipher_open(key, &item, 1);
	}
	else
		item.plain = open_here(key, envelope, context, &item.status);
	sdes_check(item.status);
	return item.plain;
}

bool
sdes_cipher_try_open(const SdesKey *key, SdesOpening *items, int n,
                     SdesLinkFailure *failure)
{
	return open_with(key, items, n, SDES_ONCE, failure);
}

void
sdes_cipher_wipe(SdesOpening *items, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (items[i].plain == NULL)
			continue;
		sdes_wipe(VARDATA(items[i].plain), VARSIZE(items[i].plain) - VARHDRSZ);
		pfree(items[i].plain);
		items[i].plain = NULL;
	}
}
