/*
 * kem.c
 *		ML-KEM-768 by OpenSSL, which is asked at run time: the functions are those of
 *		3.0, the algorithm comes with 3.5.
 *
 * A private key lives in OpenSSL's memory, on the plain heap, for one call.
 */
#include "parcel/kem.h"

#include "crypto/kdf.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#define ALGORITHM  "ML-KEM-768"
#define SEED_SIZE  64
#define SEED_PARAM "seed" /* OSSL_PKEY_PARAM_ML_KEM_SEED, which 3.0's headers lack */

/* Without the terminating zero. */
static const char seed_label[] = "sdes/v1/ml-kem-768";

bool
sdes_kem_available(void)
{
	EVP_KEM *kem = EVP_KEM_fetch(NULL, ALGORITHM, NULL);
	bool available = kem != NULL;

	EVP_KEM_free(kem);
	ERR_clear_error();
	return available;
}

/* A key of one octet string; NULL when it is none. */
static EVP_PKEY *
key_of(const char *param, SdesBytes bytes, int selection)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, ALGORITHM, NULL);
	OSSL_PARAM params[2] = {OSSL_PARAM_construct_octet_string(
	                            param, (void *) (uintptr_t) bytes.data, bytes.size),
	                        OSSL_PARAM_construct_end()};
	EVP_PKEY *key = NULL;

	if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
		EVP_PKEY_fromdata(ctx, &key, selection, params);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

/* The private key of a root, which the caller frees. */
static SdesStatus
private_key(SdesBytes root, EVP_PKEY **out)
{
	SdesBytes info = sdes_bytes(seed_label, sizeof(seed_label) - 1);
	SdesSecret seed;
	SdesStatus status;

	*out = NULL;
	if (!sdes_kem_available())
		return SDES_ERR_SUITE;
	status = sdes_secret_new(&seed, SEED_SIZE);
	if (status != SDES_OK)
		return status;
	status = sdes_hkdf_sha256(root, sdes_bytes(NULL, 0), &info, 1, seed.data, seed.size);
	if (status == SDES_OK)
	{
		*out = key_of(SEED_PARAM, sdes_secret_bytes(&seed), EVP_PKEY_KEYPAIR);
		status = *out != NULL ? SDES_OK : SDES_ERR_CRYPTO;
	}
	sdes_secret_free(&seed);
	ERR_clear_error();
	return status;
}

SdesStatus
sdes_kem_public(SdesBytes root, uint8_t out[SDES_KEM_PUBLIC_SIZE])
{
	EVP_PKEY *key;
	SdesStatus status = private_key(root, &key);
	size_t size = 0;

	if (status == SDES_OK &&
	    (EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, out,
	                                     SDES_KEM_PUBLIC_SIZE, &size) != 1 ||
	     size != SDES_KEM_PUBLIC_SIZE))
		status = SDES_ERR_CRYPTO;
	EVP_PKEY_free(key);
	ERR_clear_error();
	return status;
}

SdesStatus
sdes_kem_encapsulate(const uint8_t public_key[SDES_KEM_PUBLIC_SIZE],
                     uint8_t ciphertext[SDES_KEM_CIPHERTEXT_SIZE], uint8_t *secret)
{
	size_t size = SDES_KEM_CIPHERTEXT_SIZE, secret_size = SDES_KEM_SECRET_SIZE;
	EVP_PKEY_CTX *ctx = NULL;
	EVP_PKEY *key;
	SdesStatus status = SDES_OK;

	if (!sdes_kem_available())
		return SDES_ERR_SUITE;
	key = key_of(OSSL_PKEY_PARAM_PUB_KEY, sdes_bytes(public_key, SDES_KEM_PUBLIC_SIZE),
	             EVP_PKEY_PUBLIC_KEY);
	if (key == NULL)
		status = SDES_ERR_FORMAT;
	else
		ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	if (status == SDES_OK &&
	    (ctx == NULL || EVP_PKEY_encapsulate_init(ctx, NULL) != 1 ||
	     EVP_PKEY_encapsulate(ctx, ciphertext, &size, secret, &secret_size) != 1 ||
	     size != SDES_KEM_CIPHERTEXT_SIZE || secret_size != SDES_KEM_SECRET_SIZE))
		status = SDES_ERR_CRYPTO;
	EVP_PKEY_CTX_free(ctx);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return status;
}

static SdesStatus
decapsulate(EVP_PKEY *key, const uint8_t ciphertext[SDES_KEM_CIPHERTEXT_SIZE],
            uint8_t *secret)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	size_t size = SDES_KEM_SECRET_SIZE;
	bool done = ctx != NULL && EVP_PKEY_decapsulate_init(ctx, NULL) == 1 &&
	            EVP_PKEY_decapsulate(ctx, secret, &size, ciphertext,
	                                 SDES_KEM_CIPHERTEXT_SIZE) == 1 &&
	            size == SDES_KEM_SECRET_SIZE;

	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return done ? SDES_OK : SDES_ERR_CRYPTO;
}

SdesStatus
sdes_kem_decapsulate(SdesBytes root, const uint8_t ciphertext[SDES_KEM_CIPHERTEXT_SIZE],
                     uint8_t *secret)
{
	EVP_PKEY *key;
	SdesStatus status = private_key(root, &key);

	if (status == SDES_OK)
		status = decapsulate(key, ciphertext, secret);
	EVP_PKEY_free(key);
	return status;
}

SdesStatus
sdes_kem_decapsulate_seed(SdesBytes seed,
                          const uint8_t ciphertext[SDES_KEM_CIPHERTEXT_SIZE],
                          uint8_t *secret)
{
	EVP_PKEY *key;
	SdesStatus status = SDES_ERR_FORMAT;

	if (!sdes_kem_available())
		return SDES_ERR_SUITE;
	key = key_of(SEED_PARAM, seed, EVP_PKEY_KEYPAIR);
	if (key != NULL)
		status = decapsulate(key, ciphertext, secret);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return status;
}
