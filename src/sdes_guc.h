/*
 * sdes_guc.h
 *		The settings, and whether sdes was preloaded.
 */
#ifndef SDES_GUC_H
#define SDES_GUC_H

#include "postgres.h"

/* Strings are never NULL once sdes_guc_init() has run; empty means not set. */
extern char *sdes_pkcs11_module;
extern char *sdes_pkcs11_init_args;
extern char *sdes_pkcs11_token;
extern char *sdes_pin_source;
extern char *sdes_agent_socket;
extern char *sdes_crypto_provider; /* a name, unchecked: see sdes_crypto.c */
extern bool sdes_accept_ciphertext;
extern bool sdes_redact;
extern int sdes_key_cache_ttl;     /* s: a key is fetched anew after that */
extern int sdes_key_cache_max_age; /* s: and not used any more after that */

extern int sdes_rotation_batch_rows;
extern double sdes_rotation_share; /* percent of the time that a rotation worker works */
extern int sdes_rotation_max_lag;  /* MB, -1: any */
extern int sdes_rotation_naptime;
extern char *sdes_audit_directory;
extern char *sdes_audit_mirror;  /* empty: none */
extern int sdes_audit_timeout;   /* ms */
extern int sdes_audit_retention; /* min */

/* The hours of sdes.rotation_window, in minutes after midnight; false: always. */
extern bool sdes_rotation_window_minutes(int *from, int *to);

extern void sdes_guc_init(void);

/*
 * True in a server that loaded sdes at its start: only then are the hooks, the
 * shared memory and the supervisor there.
 */
extern bool sdes_is_preloaded(void);

/* Raises an error that says how to preload. */
extern void sdes_require_preload(void);

#endif
