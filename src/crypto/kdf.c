/*
 * kdf.c
 *		HKDF-SHA-256 (RFC 5869) and random bytes for keys.
 *
 * Built on HMAC because OpenSSL 3.0's own HKDF refuses an empty input key,
 * which the RFC allows.
 *
 * Invariant: the pseudorandom key and the last block, either of which gives
 * away the output, are wiped before every return.
 */
#include "crypto/kdf.h"
#include "crypto/mac.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <string.h>

#define HKDF_MAX_INFO 1024
#define HKDF_MAX_SIZE (255 * SDES_MAC_SIZE) /* RFC 5869, section 2.3 */

/* RFC 5869, section 2.3. Leaves the last block, a secret, in block. */
static SdesStatus
expand(SdesBytes prk, SdesBytes info, uint8_t block[SDES_MAC_SIZE], uint8_t *out,
       size_t size)
{
	SdesBytes previous = {NULL, 0};
	uint8_t counter = 0;

	while (size > 0)
	{
		SdesBytes pieces[3] = {previous, info, sdes_bytes(&counter, 1)};
		size_t part = size < SDES_MAC_SIZE ? size : SDES_MAC_SIZE;
		SdesStatus status;

		counter++;
		status = sdes_hmac_sha256(prk, pieces, 3, block);
		if (status != SDES_OK)
			return status;
		memcpy(out, block, part);
		previous = sdes_bytes(block, SDES_MAC_SIZE);
		out += part;
		size -= part;
	}
	return SDES_OK;
}

SdesStatus
sdes_hkdf_sha256(SdesBytes ikm, SdesBytes salt, const SdesBytes *info, int npieces,
                 uint8_t *out, size_t size)
{
	uint8_t joined[HKDF_MAX_INFO];
	uint8_t prk[SDES_MAC_SIZE];
	uint8_t block[SDES_MAC_SIZE];
	SdesWriter w = sdes_writer(joined, sizeof(joined));
	SdesStatus status;

	for (int i = 0; i < npieces; i++)
		sdes_write_bytes(&w, info[i]);
	if (w.failed || size > HKDF_MAX_SIZE)
		return SDES_ERR_TOO_LONG;

	/* Extract, section 2.2: HMAC pads an absent salt to the zeros it stands for. */
	status = sdes_hmac_sha256(salt, &ikm, 1, prk);
	if (status == SDES_OK)
		status = expand(SDES_BYTES_OF(prk), sdes_bytes(joined, sizeof(joined) - w.left),
		                block, out, size);
	if (status != SDES_OK && size > 0)
		OPENSSL_cleanse(out, size);
	OPENSSL_cleanse(prk, sizeof(prk));
	OPENSSL_cleanse(block, sizeof(block));
	return status;
}

SdesStatus
sdes_random(void *out, size_t size)
{
	if (size > INT32_MAX)
		return SDES_ERR_TOO_LONG;
	if (size == 0 || RAND_priv_bytes(out, (int) size) == 1)
		return SDES_OK;
	OPENSSL_cleanse(out, size);
	ERR_clear_error();
	return SDES_ERR_RANDOM;
}
