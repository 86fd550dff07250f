/*
 * bytes.h
 *		A run of bytes, and big-endian numbers in it.
 *
 * SdesBytes borrows: it never owns what it points to. Reader and writer keep
 * a sticky failure, after which nothing more is consumed or written, so that a
 * codec reads straight down and checks once. They are inline: a value's header is
 * a dozen fields, for which so many calls would cost more than AES. memcpy is
 * never given a null pointer, not even for no bytes (C99, 7.21.1).
 */
#ifndef SDES_BYTES_H
#define SDES_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct SdesBytes
{
	const uint8_t *data;
	size_t size;
} SdesBytes;

/* The bytes of an array object, not of a pointer. */
#define SDES_BYTES_OF(array) ((SdesBytes){(const uint8_t *) (array), sizeof(array)})

static inline SdesBytes
sdes_bytes(const void *data, size_t size)
{
	return (SdesBytes){(const uint8_t *) data, size};
}

typedef struct SdesReader
{
	const uint8_t *at;
	size_t left;
	bool failed; /* something was read past the end */
} SdesReader;

typedef struct SdesWriter
{
	uint8_t *at;
	size_t left;
	bool failed; /* something did not fit */
} SdesWriter;

static inline SdesReader
sdes_reader(SdesBytes bytes)
{
	return (SdesReader){bytes.data, bytes.size, false};
}

/* A view of the next size bytes; data is NULL when fewer are left. */
static inline SdesBytes
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

/* Copies the next size bytes to out; out is zeroed when fewer are left. */
static inline void
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

/* The next size bytes, 8 at the most, as a number; 0 on failure. */
static inline uint64_t
sdes_read_big_endian(SdesReader *r, size_t size)
{
	SdesBytes view = sdes_read_bytes(r, size);
	uint64_t value = 0;

	for (size_t i = 0; i < view.size; i++)
		value = value << 8 | view.data[i];
	return value;
}

static inline uint8_t
sdes_read_u8(SdesReader *r)
{
	return (uint8_t) sdes_read_big_endian(r, 1);
}

static inline uint16_t
sdes_read_u16(SdesReader *r)
{
	return (uint16_t) sdes_read_big_endian(r, 2);
}

static inline uint32_t
sdes_read_u32(SdesReader *r)
{
	return (uint32_t) sdes_read_big_endian(r, 4);
}

static inline uint64_t
sdes_read_u64(SdesReader *r)
{
	return sdes_read_big_endian(r, 8);
}

/* True when nothing failed and nothing is left over. */
static inline bool
sdes_read_complete(const SdesReader *r)
{
	return !r->failed && r->left == 0;
}

static inline SdesWriter
sdes_writer(void *out, size_t size)
{
	return (SdesWriter){(uint8_t *) out, size, false};
}

static inline void
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

/* The last size bytes of a number, 8 at the most. */
static inline void
sdes_write_big_endian(SdesWriter *w, uint64_t value, size_t size)
{
	if (w->failed || size > w->left)
	{
		w->failed = true;
		return;
	}
	for (w->left -= size; size > 0; size--)
		*w->at++ = (uint8_t) (value >> 8 * (size - 1));
}

static inline void
sdes_write_u8(SdesWriter *w, uint8_t value)
{
	sdes_write_big_endian(w, value, 1);
}

static inline void
sdes_write_u16(SdesWriter *w, uint16_t value)
{
	sdes_write_big_endian(w, value, 2);
}

static inline void
sdes_write_u32(SdesWriter *w, uint32_t value)
{
	sdes_write_big_endian(w, value, 4);
}

static inline void
sdes_write_u64(SdesWriter *w, uint64_t value)
{
	sdes_write_big_endian(w, value, 8);
}

/* Lower-case hexadecimal digits, two for each byte, and a zero byte. */
extern void sdes_hex(SdesBytes bytes, char *out);

#endif
