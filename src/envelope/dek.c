/*
 * dek.c
 *		What is derived from a data encryption key.
 *
 * Invariant: a key is expanded for use only after its commitment, recomputed
 * over every field of its row, was found equal. The labels are frozen with
 * the envelope's format: another label is another key.
 */
#include "envelope/dek.h"
#include "crypto/kdf.h"
#include "crypto/mac.h"

#include <openssl/crypto.h>

/* Without the terminating zero. */
static const char seal_label[] = "sdes/v1/seal";
static const char search_label[] = "sdes/v1/search";
static const char commitment_label[] = "sdes/v1/commitment";

#define LABEL(text) sdes_bytes(text, sizeof(text) - 1)

void
sdes_dek_binding_encode(const SdesDekBinding *binding, uint8_t out[SDES_DEK_BINDING_SIZE])
{
	SdesWriter w = sdes_writer(out, SDES_DEK_BINDING_SIZE);

	sdes_write_bytes(&w, SDES_BYTES_OF(binding->key_id));
	sdes_write_bytes(&w, SDES_BYTES_OF(binding->bucket));
	sdes_write_u32(&w, binding->version);
	sdes_write_u8(&w, binding->purpose);
	sdes_write_u8(&w, binding->mode);
	sdes_write_bytes(&w, SDES_BYTES_OF(binding->kek_id));
}

bool
sdes_dek_binding_decode(SdesBytes bytes, SdesDekBinding *out)
{
	SdesReader r = sdes_reader(bytes);

	sdes_read_into(&r, out->key_id, SDES_KEY_ID_SIZE);
	sdes_read_into(&r, out->bucket, SDES_UUID_SIZE);
	out->version = sdes_read_u32(&r);
	out->purpose = sdes_read_u8(&r);
	out->mode = sdes_read_u8(&r);
	sdes_read_into(&r, out->kek_id, SDES_KEK_ID_SIZE);
	return sdes_read_complete(&r) && out->purpose >= SDES_PURPOSE_DATA &&
	       out->purpose <= SDES_PURPOSE_PARCEL && out->mode >= SDES_MODE_CACHED &&
	       out->mode <= SDES_MODE_HSM;
}

SdesStatus
sdes_dek_commitment(SdesBytes dek, const SdesDekBinding *binding,
                    uint8_t out[SDES_COMMITMENT_SIZE])
{
	uint8_t encoded[SDES_DEK_BINDING_SIZE];
	SdesBytes info[2] = {LABEL(commitment_label), SDES_BYTES_OF(encoded)};

	if (dek.size != SDES_DEK_SIZE)
		return SDES_ERR_FORMAT;
	sdes_dek_binding_encode(binding, encoded);
	return sdes_hkdf_sha256(dek, sdes_bytes(NULL, 0), info, 2, out, SDES_COMMITMENT_SIZE);
}

/* The key under a label, in *out, which the caller frees. */
static SdesStatus
derive(SdesBytes dek, SdesBytes info, SdesSecret *out)
{
	SdesStatus status;

	*out = (SdesSecret){NULL, 0};
	if (dek.size != SDES_DEK_SIZE)
		return SDES_ERR_FORMAT;
	status = sdes_secret_new(out, SDES_AEAD_KEY_SIZE);
	if (status != SDES_OK)
		return status;
	status = sdes_hkdf_sha256(dek, sdes_bytes(NULL, 0), &info, 1, out->data, out->size);
	if (status != SDES_OK)
		sdes_secret_free(out);
	return status;
}

SdesStatus
sdes_dek_sealing_key(SdesBytes dek, SdesSecret *out)
{
	return derive(dek, LABEL(seal_label), out);
}

SdesStatus
sdes_dek_check(SdesBytes dek, const SdesDekBinding *binding,
               const uint8_t commitment[SDES_COMMITMENT_SIZE])
{
	uint8_t actual[SDES_COMMITMENT_SIZE];
	SdesStatus status;

	/* No key of another size was ever committed to. */
	if (dek.size != SDES_DEK_SIZE)
		return SDES_ERR_COMMITMENT;
	status = sdes_dek_commitment(dek, binding, actual);
	if (status == SDES_OK && !sdes_equal(actual, commitment, SDES_COMMITMENT_SIZE))
		status = SDES_ERR_COMMITMENT;

	/* The row's commitment is public, that of a wrong key is not. */
	OPENSSL_cleanse(actual, sizeof(actual));
	return status;
}

SdesStatus
sdes_dek_open(SdesBytes dek, const SdesDekBinding *binding,
              const uint8_t commitment[SDES_COMMITMENT_SIZE], SdesAead **out)
{
	SdesSecret key;
	SdesStatus status;

	*out = NULL;
	status = sdes_dek_check(dek, binding, commitment);
	if (status == SDES_OK && binding->mode != SDES_MODE_CACHED)
		status = SDES_ERR_FORMAT;
	if (status != SDES_OK)
		return status;
	status = sdes_dek_sealing_key(dek, &key);
	if (status == SDES_OK)
		status = sdes_aead_new(out, sdes_secret_bytes(&key));
	sdes_secret_free(&key);
	return status;
}

SdesStatus
sdes_dek_open_search(SdesBytes dek, const SdesDekBinding *binding,
                     const uint8_t commitment[SDES_COMMITMENT_SIZE], SdesMac **out)
{
	SdesSecret key;
	SdesStatus status;

	*out = NULL;
	status = sdes_dek_check(dek, binding, commitment);
	if (status == SDES_OK &&
	    (binding->purpose != SDES_PURPOSE_SEARCH || binding->mode != SDES_MODE_CACHED))
		status = SDES_ERR_FORMAT;
	if (status != SDES_OK)
		return status;
	status = derive(dek, LABEL(search_label), &key);
	if (status == SDES_OK)
		status = sdes_mac_new(out, sdes_secret_bytes(&key));
	sdes_secret_free(&key);
	return status;
}
