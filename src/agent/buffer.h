/*
 * buffer.h
 *		Ordinary memory for a message that is too large for locked memory. It is
 *		wiped when it is given back, since there may be values in it.
 */
#ifndef SDES_AGENT_BUFFER_H
#define SDES_AGENT_BUFFER_H

#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

typedef struct SdesBuffer
{
	uint8_t *data; /* NULL when empty */
	size_t size;
} SdesBuffer;

/* False, and an empty buffer, without memory. */
static inline bool
sdes_buffer_new(SdesBuffer *buffer, size_t size)
{
	buffer->data = malloc(size);
	buffer->size = buffer->data != NULL ? size : 0;
	return buffer->data != NULL;
}

/* Leaves the buffer empty; one that is so is fine. */
static inline void
sdes_buffer_free(SdesBuffer *buffer)
{
	if (buffer->data != NULL)
		OPENSSL_cleanse(buffer->data, buffer->size);
	free(buffer->data);
	*buffer = (SdesBuffer){NULL, 0};
}

#endif
