/*
 * armor.h
 *		The text form of an envelope: "sdes1:" and base64url without padding
 *		(RFC 4648, section 5), byte for byte the envelope.
 *
 * Strict: one spelling per envelope. Unused trailing bits must be zero, and no
 * padding, white space or other alphabet is accepted.
 */
#ifndef SDES_ARMOR_H
#define SDES_ARMOR_H

#include "crypto/bytes.h"
#include "crypto/status.h"

#define SDES_ARMOR_PREFIX      "sdes1:"
#define SDES_ARMOR_PREFIX_SIZE 6

/* True when the text begins with the prefix. */
extern bool sdes_armor_marked(SdesBytes text);

/* Characters of the armor of so many bytes, without a terminating zero. */
extern size_t sdes_armor_size(size_t bytes);

/* Writes sdes_armor_size(bytes.size) characters to out, and no zero. */
extern void sdes_armor_encode(SdesBytes bytes, char *out);

/* Bytes that the armor of so many characters decodes to at the most. */
extern size_t sdes_armor_decoded_size(size_t chars);

/*
 * Decodes text, prefix included, into out, which holds
 * sdes_armor_decoded_size() bytes, and sets *size. SDES_ERR_FORMAT unless the
 * text is exactly what sdes_armor_encode() writes for those bytes.
 */
extern SdesStatus sdes_armor_decode(SdesBytes text, uint8_t *out, size_t *size);

#endif
