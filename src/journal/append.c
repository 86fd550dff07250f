/*
 * append.c
 *		Files of a journal.
 *
 * Invariant: what end says is on the disk. After a failed write or flush the file is cut
 * back to that, so that pages which the system may have given up as clean are written
 * again.
 */
#include "journal/append.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".journal"
#define DIGITS 16

/* Of a segment, with what a round of records or a crash may have put behind its end. */
#define FILE_MAX (SDES_JOURNAL_SEGMENT_MAX + 2 * SDES_JOURNAL_TORN_MAX)

void
sdes_journal_segment_path(const char *folder, uint64_t sequence,
                          char path[SDES_JOURNAL_PATH_MAX + 32])
{
	snprintf(path, SDES_JOURNAL_PATH_MAX + 32, "%s/%0*" PRIx64 SUFFIX, folder, DIGITS,
	         sequence);
}

/* 0 for a name that is no segment's. */
static uint64_t
sequence_of(const char *name)
{
	uint64_t sequence = 0;

	for (int i = 0; i < DIGITS; i++)
	{
		const char *digits = "0123456789abcdef";
		const char *digit = name[i] == '\0' ? NULL : strchr(digits, name[i]);

		if (digit == NULL)
			return 0;
		sequence = sequence << 4 | (uint64_t) (digit - digits);
	}
	return strcmp(name + DIGITS, SUFFIX) == 0 ? sequence : 0;
}

static int
by_sequence(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *) a;
	uint64_t right = *(const uint64_t *) b;

	return left < right ? -1 : left > right;
}

int
sdes_journal_list(const char *folder, uint64_t **sequences, size_t *n)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	uint64_t *found = NULL;
	size_t room = 0;

	*n = 0;
	*sequences = NULL;
	if (dir == NULL)
		return errno;
	while ((entry = readdir(dir)) != NULL)
	{
		uint64_t sequence = sequence_of(entry->d_name);

		if (sequence == 0)
			continue;
		if (*n == room)
		{
			uint64_t *more = realloc(found, (room = room * 2 + 64) * sizeof(*found));

			if (more == NULL)
			{
				free(found);
				closedir(dir);
				return ENOMEM;
			}
			found = more;
		}
		found[(*n)++] = sequence;
	}
	closedir(dir);
	if (*n > 0)
		qsort(found, *n, sizeof(*found), by_sequence);
	*sequences = found;
	return 0;
}

/* ---- the end ---- */

static int
sync_folder(const char *folder)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = fd < 0 || fsync(fd) != 0 ? errno : 0;

	if (fd >= 0)
		close(fd);
	return error;
}

static int
make_folder(const char *folder)
{
	if (mkdir(folder, 0700) == 0)
	{
		char parent[SDES_JOURNAL_PATH_MAX];
		char *slash;

		snprintf(parent, sizeof(parent), "%s", folder);
		slash = strrchr(parent, '/');
		if (slash != NULL && slash != parent)
			*slash = '\0';
		return sync_folder(slash == NULL ? "." : parent);
	}
	return errno == EEXIST ? 0 : errno;
}

static int
open_segment(SdesJournalFile *file, uint64_t sequence)
{
	char path[SDES_JOURNAL_PATH_MAX + 32];

	if (file->segment == sequence)
		return 0;
	sdes_journal_close(file);
	sdes_journal_segment_path(file->folder, sequence, path);
	file->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (file->fd < 0)
		return errno;
	file->segment = sequence;
	return 0;
}

/* No mapping: whoever makes the file shorter would end the process that reads it. */
static int
read_all(int fd, uint64_t from, uint8_t *out, size_t *size)
{
	size_t done = 0;

	while (done < *size)
	{
		ssize_t got = pread(fd, out + done, *size - done, (off_t) (from + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return errno;
		if (got == 0)
			break;
		done += (size_t) got;
	}
	*size = done;
	return 0;
}

static int
read_file(int fd, uint64_t from, SdesBytes *bytes)
{
	struct stat status;
	uint8_t *read;
	size_t size;
	int error;

	*bytes = sdes_bytes(NULL, 0);
	if (fstat(fd, &status) != 0)
		return errno;
	if ((uint64_t) status.st_size <= from)
		return 0;
	if (status.st_size > FILE_MAX)
		return EFBIG;
	size = (size_t) status.st_size - from;
	read = malloc(size);
	if (read == NULL)
		return ENOMEM;
	error = read_all(fd, from, read, &size);
	if (error != 0)
		free(read);
	else
		*bytes = sdes_bytes(read, size);
	return error;
}

int
sdes_journal_read(const char *folder, uint64_t sequence, uint64_t from, SdesBytes *bytes)
{
	char path[SDES_JOURNAL_PATH_MAX + 32];
	int fd, error;

	*bytes = sdes_bytes(NULL, 0);
	sdes_journal_segment_path(folder, sequence, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	error = read_file(fd, from, bytes);
	close(fd);
	return error;
}

void
sdes_journal_free(SdesBytes bytes)
{
	free((void *) (uintptr_t) bytes.data);
}

/* Whether the next record follows the last one; then it is the last one. */
static bool
step(SdesReader *r, SdesJournalEnd *end)
{
	SdesReader next = *r;
	SdesRecord record;
	uint8_t hash[SDES_DIGEST_SIZE];

	if (sdes_journal_read_record(&next, &record) != SDES_RECORD_READ ||
	    record.sequence != end->next ||
	    sdes_journal_record_hash(&record, end->hash, hash) != SDES_OK ||
	    !sdes_equal(hash, record.hash.data, sizeof(hash)))
		return false;
	memcpy(end->hash, hash, sizeof(hash));
	end->next++;
	*r = next;
	return true;
}

/* Follows the records of the last segment as far as they go. */
static int
follow(const SdesJournalFile *file, SdesBytes bytes, SdesJournalEnd *end)
{
	SdesReader r = sdes_reader(bytes);
	SdesBytes header = sdes_read_bytes(&r, SDES_JOURNAL_HEADER_SIZE);
	SdesJournalHeader read;

	if (sdes_journal_read_header(header, &read) != SDES_OK || read.sequence != end->segment)
		return EBADMSG;
	if (memcmp(read.journal, file->header.journal, sizeof(read.journal)) != 0)
		return EXDEV;
	end->next = read.sequence;
	if (sdes_journal_header_hash(header, end->hash) != SDES_OK)
		return EIO;
	while (step(&r, end))
		;
	end->size = (uint64_t) (r.at - bytes.data);
	return bytes.size - end->size > SDES_JOURNAL_TORN_MAX ? EBADMSG : 0;
}

static int
write_all(int fd, SdesBytes bytes, uint64_t at)
{
	while (bytes.size > 0)
	{
		ssize_t written = pwrite(fd, bytes.data, bytes.size, (off_t) at);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return written < 0 ? errno : ENOSPC;
		bytes.data += written;
		bytes.size -= (size_t) written;
		at += (uint64_t) written;
	}
	return 0;
}

/* What is cut off is kept for who wants to know what it was. */
static int
keep_torn(const SdesJournalFile *file, const SdesJournalEnd *end, SdesBytes torn)
{
	char path[SDES_JOURNAL_PATH_MAX + 32];
	int fd, error;

	snprintf(path, sizeof(path), "%s/%0*" PRIx64 ".torn", file->folder, DIGITS, end->next);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return errno;
	error = write_all(fd, torn, 0);
	if (error == 0 && fsync(fd) != 0)
		error = errno;
	close(fd);
	return error == 0 ? sync_folder(file->folder) : error;
}

static int
cut_back(const SdesJournalFile *file, uint64_t size)
{
	return ftruncate(file->fd, (off_t) size) != 0 || fsync(file->fd) != 0 ? errno : 0;
}

static int
read_end(SdesJournalFile *file, SdesJournalEnd *end, uint64_t *dropped)
{
	SdesBytes bytes = {NULL, 0};
	int error = open_segment(file, end->segment);

	if (error != 0 || (error = read_file(file->fd, 0, &bytes)) != 0)
		return error;
	error = follow(file, bytes, end);
	*dropped = error == 0 ? bytes.size - end->size : 0;
	if (*dropped > 0)
		error = keep_torn(file, end, sdes_bytes(bytes.data + end->size, *dropped));
	sdes_journal_free(bytes);
	if (error == 0 && *dropped > 0)
		error = cut_back(file, end->size);
	return error;
}

/*
 * A segment that never began: its header was cut short by a crash, or its size reached the
 * disk and nothing else did.
 */
static bool
is_stub(SdesBytes bytes)
{
	if (bytes.size < SDES_JOURNAL_HEADER_SIZE)
		return true;
	for (size_t i = 0; i < bytes.size; i++)
		if (bytes.data[i] != 0)
			return false;
	return true;
}

static int
remove_stub(SdesJournalFile *file, uint64_t sequence, bool *removed)
{
	char path[SDES_JOURNAL_PATH_MAX + 32];
	SdesBytes bytes;
	int error = sdes_journal_read(file->folder, sequence, 0, &bytes);

	*removed = error == 0 && is_stub(bytes);
	sdes_journal_free(bytes);
	if (!*removed)
		return error;
	sdes_journal_segment_path(file->folder, sequence, path);
	return unlink(path) != 0 ? errno : sync_folder(file->folder);
}

/* The last segment that has a header, 0 if there is none. */
static int
find_last(SdesJournalFile *file, uint64_t *last)
{
	uint64_t *sequences;
	bool stub = false;
	size_t n;
	int error = sdes_journal_list(file->folder, &sequences, &n);

	*last = 0;
	if (error == 0 && n > 0)
		error = remove_stub(file, sequences[n - 1], &stub);
	if (error == 0 && stub)
		n--;
	if (error == 0 && n > 0)
		*last = sequences[n - 1];
	free(sequences);
	return error;
}

int
sdes_journal_find_end(SdesJournalFile *file, SdesJournalEnd *end, uint64_t *dropped)
{
	int error = make_folder(file->folder);

	memset(end, 0, sizeof(*end));
	*dropped = 0;
	if (error == 0)
		error = find_last(file, &end->segment);
	if (error != 0 || end->segment == 0)
		return error;
	return read_end(file, end, dropped);
}

/* ---- more ---- */

static int
begin_segment(SdesJournalFile *file, SdesJournalEnd *end, int64_t now)
{
	SdesJournalHeader header = file->header;
	uint8_t bytes[SDES_JOURNAL_HEADER_SIZE];
	char path[SDES_JOURNAL_PATH_MAX + 32];
	uint8_t hash[SDES_DIGEST_SIZE];
	int error;

	header.sequence = end->next == 0 ? 1 : end->next;
	header.time = now;
	memcpy(header.before, end->hash, sizeof(header.before));
	sdes_journal_write_header(&header, bytes);
	if (sdes_journal_header_hash(SDES_BYTES_OF(bytes), hash) != SDES_OK)
		return EIO;
	sdes_journal_close(file);
	sdes_journal_segment_path(file->folder, header.sequence, path);
	file->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file->fd < 0)
		return errno;
	file->segment = header.sequence;
	if ((error = write_all(file->fd, SDES_BYTES_OF(bytes), 0)) != 0 ||
	    (error = fsync(file->fd) != 0 ? errno : 0) != 0 ||
	    (error = sync_folder(file->folder)) != 0)
	{
		sdes_journal_close(file);
		unlink(path);
		return error;
	}
	end->segment = end->next = header.sequence;
	end->size = SDES_JOURNAL_HEADER_SIZE;
	memcpy(end->hash, hash, sizeof(hash));
	return EAGAIN;
}

/*
 * What a failure left behind the end, and could not be cut off then, is now. A segment that
 * is shorter than what was acknowledged was changed by somebody.
 */
static int
expect_end(const SdesJournalFile *file, uint64_t size)
{
	struct stat status;

	if (fstat(file->fd, &status) != 0)
		return errno;
	if ((uint64_t) status.st_size < size)
		return EBADMSG;
	return (uint64_t) status.st_size > size ? cut_back(file, size) : 0;
}

int
sdes_journal_append(SdesJournalFile *file, SdesJournalEnd *end, SdesBytes records,
                    uint64_t next, const uint8_t hash[SDES_DIGEST_SIZE], int64_t now)
{
	int error;

	if (end->segment == 0 || end->size >= SDES_JOURNAL_SEGMENT_MAX)
		return begin_segment(file, end, now);
	if ((error = open_segment(file, end->segment)) != 0 ||
	    (error = expect_end(file, end->size)) != 0)
		return error;
	error = write_all(file->fd, records, end->size);
	if (error == 0 && fdatasync(file->fd) != 0)
		error = errno;
	if (error != 0)
	{
		/* If that fails, too, the next one does it. */
		(void) cut_back(file, end->size);
		return error;
	}
	end->size += records.size;
	end->next = next;
	memcpy(end->hash, hash, SDES_DIGEST_SIZE);
	return 0;
}

void
sdes_journal_close(SdesJournalFile *file)
{
	if (file->segment != 0)
		close(file->fd);
	file->segment = 0;
}
