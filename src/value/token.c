/*
 * token.c
 *		Search tokens: what makes them of a text, of a plaintext to be sealed, and of
 *		a value that is compared.
 *
 * A token is the first 128 bits of HMAC-SHA-256 (FIPS 198-1) under a key of the
 * database's search key, over a tag (four bytes) and the text in UTF-8; what the tag
 * is, and what of the text counts, the type says. One search key serves all buckets of
 * a database, so that values of two buckets can be joined.
 *
 * Tokens are no secret to whoever reads the table, but to make one is to guess. This
 * file asks nobody: search/ does, where tokens are made to be compared.
 */
#include "postgres.h"

#include "access/xact.h"
#include "crypto/mac.h"
#include "crypto/secret.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "sdes_compat.h"
#include "policy/policy.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "value/internal.h"

/* What a stored search_key can hold. */
#define LAST_SEARCH_KEY 65535

static SdesToken
make_token(const SdesKey *key, SdesBytes input, uint32 tag)
{
	uint8 tag_bytes[4] = {(uint8) (tag >> 24), (uint8) (tag >> 16), (uint8) (tag >> 8),
	                      (uint8) tag};
	SdesBytes pieces[2] = {SDES_BYTES_OF(tag_bytes), input};
	uint8 mac[SDES_MAC_SIZE];
	SdesToken token;

	if (key->version > LAST_SEARCH_KEY)
		elog(ERROR, "search key has version %u", key->version);
	sdes_check(sdes_mac(key->mac, pieces, 2, mac));
	token.search_key = (uint16) key->version;
	memcpy(token.token, mac, SDES_TOKEN_SIZE);
	sdes_wipe(mac, sizeof(mac));
	return token;
}

static SdesToken
exact_token(const SdesKey *key, SdesBytes utf8, const SdesType *type)
{
	uint8 essence[SDES_TOKEN_INPUT_MAX];
	size_t size = type->essence ? type->essence(utf8, essence) : 0;
	SdesToken token =
	    make_token(key, size > 0 ? sdes_bytes(essence, size) : utf8, type->tag);

	sdes_wipe(essence, sizeof(essence));
	return token;
}

static SdesToken
lower_token(const SdesKey *key, SdesBytes utf8, const SdesType *type)
{
	size_t size;
	char *lower = sdes_value_lower(utf8, &size);
	SdesToken token = make_token(key, sdes_bytes(lower, size), type->ci_tag);

	sdes_wipe(lower, size);
	pfree(lower);
	return token;
}

/* Nothing is derived from the text before key is at hand: a fetch can fail. */
static SdesToken
token_under(const SdesKey *key, SdesBytes utf8, const SdesType *type, SdesTokenKind kind)
{
	switch (kind)
	{
		case SDES_TOKEN_LOWER:
			return lower_token(key, utf8, type);
		case SDES_TOKEN_AS_LOWER:
			return make_token(key, utf8, type->ci_tag);
		default:
			return exact_token(key, utf8, type);
	}
}

static SdesToken
token_of(SdesBytes utf8, const SdesType *type, SdesTokenKind kind)
{
	return token_under(sdes_keyring_search(), utf8, type, kind);
}

/*
 * The tokens that a new value carries, of one kind: that of the search key, and while
 * another is to succeed it, that key's.
 */
static int
tokens_of(SdesBytes utf8, const SdesType *type, SdesTokenKind kind, SdesToken out[2])
{
	const SdesKey *next;

	out[0] = token_of(utf8, type, kind);
	next = sdes_keyring_search_next();
	if (next == NULL)
		return 1;
	out[1] = token_under(next, utf8, type, kind);
	return 2;
}

void
sdes_value_add_tokens(SdesBytes utf8, const SdesType *type, int32 typmod,
                      SdesSealSpec *spec)
{
	if (typmod & SDES_SEARCHABLE)
		spec->ntokens = tokens_of(utf8, type, SDES_TOKEN_EXACT, spec->tokens);
	if (typmod & SDES_SEARCHABLE_CI)
		spec->nci = tokens_of(utf8, type, SDES_TOKEN_LOWER, spec->ci);
}

static bool
tokens_are(const SdesToken *tokens, int n, const SdesSearchKeys *keys)
{
	if (n == 0)
		return true;
	return tokens[0].search_key == keys->current && n == (keys->next != 0 ? 2 : 1) &&
	       (n == 1 || tokens[1].search_key == keys->next);
}

bool
sdes_value_tokens_current(SdesBytes start, const SdesSearchKeys *keys)
{
	SdesEnvelope envelope;

	return sdes_envelope_parse_header(start, &envelope) != SDES_OK ||
	       (tokens_are(envelope.tokens, envelope.ntokens, keys) &&
	        tokens_are(envelope.ci, envelope.nci, keys));
}

void
sdes_value_renew_tokens(const SdesEnvelope *envelope, SdesBytes utf8, const SdesType *type,
                        SdesSealSpec *spec)
{
	SdesSearchKeys keys = sdes_keyring_search_keys();

	spec->ntokens = envelope->ntokens;
	memcpy(spec->tokens, envelope->tokens, sizeof(spec->tokens));
	spec->nci = envelope->nci;
	memcpy(spec->ci, envelope->ci, sizeof(spec->ci));
	if (!tokens_are(spec->tokens, spec->ntokens, &keys))
		spec->ntokens = tokens_of(utf8, type, SDES_TOKEN_EXACT, spec->tokens);
	if (!tokens_are(spec->ci, spec->nci, &keys))
		spec->nci = tokens_of(utf8, type, SDES_TOKEN_LOWER, spec->ci);
}

SdesToken
sdes_token_of_text(SdesPlain plain, const SdesType *type, SdesTokenKind kind)
{
	SdesToken token;
	SdesUtf8 utf8;

	sdes_require_preload();
	sdes_keyring_search(); /* while there is no copy yet that an error would leave */
	sdes_to_utf8(plain, &utf8);
	token = token_of(utf8.bytes, type, kind);
	sdes_utf8_free(&utf8);
	return token;
}

/*
 * The token that a value carries; false if it has none of that kind. Of two, that of the
 * search key in use counts: all values of a table have it, whether they were sealed
 * before or after the other was made.
 */
static bool
own_token(const SdesEnvelope *envelope, SdesTokenKind kind, SdesToken *token)
{
	bool lower = kind == SDES_TOKEN_LOWER;
	const SdesToken *tokens = lower ? envelope->ci : envelope->tokens;
	int n = lower ? envelope->nci : envelope->ntokens;

	if (n == 0)
		return false;
	*token = tokens[0];
	if (n == 2 && tokens[1].search_key == sdes_keyring_search_keys().current)
		*token = tokens[1];
	return true;
}

/*
 * Tokens made of values in this statement, by key, nonce and tag, which no other
 * value has: a sort, or the descent of an index, meets the same ones over and over.
 */
#define KEPT 256

typedef struct Kept
{
	uint8 nonce[SDES_NONCE_SIZE];
	uint8 tag[SDES_AEAD_TAG_SIZE];
	uint8 key_id[SDES_KEY_ID_SIZE];
	uint32 type;
	SdesTokenKind kind;
	TimestampTz statement; /* in which it was made; 0: never */
	SdesToken token;
} Kept;

static Kept kept[KEPT];

static Kept *
kept_of(const SdesEnvelope *envelope, SdesTokenKind kind)
{
	return &kept[(envelope->sealed.nonce[0] ^ (kind << 4)) % KEPT];
}

static bool
is_kept(const Kept *entry, const SdesEnvelope *envelope, const SdesType *type,
        SdesTokenKind kind)
{
	return entry->statement == GetCurrentStatementStartTimestamp() && entry->kind == kind &&
	       entry->token.search_key == sdes_keyring_search_keys().current &&
	       entry->type == type->tag &&
	       memcmp(entry->nonce, envelope->sealed.nonce, SDES_NONCE_SIZE) == 0 &&
	       memcmp(entry->tag, envelope->sealed.tag, SDES_AEAD_TAG_SIZE) == 0 &&
	       memcmp(entry->key_id, envelope->key_id, SDES_KEY_ID_SIZE) == 0;
}

/* The token of what a value holds, whoever the user is. */
static SdesToken
made_token(const SdesEnvelope *envelope, const SdesKeyOwner *owner, const SdesType *type,
           SdesTokenKind kind)
{
	Kept *entry = kept_of(envelope, kind);
	text *plain;
	SdesToken token;

	if (is_kept(entry, envelope, type, kind))
		return entry->token;
	sdes_keyring_search(); /* while there is no plaintext yet that an error would leave */
	plain = sdes_value_open_under(sdes_value_key(envelope, owner), envelope, type);
	token = sdes_token_of_text((SdesPlain){VARDATA(plain), VARSIZE(plain) - VARHDRSZ}, type,
	                           kind);
	sdes_value_wipe(plain);
	memcpy(entry->nonce, envelope->sealed.nonce, SDES_NONCE_SIZE);
	memcpy(entry->tag, envelope->sealed.tag, SDES_AEAD_TAG_SIZE);
	memcpy(entry->key_id, envelope->key_id, SDES_KEY_ID_SIZE);
	entry->type = type->tag;
	entry->kind = kind;
	entry->token = token;
	entry->statement = GetCurrentStatementStartTimestamp();
	return token;
}

/*
 * An index compares with a value that carries no token: one that was given to it, which
 * can be opened if that needs no waiting, or one that it holds.
 */
static void
refuse_under_lock(const SdesKeyOwner *owner)
{
	if (sdes_must_not_wait() &&
	    (owner->mode == SDES_MODE_HSM || GetDatabaseEncoding() != PG_UTF8))
		ereport(ERROR,
		        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		         errmsg("an encrypted value without a search token cannot be compared by "
		                "an index"),
		         errhint("Give the index its text, as in email = other::text."),
		         SDES_KEEP_OUT_OF_LOG));
}

static bool analyzing = false;

void
sdes_value_set_analyzing(bool now)
{
	analyzing = now;
}

/* No search key has this number. */
#define NO_SEARCH_KEY 0

/* For ANALYZE: what no other value has, in place of a token. */
static bool
stand_in(const SdesEnvelope *envelope, SdesToken *token)
{
	if (!InSecurityRestrictedOperation() || !(analyzing || SDES_IS_AUTOVACUUM_WORKER()))
		return false;
	token->search_key = NO_SEARCH_KEY;
	memcpy(token->token, envelope->sealed.tag, SDES_TOKEN_SIZE);
	return true;
}

void
sdes_value_probe(struct varlena *value, const SdesType *type, SdesTokenKind kind,
                 SdesProbe *out)
{
	SdesEnvelope envelope;
	SdesKeyOwner owner;

	sdes_require_preload();
	sdes_value_parse(value, &envelope);
	sdes_value_owner(&envelope, &owner);
	memcpy(out->bucket, owner.bucket, SDES_UUID_SIZE);
	if (own_token(&envelope, kind, &out->token))
	{
		out->how = SDES_BY_TOKEN;
		return;
	}
	out->how = owner.purpose == SDES_PURPOSE_LITERAL ? SDES_LITERAL : SDES_BY_OPENING;
	if (out->how == SDES_BY_OPENING)
	{
		if (stand_in(&envelope, &out->token))
			return;
		refuse_under_lock(&owner);
		sdes_value_forbid_maintenance();
		sdes_value_require(owner.bucket, SDES_PRIVILEGE_DECRYPT);
		sdes_audit_use(owner.bucket, SDES_AUDIT_SEARCH, 1);
	}
	out->token = made_token(&envelope, &owner, type, kind);
}

bool
sdes_value_can_probe(struct varlena *value, SdesTokenKind kind)
{
	SdesEnvelope envelope;
	SdesKeyOwner owner;
	SdesToken token;

	sdes_require_preload();
	sdes_value_parse(value, &envelope);
	if (!sdes_keyring_owner(envelope.key_id, &owner))
		return false;
	if (own_token(&envelope, kind, &token))
		return (sdes_policy_privileges(owner.bucket) &
		        (SDES_PRIVILEGE_SEARCH |
		         (kind == SDES_TOKEN_LOWER ? SDES_PRIVILEGE_DECRYPT : 0))) != 0;
	if (!sdes_keyring_can_search())
		return false;
	if (owner.purpose == SDES_PURPOSE_LITERAL)
		return sdes_keyring_try(envelope.key_id) != NULL;
	return sdes_value_can_open(value);
}

bool
sdes_value_make_ready(struct varlena *value)
{
	SdesEnvelope envelope;
	SdesKeyOwner owner;

	sdes_value_parse(value, &envelope);
	if (envelope.ntokens > 0 || !sdes_keyring_owner(envelope.key_id, &owner))
		return false;
	if (owner.purpose != SDES_PURPOSE_LITERAL &&
	    (sdes_policy_privileges(owner.bucket) & SDES_PRIVILEGE_DECRYPT))
	{
		sdes_keyring_by_id(envelope.key_id);
		sdes_audit_expect(owner.bucket, SDES_AUDIT_SEARCH, SDES_OPENED_UNDER_LOCK);
	}
	return true;
}

text *
sdes_value_sort_text(struct varlena *value, const SdesType *type, bool *masked)
{
	SdesEnvelope envelope;
	SdesKeyOwner owner;
	text *plain;
	text *mask;

	sdes_require_preload();
	sdes_value_forbid_maintenance();
	sdes_value_parse(value, &envelope);
	sdes_value_owner(&envelope, &owner);
	*masked = false;
	/* An order tells more of a literal than a comparison: it may be somebody else's. */
	if (owner.purpose == SDES_PURPOSE_LITERAL &&
	    !sdes_policy_anywhere(SDES_PRIVILEGE_DECRYPT))
		sdes_policy_require(owner.bucket, SDES_PRIVILEGE_DECRYPT); /* raises */
	if (owner.purpose != SDES_PURPOSE_LITERAL)
	{
		int privileges = sdes_policy_privileges(owner.bucket);

		*masked = !(privileges & SDES_PRIVILEGE_DECRYPT) &&
		          (privileges & SDES_PRIVILEGE_MASK) != 0;
		if (!*masked)
			sdes_value_require(owner.bucket, SDES_PRIVILEGE_DECRYPT);
	}
	plain = sdes_value_open_for(&envelope, &owner, type, SDES_AUDIT_SORT);
	if (!*masked)
		return plain;
	mask = type->mask(plain);
	sdes_value_wipe(plain);
	return mask;
}
