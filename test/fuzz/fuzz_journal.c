/*
 * fuzz_journal.c
 *		Segments of the audit journal: what is read lies within the input and is written
 *		again as it was, what is verified is a whole chain.
 */
#include "journal/verify.h"
#include "fuzz.h"

static bool
lies_within(SdesBytes part, SdesBytes whole)
{
	return part.data >= whole.data && part.data + part.size <= whole.data + whole.size;
}

static void
check_fields(const SdesRecord *record)
{
	SdesReader r = sdes_reader(record->fields);
	SdesField field, found;
	int last = 0;

	while (sdes_read_field(&r, &field))
	{
		REQUIRE(field.tag > last);
		REQUIRE(lies_within(field.value, record->fields));
		REQUIRE(sdes_record_field(record, (SdesFieldTag) field.tag, &found));
		REQUIRE(found.value.data == field.value.data && found.number == field.number);
		last = field.tag;
	}
	REQUIRE(!r.failed && r.left == 0);
}

/* One spelling, but for the hash, which a record in the midst of nothing cannot have. */
static void
check_spelling(const SdesRecord *record)
{
	uint8_t hash[SDES_DIGEST_SIZE] = {0};
	uint8_t *again = fuzz_room(record->chained.size + SDES_DIGEST_SIZE);
	SdesWriter w = sdes_writer(again, record->chained.size + SDES_DIGEST_SIZE);

	REQUIRE(sdes_journal_write_record(&w, (SdesJournalKind) record->kind, record->sequence,
	                                  record->time, record->fields, hash) == SDES_OK);
	REQUIRE(w.left == 0);
	REQUIRE(memcmp(again, record->chained.data, record->chained.size) == 0);
	free(again);
}

/* Nobody here can sign. */
static void
check_signature(SdesSignatures *s, const SdesRecord *record)
{
	static const uint8_t journal[SDES_JOURNAL_ID_SIZE];

	(void) sdes_signatures_see(s, journal, 1, record);
	REQUIRE(s->nwaiting >= 0 && s->nwaiting <= SDES_CHECKPOINTS_MAX && s->count == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SdesBytes bytes = sdes_bytes(data, size);
	SdesReader r = sdes_reader(bytes);
	SdesJournalHeader header;
	SdesSignatures signatures;
	SdesRecord record;
	SdesVerify v;
	uint64_t n = 0;

	sdes_signatures_start(&signatures);
	sdes_read_bytes(&r, SDES_JOURNAL_HEADER_SIZE);
	while (!r.failed && sdes_journal_read_record(&r, &record) == SDES_RECORD_READ)
	{
		REQUIRE(lies_within(record.chained, bytes) && lies_within(record.hash, bytes));
		check_fields(&record);
		check_spelling(&record);
		check_signature(&signatures, &record);
		n++;
	}
	sdes_signatures_end(&signatures);
	sdes_verify_start(&v);
	if (sdes_verify_segment(&v, bytes))
	{
		REQUIRE(sdes_journal_read_header(bytes, &header) == SDES_OK);
		REQUIRE(v.first == header.sequence && v.next == v.first + n);
	}
	else
		REQUIRE(v.wrong != SDES_WRONG_NOTHING);
	return 0;
}
