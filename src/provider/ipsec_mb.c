/*
 * ipsec_mb.c
 *		AES-256-GCM of Intel's Multi-Buffer Crypto for IPsec, one message a call.
 *
 * Invariant: the expanded key, and what a message leaves behind, are in pages of their
 * own (sdes_pages_new()). The library wipes its registers and stack itself when it was
 * built so, as Debian's is (IMB_FEATURE_SAFE_DATA); another one is not used.
 *
 * Its calls return nothing. What it refuses it leaves undone, and says so by
 * imb_get_errno().
 */
#include "provider/provider.h"

#ifdef SDES_WITH_IPSEC_MB

#include "crypto/secret.h"

#include <intel-ipsec-mb.h>

typedef struct ImbAead
{
	SdesAead base;
	uint8_t tag[SDES_AEAD_TAG_SIZE]; /* what it should be of a message that is opened */
	struct gcm_context_data context;
	struct gcm_key_data key;
} ImbAead;

/* The calls that fit the processor; set once. */
static aes_gcm_pre_t expand;
static aes_gcm_enc_dec_t encrypt;
static aes_gcm_enc_dec_t decrypt;

static const SdesAeadFunctions imb_aead;

static bool
refused(void)
{
	return imb_get_errno(NULL) != 0;
}

static void
imb_free(SdesAead *base)
{
	sdes_pages_free(base, sizeof(ImbAead));
}

static SdesStatus
imb_new(SdesAead **out, const uint8_t *key)
{
	ImbAead *aead = sdes_pages_new(sizeof(*aead));

	if (aead == NULL)
		return SDES_ERR_LOCKED_MEMORY;
	aead->base.by = &imb_aead;
	expand(key, &aead->key);
	if (refused())
	{
		imb_free(&aead->base);
		return SDES_ERR_CRYPTO;
	}
	*out = &aead->base;
	return SDES_OK;
}

static SdesStatus
imb_seal(SdesAead *base, const uint8_t *nonce, SdesBytes aad, SdesBytes plaintext,
         uint8_t *ciphertext, uint8_t *tag)
{
	ImbAead *aead = (ImbAead *) base;

	encrypt(&aead->key, &aead->context, ciphertext, plaintext.data, plaintext.size, nonce,
	        aad.data, aad.size, tag, SDES_AEAD_TAG_SIZE);
	return refused() ? SDES_ERR_CRYPTO : SDES_OK;
}

static SdesStatus
imb_open(SdesAead *base, SdesBytes aad, const SdesSealed *sealed, uint8_t *plaintext)
{
	ImbAead *aead = (ImbAead *) base;

	decrypt(&aead->key, &aead->context, plaintext, sealed->ciphertext.data,
	        sealed->ciphertext.size, sealed->nonce, aad.data, aad.size, aead->tag,
	        SDES_AEAD_TAG_SIZE);
	if (refused())
		return SDES_ERR_CRYPTO;
	return sdes_equal(aead->tag, sealed->tag, SDES_AEAD_TAG_SIZE) ? SDES_OK : SDES_ERR_TAG;
}

static const SdesAeadFunctions imb_aead = {
    .create = imb_new,
    .free = imb_free,
    .seal = imb_seal,
    .open = imb_open,
};

/* The manager is for batches, of which there are none here; it knows the processor. */
static bool
find_calls(void)
{
	static const uint64_t wanted =
	    IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ | IMB_FEATURE_SAFE_DATA;
	IMB_MGR *manager = alloc_mb_mgr(0);

	if (manager == NULL)
		return false;
	if ((manager->features & wanted) == wanted)
	{
		init_mb_mgr_auto(manager, NULL);
		if (imb_get_errno(manager) == 0)
		{
			expand = manager->gcm256_pre;
			encrypt = manager->gcm256_enc;
			decrypt = manager->gcm256_dec;
		}
	}
	free_mb_mgr(manager);
	return encrypt != NULL;
}

const SdesProvider *
sdes_provider_ipsec_mb(void)
{
	static SdesProvider ipsec_mb = {.name = "ipsec-mb", .aead_by = "ipsec-mb"};
	const SdesProvider *macs = sdes_provider_nettle();

	if (ipsec_mb.aead != NULL)
		return &ipsec_mb;
	if (!find_calls())
		return NULL;
	if (macs == NULL)
		macs = &sdes_provider_openssl;
	ipsec_mb.mac = macs->mac;
	ipsec_mb.mac_by = macs->mac_by;
	ipsec_mb.aead = &imb_aead;
	return &ipsec_mb;
}

#else

const SdesProvider *
sdes_provider_ipsec_mb(void)
{
	return NULL;
}

#endif
