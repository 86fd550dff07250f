/*
 * aead.c
 *		AES-256-GCM over OpenSSL's EVP, with the expanded key kept.
 *
 * Invariant: both contexts are keyed once, in sdes_aead_new(), and a call sets
 * the nonce alone; a new context per value would cost three times the cipher.
 * There is one context per direction because OpenSSL's key setup may depend on
 * the direction (it does on s390x), and a switch without a new key is not
 * documented.
 *
 * A failure clears OpenSSL's error queue: TLS code in the same thread must not
 * find our errors in it.
 */
#include "crypto/aead.h"

#include "crypto/secret.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

struct SdesAead
{
	EVP_CIPHER_CTX *sealer;
	EVP_CIPHER_CTX *opener;
};

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

SdesStatus
sdes_aead_new(SdesAead **out, SdesBytes key)
{
	const EVP_CIPHER *cipher = aes_256_gcm();
	SdesAead *aead;

	*out = NULL;
	if (cipher == NULL || key.size != SDES_AEAD_KEY_SIZE)
	{
		ERR_clear_error();
		return SDES_ERR_CRYPTO;
	}
	aead = OPENSSL_zalloc(sizeof(*aead));
	if (aead == NULL)
	{
		ERR_clear_error();
		return SDES_ERR_MEMORY;
	}

	aead->sealer = EVP_CIPHER_CTX_new();
	aead->opener = EVP_CIPHER_CTX_new();
	if (aead->sealer == NULL || aead->opener == NULL ||
	    EVP_EncryptInit_ex2(aead->sealer, cipher, key.data, NULL, NULL) != 1 ||
	    EVP_DecryptInit_ex2(aead->opener, cipher, key.data, NULL, NULL) != 1)
	{
		sdes_aead_free(aead);
		ERR_clear_error();
		return SDES_ERR_CRYPTO;
	}
	*out = aead;
	return SDES_OK;
}

void
sdes_aead_free(SdesAead *aead)
{
	if (aead == NULL)
		return;
	/* Each wipes its expanded key. */
	EVP_CIPHER_CTX_free(aead->sealer);
	EVP_CIPHER_CTX_free(aead->opener);
	OPENSSL_free(aead);
	sdes_wipe_registers();
}

/* Every size fits OpenSSL's int. */
static bool
sizes_fit(const SdesBytes *aad, int naad, size_t text)
{
	for (int i = 0; i < naad; i++)
	{
		if (aad[i].size > SDES_AEAD_MAX_SIZE)
			return false;
	}
	return text <= SDES_AEAD_MAX_SIZE;
}

/*
 * Runs one message through a context that has its nonce. Empty pieces are left
 * out: EVP reads a null input pointer as a call of another kind.
 */
static bool
feed(EVP_CIPHER_CTX *ctx, const SdesBytes *aad, int naad, SdesBytes in, uint8_t *out)
{
	int done = 0;

	for (int i = 0; i < naad; i++)
	{
		if (aad[i].size > 0 &&
		    EVP_CipherUpdate(ctx, NULL, &done, aad[i].data, (int) aad[i].size) != 1)
			return false;
	}
	if (in.size == 0)
		return true;
	return EVP_CipherUpdate(ctx, out, &done, in.data, (int) in.size) == 1 &&
	       (size_t) done == in.size;
}

SdesStatus
sdes_aead_seal(SdesAead *aead, const uint8_t nonce[SDES_NONCE_SIZE], const SdesBytes *aad,
               int naad, SdesBytes plaintext, uint8_t *ciphertext,
               uint8_t tag[SDES_AEAD_TAG_SIZE])
{
	OSSL_PARAM params[2];
	uint8_t none[1];
	int done = 0;

	if (!sizes_fit(aad, naad, plaintext.size))
		return SDES_ERR_TOO_LONG;
	params[0] = OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag,
	                                              SDES_AEAD_TAG_SIZE);
	params[1] = OSSL_PARAM_construct_end();

	if (EVP_EncryptInit_ex2(aead->sealer, NULL, NULL, nonce, NULL) != 1 ||
	    !feed(aead->sealer, aad, naad, plaintext, ciphertext) ||
	    EVP_EncryptFinal_ex(aead->sealer, none, &done) != 1 || done != 0 ||
	    EVP_CIPHER_CTX_get_params(aead->sealer, params) != 1)
	{
		ERR_clear_error();
		return SDES_ERR_CRYPTO;
	}
	return SDES_OK;
}

/* SDES_ERR_TAG only where the cipher ran and the tag alone was wrong. */
static SdesStatus
open_unwiped(SdesAead *aead, const SdesBytes *aad, int naad, const SdesSealed *sealed,
             uint8_t *plaintext)
{
	OSSL_PARAM params[2];
	uint8_t none[1];
	int done = 0;

	/* OpenSSL's type is not const, but a tag that is set is only read. */
	params[0] = OSSL_PARAM_construct_octet_string(
	    OSSL_CIPHER_PARAM_AEAD_TAG, (void *) (uintptr_t) sealed->tag, SDES_AEAD_TAG_SIZE);
	params[1] = OSSL_PARAM_construct_end();

	if (EVP_DecryptInit_ex2(aead->opener, NULL, NULL, sealed->nonce, params) != 1 ||
	    !feed(aead->opener, aad, naad, sealed->ciphertext, plaintext))
		return SDES_ERR_CRYPTO;
	if (EVP_DecryptFinal_ex(aead->opener, none, &done) != 1)
		return SDES_ERR_TAG;
	return done == 0 ? SDES_OK : SDES_ERR_CRYPTO;
}

SdesStatus
sdes_aead_open(SdesAead *aead, const SdesBytes *aad, int naad, const SdesSealed *sealed,
               uint8_t *plaintext)
{
	SdesStatus status;

	if (!sizes_fit(aad, naad, sealed->ciphertext.size))
		return SDES_ERR_TOO_LONG;
	status = open_unwiped(aead, aad, naad, sealed, plaintext);
	if (status != SDES_OK)
	{
		if (sealed->ciphertext.size > 0)
			OPENSSL_cleanse(plaintext, sealed->ciphertext.size);
		ERR_clear_error();
	}
	return status;
}
