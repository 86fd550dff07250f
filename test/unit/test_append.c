/*
 * test_append.c
 *		Writing the audit journal: what was acknowledged is there after any end of the
 *		writer, and a disk that fails takes nothing back.
 */
#include "journal/append.h"
#include "journal/verify.h"
#include "tap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[SDES_JOURNAL_PATH_MAX / 2];

/* fdatasync(2) fails so often. */
static int failing;

extern int __wrap_fdatasync(int fd);
int
__wrap_fdatasync(int fd)
{
	if (failing > 0)
	{
		failing--;
		errno = EIO;
		return -1;
	}
	return fsync(fd);
}

static SdesJournalFile
new_file(void)
{
	SdesJournalFile file = {.header = {.system_identifier = 1}};

	snprintf(file.folder, sizeof(file.folder), "%s", folder);
	memset(file.header.journal, 7, sizeof(file.header.journal));
	return file;
}

/* Appends so many records of about that size; 0 or an errno. */
static int
append(SdesJournalFile *file, SdesJournalEnd *end, int n, size_t size)
{
	int error;

	do
	{
		uint8_t *out = malloc((size_t) n * (size + 128) + 1), fields[8192];
		SdesWriter w = sdes_writer(out, (size_t) n * (size + 128));
		SdesWriter f = sdes_writer(fields, sizeof(fields));
		uint8_t hash[SDES_DIGEST_SIZE];
		static uint8_t filling[8192];

		memcpy(hash, end->hash, sizeof(hash));
		sdes_write_field(&f, SDES_FIELD_SIGNATURE, sdes_bytes(filling, size));
		for (int i = 0; i < n && end->segment != 0; i++)
			if (sdes_journal_write_record(&w, SDES_JOURNAL_EVENT, end->next + (uint64_t) i,
			                              5, sdes_bytes(fields, (size_t) (f.at - fields)),
			                              hash) != SDES_OK)
				abort();
		error = sdes_journal_append(file, end, sdes_bytes(out, (size_t) (w.at - out)),
		                            end->next + (uint64_t) n, hash, 9);
		free(out);
	} while (error == EAGAIN);
	return error;
}

static SdesBytes
read_file(const char *path)
{
	struct stat status;
	int fd = open(path, O_RDONLY);
	uint8_t *bytes;
	ssize_t got;

	if (fd < 0 || fstat(fd, &status) != 0)
		abort();
	bytes = malloc((size_t) status.st_size + 1);
	got = read(fd, bytes, (size_t) status.st_size);
	close(fd);
	return sdes_bytes(bytes, (size_t) got);
}

static SdesWrong
verify(SdesVerify *v)
{
	uint64_t *sequences;
	size_t n;

	sdes_verify_start(v);
	if (sdes_journal_list(folder, &sequences, &n) != 0)
		abort();
	for (size_t i = 0; i < n && v->wrong == SDES_WRONG_NOTHING; i++)
	{
		char path[SDES_JOURNAL_PATH_MAX + 32];
		SdesBytes bytes;

		sdes_journal_segment_path(folder, sequences[i], path);
		bytes = read_file(path);
		sdes_verify_segment(v, bytes);
		free((void *) (uintptr_t) bytes.data);
	}
	free(sequences);
	return v->wrong;
}

static bool
same_end(const SdesJournalEnd *a, const SdesJournalEnd *b)
{
	return a->segment == b->segment && a->size == b->size && a->next == b->next &&
	       memcmp(a->hash, b->hash, sizeof(a->hash)) == 0;
}

static void
remove_all(void)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir != NULL)
		closedir(dir);
	rmdir(folder);
}

static void
test_append(void)
{
	SdesJournalFile file = new_file(), second = new_file();
	SdesJournalEnd end, found;
	uint64_t dropped;
	SdesVerify v;

	ok(sdes_journal_find_end(&file, &end, &dropped) == 0 && end.segment == 0,
	   "a new journal");
	ok(append(&file, &end, 3, 100) == 0 && end.next == 4, "three records");
	ok(append(&second, &end, 2, 50) == 0 && end.next == 6, "two by another process");
	ok(append(&file, &end, 1, 0) == 0 && end.next == 7, "one by the first");
	ok(verify(&v) == SDES_WRONG_NOTHING && v.next == 7, "they are a chain");
	sdes_journal_close(&file);
	ok(sdes_journal_find_end(&file, &found, &dropped) == 0 && dropped == 0 &&
	       same_end(&found, &end),
	   "the end is found again");
	for (int i = 0; i < 40; i++)
		if (append(i % 2 ? &file : &second, &end, 100, 8000) != 0)
			abort();
	ok(end.segment > 1 && verify(&v) == SDES_WRONG_NOTHING && v.next == end.next,
	   "more than a segment holds");
	sdes_journal_close(&second);
	ok(sdes_journal_find_end(&second, &found, &dropped) == 0 && same_end(&found, &end),
	   "the end is found in the last one");
	memset(second.header.journal, 8, sizeof(second.header.journal));
	ok(sdes_journal_find_end(&second, &found, &dropped) == EXDEV,
	   "it is not another's journal");
	sdes_journal_close(&file);
	sdes_journal_close(&second);
	remove_all();
}

/* Whatever a crash leaves of the last records. */
static void
test_torn(void)
{
	SdesJournalFile file = new_file();
	SdesJournalEnd end, good, found;
	char path[SDES_JOURNAL_PATH_MAX + 32];
	uint64_t dropped;
	SdesBytes whole;
	long failed = 0, tried = 0;
	SdesVerify v;

	sdes_journal_find_end(&file, &end, &dropped);
	if (append(&file, &end, 4, 30) != 0)
		abort();
	good = end;
	if (append(&file, &end, 3, 60) != 0)
		abort();
	sdes_journal_segment_path(folder, 1, path);
	whole = read_file(path);
	for (size_t size = good.size; size < whole.size; size++)
	{
		for (int how = 0; how < 3; how++)
		{
			int fd = open(path, O_RDWR | O_TRUNC);
			uint8_t zeros[64] = {0};
			bool cut = true;

			cut &= write(fd, whole.data, size) == (ssize_t) size;
			/* A page that was reserved, or was not written. */
			if (how == 1)
				cut &= write(fd, zeros, sizeof(zeros)) > 0;
			if (how == 2)
				cut &= pwrite(fd, whole.data + good.size, 8, (off_t) size + 16) == 8;
			close(fd);
			sdes_journal_close(&file);
			failed += !cut || sdes_journal_find_end(&file, &found, &dropped) != 0 ||
			          found.next < good.next || found.next > end.next ||
			          append(&file, &found, 1, 9) != 0 ||
			          verify(&v) != SDES_WRONG_NOTHING || v.next != found.next;
			tried++;
		}
	}
	none_failed(failed, tried,
	            "what a crash leaves is cut off, and what was there before is not");
	free((void *) (uintptr_t) whole.data);

	/* A header alone, and a part of one. */
	sdes_journal_close(&file);
	sdes_journal_find_end(&file, &end, &dropped);
	sdes_journal_segment_path(folder, end.next, path);
	close(open(path, O_WRONLY | O_CREAT, 0600));
	ok(truncate(path, 80) == 0 && sdes_journal_find_end(&file, &found, &dropped) == 0 &&
	       same_end(&found, &end) && access(path, F_OK) != 0,
	   "a segment that never began");
	close(open(path, O_WRONLY | O_CREAT, 0600));
	ok(truncate(path, 4096) == 0 && sdes_journal_find_end(&file, &found, &dropped) == 0 &&
	       same_end(&found, &end) && access(path, F_OK) != 0,
	   "one of nothing but zeros");
	sdes_journal_segment_path(folder, 1, path);
	ok(truncate(path, (off_t) end.size + SDES_JOURNAL_TORN_MAX + 1) == 0 &&
	       sdes_journal_find_end(&file, &found, &dropped) == EBADMSG,
	   "more than a crash can leave is refused");
	sdes_journal_close(&file);
	remove_all();
}

static void
test_disk(void)
{
	SdesJournalFile file = new_file();
	SdesJournalEnd end, kept;
	struct rlimit limit, before;
	char path[SDES_JOURNAL_PATH_MAX + 32];
	uint8_t garbage[500];
	uint64_t dropped;
	SdesVerify v;
	int fd;

	sdes_journal_find_end(&file, &end, &dropped);
	if (append(&file, &end, 2, 100) != 0)
		abort();
	kept = end;
	failing = 1;
	ok(append(&file, &end, 2, 100) == EIO && same_end(&end, &kept), "a flush that fails");
	ok(verify(&v) == SDES_WRONG_NOTHING && v.next == end.next, "has added nothing");
	ok(append(&file, &end, 2, 100) == 0 && verify(&v) == SDES_WRONG_NOTHING &&
	       v.next == end.next,
	   "the next one goes on");

	kept = end;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &before);
	limit = before;
	limit.rlim_cur = end.size + 300;
	setrlimit(RLIMIT_FSIZE, &limit);
	ok(append(&file, &end, 10, 100) == EFBIG && same_end(&end, &kept), "a full disk");
	setrlimit(RLIMIT_FSIZE, &before);
	ok(verify(&v) == SDES_WRONG_NOTHING && v.next == end.next, "has added nothing");
	ok(append(&file, &end, 10, 100) == 0 && verify(&v) == SDES_WRONG_NOTHING &&
	       v.next == end.next,
	   "when there is room it goes on");
	/* What could not be cut off, and what somebody has cut off. */
	sdes_journal_segment_path(folder, end.segment, path);
	memset(garbage, 0x5a, sizeof(garbage));
	fd = open(path, O_WRONLY);
	ok(pwrite(fd, garbage, sizeof(garbage), (off_t) end.size) == sizeof(garbage) &&
	       append(&file, &end, 1, 10) == 0 && verify(&v) == SDES_WRONG_NOTHING &&
	       v.next == end.next,
	   "what a failure left behind the end is cut off");
	close(fd);
	kept = end;
	ok(truncate(path, (off_t) end.size - 1) == 0 && append(&file, &end, 1, 10) == EBADMSG &&
	       same_end(&end, &kept),
	   "to a segment that was made shorter nothing is added");
	sdes_journal_close(&file);
	remove_all();
	ok(append(&file, &end, 1, 1) == ENOENT, "a journal that was taken away");
	snprintf(file.folder, sizeof(file.folder), "/nonexistent/journal");
	ok(sdes_journal_find_end(&file, &end, &dropped) == ENOENT, "a place that is not there");
}

int
main(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(folder, sizeof(folder), "%s/sdes_journal_%d", tmp ? tmp : "/tmp",
	         (int) getpid());
	test_append();
	test_torn();
	test_disk();
	return done_testing();
}
