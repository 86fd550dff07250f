/*
 * mac.c
 *		HMAC-SHA-256, SHA-256 and constant-time comparison over OpenSSL's EVP; and
 *		kept keys by the provider that made them.
 *
 * Invariant: no key outlives a call, but in an SdesMac, whose purpose that is. A
 * context that is configured and fetched once, keyed with no key bytes, is copied
 * for each call or SdesMac, and the copy is wiped and freed; copying costs less
 * than configuring, and threads may share the original because it is only read.
 */
#include "crypto/mac.h"

#include "crypto/provider.h"
#include "crypto/secret.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

/* EVP takes a null key for "keep the last one", so no bytes need an address. */
static const uint8_t no_bytes[1];

static EVP_MAC_CTX *
hmac_configure(void)
{
	OSSL_PARAM params[2];
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	EVP_MAC_CTX *ctx = mac == NULL ? NULL : EVP_MAC_CTX_new(mac);

	params[0] =
	    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0);
	params[1] = OSSL_PARAM_construct_end();
	EVP_MAC_free(mac); /* the context holds it */
	if (ctx != NULL && EVP_MAC_init(ctx, no_bytes, 0, params) == 1)
		return ctx;
	EVP_MAC_CTX_free(ctx);
	return NULL;
}

/* A copy of the configured context, which the caller frees. */
static EVP_MAC_CTX *
hmac_context(void)
{
	static EVP_MAC_CTX *kept;
	EVP_MAC_CTX *seen = __atomic_load_n(&kept, __ATOMIC_ACQUIRE);
	EVP_MAC_CTX *configured;

	if (seen == NULL)
	{
		configured = hmac_configure();
		if (__atomic_compare_exchange_n(&kept, &seen, configured, false, __ATOMIC_ACQ_REL,
		                                __ATOMIC_ACQUIRE))
			seen = configured;
		else
			EVP_MAC_CTX_free(configured);
	}
	return seen == NULL ? NULL : EVP_MAC_CTX_dup(seen);
}

/* The MAC of a context that is keyed. */
static bool
hmac_run(EVP_MAC_CTX *ctx, const SdesBytes *pieces, int npieces, uint8_t *out)
{
	size_t size = 0;

	for (int i = 0; i < npieces; i++)
	{
		if (pieces[i].size > 0 && EVP_MAC_update(ctx, pieces[i].data, pieces[i].size) != 1)
			return false;
	}
	return EVP_MAC_final(ctx, out, &size, SDES_MAC_SIZE) == 1 && size == SDES_MAC_SIZE;
}

static bool
hmac_key(EVP_MAC_CTX *ctx, SdesBytes key)
{
	return ctx != NULL &&
	       EVP_MAC_init(ctx, key.size > 0 ? key.data : no_bytes, key.size, NULL) == 1;
}

static SdesStatus
hmac_failed(uint8_t *out)
{
	OPENSSL_cleanse(out, SDES_MAC_SIZE);
	ERR_clear_error();
	return SDES_ERR_CRYPTO;
}

SdesStatus
sdes_hmac_sha256(SdesBytes key, const SdesBytes *pieces, int npieces,
                 uint8_t out[SDES_MAC_SIZE])
{
	EVP_MAC_CTX *ctx = hmac_context();
	bool done = hmac_key(ctx, key) && hmac_run(ctx, pieces, npieces, out);

	EVP_MAC_CTX_free(ctx);
	return done ? SDES_OK : hmac_failed(out);
}

/* ---- a kept key ---- */

typedef struct OpensslMac
{
	SdesMac base;
	EVP_MAC_CTX *ctx; /* holds the key's two hash states and nothing else of it */
} OpensslMac;

static void
openssl_free(SdesMac *base)
{
	EVP_MAC_CTX_free(((OpensslMac *) base)->ctx);
	OPENSSL_free(base);
}

static SdesStatus
openssl_new(SdesMac **out, SdesBytes key)
{
	OpensslMac *mac = OPENSSL_zalloc(sizeof(*mac));

	if (mac == NULL)
	{
		ERR_clear_error();
		return SDES_ERR_MEMORY;
	}
	mac->base.by = &sdes_mac_openssl;
	mac->ctx = hmac_context();
	if (!hmac_key(mac->ctx, key))
	{
		openssl_free(&mac->base);
		ERR_clear_error();
		return SDES_ERR_CRYPTO;
	}
	*out = &mac->base;
	return SDES_OK;
}

static SdesStatus
openssl_run(SdesMac *base, const SdesBytes *pieces, int npieces, uint8_t *out)
{
	EVP_MAC_CTX *ctx = ((OpensslMac *) base)->ctx;

	/* No key: the one it has, from the start. */
	if (EVP_MAC_init(ctx, NULL, 0, NULL) == 1 && hmac_run(ctx, pieces, npieces, out))
		return SDES_OK;
	return hmac_failed(out);
}

const SdesMacFunctions sdes_mac_openssl = {
    .create = openssl_new,
    .free = openssl_free,
    .run = openssl_run,
};

SdesStatus
sdes_mac_new(SdesMac **out, SdesBytes key)
{
	const SdesProvider *provider = sdes_provider_in_use();
	SdesStatus status;

	*out = NULL;
	if (provider == NULL)
		return SDES_ERR_CRYPTO;
	status = provider->mac->create(out, key);
	if (status == SDES_ERR_LOCKED_MEMORY)
		status = sdes_mac_openssl.create(out, key);
	return status;
}

SdesStatus
sdes_mac(SdesMac *mac, const SdesBytes *pieces, int npieces, uint8_t out[SDES_MAC_SIZE])
{
	return mac->by->run(mac, pieces, npieces, out);
}

void
sdes_mac_free(SdesMac *mac)
{
	if (mac == NULL)
		return;
	mac->by->free(mac);
	sdes_wipe_registers();
}

/* ---- SHA-256 ---- */

/* Fetched once per process; a second thread that fetches too lets go of its own. */
static const EVP_MD *
sha256(void)
{
	static EVP_MD *kept;
	EVP_MD *digest = __atomic_load_n(&kept, __ATOMIC_ACQUIRE);
	EVP_MD *fetched;

	if (digest != NULL)
		return digest;
	fetched = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (__atomic_compare_exchange_n(&kept, &digest, fetched, false, __ATOMIC_ACQ_REL,
	                                __ATOMIC_ACQUIRE))
		return fetched;
	EVP_MD_free(fetched);
	return digest;
}

static bool
digest_run(EVP_MD_CTX *ctx, const SdesBytes *pieces, int npieces, uint8_t *out)
{
	unsigned int size = 0;

	if (EVP_DigestInit_ex2(ctx, sha256(), NULL) != 1)
		return false;
	for (int i = 0; i < npieces; i++)
	{
		if (pieces[i].size > 0 &&
		    EVP_DigestUpdate(ctx, pieces[i].data, pieces[i].size) != 1)
			return false;
	}
	return EVP_DigestFinal_ex(ctx, out, &size) == 1 && size == SDES_DIGEST_SIZE;
}

SdesStatus
sdes_sha256(const SdesBytes *pieces, int npieces, uint8_t out[SDES_DIGEST_SIZE])
{
	EVP_MD_CTX *ctx = sha256() == NULL ? NULL : EVP_MD_CTX_new();
	bool done = ctx != NULL && digest_run(ctx, pieces, npieces, out);

	EVP_MD_CTX_free(ctx);
	if (done)
		return SDES_OK;
	OPENSSL_cleanse(out, SDES_DIGEST_SIZE);
	ERR_clear_error();
	return SDES_ERR_CRYPTO;
}

bool
sdes_equal(const void *a, const void *b, size_t size)
{
	return size == 0 || CRYPTO_memcmp(a, b, size) == 0;
}
