/*
 * test_vectors.c
 *		The vectors of NIST, the RFCs and project Wycheproof, by every provider.
 *
 * Reads the lines that vectors.py wrote to the file SDES_VECTORS. A source that
 * yields no vectors fails, so that a missing package cannot pass for success;
 * only Wycheproof's may be absent, and that is said aloud.
 */
#include "crypto/aead.h"
#include "crypto/kdf.h"
#include "crypto/mac.h"
#include "provider/provider.h"
#include "tap.h"
#include "vectors.h"

#include <stdlib.h>

#define REQUIRED   8 /* sources besides Wycheproof's */
#define WYCHEPROOF 3

/* fields: key, nonce, aad, plaintext (unknown when invalid), ciphertext, tag */
static bool
run_gcm(const Vector *v)
{
	SdesBytes aad = v->fields[2], text = v->fields[3], ciphertext = v->fields[4];
	SdesSealed sealed = {v->fields[1].data, v->fields[5].data, ciphertext};
	uint8_t *out = malloc(ciphertext.size);
	uint8_t tag[SDES_AEAD_TAG_SIZE];
	SdesAead *aead = NULL;
	bool good = v->nfields == 6 && v->fields[1].size == SDES_NONCE_SIZE &&
	            v->fields[5].size == SDES_AEAD_TAG_SIZE &&
	            sdes_aead_new(&aead, v->fields[0]) == SDES_OK;

	if (good && !v->valid)
	{
		memset(out, 0xa5, ciphertext.size);
		good = sdes_aead_open(aead, &aad, 1, &sealed, out) == SDES_ERR_TAG &&
		       all_bytes(out, ciphertext.size, 0);
	}
	else if (good)
	{
		good = sdes_aead_open(aead, &aad, 1, &sealed, out) == SDES_OK &&
		       same_bytes(sdes_bytes(out, ciphertext.size), text);
		good = good &&
		       sdes_aead_seal(aead, sealed.nonce, &aad, 1, text, out, tag) == SDES_OK &&
		       same_bytes(sdes_bytes(out, text.size), ciphertext) &&
		       memcmp(tag, sealed.tag, sizeof(tag)) == 0;
	}
	sdes_aead_free(aead);
	free(out);
	return good;
}

/* fields: key, message, tag, which may be the first bytes of it only */
static bool
run_hmac(const Vector *v)
{
	SdesBytes tag = v->fields[2];
	uint8_t out[SDES_MAC_SIZE];
	SdesMac *mac = NULL;
	bool good = v->nfields == 3 && tag.size > 0 && tag.size <= SDES_MAC_SIZE &&
	            sdes_hmac_sha256(v->fields[0], &v->fields[1], 1, out) == SDES_OK &&
	            sdes_equal(out, tag.data, tag.size) == v->valid &&
	            sdes_mac_new(&mac, v->fields[0]) == SDES_OK;

	/* A kept key gives it twice. */
	for (int i = 0; good && i < 2; i++)
	{
		memset(out, 0, sizeof(out));
		good = sdes_mac(mac, &v->fields[1], 1, out) == SDES_OK &&
		       sdes_equal(out, tag.data, tag.size) == v->valid;
	}
	sdes_mac_free(mac);
	return good;
}

/* fields: key, salt, info, output, of which only the size counts when invalid */
static bool
run_hkdf(const Vector *v)
{
	SdesBytes want = v->fields[3];
	uint8_t *out = malloc(want.size);
	SdesStatus status =
	    sdes_hkdf_sha256(v->fields[0], v->fields[1], &v->fields[2], 1, out, want.size);
	bool good =
	    v->nfields == 4 && want.size > 0 &&
	    (v->valid ? status == SDES_OK && same_bytes(sdes_bytes(out, want.size), want)
	              : status == SDES_ERR_TOO_LONG);

	free(out);
	return good;
}

/* fields: message, digest */
static bool
run_sha256(const Vector *v)
{
	uint8_t out[SDES_DIGEST_SIZE];

	return v->nfields == 2 && sdes_sha256(v->fields, 1, out) == SDES_OK &&
	       same_bytes(SDES_BYTES_OF(out), v->fields[1]);
}

/* fields: seed, digest; the Secure Hash Algorithm Validation System, section 6.4 */
static bool
run_sha256_monte(const Vector *v)
{
	uint8_t last[3][SDES_DIGEST_SIZE], out[SDES_DIGEST_SIZE];
	SdesBytes message = SDES_BYTES_OF(last);

	if (v->nfields != 2 || v->fields[0].size != SDES_DIGEST_SIZE)
		return false;
	for (int i = 0; i < 3; i++)
		memcpy(last[i], v->fields[0].data, SDES_DIGEST_SIZE);
	for (int i = 0; i < 1000; i++)
	{
		if (sdes_sha256(&message, 1, out) != SDES_OK)
			return false;
		memmove(last[0], last[1], 2 * SDES_DIGEST_SIZE);
		memcpy(last[2], out, SDES_DIGEST_SIZE);
	}
	return same_bytes(SDES_BYTES_OF(out), v->fields[1]);
}

/* Once by every provider of this build. */
static bool
by_all(bool (*run)(const Vector *v), const Vector *v)
{
	for (const SdesProvider *const *at = sdes_providers(); *at != NULL; at++)
	{
		sdes_provider_use(*at);
		if (!run(v))
		{
			diag("by %s:", (*at)->name);
			return false;
		}
	}
	return true;
}

static bool
run_vector(const Vector *v)
{
	static const struct
	{
		const char *operation;
		bool (*run)(const Vector *v);
	} operations[] = {{"gcm", run_gcm},
	                  {"hmac", run_hmac},
	                  {"hkdf", run_hkdf},
	                  {"sha256", run_sha256},
	                  {"sha256monte", run_sha256_monte}};

	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
	{
		if (strcmp(v->operation, operations[i].operation) == 0)
			return by_all(operations[i].run, v);
	}
	return false;
}

static void
take_line(char *line)
{
	Vector v;
	bool parsed = parse_line(line, &v);
	Source *source = find_source(parsed ? v.source : "a line that is no vector");

	source->run++;
	if (!parsed || !run_vector(&v))
	{
		source->failed++;
		diag("failed: %s %s", source->name, parsed ? v.number : "");
	}
	for (int i = 0; i < v.nfields; i++)
		free((void *) (uintptr_t) v.fields[i].data);
}

int
main(void)
{
	const char *path = getenv("SDES_VECTORS");
	FILE *stream = path == NULL ? NULL : fopen(path, "r");
	char *line = NULL;
	size_t room = 0;
	bool absent = false;

	if (!ok(stream != NULL, "the file of vectors is there"))
		return done_testing();
	while (getline(&line, &room, stream) > 0)
	{
		if (line[0] != '#')
			take_line(line);
		else
		{
			absent = true;
			fputs(line, stderr);
		}
	}
	free(line);
	fclose(stream);
	for (int i = 0; i < nsources; i++)
	{
		diag("%s: %ld vectors", sources[i].name, sources[i].run);
		none_failed(sources[i].failed, sources[i].run, sources[i].name);
	}
	ok(nsources == REQUIRED + (absent ? 0 : WYCHEPROOF), "no source is empty: %d",
	   nsources);
	return done_testing();
}
