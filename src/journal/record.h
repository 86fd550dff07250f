/*
 * record.h
 *		The format of the audit journal. This is its specification.
 *
 * A journal is a chain of records in a folder of its own, whose name is the journal's id.
 * In it are segments, files that are only appended to. The name of a segment is the
 * sequence of its first record, 16 lower-case hex digits, and ".journal". It begins with a
 * header:
 *
 *		8	"SDESAUDT"
 *		1	format, 1
 *		16	id of the journal, random: a restored or promoted server begins its own
 *		8	system identifier of the PostgreSQL cluster
 *		8	sequence of the first record
 *		8	when the segment was begun, microseconds since 1970, UTC
 *		32	hash of the record before it; of the first segment of a journal that of the
 *			last record it knows of the journal that it goes on from, or zeros
 *
 * Records follow:
 *
 *		4	size of the fields
 *		1	kind (SdesJournalKind)
 *		8	sequence: one more than that of the record before it
 *		8	time, microseconds since 1970, UTC
 *		--	fields
 *		32	hash
 *
 * hash = SHA-256(hash before it || all that stands before it in the record). The hash
 * before the first record of a segment is SHA-256(header). Where nothing but zeros follows,
 * a segment ends: space that was reserved.
 *
 * Of each field there are its tag (1), the size of its value (2) and its value. Tags
 * ascend, so none is there twice. A number has 8 bytes, a text is UTF-8 of at most 1024
 * bytes without NUL. A reader passes over tags that it does not know.
 *
 * Numbers are big-endian. There is one spelling of everything: what the parser takes, the
 * writer writes.
 */
#ifndef SDES_JOURNAL_RECORD_H
#define SDES_JOURNAL_RECORD_H

#include "crypto/mac.h"

#define SDES_JOURNAL_ID_SIZE     16
#define SDES_JOURNAL_HEADER_SIZE 81
#define SDES_RECORD_HEAD_SIZE    21
#define SDES_RECORD_FIELDS_MAX   16384 /* bytes of all fields */
#define SDES_RECORD_MAX          (SDES_RECORD_HEAD_SIZE + SDES_RECORD_FIELDS_MAX + SDES_DIGEST_SIZE)
#define SDES_FIELD_TEXT_MAX      1024 /* bytes; texts that are longer are cut */

typedef enum SdesJournalKind
{
	SDES_JOURNAL_STARTED = 1,    /* a server began to write here */
	SDES_JOURNAL_STOPPED = 2,    /* and ended in good order */
	SDES_JOURNAL_BEGIN = 3,      /* a statement is about to use a bucket's keys */
	SDES_JOURNAL_LEASE = 4,      /* it may use them for so many values in all */
	SDES_JOURNAL_END = 5,        /* for so many it did */
	SDES_JOURNAL_EVENT = 6,      /* what happens at once: a grant, a key, a refusal */
	SDES_JOURNAL_CHECKPOINT = 7, /* its hash is about to be signed */
	SDES_JOURNAL_SIGNATURE = 8   /* of a checkpoint; see checkpoint.h */
} SdesJournalKind;

#define SDES_JOURNAL_KINDS 8

/* The numbers are those of the format: append only. */
typedef enum SdesFieldTag
{
	SDES_FIELD_OPERATION = 1, /* text: encrypt, decrypt, mask, search, grant, … */
	SDES_FIELD_OUTCOME = 2,   /* text: ok, error, aborted, denied, unknown */
	SDES_FIELD_REASON = 3,    /* text */
	SDES_FIELD_USE = 4, /* number: what a begin, its leases and its end have in common */
	SDES_FIELD_DATABASE = 5, /* text */
	SDES_FIELD_DATABASE_OID = 6,
	SDES_FIELD_BUCKET = 7,         /* text */
	SDES_FIELD_BUCKET_UUID = 8,    /* bytes, 16 */
	SDES_FIELD_RELATION = 9,       /* text: schema.table */
	SDES_FIELD_COLUMN = 10,        /* text */
	SDES_FIELD_VALUES = 11,        /* number: how many values */
	SDES_FIELD_BYTES = 12,         /* number: of their plaintext */
	SDES_FIELD_AUTHENTICATED = 13, /* text: who logged in */
	SDES_FIELD_SESSION_ROLE = 14,  /* text: session_user */
	SDES_FIELD_ROLE = 15,          /* text: current_user */
	SDES_FIELD_ADDRESS = 16,       /* text: of the client, or "local" */
	SDES_FIELD_PORT = 17,          /* number: the client's */
	SDES_FIELD_TLS = 18,           /* text: version */
	SDES_FIELD_CIPHER = 19,        /* text: of TLS */
	SDES_FIELD_APPLICATION = 20,   /* text: application_name */
	SDES_FIELD_BACKEND = 21,       /* number: process id */
	SDES_FIELD_BACKEND_START = 22, /* number: microseconds since 1970 */
	SDES_FIELD_QUERY = 23,         /* number: query id */
	SDES_FIELD_OBJECT = 24,        /* text: what an event is about */
	SDES_FIELD_VERSION = 25,       /* text: of sdes */
	SDES_FIELD_NODE = 26,          /* text: host and data directory */
	SDES_FIELD_FROM_JOURNAL = 27,  /* bytes, 16: the journal that this goes on from */
	SDES_FIELD_FROM_SEQUENCE = 28, /* number: its last record that is known here */
	SDES_FIELD_DROPPED = 29,       /* number: bytes of a record that a crash cut short */
	SDES_FIELD_ALGORITHM = 30,     /* text: of a signature */
	SDES_FIELD_KEY = 31,           /* bytes: id of the key that signed */
	SDES_FIELD_SIGNATURE = 32,     /* bytes */
	SDES_FIELD_CHECKPOINT = 33,    /* number: sequence of what is signed */
	SDES_FIELD_PUBLIC_KEY = 34     /* bytes: of the key that signs, SubjectPublicKeyInfo */
} SdesFieldTag;

#define SDES_FIELDS 34

typedef enum SdesFieldType
{
	SDES_FIELD_IS_TEXT,
	SDES_FIELD_IS_NUMBER,
	SDES_FIELD_IS_BYTES
} SdesFieldType;

typedef struct SdesJournalHeader
{
	uint8_t journal[SDES_JOURNAL_ID_SIZE];
	uint64_t system_identifier;
	uint64_t sequence; /* of the first record */
	int64_t time;
	uint8_t before[SDES_DIGEST_SIZE]; /* hash of the record before it */
} SdesJournalHeader;

/* Borrows the bytes that it was read from. */
typedef struct SdesRecord
{
	uint8_t kind; /* SdesJournalKind */
	uint64_t sequence;
	int64_t time;
	SdesBytes fields;
	SdesBytes hash;
	SdesBytes chained; /* all before the hash */
} SdesRecord;

/* A static string: "begin"; NULL for a number that is no kind. */
extern const char *sdes_journal_kind_name(uint8_t kind);

/* A static string: "session_role"; NULL for a tag that is not known here. */
extern const char *sdes_field_name(uint8_t tag);
extern SdesFieldType sdes_field_type(uint8_t tag);

extern void sdes_journal_write_header(const SdesJournalHeader *header,
                                      uint8_t out[SDES_JOURNAL_HEADER_SIZE]);

/* SDES_ERR_FORMAT when it is none. */
extern SdesStatus sdes_journal_read_header(SdesBytes bytes, SdesJournalHeader *header);

/* The hash before the first record of a segment. */
extern SdesStatus sdes_journal_header_hash(SdesBytes header, uint8_t out[SDES_DIGEST_SIZE]);

/* Fields, in ascending order of their tags; what does not fit or is out of order fails. */
extern void sdes_write_number(SdesWriter *w, SdesFieldTag tag, uint64_t value);
/* NULL writes nothing. Cut after SDES_FIELD_TEXT_MAX bytes, between characters. */
extern void sdes_write_text(SdesWriter *w, SdesFieldTag tag, const char *utf8);
extern void sdes_write_field(SdesWriter *w, SdesFieldTag tag, SdesBytes value);

/*
 * One record with its hash, which goes to hash, too: on entry that of the record before.
 * SDES_ERR_TOO_LONG when it does not fit into w, or has too many fields. Fields are
 * checked to be in canonical form: SDES_ERR_FORMAT.
 */
extern SdesStatus sdes_journal_write_record(SdesWriter *w, SdesJournalKind kind,
                                            uint64_t sequence, int64_t time,
                                            SdesBytes fields,
                                            uint8_t hash[SDES_DIGEST_SIZE]);

typedef enum SdesRecordRead
{
	SDES_RECORD_READ,
	SDES_RECORD_END,   /* the segment ends here in good order */
	SDES_RECORD_SHORT, /* the bytes end within a record */
	SDES_RECORD_BROKEN /* it cannot be a record */
} SdesRecordRead;

/* Reads the next record; its hash is not looked at. r moves on only past a good one. */
extern SdesRecordRead sdes_journal_read_record(SdesReader *r, SdesRecord *record);

/* The hash that a record is to have, after one with that hash. */
extern SdesStatus sdes_journal_record_hash(const SdesRecord *record,
                                           const uint8_t before[SDES_DIGEST_SIZE],
                                           uint8_t out[SDES_DIGEST_SIZE]);

typedef struct SdesField
{
	uint8_t tag;
	SdesBytes value;
	uint64_t number; /* of a field that is one */
} SdesField;

/* Whether a record may have these fields: tags ascend, values are what their tags say. */
extern bool sdes_fields_are_canonical(SdesBytes fields);

/* The next field of a record; false when there is none. */
extern bool sdes_read_field(SdesReader *fields, SdesField *field);

/* One field of a record; false when it has none of that tag. */
extern bool sdes_record_field(const SdesRecord *record, SdesFieldTag tag, SdesField *field);

#endif
