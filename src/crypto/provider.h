/*
 * provider.h
 *		Whose AES-256-GCM and HMAC-SHA-256 the keys of this process are made with.
 *
 * OpenSSL's is the reference: all there is in this room, and in use unless
 * sdes_provider_use() names another. A key stays with the provider that made it.
 *
 * A provider that keeps expanded keys in memory of its own has them, and all that
 * its calls leave behind, in pages of sdes_pages_new(). Where those cannot be had it
 * returns SDES_ERR_LOCKED_MEMORY, and the key is OpenSSL's.
 */
#ifndef SDES_PROVIDER_H
#define SDES_PROVIDER_H

#include "crypto/aead.h"
#include "crypto/mac.h"

/* The contracts are those of aead.h, with less to see to: sizes are checked. */
typedef struct SdesAeadFunctions
{
	/* Of SDES_AEAD_KEY_SIZE bytes. */
	SdesStatus (*create)(SdesAead **out, const uint8_t *key);
	void (*free)(SdesAead *aead);
	SdesStatus (*seal)(SdesAead *aead, const uint8_t *nonce, SdesBytes aad,
	                   SdesBytes plaintext, uint8_t *ciphertext, uint8_t *tag);
	/* May leave anything in plaintext when it fails: the caller wipes it. */
	SdesStatus (*open)(SdesAead *aead, SdesBytes aad, const SdesSealed *sealed,
	                   uint8_t *plaintext);
} SdesAeadFunctions;

typedef struct SdesMacFunctions
{
	SdesStatus (*create)(SdesMac **out, SdesBytes key);
	void (*free)(SdesMac *mac);
	SdesStatus (*run)(SdesMac *mac, const SdesBytes *pieces, int npieces, uint8_t *out);
} SdesMacFunctions;

/* A provider's own structs begin with these. */
struct SdesAead
{
	const SdesAeadFunctions *by;
};

struct SdesMac
{
	const SdesMacFunctions *by;
};

typedef struct SdesProvider
{
	const char *name; /* as in the setting sdes.crypto_provider */
	const SdesAeadFunctions *aead;
	const SdesMacFunctions *mac;
	const char *aead_by; /* whose they are, for people */
	const char *mac_by;
} SdesProvider;

extern const SdesAeadFunctions sdes_aead_openssl;
extern const SdesMacFunctions sdes_mac_openssl;
extern const SdesProvider sdes_provider_openssl;

/*
 * All keys that are made from now on. Before there are threads, or processes that
 * inherit it. NULL: no key can be made (SDES_ERR_CRYPTO).
 */
extern void sdes_provider_use(const SdesProvider *provider);

extern const SdesProvider *sdes_provider_in_use(void);

#endif
