/*
 * selftest.h
 *		Whether a provider computes what it should, before a value depends on it.
 *
 * Known answers (the vectors of GCM's authors and RFC 4231), refusals, and the same
 * bytes as OpenSSL for messages of many sizes, which lead through other code. It takes
 * about a millisecond, and no key of it is a secret.
 */
#ifndef SDES_PROVIDER_SELFTEST_H
#define SDES_PROVIDER_SELFTEST_H

#include "crypto/provider.h"

/* NULL when all is well, else what is not: a static string. */
extern const char *sdes_provider_self_test(const SdesProvider *provider);

#endif
