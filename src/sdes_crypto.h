/*
 * sdes_crypto.h
 *		Whose AES and HMAC the server uses.
 */
#ifndef SDES_CRYPTO_H
#define SDES_CRYPTO_H

#include "provider/provider.h"

/*
 * Called once, in the postmaster: children inherit what was chosen. The server does not
 * start with a provider of sdes.crypto_provider that is not here or fails its self-test.
 */
extern void sdes_crypto_init(void);

extern SdesProviderChoice sdes_crypto_choice(void);

#endif
