/*
 * provider.h
 *		The providers of this build besides OpenSSL, and the choice of one.
 *
 * OpenSSL's cost for a small value is that of its calls, not of AES. nettle's and
 * ipsec-mb's calls cost next to nothing. Which of them are here is decided when sdes is
 * built (libraries.mk), and by the processor.
 *
 * The server chooses once, in the postmaster, and its children inherit that. The agent
 * and sdes_audit have OpenSSL only.
 */
#ifndef SDES_PROVIDER_PROVIDER_H
#define SDES_PROVIDER_PROVIDER_H

#include "crypto/provider.h"

/* nettle's AES-256-GCM and HMAC-SHA-256. NULL when it was built without. */
extern const SdesProvider *sdes_provider_nettle(void);

/*
 * ipsec-mb's AES-256-GCM. It has no HMAC that is fast for one message: that is nettle's,
 * or else OpenSSL's. NULL when it was built without, and on a processor without the
 * instructions for AES and GCM.
 */
extern const SdesProvider *sdes_provider_ipsec_mb(void);

/* Fastest first, openssl last; ends with NULL. Settles what the processor has. */
extern const SdesProvider *const *sdes_providers(void);

/* What a choice was, in static strings. */
typedef struct SdesProviderChoice
{
	const SdesProvider *provider; /* NULL: none can be used */
	const SdesProvider *failed;   /* one that was passed over, for */
	const char *why;              /* what its self-test found; NULL if it did not fail */
	bool fips;                    /* OpenSSL was chosen for OpenSSL's FIPS mode */
} SdesProviderChoice;

/*
 * The one of that name, or for "auto" the fastest whose self-test passes; OpenSSL where
 * its default properties ask for FIPS. What is chosen is in use from then on; where
 * none is, what was in use stays.
 */
extern SdesProviderChoice sdes_provider_choose(const char *name);

#endif
