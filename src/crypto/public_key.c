/*
 * public_key.c
 *		Public keys of others, RSA and P-256.
 */
#include "crypto/public_key.h"

#include "crypto/secret.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#define OAEP_OVERHEAD 66 /* 2 * 32 + 2: RFC 8017, section 7.1.1 */

/* NULL unless all goes well. */
static EVP_PKEY *
key_of_params(const char *type, OSSL_PARAM *params)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *key = NULL;

	if (ctx != NULL && params != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
		EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static EVP_PKEY *
key_of(const BIGNUM *n, const BIGNUM *e)
{
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key;

	if (builder != NULL && n != NULL && e != NULL &&
	    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
	    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) == 1)
		params = OSSL_PARAM_BLD_to_param(builder);
	key = key_of_params("RSA", params);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(builder);
	return key;
}

SdesStatus
sdes_public_key_new(SdesBytes modulus, SdesPublicKey **out)
{
	BIGNUM *n = BN_bin2bn(modulus.data, (int) modulus.size, NULL);
	BIGNUM *e = BN_new();

	*out = NULL;
	if (n != NULL && e != NULL && BN_set_word(e, RSA_F4) == 1)
		*out = key_of(n, e);
	BN_free(n);
	BN_free(e);
	ERR_clear_error();
	if (*out == NULL)
		return SDES_ERR_CRYPTO;
	if (sdes_public_key_fits(*out))
		return SDES_OK;
	sdes_public_key_free(*out);
	*out = NULL;
	return SDES_ERR_FORMAT;
}

SdesStatus
sdes_public_key_of_point(SdesBytes point, SdesPublicKey **out)
{
	char curve[] = SN_X9_62_prime256v1;
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, curve, 0),
	    OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
	                                      (void *) (uintptr_t) point.data, point.size),
	    OSSL_PARAM_END,
	};

	*out = point.size == SDES_P256_POINT_SIZE ? key_of_params("EC", params) : NULL;
	ERR_clear_error();
	return *out != NULL ? SDES_OK : SDES_ERR_FORMAT;
}

static bool
is_p256(const EVP_PKEY *key)
{
	char curve[32] = "";

	return EVP_PKEY_is_a(key, "EC") &&
	       EVP_PKEY_get_group_name(key, curve, sizeof(curve), NULL) == 1 &&
	       strcmp(curve, SN_X9_62_prime256v1) == 0;
}

SdesStatus
sdes_public_key_read(SdesBytes info, SdesPublicKey **out)
{
	const unsigned char *at = info.data;

	*out = d2i_PUBKEY(NULL, &at, (long) info.size);
	ERR_clear_error();
	if (*out != NULL && at == info.data + info.size &&
	    (is_p256(*out) || sdes_public_key_fits(*out)))
		return SDES_OK;
	sdes_public_key_free(*out);
	*out = NULL;
	return SDES_ERR_FORMAT;
}

SdesStatus
sdes_public_key_write(const SdesPublicKey *key, uint8_t *out, size_t *size)
{
	unsigned char *at = out;
	int used = i2d_PUBKEY(key, NULL);

	if (used > 0 && (size_t) used > *size)
		return SDES_ERR_TOO_LONG;
	used = used > 0 ? i2d_PUBKEY(key, &at) : 0;
	ERR_clear_error();
	*size = used > 0 ? (size_t) used : 0;
	return used > 0 ? SDES_OK : SDES_ERR_CRYPTO;
}

void
sdes_public_key_free(SdesPublicKey *key)
{
	EVP_PKEY_free(key);
}

/* FIPS 186-5, section 5.1: odd, and greater than 2^16. */
static bool
exponent_fits(const EVP_PKEY *key)
{
	BIGNUM *e = NULL;
	bool fits = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 &&
	            BN_num_bits(e) > 16 && BN_is_odd(e);

	BN_free(e);
	return fits;
}

bool
sdes_public_key_fits(const SdesPublicKey *key)
{
	int bits = EVP_PKEY_get_bits(key);

	/* RSA-PSS keys, which may not encrypt, are another type. */
	return EVP_PKEY_is_a(key, "RSA") && bits >= SDES_RSA_BITS_MIN &&
	       bits <= SDES_RSA_BITS_MAX && bits % 8 == 0 && exponent_fits(key);
}

size_t
sdes_public_key_size(const SdesPublicKey *key)
{
	return (size_t) EVP_PKEY_get_bits(key) / 8;
}

/* EVP pads by itself, but in memory that it neither locks nor wipes. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static bool
pad(SdesBytes message, SdesSecret *padded)
{
	return RSA_padding_add_PKCS1_OAEP_mgf1(padded->data, (int) padded->size, message.data,
	                                       (int) message.size, NULL, 0, EVP_sha256(),
	                                       EVP_sha256()) == 1;
}

#pragma GCC diagnostic pop

/* RSAEP, section 5.1.1. */
static bool
raise_padded(EVP_PKEY *key, const SdesSecret *padded, uint8_t *out)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	size_t size = padded->size;
	bool done = ctx != NULL && EVP_PKEY_encrypt_init(ctx) == 1 &&
	            EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1 &&
	            EVP_PKEY_encrypt(ctx, out, &size, padded->data, padded->size) == 1 &&
	            size == padded->size;

	EVP_PKEY_CTX_free(ctx);
	return done;
}

SdesStatus
sdes_public_key_encrypt(SdesPublicKey *key, SdesBytes message, uint8_t *out)
{
	size_t size = sdes_public_key_size(key);
	SdesSecret padded;
	SdesStatus status;

	if (message.size + OAEP_OVERHEAD > size)
		return SDES_ERR_TOO_LONG;
	status = sdes_secret_new(&padded, size);
	if (status != SDES_OK)
		return status;
	if (!pad(message, &padded) || !raise_padded(key, &padded, out))
		status = SDES_ERR_CRYPTO;
	sdes_secret_free(&padded);
	ERR_clear_error();
	return status;
}

static bool
verify_with(EVP_PKEY *key, int padding, const uint8_t digest[SDES_DIGEST_SIZE],
            SdesBytes signature)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	bool good =
	    ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
	    (padding == 0 || EVP_PKEY_CTX_set_rsa_padding(ctx, padding) == 1) &&
	    EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
	    EVP_PKEY_verify(ctx, signature.data, signature.size, digest, SDES_DIGEST_SIZE) == 1;

	EVP_PKEY_CTX_free(ctx);
	return good;
}

/* OpenSSL has r and s in DER (RFC 3279, section 2.2.3). */
static bool
verify_p256(EVP_PKEY *key, const uint8_t digest[SDES_DIGEST_SIZE], SdesBytes signature)
{
	const int half = SDES_P256_SIGNATURE_SIZE / 2;
	ECDSA_SIG *pair = ECDSA_SIG_new();
	BIGNUM *r = NULL, *s = NULL;
	unsigned char *der = NULL;
	int size = 0;
	bool good;

	if (signature.size == SDES_P256_SIGNATURE_SIZE)
	{
		r = BN_bin2bn(signature.data, half, NULL);
		s = BN_bin2bn(signature.data + half, half, NULL);
	}
	if (pair != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1)
	{
		r = s = NULL; /* the pair's */
		size = i2d_ECDSA_SIG(pair, &der);
	}
	good = size > 0 && verify_with(key, 0, digest, sdes_bytes(der, (size_t) size));
	OPENSSL_free(der);
	ECDSA_SIG_free(pair);
	BN_free(r);
	BN_free(s);
	return good;
}

SdesStatus
sdes_public_key_verify(SdesPublicKey *key, const uint8_t digest[SDES_DIGEST_SIZE],
                       SdesBytes signature)
{
	bool good = is_p256(key) ? verify_p256(key, digest, signature)
	                         : verify_with(key, RSA_PKCS1_PADDING, digest, signature);

	ERR_clear_error();
	return good ? SDES_OK : SDES_ERR_TAG;
}
