/*
 * nonce.h
 *		96-bit random nonces for AES-GCM, drawn from a buffer.
 *
 * Invariant: no nonce is handed out twice, in this process or in any that was
 * forked from it. The buffer is empty until the first use in a process, is
 * tagged with the pid that filled it, is wiped by the kernel on fork
 * (MADV_WIPEONFORK), and each nonce is erased from it as it is handed out.
 */
#ifndef SDES_NONCE_H
#define SDES_NONCE_H

#include "crypto/status.h"

#include <stdint.h>

#define SDES_NONCE_SIZE 12 /* NIST SP 800-38D, 8.2.2 */

extern SdesStatus sdes_nonce(uint8_t out[SDES_NONCE_SIZE]);

#endif
