/*
 * fuzz_envelope.c
 *		Envelopes: what is parsed is canonical and lies within the input; what
 *		opens was sealed so; what does not open leaves nothing behind.
 */
#include "fuzz.h"

static SdesAead *
the_key(void)
{
	static SdesAead *aead;
	uint8_t key[SDES_AEAD_KEY_SIZE];

	if (aead == NULL)
	{
		memset(key, FUZZ_BYTE, sizeof(key));
		REQUIRE(sdes_aead_new(&aead, SDES_BYTES_OF(key)) == SDES_OK);
	}
	return aead;
}

static int
all_tokens(const SdesEnvelope *e)
{
	return e->ntokens + e->nci;
}

/* Those of the text, then those of the lower-cased one, no two under one search key. */
static void
check_tokens(const SdesEnvelope *e, const uint8_t *at)
{
	for (int i = 0; i < all_tokens(e); i++, at += SDES_ENVELOPE_TOKEN_FIELD)
	{
		const SdesToken *token = i < e->ntokens ? &e->tokens[i] : &e->ci[i - e->ntokens];

		REQUIRE(token->search_key == (at[0] << 8 | at[1]));
		REQUIRE(memcmp(token->token, at + 2, SDES_TOKEN_SIZE) == 0);
	}
	REQUIRE(e->ntokens < 2 || e->tokens[0].search_key != e->tokens[1].search_key);
	REQUIRE(e->nci < 2 || e->ci[0].search_key != e->ci[1].search_key);
}

/* The parts stand one after the other and fill the input. */
static void
check_sizes(SdesBytes input, const SdesEnvelope *e)
{
	REQUIRE(e->ntokens >= 0 && e->ntokens <= 2);
	REQUIRE(e->nci >= 0 && e->nci <= 2);
	REQUIRE(sdes_envelope_size(all_tokens(e), e->sealed.ciphertext.size) == input.size);
	REQUIRE(e->header.data == input.data);
	REQUIRE(e->header.size ==
	        SDES_ENVELOPE_HEADER_SIZE + (size_t) all_tokens(e) * SDES_ENVELOPE_TOKEN_FIELD);
	check_tokens(e, input.data + SDES_ENVELOPE_HEADER_SIZE);
	REQUIRE(e->sealed.nonce == input.data + 3 + SDES_KEY_ID_SIZE);
	REQUIRE(e->sealed.ciphertext.data == input.data + e->header.size);
	REQUIRE(e->sealed.tag == input.data + input.size - SDES_AEAD_TAG_SIZE);
}

/* All that was parsed, to seal by. */
static SdesSealSpec
spec_of(const SdesEnvelope *e, const SdesValueContext *context)
{
	SdesSealSpec spec = {.context = *context,
	                     .bytes = (e->flags & SDES_ENVELOPE_BYTES) != 0,
	                     .ntokens = e->ntokens,
	                     .tokens = {e->tokens[0], e->tokens[1]},
	                     .nci = e->nci,
	                     .ci = {e->ci[0], e->ci[1]}};

	memcpy(spec.key_id, e->key_id, sizeof(spec.key_id));
	return spec;
}

/* Seals text anew; the caller frees the envelope. */
static uint8_t *
seal_again(const SdesEnvelope *e, const SdesValueContext *context, SdesBytes text)
{
	uint8_t *out = fuzz_room(sdes_envelope_size(all_tokens(e), text.size));
	SdesSealSpec spec = spec_of(e, context);

	REQUIRE(sdes_envelope_seal_with_nonce(the_key(), &spec, e->sealed.nonce, text, out) ==
	        SDES_OK);
	return out;
}

static void
check_wiped(const uint8_t *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		REQUIRE(text[i] == 0);
}

static void
check_open(SdesBytes input, const SdesEnvelope *e, const SdesValueContext *context)
{
	SdesValueContext other = *context;
	size_t size = e->sealed.ciphertext.size;
	uint8_t *text = fuzz_room(size), *again;
	SdesStatus status = sdes_envelope_open(the_key(), e, context, text);

	REQUIRE(status == SDES_OK || status == SDES_ERR_TAG);
	if (status == SDES_ERR_TAG)
	{
		check_wiped(text, size);
		free(text);
		return;
	}
	again = seal_again(e, context, sdes_bytes(text, size));
	REQUIRE(memcmp(again, input.data, input.size) == 0);
	other.bucket[0] ^= 1;
	REQUIRE(sdes_envelope_open(the_key(), e, &other, text) == SDES_ERR_TAG);
	check_wiped(text, size);
	free(again);
	free(text);
}

/* The ciphertext stands in for a plaintext: any bytes must seal and open. */
static void
check_seal(const SdesEnvelope *e, const SdesValueContext *context)
{
	SdesBytes text = e->sealed.ciphertext;
	uint8_t *sealed = seal_again(e, context, text);
	uint8_t *back = fuzz_room(text.size);
	SdesEnvelope parsed;

	REQUIRE(memcmp(sealed, e->header.data, e->header.size) == 0);
	REQUIRE(sdes_envelope_parse(
	            sdes_bytes(sealed, sdes_envelope_size(all_tokens(e), text.size)),
	            &parsed) == SDES_OK);
	REQUIRE(sdes_envelope_open(the_key(), &parsed, context, back) == SDES_OK);
	REQUIRE(fuzz_same(sdes_bytes(back, text.size), text));
	free(back);
	free(sealed);
}

/*
 * Suite 2: no key of ours opens it; what the HSM would be given is what it has
 * sealed, and puts the same envelope together again.
 */
static void
check_hsm(SdesBytes input, const SdesEnvelope *e, const SdesValueContext *context)
{
	SdesSealSpec spec = spec_of(e, context);
	SdesEnvelopeAad sealing, opening;
	uint8_t *room = fuzz_room(e->sealed.ciphertext.size), *run, *again;
	size_t size, run_size;

	REQUIRE(sdes_envelope_open(the_key(), e, context, room) == SDES_ERR_FORMAT);
	REQUIRE(e->sealed.ciphertext.size >= SDES_ENVELOPE_CHECK_SIZE);
	size = sdes_envelope_hsm_plaintext_size(e);
	REQUIRE(sdes_envelope_hsm_size(all_tokens(e), size) == input.size);
	REQUIRE(sdes_envelope_hsm_seal_aad(&spec, &sealing) == SDES_OK);
	REQUIRE(sdes_envelope_hsm_open_aad(e, context, &opening) == SDES_OK);
	REQUIRE(fuzz_same(sdes_bytes(sealing.data, sealing.size),
	                  sdes_bytes(opening.data, opening.size)));

	run_size = size + SDES_ENVELOPE_HSM_OVERHEAD;
	run = fuzz_room(run_size);
	again = fuzz_room(input.size);
	sdes_envelope_hsm_sealed(e, run);
	REQUIRE(sdes_envelope_hsm_write(&spec, size, sdes_bytes(run, run_size), again) ==
	        SDES_OK);
	REQUIRE(memcmp(again, input.data, input.size) == 0);
	REQUIRE(sdes_envelope_hsm_write(&spec, size, sdes_bytes(run, run_size - 1), again) ==
	        SDES_ERR_FORMAT);
	free(again);
	free(run);
	free(room);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SdesBytes input = sdes_bytes(data, size);
	SdesValueContext context = {.type = SDES_TYPE_TEXT};
	SdesEnvelope e;
	SdesStatus status = sdes_envelope_parse(input, &e);

	memset(context.bucket, FUZZ_BYTE, sizeof(context.bucket));
	if (status != SDES_OK)
	{
		REQUIRE(status == SDES_ERR_FORMAT || status == SDES_ERR_SUITE);
		return 0;
	}
	REQUIRE(sdes_envelope_marked(input));
	check_sizes(input, &e);
	if (e.suite == SDES_SUITE_AES_256_GCM_HSM)
	{
		check_hsm(input, &e, &context);
		return 0;
	}
	check_seal(&e, &context);
	check_open(input, &e, &context);
	return 0;
}
