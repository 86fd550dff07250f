/*
 * aead_openssl.c
 *		AES-256-GCM over OpenSSL's EVP, with the expanded key kept.
 *
 * Invariant: both contexts are keyed once, in openssl_new(), and a call sets
 * the nonce alone; a new context per value would cost three times the cipher.
 * There is one context per direction because OpenSSL's key setup may depend on
 * the direction (it does on s390x), and a switch without a new key is not
 * documented.
 */
#include "crypto/provider.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>

typedef struct OpensslAead
{
	SdesAead base;
	EVP_CIPHER_CTX *sealer;
	EVP_CIPHER_CTX *opener;
} OpensslAead;

/* Fetched once per process; a second thread that fetches too lets go of its own. */
static const EVP_CIPHER *
aes_256_gcm(void)
{
	static EVP_CIPHER *kept;
	EVP_CIPHER *cipher = __atomic_load_n(&kept, __ATOMIC_ACQUIRE);
	EVP_CIPHER *fetched;

	if (cipher != NULL)
		return cipher;
	fetched = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	if (__atomic_compare_exchange_n(&kept, &cipher, fetched, false, __ATOMIC_ACQ_REL,
	                                __ATOMIC_ACQUIRE))
		return fetched;
	EVP_CIPHER_free(fetched);
	return cipher;
}

static void
openssl_free(SdesAead *base)
{
	OpensslAead *aead = (OpensslAead *) base;

	/* Each wipes its expanded key. */
	EVP_CIPHER_CTX_free(aead->sealer);
	EVP_CIPHER_CTX_free(aead->opener);
	OPENSSL_free(aead);
}

static SdesStatus
openssl_new(SdesAead **out, const uint8_t *key)
{
	const EVP_CIPHER *cipher = aes_256_gcm();
	OpensslAead *aead = cipher == NULL ? NULL : OPENSSL_zalloc(sizeof(*aead));

	if (aead == NULL)
	{
		ERR_clear_error();
		return cipher == NULL ? SDES_ERR_CRYPTO : SDES_ERR_MEMORY;
	}

	aead->base.by = &sdes_aead_openssl;
	aead->sealer = EVP_CIPHER_CTX_new();
	aead->opener = EVP_CIPHER_CTX_new();
	if (aead->sealer == NULL || aead->opener == NULL ||
	    EVP_EncryptInit_ex2(aead->sealer, cipher, key, NULL, NULL) != 1 ||
	    EVP_DecryptInit_ex2(aead->opener, cipher, key, NULL, NULL) != 1)
	{
		openssl_free(&aead->base);
		ERR_clear_error();
		return SDES_ERR_CRYPTO;
	}
	*out = &aead->base;
	return SDES_OK;
}

/*
 * Runs one message through a context that has its nonce. What is empty is left
 * out: EVP reads a null input pointer as a call of another kind.
 */
static bool
feed(EVP_CIPHER_CTX *ctx, SdesBytes aad, SdesBytes in, uint8_t *out)
{
	int done = 0;

	if (aad.size > 0 && EVP_CipherUpdate(ctx, NULL, &done, aad.data, (int) aad.size) != 1)
		return false;
	if (in.size == 0)
		return true;
	return EVP_CipherUpdate(ctx, out, &done, in.data, (int) in.size) == 1 &&
	       (size_t) done == in.size;
}

static SdesStatus
openssl_seal(SdesAead *base, const uint8_t *nonce, SdesBytes aad, SdesBytes plaintext,
             uint8_t *ciphertext, uint8_t *tag)
{
	EVP_CIPHER_CTX *sealer = ((OpensslAead *) base)->sealer;
	OSSL_PARAM params[2];
	uint8_t none[1];
	int done = 0;

	params[0] = OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag,
	                                              SDES_AEAD_TAG_SIZE);
	params[1] = OSSL_PARAM_construct_end();

	if (EVP_EncryptInit_ex2(sealer, NULL, NULL, nonce, NULL) != 1 ||
	    !feed(sealer, aad, plaintext, ciphertext) ||
	    EVP_EncryptFinal_ex(sealer, none, &done) != 1 || done != 0 ||
	    EVP_CIPHER_CTX_get_params(sealer, params) != 1)
		return SDES_ERR_CRYPTO;
	return SDES_OK;
}

/* SDES_ERR_TAG only where the cipher ran and the tag alone was wrong. */
static SdesStatus
openssl_open(SdesAead *base, SdesBytes aad, const SdesSealed *sealed, uint8_t *plaintext)
{
	EVP_CIPHER_CTX *opener = ((OpensslAead *) base)->opener;
	OSSL_PARAM params[2];
	uint8_t none[1];
	int done = 0;

	/* OpenSSL's type is not const, but a tag that is set is only read. */
	params[0] = OSSL_PARAM_construct_octet_string(
	    OSSL_CIPHER_PARAM_AEAD_TAG, (void *) (uintptr_t) sealed->tag, SDES_AEAD_TAG_SIZE);
	params[1] = OSSL_PARAM_construct_end();

	if (EVP_DecryptInit_ex2(opener, NULL, NULL, sealed->nonce, params) != 1 ||
	    !feed(opener, aad, sealed->ciphertext, plaintext))
		return SDES_ERR_CRYPTO;
	if (EVP_DecryptFinal_ex(opener, none, &done) != 1)
		return SDES_ERR_TAG;
	return done == 0 ? SDES_OK : SDES_ERR_CRYPTO;
}

const SdesAeadFunctions sdes_aead_openssl = {
    .create = openssl_new,
    .free = openssl_free,
    .seal = openssl_seal,
    .open = openssl_open,
};
