/*
 * provider.c
 *		The provider in use.
 */
#include "crypto/provider.h"

const SdesProvider sdes_provider_openssl = {
    .name = "openssl",
    .aead = &sdes_aead_openssl,
    .mac = &sdes_mac_openssl,
    .aead_by = "OpenSSL",
    .mac_by = "OpenSSL",
};

static const SdesProvider *in_use = &sdes_provider_openssl;

void
sdes_provider_use(const SdesProvider *provider)
{
	in_use = provider;
}

const SdesProvider *
sdes_provider_in_use(void)
{
	return in_use;
}
