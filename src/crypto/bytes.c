/*
 * bytes.c
 *		Writing big-endian fields into a run of bytes.
 */
#include "crypto/bytes.h"

SdesWriter
sdes_writer(void *out, size_t size)
{
	return (SdesWriter){(uint8_t *) out, size, false};
}

void
sdes_write_u64(SdesWriter *w, uint64_t value)
{
	sdes_write_u32(w, (uint32_t) (value >> 32));
	sdes_write_u32(w, (uint32_t) value);
}

void
sdes_write_bytes(SdesWriter *w, SdesBytes bytes)
{
	if (w->failed || bytes.size > w->left)
	{
		w->failed = true;
		return;
	}
	if (bytes.size == 0)
		return;
	memcpy(w->at, bytes.data, bytes.size);
	w->at += bytes.size;
	w->left -= bytes.size;
}

void
sdes_write_u8(SdesWriter *w, uint8_t value)
{
	sdes_write_bytes(w, sdes_bytes(&value, 1));
}

void
sdes_write_u16(SdesWriter *w, uint16_t value)
{
	uint8_t bytes[2] = {(uint8_t) (value >> 8), (uint8_t) value};

	sdes_write_bytes(w, SDES_BYTES_OF(bytes));
}

void
sdes_write_u32(SdesWriter *w, uint32_t value)
{
	uint8_t bytes[4] = {(uint8_t) (value >> 24), (uint8_t) (value >> 16),
	                    (uint8_t) (value >> 8), (uint8_t) value};

	sdes_write_bytes(w, SDES_BYTES_OF(bytes));
}

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
