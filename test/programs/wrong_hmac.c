/*
 * wrong_hmac.c
 *		Preloaded, it takes the place of a function of nettle's, and loses what is to
 *		be authenticated, as a library that was badly built might.
 */
#include <stddef.h>
#include <stdint.h>

extern void nettle_hmac_sha256_update(void *hmac, size_t size, const uint8_t *data);

void
nettle_hmac_sha256_update(void *hmac, size_t size, const uint8_t *data)
{
	(void) hmac;
	(void) size;
	(void) data;
}
