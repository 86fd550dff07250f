/*
 * pkcs11_rsa.c
 *		RSAES-OAEP with SHA-256 and MGF1-SHA-256 (RFC 8017, section 7.1), label
 *		empty: encrypted here under the public key, decrypted in the token.
 *
 * Invariant: the public key is made of what the private object in the token
 * says, never of a public one, which anybody with a session could have put
 * there. Padding is put on and taken off here (modules differ in the hashes
 * they know), in locked memory: the padded message is as good as the message.
 */
#include "hsm/pkcs11.h"

#include "crypto/public_key.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#define RSA_SIZE SDES_PKCS11_RSA_SIZE

static SdesStatus
read_public_key(const SdesPkcs11Context *c, EVP_PKEY **out, SdesHsmFault *fault)
{
	uint8_t modulus[RSA_SIZE];
	SdesStatus status =
	    sdes_pkcs11_read_modulus(c->hsm, c->handle, c->key->handle, modulus, fault);

	*out = NULL;
	if (status != SDES_OK)
		return status;
	status = sdes_public_key_new(SDES_BYTES_OF(modulus), out);
	return status == SDES_OK ? SDES_OK : sdes_hsm_fault(fault, status, "no public RSA key");
}

typedef int (*RawOperation)(EVP_PKEY_CTX *ctx, unsigned char *out, size_t *out_size,
                            const unsigned char *in, size_t in_size);

/* RSAEP or RSADP, section 5.1: size bytes to size bytes. */
static bool
raw(EVP_PKEY *key, int (*init)(EVP_PKEY_CTX *), RawOperation operation, const uint8_t *in,
    uint8_t *out)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	size_t size = RSA_SIZE;
	bool done = ctx != NULL && init(ctx) == 1 &&
	            EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1 &&
	            operation(ctx, out, &size, in, RSA_SIZE) == 1 && size == RSA_SIZE;

	EVP_PKEY_CTX_free(ctx);
	return done;
}

/*
 * EVP pads by itself, but in memory that it neither locks nor wipes. The two
 * functions are deprecated only because they belong to no key.
 */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static bool
pad(SdesBytes message, SdesSecret *padded)
{
	return message.size <= RSA_SIZE &&
	       RSA_padding_add_PKCS1_OAEP_mgf1(padded->data, RSA_SIZE, message.data,
	                                       (int) message.size, NULL, 0, EVP_sha256(),
	                                       EVP_sha256()) == 1;
}

static bool
unpad(const SdesSecret *padded, SdesSecret *message, size_t *size)
{
	int length = RSA_padding_check_PKCS1_OAEP_mgf1(message->data, (int) message->size,
	                                               padded->data, RSA_SIZE, RSA_SIZE, NULL,
	                                               0, EVP_sha256(), EVP_sha256());

	*size = length < 0 ? 0 : (size_t) length;
	return length >= 0;
}

#pragma GCC diagnostic pop

static SdesStatus
encrypt_under(EVP_PKEY *key, SdesBytes message, uint8_t ciphertext[RSA_SIZE],
              SdesHsmFault *fault)
{
	SdesSecret padded;
	SdesStatus status = sdes_secret_new(&padded, RSA_SIZE);

	if (status != SDES_OK)
		return sdes_hsm_fault(fault, status, "no locked memory");
	if (!pad(message, &padded) ||
	    !raw(key, EVP_PKEY_encrypt_init, EVP_PKEY_encrypt, padded.data, ciphertext))
		status = sdes_hsm_fault(fault, SDES_ERR_CRYPTO, "RSA-OAEP failed");
	sdes_secret_free(&padded);
	ERR_clear_error();
	return status;
}

SdesStatus
sdes_pkcs11_oaep_encrypt(const SdesPkcs11Context *context, SdesBytes message,
                         uint8_t ciphertext[RSA_SIZE], SdesHsmFault *fault)
{
	EVP_PKEY *key;
	SdesStatus status = read_public_key(context, &key, fault);

	if (status == SDES_OK)
		status = encrypt_under(key, message, ciphertext, fault);
	EVP_PKEY_free(key);
	return status;
}

/* A number that is not below the modulus is no ciphertext (section 5.1.2, step 1). */
static SdesStatus
check_range(const SdesPkcs11Context *c, SdesBytes ciphertext, SdesHsmFault *fault)
{
	uint8_t modulus[RSA_SIZE];
	SdesStatus status =
	    sdes_pkcs11_read_modulus(c->hsm, c->handle, c->key->handle, modulus, fault);

	if (status == SDES_OK &&
	    (ciphertext.size != RSA_SIZE || memcmp(ciphertext.data, modulus, RSA_SIZE) >= 0))
		status = sdes_hsm_fault(fault, SDES_ERR_TAG, "what was wrapped is not authentic");
	return status;
}

/*
 * The same operation without libp11, which lists no keys at all while the token
 * has one of a type it does not know: 0.4.12 fails beside any Ed25519 key.
 */
static SdesStatus
raw_in_session(const SdesPkcs11Context *c, SdesBytes ciphertext, SdesSecret *padded,
               SdesHsmFault *fault)
{
	CK_MECHANISM mechanism = {CKM_RSA_X_509, NULL, 0};
	CK_ULONG size = padded->size;
	CK_RV rv = c->hsm->p11->C_DecryptInit(c->handle, &mechanism, c->key->handle);

	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_DecryptInit", rv);
	rv = c->hsm->p11->C_Decrypt(c->handle, (CK_BYTE_PTR) (uintptr_t) ciphertext.data,
	                            ciphertext.size, padded->data, &size);
	if (rv != CKR_OK)
		return sdes_pkcs11_failed(fault, "C_Decrypt", rv);
	return size == RSA_SIZE ? SDES_OK
	                        : sdes_hsm_fault(fault, SDES_ERR_HSM,
	                                         "C_Decrypt wrote %lu bytes where %d were due",
	                                         size, RSA_SIZE);
}

/*
 * libp11 0.4.21 decrypts nothing but OAEP with SHA-1 by an EVP_PKEY. Then it has not
 * asked the module, and says nothing; what the module answers is in OpenSSL's queue.
 */
static SdesStatus
raw_by_libp11(const SdesPkcs11Context *c, SdesBytes ciphertext, SdesSecret *padded,
              SdesHsmFault *fault)
{
	SdesStatus status = sdes_pkcs11_rsa_open_key(c->hsm, c->key, fault);

	ERR_clear_error();
	if (status != SDES_OK)
		return fault->lost ? status : raw_in_session(c, ciphertext, padded, fault);
	if (raw(c->key->private_key, EVP_PKEY_decrypt_init, EVP_PKEY_decrypt, ciphertext.data,
	        padded->data))
		return SDES_OK;
	return ERR_peek_error() == 0 ? raw_in_session(c, ciphertext, padded, fault)
	                             : sdes_pkcs11_openssl_failed(fault, "C_Decrypt");
}

static SdesStatus
decrypt_into(const SdesPkcs11Context *c, SdesBytes ciphertext, SdesSecret *padded,
             SdesSecret *message, size_t *size, SdesHsmFault *fault)
{
	SdesStatus status = raw_by_libp11(c, ciphertext, padded, fault);

	if (status == SDES_OK && !unpad(padded, message, size))
		status = sdes_hsm_fault(fault, SDES_ERR_TAG, "what was wrapped is not authentic");
	ERR_clear_error();
	return status;
}

SdesStatus
sdes_pkcs11_oaep_decrypt(const SdesPkcs11Context *context, SdesBytes ciphertext,
                         SdesSecret *message, size_t *size, SdesHsmFault *fault)
{
	SdesSecret padded;
	SdesStatus status = check_range(context, ciphertext, fault);

	*size = 0;
	if (status != SDES_OK)
		return status;
	status = sdes_secret_new(&padded, RSA_SIZE);
	if (status != SDES_OK)
		return sdes_hsm_fault(fault, status, "no locked memory");
	status = decrypt_into(context, ciphertext, &padded, message, size, fault);
	sdes_secret_free(&padded);
	return status;
}

SdesStatus
sdes_pkcs11_oaep_wrap(const SdesPkcs11Context *context, SdesBytes payload, SdesWriter *out,
                      SdesHsmFault *fault)
{
	uint8_t ciphertext[RSA_SIZE];
	SdesStatus status = sdes_pkcs11_oaep_encrypt(context, payload, ciphertext, fault);

	if (status == SDES_OK)
		sdes_write_bytes(out, SDES_BYTES_OF(ciphertext));
	return status;
}

SdesStatus
sdes_pkcs11_oaep_unwrap(const SdesPkcs11Context *context, SdesReader *in,
                        SdesSecret *payload, SdesHsmFault *fault)
{
	SdesBytes ciphertext = sdes_read_bytes(in, RSA_SIZE);
	SdesSecret message;
	size_t size;
	SdesStatus status;

	if (!sdes_read_complete(in))
		return sdes_hsm_fault(fault, SDES_ERR_FORMAT, "the wrapped key's length is wrong");
	status = sdes_secret_new(&message, RSA_SIZE);
	if (status != SDES_OK)
		return sdes_hsm_fault(fault, status, "no locked memory");
	status = sdes_pkcs11_oaep_decrypt(context, ciphertext, &message, &size, fault);
	if (status == SDES_OK && size != payload->size)
		status = sdes_hsm_fault(fault, SDES_ERR_TAG, "what was wrapped is not authentic");
	if (status == SDES_OK)
		memcpy(payload->data, message.data, payload->size);
	sdes_secret_free(&message);
	return status;
}
