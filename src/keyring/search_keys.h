/*
 * search_keys.h
 *		The numbers of the search keys. Private to this room; what others call is in
 *		keyring.h.
 */
#ifndef SDES_SEARCH_KEYS_H
#define SDES_SEARCH_KEYS_H

extern void sdes_search_keys_init(void);

/* An error: something is needed where it cannot be waited for, and is not at hand. */
extern void sdes_keyring_report_unprepared(void) __attribute__((noreturn));

#endif
