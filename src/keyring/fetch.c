/*
 * fetch.c
 *		One key from the agent, checked against its row.
 */
#include "postgres.h"

#include "keyring/fetch.h"

#include "audit/audit.h"
#include "keyring/keyring.h"
#include "sdes_errors.h"

static void
make_request(const SdesDekRow *row, SdesRequest *request)
{
	memset(request, 0, sizeof(*request));
	request->op = SDES_OP_DEK_UNWRAP;
	request->binding = row->binding;
	if (row->wrapped_size > sizeof(request->wrapped))
		sdes_report(ERROR, SDES_ERR_COMMITMENT, NULL);
	request->wrapped_size = row->wrapped_size;
	memcpy(request->wrapped, row->wrapped, row->wrapped_size);
}

void
sdes_fetched_free(SdesFetched *fetched)
{
	sdes_aead_free(fetched->aead);
	sdes_mac_free(fetched->mac);
	fetched->aead = NULL;
	fetched->mac = NULL;
}

/* What a key of its purpose is used through. */
static SdesStatus
expand(SdesBytes dek, const SdesDekRow *row, SdesFetched *out)
{
	if (row->binding.purpose == SDES_PURPOSE_SEARCH)
		return sdes_dek_open_search(dek, &row->binding, row->commitment, &out->mac);
	return sdes_dek_open(dek, &row->binding, row->commitment, &out->aead);
}

/* A key as it is wrapped in one token after the other, and where each wrapping is. */
typedef struct Wrapping
{
	const SdesDekRow *row;
	SdesAgentPublic home; /* its label and serial number */
	bool due;             /* to be asked for, of the agent that is asked now */
} Wrapping;

typedef struct Wrappings
{
	Wrapping *all;
	int n;
	const SdesDekRow *asked; /* the one that was asked for last */
} Wrappings;

static void
add_wrapping(Wrappings *wrappings, const SdesDekRow *row, const List *keks)
{
	Wrapping *wrapping = &wrappings->all[wrappings->n++];
	ListCell *cell;

	memset(wrapping, 0, sizeof(*wrapping));
	wrapping->row = row;
	foreach (cell, keks)
	{
		const SdesKekRow *kek = lfirst(cell);

		if (memcmp(kek->id, row->binding.kek_id, SDES_KEK_ID_SIZE) != 0)
			continue;
		strlcpy(wrapping->home.token_label, kek->token_label,
		        sizeof(wrapping->home.token_label));
		strlcpy(wrapping->home.token_serial, kek->token_serial,
		        sizeof(wrapping->home.token_serial));
	}
}

/* Where there is no copy, it does not matter what the row's token is called. */
static void
find_wrappings(const SdesDekRow *row, Wrappings *wrappings)
{
	List *copies = sdes_store_copies(row);
	List *keks = copies == NIL ? NIL : sdes_store_keks();
	ListCell *cell;

	wrappings->all = palloc((1 + list_length(copies)) * sizeof(Wrapping));
	wrappings->n = 0;
	add_wrapping(wrappings, row, keks);
	foreach (cell, copies)
		add_wrapping(wrappings, lfirst(cell), keks);
}

static bool
is_at(const Wrapping *wrapping, const SdesAgentPublic *token)
{
	return token->token_label[0] != '\0' &&
	       strcmp(wrapping->home.token_label, token->token_label) == 0 &&
	       strcmp(wrapping->home.token_serial, token->token_serial) == 0;
}

/*
 * What was wrapped in the token. Where nothing was, or it has not said its name,
 * everything is tried: HSMs may replicate their keys. Its name may come to be known
 * meanwhile, so the choice is made once.
 */
static void
choose(Wrappings *wrappings, int link)
{
	SdesAgentPublic token = sdes_agentlink_public(link);
	bool any = false;

	for (int i = 0; i < wrappings->n; i++)
	{
		wrappings->all[i].due = is_at(&wrappings->all[i], &token);
		any |= wrappings->all[i].due;
	}
	for (int i = 0; i < wrappings->n && !any; i++)
		wrappings->all[i].due = true;
}

static bool
make_unwrap(int link, int attempt, SdesRequest *request, void *arg)
{
	Wrappings *wrappings = arg;

	if (attempt == 0)
		choose(wrappings, link);
	for (int i = 0; i < wrappings->n; i++)
	{
		if (!wrappings->all[i].due)
			continue;
		wrappings->all[i].due = false;
		wrappings->asked = wrappings->all[i].row;
		make_request(wrappings->asked, request);
		return true;
	}
	return false;
}

/* What does not unwrap to what was wrapped for a row is that row's fault. */
const SdesReply *
sdes_fetch_raw(const SdesDekRow *row, SdesPatience patience, SdesLinkFailure *failure)
{
	Wrappings wrappings;
	const SdesReply *reply;

	find_wrappings(row, &wrappings);
	reply = sdes_agentlink_try_each(make_unwrap, &wrappings, patience, failure);
	if (reply == NULL)
	{
		if (failure->status == SDES_ERR_TAG)
			failure->status = SDES_ERR_COMMITMENT;
		return NULL;
	}
	failure->detail[0] = '\0';
	failure->status =
	    sdes_dek_check(reply->dek, &wrappings.asked->binding, wrappings.asked->commitment);
	if (failure->status == SDES_OK)
		return reply;
	sdes_agentlink_finish();
	return NULL;
}

SdesStatus
sdes_fetch_key(const SdesDekRow *row, SdesPatience patience, SdesFetched *out,
               SdesLinkFailure *failure)
{
	const SdesReply *reply;
	SdesStatus status;

	out->aead = NULL;
	out->mac = NULL;
	reply = sdes_fetch_raw(row, patience, failure);
	if (reply == NULL)
		return failure->status;
	/* An error here wipes the reply; later there would be a key that nobody holds. */
	sdes_audit_fetched(row->binding.bucket, row->binding.version);
	if (row->binding.mode == SDES_MODE_HSM)
	{
		status = sdes_dek_check(reply->dek, &row->binding, row->commitment);
		/* Its values are what will be asked next. */
		sdes_agentlink_finish_for_now();
	}
	else
	{
		status = expand(reply->dek, row, out);
		sdes_agentlink_finish();
	}
	failure->status = status;
	failure->detail[0] = '\0';
	return status;
}

SdesStatus
sdes_keyring_round_trip(const SdesDekRow *row, char *detail, size_t size)
{
	SdesLinkFailure failure;
	SdesFetched fetched;
	SdesStatus status = sdes_fetch_key(row, SDES_ONCE, &fetched, &failure);

	sdes_fetched_free(&fetched);
	strlcpy(detail, failure.detail, size);
	return status;
}
