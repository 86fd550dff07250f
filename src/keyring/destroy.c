/*
 * destroy.c
 *		The end of KEKs: retired, ordered to be destroyed, destroyed in the HSM.
 *
 * A KEK is destroyed in the HSM only after the transaction that ordered it is
 * committed, and is so for everybody: who still sees the rows that it wrapped may be
 * about to have them unwrapped. The order is a row, so that a crash at any moment
 * leaves it to be carried out again; a KEK that is missing already counts as destroyed.
 *
 * Two things are never done here: destroying a KEK that wraps a key of this database
 * whatever its row says, and one whose label in the token is another database's. A copy
 * that has adopted its keys shares those KEKs with the original, if that lives on.
 */
#include "postgres.h"

#include "keyring/destroy.h"

#include "access/table.h"
#include "access/transam.h"
#include "audit/audit.h"
#include "keyring/instance.h"
#include "keyring/keyring.h"
#include "keyring/tokens.h"
#include "sdes_errors.h"
#include "storage/procarray.h"

bool
sdes_keyring_kek_in_use(const uint8 *kek_id)
{
	ListCell *cell;

	foreach (cell, sdes_store_deks())
	{
		const SdesDekRow *row = lfirst(cell);

		if (row->state != SDES_KEY_DESTROYED &&
		    memcmp(row->binding.kek_id, kek_id, SDES_KEK_ID_SIZE) == 0)
			return true;
	}
	return sdes_store_has_copy_under(kek_id);
}

void
sdes_keyring_retire_keks(const uint8 *bucket, SdesKekState state)
{
	ListCell *cell;

	foreach (cell, sdes_store_keks())
	{
		const SdesKekRow *kek = lfirst(cell);

		if (memcmp(kek->bucket, bucket, SDES_UUID_SIZE) == 0 &&
		    kek->state == SDES_KEK_ACTIVE && !sdes_keyring_kek_in_use(kek->id))
			sdes_store_set_kek_state(kek->id, state);
	}
}

/* Whether all who could see what came before a row's version have ended. */
static bool
is_settled(TransactionId xmin)
{
	Relation rel = table_open(sdes_table_oid(SDES_TABLE_KEK), AccessShareLock);
	TransactionId horizon = GetOldestNonRemovableTransactionId(rel);

	table_close(rel, AccessShareLock);
	return TransactionIdPrecedes(xmin, horizon);
}

static const char *
reason(const char *what, const SdesHsmToken *token, const SdesLinkFailure *failure)
{
	return psprintf("token \"%s\" %s: %s%s%s", sdes_token_name(token), what,
	                sdes_status_name(failure->status), failure->detail[0] ? ": " : "",
	                failure->detail);
}

/* The id just before one, so that a list which begins after it begins with that one. */
static void
id_before(const uint8 *id, uint8 *before)
{
	int i = SDES_KEK_ID_SIZE - 1;

	memcpy(before, id, SDES_KEK_ID_SIZE);
	while (i > 0 && before[i] == 0)
		before[i--] = 0xff;
	before[i]--;
}

/* Whether a token has a key of that id with this database's label. */
static bool
has_ours(const SdesHsmToken *token, const uint8 *id, SdesLinkFailure *failure)
{
	SdesRequest request = {.op = SDES_OP_KEK_LIST};
	const SdesReply *reply;
	bool found;

	sdes_keyring_label_prefix(request.label, sizeof(request.label));
	id_before(id, request.kek_id);
	failure->status = SDES_OK;
	reply = sdes_agentlink_try_at(token->link, &request, SDES_ONCE, failure);
	if (reply == NULL)
		return false;
	found = reply->nkeks > 0 && memcmp(reply->keks[0], id, SDES_KEK_ID_SIZE) == 0;
	sdes_agentlink_finish();
	return found;
}

static SdesStatus
ask_of_key(const SdesHsmToken *token, SdesAgentOp op, const uint8 *id,
           SdesLinkFailure *failure)
{
	SdesRequest request = {.op = op};

	memcpy(request.kek_id, id, SDES_KEK_ID_SIZE);
	failure->status = SDES_OK;
	if (sdes_agentlink_try_at(token->link, &request, SDES_ONCE, failure) != NULL)
		sdes_agentlink_finish();
	return failure->status;
}

/*
 * Destroys a KEK in one token, if it is there; why it could not, else NULL. One that
 * cannot be asked is not asked for the next KEK: each may take its time to fail.
 */
static const char *
destroy_in(SdesHsmToken *token, const SdesKekRow *kek)
{
	SdesLinkFailure failure;

	if (!token->ready)
		return reason("cannot be reached", token, &token->failure);
	if (!has_ours(token, kek->id, &failure))
	{
		if (failure.status != SDES_OK)
		{
			token->ready = false;
			token->failure = failure;
			return reason("cannot be reached", token, &failure);
		}
		if (!sdes_token_is_home(token, kek))
			return NULL;
		if (ask_of_key(token, SDES_OP_KEK_CHECK, kek->id, &failure) ==
		    SDES_ERR_HSM_KEY_MISSING)
			return NULL;
		return failure.status == SDES_OK
		           ? "another database has made it, by its label, and may depend on it"
		           : reason("does not tell whose key it is", token, &failure);
	}
	sdes_audit_act("destroy KEK", kek->bucket, "in token %s", kek->token_label);
	if (ask_of_key(token, SDES_OP_KEK_DESTROY, kek->id, &failure) == SDES_OK ||
	    failure.status == SDES_ERR_HSM_KEY_MISSING)
		return NULL;
	return reason("does not destroy it", token, &failure);
}

/* In all tokens, for HSMs may replicate keys. Why not in all, NULL when it is done. */
static const char *
destroy_everywhere(SdesHsmToken *tokens, int n, const SdesKekRow *kek)
{
	const char *why = NULL;

	for (int i = 0; i < n; i++)
	{
		const char *obstacle = destroy_in(&tokens[i], kek);

		why = why ? why : obstacle;
	}
	if (why == NULL && sdes_token_of(tokens, n, kek) == NULL)
		why = psprintf("token \"%s\" (serial \"%s\") is not among those of the settings",
		               kek->token_label, kek->token_serial);
	return why;
}

static const char *
destroy(SdesHsmToken *tokens, int n, const SdesKekRow *kek)
{
	if (!sdes_instance_is_owner())
		return "this database is a copy of the one that owns its keys";
	if (sdes_keyring_kek_in_use(kek->id))
		return "it wraps a data encryption key of this database";
	if (!is_settled(kek->xmin))
		return "transactions, replication slots or prepared transactions that are older "
		       "than the order to destroy it may still need it";
	return destroy_everywhere(tokens, n, kek);
}

List *
sdes_keyring_doomed_keks(void)
{
	List *doomed = NIL;
	ListCell *cell;

	foreach (cell, sdes_store_keks())
		if (((SdesKekRow *) lfirst(cell))->state == SDES_KEK_DESTROYING)
			doomed = lappend(doomed, lfirst(cell));
	return doomed;
}

List *
sdes_keyring_destroy_keks(TimestampTz ordered_until)
{
	SdesHsmToken tokens[SDES_MAX_TOKENS];
	int n = sdes_tokens_look(tokens);
	List *fates = NIL;
	ListCell *cell;

	foreach (cell, sdes_keyring_doomed_keks())
	{
		const SdesKekRow *kek = lfirst(cell);
		SdesKekFate *fate;

		if (kek->ordered_at > ordered_until)
			continue;
		fate = palloc0(sizeof(SdesKekFate));
		fate->kek = kek;
		fate->obstacle = destroy(tokens, n, fate->kek);
		if (fate->obstacle == NULL)
		{
			sdes_store_set_kek_state(fate->kek->id, SDES_KEK_DESTROYED);
			sdes_audit_event("destroy KEK", fate->kek->bucket, "in token %s",
			                 fate->kek->token_label);
		}
		fates = lappend(fates, fate);
	}
	return fates;
}
