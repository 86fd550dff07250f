/*
 * append.h
 *		Writing a journal: its folder, the end of its last segment, records that are on
 *		the disk before anybody goes on.
 *
 * Where the journal ends (SdesJournalEnd) is shared by the processes that write; one of
 * them writes at a time, and who that is, is their affair. Each has its own descriptor.
 *
 * Errors of the system come back as errno; 0 is success.
 */
#ifndef SDES_JOURNAL_APPEND_H
#define SDES_JOURNAL_APPEND_H

#include "journal/record.h"

#define SDES_JOURNAL_PATH_MAX 1024
#define SDES_JOURNAL_SEGMENT_MAX                                                           \
	(16 * 1024 * 1024)                     /* bytes, after which a new one begins */
#define SDES_JOURNAL_TORN_MAX (512 * 1024) /* bytes that a crash may have torn, at most */

/* What is known to be on the disk. Plain data, for shared memory. */
typedef struct SdesJournalEnd
{
	uint64_t segment; /* sequence of its first record */
	uint64_t size;    /* of the segment's file */
	uint64_t next;    /* sequence of the next record */
	uint8_t hash[SDES_DIGEST_SIZE];
} SdesJournalEnd;

typedef struct SdesJournalFile
{
	char folder[SDES_JOURNAL_PATH_MAX];
	SdesJournalHeader header; /* journal and system_identifier; the rest changes */
	uint64_t segment;         /* that fd is of; 0: none is open */
	int fd;
} SdesJournalFile;

/* "FOLDER/0000000000000001.journal" */
extern void sdes_journal_segment_path(const char *folder, uint64_t sequence,
                                      char path[SDES_JOURNAL_PATH_MAX + 32]);

/*
 * Sequences of a folder's segments in ascending order, in memory of the caller's; their
 * number in *n. ENOMEM, or why the folder cannot be read.
 */
extern int sdes_journal_list(const char *folder, uint64_t **sequences, size_t *n);

/*
 * The bytes of a segment from an offset on, as they are at this moment, in memory that the
 * caller frees by sdes_journal_free(). An errno when they cannot be had: EFBIG for more
 * than any segment has. A segment of no bytes has none.
 */
extern int sdes_journal_read(const char *folder, uint64_t sequence, uint64_t from,
                             SdesBytes *bytes);
extern void sdes_journal_free(SdesBytes bytes);

/*
 * Finds the end of the journal in file->folder, which is made if it is not there. What
 * follows the last good record was not acknowledged when the system went down: *dropped
 * bytes are moved to "FOLDER/<next sequence>.torn". EBADMSG when that is more than a crash
 * can leave, or the segment has no good header; EXDEV when it is of another journal than
 * file->header says. end->segment is 0 where there is no segment yet.
 */
extern int sdes_journal_find_end(SdesJournalFile *file, SdesJournalEnd *end,
                                 uint64_t *dropped);

/*
 * Writes records, which were made to follow end->hash and end->next, and has them on the
 * disk when it returns 0; end is then moved on behind them: to next, and hash. A failure
 * leaves the journal as it was, also where some had been written: the same records can be
 * written again later. EBADMSG when somebody has made the segment shorter.
 *
 * Where there is no segment, or the last one is full, begins one: then end changes first,
 * and records have to be made anew, for which EAGAIN asks.
 */
extern int sdes_journal_append(SdesJournalFile *file, SdesJournalEnd *end,
                               SdesBytes records, uint64_t next,
                               const uint8_t hash[SDES_DIGEST_SIZE], int64_t now);

extern void sdes_journal_close(SdesJournalFile *file);

#endif
