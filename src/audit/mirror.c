/*
 * mirror.c
 *		The journal once more, in a second folder: on another disk, or another machine's.
 *
 * What is on the disk is copied, segment by segment and byte by byte, so that the copy is
 * a journal that verifies by itself. One process does that; statements do not wait for it,
 * so a second disk that fails or hangs keeps nobody from working. After it was away, it
 * gets what it has missed.
 */
#include "postgres.h"

#include "audit/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/internal.h"
#include "postmaster/interrupt.h"
#include "sdes_errors.h"
#include "sdes_guc.h"
#include "sdes_shmem.h"
#include "storage/fd.h"
#include "utils/timestamp.h"

/* What others may know of it. */
typedef struct Published
{
	LWLock *lock;
	SdesAuditMirroring mirroring;
} Published;

static Published *published = NULL;

/*
 * Of the process that copies: the last segment that is whole there, so that it is not looked
 * at again; of which journal, and in which folder.
 */
static struct
{
	uint8 journal[SDES_JOURNAL_ID_SIZE];
	dev_t device;
	ino_t inode;
	uint64 segment;
} known;

static void
make_published(void *memory, LWLock *lock)
{
	((Published *) memory)->lock = lock;
}

void
sdes_audit_mirror_init(void)
{
	sdes_shmem_add("sdes_audit_mirroring", sizeof(Published), sizeof(Published),
	               (void **) &published, make_published);
}

SdesAuditMirroring
sdes_audit_mirroring(void)
{
	SdesAuditMirroring mirroring = {0};

	if (published == NULL)
		return mirroring;
	LWLockAcquire(published->lock, LW_SHARED);
	mirroring = published->mirroring;
	LWLockRelease(published->lock);
	return mirroring;
}

/* Logged when it is news. */
static void
publish(const char *trouble)
{
	SdesAuditMirroring *mirroring = &published->mirroring;
	bool news;

	LWLockAcquire(published->lock, LW_EXCLUSIVE);
	news = strcmp(mirroring->trouble, trouble) != 0;
	strlcpy(mirroring->trouble, trouble, sizeof(mirroring->trouble));
	if (trouble[0] == '\0')
		mirroring->complete_at = GetCurrentTimestamp();
	LWLockRelease(published->lock);
	if (news && trouble[0] != '\0')
		ereport(LOG, (errcode(ERRCODE_IO_ERROR),
		              errmsg("audit journal is not being mirrored: %s", trouble),
		              errhint("See the row \"audit mirror\" of sdes.health().")));
	else if (news)
		ereport(LOG, (errmsg("audit journal is being mirrored again")));
}

/* ---- copying: errnos ---- */

static int
make_folder(const char *path)
{
	if (mkdir(path, S_IRWXU) == 0)
		return 0;
	return errno == EEXIST ? 0 : errno;
}

static int
write_all(int fd, const uint8 *data, size_t size, off_t at)
{
	while (size > 0)
	{
		ssize_t written = pwrite(fd, data, size, at);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return written < 0 ? errno : EIO;
		data += written;
		size -= (size_t) written;
		at += written;
	}
	return 0;
}

/* Brings a segment's copy, which is open, to that size; UINT64_MAX: all that there is. */
static int
extend(const char *folder, uint64 segment, uint64 size, int fd, uint64 has)
{
	SdesBytes bytes;
	int error;

	if (has >= size)
		return has > size ? EBADMSG : 0;
	error = sdes_journal_read(folder, segment, has, &bytes);
	if (error != 0)
		return error;
	error = write_all(fd, bytes.data, Min(bytes.size, size - has), (off_t) has);
	sdes_journal_free(bytes);
	if (error == 0 && fdatasync(fd) != 0)
		error = errno;
	return error;
}

/* So that what was made is found there after a power cut. */
static int
sync_folders(const char *mirror)
{
	return fsync_fname_ext(mirror, true, true, LOG) != 0 ||
	               fsync_fname_ext(sdes_audit_mirror, true, true, LOG) != 0
	           ? EIO
	           : 0;
}

static int
copy_segment(const char *folder, const char *mirror, uint64 segment, uint64 size)
{
	char path[SDES_JOURNAL_PATH_MAX + 32];
	struct stat status;
	int error;
	int fd;

	sdes_journal_segment_path(mirror, segment, path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
	if (fd < 0)
		return errno;
	error = fstat(fd, &status) != 0
	            ? errno
	            : extend(folder, segment, size, fd, (uint64) status.st_size);
	if (close(fd) != 0 && error == 0)
		error = errno;
	return error == 0 && status.st_size == 0 ? sync_folders(mirror) : error;
}

/* Those that are not known to be whole there; the last one as far as it is on the disk. */
static int
copy_segments(const SdesAuditJournal *own, const char *mirror)
{
	uint64_t *segments;
	size_t n;
	int error = sdes_journal_list(own->folder, &segments, &n);

	if (error != 0)
		return error;
	for (size_t i = 0;
	     i < n && error == 0 && segments[i] <= own->end.segment && !ShutdownRequestPending;
	     i++)
	{
		bool last = segments[i] == own->end.segment;

		if (segments[i] <= known.segment)
			continue;
		error = copy_segment(own->folder, mirror, segments[i],
		                     last ? own->end.size : UINT64_MAX);
		if (error == 0 && !last)
			known.segment = segments[i];
	}
	free(segments);
	return error;
}

/* Another folder, of whatever disk is there now, is looked at from the beginning. */
static int
know_folder(const SdesAuditJournal *own, const char *mirror)
{
	struct stat status;

	if (stat(mirror, &status) != 0)
		return errno;
	if (memcmp(known.journal, own->id, sizeof(known.journal)) == 0 &&
	    known.device == status.st_dev && known.inode == status.st_ino)
		return 0;
	memcpy(known.journal, own->id, sizeof(known.journal));
	known.device = status.st_dev;
	known.inode = status.st_ino;
	known.segment = 0;
	return 0;
}

/* The folder of the setting has to be there: without its disk it is not. */
static int
copy_journal(const SdesAuditJournal *own)
{
	char mirror[SDES_JOURNAL_PATH_MAX];
	int error;

	snprintf(mirror, sizeof(mirror), "%s%s", sdes_audit_mirror, strrchr(own->folder, '/'));
	error = make_folder(mirror);
	if (error == 0)
		error = know_folder(own, mirror);
	if (error == 0)
		error = copy_segments(own, mirror);
	if (error != 0)
		known.segment = 0;
	return error;
}

void
sdes_audit_mirror_copy(void)
{
	SdesAuditJournal own;
	int error;

	if (!sdes_audit_peek(&own))
		return;
	error = copy_journal(&own);
	if (error == EBADMSG)
		publish("a segment there has more than this server wrote");
	else
		publish(error == 0 ? "" : strerror(error));
}
