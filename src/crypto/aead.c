/*
 * aead.c
 *		AES-256-GCM by the provider that made the key.
 *
 * Invariant: what a provider is given has been checked, its AAD is in one piece, and
 * what it leaves in a plaintext that it did not authenticate is wiped here.
 *
 * A failure clears OpenSSL's error queue: TLS code in the same thread must not
 * find our errors in it.
 */
#include "crypto/aead.h"

#include "crypto/provider.h"
#include "crypto/secret.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <string.h>

/* An envelope's AAD, with four tokens, is 115 bytes long. */
#define AAD_ON_STACK 256

typedef struct Aad
{
	SdesBytes whole;
	uint8_t room[AAD_ON_STACK];
	uint8_t *heap; /* NULL unless it did not fit */
} Aad;

SdesStatus
sdes_aead_new(SdesAead **out, SdesBytes key)
{
	const SdesProvider *provider = sdes_provider_in_use();
	SdesStatus status;

	*out = NULL;
	if (provider == NULL || key.size != SDES_AEAD_KEY_SIZE)
		return SDES_ERR_CRYPTO;
	status = provider->aead->create(out, key.data);
	if (status == SDES_ERR_LOCKED_MEMORY)
		status = sdes_aead_openssl.create(out, key.data);
	return status;
}

void
sdes_aead_free(SdesAead *aead)
{
	if (aead == NULL)
		return;
	aead->by->free(aead);
	sdes_wipe_registers();
}

/* Of pieces that fit together into SDES_AEAD_MAX_SIZE; or SIZE_MAX. */
static size_t
total_size(const SdesBytes *pieces, int npieces)
{
	size_t size = 0;

	for (int i = 0; i < npieces; i++)
	{
		if (pieces[i].size > SDES_AEAD_MAX_SIZE - size)
			return SIZE_MAX;
		size += pieces[i].size;
	}
	return size;
}

/* The caller frees the heap's part. */
static SdesStatus
gather(const SdesBytes *pieces, int npieces, Aad *out)
{
	size_t size = total_size(pieces, npieces);
	uint8_t *at = out->room;

	out->heap = NULL;
	if (size == SIZE_MAX)
		return SDES_ERR_TOO_LONG;
	if (npieces == 1)
	{
		out->whole = pieces[0];
		return SDES_OK;
	}
	if (size > sizeof(out->room) && (at = out->heap = OPENSSL_malloc(size)) == NULL)
	{
		ERR_clear_error();
		return SDES_ERR_MEMORY;
	}
	out->whole = sdes_bytes(at, size);
	for (int i = 0; i < npieces; i++)
	{
		if (pieces[i].size > 0)
			memcpy(at, pieces[i].data, pieces[i].size);
		at += pieces[i].size;
	}
	return SDES_OK;
}

SdesStatus
sdes_aead_seal(SdesAead *aead, const uint8_t nonce[SDES_NONCE_SIZE], const SdesBytes *aad,
               int naad, SdesBytes plaintext, uint8_t *ciphertext,
               uint8_t tag[SDES_AEAD_TAG_SIZE])
{
	Aad gathered;
	SdesStatus status = plaintext.size > SDES_AEAD_MAX_SIZE ? SDES_ERR_TOO_LONG
	                                                        : gather(aad, naad, &gathered);

	if (status != SDES_OK)
		return status;
	status = aead->by->seal(aead, nonce, gathered.whole, plaintext, ciphertext, tag);
	OPENSSL_free(gathered.heap);
	if (status != SDES_OK)
		ERR_clear_error();
	return status;
}

SdesStatus
sdes_aead_open(SdesAead *aead, const SdesBytes *aad, int naad, const SdesSealed *sealed,
               uint8_t *plaintext)
{
	Aad gathered;
	SdesStatus status = sealed->ciphertext.size > SDES_AEAD_MAX_SIZE
	                        ? SDES_ERR_TOO_LONG
	                        : gather(aad, naad, &gathered);

	if (status != SDES_OK)
		return status;
	status = aead->by->open(aead, gathered.whole, sealed, plaintext);
	OPENSSL_free(gathered.heap);
	if (status == SDES_OK)
		return SDES_OK;
	if (sealed->ciphertext.size > 0)
		sdes_wipe(plaintext, sealed->ciphertext.size);
	ERR_clear_error();
	return status;
}
