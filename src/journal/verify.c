/*
 * verify.c
 *		Following the chain, and telling what broke it.
 */
#include "journal/verify.h"

#include <string.h>

const char *
sdes_wrong_name(SdesWrong wrong)
{
	static const char *const names[] = {
	    [SDES_WRONG_NOTHING] = "nothing",       [SDES_WRONG_EDITED] = "edited",
	    [SDES_WRONG_MISSING] = "missing",       [SDES_WRONG_REORDERED] = "reordered",
	    [SDES_WRONG_DUPLICATED] = "duplicated", [SDES_WRONG_TRUNCATED] = "truncated",
	    [SDES_WRONG_FORKED] = "forked",         [SDES_WRONG_SIGNATURE] = "wrongly signed",
	};

	return (size_t) wrong < sizeof(names) / sizeof(names[0]) ? names[wrong] : "unknown";
}

void
sdes_verify_start(SdesVerify *v)
{
	memset(v, 0, sizeof(*v));
}

static bool
is_wrong(SdesVerify *v, SdesWrong wrong)
{
	v->wrong = wrong;
	return false;
}

static bool
failed(SdesVerify *v, SdesStatus status)
{
	v->status = status;
	return false;
}

/* Whether a record of that sequence stands further on. */
static bool
comes_later(SdesReader r, uint64_t sequence)
{
	SdesRecord record;

	while (sdes_journal_read_record(&r, &record) == SDES_RECORD_READ)
		if (record.sequence == sequence)
			return true;
	return false;
}

/*
 * A record that is not the one expected. If the one after it is in its place, just its
 * number was changed.
 */
static SdesWrong
misplaced(const SdesVerify *v, const SdesRecord *record, SdesReader rest)
{
	SdesReader following = rest;
	SdesRecord after;

	if (sdes_journal_read_record(&following, &after) == SDES_RECORD_READ &&
	    after.sequence == v->next + 1)
		return SDES_WRONG_EDITED;
	if (record->sequence < v->next)
		return SDES_WRONG_DUPLICATED;
	return comes_later(rest, v->next) ? SDES_WRONG_REORDERED : SDES_WRONG_MISSING;
}

static bool
check_record(SdesVerify *v, const SdesRecord *record, SdesReader rest)
{
	uint8_t hash[SDES_DIGEST_SIZE];
	SdesStatus status;

	if (record->sequence != v->next)
		return is_wrong(v, misplaced(v, record, rest));
	status = sdes_journal_record_hash(record, v->hash, hash);
	if (status != SDES_OK)
		return failed(v, status);
	if (!sdes_equal(hash, record->hash.data, sizeof(hash)))
		return is_wrong(v, SDES_WRONG_EDITED);
	if (v->signatures != NULL &&
	    !sdes_signatures_see(v->signatures, v->journal, v->first, record))
		return is_wrong(v, SDES_WRONG_SIGNATURE);
	memcpy(v->hash, hash, sizeof(hash));
	v->next++;
	return true;
}

/* A segment must go on where the one before it has ended. */
static bool
check_header(SdesVerify *v, const SdesJournalHeader *header)
{
	if (!v->begun)
	{
		v->begun = true;
		v->first = v->next = header->sequence;
		memcpy(v->journal, header->journal, sizeof(v->journal));
		return true;
	}
	if (memcmp(header->journal, v->journal, sizeof(v->journal)) != 0)
		return is_wrong(v, SDES_WRONG_FORKED);
	if (header->sequence != v->next)
		return is_wrong(v, header->sequence > v->next ? SDES_WRONG_MISSING
		                                              : SDES_WRONG_DUPLICATED);
	if (!sdes_equal(header->before, v->hash, sizeof(v->hash)))
		return is_wrong(v, SDES_WRONG_FORKED);
	return true;
}

bool
sdes_verify_more(SdesVerify *v, SdesBytes records)
{
	SdesReader r = sdes_reader(records);
	SdesRecord record;

	for (;;)
		switch (sdes_journal_read_record(&r, &record))
		{
			case SDES_RECORD_READ:
				if (!check_record(v, &record, r))
					return false;
				break;
			case SDES_RECORD_END:
				return true;
			case SDES_RECORD_SHORT:
				return is_wrong(v, SDES_WRONG_TRUNCATED);
			default:
				return is_wrong(v, SDES_WRONG_EDITED);
		}
}

bool
sdes_verify_segment(SdesVerify *v, SdesBytes segment)
{
	SdesReader r = sdes_reader(segment);
	SdesBytes bytes = sdes_read_bytes(&r, SDES_JOURNAL_HEADER_SIZE);
	SdesJournalHeader header;
	SdesStatus status;

	if (r.failed)
		return is_wrong(v, SDES_WRONG_TRUNCATED);
	if (sdes_journal_read_header(bytes, &header) != SDES_OK)
		return is_wrong(v, SDES_WRONG_EDITED);
	if (!check_header(v, &header))
		return false;
	status = sdes_journal_header_hash(bytes, v->hash);
	if (status != SDES_OK)
		return failed(v, status);
	return sdes_verify_more(v, sdes_bytes(r.at, r.left));
}

bool
sdes_verify_reaches(SdesVerify *v, uint64_t sequence)
{
	if (v->wrong == SDES_WRONG_NOTHING && v->next <= sequence)
		v->wrong = SDES_WRONG_TRUNCATED;
	return v->wrong == SDES_WRONG_NOTHING;
}
