/*
 * reveal.h
 *		The door by which plaintext leaves: sdes.reveal(), and the rewrite that
 *		puts it around encrypted columns of a client's result.
 */
#ifndef SDES_REVEAL_H
#define SDES_REVEAL_H

/* Installs the parse and utility hooks; called once when preloaded. */
extern void sdes_reveal_init(void);

#endif
