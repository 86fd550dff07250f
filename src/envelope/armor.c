/*
 * armor.c
 *		base64url without padding (RFC 4648, section 5) behind a prefix.
 *
 * Invariant: decode(text) succeeds only where encode() of the result is that
 * very text. Two spellings of one envelope would compare as different text.
 */
#include "envelope/armor.h"

#include <string.h>

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#define NOT_IN_ALPHABET 0xff

bool
sdes_armor_marked(SdesBytes text)
{
	return text.size >= SDES_ARMOR_PREFIX_SIZE &&
	       memcmp(text.data, SDES_ARMOR_PREFIX, SDES_ARMOR_PREFIX_SIZE) == 0;
}

/* n bytes left over at the end take n + 1 characters, and none take none. */
size_t
sdes_armor_size(size_t bytes)
{
	size_t rest = bytes % 3;

	return SDES_ARMOR_PREFIX_SIZE + bytes / 3 * 4 + (rest == 0 ? 0 : rest + 1);
}

size_t
sdes_armor_decoded_size(size_t chars)
{
	size_t body, rest;

	if (chars < SDES_ARMOR_PREFIX_SIZE)
		return 0;
	body = chars - SDES_ARMOR_PREFIX_SIZE;
	rest = body % 4;
	return body / 4 * 3 + (rest == 0 ? 0 : rest - 1);
}

void
sdes_armor_encode(SdesBytes bytes, char *out)
{
	uint32_t bits = 0;
	int nbits = 0;

	memcpy(out, SDES_ARMOR_PREFIX, SDES_ARMOR_PREFIX_SIZE);
	out += SDES_ARMOR_PREFIX_SIZE;
	for (size_t i = 0; i < bytes.size; i++)
	{
		bits = bits << 8 | bytes.data[i];
		nbits += 8;
		while (nbits >= 6)
		{
			nbits -= 6;
			*out++ = alphabet[bits >> nbits & 63];
		}
	}
	if (nbits > 0)
		*out = alphabet[bits << (6 - nbits) & 63];
}

/* The six bits of a character, by ranges: no table can be of the wrong locale. */
static uint8_t
sextet(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return (uint8_t) (c - 'A');
	if (c >= 'a' && c <= 'z')
		return (uint8_t) (c - 'a' + 26);
	if (c >= '0' && c <= '9')
		return (uint8_t) (c - '0' + 52);
	if (c == '-')
		return 62;
	return c == '_' ? 63 : NOT_IN_ALPHABET;
}

SdesStatus
sdes_armor_decode(SdesBytes text, uint8_t *out, size_t *size)
{
	uint32_t bits = 0;
	int nbits = 0;

	*size = 0;
	/* One character of a group of four holds six bits: not a byte. */
	if (!sdes_armor_marked(text) || (text.size - SDES_ARMOR_PREFIX_SIZE) % 4 == 1)
		return SDES_ERR_FORMAT;

	for (size_t i = SDES_ARMOR_PREFIX_SIZE; i < text.size; i++)
	{
		uint8_t six = sextet(text.data[i]);

		if (six == NOT_IN_ALPHABET)
			return SDES_ERR_FORMAT;
		bits = bits << 6 | six;
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			*out++ = (uint8_t) (bits >> nbits);
		}
	}

	/* RFC 4648, section 3.5: trailing bits that are not zero spell a second form. */
	if ((bits & ((1U << nbits) - 1)) != 0)
		return SDES_ERR_FORMAT;
	*size = sdes_armor_decoded_size(text.size);
	return SDES_OK;
}
