/*
 * internal.h
 *		What the files of this room share. Private to it.
 */
#ifndef SDES_VALUE_INTERNAL_H
#define SDES_VALUE_INTERNAL_H

#include "postgres.h"

#include "audit/audit.h"
#include "keyring/keyring.h"
#include "value/cipher.h"
#include "value/encoding.h"
#include "value/honey.h"
#include "value/value.h"

/* A dump is being restored, or changes are replicated. */
extern bool sdes_value_is_restoring(void);

/*
 * While a dump is restored, rows of keys and buckets come after or, in a
 * parallel restore, in the midst of the values.
 */
extern bool sdes_value_bucket_comes_later(int32 typmod);

/* False while pg_upgrade makes the extension's objects one by one. */
extern bool sdes_value_knows_keys(void);

/* The bucket of a modifier; an error for one that somebody made up. */
extern const SdesBucketRow *sdes_value_bucket_of(int32 typmod);

/* A varlena of that payload. */
extern struct varlena *sdes_value_make(size_t payload);

/* Reads a stored value's envelope; an error unless it is canonical. */
extern void sdes_value_parse(struct varlena *value, SdesEnvelope *envelope);

/* Seals for the bucket of typmod, for who may `encrypt`, or as a literal. */
extern struct varlena *sdes_value_seal(SdesPlain plain, const SdesType *type, int32 typmod);

/* A literal of that text that this statement has sealed already, copied; else NULL. */
extern struct varlena *sdes_value_same_literal(SdesPlain plain, const SdesType *type);
extern void sdes_value_keep_literal(SdesPlain plain, const SdesType *type,
                                    const struct varlena *value);

/* Whether an envelope carries the tokens that a modifier demands. */
extern bool sdes_value_fits(const SdesEnvelope *envelope, int32 typmod);

/* What is known of a value's key; an error when that is nothing. */
extern void sdes_value_owner(const SdesEnvelope *envelope, SdesKeyOwner *owner);

/*
 * The key of a value of that owner: what the policy was asked, and what is on record, is
 * of its bucket. An error when somebody has edited the key's row since.
 */
extern const SdesKey *sdes_value_key(const SdesEnvelope *envelope,
                                     const SdesKeyOwner *owner);

/* What it takes to open an envelope under its key. */
extern SdesOpening sdes_value_opening(const SdesKey *key, const SdesEnvelope *envelope,
                                      const SdesType *type);

/* Opens an envelope under its key, whoever the user is. */
extern text *sdes_value_open_under(const SdesKey *key, const SdesEnvelope *envelope,
                                   const SdesType *type);

/* The same, on record: the current user is to have what comes of it. */
extern text *sdes_value_open_for(const SdesEnvelope *envelope, const SdesKeyOwner *owner,
                                 const SdesType *type, SdesAuditOperation operation);

/* Wipes and frees a plaintext. */
extern void sdes_value_wipe(text *plain);

/* The tokens of a plaintext that a modifier demands, into the spec of a new value. */
extern void sdes_value_add_tokens(SdesBytes utf8, const SdesType *type, int32 typmod,
                                  SdesSealSpec *spec);

/* The same for a value that is sealed anew: what it carries stays if it can. */
extern void sdes_value_renew_tokens(const SdesEnvelope *envelope, SdesBytes utf8,
                                    const SdesType *type, SdesSealSpec *spec);

/*
 * The lower-cased form of a text in UTF-8, palloc'd; *size is its length. Bytes that
 * are not UTF-8 stay as they are.
 */
extern char *sdes_value_lower(SdesBytes utf8, size_t *size);

#endif
