/*
 * bytes.h
 *		A run of bytes, and big-endian numbers in it.
 *
 * SdesBytes borrows: it never owns what it points to. Reader and writer keep
 * a sticky failure, so that a codec reads straight down and checks once.
 */
#ifndef SDES_BYTES_H
#define SDES_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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

extern SdesReader sdes_reader(SdesBytes bytes);
extern uint8_t sdes_read_u8(SdesReader *r);
extern uint16_t sdes_read_u16(SdesReader *r);
extern uint32_t sdes_read_u32(SdesReader *r);
extern uint64_t sdes_read_u64(SdesReader *r);
/* A view of the next size bytes; data is NULL when fewer are left. */
extern SdesBytes sdes_read_bytes(SdesReader *r, size_t size);
/* Copies the next size bytes to out; out is zeroed when fewer are left. */
extern void sdes_read_into(SdesReader *r, void *out, size_t size);
/* True when nothing failed and nothing is left over. */
extern bool sdes_read_complete(const SdesReader *r);

extern SdesWriter sdes_writer(void *out, size_t size);
extern void sdes_write_u8(SdesWriter *w, uint8_t value);
extern void sdes_write_u16(SdesWriter *w, uint16_t value);
extern void sdes_write_u32(SdesWriter *w, uint32_t value);
extern void sdes_write_u64(SdesWriter *w, uint64_t value);
extern void sdes_write_bytes(SdesWriter *w, SdesBytes bytes);

/* Lower-case hexadecimal digits, two for each byte, and a zero byte. */
extern void sdes_hex(SdesBytes bytes, char *out);

#endif
