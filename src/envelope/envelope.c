/*
 * envelope.c
 *		Reading and writing the sealed form of one value.
 *
 * Invariant: one value, one spelling. The parser takes exactly what the sealer
 * can write, and everything it reads before the ciphertext is authenticated.
 */
#include "envelope/envelope.h"

#include <openssl/crypto.h>
#include <string.h>

#define KNOWN_FLAGS                                                                        \
	(SDES_ENVELOPE_TOKEN | SDES_ENVELOPE_TOKEN2 | SDES_ENVELOPE_BYTES | SDES_ENVELOPE_CI | \
	 SDES_ENVELOPE_CI2)

/* Type tag and bucket, as they stand in the AAD. */
#define CONTEXT_SIZE (4 + SDES_UUID_SIZE)

#define NONCE_AT 11 /* in the header */

bool
sdes_envelope_marked(SdesBytes bytes)
{
	return bytes.size > 0 && bytes.data[0] == SDES_ENVELOPE_MARKER;
}

size_t
sdes_envelope_size(int ntokens, size_t plaintext_size)
{
	return SDES_ENVELOPE_MIN_SIZE + (size_t) ntokens * SDES_ENVELOPE_TOKEN_FIELD +
	       plaintext_size;
}

/* How many tokens a flag and that of a second one stand for. */
static int
flags_ntokens(uint8_t flags, uint8_t one, uint8_t two)
{
	if (flags & two)
		return 2;
	return flags & one ? 1 : 0;
}

/* A second token goes with a first one. */
static bool
flags_canonical(uint8_t flags)
{
	return (!(flags & SDES_ENVELOPE_TOKEN2) || (flags & SDES_ENVELOPE_TOKEN)) &&
	       (!(flags & SDES_ENVELOPE_CI2) || (flags & SDES_ENVELOPE_CI));
}

static void
read_tokens(SdesReader *r, SdesToken *tokens, int ntokens)
{
	for (int i = 0; i < ntokens; i++)
	{
		tokens[i].search_key = sdes_read_u16(r);
		sdes_read_into(r, tokens[i].token, SDES_TOKEN_SIZE);
	}
}

static void
write_tokens(SdesWriter *w, const SdesToken *tokens, int ntokens)
{
	for (int i = 0; i < ntokens; i++)
	{
		sdes_write_u16(w, tokens[i].search_key);
		sdes_write_bytes(w, SDES_BYTES_OF(tokens[i].token));
	}
}

/* Two tokens are those of a search-key rotation, hence of two search keys. */
static bool
tokens_canonical(const SdesToken *tokens, int ntokens)
{
	return ntokens < 2 || tokens[0].search_key != tokens[1].search_key;
}

static bool
suite_known(uint8_t suite)
{
	return suite == SDES_SUITE_AES_256_GCM || suite == SDES_SUITE_AES_256_GCM_HSM;
}

/* Suite and flags come before lengths: a later format may be of any length. */
static SdesStatus
parse_kind(SdesReader *r, SdesEnvelope *out)
{
	uint8_t marker = sdes_read_u8(r);

	out->suite = sdes_read_u8(r);
	out->flags = sdes_read_u8(r);
	if (r->failed || marker != SDES_ENVELOPE_MARKER)
		return SDES_ERR_FORMAT;
	if (!suite_known(out->suite) || (out->flags & ~KNOWN_FLAGS) != 0)
		return SDES_ERR_SUITE;
	return flags_canonical(out->flags) ? SDES_OK : SDES_ERR_FORMAT;
}

/* What must follow the header: nothing sealed, and the tag. */
static size_t
shortest_rest(uint8_t suite)
{
	return SDES_AEAD_TAG_SIZE +
	       (suite == SDES_SUITE_AES_256_GCM_HSM ? SDES_ENVELOPE_CHECK_SIZE : 0);
}

/* Everything before the ciphertext. Zeroing all of *out would take as long as this. */
static SdesStatus
parse_header(SdesReader *r, SdesEnvelope *out)
{
	SdesStatus status = parse_kind(r, out);

	if (status != SDES_OK)
		return status;
	sdes_read_into(r, out->key_id, SDES_KEY_ID_SIZE);
	out->sealed.nonce = sdes_read_bytes(r, SDES_NONCE_SIZE).data;
	out->ntokens = flags_ntokens(out->flags, SDES_ENVELOPE_TOKEN, SDES_ENVELOPE_TOKEN2);
	read_tokens(r, out->tokens, out->ntokens);
	out->nci = flags_ntokens(out->flags, SDES_ENVELOPE_CI, SDES_ENVELOPE_CI2);
	read_tokens(r, out->ci, out->nci);
	if (r->failed || !tokens_canonical(out->tokens, out->ntokens) ||
	    !tokens_canonical(out->ci, out->nci))
		return SDES_ERR_FORMAT;
	return SDES_OK;
}

SdesStatus
sdes_envelope_parse_header(SdesBytes bytes, SdesEnvelope *out)
{
	SdesReader r = sdes_reader(bytes);

	return parse_header(&r, out);
}

SdesStatus
sdes_envelope_parse(SdesBytes bytes, SdesEnvelope *out)
{
	SdesReader r = sdes_reader(bytes);
	SdesStatus status = parse_header(&r, out);

	if (status != SDES_OK)
		return status;
	if (r.left < shortest_rest(out->suite))
		return SDES_ERR_FORMAT;
	out->header = sdes_bytes(bytes.data, bytes.size - r.left);
	out->sealed.ciphertext = sdes_read_bytes(&r, r.left - SDES_AEAD_TAG_SIZE);
	out->sealed.tag = sdes_read_bytes(&r, SDES_AEAD_TAG_SIZE).data;
	return SDES_OK;
}

static void
write_header(SdesWriter *w, uint8_t suite, const SdesSealSpec *spec,
             const uint8_t nonce[SDES_NONCE_SIZE])
{
	uint8_t flags = 0;

	if (spec->ntokens > 0)
		flags |= SDES_ENVELOPE_TOKEN;
	if (spec->ntokens > 1)
		flags |= SDES_ENVELOPE_TOKEN2;
	if (spec->bytes)
		flags |= SDES_ENVELOPE_BYTES;
	if (spec->nci > 0)
		flags |= SDES_ENVELOPE_CI;
	if (spec->nci > 1)
		flags |= SDES_ENVELOPE_CI2;

	sdes_write_u8(w, SDES_ENVELOPE_MARKER);
	sdes_write_u8(w, suite);
	sdes_write_u8(w, flags);
	sdes_write_bytes(w, SDES_BYTES_OF(spec->key_id));
	sdes_write_bytes(w, sdes_bytes(nonce, SDES_NONCE_SIZE));
	write_tokens(w, spec->tokens, spec->ntokens);
	write_tokens(w, spec->ci, spec->nci);
}

static void
write_context(const SdesValueContext *context, uint8_t out[CONTEXT_SIZE])
{
	SdesWriter w = sdes_writer(out, CONTEXT_SIZE);

	sdes_write_u32(&w, context->type);
	sdes_write_bytes(&w, SDES_BYTES_OF(context->bucket));
}

/* Whether an envelope can be written of that. */
static SdesStatus
check_spec(const SdesSealSpec *spec, size_t plaintext_size)
{
	if (spec->ntokens < 0 || spec->ntokens > 2 || spec->nci < 0 || spec->nci > 2 ||
	    !tokens_canonical(spec->tokens, spec->ntokens) ||
	    !tokens_canonical(spec->ci, spec->nci))
		return SDES_ERR_FORMAT;
	return plaintext_size > SDES_AEAD_MAX_SIZE ? SDES_ERR_TOO_LONG : SDES_OK;
}

static size_t
spec_size(const SdesSealSpec *spec, size_t plaintext_size)
{
	return sdes_envelope_size(spec->ntokens + spec->nci, plaintext_size);
}

SdesStatus
sdes_envelope_seal_with_nonce(SdesAead *aead, const SdesSealSpec *spec,
                              const uint8_t nonce[SDES_NONCE_SIZE], SdesBytes plaintext,
                              uint8_t *out)
{
	uint8_t context[CONTEXT_SIZE];
	SdesBytes aad[2];
	SdesStatus status = check_spec(spec, plaintext.size);
	SdesWriter w;

	if (status != SDES_OK)
		return status;
	w = sdes_writer(out, spec_size(spec, plaintext.size));
	write_header(&w, SDES_SUITE_AES_256_GCM, spec, nonce);
	write_context(&spec->context, context);
	aad[0] = sdes_bytes(out, (size_t) (w.at - out));
	aad[1] = SDES_BYTES_OF(context);
	status = sdes_aead_seal(aead, nonce, aad, 2, plaintext, w.at, w.at + plaintext.size);

	/* Half an envelope must not pass for one. */
	if (status != SDES_OK)
		OPENSSL_cleanse(out, spec_size(spec, plaintext.size));
	return status;
}

SdesStatus
sdes_envelope_seal(SdesAead *aead, const SdesSealSpec *spec, SdesBytes plaintext,
                   uint8_t *out)
{
	uint8_t nonce[SDES_NONCE_SIZE];
	SdesStatus status = sdes_nonce(nonce);

	if (status != SDES_OK)
		return status;
	return sdes_envelope_seal_with_nonce(aead, spec, nonce, plaintext, out);
}

SdesStatus
sdes_envelope_open(SdesAead *aead, const SdesEnvelope *envelope,
                   const SdesValueContext *context, uint8_t *out)
{
	uint8_t tail[CONTEXT_SIZE];
	SdesBytes aad[2] = {envelope->header, SDES_BYTES_OF(tail)};

	if (envelope->suite != SDES_SUITE_AES_256_GCM)
		return SDES_ERR_FORMAT;
	write_context(context, tail);
	return sdes_aead_open(aead, aad, 2, &envelope->sealed, out);
}

/* ---- sealed inside an HSM ---- */

static const uint8_t no_nonce[SDES_NONCE_SIZE];

/* Ends an AAD that has a header. */
static void
finish_aad(SdesEnvelopeAad *aad, size_t header_size, const SdesValueContext *context)
{
	memcpy(aad->data + NONCE_AT, no_nonce, SDES_NONCE_SIZE);
	write_context(context, aad->data + header_size);
	aad->size = header_size + CONTEXT_SIZE;
}

SdesStatus
sdes_envelope_hsm_seal_aad(const SdesSealSpec *spec, SdesEnvelopeAad *out)
{
	SdesWriter w = sdes_writer(out->data, sizeof(out->data));
	SdesStatus status = check_spec(spec, 0);

	out->size = 0;
	if (status != SDES_OK)
		return status;
	write_header(&w, SDES_SUITE_AES_256_GCM_HSM, spec, no_nonce);
	finish_aad(out, sizeof(out->data) - w.left, &spec->context);
	return SDES_OK;
}

size_t
sdes_envelope_hsm_size(int ntokens, size_t plaintext_size)
{
	return sdes_envelope_size(ntokens, plaintext_size) + SDES_ENVELOPE_CHECK_SIZE;
}

SdesStatus
sdes_envelope_hsm_write(const SdesSealSpec *spec, size_t plaintext_size, SdesBytes sealed,
                        uint8_t *out)
{
	SdesStatus status = check_spec(spec, plaintext_size);
	SdesWriter w;

	if (status != SDES_OK)
		return status;
	if (sealed.size != plaintext_size + SDES_ENVELOPE_HSM_OVERHEAD)
		return SDES_ERR_FORMAT;
	w = sdes_writer(out, sdes_envelope_hsm_size(spec->ntokens + spec->nci, plaintext_size));
	write_header(&w, SDES_SUITE_AES_256_GCM_HSM, spec, sealed.data);
	sdes_write_bytes(
	    &w, sdes_bytes(sealed.data + SDES_NONCE_SIZE, sealed.size - SDES_NONCE_SIZE));
	return SDES_OK;
}

SdesStatus
sdes_envelope_hsm_open_aad(const SdesEnvelope *envelope, const SdesValueContext *context,
                           SdesEnvelopeAad *out)
{
	out->size = 0;
	if (envelope->suite != SDES_SUITE_AES_256_GCM_HSM)
		return SDES_ERR_FORMAT;
	memcpy(out->data, envelope->header.data, envelope->header.size);
	finish_aad(out, envelope->header.size, context);
	return SDES_OK;
}

size_t
sdes_envelope_hsm_plaintext_size(const SdesEnvelope *envelope)
{
	return envelope->sealed.ciphertext.size - SDES_ENVELOPE_CHECK_SIZE;
}

void
sdes_envelope_hsm_sealed(const SdesEnvelope *envelope, uint8_t *out)
{
	/* Ciphertext and tag follow each other in an envelope. */
	memcpy(out, envelope->sealed.nonce, SDES_NONCE_SIZE);
	memcpy(out + SDES_NONCE_SIZE, envelope->sealed.tag - envelope->sealed.ciphertext.size,
	       envelope->sealed.ciphertext.size + SDES_AEAD_TAG_SIZE);
}
