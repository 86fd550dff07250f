/*
 * compare.c
 *		Equality by tokens.
 *
 * Two values that carry tokens are compared by these alone, which anybody may who can
 * read the table. Where a token has to be made, of a text, a literal or a value that
 * carries none, that is a guess at the other side, and takes a privilege.
 *
 * Comparisons run with a page of an index locked. All they need then was made ready
 * when the statement began (prepare.c); nothing here waits or reads a catalog.
 */
#include "postgres.h"

#include "search/compare.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "audit/audit.h"
#include "common/hashfn.h"
#include "crypto/secret.h"
#include "policy/policy.h"
#include "replication/logicalworker.h"
#include "sdes_compat.h"
#include "sdes_errors.h"
#include "types/loading.h"
#include "utils/inval.h"

/* One side of a comparison, with its token. */
typedef struct Operand
{
	bool made; /* the token was made for this comparison */
	bool has_bucket;
	uint8 bucket[SDES_UUID_SIZE];
	SdesToken token;
} Operand;

/* ---- tokens of texts ---- */

/*
 * The descent of an index compares one text with many values, a scan with a list of
 * texts each value with all of them. The texts are plaintext: they are wiped when the
 * transaction ends.
 */
#define KEPT      16
#define KEPT_TEXT 256

typedef struct KeptText
{
	const SdesType *type; /* NULL: not used */
	SdesTokenKind kind;
	size_t size;
	char text[KEPT_TEXT];
	SdesToken token;
} KeptText;

static KeptText kept[KEPT];
static bool any_kept = false;

static void
forget_texts(XactEvent event, void *arg)
{
	if (any_kept)
		sdes_wipe(kept, sizeof(kept));
	any_kept = false;
}

/* Tokens made before the search key was succeeded would not compare. */
static Oid dek_table = InvalidOid;

static void
forget_texts_of_old_keys(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == dek_table)
		forget_texts(XACT_EVENT_COMMIT, NULL);
}

void
sdes_compare_init(void)
{
	RegisterXactCallback(forget_texts, NULL);
	CacheRegisterRelcacheCallback(forget_texts_of_old_keys, (Datum) 0);
}

static SdesToken
token_of_plain(SdesPlain plain, const SdesType *type, SdesTokenKind kind)
{
	KeptText *entry;

	if (plain.size > KEPT_TEXT)
		return sdes_token_of_text(plain, type, kind);
	entry = &kept[hash_bytes((const unsigned char *) plain.data, (int) plain.size) % KEPT];
	if (entry->type == type && entry->kind == kind && entry->size == plain.size &&
	    memcmp(entry->text, plain.data, plain.size) == 0)
		return entry->token;
	entry->type = NULL;
	entry->token = sdes_token_of_text(plain, type, kind);
	entry->kind = kind;
	entry->size = plain.size;
	memcpy(entry->text, plain.data, plain.size);
	entry->type = type;
	any_kept = true;
	if (!OidIsValid(dek_table) && !sdes_must_not_wait())
		dek_table = sdes_table_oid(SDES_TABLE_DEK);
	return entry->token;
}

/* ---- operands ---- */

static Operand
operand_of_text(Datum argument, const SdesType *type, SdesTokenKind kind)
{
	text *value = DatumGetTextPP(argument);
	Operand operand = {.made = true};

	if (kind == SDES_TOKEN_LOWER)
		kind = SDES_TOKEN_AS_LOWER;
	operand.token = token_of_plain(
	    (SdesPlain){VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)}, type, kind);
	if ((Pointer) value != DatumGetPointer(argument))
		pfree(value);
	return operand;
}

static Operand
operand_of_value(Datum argument, const SdesType *type, SdesTokenKind kind)
{
	struct varlena *value = PG_DETOAST_DATUM_PACKED(argument);
	Operand operand = {0};
	SdesProbe probe;

	sdes_value_probe(value, type, kind, &probe);
	operand.made = probe.how != SDES_BY_TOKEN;
	operand.has_bucket = probe.how != SDES_LITERAL;
	memcpy(operand.bucket, probe.bucket, SDES_UUID_SIZE);
	operand.token = probe.token;
	if ((Pointer) value != DatumGetPointer(argument))
		pfree(value);
	return operand;
}

static Operand
operand_of(SdesSide side, Datum argument, const SdesType *type, SdesTokenKind kind)
{
	return side == SDES_PLAIN ? operand_of_text(argument, type, kind)
	                          : operand_of_value(argument, type, kind);
}

/* Who guesses at nothing that is stored needs a privilege somewhere all the same. */
static void
require_anywhere(SdesTokenKind kind)
{
	int privileges = SDES_PRIVILEGE_SEARCH | SDES_PRIVILEGE_ENCRYPT;

	if (kind == SDES_TOKEN_LOWER)
		privileges |= SDES_PRIVILEGE_DECRYPT; /* see may_open() */
	if (sdes_policy_anywhere(privileges))
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
	                errmsg("permission denied to make search tokens"),
	                errhint("It takes search or encrypt on some bucket: an officer can "
	                        "grant it with sdes.grant_access()."),
	                SDES_KEEP_OUT_OF_LOG));
}

/* Who may decrypt gets the same answer from lower(), which this stands for. */
static bool
may_open(SdesTokenKind kind, const uint8 *bucket)
{
	return kind == SDES_TOKEN_LOWER &&
	       (sdes_policy_privileges(bucket) & SDES_PRIVILEGE_DECRYPT) != 0;
}

static void
require_guess(SdesTokenKind kind, const Operand *guess, const Operand *other)
{
	if (!guess->made)
		return;
	/* Who had it opened for the token may decrypt it. */
	if (!other->made)
	{
		if (!may_open(kind, other->bucket))
			sdes_value_require(other->bucket, SDES_PRIVILEGE_SEARCH);
		sdes_audit_use(other->bucket, SDES_AUDIT_SEARCH, 0);
	}
	else if (!guess->has_bucket && !other->has_bucket)
		require_anywhere(kind);
}

static int
compare_tokens(const SdesToken *left, const SdesToken *right)
{
	if (left->search_key != right->search_key)
		ereport(ERROR,
		        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
		         errmsg("search tokens of different search keys cannot be compared"),
		         errdetail("One value has a token of search key %u, the other of search "
		                   "key %u.",
		                   left->search_key, right->search_key),
		         SDES_KEEP_OUT_OF_LOG));
	return memcmp(left->token, right->token, SDES_TOKEN_SIZE);
}

/* ---- the short way: both carry a token ---- */

/* As much of a value as its header can take. */
#define HEAD_SIZE                                                                          \
	(SDES_ENVELOPE_HEADER_SIZE + SDES_ENVELOPE_MAX_TOKENS * SDES_ENVELOPE_TOKEN_FIELD)

static void
read_token(const uint8 *bytes, SdesToken *token)
{
	token->search_key = (uint16) (bytes[0] << 8 | bytes[1]);
	memcpy(token->token, bytes + 2, SDES_TOKEN_SIZE);
}

/* The tokens of a kind in a header; how many. 0 when that takes a closer look. */
static int
read_tokens(const uint8 *bytes, size_t size, SdesTokenKind kind, SdesToken tokens[2])
{
	uint8 one = kind == SDES_TOKEN_LOWER ? SDES_ENVELOPE_CI : SDES_ENVELOPE_TOKEN;
	uint8 two = kind == SDES_TOKEN_LOWER ? SDES_ENVELOPE_CI2 : SDES_ENVELOPE_TOKEN2;
	size_t at = SDES_ENVELOPE_HEADER_SIZE;
	int n;

	if (size < at || bytes[0] != SDES_ENVELOPE_MARKER ||
	    (bytes[1] != SDES_SUITE_AES_256_GCM && bytes[1] != SDES_SUITE_AES_256_GCM_HSM) ||
	    (bytes[2] & one) == 0)
		return 0;
	n = (bytes[2] & two) != 0 ? 2 : 1;
	if (kind == SDES_TOKEN_LOWER)
		at += (!!(bytes[2] & SDES_ENVELOPE_TOKEN) + !!(bytes[2] & SDES_ENVELOPE_TOKEN2)) *
		      SDES_ENVELOPE_TOKEN_FIELD;
	if (size < at + n * SDES_ENVELOPE_TOKEN_FIELD)
		return 0;
	for (int i = 0; i < n; i++)
		read_token(bytes + at + i * SDES_ENVELOPE_TOKEN_FIELD, &tokens[i]);
	return n;
}

static int
carried_tokens(Datum argument, SdesTokenKind kind, SdesToken tokens[2])
{
	struct varlena *value = (struct varlena *) DatumGetPointer(argument);
	struct varlena *head = NULL;
	int n;

	if (VARATT_IS_EXTERNAL(value) || VARATT_IS_COMPRESSED(value))
		value = head = (struct varlena *) pg_detoast_datum_slice(value, 0, HEAD_SIZE);
	n = read_tokens((const uint8 *) VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), kind,
	                tokens);
	if (head != NULL)
		pfree(head);
	return n;
}

/*
 * The token in a value's header; false when that takes a closer look. Of two, that of the
 * search key in use counts; see sdes_value_probe().
 */
static bool
peek(Datum argument, SdesTokenKind kind, SdesToken *token)
{
	SdesToken tokens[2];
	int n = carried_tokens(argument, kind, tokens);

	if (n == 0)
		return false;
	*token = n == 2 && tokens[1].search_key == sdes_keyring_search_keys().current
	             ? tokens[1]
	             : tokens[0];
	return true;
}

/* ---- while a dump is restored ---- */

static bool
can_compare(SdesSide side, Datum argument, SdesTokenKind kind)
{
	return side == SDES_PLAIN
	           ? sdes_keyring_can_search()
	           : sdes_value_can_probe(PG_DETOAST_DATUM_PACKED(argument), kind);
}

/* Whether a constraint compares what cannot be compared before the keys are there. */
static bool
is_unknown(SdesTokenKind kind, SdesSide left, SdesSide right, PG_FUNCTION_ARGS)
{
	return sdes_is_loading() &&
	       !(can_compare(left, PG_GETARG_DATUM(0), kind) &&
	         can_compare(right, PG_GETARG_DATUM(1), kind)) &&
	       sdes_loading_passes(fcinfo->flinfo);
}

/* ---- the applier's way: by bytes ---- */

/*
 * A subscriber looks for a row by all of its columns where the table's replica identity is
 * FULL, also one that has no keys. The same bytes are the same value. Others are another
 * one where a key is not known here: nobody can have sealed it anew since it arrived.
 */
static bool
compare_bytes(Datum left, Datum right, int *result)
{
	struct varlena *a = PG_DETOAST_DATUM_PACKED(left);
	struct varlena *b = PG_DETOAST_DATUM_PACKED(right);
	size_t size = VARSIZE_ANY_EXHDR(a);

	if (size != VARSIZE_ANY_EXHDR(b))
		*result = size < VARSIZE_ANY_EXHDR(b) ? -1 : 1;
	else
		*result = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), size);
	return *result == 0 || !sdes_value_has_known_key(a) || !sdes_value_has_known_key(b);
}

int
sdes_compare(const SdesType *type, SdesTokenKind kind, SdesSide left, SdesSide right,
             PG_FUNCTION_ARGS)
{
	Operand a;
	Operand b;
	int result;

	if (left == SDES_VALUE && right == SDES_VALUE &&
	    peek(PG_GETARG_DATUM(0), kind, &a.token) &&
	    peek(PG_GETARG_DATUM(1), kind, &b.token))
		return compare_tokens(&a.token, &b.token);
	if (left == SDES_VALUE && right == SDES_VALUE && IsLogicalWorker() &&
	    compare_bytes(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), &result))
		return result;
	if (is_unknown(kind, left, right, fcinfo))
	{
		fcinfo->isnull = true;
		return 0;
	}
	a = operand_of(left, PG_GETARG_DATUM(0), type, kind);
	b = operand_of(right, PG_GETARG_DATUM(1), type, kind);
	require_guess(kind, &a, &b);
	require_guess(kind, &b, &a);
	return compare_tokens(&a.token, &b.token);
}

int
sdes_compare_carried(const SdesType *type, PG_FUNCTION_ARGS)
{
	SdesToken a;
	SdesToken b;

	if (!peek(PG_GETARG_DATUM(0), SDES_TOKEN_EXACT, &a) ||
	    !peek(PG_GETARG_DATUM(1), SDES_TOKEN_EXACT, &b))
		return 0;
	return compare_tokens(&a, &b);
}

/* ---- by the search key that is to be ---- */

static void
refuse_straggler(uint32 search_key)
{
	ereport(
	    ERROR,
	    (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	     errmsg("a value has no token of search key %u", search_key),
	     errdetail("It came from another site, or was copied since all values had been "
	               "given one."),
	     errhint("Run SELECT sdes.resume_rotation() for '%s' and for the value's bucket, "
	             "and try again when it is done.",
	             SDES_SYSTEM_BUCKET),
	     SDES_KEEP_OUT_OF_LOG));
}

/*
 * The token of the incoming search key, or of the one in use when there is none: what is
 * sorted by it before a switch of the two is sorted right after it. Tokens of a third one
 * compare with each other only, as ever.
 */
SdesToken
sdes_next_token(SdesTokenKind kind, Datum argument)
{
	SdesSearchKeys keys = sdes_keyring_search_keys();
	uint32 wanted = keys.next != 0 ? keys.next : keys.current;
	SdesToken tokens[2];
	int n = carried_tokens(argument, kind, tokens);

	for (int i = 0; i < n; i++)
		if (tokens[i].search_key == wanted)
			return tokens[i];
	if (n == 0 || tokens[0].search_key == keys.current)
		refuse_straggler(wanted);
	return tokens[0];
}

int
sdes_compare_next(SdesTokenKind kind, PG_FUNCTION_ARGS)
{
	SdesToken a = sdes_next_token(kind, PG_GETARG_DATUM(0));
	SdesToken b = sdes_next_token(kind, PG_GETARG_DATUM(1));

	return compare_tokens(&a, &b);
}

/* ---- hashes ---- */

static void
refuse_other_key(uint32 search_key)
{
	ereport(ERROR,
	        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	         errmsg("search tokens of different search keys cannot be compared"),
	         errdetail("A value has a token of search key %u, which is not in use here.",
	                   search_key),
	         SDES_KEEP_OUT_OF_LOG));
}

/*
 * By tokens of another search key equal values would never meet: an error, as above. While
 * a dump is restored none is in use yet; values come before the keys.
 */
SdesToken
sdes_hash_token(const SdesType *type, SdesTokenKind kind, SdesSide side, Datum argument)
{
	uint32 current = sdes_keyring_search_keys().current;
	Operand operand = {0};

	if (side != SDES_VALUE || !peek(argument, kind, &operand.token))
	{
		operand = operand_of(side, argument, type, kind);
		if (!operand.has_bucket)
			require_anywhere(kind);
	}
	if (!operand.made && current != 0 && operand.token.search_key != current)
		refuse_other_key(operand.token.search_key);
	return operand.token;
}
