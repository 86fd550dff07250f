/*
 * renew.c
 *		The same plaintext under the key of today.
 *
 * What is opened here exists between two ciphers and is wiped, whatever happens. It
 * is not converted to the server's encoding: no text is ever made of it.
 */
#include "postgres.h"

#include "sdes_errors.h"
#include "value/internal.h"

/* So many at a time: what lies open at once is bounded. */
#define RENEWED_AT_ONCE 64

typedef struct Renewal
{
	SdesRenewing *items[RENEWED_AT_ONCE];
	int n;
	SdesEnvelope envelopes[RENEWED_AT_ONCE];
	SdesOpening openings[RENEWED_AT_ONCE];
	SdesSealing sealings[RENEWED_AT_ONCE];
	int places[RENEWED_AT_ONCE]; /* of a sealing's item */
} Renewal;

static SdesBytes
bytes_of(const struct varlena *value)
{
	return sdes_bytes(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

static bool
same_key(const uint8 *a, const uint8 *b)
{
	return memcmp(a, b, SDES_KEY_ID_SIZE) == 0;
}

/* Opens the first so many items, which are under one key. Sets the bucket's key. */
static void
open_run(Renewal *renewal, int first, int count, SdesKeyOwner *owner)
{
	const SdesKey *key = sdes_keyring_for_renewal(renewal->envelopes[first].key_id);

	memcpy(owner->bucket, key->bucket, SDES_UUID_SIZE);
	owner->purpose = key->purpose;
	for (int i = first; i < first + count; i++)
		renewal->openings[i] =
		    sdes_value_opening(key, &renewal->envelopes[i], renewal->items[i]->type);
	sdes_cipher_open(key, &renewal->openings[first], count);
}

/* What is opened becomes what is to be sealed. */
static void
prepare_sealing(const SdesEnvelope *envelope, const SdesOpening *opening,
                const SdesType *type, SdesSealing *out)
{
	memset(out, 0, sizeof(*out));
	out->spec.context = opening->context;
	out->spec.bytes = (envelope->flags & SDES_ENVELOPE_BYTES) != 0;
	out->plaintext =
	    sdes_bytes(VARDATA(opening->plain), VARSIZE(opening->plain) - VARHDRSZ);
	sdes_value_renew_tokens(envelope, out->plaintext, type, &out->spec);
}

static void
seal_run(Renewal *renewal, int first, int count, const SdesKeyOwner *owner)
{
	const SdesKey *key;
	int n = 0;

	for (int i = first; i < first + count; i++)
	{
		renewal->items[i]->status = renewal->openings[i].status;
		if (renewal->openings[i].status != SDES_OK)
			continue;
		prepare_sealing(&renewal->envelopes[i], &renewal->openings[i],
		                renewal->items[i]->type, &renewal->sealings[n]);
		renewal->places[n++] = i;
	}
	/* Only now: the search keys' fetch may move it. */
	key = sdes_keyring_active(owner->bucket, owner->purpose);
	for (int i = 0; i < n; i++)
		memcpy(renewal->sealings[i].spec.key_id, key->key_id, SDES_KEY_ID_SIZE);
	sdes_cipher_seal(key, renewal->sealings, n);
	for (int i = 0; i < n; i++)
	{
		renewal->items[renewal->places[i]]->renewed = renewal->sealings[i].value;
		sdes_honey_renewed(&renewal->envelopes[renewal->places[i]],
		                   renewal->sealings[i].value);
	}
}

/* Items in a row that are under one key. */
static int
run_length(const Renewal *renewal, int first)
{
	int last = first + 1;

	while (last < renewal->n &&
	       same_key(renewal->envelopes[last].key_id, renewal->envelopes[first].key_id))
		last++;
	return last - first;
}

static void
renew_runs(Renewal *renewal)
{
	for (int first = 0, count; first < renewal->n; first += count)
	{
		SdesKeyOwner owner;

		count = run_length(renewal, first);
		open_run(renewal, first, count, &owner);
		seal_run(renewal, first, count, &owner);
	}
}

/* An error leaves no opened value behind, either. */
static pg_noinline void
renew_some(Renewal *renewal)
{
	memset(renewal->openings, 0, sizeof(renewal->openings));
	PG_TRY();
	{
		renew_runs(renewal);
	}
	PG_CATCH();
	{
		sdes_cipher_wipe(renewal->openings, renewal->n);
		PG_RE_THROW();
	}
	PG_END_TRY();
	sdes_cipher_wipe(renewal->openings, renewal->n);
	renewal->n = 0;
}

void
sdes_value_renew(SdesRenewing *items, int n)
{
	Renewal *renewal = palloc(sizeof(Renewal));

	renewal->n = 0;
	for (int i = 0; i < n; i++)
	{
		items[i].renewed = NULL;
		items[i].status =
		    sdes_envelope_parse(bytes_of(items[i].value), &renewal->envelopes[renewal->n]);
		if (items[i].status != SDES_OK)
			continue;
		renewal->items[renewal->n++] = &items[i];
		if (renewal->n == RENEWED_AT_ONCE)
			renew_some(renewal);
	}
	if (renewal->n > 0)
		renew_some(renewal);
	pfree(renewal);
}

/* Marker, suite, flags, key id: see envelope.h. */
#define KEY_ID_AT 3

bool
sdes_value_key_id(SdesBytes start, uint8 *key_id)
{
	if (start.size < SDES_KEY_ID_PREFIX || !sdes_envelope_marked(start))
		return false;
	memcpy(key_id, start.data + KEY_ID_AT, SDES_KEY_ID_SIZE);
	return true;
}
