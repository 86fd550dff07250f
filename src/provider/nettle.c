/*
 * nettle.c
 *		AES-256-GCM and HMAC-SHA-256 of nettle.
 *
 * Invariant: nettle's structs hold the key and what a message leaves behind, so they
 * are in pages of their own (sdes_pages_new()) and nothing of them is on the stack.
 * nettle expands keys in C, which may leave them there: so the dead stack is wiped then.
 */
#include "provider/provider.h"

#ifdef SDES_WITH_NETTLE

#include "crypto/secret.h"

#include <nettle/gcm.h>
#include <nettle/hmac.h>
#include <nettle/version.h>

/* From 4.0 on a digest has its full size without being asked. */
#if NETTLE_VERSION_MAJOR >= 4
#define gcm_tag(gcm, tag)      gcm_aes256_digest(gcm, tag)
#define hmac_finish(hmac, out) hmac_sha256_digest(hmac, out)
#else
#define gcm_tag(gcm, tag)      gcm_aes256_digest(gcm, SDES_AEAD_TAG_SIZE, tag)
#define hmac_finish(hmac, out) hmac_sha256_digest(hmac, SDES_MAC_SIZE, out)
#endif

typedef struct NettleAead
{
	SdesAead base;
	struct gcm_aes256_ctx gcm;
	uint8_t tag[SDES_AEAD_TAG_SIZE]; /* what it should be of a message that is opened */
} NettleAead;

typedef struct NettleMac
{
	SdesMac base;
	struct hmac_sha256_ctx hmac;
} NettleMac;

static const SdesAeadFunctions nettle_aead;
static const SdesMacFunctions nettle_mac;

static SdesStatus
aead_new(SdesAead **out, const uint8_t *key)
{
	NettleAead *aead = sdes_pages_new(sizeof(*aead));

	if (aead == NULL)
		return SDES_ERR_LOCKED_MEMORY;
	aead->base.by = &nettle_aead;
	gcm_aes256_set_key(&aead->gcm, key);
	sdes_wipe_dead_stack();
	*out = &aead->base;
	return SDES_OK;
}

static void
aead_free(SdesAead *base)
{
	sdes_pages_free(base, sizeof(NettleAead));
}

/* Begins a message. */
static void
begin(struct gcm_aes256_ctx *gcm, const uint8_t *nonce, SdesBytes aad)
{
	gcm_aes256_set_iv(gcm, SDES_NONCE_SIZE, nonce);
	if (aad.size > 0)
		gcm_aes256_update(gcm, aad.size, aad.data);
}

static SdesStatus
aead_seal(SdesAead *base, const uint8_t *nonce, SdesBytes aad, SdesBytes plaintext,
          uint8_t *ciphertext, uint8_t *tag)
{
	NettleAead *aead = (NettleAead *) base;

	begin(&aead->gcm, nonce, aad);
	if (plaintext.size > 0)
		gcm_aes256_encrypt(&aead->gcm, plaintext.size, ciphertext, plaintext.data);
	gcm_tag(&aead->gcm, tag);
	return SDES_OK;
}

static SdesStatus
aead_open(SdesAead *base, SdesBytes aad, const SdesSealed *sealed, uint8_t *plaintext)
{
	NettleAead *aead = (NettleAead *) base;

	begin(&aead->gcm, sealed->nonce, aad);
	if (sealed->ciphertext.size > 0)
		gcm_aes256_decrypt(&aead->gcm, sealed->ciphertext.size, plaintext,
		                   sealed->ciphertext.data);
	gcm_tag(&aead->gcm, aead->tag);
	return sdes_equal(aead->tag, sealed->tag, SDES_AEAD_TAG_SIZE) ? SDES_OK : SDES_ERR_TAG;
}

static SdesStatus
mac_new(SdesMac **out, SdesBytes key)
{
	static const uint8_t no_bytes[1];
	NettleMac *mac = sdes_pages_new(sizeof(*mac));

	if (mac == NULL)
		return SDES_ERR_LOCKED_MEMORY;
	mac->base.by = &nettle_mac;
	hmac_sha256_set_key(&mac->hmac, key.size, key.size > 0 ? key.data : no_bytes);
	sdes_wipe_dead_stack();
	*out = &mac->base;
	return SDES_OK;
}

static void
mac_free(SdesMac *base)
{
	sdes_pages_free(base, sizeof(NettleMac));
}

/* The digest leaves the state as it was before the first message. */
static SdesStatus
mac_run(SdesMac *base, const SdesBytes *pieces, int npieces, uint8_t *out)
{
	NettleMac *mac = (NettleMac *) base;

	for (int i = 0; i < npieces; i++)
		if (pieces[i].size > 0)
			hmac_sha256_update(&mac->hmac, pieces[i].size, pieces[i].data);
	hmac_finish(&mac->hmac, out);
	return SDES_OK;
}

static const SdesAeadFunctions nettle_aead = {
    .create = aead_new,
    .free = aead_free,
    .seal = aead_seal,
    .open = aead_open,
};

static const SdesMacFunctions nettle_mac = {
    .create = mac_new,
    .free = mac_free,
    .run = mac_run,
};

const SdesProvider *
sdes_provider_nettle(void)
{
	static const SdesProvider nettle = {
	    .name = "nettle",
	    .aead = &nettle_aead,
	    .mac = &nettle_mac,
	    .aead_by = "nettle",
	    .mac_by = "nettle",
	};

	return &nettle;
}

#else

const SdesProvider *
sdes_provider_nettle(void)
{
	return NULL;
}

#endif
