/*
 * encoding.h
 *		Server encoding to UTF-8 and back. Private to this room.
 *
 * Sealed plaintext is UTF-8 whatever the database's encoding is, so that a
 * dump may change the encoding. Bytes of a SQL_ASCII database that are not
 * UTF-8 are sealed as they are, and marked.
 */
#ifndef SDES_ENCODING_H
#define SDES_ENCODING_H

#include "value/value.h"

typedef struct SdesUtf8
{
	SdesBytes bytes;
	bool valid;  /* false: not UTF-8, sealed as they are */
	char *owned; /* wiped and freed by sdes_utf8_free(); NULL: bytes borrow */
} SdesUtf8;

extern void sdes_to_utf8(SdesPlain plain, SdesUtf8 *out);
extern void sdes_utf8_free(SdesUtf8 *utf8);

/*
 * Turns an opened plaintext into the server encoding; returns plain itself
 * when there is nothing to do, else wipes and frees it. is_utf8 is false for
 * marked bytes.
 */
extern text *sdes_from_utf8(text *plain, bool is_utf8);

#endif
