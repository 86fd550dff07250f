/*
 * value.h
 *		The only place that seals, opens and re-seals: policy, then keyring,
 *		then envelope.
 *
 * A sealed value is a varlena whose payload is an envelope. Plaintext comes in
 * and goes out as text in the server encoding; inside an envelope it is UTF-8.
 *
 * The bucket that governs a value is the one its key belongs to, never the one
 * that a type modifier names.
 */
#ifndef SDES_VALUE_H
#define SDES_VALUE_H

#include "postgres.h"

#include "envelope/envelope.h"
#include "keyring/keyring.h"
#include "sdes_compat.h"
#include "store/store.h"

/* Type modifiers: 26 bits of the bucket's hash, 5 bits of flags. */
#define SDES_TYPMOD_FLAG_BITS 5
#define SDES_TYPMOD_FLAGS(t)  ((t) & ((1 << SDES_TYPMOD_FLAG_BITS) - 1))
#define SDES_TYPMOD_HASH(t)   ((int32) ((uint32) (t) >> SDES_TYPMOD_FLAG_BITS))
#define SDES_TYPMOD(hash, flags)                                                           \
	((int32) ((uint32) (hash) << SDES_TYPMOD_FLAG_BITS) | (flags))

#define SDES_SEARCHABLE    0x01 /* values carry a token */
#define SDES_SEARCHABLE_CI 0x02 /* values carry a token of their lower-cased text */

/* Plaintext in the server encoding; a view. */
typedef struct SdesPlain
{
	const char *data;
	size_t size;
} SdesPlain;

typedef text *(*SdesMask)(const text *plain);

/* Bytes that a type may make of a plaintext before a token is made of it. */
#define SDES_TOKEN_INPUT_MAX 32

/* What sets one encrypted type apart from another. */
typedef struct SdesType
{
	uint32 tag;    /* SDES_TYPE_*, part of every value's AAD and of its token */
	uint32 ci_tag; /* of tokens of lower-cased text; 0: the type has none */

	/*
	 * Raises an error for what is no plaintext of the type, which it does not
	 * repeat; NULL where every text is one. For what comes in only: a value
	 * that is stored is never judged again.
	 */
	void (*check)(SdesPlain plain);

	/* What a role may see of a value that holds `mask` only. */
	SdesMask mask;

	/* Whether a text looks like a mask, not like a value. NULL: check refuses masks. */
	bool (*looks_masked)(SdesPlain plain);

	/*
	 * What of a plaintext counts when values are compared: writes it to out, at
	 * most SDES_TOKEN_INPUT_MAX bytes, and returns how many; 0 when the text
	 * counts as it is. NULL: it always does.
	 */
	size_t (*essence)(SdesBytes plain, uint8 *out);
} SdesType;

/*
 * Text given as input: plaintext is sealed for the bucket of typmod, for which
 * the current user needs `encrypt`. Without one (typmod < 0) it becomes a
 * literal: sealed under the system bucket's literal key, which nobody may
 * decrypt, to be compared or re-sealed into a column's bucket.
 *
 * Armor is refused, or taken as sdes_value_from_envelope() takes its bytes.
 */
extern struct varlena *sdes_value_from_text(SdesPlain plain, const SdesType *type,
                                            int32 typmod);

/*
 * Takes ciphertext in: only while restoring, replicating, or under
 * sdes.accept_ciphertext. It must be canonical, of this type, of the typmod's
 * bucket and, where the key is at hand, authentic. A key id unknown to this
 * database is accepted only while restoring.
 */
extern struct varlena *sdes_value_from_envelope(SdesBytes envelope, const SdesType *type,
                                                int32 typmod);

/* Whether ciphertext is taken as input now. */
extern bool sdes_value_takes_ciphertext(void);

/*
 * Brings a sealed value into the bucket of typmod: unchanged if it is there, a
 * literal for who may `encrypt`, any other for who may also `decrypt` it.
 */
extern struct varlena *sdes_value_reseal(struct varlena *value, const SdesType *type,
                                         int32 typmod);

/* Raises an error, with an audit record, for who lacks a privilege (SDES_PRIVILEGE_*). */
extern void sdes_value_require(const uint8 *bucket, int privilege);

/* Whether the current user may open a value and its key can be had, at once. */
extern bool sdes_value_can_open(struct varlena *value);

/* Counts the values that this process seals for columns. */
extern uint64 sdes_value_sealed_here(void);

/* Opens for who may `decrypt`, else raises an error. */
extern text *sdes_value_open(struct varlena *value, const SdesType *type);

/*
 * What the current user may see of a value: the plaintext with `decrypt`, what
 * mask makes of it with `mask`, else the armor. Never an error for want of a
 * privilege.
 */
extern text *sdes_value_reveal(struct varlena *value, const SdesType *type);

/*
 * The same for many values at once, which pays where the HSM opens them. Policy is
 * asked at the beginning, and not again.
 */
typedef struct SdesRevealing
{
	struct varlena *value;
	const SdesType *type;
	uint8 bucket[SDES_UUID_SIZE]; /* that the policy was asked about */
	bool masked;                  /* a mask is due */
	text *plain;
	SdesStatus status;
	bool is_utf8;
} SdesRevealing;

/*
 * False when there is nothing to be gained: sdes_value_reveal() it. *out borrows the
 * value.
 */
extern bool sdes_value_begin_revealing(struct varlena *value, const SdesType *type,
                                       SdesRevealing *out);

/* Opens them all; an error when the HSM does not answer. */
extern void sdes_value_open_revealing(SdesRevealing *items, int n);

/* What the user is to see of an opened one; an error if it is not authentic. */
extern text *sdes_value_revealed(SdesRevealing *item);

/* Wipes and frees what was opened. */
extern void sdes_value_wipe_revealing(SdesRevealing *items, int n);

/* The armor of a value as text. */
extern text *sdes_value_armor_text(struct varlena *value);

/* Whether the key that it is sealed under has a row here. */
extern bool sdes_value_has_known_key(struct varlena *value);

/*
 * Whether a value is a literal that no column has taken, and its text. Only for
 * constants of the statement that its own sender is about to be answered.
 */
extern bool sdes_value_is_literal(struct varlena *value);
extern text *sdes_value_literal(struct varlena *value, const SdesType *type);

/* The armor of a value, zero-terminated; *size is its length. */
extern char *sdes_value_armor(struct varlena *value, size_t *size);

/* The envelope's bytes of a value: an error unless they are canonical. */
extern SdesBytes sdes_value_envelope(struct varlena *value);

/* ---- re-encryption (the room rotation/ builds on it) ---- */

/* Bytes at the beginning of a value that tell its key, and all tokens. */
#define SDES_KEY_ID_PREFIX 11
#define SDES_TOKENS_PREFIX                                                                 \
	(SDES_ENVELOPE_HEADER_SIZE + SDES_ENVELOPE_MAX_TOKENS * SDES_ENVELOPE_TOKEN_FIELD)

/*
 * The key that a value is under, by its first SDES_KEY_ID_PREFIX bytes or more; false
 * for what is not an envelope. No proof that the rest of it is one.
 */
extern bool sdes_value_key_id(SdesBytes start, uint8 *key_id);

/*
 * Whether a value carries no tokens, or just those that a new one would get; true also
 * for what is no envelope. Its first SDES_TOKENS_PREFIX bytes, or all, are enough.
 */
extern bool sdes_value_tokens_current(SdesBytes start, const SdesSearchKeys *keys);

typedef struct SdesRenewing
{
	struct varlena *value; /* whole; borrowed */
	const SdesType *type;
	SdesStatus status;       /* other than SDES_OK for what is no authentic value */
	struct varlena *renewed; /* palloc'd; NULL unless it is SDES_OK */
} SdesRenewing;

/*
 * Seals what each value holds anew, under the active key of its bucket, with tokens of
 * the search keys in use where it carries any. Asks nobody who the user is: nothing of it is shown. An
 * error when a key cannot be had.
 */
extern void sdes_value_renew(SdesRenewing *items, int n);

/* ---- tokens (the room search/ builds on these) ---- */

/*
 * The token of a text under the search key, without asking who the user is. With
 * lower, of the lower-cased text as 'searchable_ci' columns store it; with as_lower
 * of a text that is lower-cased already.
 */
typedef enum SdesTokenKind
{
	SDES_TOKEN_EXACT,
	SDES_TOKEN_LOWER,
	SDES_TOKEN_AS_LOWER
} SdesTokenKind;

extern SdesToken sdes_token_of_text(SdesPlain plain, const SdesType *type,
                                    SdesTokenKind kind);

/* How a value can be compared. */
typedef enum SdesComparable
{
	SDES_BY_TOKEN,  /* it carries one */
	SDES_LITERAL,   /* opened under the literal key, which takes no privilege */
	SDES_BY_OPENING /* who may `decrypt` can have its token made */
} SdesComparable;

typedef struct SdesProbe
{
	SdesComparable how;
	uint8 bucket[SDES_UUID_SIZE]; /* that governs the value */
	SdesToken token;
} SdesProbe;

/*
 * The token of a value, its own or one that is made of what it holds. Asks for
 * `decrypt` where that has to be opened for it. kind is SDES_TOKEN_EXACT or
 * SDES_TOKEN_LOWER.
 */
extern void sdes_value_probe(struct varlena *value, const SdesType *type,
                             SdesTokenKind kind, SdesProbe *out);

/*
 * Whether a value can be compared with what a token is made of, by the current user and at
 * once: sdes_value_probe() would give no error then.
 */
extern bool sdes_value_can_probe(struct varlena *value, SdesTokenKind kind);

/*
 * Values that an index search may open in a statement: so many are put on record before,
 * since nothing can be waited for there.
 */
#define SDES_OPENED_UNDER_LOCK 1000000

/*
 * Before a value is given to an index to compare with: has the key at hand that opens
 * it, should that be needed and the user may. True where a token has to be made of it.
 */
extern bool sdes_value_make_ready(struct varlena *value);

/*
 * Says that ANALYZE is at work. What it compares are samples, in columns without
 * tokens, too (in arrays, composites, extended statistics): these count as all
 * different then, instead of an error.
 */
extern void sdes_value_set_analyzing(bool analyzing);

/* The plaintext by which the current user may sort a value: itself or its mask. */
extern text *sdes_value_sort_text(struct varlena *value, const SdesType *type,
                                  bool *masked);

/*
 * Whether this process has opened a value in the present transaction, so that what it
 * has at hand may be plaintext; and the note of it. (A parallel worker's leader does
 * not hear of that.)
 */
extern bool sdes_value_opened_here(void);
extern void sdes_value_note_opened(void);

/*
 * Raises an error where plaintext would end up in the work of a maintenance
 * command: ANALYZE, index builds, REFRESH MATERIALIZED VIEW.
 */
extern void sdes_value_forbid_maintenance(void);

#endif
