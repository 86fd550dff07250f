/*
 * bytes.c
 *		Bytes as text.
 */
#include "crypto/bytes.h"

void
sdes_hex(SdesBytes bytes, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < bytes.size; i++)
	{
		*out++ = digits[bytes.data[i] >> 4];
		*out++ = digits[bytes.data[i] & 15];
	}
	*out = '\0';
}
