/*
 * test_envelope.c
 *		The sealed form: the frozen known answers, the canonical rules, and the
 *		refusal of every truncation and every flipped bit.
 *
 * envelope.kat and envelope_hsm.kat were each written once by an implementation
 * of its own, from the format's description, in another language. They are never
 * made anew, only added to.
 */
#include "envelope/armor.h"
#include "envelope/envelope.h"
#include "crypto/mac.h"
#include "hex.h"
#include "kat.h"
#include "tap.h"

#include <stdlib.h>

#define ENVELOPES 1000
#define MAX_PLAIN 1000
#define MAX_SIZE  (MAX_PLAIN + SDES_ENVELOPE_MAX_OVERHEAD + SDES_ENVELOPE_CHECK_SIZE)

static const uint8_t key[SDES_AEAD_KEY_SIZE] = {7, 7, 7};
static SdesAead *aead;

/* What agent and HSM do with a value of suite 2, its nonce apart. */
static SdesStatus
hsm_seal(SdesAead *kek, const SdesSealSpec *spec, const uint8_t nonce[SDES_NONCE_SIZE],
         SdesBytes plaintext, uint8_t *out)
{
	size_t size = plaintext.size + 8;
	uint8_t *checked = malloc(size), *sealed = malloc(12 + size + 16);
	uint8_t digest[SDES_DIGEST_SIZE];
	SdesEnvelopeAad aad;
	SdesStatus status = sdes_envelope_hsm_seal_aad(spec, &aad);
	SdesBytes piece = {aad.data, aad.size};

	if (plaintext.size > 0)
		memcpy(checked, plaintext.data, plaintext.size);
	if (status == SDES_OK)
		status = sdes_sha256(&plaintext, 1, digest);
	memcpy(checked + plaintext.size, digest, 8);
	memcpy(sealed, nonce, 12);
	if (status == SDES_OK)
		status = sdes_aead_seal(kek, nonce, &piece, 1, sdes_bytes(checked, size),
		                        sealed + 12, sealed + 12 + size);
	if (status == SDES_OK)
		status = sdes_envelope_hsm_write(spec, plaintext.size,
		                                 sdes_bytes(sealed, 12 + size + 16), out);
	free(checked);
	free(sealed);
	return status;
}

static SdesStatus
hsm_open(SdesAead *kek, const SdesEnvelope *envelope, const SdesValueContext *context,
         uint8_t *out)
{
	size_t plain = sdes_envelope_hsm_plaintext_size(envelope), size = plain + 8;
	uint8_t *sealed = malloc(12 + size + 16), *checked = malloc(size);
	SdesSealed parts = {sealed, sealed + 12 + size, {sealed + 12, size}};
	SdesEnvelopeAad aad;
	SdesStatus status = sdes_envelope_hsm_open_aad(envelope, context, &aad);
	SdesBytes piece = {aad.data, aad.size};

	if (status == SDES_OK)
	{
		sdes_envelope_hsm_sealed(envelope, sealed);
		status = sdes_aead_open(kek, &piece, 1, &parts, checked);
		memcpy(out, checked, plain);
	}
	free(sealed);
	free(checked);
	return status;
}

static size_t
size_as(int suite, int ntokens, size_t plain)
{
	return suite == SDES_SUITE_AES_256_GCM ? sdes_envelope_size(ntokens, plain)
	                                       : sdes_envelope_hsm_size(ntokens, plain);
}

/* How long what an envelope holds is. */
static size_t
plain_size(const SdesEnvelope *envelope)
{
	return envelope->suite == SDES_SUITE_AES_256_GCM
	           ? envelope->sealed.ciphertext.size
	           : sdes_envelope_hsm_plaintext_size(envelope);
}

/* Opens as the suite says, and not as the other. */
static SdesStatus
open_either(SdesAead *under, const SdesEnvelope *envelope, const SdesValueContext *context,
            uint8_t *out)
{
	SdesEnvelopeAad aad;
	uint8_t none[1];

	if (envelope->suite == SDES_SUITE_AES_256_GCM_HSM)
		return sdes_envelope_open(under, envelope, context, none) == SDES_ERR_FORMAT
		           ? hsm_open(under, envelope, context, out)
		           : SDES_ERR_CRYPTO;
	return sdes_envelope_hsm_open_aad(envelope, context, &aad) == SDES_ERR_FORMAT &&
	               aad.size == 0
	           ? sdes_envelope_open(under, envelope, context, out)
	           : SDES_ERR_CRYPTO;
}

/* Parses and opens what is in memory of exactly its size. */
static SdesStatus
parse_and_open(SdesBytes bytes, const SdesValueContext *context, uint8_t *out, size_t *size)
{
	SdesEnvelope envelope;
	SdesStatus status = sdes_envelope_parse(bytes, &envelope);

	*size = 0;
	if (status != SDES_OK)
		return status;
	*size = plain_size(&envelope);
	return open_either(aead, &envelope, context, out);
}

static SdesStatus
seal_as(int suite, const SdesSealSpec *spec, SdesBytes plaintext, uint8_t *out)
{
	uint8_t nonce[SDES_NONCE_SIZE];

	if (suite == SDES_SUITE_AES_256_GCM)
		return sdes_envelope_seal(aead, spec, plaintext, out);
	return sdes_nonce(nonce) == SDES_OK ? hsm_seal(aead, spec, nonce, plaintext, out)
	                                    : SDES_ERR_RANDOM;
}

static SdesSealSpec
make_spec(int flags)
{
	SdesSealSpec spec = {.key_id = {1, 2, 3, 4, 5, 6, 7, 8},
	                     .context = {SDES_TYPE_TEXT, {9, 9, 9}},
	                     .bytes = (flags & SDES_ENVELOPE_BYTES) != 0,
	                     .tokens = {{0x0102, {3}}, {0x0103, {4}}},
	                     .ci = {{0x0102, {5}}, {0x0103, {6}}}};

	if (flags & SDES_ENVELOPE_TOKEN)
		spec.ntokens = flags & SDES_ENVELOPE_TOKEN2 ? 2 : 1;
	if (flags & SDES_ENVELOPE_CI)
		spec.nci = flags & SDES_ENVELOPE_CI2 ? 2 : 1;
	return spec;
}

static int
all_tokens(const SdesSealSpec *spec)
{
	return spec->ntokens + spec->nci;
}

/* The combinations of flags that are canonical. */
static const int combinations[] = {0x00, 0x01, 0x03, 0x04, 0x05, 0x07, 0x08, 0x09, 0x0b,
                                   0x0c, 0x0d, 0x0f, 0x18, 0x19, 0x1b, 0x1c, 0x1d, 0x1f};
#define COMBINATIONS ((int) (sizeof(combinations) / sizeof(combinations[0])))
#define ALL_FLAGS    0x1f

/* Known answers */

typedef struct EnvelopeCase
{
	int suite;
	uint8_t key[SDES_AEAD_KEY_SIZE];
	uint8_t nonce[SDES_NONCE_SIZE];
	SdesSealSpec spec;
	uint8_t *plaintext, *envelope;
	size_t plaintext_size, envelope_size;
	const char *armor;
} EnvelopeCase;

/* Fields of that beginning; the oldest cases have none of "ci_". */
static bool
read_tokens(const Kat *kat, const char *prefix, SdesToken tokens[2], int *ntokens)
{
	for (int i = 0; i < 2; i++)
	{
		char key_name[32], token_name[32];
		uint8_t id[2];

		snprintf(key_name, sizeof(key_name), "%ssearch_key%d", prefix, i + 1);
		snprintf(token_name, sizeof(token_name), "%stoken%d", prefix, i + 1);
		if (strcmp(kat_optional(kat, key_name), "-") == 0)
			break;
		if (!hex_into(kat_field(kat, key_name), id, 2) ||
		    !hex_into(kat_field(kat, token_name), tokens[i].token, SDES_TOKEN_SIZE))
			return false;
		tokens[i].search_key = (uint16_t) (id[0] << 8 | id[1]);
		*ntokens = i + 1;
	}
	return true;
}

static bool
same_tokens(const SdesToken *a, const SdesToken *b, int n)
{
	bool same = true;

	for (int i = 0; same && i < n; i++)
		same = a[i].search_key == b[i].search_key &&
		       memcmp(a[i].token, b[i].token, SDES_TOKEN_SIZE) == 0;
	return same;
}

static bool
read_case(const Kat *kat, int suite, EnvelopeCase *c)
{
	uint8_t type[4];

	*c = (EnvelopeCase){.suite = suite};
	if (!hex_into(kat_field(kat, "key"), c->key, sizeof(c->key)) ||
	    !hex_into(kat_field(kat, "nonce"), c->nonce, sizeof(c->nonce)) ||
	    !hex_into(kat_field(kat, "key_id"), c->spec.key_id, SDES_KEY_ID_SIZE) ||
	    !hex_into(kat_field(kat, "type"), type, sizeof(type)) ||
	    !hex_into(kat_field(kat, "bucket"), c->spec.context.bucket, SDES_UUID_SIZE) ||
	    !read_tokens(kat, "", c->spec.tokens, &c->spec.ntokens) ||
	    !read_tokens(kat, "ci_", c->spec.ci, &c->spec.nci))
		return false;
	c->spec.context.type = (uint32_t) type[0] << 24 | (uint32_t) type[1] << 16 |
	                       (uint32_t) type[2] << 8 | type[3];
	c->spec.bytes = strcmp(kat_field(kat, "bytes"), "1") == 0;
	c->armor = kat_field(kat, "armor");
	return hex_decode(kat_field(kat, "plaintext"), &c->plaintext, &c->plaintext_size) &&
	       hex_decode(kat_field(kat, "envelope"), &c->envelope, &c->envelope_size);
}

static bool
seals_to(const EnvelopeCase *c)
{
	size_t size = size_as(c->suite, all_tokens(&c->spec), c->plaintext_size);
	uint8_t *out = malloc(size);
	SdesBytes plaintext = {c->plaintext, c->plaintext_size};
	SdesStatus status =
	    c->suite == SDES_SUITE_AES_256_GCM
	        ? sdes_envelope_seal_with_nonce(aead, &c->spec, c->nonce, plaintext, out)
	        : hsm_seal(aead, &c->spec, c->nonce, plaintext, out);
	bool same = status == SDES_OK && same_bytes(sdes_bytes(out, size),
	                                            sdes_bytes(c->envelope, c->envelope_size));

	free(out);
	return same;
}

static bool
opens_to(const EnvelopeCase *c)
{
	uint8_t *out = malloc(c->plaintext_size);
	SdesBytes bytes = {c->envelope, c->envelope_size};
	SdesEnvelope e;
	bool same = sdes_envelope_parse(bytes, &e) == SDES_OK && e.suite == c->suite &&
	            e.ntokens == c->spec.ntokens && e.nci == c->spec.nci &&
	            memcmp(e.key_id, c->spec.key_id, SDES_KEY_ID_SIZE) == 0 &&
	            ((e.flags & SDES_ENVELOPE_BYTES) != 0) == c->spec.bytes &&
	            plain_size(&e) == c->plaintext_size &&
	            open_either(aead, &e, &c->spec.context, out) == SDES_OK &&
	            same_bytes(sdes_bytes(out, c->plaintext_size),
	                       sdes_bytes(c->plaintext, c->plaintext_size)) &&
	            same_tokens(e.tokens, c->spec.tokens, e.ntokens) &&
	            same_tokens(e.ci, c->spec.ci, e.nci);

	free(out);
	return same;
}

static bool
armors_to(const EnvelopeCase *c)
{
	SdesBytes bytes = {c->envelope, c->envelope_size};
	size_t chars = sdes_armor_size(bytes.size), size = 0;
	char *text = malloc(chars);
	uint8_t *back = malloc(sdes_armor_decoded_size(chars));
	bool same;

	sdes_armor_encode(bytes, text);
	same = same_bytes(sdes_bytes(text, chars), sdes_bytes(c->armor, strlen(c->armor))) &&
	       sdes_armor_decode(sdes_bytes(text, chars), back, &size) == SDES_OK &&
	       same_bytes(sdes_bytes(back, size), bytes);
	free(text);
	free(back);
	return same;
}

static void
test_known_answers(int suite, const char *filename, int expected)
{
	SdesAead *common = aead;
	KatFile file;
	Kat kat;
	int cases = 0;

	if (!ok(kat_open(&file, filename), "%s is there", filename))
		return;
	while (kat_next(&file, &kat))
	{
		EnvelopeCase c;
		const char *name = kat_field(&kat, "name");

		cases++;
		if (ok(read_case(&kat, suite, &c) &&
		           sdes_aead_new(&aead, SDES_BYTES_OF(c.key)) == SDES_OK,
		       "%s: is well-formed", name))
		{
			ok(seals_to(&c), "%s: seals to the known bytes", name);
			ok(opens_to(&c), "%s: opens to the known plaintext", name);
			ok(armors_to(&c), "%s: has the known armor", name);
			sdes_aead_free(aead);
		}
		free(c.plaintext);
		free(c.envelope);
	}
	kat_close(&file);
	aead = common;
	ok(cases == expected, "%d known answers: %d", expected, cases);
}

/* Tampering */

/* How many of a sealed value's truncations, extensions and bit flips are accepted. */
static long
tampered_accepted(SdesBytes good, const SdesValueContext *context, long *total)
{
	long accepted = 0;
	uint8_t out[MAX_SIZE];
	size_t size;

	for (size_t cut = 0; cut <= good.size + 1; cut++)
	{
		uint8_t *bytes;

		if (cut == good.size)
			continue;
		bytes = malloc(cut);
		memcpy(bytes, good.data, cut < good.size ? cut : good.size);
		if (cut > good.size)
			bytes[good.size] = 0;
		accepted += parse_and_open(sdes_bytes(bytes, cut), context, out, &size) == SDES_OK;
		free(bytes);
		(*total)++;
	}
	for (size_t bit = 0; bit < good.size * 8; bit++)
	{
		uint8_t *bytes = malloc(good.size);

		memcpy(bytes, good.data, good.size);
		bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
		memset(out, 0xa5, sizeof(out));
		accepted +=
		    parse_and_open(sdes_bytes(bytes, good.size), context, out, &size) == SDES_OK;
		/* Refused at the tag: wiped. Refused before: untouched. */
		accepted +=
		    !all_bytes(out, size, 0) || !all_bytes(out + size, sizeof(out) - size, 0xa5);
		free(bytes);
		(*total)++;
	}
	return accepted;
}

static void
test_tampering(void)
{
	long accepted = 0, total = 0, broken = 0;

	for (int i = 0; i < ENVELOPES; i++)
	{
		SdesSealSpec spec = make_spec(combinations[i % COMBINATIONS]);
		size_t plain = i % 100 == 99 ? MAX_PLAIN : (size_t) i % 41, back_size;
		uint8_t text[MAX_PLAIN], sealed[MAX_SIZE], back[MAX_SIZE];
		int suite = 1 + i / COMBINATIONS % 2;
		SdesBytes good = {sealed, size_as(suite, all_tokens(&spec), plain)};

		for (size_t j = 0; j < plain; j++)
			text[j] = (uint8_t) (i + (int) j);
		broken += seal_as(suite, &spec, sdes_bytes(text, plain), sealed) != SDES_OK ||
		          parse_and_open(good, &spec.context, back, &back_size) != SDES_OK ||
		          back_size != plain || memcmp(text, back, plain) != 0;
		accepted += tampered_accepted(good, &spec.context, &total);
	}
	none_failed(broken, ENVELOPES, "round trips");
	none_failed(accepted, total, "every truncation, extension and flipped bit is refused");
}

/* The same through the text form, cut at every character. */
static void
test_armor_tampering(void)
{
	long accepted = 0, total = 0;

	for (int i = 0; i < 60; i++)
	{
		SdesSealSpec spec = make_spec(combinations[i % COMBINATIONS]);
		uint8_t text[60] = {0}, sealed[MAX_SIZE], back[MAX_SIZE], out[MAX_SIZE];
		int suite = 1 + i / COMBINATIONS % 2;
		size_t size = size_as(suite, all_tokens(&spec), (size_t) i), got, plain;
		char armor[2 * MAX_SIZE];

		accepted += seal_as(suite, &spec, sdes_bytes(text, (size_t) i), sealed) != SDES_OK;
		sdes_armor_encode(sdes_bytes(sealed, size), armor);
		for (size_t chars = 0; chars < sdes_armor_size(size); chars++, total++)
			accepted +=
			    sdes_armor_decode(sdes_bytes(armor, chars), back, &got) == SDES_OK &&
			    parse_and_open(sdes_bytes(back, got), &spec.context, out, &plain) ==
			        SDES_OK;
		for (size_t at = 0; at < sdes_armor_size(size); at++, total++)
		{
			char was = armor[at];

			armor[at] = was == 'A' ? 'B' : 'A';
			accepted += sdes_armor_decode(sdes_bytes(armor, sdes_armor_size(size)), back,
			                              &got) == SDES_OK &&
			            parse_and_open(sdes_bytes(back, got), &spec.context, out, &plain) ==
			                SDES_OK;
			armor[at] = was;
		}
	}
	none_failed(accepted, total, "every truncated or altered armor is refused");
}

/* A value moved to another bucket or type, or opened under another key. */
static void
test_context(int suite)
{
	SdesSealSpec spec = make_spec(SDES_ENVELOPE_TOKEN);
	uint8_t sealed[MAX_SIZE], out[8];
	SdesBytes bytes = {sealed, size_as(suite, 1, 5)};
	SdesValueContext context = spec.context;
	static const uint8_t other_key[SDES_AEAD_KEY_SIZE] = {7, 7, 8};
	SdesAead *own = aead;
	size_t size;

	is_status(seal_as(suite, &spec, sdes_bytes("hello", 5), sealed), SDES_OK, "seal");
	context.type ^= 1;
	is_status(parse_and_open(bytes, &context, out, &size), SDES_ERR_TAG, "another type");
	context = spec.context;
	context.bucket[15] ^= 1;
	is_status(parse_and_open(bytes, &context, out, &size), SDES_ERR_TAG, "another bucket");
	if (sdes_aead_new(&aead, SDES_BYTES_OF(other_key)) == SDES_OK)
		is_status(parse_and_open(bytes, &spec.context, out, &size), SDES_ERR_TAG,
		          "another key");
	sdes_aead_free(aead);
	aead = own;
	is_status(parse_and_open(bytes, &spec.context, out, &size), SDES_OK, "the right ones");
	ok(size == 5 && memcmp(out, "hello", 5) == 0, "open it");
}

/* A value of one suite that claims the other does not open, under one key. */
static void
test_suites_do_not_mix(void)
{
	SdesSealSpec spec = make_spec(0);
	uint8_t sealed[MAX_SIZE], out[32];
	size_t size;

	for (int suite = 1; suite <= 2; suite++)
	{
		SdesBytes bytes = {sealed, size_as(suite, 0, 12)};

		is_status(seal_as(suite, &spec, sdes_bytes("hello, world", 12), sealed), SDES_OK,
		          "seal");
		sealed[1] = (uint8_t) (3 - suite);
		is_status(parse_and_open(bytes, &spec.context, out, &size), SDES_ERR_TAG,
		          "a value of the other suite");
	}
}

/* Specs of which no envelope is made. */
static const char *const refused_specs[] = {
    "two tokens of one search key",
    "two ci tokens of one search key",
    "three tokens",
    "three ci tokens",
    "fewer tokens than none",
    "fewer ci tokens than none",
};
#define REFUSED_SPECS (sizeof(refused_specs) / sizeof(refused_specs[0]))

static SdesSealSpec
refused_spec(size_t which)
{
	SdesSealSpec spec = make_spec(ALL_FLAGS);

	if (which == 0)
		spec.tokens[1].search_key = spec.tokens[0].search_key;
	else if (which == 1)
		spec.ci[1].search_key = spec.ci[0].search_key;
	else if (which == 2)
		spec.ntokens = 3;
	else if (which == 3)
		spec.nci = 3;
	else if (which == 4)
		spec.ntokens = -1;
	else
		spec.nci = -1;
	return spec;
}

/* What an HSM gives back is as long as it must be, or it is not taken. */
static void
test_hsm_refusals(void)
{
	SdesSealSpec spec = make_spec(ALL_FLAGS);
	uint8_t sealed[60] = {0}, out[MAX_SIZE];
	SdesEnvelopeAad aad;
	long failed = 0;

	memset(out, 0xa5, sizeof(out));
	for (size_t size = 0; size <= sizeof(sealed); size++)
		failed += size != 5 + 36 &&
		          sdes_envelope_hsm_write(&spec, 5, sdes_bytes(sealed, size), out) !=
		              SDES_ERR_FORMAT;
	none_failed(failed, sizeof(sealed) + 1, "a sealed value of another length");
	for (size_t i = 0; i < REFUSED_SPECS; i++)
	{
		memset(&aad, 0xa5, sizeof(aad));
		spec = refused_spec(i);
		is_status(sdes_envelope_hsm_seal_aad(&spec, &aad), SDES_ERR_FORMAT,
		          refused_specs[i]);
		ok(aad.size == 0, "no AAD");
		is_status(sdes_envelope_hsm_write(&spec, 5, sdes_bytes(sealed, 5 + 36), out),
		          SDES_ERR_FORMAT, "nor is it written");
	}
	ok(all_bytes(out, sizeof(out), 0xa5), "nothing is written then");
}

/* Canonical form */

/* Where the tokens' search-key ids would stand, one after the other. */
#define SEARCH_KEY_AT(n) (SDES_ENVELOPE_HEADER_SIZE + (n) *SDES_ENVELOPE_TOKEN_FIELD)

static void
number_search_keys(uint8_t *bytes)
{
	for (int i = 0; i < SDES_ENVELOPE_MAX_TOKENS; i++)
		bytes[SEARCH_KEY_AT(i)] = (uint8_t) (i + 1);
}

/* Parses zeros of that size, canonical for any valid flags, but for one byte. */
static SdesStatus
parse_bent(size_t size, size_t at, uint8_t value)
{
	uint8_t bytes[MAX_SIZE] = {0x00, 0x01, 0x00};
	SdesEnvelope envelope;

	number_search_keys(bytes);
	bytes[at] = value;
	return sdes_envelope_parse(sdes_bytes(bytes, size), &envelope);
}

/* A second token of a kind never comes without the first. */
static SdesStatus
flags_status(int flags)
{
	if (flags > ALL_FLAGS)
		return SDES_ERR_SUITE;
	for (int i = 0; i < COMBINATIONS; i++)
	{
		if (combinations[i] == flags)
			return SDES_OK;
	}
	return SDES_ERR_FORMAT;
}

static void
test_suites_and_flags(void)
{
	const size_t size = SDES_ENVELOPE_MAX_OVERHEAD + SDES_ENVELOPE_CHECK_SIZE;
	long failed = 0;

	for (int i = 0; i < 256; i++)
	{
		failed += parse_bent(size, 0, (uint8_t) i) != (i == 0 ? SDES_OK : SDES_ERR_FORMAT);
		failed += parse_bent(size, 1, (uint8_t) i) !=
		          (i == 1 || i == 2 ? SDES_OK : SDES_ERR_SUITE);
		failed += parse_bent(size, 2, (uint8_t) i) != flags_status(i);
	}
	none_failed(failed, 256 * 3, "every marker, suite and flag byte");
	is_status(parse_bent(3, 1, 3), SDES_ERR_SUITE, "another suite may be of any length");
	is_status(parse_bent(3, 2, 0x20), SDES_ERR_SUITE, "so may another flag");
	is_status(parse_bent(2, 1, 3), SDES_ERR_FORMAT, "but there are three bytes at least");
	is_status(parse_bent(0, 0, 0), SDES_ERR_FORMAT, "and not none");
}

/*
 * The ids of two tokens of a kind, the nth and the next, differ in the first byte, in
 * the second, or not at all.
 */
static long
equal_search_keys_failed(uint8_t flags, int nth)
{
	uint8_t bytes[SDES_ENVELOPE_MAX_OVERHEAD] = {0x00, 0x01, flags};
	size_t one = SEARCH_KEY_AT(nth), two = SEARCH_KEY_AT(nth + 1);
	SdesEnvelope envelope;
	long failed = 0;

	number_search_keys(bytes);
	for (int i = 0; i < 256; i++)
	{
		bytes[one] = bytes[two] = 0x12;
		bytes[one + 1] = 0x34;
		bytes[two + 1] = (uint8_t) i;
		failed += sdes_envelope_parse(SDES_BYTES_OF(bytes), &envelope) !=
		          (i == 0x34 ? SDES_ERR_FORMAT : SDES_OK);
		bytes[two] = (uint8_t) i;
		bytes[two + 1] = 0x34;
		failed += sdes_envelope_parse(SDES_BYTES_OF(bytes), &envelope) !=
		          (i == 0x12 ? SDES_ERR_FORMAT : SDES_OK);
	}
	return failed;
}

static void
test_equal_search_keys(void)
{
	uint8_t bytes[SDES_ENVELOPE_MAX_OVERHEAD] = {0x00, 0x01, ALL_FLAGS};
	SdesEnvelope envelope;

	none_failed(equal_search_keys_failed(0x03, 0), 512, "two tokens of one search key");
	none_failed(equal_search_keys_failed(0x18, 0), 512, "two ci tokens, without others");
	none_failed(equal_search_keys_failed(0x19, 1), 512, "two ci tokens, after one");
	none_failed(equal_search_keys_failed(0x1b, 0), 512, "two tokens, before two ci tokens");
	none_failed(equal_search_keys_failed(0x1b, 2), 512, "two ci tokens, after two");

	/* Of different kinds they are of one search key as a rule. */
	number_search_keys(bytes);
	bytes[SEARCH_KEY_AT(2)] = bytes[SEARCH_KEY_AT(0)];
	bytes[SEARCH_KEY_AT(3)] = bytes[SEARCH_KEY_AT(1)];
	is_status(sdes_envelope_parse(SDES_BYTES_OF(bytes), &envelope), SDES_OK,
	          "the same search keys for both kinds");
	ok(envelope.ntokens == 2 && envelope.nci == 2 &&
	       envelope.tokens[0].search_key == 0x0100 && envelope.ci[0].search_key == 0x0100 &&
	       envelope.tokens[1].search_key == 0x0200 && envelope.ci[1].search_key == 0x0200,
	   "are found in their places");
}

/* Envelopes of those flags of every size: how many were not read as they must be. */
static long
lengths_failed(int suite, int flags)
{
	static const int bases[2][5] = {{39, 57, 75, 93, 111}, {47, 65, 83, 101, 119}};
	uint8_t bytes[MAX_SIZE] = {0x00, (uint8_t) suite, (uint8_t) flags};
	SdesSealSpec spec = make_spec(flags);
	int ntokens = all_tokens(&spec);
	size_t base = (size_t) bases[suite - 1][ntokens];
	long failed = size_as(suite, ntokens, 0) != base;
	SdesEnvelope e;

	number_search_keys(bytes);
	for (size_t size = 0; size < 140; size++)
	{
		uint8_t *exact = malloc(size);

		memcpy(exact, bytes, size);
		failed +=
		    (sdes_envelope_parse(sdes_bytes(exact, size), &e) == SDES_OK) != (size >= base);
		failed += size >= base &&
		          (e.header.size != (size_t) bases[0][ntokens] - SDES_AEAD_TAG_SIZE ||
		           plain_size(&e) != size - base ||
		           e.sealed.tag != exact + size - SDES_AEAD_TAG_SIZE ||
		           e.sealed.nonce != exact + 11 || e.ntokens != spec.ntokens ||
		           e.nci != spec.nci);
		/* The header alone is read of whatever holds it. */
		failed += (sdes_envelope_parse_header(sdes_bytes(exact, size), &e) == SDES_OK) !=
		          (size >= (size_t) bases[0][ntokens] - SDES_AEAD_TAG_SIZE);
		failed += size >= base && (e.ntokens != spec.ntokens || e.nci != spec.nci);
		free(exact);
	}
	return failed;
}

static void
test_lengths(int suite)
{
	long failed = 0;

	for (int i = 0; i < COMBINATIONS; i++)
		failed += lengths_failed(suite, combinations[i]);
	none_failed(failed, COMBINATIONS * 140L,
	            "the shortest envelope of each kind, and every field's place");
}

static void
test_seal_refusals(void)
{
	SdesSealSpec spec = make_spec(0);
	uint8_t sealed[MAX_SIZE];
	SdesBytes huge = {sealed, (size_t) SDES_AEAD_MAX_SIZE + 1};

	memset(sealed, 0xa5, sizeof(sealed));
	is_status(sdes_envelope_seal(aead, &spec, huge, sealed), SDES_ERR_TOO_LONG,
	          "a plaintext past the limit");
	for (size_t i = 0; i < REFUSED_SPECS; i++)
	{
		spec = refused_spec(i);
		is_status(sdes_envelope_seal(aead, &spec, sdes_bytes("x", 1), sealed),
		          SDES_ERR_FORMAT, refused_specs[i]);
	}
	ok(all_bytes(sealed, sizeof(sealed), 0xa5), "nothing is written then");
}

static void
test_marker(void)
{
	ok(sdes_envelope_marked(sdes_bytes("\0x", 2)), "a zero byte marks an envelope");
	ok(!sdes_envelope_marked(sdes_bytes("x\0", 2)), "only as the first");
	ok(!sdes_envelope_marked(sdes_bytes(NULL, 0)), "nothing is not one");
}

static void
test_nonces_differ(void)
{
	SdesSealSpec spec = make_spec(0);
	uint8_t a[MAX_SIZE], b[MAX_SIZE];
	size_t size = sdes_envelope_size(0, 5);

	ok(sdes_envelope_seal(aead, &spec, sdes_bytes("hello", 5), a) == SDES_OK &&
	       sdes_envelope_seal(aead, &spec, sdes_bytes("hello", 5), b) == SDES_OK &&
	       memcmp(a, b, 11) == 0 && memcmp(a + 11, b + 11, SDES_NONCE_SIZE) != 0 &&
	       memcmp(a + 23, b + 23, size - 23) != 0,
	   "one plaintext sealed twice shares nothing but the header");
}

int
main(void)
{
	if (sdes_aead_new(&aead, SDES_BYTES_OF(key)) != SDES_OK)
		return 1;
	test_known_answers(SDES_SUITE_AES_256_GCM, "envelope.kat", 46);
	test_known_answers(SDES_SUITE_AES_256_GCM_HSM, "envelope_hsm.kat", 31);
	test_tampering();
	test_armor_tampering();
	test_context(SDES_SUITE_AES_256_GCM);
	test_context(SDES_SUITE_AES_256_GCM_HSM);
	test_suites_do_not_mix();
	test_hsm_refusals();
	test_suites_and_flags();
	test_equal_search_keys();
	test_lengths(SDES_SUITE_AES_256_GCM);
	test_lengths(SDES_SUITE_AES_256_GCM_HSM);
	test_seal_refusals();
	test_marker();
	test_nonces_differ();
	sdes_aead_free(aead);
	return done_testing();
}
