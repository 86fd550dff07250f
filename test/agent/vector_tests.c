/*
 * vector_tests.c
 *		Published vectors through the functions that wrap and seal: each key is
 *		imported into the token, which then does what it does for a KEK.
 *
 * The file SDES_VECTORS holds the lines of test/unit/vectors.py. A mechanism that
 * the module lacks, keys longer than NSS's secret keys can be, and vectors with a
 * label, which nobody here makes, are counted and named.
 */
#include "tests.h"
#include "token.h"
#include "vectors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUIRED   3 /* sources besides Wycheproof's */
#define WYCHEPROOF 4

#define NSS_SECRET_MAX 256

static long labelled, lacking, too_long;

static bool
same(const uint8_t *bytes, size_t size, SdesBytes want)
{
	return size == want.size && (size == 0 || memcmp(bytes, want.data, size) == 0);
}

/* fields: key, nonce, aad, plaintext (unknown when invalid), ciphertext, tag */
static bool
run_gcm(Token *t, const Vector *v, SdesPkcs11Context *c)
{
	SdesBytes text = v->fields[3];
	size_t size = v->fields[4].size + SDES_HSM_SEALED_OVERHEAD;
	uint8_t *sealed = malloc(size), *out = malloc(size);
	SdesWriter w = sdes_writer(sealed, size);
	SdesStatus status;
	bool good;

	sdes_write_bytes(&w, v->fields[1]);
	sdes_write_bytes(&w, v->fields[4]);
	sdes_write_bytes(&w, v->fields[5]);
	c->aad = v->fields[2];
	memset(out, 0xa5, size);
	status = sdes_pkcs11_gcm_open(c, sdes_bytes(sealed, size), out, &t->fault);
	if (v->valid)
	{
		good = status == SDES_OK && same(out, size - SDES_HSM_SEALED_OVERHEAD, text);
		/* The IV is random, so what is sealed here is opened again. */
		good =
		    good && sdes_pkcs11_gcm_seal(c, text, sealed, &t->fault) == SDES_OK &&
		    sdes_pkcs11_gcm_open(c, sdes_bytes(sealed, size), out, &t->fault) == SDES_OK &&
		    same(out, text.size, text);
	}
	else
	{
		good = status == SDES_ERR_TAG ||
		       (status == SDES_ERR_HSM && sdes_pkcs11_may_say_tampered(t->fault.code));
		for (size_t i = 0; i < size; i++)
			good = good && out[i] == 0;
	}
	free(sealed);
	free(out);
	return good;
}

/* What is to be refused has no plaintext: the longest that could be in it. */
static bool
run_keywrap(Token *t, const Vector *v, SdesPkcs11Context *c)
{
	SdesBytes text = v->fields[1], wrapped = v->fields[2];
	size_t size = v->valid ? text.size : wrapped.size > 8 ? wrapped.size - 8 : 1;
	SdesReader r = sdes_reader(wrapped);
	uint8_t out[SDES_HSM_BLOB_MAX];
	SdesWriter w = sdes_writer(out, sizeof(out));
	SdesSecret payload;
	SdesStatus status;
	bool good;

	if (v->valid && size > NSS_SECRET_MAX && fixture_is_nss())
	{
		too_long++;
		return true;
	}
	if (sdes_secret_new(&payload, size) != SDES_OK)
		return false;
	status = sdes_pkcs11_kw_unwrap(c, &r, &payload, &t->fault);
	good =
	    v->valid ? status == SDES_OK && same(payload.data, size, text) : status != SDES_OK;
	sdes_secret_free(&payload);
	if (good && v->valid)
		good = sdes_pkcs11_kw_wrap(c, text, &w, &t->fault) == SDES_OK && !w.failed &&
		       same(out, sizeof(out) - w.left, wrapped);
	return good;
}

static bool
with_aes(Token *t, const Vector *v, const char *mechanism,
         bool (*run)(Token *, const Vector *, SdesPkcs11Context *))
{
	static const SdesHsmNewKek spec = {"", SDES_HSM_AES_256, false};
	SdesPkcs11Key key = {.kind = SDES_HSM_AES_256};
	SdesPkcs11Context c = {t->hsm, t->session->handle, &key, {NULL, 0}, NULL};
	bool good;

	if (!token_only(t, mechanism))
	{
		lacking++;
		return true;
	}
	c.mechanism = sdes_pkcs11_next_mechanism(t->hsm, &spec, NULL);
	if (!token_import_aes(t, key.id, v->fields[0], c.mechanism->usage, false, &key.handle))
		return false;
	good = run(t, v, &c);
	t->hsm->p11->C_DestroyObject(t->session->handle, key.handle);
	/* An operation may have stayed active. */
	if (!v->valid)
		token_renew(t);
	return good;
}

static bool
run_with_gcm(Token *t, const Vector *v)
{
	return v->nfields == 6 && with_aes(t, v, "AES-GCM", run_gcm);
}

static bool
run_kw(Token *t, const Vector *v)
{
	return v->nfields == 3 && with_aes(t, v, "AES-KEY-WRAP", run_keywrap);
}

static bool
run_kwp(Token *t, const Vector *v)
{
	return v->nfields == 3 && with_aes(t, v, "AES-KEY-WRAP-KWP", run_keywrap);
}

/* All vectors have one key, which stays in the token: libp11 sees no others. */
static SdesPkcs11Key *
rsa_key(Token *t, const Vector *v)
{
	static SdesPkcs11Key key;
	static Token *of;
	const SdesBytes *f = v->fields;
	RsaParts parts = {f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7]};

	if (of != t)
	{
		key = (SdesPkcs11Key){.id = {4, 0, 9, 6}, .kind = SDES_HSM_RSA_4096};
		of = token_import_rsa(t, key.id, &parts, &key.handle) ? t : NULL;
	}
	return of == t ? &key : NULL;
}

/* fields: the eight numbers of the key, message, ciphertext */
static bool
run_oaep(Token *t, const Vector *v)
{
	SdesPkcs11Context c = {t->hsm, t->session->handle, rsa_key(t, v), {NULL, 0}, NULL};
	SdesBytes text = v->fields[8], wrapped = v->fields[9];
	uint8_t ciphertext[SDES_PKCS11_RSA_SIZE];
	SdesSecret out;
	size_t size;
	SdesStatus status;
	bool good;

	if (v->nfields != 10 || c.key == NULL ||
	    sdes_secret_new(&out, SDES_PKCS11_RSA_SIZE) != SDES_OK)
		return false;
	status = sdes_pkcs11_oaep_decrypt(&c, wrapped, &out, &size, &t->fault);
	good = v->valid ? status == SDES_OK && same(out.data, size, text)
	                : status == SDES_ERR_TAG && size == 0;
	if (good && v->valid)
		good = sdes_pkcs11_oaep_encrypt(&c, text, ciphertext, &t->fault) == SDES_OK &&
		       sdes_pkcs11_oaep_decrypt(&c, SDES_BYTES_OF(ciphertext), &out, &size,
		                                &t->fault) == SDES_OK &&
		       same(out.data, size, text);
	sdes_secret_free(&out);
	return good;
}

static bool
run_vector(Token *t, const Vector *v)
{
	static const struct
	{
		const char *operation;
		bool (*run)(Token *t, const Vector *v);
	} operations[] = {
	    {"gcm", run_with_gcm}, {"kw", run_kw}, {"kwp", run_kwp}, {"oaep", run_oaep}};

	if (strcmp(v->operation, "oaep-label") == 0)
	{
		labelled++;
		printf("# not ours, it has a label: %s %s\n", v->source, v->number);
		return true;
	}
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
	{
		if (strcmp(v->operation, operations[i].operation) == 0)
			return operations[i].run(t, v);
	}
	return false;
}

static void
take_line(Token *t, char *line)
{
	Vector v;
	bool parsed = parse_line(line, &v);
	Source *source = find_source(parsed ? v.source : "a line that is no vector");

	source->run++;
	if (!parsed || !run_vector(t, &v))
	{
		source->failed++;
		printf("# failed: %s %s: %s\n", source->name, parsed ? v.number : "",
		       t->fault.detail);
	}
	for (int i = 0; i < v.nfields; i++)
		free((void *) (uintptr_t) v.fields[i].data);
}

void
vector_tests(void)
{
	const char *path = getenv("SDES_VECTORS");
	FILE *stream = path == NULL ? NULL : fopen(path, "r");
	Token *t = token_new();
	char *line = NULL;
	size_t room = 0;
	bool absent = false;

	check(stream != NULL, "the file of vectors is there");
	while (stream != NULL && getline(&line, &room, stream) > 0)
	{
		if (line[0] != '#')
			take_line(t, line);
		else
		{
			absent = true;
			fputs(line, stderr);
		}
	}
	free(line);
	if (stream != NULL)
		fclose(stream);
	for (int i = 0; i < nsources; i++)
		check(sources[i].failed == 0, "%s: %ld vectors", sources[i].name, sources[i].run);
	check(nsources == REQUIRED + (absent ? 0 : WYCHEPROOF), "no source is empty: %d",
	      nsources);
	check(fixture_is_nss() == (lacking == 0), "%ld vectors are of AES-KEY-WRAP-KWP, %s",
	      lacking, "which SoftHSM2 lacks");
	check(too_long == (!fixture_is_nss() ? 0
	                   : absent          ? 160
	                                     : 162),
	      "%ld vectors wrap more than %d bytes, which NSS does not", too_long,
	      NSS_SECRET_MAX);
	check(absent == (labelled == 0), "%ld vectors have a label", labelled);
	token_free(t);
}
