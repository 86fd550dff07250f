/*
 * fuzz.h
 *		What the fuzz targets share: how a broken property ends a run, and the
 *		key, secret and context that seeds.c and the targets agree on.
 *
 * A target is one call, LLVMFuzzerTestOneInput() (libFuzzer), that feeds an
 * input to a parser and requires what must hold of the result. The input comes
 * in memory of exactly its size, so that AddressSanitizer sees an overrun.
 */
#ifndef SDES_FUZZ_H
#define SDES_FUZZ_H

#include "agent/protocol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUZZ_BYTE 0x5a /* of which the key, the secret and the ids consist */

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the run, so that libFuzzer keeps the input. */
#define REQUIRE(condition)                                                                 \
	do                                                                                     \
	{                                                                                      \
		if (!(condition))                                                                  \
			fuzz_broken(#condition, __FILE__, __LINE__);                                   \
	} while (0)

static inline void
fuzz_broken(const char *condition, const char *file, int line)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
	abort();
}

/* Memory of exactly that size, for out-parameters; the caller frees it. */
static inline void *
fuzz_room(size_t size)
{
	void *room = malloc(size);

	REQUIRE(room != NULL || size == 0);
	return room;
}

/* The input as a string in memory of exactly its size; the caller frees it. */
static inline char *
fuzz_string(SdesBytes bytes)
{
	char *text = (char *) fuzz_room(bytes.size + 1);

	if (bytes.size > 0)
		memcpy(text, bytes.data, bytes.size);
	text[bytes.size] = '\0';
	return text;
}

static inline bool
fuzz_same(SdesBytes a, SdesBytes b)
{
	return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* The first byte of the input, which is taken off; 0 when there is none. */
static inline uint8_t
fuzz_take_byte(SdesBytes *input)
{
	uint8_t byte = input->size > 0 ? input->data[0] : 0;

	if (input->size > 0)
		*input = sdes_bytes(input->data + 1, input->size - 1);
	return byte;
}

/*
 * How many of the bytes that are left come next: all for seed 0, else a number
 * from 1 on that looks random and depends on the seed alone. Larger ones when much
 * is left, which would only take time.
 */
static inline size_t
fuzz_chunk(uint32_t *seed, size_t left)
{
	size_t size;

	if (*seed == 0)
		return left;
	*seed = *seed * 1664525 + 1013904223; /* Numerical Recipes, "quick and dirty" */
	size = 1 + (*seed >> 16) % (24 + left / 4);
	return size < left ? size : left;
}

#endif
