/*
 * copies.c
 *		KEKs and wrapped keys in each of several tokens.
 */
#include "postgres.h"

#include "keyring/copies.h"

#include "sdes_errors.h"

bool
sdes_keyring_kek_in(const SdesHsmToken *token, const SdesBucketRow *bucket,
                    const SdesKeySpec *spec, SdesPlace *place, SdesLinkFailure *failure)
{
	ListCell *cell;

	place->link = token->link;
	foreach (cell, sdes_store_keks())
	{
		const SdesKekRow *kek = lfirst(cell);

		if (memcmp(kek->bucket, bucket->uuid, SDES_UUID_SIZE) != 0 ||
		    kek->state != SDES_KEK_ACTIVE || sdes_kek_kind(kek) != spec->kind ||
		    !sdes_token_is_home(token, kek))
			continue;
		place->kek = *kek;
		return true;
	}
	return sdes_keyring_make_kek_at(token->link, bucket, spec, &place->kek, failure);
}

bool
sdes_keyring_is_in(const SdesDekRow *row, const SdesHsmToken *token)
{
	ListCell *cell;

	if (sdes_token_is_home(token, sdes_keyring_kek(row->binding.kek_id)))
		return true;
	foreach (cell, sdes_store_copies(row))
	{
		const SdesDekRow *copy = lfirst(cell);

		if (sdes_token_is_home(token, sdes_keyring_kek(copy->binding.kek_id)))
			return true;
	}
	return false;
}

/* Where a key is to be wrapped: places[i] is in tokens[which[i]]. */
typedef struct Targets
{
	SdesPlace places[SDES_MAX_TOKENS];
	int which[SDES_MAX_TOKENS];
	int n;
} Targets;

static void
choose_targets(const SdesDekRow *row, const SdesHsmToken *tokens, int n, Targets *targets,
               SdesCopied *copied)
{
	SdesKeySpec spec = {sdes_kek_kind(sdes_keyring_kek(row->binding.kek_id)),
	                    row->binding.mode, row->binding.purpose};
	SdesBucketRow bucket;

	if (!sdes_store_bucket_by_uuid(row->binding.bucket, &bucket))
		elog(ERROR, "the bucket of a key is gone");
	for (int i = 0; i < n; i++)
	{
		if (copied[i].failure.status != SDES_OK || sdes_keyring_is_in(row, &tokens[i]))
			continue;
		if (!sdes_keyring_kek_in(&tokens[i], &bucket, &spec, &targets->places[targets->n],
		                         &copied[i].failure))
			continue;
		targets->which[targets->n++] = i;
	}
}

void
sdes_keyring_copy(const SdesDekRow *row, const SdesHsmToken *tokens, int n,
                  SdesCopied *copied)
{
	SdesDekRow wrapped[SDES_MAX_TOKENS];
	SdesLinkFailure failures[SDES_MAX_TOKENS];
	Targets targets = {.n = 0};

	for (int i = 0; i < n; i++)
	{
		copied[i].made = false;
		copied[i].failure = tokens[i].failure;
		if (tokens[i].ready || row->binding.mode == SDES_MODE_HSM)
			copied[i].failure.status = SDES_OK;
	}
	if (row->binding.mode == SDES_MODE_HSM)
		return;
	choose_targets(row, tokens, n, &targets, copied);
	if (targets.n == 0)
		return;
	sdes_keyring_wrap_again(row, targets.places, targets.n, wrapped, failures);
	for (int i = 0; i < targets.n; i++)
	{
		SdesCopied *result = &copied[targets.which[i]];

		result->failure = failures[i];
		result->made = failures[i].status == SDES_OK;
		if (result->made)
			sdes_store_insert_copy(&wrapped[i]);
	}
}
