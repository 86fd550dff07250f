/*
 * test_journal.c
 *		The audit journal: the frozen known answers, one spelling, every bit, and what
 *		becomes of a chain that somebody has tampered with.
 *
 * journal.kat was written once by an implementation of its own, from the description in
 * record.h, in another language. It is never made anew, only added to.
 */
#include "journal/verify.h"
#include "hex.h"
#include "kat.h"
#include "tap.h"

#define SEGMENTS    3
#define RECORDS     40 /* of a segment */
#define SEGMENT_MAX 16384
#define TAMPERINGS  10000

/* ---- known answers ---- */

/* The records of a segment again, by the writer; the caller frees them. */
static uint8_t *
write_again(SdesBytes segment, size_t *size)
{
	uint8_t *out = malloc(segment.size);
	SdesWriter w = sdes_writer(out, segment.size);
	SdesReader r = sdes_reader(segment);
	uint8_t hash[SDES_DIGEST_SIZE];
	SdesJournalHeader header;
	SdesRecord record;

	sdes_journal_read_header(sdes_read_bytes(&r, SDES_JOURNAL_HEADER_SIZE), &header);
	sdes_journal_write_header(&header, out);
	w.at += SDES_JOURNAL_HEADER_SIZE;
	w.left -= SDES_JOURNAL_HEADER_SIZE;
	sdes_journal_header_hash(sdes_bytes(out, SDES_JOURNAL_HEADER_SIZE), hash);
	while (sdes_journal_read_record(&r, &record) == SDES_RECORD_READ)
	{
		uint8_t fields[1024];
		SdesWriter f = sdes_writer(fields, sizeof(fields));
		SdesReader read = sdes_reader(record.fields);
		SdesField field;

		while (sdes_read_field(&read, &field))
		{
			char text[64] = "";

			if (sdes_field_type(field.tag) == SDES_FIELD_IS_NUMBER)
				sdes_write_number(&f, field.tag, field.number);
			else if (sdes_field_type(field.tag) == SDES_FIELD_IS_BYTES)
				sdes_write_field(&f, field.tag, field.value);
			else
			{
				memcpy(text, field.value.data, field.value.size);
				sdes_write_text(&f, field.tag, text);
			}
		}
		if (sdes_journal_write_record(&w, record.kind, record.sequence, record.time,
		                              sdes_bytes(fields, (size_t) (f.at - fields)),
		                              hash) != SDES_OK)
			break;
	}
	memset(w.at, 0, w.left);
	*size = segment.size;
	return out;
}

static void
test_known_answers(void)
{
	static Kat kat;
	KatFile file;
	SdesVerify v;
	int n = 0;

	if (!ok(kat_open(&file, "journal.kat"), "the known answers"))
		return;
	sdes_verify_start(&v);
	for (; kat_next(&file, &kat); n++)
	{
		const char *name = kat_field(&kat, "name");
		uint8_t hash[SDES_DIGEST_SIZE];
		uint8_t *bytes, *again;
		size_t size, size_again;

		ok(hex_decode(kat_field(&kat, "segment"), &bytes, &size) &&
		       hex_into(kat_field(&kat, "hash"), hash, sizeof(hash)),
		   "%s", name);
		ok(sdes_verify_segment(&v, sdes_bytes(bytes, size)), "%s: it is verified", name);
		ok(v.next == (uint64_t) atol(kat_field(&kat, "next")) &&
		       memcmp(v.hash, hash, sizeof(hash)) == 0,
		   "%s: sequence and hash", name);
		again = write_again(sdes_bytes(bytes, size), &size_again);
		ok(size == size_again && memcmp(bytes, again, size) == 0, "%s: one spelling", name);
		free(again);
		free(bytes);
	}
	ok(n == 2, "all of them");
	kat_close(&file);
}

/* ---- a journal to tamper with ---- */

typedef struct Segment
{
	size_t size;
	size_t at[RECORDS + 1]; /* where records begin; the end */
	uint8_t bytes[SEGMENT_MAX];
} Segment;

typedef struct Journal
{
	Segment segments[SEGMENTS];
} Journal;

static uint32_t seed = 1;

static uint32_t
chance(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % below;
}

static void
write_segment(Segment *segment, const SdesJournalHeader *header,
              uint8_t hash[SDES_DIGEST_SIZE])
{
	SdesWriter w = sdes_writer(segment->bytes, SEGMENT_MAX);

	sdes_journal_write_header(header, segment->bytes);
	w.at += SDES_JOURNAL_HEADER_SIZE;
	w.left -= SDES_JOURNAL_HEADER_SIZE;
	sdes_journal_header_hash(sdes_bytes(segment->bytes, SDES_JOURNAL_HEADER_SIZE), hash);
	for (int i = 0; i < RECORDS; i++)
	{
		uint8_t fields[256];
		SdesWriter f = sdes_writer(fields, sizeof(fields));

		segment->at[i] = (size_t) (w.at - segment->bytes);
		sdes_write_text(&f, SDES_FIELD_OPERATION, "decrypt");
		if (i % 10 == 9)
			sdes_write_text(&f, SDES_FIELD_REASON, "a reason of its own");
		sdes_write_number(&f, SDES_FIELD_VALUES, chance(1000));
		if (sdes_journal_write_record(
		        &w, i % 10 == 9 ? SDES_JOURNAL_CHECKPOINT : SDES_JOURNAL_BEGIN,
		        header->sequence + (uint64_t) i, 1000 + i,
		        sdes_bytes(fields, (size_t) (f.at - fields)), hash) != SDES_OK)
			abort();
	}
	segment->size = segment->at[RECORDS] = (size_t) (w.at - segment->bytes);
}

static void
make_journal(Journal *journal, uint8_t id)
{
	SdesJournalHeader header = {.system_identifier = 7, .sequence = 1, .time = 5};
	uint8_t hash[SDES_DIGEST_SIZE];

	memset(header.journal, id, sizeof(header.journal));
	for (int i = 0; i < SEGMENTS; i++)
	{
		write_segment(&journal->segments[i], &header, hash);
		memcpy(header.before, hash, sizeof(hash));
		header.sequence += RECORDS;
	}
}

/* In memory of exactly that size each: an overrun shows. */
static SdesWrong
verify(const Journal *journal, uint64_t reaches, SdesVerify *v)
{
	bool good = true;

	sdes_verify_start(v);
	for (int i = 0; i < SEGMENTS && good; i++)
	{
		const Segment *segment = &journal->segments[i];
		uint8_t *bytes = malloc(segment->size + 1);

		if (segment->size > 0)
		{
			memcpy(bytes, segment->bytes, segment->size);
			good = sdes_verify_segment(v, sdes_bytes(bytes, segment->size));
		}
		free(bytes);
	}
	sdes_verify_reaches(v, reaches);
	return v->wrong;
}

#define LAST ((uint64_t) SEGMENTS * RECORDS)

static void
test_every_bit(const Journal *good)
{
	Journal journal = *good;
	Segment *segment = &journal.segments[1];
	long failed = 0;
	SdesVerify v;

	for (size_t bit = 0; bit < segment->size * 8; bit++)
	{
		uint64_t at = RECORDS + 1;

		for (int i = 1; i < RECORDS && segment->at[i] <= bit / 8; i++)
			at++;
		segment->bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
		/* A bit of a size makes one record of two, or the end. */
		failed += verify(&journal, LAST, &v) == SDES_WRONG_NOTHING || v.next > at;
		segment->bytes[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	none_failed(failed, (long) segment->size * 8, "every bit that is flipped is noticed");
	for (size_t size = 0; size < good->segments[2].size; size++)
	{
		journal.segments[2].size = size;
		failed += verify(&journal, LAST, &v) != SDES_WRONG_TRUNCATED;
	}
	none_failed(failed, (long) good->segments[2].size,
	            "every length but its own is truncated");
}

/* ---- what is said of it ---- */

static void
move(Segment *segment, size_t from, size_t to)
{
	memmove(segment->bytes + to, segment->bytes + from, segment->size - from);
	segment->size = segment->size + to - from;
}

static void
take_out(Segment *segment, int record)
{
	move(segment, segment->at[record + 1], segment->at[record]);
}

static void
put_in(Segment *segment, size_t at, const Segment *from, int record)
{
	size_t size = from->at[record + 1] - from->at[record];

	move(segment, at, at + size);
	memcpy(segment->bytes + at, from->bytes + from->at[record], size);
}

static void
swap(Segment *segment, const Segment *good, int record)
{
	size_t first = good->at[record + 1] - good->at[record];
	size_t second = good->at[record + 2] - good->at[record + 1];

	memcpy(segment->bytes + good->at[record], good->bytes + good->at[record + 1], second);
	memcpy(segment->bytes + good->at[record] + second, good->bytes + good->at[record],
	       first);
}

static void
is_wrong(const Journal *journal, SdesWrong wrong, uint64_t sequence, const char *name)
{
	SdesVerify v;

	if (!ok(verify(journal, LAST, &v) == wrong && v.next == sequence, "%s: %s", name,
	        sdes_wrong_name(wrong)))
		diag("%s: got %s at %ld", name, sdes_wrong_name(v.wrong), (long) v.next);
}

static void
test_names(const Journal *good, const Journal *other)
{
	Journal journal = *good;
	Segment *segment = &journal.segments[1];
	const Segment *from = &good->segments[1];
	uint8_t *number = segment->bytes + from->at[7] + 12;

	is_wrong(&journal, SDES_WRONG_NOTHING, LAST + 1, "as it was written");
	segment->bytes[from->at[5] + SDES_RECORD_HEAD_SIZE + 4] ^= 1;
	is_wrong(&journal, SDES_WRONG_EDITED, RECORDS + 6, "another value");
	*segment = *from;
	*number += 1;
	is_wrong(&journal, SDES_WRONG_EDITED, RECORDS + 8, "another sequence");
	*number -= 3;
	is_wrong(&journal, SDES_WRONG_EDITED, RECORDS + 8, "an earlier sequence");
	*segment = *from;
	take_out(segment, 5);
	is_wrong(&journal, SDES_WRONG_MISSING, RECORDS + 6, "a record taken out");
	*segment = *from;
	take_out(segment, 0);
	is_wrong(&journal, SDES_WRONG_MISSING, RECORDS + 1, "the first one of a segment");
	*segment = *from;
	segment->size = from->at[RECORDS - 1];
	is_wrong(&journal, SDES_WRONG_MISSING, 2 * RECORDS, "the last one of a segment");
	*segment = *from;
	swap(segment, from, 3);
	is_wrong(&journal, SDES_WRONG_REORDERED, RECORDS + 4, "two that changed places");
	*segment = *from;
	put_in(segment, from->at[9], from, 8);
	is_wrong(&journal, SDES_WRONG_DUPLICATED, RECORDS + 10, "one that is there twice");
	*segment = *from;
	put_in(segment, from->at[9], from, 2);
	is_wrong(&journal, SDES_WRONG_DUPLICATED, RECORDS + 10, "and further away");
	*segment = other->segments[1];
	is_wrong(&journal, SDES_WRONG_FORKED, RECORDS + 1, "a segment of another journal");
	*segment = *from;
	put_in(segment, from->at[9], &other->segments[1], 9);
	take_out(segment, 10);
	is_wrong(&journal, SDES_WRONG_EDITED, RECORDS + 10, "a record of another journal");
	segment->size = 0;
	is_wrong(&journal, SDES_WRONG_MISSING, RECORDS + 1, "a segment taken out");
	*segment = good->segments[0];
	is_wrong(&journal, SDES_WRONG_DUPLICATED, RECORDS + 1, "a segment that is there twice");
	journal = *good;
	journal.segments[2].size = 0;
	is_wrong(&journal, SDES_WRONG_TRUNCATED, 2 * RECORDS + 1, "the last segment taken out");
}

/* A tail that was written anew, with all its hashes: signatures find that (test_checkpoint). */
static void
test_fork(const Journal *good)
{
	Journal forged = *good;
	SdesJournalHeader header;
	uint8_t hash[SDES_DIGEST_SIZE];

	sdes_journal_read_header(sdes_bytes(good->segments[2].bytes, SDES_JOURNAL_HEADER_SIZE),
	                         &header);
	write_segment(&forged.segments[2], &header, hash);
	is_wrong(&forged, SDES_WRONG_NOTHING, LAST + 1, "a tail with hashes of its own");
	forged.segments[1].bytes[SDES_JOURNAL_HEADER_SIZE - 1] ^= 1;
	is_wrong(&forged, SDES_WRONG_FORKED, RECORDS + 1,
	         "a segment that goes on from something else");
}

/* ---- at random ---- */

static void
tamper(Journal *journal, const Journal *other)
{
	Segment *segment = &journal->segments[chance(SEGMENTS)];
	const Segment *from = &other->segments[chance(SEGMENTS)];
	int record = (int) chance(RECORDS - 1);
	size_t bytes;

	switch (chance(6))
	{
		case 0: /* edited */
			segment->bytes[chance((uint32_t) segment->size)] ^= (uint8_t) (1 + chance(255));
			break;
		case 1:
			take_out(segment, record);
			break;
		case 2:
		{
			const Segment copy = *segment;

			swap(segment, &copy, record);
			break;
		}
		case 3: /* duplicated */
		{
			const Segment copy = *segment;

			put_in(segment, copy.at[chance(RECORDS + 1)], &copy, record);
			break;
		}
		case 4: /* truncated */
			bytes = 1 + chance((uint32_t) segment->size);
			segment->size -= bytes;
			break;
		default: /* spliced */
			put_in(segment, segment->at[record], from, (int) chance(RECORDS));
	}
}

static void
test_at_random(const Journal *good, const Journal *other)
{
	static Journal journal;
	long failed = 0;
	SdesVerify v;

	for (int i = 0; i < TAMPERINGS; i++)
	{
		journal = *good;
		tamper(&journal, other);
		failed += verify(&journal, LAST, &v) == SDES_WRONG_NOTHING;
	}
	none_failed(failed, TAMPERINGS, "tamperings at random are found");
}

/* ---- fields ---- */

static SdesStatus
write_fields(const void *fields, size_t size)
{
	uint8_t out[SDES_RECORD_MAX], hash[SDES_DIGEST_SIZE] = {0};
	SdesWriter w = sdes_writer(out, sizeof(out));

	return sdes_journal_write_record(&w, SDES_JOURNAL_EVENT, 1, 1, sdes_bytes(fields, size),
	                                 hash);
}

static void
test_fields(void)
{
	static uint8_t large[SDES_RECORD_FIELDS_MAX + 1];
	char text[SDES_FIELD_TEXT_MAX + 8];
	uint8_t out[2 * SDES_FIELD_TEXT_MAX], hash[SDES_DIGEST_SIZE] = {0};
	SdesWriter w = sdes_writer(out, sizeof(out));
	SdesReader r;
	SdesField field;

	is_status(write_fields("\x01\0\1x\x02\0\1x", 8), SDES_OK, "two fields");
	is_status(write_fields("", 0), SDES_OK, "none");
	is_status(write_fields("\x02\0\1x\x01\0\1x", 8), SDES_ERR_FORMAT, "out of order");
	is_status(write_fields("\x01\0\1x\x01\0\1x", 8), SDES_ERR_FORMAT, "twice the same");
	is_status(write_fields("\x01\0\2x", 4), SDES_ERR_FORMAT, "cut short");
	is_status(write_fields("\x01\0\2x\0", 5), SDES_ERR_FORMAT, "a text with NUL");
	is_status(write_fields("\x0b\0\1x", 4), SDES_ERR_FORMAT, "a number of one byte");
	is_status(write_fields("\x08\0\1x", 4), SDES_ERR_FORMAT, "a UUID of one byte");
	is_status(write_fields("\0\0\1x", 4), SDES_ERR_FORMAT, "tag 0");
	is_status(write_fields("\xc8\0\1x", 4), SDES_OK, "a tag of another version");
	is_status(write_fields(large, sizeof(large)), SDES_ERR_TOO_LONG, "too much");
	is_status(
	    sdes_journal_write_record(&w, SDES_JOURNAL_EVENT, 0, 1, sdes_bytes(out, 0), hash),
	    SDES_ERR_FORMAT, "sequence 0");
	is_status(sdes_journal_write_record(&w, SDES_JOURNAL_KINDS + 1, 1, 1,
	                                    sdes_bytes(out, 0), hash),
	          SDES_ERR_FORMAT, "an unknown kind");
	w = sdes_writer(out, 52);
	is_status(
	    sdes_journal_write_record(&w, SDES_JOURNAL_EVENT, 1, 1, sdes_bytes(out, 0), hash),
	    SDES_ERR_TOO_LONG, "no room");

	/* 1023 bytes, and a character of three that does not fit. */
	memset(text, 'x', sizeof(text));
	memcpy(text + SDES_FIELD_TEXT_MAX - 1, "\xe2\x82\xac", 4);
	w = sdes_writer(out, sizeof(out));
	sdes_write_text(&w, SDES_FIELD_APPLICATION, text);
	sdes_write_text(&w, SDES_FIELD_OBJECT, NULL);
	r = sdes_reader(sdes_bytes(out, (size_t) (w.at - out)));
	ok(sdes_read_field(&r, &field) && field.value.size == SDES_FIELD_TEXT_MAX - 1 &&
	       !sdes_read_field(&r, &field) && !r.failed,
	   "a text is cut between characters");
}

int
main(void)
{
	static Journal good, other;

	test_known_answers();
	make_journal(&good, 0x11);
	make_journal(&other, 0x22);
	test_every_bit(&good);
	test_names(&good, &other);
	test_fork(&good);
	test_at_random(&good, &other);
	test_fields();
	return done_testing();
}
