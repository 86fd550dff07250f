/*
 * provider.c
 *		The choice of a provider.
 */
#include "provider/provider.h"

#include "provider/selftest.h"

#include <openssl/evp.h>
#include <string.h>

const SdesProvider *const *
sdes_providers(void)
{
	static const SdesProvider *list[4];
	const SdesProvider *all[] = {sdes_provider_ipsec_mb(), sdes_provider_nettle(),
	                             &sdes_provider_openssl};
	int n = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i] != NULL)
			list[n++] = all[i];
	list[n] = NULL;
	return list;
}

/* Whether a name stands for that provider. */
static bool
is_meant(const char *name, const SdesProvider *provider, bool fips)
{
	if (strcmp(name, "auto") != 0)
		return strcmp(name, provider->name) == 0;
	return !fips || provider == &sdes_provider_openssl;
}

SdesProviderChoice
sdes_provider_choose(const char *name)
{
	SdesProviderChoice choice = {.fips = strcmp(name, "auto") == 0 &&
	                                     EVP_default_properties_is_fips_enabled(NULL) == 1};

	for (const SdesProvider *const *at = sdes_providers();
	     *at != NULL && choice.provider == NULL; at++)
	{
		const char *why;

		if (!is_meant(name, *at, choice.fips))
			continue;
		why = sdes_provider_self_test(*at);
		if (why == NULL)
			choice.provider = *at;
		else if (choice.failed == NULL)
		{
			choice.failed = *at;
			choice.why = why;
		}
	}
	if (choice.provider != NULL)
		sdes_provider_use(choice.provider);
	return choice;
}
