/*
 * content.c
 *		What is secret in a parcel: the content key and what it seals, and the shares of
 *		it.
 *
 * Invariant: a content key seals one parcel. What is sealed is bound to the whole
 * manifest and to its place in it.
 */
#include "parcel/parcel.h"

#include "crypto/aead.h"
#include "crypto/kdf.h"
#include "crypto/nonce.h"

#include <stdio.h>
#include <string.h>

/* Without the terminating zero. */
static const char seal_label[] = "sdes/v1/parcel-seal";
static const char commitment_label[] = "sdes/v1/parcel-commitment";

static SdesStatus
derive(const SdesParcel *parcel, SdesBytes content_key, const char *label, uint8_t *out)
{
	SdesBytes info[2] = {sdes_bytes(label, strlen(label)), SDES_BYTES_OF(parcel->digest)};

	if (content_key.size != SDES_PARCEL_KEY_SIZE)
		return SDES_ERR_FORMAT;
	return sdes_hkdf_sha256(content_key, sdes_bytes(NULL, 0), info, 2, out,
	                        SDES_DIGEST_SIZE);
}

SdesStatus
sdes_parcel_commitment(const SdesParcel *parcel, SdesBytes content_key,
                       uint8_t out[SDES_DIGEST_SIZE])
{
	return derive(parcel, content_key, commitment_label, out);
}

SdesStatus
sdes_parcel_check_key(const SdesParcel *parcel, SdesBytes content_key)
{
	uint8_t actual[SDES_DIGEST_SIZE];
	SdesStatus status = sdes_parcel_commitment(parcel, content_key, actual);

	if (status == SDES_OK && !sdes_equal(actual, parcel->commitment.data, SDES_DIGEST_SIZE))
		status = SDES_ERR_TAG;
	sdes_wipe(actual, sizeof(actual));
	return status;
}

/* The sealing key, expanded into *out, which the caller frees. */
static SdesStatus
open_cipher(const SdesParcel *parcel, SdesBytes content_key, SdesAead **out)
{
	SdesSecret key;
	SdesStatus status = sdes_secret_new(&key, SDES_AEAD_KEY_SIZE);

	*out = NULL;
	if (status != SDES_OK)
		return status;
	status = derive(parcel, content_key, seal_label, key.data);
	if (status == SDES_OK)
		status = sdes_aead_new(out, sdes_secret_bytes(&key));
	sdes_secret_free(&key);
	return status;
}

static void
make_aad(const SdesParcel *parcel, uint32_t at, uint8_t out[SDES_DIGEST_SIZE + 4])
{
	SdesWriter w = sdes_writer(out, SDES_DIGEST_SIZE + 4);

	sdes_write_bytes(&w, SDES_BYTES_OF(parcel->digest));
	sdes_write_u32(&w, at);
}

SdesStatus
sdes_parcel_seal(const SdesParcel *parcel, SdesBytes content_key, uint32_t at,
                 SdesBytes dek, uint8_t out[SDES_PARCEL_SEALED_SIZE])
{
	uint8_t aad_bytes[SDES_DIGEST_SIZE + 4];
	SdesBytes aad = SDES_BYTES_OF(aad_bytes);
	SdesAead *aead;
	SdesStatus status;

	if (dek.size != SDES_DEK_SIZE)
		return SDES_ERR_FORMAT;
	status = open_cipher(parcel, content_key, &aead);
	if (status == SDES_OK)
		status = sdes_nonce(out);
	make_aad(parcel, at, aad_bytes);
	if (status == SDES_OK)
		status = sdes_aead_seal(aead, out, &aad, 1, dek, out + SDES_NONCE_SIZE,
		                        out + SDES_NONCE_SIZE + SDES_DEK_SIZE);
	sdes_aead_free(aead);
	return status;
}

SdesStatus
sdes_parcel_open(const SdesParcel *parcel, SdesBytes content_key, uint32_t at,
                 SdesSecret *dek)
{
	const uint8_t *sealed = parcel->sealed.data + (size_t) at * SDES_PARCEL_SEALED_SIZE;
	SdesSealed parts = {sealed, sealed + SDES_NONCE_SIZE + SDES_DEK_SIZE,
	                    sdes_bytes(sealed + SDES_NONCE_SIZE, SDES_DEK_SIZE)};
	uint8_t aad_bytes[SDES_DIGEST_SIZE + 4];
	SdesBytes aad = SDES_BYTES_OF(aad_bytes);
	SdesAead *aead = NULL;
	SdesStatus status = sdes_secret_new(dek, SDES_DEK_SIZE);

	if (status == SDES_OK)
		status = sdes_parcel_check_key(parcel, content_key);
	if (status == SDES_OK)
		status = open_cipher(parcel, content_key, &aead);
	make_aad(parcel, at, aad_bytes);
	if (status == SDES_OK)
		status = sdes_aead_open(aead, &aad, 1, &parts, dek->data);
	sdes_aead_free(aead);
	if (status != SDES_OK)
		sdes_secret_free(dek);
	return status;
}

SdesStatus
sdes_parcel_signed_digest(SdesBytes signed_part, uint8_t out[SDES_DIGEST_SIZE])
{
	return sdes_sha256(&signed_part, 1, out);
}

SdesStatus
sdes_parcel_verify(const SdesParcel *parcel, SdesPublicKey *sender)
{
	uint8_t digest[SDES_DIGEST_SIZE];
	SdesStatus status = sdes_parcel_signed_digest(parcel->signed_part, digest);

	return status == SDES_OK ? sdes_public_key_verify(sender, digest, parcel->signature)
	                         : status;
}

/* ---- shares as text ---- */

#define SHARE_LABEL  "sdes-share-1:"
#define SHARE_DIGITS 8 /* of the parcel's id and of the check */

static char *
put_hex(char *out, const uint8_t *bytes, size_t size)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < size; i++)
	{
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	return out;
}

/* Everything up to the check; returns its end. */
static char *
put_share(char *out, const uint8_t *id, uint8_t number, const uint8_t *share)
{
	out += sprintf(out, SHARE_LABEL);
	out = put_hex(out, id, SHARE_DIGITS / 2);
	out += sprintf(out, ":%u:", number);
	out = put_hex(out, share, SDES_PARCEL_KEY_SIZE);
	*out++ = ':';
	return out;
}

SdesStatus
sdes_share_to_text(const uint8_t id[SDES_PARCEL_ID_SIZE], uint8_t number,
                   const uint8_t share[SDES_PARCEL_KEY_SIZE], char out[SDES_SHARE_TEXT_MAX])
{
	uint8_t digest[SDES_DIGEST_SIZE];
	char *end = put_share(out, id, number, share);
	SdesBytes text = sdes_bytes(out, (size_t) (end - out));
	SdesStatus status = sdes_sha256(&text, 1, digest);

	if (status == SDES_OK)
		*put_hex(end, digest, SHARE_DIGITS / 2) = '\0';
	else
		sdes_wipe(out, SDES_SHARE_TEXT_MAX);
	sdes_wipe(digest, sizeof(digest));
	return status;
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static SdesBytes
trim(SdesBytes text)
{
	while (text.size > 0 && is_blank(text.data[0]))
		text = sdes_bytes(text.data + 1, text.size - 1);
	while (text.size > 0 && is_blank(text.data[text.size - 1]))
		text.size--;
	return text;
}

static int
digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The hex digits of size bytes at *at, which moves on. */
static bool
get_hex(const uint8_t **at, uint8_t *out, size_t size)
{
	for (size_t i = 0; i < size; i++)
	{
		int high = digit((*at)[0]), low = digit((*at)[1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t) (high << 4 | low);
		*at += 2;
	}
	return true;
}

/* Digits and dots in the right places; text has its right length, or ends in a zero. */
static bool
take_apart(const uint8_t *at, uint8_t id[SHARE_DIGITS / 2], uint8_t *number, uint8_t *share)
{
	if (memcmp(at, SHARE_LABEL, strlen(SHARE_LABEL)) != 0)
		return false;
	at += strlen(SHARE_LABEL);
	if (!get_hex(&at, id, SHARE_DIGITS / 2) || *at++ != ':')
		return false;
	*number = 0;
	while (*at >= '0' && *at <= '9' && *number <= SDES_SHARES_MAX)
		*number = (uint8_t) (*number * 10 + (*at++ - '0'));
	return *number >= 1 && *number <= SDES_SHARES_MAX && *at++ == ':' &&
	       get_hex(&at, share, SDES_PARCEL_KEY_SIZE) && *at == ':';
}

SdesStatus
sdes_share_from_text(SdesBytes text, const uint8_t id[SDES_PARCEL_ID_SIZE], uint8_t *number,
                     uint8_t share[SDES_PARCEL_KEY_SIZE])
{
	uint8_t copy[SDES_SHARE_TEXT_MAX] = {0}, of[SHARE_DIGITS / 2];
	char again[SDES_SHARE_TEXT_MAX];
	SdesStatus status = SDES_ERR_FORMAT;

	text = trim(text);
	if (text.size > 0 && text.size < sizeof(copy))
	{
		memcpy(copy, text.data, text.size);
		if (take_apart(copy, of, number, share))
			status = sdes_share_to_text(id, *number, share, again);
	}
	/* One spelling: what was read is what would be written, up to the zero. */
	if (status == SDES_OK && !sdes_equal(again, copy, text.size + 1))
		status = SDES_ERR_TAG;
	sdes_wipe(copy, sizeof(copy));
	sdes_wipe(again, sizeof(again));
	if (status != SDES_OK)
		sdes_wipe(share, SDES_PARCEL_KEY_SIZE);
	return status;
}

/* ---- for whom ---- */

/* Frozen, with the format of blobs in hsm/pkcs11_wrap.c. */
static const char wrap_label[] = "sdes/v1/wrap";
static const uint8_t blob_header[2] = {1, 5};

void
sdes_parcel_binding(const SdesParcel *parcel, const uint8_t kek_id[SDES_KEK_ID_SIZE],
                    SdesDekBinding *out)
{
	memset(out, 0, sizeof(*out));
	memcpy(out->key_id, parcel->id, SDES_KEY_ID_SIZE);
	memcpy(out->bucket, parcel->id, SDES_UUID_SIZE);
	out->version = 1;
	out->purpose = SDES_PURPOSE_PARCEL;
	out->mode = SDES_MODE_CACHED;
	memcpy(out->kek_id, kek_id, SDES_KEK_ID_SIZE);
}

SdesStatus
sdes_parcel_wrap(const SdesParcel *parcel, SdesBytes content_key, SdesPublicKey *key,
                 const uint8_t kek_id[SDES_KEK_ID_SIZE], uint8_t *out, size_t *size)
{
	uint8_t aad[SDES_DEK_BINDING_SIZE];
	SdesBytes info[2] = {sdes_bytes(wrap_label, sizeof(wrap_label) - 1),
	                     SDES_BYTES_OF(aad)};
	SdesDekBinding binding;
	SdesSecret payload;
	SdesStatus status;

	if (content_key.size != SDES_PARCEL_KEY_SIZE)
		return SDES_ERR_FORMAT;
	status = sdes_secret_new(&payload, SDES_PARCEL_KEY_SIZE + SDES_DIGEST_SIZE);
	if (status != SDES_OK)
		return status;
	sdes_parcel_binding(parcel, kek_id, &binding);
	sdes_dek_binding_encode(&binding, aad);
	memcpy(payload.data, content_key.data, content_key.size);
	status = sdes_hkdf_sha256(content_key, sdes_bytes(NULL, 0), info, 2,
	                          payload.data + SDES_PARCEL_KEY_SIZE, SDES_DIGEST_SIZE);
	memcpy(out, blob_header, sizeof(blob_header));
	if (status == SDES_OK)
		status = sdes_public_key_encrypt(key, sdes_secret_bytes(&payload),
		                                 out + sizeof(blob_header));
	*size = sizeof(blob_header) + sdes_public_key_size(key);
	sdes_secret_free(&payload);
	return status;
}

static const char hybrid_label[] = "sdes/v1/parcel-hybrid";

/* Of two secrets, in locked memory one after the other, and the field that holds them. */
static SdesStatus
combine_secrets(const SdesParcel *parcel, const SdesSecret *both, SdesBytes field,
                uint8_t *content_key)
{
	uint8_t digest[SDES_DIGEST_SIZE];
	SdesBytes info[3] = {sdes_bytes(hybrid_label, sizeof(hybrid_label) - 1),
	                     SDES_BYTES_OF(parcel->id), SDES_BYTES_OF(digest)};
	SdesStatus status = sdes_sha256(&field, 1, digest);

	if (status == SDES_OK)
		status = sdes_hkdf_sha256(sdes_secret_bytes(both), sdes_bytes(NULL, 0), info, 3,
		                          content_key, SDES_PARCEL_KEY_SIZE);
	return status;
}

SdesStatus
sdes_parcel_wrap_hybrid(const SdesParcel *parcel, const SdesCertificate *to,
                        uint8_t *content_key, uint8_t *out, size_t *size)
{
	SdesSecret both;
	SdesStatus status = sdes_secret_new(&both, SDES_PARCEL_KEY_SIZE + SDES_KEM_SECRET_SIZE);
	size_t rest = 0;

	if (status != SDES_OK)
		return status;
	status = sdes_random(both.data, SDES_PARCEL_KEY_SIZE);
	if (status == SDES_OK)
		status = sdes_kem_encapsulate(to->kem, out, both.data + SDES_PARCEL_KEY_SIZE);
	if (status == SDES_OK)
		status = sdes_parcel_wrap(parcel, sdes_bytes(both.data, SDES_PARCEL_KEY_SIZE),
		                          to->encrypts, to->key_id, out + SDES_KEM_CIPHERTEXT_SIZE,
		                          &rest);
	*size = SDES_KEM_CIPHERTEXT_SIZE + rest;
	if (status == SDES_OK)
		status = combine_secrets(parcel, &both, sdes_bytes(out, *size), content_key);
	sdes_secret_free(&both);
	return status;
}

SdesBytes
sdes_parcel_wrapped_secret(const SdesParcel *parcel)
{
	SdesBytes field = parcel->wrapped[0];

	return parcel->wrap == SDES_WRAP_RSA
	           ? field
	           : sdes_bytes(field.data + SDES_KEM_CIPHERTEXT_SIZE,
	                        field.size - SDES_KEM_CIPHERTEXT_SIZE);
}

SdesStatus
sdes_parcel_hybrid_key(const SdesParcel *parcel, SdesBytes first, SdesBytes root,
                       uint8_t *content_key)
{
	SdesSecret both;
	SdesStatus status;

	if (first.size != SDES_PARCEL_KEY_SIZE)
		return SDES_ERR_FORMAT;
	status = sdes_secret_new(&both, SDES_PARCEL_KEY_SIZE + SDES_KEM_SECRET_SIZE);
	if (status != SDES_OK)
		return status;
	memcpy(both.data, first.data, SDES_PARCEL_KEY_SIZE);
	status = sdes_kem_decapsulate(root, parcel->wrapped[0].data,
	                              both.data + SDES_PARCEL_KEY_SIZE);
	if (status == SDES_OK)
		status = combine_secrets(parcel, &both, parcel->wrapped[0], content_key);
	sdes_secret_free(&both);
	return status;
}

SdesStatus
sdes_parcel_wrap_share(const SdesParcel *parcel, uint8_t number,
                       const uint8_t share[SDES_PARCEL_KEY_SIZE], SdesPublicKey *key,
                       uint8_t *out, size_t *size)
{
	SdesSecret text;
	SdesStatus status = sdes_secret_new(&text, SDES_SHARE_TEXT_MAX);

	if (status != SDES_OK)
		return status;
	status = sdes_share_to_text(parcel->id, number, share, (char *) text.data);
	if (status == SDES_OK)
		status = sdes_public_key_encrypt(
		    key, sdes_bytes(text.data, strlen((char *) text.data)), out);
	*size = sdes_public_key_size(key);
	sdes_secret_free(&text);
	return status;
}
