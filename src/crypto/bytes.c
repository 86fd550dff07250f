/*
 * bytes.c
 *		Reading and writing big-endian fields in a run of bytes.
 *
 * Invariant: after a failure nothing more is consumed or written, so that one
 * check at the end of a codec covers every field before it. memcpy is never
 * given a null pointer, not even for no bytes (C99, 7.21.1).
 */
#include "crypto/bytes.h"

#include <string.h>

SdesReader
sdes_reader(SdesBytes bytes)
{
	return (SdesReader){bytes.data, bytes.size, false};
}

SdesBytes
sdes_read_bytes(SdesReader *r, size_t size)
{
	SdesBytes view = {r->at, size};

	if (r->failed || size > r->left)
	{
		r->failed = true;
		return (SdesBytes){NULL, 0};
	}
	if (size > 0)
	{
		r->at += size;
		r->left -= size;
	}
	return view;
}

void
sdes_read_into(SdesReader *r, void *out, size_t size)
{
	SdesBytes view = sdes_read_bytes(r, size);

	if (size == 0)
		return;
	if (r->failed)
		memset(out, 0, size);
	else
		memcpy(out, view.data, size);
}

/* The next size bytes, 4 at the most, as a big-endian number; 0 on failure. */
static uint32_t
read_number(SdesReader *r, size_t size)
{
	SdesBytes view = sdes_read_bytes(r, size);
	uint32_t value = 0;

	for (size_t i = 0; i < view.size; i++)
		value = value << 8 | view.data[i];
	return value;
}

uint8_t
sdes_read_u8(SdesReader *r)
{
	return (uint8_t) read_number(r, 1);
}

uint16_t
sdes_read_u16(SdesReader *r)
{
	return (uint16_t) read_number(r, 2);
}

uint32_t
sdes_read_u32(SdesReader *r)
{
	return read_number(r, 4);
}

uint64_t
sdes_read_u64(SdesReader *r)
{
	uint64_t high = sdes_read_u32(r);

	return high << 32 | sdes_read_u32(r);
}

bool
sdes_read_complete(const SdesReader *r)
{
	return !r->failed && r->left == 0;
}

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
