/*
 * reveal_many.c
 *		sdes_value_reveal() for many values at once.
 */
#include "postgres.h"

#include "policy/policy.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "value/internal.h"

static SdesBytes
bytes_of(struct varlena *value)
{
	return sdes_bytes(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

bool
sdes_value_begin_revealing(struct varlena *value, const SdesType *type, SdesRevealing *out)
{
	SdesEnvelope envelope;
	SdesKeyOwner owner;
	int privileges;

	/* At a glance: other values should not pay for this. */
	if (VARSIZE_ANY_EXHDR(value) < SDES_ENVELOPE_MIN_SIZE ||
	    ((uint8 *) VARDATA_ANY(value))[1] != SDES_SUITE_AES_256_GCM_HSM)
		return false;
	sdes_require_preload();
	sdes_value_forbid_maintenance();
	if (sdes_envelope_parse(bytes_of(value), &envelope) != SDES_OK ||
	    !sdes_keyring_owner(envelope.key_id, &owner) || owner.mode != SDES_MODE_HSM ||
	    owner.purpose != SDES_PURPOSE_DATA)
		return false;
	privileges = sdes_policy_privileges(owner.bucket);
	if (!(privileges & (SDES_PRIVILEGE_DECRYPT | SDES_PRIVILEGE_MASK)))
		return false;
	sdes_audit_use(
	    owner.bucket,
	    privileges & SDES_PRIVILEGE_DECRYPT ? SDES_AUDIT_DECRYPT : SDES_AUDIT_MASK, 1);
	sdes_audit_bytes((int64) envelope.sealed.ciphertext.size - SDES_ENVELOPE_CHECK_SIZE);
	sdes_honey_opened(&envelope, &owner);
	*out = (SdesRevealing){.value = value,
	                       .type = type,
	                       .masked = !(privileges & SDES_PRIVILEGE_DECRYPT),
	                       .is_utf8 = !(envelope.flags & SDES_ENVELOPE_BYTES)};
	memcpy(out->bucket, owner.bucket, SDES_UUID_SIZE);
	return true;
}

/* Opens those that are under the key of the first and were not opened yet. */
static void
open_like_first(SdesRevealing *items, int n, const SdesEnvelope *envelopes, bool *opened)
{
	const SdesKey *key = sdes_keyring_by_id(envelopes[0].key_id);
	SdesOpening *openings = palloc0(n * sizeof(SdesOpening));
	int *places = palloc(n * sizeof(int));
	int count = 0;

	for (int i = 0; i < n; i++)
	{
		if (opened[i] ||
		    memcmp(envelopes[i].key_id, envelopes[0].key_id, SDES_KEY_ID_SIZE) != 0)
			continue;
		openings[count].envelope = &envelopes[i];
		openings[count].context.type = items[i].type->tag;
		memcpy(openings[count].context.bucket, items[i].bucket, SDES_UUID_SIZE);
		places[count++] = i;
		opened[i] = true;
	}
	sdes_cipher_open(key, openings, count);
	for (int i = 0; i < count; i++)
	{
		items[places[i]].plain = openings[i].plain;
		items[places[i]].status = openings[i].status;
	}
	pfree(openings);
	pfree(places);
}

void
sdes_value_open_revealing(SdesRevealing *items, int n)
{
	SdesEnvelope *envelopes = palloc(Max(n, 1) * sizeof(SdesEnvelope));
	bool *opened = palloc0(Max(n, 1) * sizeof(bool));

	for (int i = 0; i < n; i++)
		sdes_check(sdes_envelope_parse(bytes_of(items[i].value), &envelopes[i]));
	for (int i = 0; i < n; i++)
		if (!opened[i])
			open_like_first(items + i, n - i, envelopes + i, opened + i);
	pfree(envelopes);
	pfree(opened);
}

text *
sdes_value_revealed(SdesRevealing *item)
{
	text *plain = item->plain;

	sdes_check(item->status);
	item->plain = NULL; /* an error frees it */
	plain = sdes_from_utf8(plain, item->is_utf8);
	if (!item->masked)
		item->plain = plain;
	else
	{
		item->plain = item->type->mask(plain);
		sdes_value_wipe(plain);
	}
	return item->plain;
}

void
sdes_value_wipe_revealing(SdesRevealing *items, int n)
{
	for (int i = 0; i < n; i++)
	{
		if (items[i].plain != NULL)
			sdes_value_wipe(items[i].plain);
		items[i].plain = NULL;
	}
}
