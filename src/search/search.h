/*
 * search.h
 *		Comparing encrypted values: by tokens, and in the order of their plaintext.
 */
#ifndef SDES_SEARCH_H
#define SDES_SEARCH_H

/* Installs this room's hooks; called once when preloaded. */
extern void sdes_search_init(void);

#endif
