/*
 * record.c
 *		Reading and writing the format of record.h.
 */
#include "journal/record.h"

#include <string.h>

#define FORMAT 1

static const uint8_t magic[8] = {'S', 'D', 'E', 'S', 'A', 'U', 'D', 'T'};

static const char *const kind_names[SDES_JOURNAL_KINDS + 1] = {
    NULL, "started", "stopped", "begin", "lease", "end", "event", "checkpoint", "signature",
};

static const struct
{
	const char *name;
	SdesFieldType type;
	size_t size; /* of bytes of one size; 0: any */
} known[SDES_FIELDS + 1] = {
    [SDES_FIELD_OPERATION] = {"operation", SDES_FIELD_IS_TEXT, 0},
    [SDES_FIELD_OUTCOME] = {"outcome", SDES_FIELD_IS_TEXT, 0},
    [SDES_FIELD_REASON] = {"reason", SDES_FIELD_IS_TEXT, 0},
    [SDES_FIELD_USE] = {"use", SDES_FIELD_IS_NUMBER, 0},
    [SDES_FIELD_DATABASE] = {"database", SDES_FIELD_IS_TEXT, 0},
    [SDES_FIELD_DATABASE_OID] = {"database_oid", SDES_FIELD_IS_NUMBER, 0},
    [SDES_FIELD_BUCKET] = {"bucket", SDES_FIELD_IS_TEXT, 0},
    [SDES_FIELD_BUCKET_UUID] = {"bucket_uuid", SDES_FIELD_IS_BYTES, 16},
    [SDES_FIELD_RELATION] = {"relation", SDES_FIELD_IS_TEXT, 0},
    [SDES_FIELD_COLUMN] = {"column", SDES_FIELD_IS_TEXT, 0},
    [SDES_FIELD_VALUES] = {"values", SDES_FIELD_IS_NUMBER, 0},
    [SDES_FIELD_BYTES] = {"bytes", SDES_FIELD_IS_NUMBER, 0},
    [SDES_FIELD_AUTHENTICATED] = {"authenticated", SDES_FIELD_IS_TEXT, 0},
    [SDES_FIELD_SESSION_ROLE] = {"session_role", SDES_FIELD_IS_TEXT, 0},
    [SDES_FIELD_ROLE] = {"role", SDES_FIELD_IS_TEXT, 0},
    [SDES_FIELD_ADDRESS] = {"address", SDES_FIELD_IS_TEXT, 0},
    [SDES_FIELD_PORT] = {"port", SDES_FIELD_IS_NUMBER, 0},
    [SDES_FIELD_TLS] = {"tls", SDES_FIELD_IS_TEXT, 0},
    [SDES_FIELD_CIPHER] = {"cipher", SDES_FIELD_IS_TEXT, 0},
    [SDES_FIELD_APPLICATION] = {"application", SDES_FIELD_IS_TEXT, 0},
    [SDES_FIELD_BACKEND] = {"backend", SDES_FIELD_IS_NUMBER, 0},
    [SDES_FIELD_BACKEND_START] = {"backend_start", SDES_FIELD_IS_NUMBER, 0},
    [SDES_FIELD_QUERY] = {"query", SDES_FIELD_IS_NUMBER, 0},
    [SDES_FIELD_OBJECT] = {"object", SDES_FIELD_IS_TEXT, 0},
    [SDES_FIELD_VERSION] = {"version", SDES_FIELD_IS_TEXT, 0},
    [SDES_FIELD_NODE] = {"node", SDES_FIELD_IS_TEXT, 0},
    [SDES_FIELD_FROM_JOURNAL] = {"from_journal", SDES_FIELD_IS_BYTES, 16},
    [SDES_FIELD_FROM_SEQUENCE] = {"from_sequence", SDES_FIELD_IS_NUMBER, 0},
    [SDES_FIELD_DROPPED] = {"dropped", SDES_FIELD_IS_NUMBER, 0},
    [SDES_FIELD_ALGORITHM] = {"algorithm", SDES_FIELD_IS_TEXT, 0},
    [SDES_FIELD_KEY] = {"key", SDES_FIELD_IS_BYTES, 0},
    [SDES_FIELD_SIGNATURE] = {"signature", SDES_FIELD_IS_BYTES, 0},
    [SDES_FIELD_CHECKPOINT] = {"checkpoint", SDES_FIELD_IS_NUMBER, 0},
    [SDES_FIELD_PUBLIC_KEY] = {"public_key", SDES_FIELD_IS_BYTES, 0},
};

const char *
sdes_journal_kind_name(uint8_t kind)
{
	return kind <= SDES_JOURNAL_KINDS ? kind_names[kind] : NULL;
}

const char *
sdes_field_name(uint8_t tag)
{
	return tag <= SDES_FIELDS ? known[tag].name : NULL;
}

SdesFieldType
sdes_field_type(uint8_t tag)
{
	return sdes_field_name(tag) != NULL ? known[tag].type : SDES_FIELD_IS_BYTES;
}

/* ---- headers of segments ---- */

void
sdes_journal_write_header(const SdesJournalHeader *header,
                          uint8_t out[SDES_JOURNAL_HEADER_SIZE])
{
	SdesWriter w = sdes_writer(out, SDES_JOURNAL_HEADER_SIZE);

	sdes_write_bytes(&w, SDES_BYTES_OF(magic));
	sdes_write_u8(&w, FORMAT);
	sdes_write_bytes(&w, SDES_BYTES_OF(header->journal));
	sdes_write_u64(&w, header->system_identifier);
	sdes_write_u64(&w, header->sequence);
	sdes_write_u64(&w, (uint64_t) header->time);
	sdes_write_bytes(&w, SDES_BYTES_OF(header->before));
}

SdesStatus
sdes_journal_read_header(SdesBytes bytes, SdesJournalHeader *header)
{
	SdesReader r = sdes_reader(bytes);
	SdesBytes start = sdes_read_bytes(&r, sizeof(magic));
	uint8_t format = sdes_read_u8(&r);

	sdes_read_into(&r, header->journal, sizeof(header->journal));
	header->system_identifier = sdes_read_u64(&r);
	header->sequence = sdes_read_u64(&r);
	header->time = (int64_t) sdes_read_u64(&r);
	sdes_read_into(&r, header->before, sizeof(header->before));
	if (r.failed || memcmp(start.data, magic, sizeof(magic)) != 0 || format != FORMAT ||
	    header->sequence == 0)
		return SDES_ERR_FORMAT;
	return SDES_OK;
}

SdesStatus
sdes_journal_header_hash(SdesBytes header, uint8_t out[SDES_DIGEST_SIZE])
{
	return sdes_sha256(&header, 1, out);
}

/* ---- fields ---- */

/* Of a text that is too long, as much as holds whole characters. */
static size_t
cut(const char *utf8)
{
	size_t size = strnlen(utf8, SDES_FIELD_TEXT_MAX + 1);

	if (size <= SDES_FIELD_TEXT_MAX)
		return size;
	size = SDES_FIELD_TEXT_MAX;
	while (size > 0 && ((uint8_t) utf8[size] & 0xc0) == 0x80)
		size--;
	return size;
}

void
sdes_write_field(SdesWriter *w, SdesFieldTag tag, SdesBytes value)
{
	if (value.size > UINT16_MAX)
	{
		w->failed = true;
		return;
	}
	sdes_write_u8(w, (uint8_t) tag);
	sdes_write_u16(w, (uint16_t) value.size);
	sdes_write_bytes(w, value);
}

void
sdes_write_number(SdesWriter *w, SdesFieldTag tag, uint64_t value)
{
	sdes_write_u8(w, (uint8_t) tag);
	sdes_write_u16(w, 8);
	sdes_write_u64(w, value);
}

void
sdes_write_text(SdesWriter *w, SdesFieldTag tag, const char *utf8)
{
	if (utf8 != NULL)
		sdes_write_field(w, tag, sdes_bytes(utf8, cut(utf8)));
}

static bool
is_valid(const SdesField *field)
{
	if (sdes_field_name(field->tag) == NULL)
		return field->tag != 0;
	switch (known[field->tag].type)
	{
		case SDES_FIELD_IS_NUMBER:
			return field->value.size == 8;
		case SDES_FIELD_IS_TEXT:
			return field->value.size <= SDES_FIELD_TEXT_MAX &&
			       memchr(field->value.data, 0, field->value.size) == NULL;
		default:
			return known[field->tag].size == 0 ||
			       field->value.size == known[field->tag].size;
	}
}

bool
sdes_read_field(SdesReader *fields, SdesField *field)
{
	SdesReader value;

	if (fields->left == 0)
		return false;
	field->tag = sdes_read_u8(fields);
	field->value = sdes_read_bytes(fields, sdes_read_u16(fields));
	if (fields->failed || !is_valid(field))
	{
		fields->failed = true;
		return false;
	}
	value = sdes_reader(field->value);
	field->number =
	    sdes_field_type(field->tag) == SDES_FIELD_IS_NUMBER ? sdes_read_u64(&value) : 0;
	return true;
}

bool
sdes_record_field(const SdesRecord *record, SdesFieldTag tag, SdesField *field)
{
	SdesReader r = sdes_reader(record->fields);

	while (sdes_read_field(&r, field))
		if (field->tag == tag)
			return true;
	return false;
}

bool
sdes_fields_are_canonical(SdesBytes fields)
{
	SdesReader r = sdes_reader(fields);
	SdesField field;
	uint8_t last = 0;

	while (sdes_read_field(&r, &field))
	{
		if (field.tag <= last)
			return false;
		last = field.tag;
	}
	return !r.failed;
}

/* ---- records ---- */

SdesStatus
sdes_journal_write_record(SdesWriter *w, SdesJournalKind kind, uint64_t sequence,
                          int64_t time, SdesBytes fields, uint8_t hash[SDES_DIGEST_SIZE])
{
	const uint8_t *start = w->at;
	SdesBytes pieces[2];
	SdesStatus status;

	if (fields.size > SDES_RECORD_FIELDS_MAX ||
	    w->left < SDES_RECORD_HEAD_SIZE + fields.size + SDES_DIGEST_SIZE)
		return SDES_ERR_TOO_LONG;
	if (sdes_journal_kind_name((uint8_t) kind) == NULL || sequence == 0 ||
	    !sdes_fields_are_canonical(fields))
		return SDES_ERR_FORMAT;
	sdes_write_u32(w, (uint32_t) fields.size);
	sdes_write_u8(w, (uint8_t) kind);
	sdes_write_u64(w, sequence);
	sdes_write_u64(w, (uint64_t) time);
	sdes_write_bytes(w, fields);
	pieces[0] = sdes_bytes(hash, SDES_DIGEST_SIZE);
	pieces[1] = sdes_bytes(start, (size_t) (w->at - start));
	status = sdes_sha256(pieces, 2, hash);
	if (status == SDES_OK)
		sdes_write_bytes(w, sdes_bytes(hash, SDES_DIGEST_SIZE));
	return status;
}

/* Reserved space: nothing but zeros to the end. */
static bool
is_unused(SdesReader r)
{
	for (size_t i = 0; i < r.left; i++)
		if (r.at[i] != 0)
			return false;
	return true;
}

SdesRecordRead
sdes_journal_read_record(SdesReader *r, SdesRecord *record)
{
	SdesReader next = *r;
	uint32_t size;

	if (r->left == 0 || (r->at[0] == 0 && is_unused(*r)))
		return SDES_RECORD_END;
	size = sdes_read_u32(&next);
	record->kind = sdes_read_u8(&next);
	record->sequence = sdes_read_u64(&next);
	record->time = (int64_t) sdes_read_u64(&next);
	if (next.failed)
		return SDES_RECORD_SHORT;
	if (size > SDES_RECORD_FIELDS_MAX || sdes_journal_kind_name(record->kind) == NULL ||
	    record->sequence == 0)
		return SDES_RECORD_BROKEN;
	record->fields = sdes_read_bytes(&next, size);
	record->chained = sdes_bytes(r->at, (size_t) (next.at - r->at));
	record->hash = sdes_read_bytes(&next, SDES_DIGEST_SIZE);
	if (next.failed)
		return SDES_RECORD_SHORT;
	if (!sdes_fields_are_canonical(record->fields))
		return SDES_RECORD_BROKEN;
	*r = next;
	return SDES_RECORD_READ;
}

SdesStatus
sdes_journal_record_hash(const SdesRecord *record, const uint8_t before[SDES_DIGEST_SIZE],
                         uint8_t out[SDES_DIGEST_SIZE])
{
	SdesBytes pieces[2] = {sdes_bytes(before, SDES_DIGEST_SIZE), record->chained};

	return sdes_sha256(pieces, 2, out);
}
