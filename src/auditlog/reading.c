/*
 * reading.c
 *		Journals in sdes.audit_directory, followed from where one has come.
 *
 * There is this server's own, which others are writing: it is read as far as they know it
 * to be on the disk. Those that it has had before, and copies of a standby's, which a log
 * shipper puts there, are read as far as they go.
 */
#include "postgres.h"

#include "auditlog/reading.h"

#include <errno.h>

#include "access/xlog.h"
#include "audit/audit.h"
#include "catalog/pg_type.h"
#include "journal/verify.h"
#include "miscadmin.h"
#include "sdes_datum.h"
#include "sdes_errors.h"
#include "storage/fd.h"
#include "utils/array.h"
#include "utils/uuid.h"

/* ---- which journals there are ---- */

static bool
parse_name(const char *name, uint8 journal[SDES_JOURNAL_ID_SIZE])
{
	if (strlen(name) != 2 * SDES_JOURNAL_ID_SIZE)
		return false;
	for (int i = 0; i < SDES_JOURNAL_ID_SIZE; i++)
	{
		unsigned byte;

		if (strspn(name, "0123456789abcdef") != 2 * SDES_JOURNAL_ID_SIZE ||
		    sscanf(name + 2 * i, "%2x", &byte) != 1)
			return false;
		journal[i] = (uint8) byte;
	}
	return true;
}

static void
add_journal(List **readings, const char *directory, const char *name,
            const SdesAuditJournal *own)
{
	SdesReading *reading = palloc0(sizeof(SdesReading));

	if (!parse_name(name, reading->journal))
		return;
	snprintf(reading->folder, sizeof(reading->folder), "%s/%s", directory, name);
	reading->own = memcmp(own->id, reading->journal, sizeof(own->id)) == 0;
	if (reading->own)
		reading->end = own->end;
	*readings = lappend(*readings, reading);
}

/*
 * None as long as it is not known where this server's own one ends: what is in its file
 * behind that may be taken back.
 */
List *
sdes_reading_list(void)
{
	char directory[MAXPGPATH];
	SdesAuditJournal own;
	List *readings = NIL;
	struct dirent *entry;
	DIR *dir;

	if (!sdes_audit_peek(&own))
		return NIL;
	sdes_audit_directory_path(directory);
	dir = AllocateDir(directory);
	while ((entry = ReadDir(dir, directory)) != NULL)
		add_journal(&readings, directory, entry->d_name, &own);
	FreeDir(dir);
	return readings;
}

Datum
sdes_reading_ids(const List *readings)
{
	Datum *ids = palloc((list_length(readings) + 1) * sizeof(Datum));
	int n = 0;
	ListCell *cell;

	foreach (cell, readings)
		ids[n++] = sdes_uuid_datum(((SdesReading *) lfirst(cell))->journal);
	return PointerGetDatum(
	    construct_array(ids, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

/* ---- reading ---- */

/* Of the reading's segment, from its offset on, what may be read. */
static SdesBytes
read_segment(const SdesReading *reading)
{
	SdesBytes bytes =
	    sdes_audit_segment(reading->folder, reading->segment, reading->offset);

	if (!reading->own || reading->segment < reading->end.segment)
		return bytes;
	if (reading->segment > reading->end.segment || reading->offset >= reading->end.size)
		return sdes_bytes(bytes.data, 0);
	return sdes_bytes(bytes.data, Min(bytes.size, reading->end.size - reading->offset));
}

static bool
is_wrong(SdesReading *reading, const SdesVerify *v)
{
	reading->wrong =
	    psprintf("record " UINT64_FORMAT " is %s", v->next, sdes_wrong_name(v->wrong));
	return false;
}

static SdesVerify
verification(const SdesReading *reading)
{
	SdesVerify v;

	sdes_verify_start(&v);
	v.begun = reading->next != 0;
	memcpy(v.journal, reading->journal, sizeof(v.journal));
	v.first = v.next = reading->next;
	memcpy(v.hash, reading->hash, sizeof(v.hash));
	return v;
}

static void
come_to(SdesReading *reading, const SdesVerify *v, size_t bytes)
{
	if (reading->first == 0)
		reading->first = v->next;
	reading->offset += bytes;
	reading->next = v->next;
	memcpy(reading->hash, v->hash, sizeof(reading->hash));
}

/*
 * A segment's header, which has to go on where the one before has ended. A cluster that
 * pg_upgrade has made has the rows of another one's journal, and an identifier of its own.
 */
static bool
read_header(SdesReading *reading, SdesBytes bytes)
{
	SdesVerify v = verification(reading);
	SdesJournalHeader header;

	if (bytes.size < SDES_JOURNAL_HEADER_SIZE)
		return false;
	bytes.size = SDES_JOURNAL_HEADER_SIZE;
	if (sdes_journal_read_header(bytes, &header) == SDES_OK && !v.begun &&
	    !reading->known && header.system_identifier != GetSystemIdentifier())
	{
		reading->elsewhere = true;
		return false;
	}
	if (!sdes_verify_segment(&v, bytes))
	{
		sdes_check(v.status);
		return is_wrong(reading, &v);
	}
	if (memcmp(v.journal, reading->journal, sizeof(v.journal)) != 0)
	{
		reading->wrong = pstrdup("it is another journal, by the name of its folder");
		return false;
	}
	come_to(reading, &v, SDES_JOURNAL_HEADER_SIZE);
	return true;
}

/* Bytes that were read between the two. */
static size_t
size_of(const SdesReader *before, const SdesReader *after)
{
	return before->left - after->left;
}

/*
 * Records of the segment, until it ends, or within a record (*cut), which may yet be
 * written. False when something is wrong.
 */
static bool
read_records(SdesReading *reading, SdesUses *uses, SdesBytes bytes, size_t most, bool *cut)
{
	SdesVerify v = verification(reading);
	SdesReader r = sdes_reader(bytes);
	size_t began = r.left;
	SdesRecord record;

	for (;;)
	{
		SdesReader before = r;
		SdesRecordRead read = sdes_journal_read_record(&r, &record);

		CHECK_FOR_INTERRUPTS();
		*cut = read == SDES_RECORD_SHORT;
		if (reading->until != 0 && reading->next >= reading->until)
			return true;
		if (read == SDES_RECORD_END || read == SDES_RECORD_SHORT ||
		    began - before.left >= most)
			return true;
		if (!sdes_verify_more(&v, sdes_bytes(before.at, read == SDES_RECORD_READ
		                                                    ? size_of(&before, &r)
		                                                    : before.left)))
		{
			sdes_check(v.status);
			return is_wrong(reading, &v);
		}
		come_to(reading, &v, size_of(&before, &r));
		sdes_uses_see(uses, &record);
	}
}

/* What segments there are, in ascending order. */
typedef struct Segments
{
	uint64 *numbers;
	size_t n;
} Segments;

/*
 * To be called before bytes are read: of a segment that another one follows, nothing is
 * still to be written. Of one's own those that are known to be on the disk.
 */
static Segments
list_segments(const SdesReading *reading)
{
	Segments all;

	all.numbers = sdes_audit_segments(reading->folder, &all.n);
	while (reading->own && all.n > 0 && all.numbers[all.n - 1] > reading->end.segment)
		all.n--;
	return all;
}

static bool
is_there(const Segments *all, uint64 segment)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->numbers[i] == segment)
			return true;
	return false;
}

/* The one after the one that was read; 0: there is none. */
static uint64
next_segment(const SdesReading *reading, const Segments *all)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->numbers[i] > reading->segment)
			return all->numbers[i];
	return 0;
}

/*
 * Goes on to the next segment; false when there is none. Where segments were moved away
 * before they were read, it goes on behind them.
 */
static bool
turn_page(SdesReading *reading, const Segments *all, bool cut)
{
	uint64 segment = next_segment(reading, all);

	if (segment == 0)
		return false;
	if (cut)
	{
		reading->wrong = psprintf("record " UINT64_FORMAT " is %s", reading->next,
		                          sdes_wrong_name(SDES_WRONG_TRUNCATED));
		return false;
	}
	if (reading->segment != 0 && segment != reading->next)
	{
		reading->lacks =
		    psprintf(UINT64_FORMAT " to " UINT64_FORMAT, reading->next, segment - 1);
		reading->next = 0;
		reading->first = 0;
	}
	reading->segment = segment;
	reading->offset = 0;
	return true;
}

/* What the segment has from the offset on; *cut as above. False when something is wrong. */
static bool
read_on(SdesReading *reading, SdesUses *uses, size_t most, bool *cut)
{
	SdesBytes read = read_segment(reading);
	SdesBytes bytes = read;
	bool good = true;

	if (bytes.size > 0 && reading->offset == 0)
	{
		good = read_header(reading, bytes);
		if (good)
			bytes = sdes_bytes(bytes.data + SDES_JOURNAL_HEADER_SIZE,
			                   bytes.size - SDES_JOURNAL_HEADER_SIZE);
	}
	good = good && read_records(reading, uses, bytes, most, cut);
	pfree((void *) (uintptr_t) read.data);
	return good;
}

static bool
go_on(SdesReading *reading, const Segments *all, SdesUses *uses, size_t most)
{
	bool cut = false;
	uint64 from;

	if (!is_there(all, reading->segment) && !turn_page(reading, all, false))
		return false;
	from = reading->offset;
	if (!read_on(reading, uses, most, &cut))
		return false;
	return reading->offset > from || turn_page(reading, all, cut);
}

bool
sdes_reading_go_on(SdesReading *reading, SdesUses *uses, size_t most)
{
	Segments all;
	bool more;

	if (reading->wrong != NULL || reading->elsewhere ||
	    (reading->until != 0 && reading->next >= reading->until))
		return false;
	all = list_segments(reading);
	more = go_on(reading, &all, uses, most);
	pfree(all.numbers);
	return more;
}
