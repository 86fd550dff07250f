/*
 * hex.h
 *		Hexadecimal fields of the known-answer files. "-" stands for no bytes.
 */
#ifndef SDES_TEST_HEX_H
#define SDES_TEST_HEX_H

#include "crypto/bytes.h"

#include <stdlib.h>
#include <string.h>

static int
hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c == '\0' ? NULL : strchr(digits, c);

	return at == NULL ? -1 : (int) (at - digits);
}

/* Decodes into memory of its own, of exactly that size so that a sanitizer sees
 * an overrun; the caller frees *out. False where the text is not hexadecimal. */
static bool
hex_decode(const char *text, uint8_t **out, size_t *size)
{
	size_t chars = strcmp(text, "-") == 0 ? 0 : strlen(text);

	*size = chars / 2;
	*out = malloc(*size);
	if (chars % 2 != 0 || (*out == NULL && *size > 0))
		return false;
	for (size_t i = 0; i < *size; i++)
	{
		int high = hex_digit(text[2 * i]);
		int low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		(*out)[i] = (uint8_t) (high << 4 | low);
	}
	return true;
}

/* Decodes a field of exactly size bytes. */
__attribute__((unused)) static bool
hex_into(const char *text, void *out, size_t size)
{
	uint8_t *bytes = NULL;
	size_t got = 0;
	bool fits = hex_decode(text, &bytes, &got) && got == size;

	if (fits && size > 0)
		memcpy(out, bytes, size);
	free(bytes);
	return fits;
}

#endif
