/*
 * preflight.c
 *		sdes.preflight(): which keys of this database can be had here, and what to bring
 *		for those that cannot. For who has restored a dump, or has another HSM.
 *
 * Each key is fetched as a session does that needs it, with its audit record, held
 * against its row and let go of at once. Nothing is made, changed or cached. A token that
 * does not answer is waited for once: then only keys that another one has are asked for.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "keyring/keyring.h"
#include "keyring/tokens.h"
#include "sdes_compat.h"
#include "sdes_datum.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "sdes_spi.h"
#include "utils/builtins.h"

SDES_SQL_FUNCTION(sdes_preflight);

#define NCOLUMNS 10

#define BRING_KEYS                                                                         \
	"sdes.import_keys(), of an export by a site that has it, or sdes.restore_keys(), of "  \
	"a backup that officers open"

typedef struct Preflight
{
	ReturnSetInfo *result;
	List *keks;
	SdesHsmToken tokens[SDES_MAX_TOKENS];
	int ntokens;
	bool waited; /* a token has not answered in time */
} Preflight;

/* A key and the name of its bucket, NULL where that has no row. */
typedef struct Key
{
	const SdesDekRow *row;
	const char *bucket;
} Key;

/* What there is to say of a key; texts may be NULL. */
typedef struct Finding
{
	bool opens;
	const char *problem;
	const char *remedy;
} Finding;

static const SdesKekRow *
find_kek(const Preflight *preflight, const uint8 *id)
{
	ListCell *cell;

	foreach (cell, preflight->keks)
		if (memcmp(((SdesKekRow *) lfirst(cell))->id, id, SDES_KEK_ID_SIZE) == 0)
			return lfirst(cell);
	return NULL;
}

/* ---- whether a key may be asked for ---- */

static bool
wrapped_in(const Preflight *preflight, const SdesHsmToken *token, const SdesDekRow *row)
{
	const SdesKekRow *kek = find_kek(preflight, row->binding.kek_id);

	return kek != NULL && sdes_token_is_home(token, kek);
}

static bool
is_in(const Preflight *preflight, const SdesHsmToken *token, const SdesDekRow *row)
{
	ListCell *cell;

	if (wrapped_in(preflight, token, row))
		return true;
	foreach (cell, sdes_store_copies(row))
		if (wrapped_in(preflight, token, lfirst(cell)))
			return true;
	return false;
}

static bool
may_ask(const Preflight *preflight, const SdesDekRow *row)
{
	if (!preflight->waited)
		return true;
	for (int i = 0; i < preflight->ntokens && preflight->ntokens > 1; i++)
		if (preflight->tokens[i].ready && is_in(preflight, &preflight->tokens[i], row))
			return true;
	return false;
}

/* Where there are several, which of them did not answer is noted for all sessions. */
static void
note_silence(Preflight *preflight, SdesStatus status)
{
	if (status != SDES_ERR_AGENT_TIMEOUT && status != SDES_ERR_HSM_TIMEOUT)
		return;
	preflight->waited = true;
	preflight->ntokens = sdes_tokens_look(preflight->tokens);
}

/* ---- what to say of it ---- */

static void
tell_missing(const Preflight *preflight, const SdesDekRow *row, Finding *finding)
{
	const SdesKekRow *kek = find_kek(preflight, row->binding.kek_id);
	bool here;

	if (kek == NULL)
	{
		finding->problem = "sdes.kek has no row of its key encryption key";
		finding->remedy = "Restore that table from the dump that this database is from.";
		return;
	}
	here = sdes_token_of(preflight->tokens, preflight->ntokens, kek) != NULL;
	finding->problem =
	    kek->state == SDES_KEK_DESTROYED ? "its key encryption key was destroyed in the HSM"
	    : here ? "its key encryption key is not in the token that it was made in any more"
	           : "its key encryption key is in no token of this server";
	if (row->binding.mode == SDES_MODE_HSM)
		finding->remedy = psprintf("Bring the token \"%s\", serial \"%s\", with its keys: "
		                           "in mode hsm they leave it in no other way.",
		                           kek->token_label, kek->token_serial);
	else if (here || kek->state == SDES_KEK_DESTROYED)
		finding->remedy = "Restore the token from the HSM's own backup, or bring the key "
		                  "by " BRING_KEYS ".";
	else
		finding->remedy =
		    psprintf("Name the token \"%s\", serial \"%s\", in sdes.pkcs11_token as well, "
		             "or bring the key by " BRING_KEYS ".",
		             kek->token_label, kek->token_serial);
}

/* One that is had may yet not do all that its state says. */
static void
tell_had(const SdesDekRow *row, Finding *finding)
{
	bool seals =
	    row->state == SDES_KEY_ACTIVE && (row->binding.purpose == SDES_PURPOSE_DATA ||
	                                      row->binding.purpose == SDES_PURPOSE_LITERAL);

	finding->opens = true;
	if (row->state == SDES_KEY_RETIRED && !row->emptied)
	{
		finding->opens = false;
		finding->problem = "it is revoked: only re-encryption opens what is under it";
		finding->remedy = "Wait for that, see sdes.rotation_progress; if rotation is "
		                  "paused, sdes.resume_rotation().";
	}
	else if (row->foreign && seals)
	{
		finding->problem = "it is another database's: it opens values, but the next one "
		                   "is sealed under a key that is made for this copy";
		finding->remedy = "If the original is gone, or this copy shall own its keys: "
		                  "SELECT sdes.adopt_keys().";
	}
}

static void
tell_destroyed(const SdesDekRow *row, Finding *finding)
{
	if (row->emptied)
	{
		finding->problem = "it is destroyed, when no value was under it any more";
		return;
	}
	finding->problem = "it is destroyed, and with it what is under it";
	finding->remedy = "Only a dump from before has it, for as long as its key encryption "
	                  "key is in the HSM, or " BRING_KEYS ".";
}

static void
look_at(Preflight *preflight, const SdesDekRow *row, Finding *finding)
{
	char detail[SDES_DETAIL_MAX + 1];
	SdesStatus status;

	if (row->state == SDES_KEY_DESTROYED)
	{
		tell_destroyed(row, finding);
		return;
	}
	if (!may_ask(preflight, row))
	{
		finding->problem = "not asked for, since the HSM did not answer in time before";
		finding->remedy = sdes_status_hint(SDES_ERR_HSM_TIMEOUT);
		return;
	}
	status = sdes_keyring_round_trip(row, detail, sizeof(detail));
	note_silence(preflight, status);
	if (status == SDES_OK)
		tell_had(row, finding);
	else if (status == SDES_ERR_HSM_KEY_MISSING)
		tell_missing(preflight, row, finding);
	else
	{
		finding->problem =
		    psprintf("%s%s%s", sdes_status_name(status), detail[0] ? ": " : "", detail);
		finding->remedy = sdes_status_hint(status);
	}
}

/* Grants and names are the bucket's: without it nobody may open anything. */
static void
check_bucket(const Key *key, Finding *finding)
{
	if (key->bucket != NULL)
		return;
	finding->opens = false;
	finding->problem = "sdes.bucket has no row of its bucket";
	finding->remedy = "Restore that table from the dump that this database is from.";
}

/* ---- rows ---- */

static Datum
text_or_null(const char *text, bool *null)
{
	*null = text == NULL;
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

static char *
hex(const uint8 *bytes, size_t size)
{
	char *out = palloc(2 * size + 1);

	sdes_hex(sdes_bytes(bytes, size), out);
	return out;
}

static void
add_key(Preflight *preflight, const Key *key, const Finding *finding)
{
	const SdesDekBinding *binding = &key->row->binding;
	const SdesKekRow *kek = find_kek(preflight, binding->kek_id);
	const char *bucket = key->bucket ? key->bucket : hex(binding->bucket, SDES_UUID_SIZE);
	Datum values[NCOLUMNS];
	bool nulls[NCOLUMNS] = {false};

	values[0] = CStringGetTextDatum(bucket);
	values[1] = CStringGetTextDatum(sdes_purpose_name(binding->purpose));
	values[2] = Int32GetDatum((int32) binding->version);
	values[3] = CStringGetTextDatum(sdes_state_name(key->row->state));
	values[4] = CStringGetTextDatum(hex(binding->kek_id, SDES_KEK_ID_SIZE));
	values[5] = text_or_null(kek ? kek->token_label : NULL, &nulls[5]);
	values[6] = text_or_null(kek ? kek->token_serial : NULL, &nulls[6]);
	values[7] = BoolGetDatum(finding->opens);
	values[8] = text_or_null(finding->problem, &nulls[8]);
	values[9] = text_or_null(finding->remedy, &nulls[9]);
	tuplestore_putvalues(preflight->result->setResult, preflight->result->setDesc, values,
	                     nulls);
}

static int
compare_keys(const void *left, const void *right)
{
	const Key *a = left;
	const Key *b = right;
	int order = strcmp(a->bucket ? a->bucket : "", b->bucket ? b->bucket : "");

	if (order == 0)
		order = (int) a->row->binding.purpose - (int) b->row->binding.purpose;
	if (order == 0)
		order = (int) a->row->binding.version - (int) b->row->binding.version;
	return order;
}

static void
check_keys(Preflight *preflight)
{
	List *rows = sdes_store_deks();
	int n = list_length(rows);
	Key *keys = palloc0((n + 1) * sizeof(Key));

	for (int i = 0; i < n; i++)
	{
		SdesBucketRow bucket;

		keys[i].row = list_nth(rows, i);
		if (sdes_store_bucket_by_uuid(keys[i].row->binding.bucket, &bucket))
			keys[i].bucket = pstrdup(bucket.name);
	}
	qsort(keys, n, sizeof(Key), compare_keys);
	for (int i = 0; i < n; i++)
	{
		Finding finding = {false, NULL, NULL};

		CHECK_FOR_INTERRUPTS();
		look_at(preflight, keys[i].row, &finding);
		check_bucket(&keys[i], &finding);
		add_key(preflight, &keys[i], &finding);
	}
}

/*
 * Buckets of which there is less than a key: what a column's or domain's type names
 * without a row here, by the hash that the type holds (src/types/typmod.c), and rows
 * without a key.
 */
static const char lacking[] =
    "WITH types AS (SELECT t.oid FROM pg_type t JOIN pg_type e"
    "  ON e.oid = t.oid OR e.oid = t.typelem"
    "  WHERE e.typnamespace = 'sdes'::regnamespace AND e.typname IN ('enc_text', "
    "'enc_pan')),"
    " named (hash, object) AS ("
    " SELECT atttypmod >> 5, attrelid::regclass || '.' || quote_ident(attname)"
    "  FROM pg_attribute JOIN types ON types.oid = atttypid"
    "  JOIN pg_class c ON c.oid = attrelid AND relkind IN ('r', 'p', 'f', 'm', 'c')"
    "  WHERE atttypmod >= 0 AND attnum > 0 AND NOT attisdropped"
    " UNION ALL SELECT d.typtypmod >> 5, 'domain ' || d.oid::regtype"
    "  FROM pg_type d JOIN types ON types.oid = d.typbasetype"
    "  WHERE d.typtype = 'd' AND d.typtypmod >= 0)"
    " SELECT '#' || lpad(to_hex(hash), 7, '0'), count(*) || ' column(s) or domain(s) name"
    " it, the first ' || min(object) || ', and sdes.bucket has no row of that hash'"
    " FROM named WHERE hash NOT IN (SELECT b.hash FROM sdes.bucket b) GROUP BY hash"
    " UNION ALL SELECT name, 'sdes.dek has no key of it' FROM sdes.bucket b"
    " WHERE uuid NOT IN (SELECT bucket FROM sdes.dek) ORDER BY 1";

static void
check_buckets(Preflight *preflight)
{
	SdesSpiParameters none = {0};

	SPI_connect();
	sdes_spi_read(lacking, &none);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple row = SPI_tuptable->vals[i];
		Datum values[NCOLUMNS] = {0};
		bool nulls[NCOLUMNS];

		memset(nulls, true, sizeof(nulls));
		values[0] = SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &nulls[0]);
		nulls[7] = false; /* opens: false */
		values[8] = SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &nulls[8]);
		values[9] =
		    text_or_null("Bring it and its keys by the dump of the whole database (a table "
		                 "alone leaves them behind), or by " BRING_KEYS ".",
		                 &nulls[9]);
		tuplestore_putvalues(preflight->result->setResult, preflight->result->setDesc,
		                     values, nulls);
	}
	SPI_finish();
}

/* Its search_path is set where it is declared. */
Datum
sdes_preflight(PG_FUNCTION_ARGS)
{
	Preflight preflight = {0};

	sdes_require_preload();
	InitMaterializedSRF(fcinfo, 0);
	preflight.result = (ReturnSetInfo *) fcinfo->resultinfo;
	preflight.keks = sdes_store_keks();
	preflight.ntokens = sdes_tokens_look(preflight.tokens);
	check_keys(&preflight);
	check_buckets(&preflight);
	return (Datum) 0;
}
