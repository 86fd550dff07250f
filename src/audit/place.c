/*
 * place.c
 *		Where the journal is, and which one is this server's.
 *
 * Journals lie outside the data directory, or base backups and their restores would copy
 * them, and then two servers would go on with one chain. Which journal a data directory
 * has, a file in it says, along with what the directory is to the file system: in a copy
 * that is something else, so the copy begins a journal of its own.
 */
#include "postgres.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog.h"
#include "agentlink/agentlink.h"
#include "audit/audit.h"
#include "audit/internal.h"
#include "crypto/kdf.h"
#include "miscadmin.h"
#include "sdes_guc.h"
#include "storage/fd.h"

#define STATE_FILE SDES_STATE_DIRECTORY "/journal"
#define NEW_FILE   SDES_STATE_DIRECTORY "/journal.new"

typedef struct State
{
	char journal[2 * SDES_JOURNAL_ID_SIZE + 1];
	unsigned long long device; /* of the data directory */
	unsigned long long inode;
	unsigned long long self; /* inode of the state file: another one after any restore */
} State;

void
sdes_audit_directory_path(char *path)
{
	if (sdes_audit_directory[0] != '\0')
		strlcpy(path, sdes_audit_directory, MAXPGPATH);
	else
		snprintf(path, MAXPGPATH, "%s.audit", DataDir);
}

static int
read_identity(State *state)
{
	struct stat status;

	if (stat(DataDir, &status) != 0)
		return errno;
	state->device = (unsigned long long) status.st_dev;
	state->inode = (unsigned long long) status.st_ino;
	return 0;
}

/*
 * The state, of this data directory or of the one that it is a copy of; *ours tells which.
 * An errno, ENOENT if there is none.
 */
static int
read_state(State *state, bool *ours)
{
	State now = {0};
	char text[128];
	struct stat status;
	int fd = open(STATE_FILE, O_RDONLY | O_CLOEXEC);
	ssize_t size;
	int error;

	if (fd < 0)
		return errno;
	size = read(fd, text, sizeof(text) - 1);
	error = size < 0 || fstat(fd, &status) != 0 ? errno : 0;
	close(fd);
	if (error == 0)
		error = read_identity(&now);
	if (error != 0)
		return error;
	text[size] = '\0';
	if (sscanf(text, "%32[0-9a-f] %llu %llu %llu", state->journal, &state->device,
	           &state->inode, &state->self) != 4 ||
	    strlen(state->journal) != 2 * SDES_JOURNAL_ID_SIZE)
		return EBADMSG;
	*ours = state->device == now.device && state->inode == now.inode &&
	        state->self == (unsigned long long) status.st_ino;
	return 0;
}

static int
write_text(int fd, State *state)
{
	char text[128];
	struct stat status;
	int size;

	if (fstat(fd, &status) != 0)
		return errno;
	state->self = (unsigned long long) status.st_ino;
	size = snprintf(text, sizeof(text), "%s %llu %llu %llu\n", state->journal,
	                state->device, state->inode, state->self);
	errno = 0;
	if (write(fd, text, size) != size || fsync(fd) != 0)
		return errno != 0 ? errno : ENOSPC;
	return 0;
}

static int
write_state(State *state)
{
	int fd, error;

	if (mkdir(SDES_STATE_DIRECTORY, 0700) != 0 && errno != EEXIST)
		return errno;
	(void) unlink(NEW_FILE);
	fd = open(NEW_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno;
	error = write_text(fd, state);
	close(fd);
	if (error == 0 && durable_rename(NEW_FILE, STATE_FILE, LOG) != 0)
		error = EIO;
	return error;
}

static void
read_hex(const char *text, uint8 *out, size_t size)
{
	for (size_t i = 0; i < size; i++)
	{
		unsigned value = 0;

		(void) sscanf(text + 2 * i, "%2x", &value);
		out[i] = (uint8) value;
	}
}

/* The same as at an attempt before that came to nothing. */
static int
new_id(uint8 id[SDES_JOURNAL_ID_SIZE])
{
	static uint8 made[SDES_JOURNAL_ID_SIZE];
	static const uint8 none[SDES_JOURNAL_ID_SIZE];

	if (memcmp(made, none, sizeof(made)) == 0 && sdes_random(made, sizeof(made)) != SDES_OK)
		return EIO;
	memcpy(id, made, sizeof(made));
	return 0;
}

/* A journal that was there and is not is an error; a new one begins a new folder. */
static int
name_folder(SdesJournalFile *file, bool ours)
{
	char directory[MAXPGPATH];
	char id[2 * SDES_JOURNAL_ID_SIZE + 1];
	struct stat status;

	sdes_audit_directory_path(directory);
	if (strlen(directory) + sizeof(id) + 1 > sizeof(file->folder))
		return ENAMETOOLONG;
	if (!ours && mkdir(directory, 0700) != 0 && errno != EEXIST)
		return errno;
	sdes_hex(SDES_BYTES_OF(file->header.journal), id);
	snprintf(file->folder, sizeof(file->folder), "%s/%s", directory, id);
	return ours && stat(file->folder, &status) != 0 ? errno : 0;
}

static void
describe(SdesWriter *w, const uint8 *from, uint64 dropped)
{
	char host[256] = "";
	char node[MAXPGPATH + 256];

	(void) gethostname(host, sizeof(host) - 1);
	snprintf(node, sizeof(node), "%s:%s", host, DataDir);
	sdes_write_number(w, SDES_FIELD_BACKEND, (uint64) MyProcPid);
	sdes_write_text(w, SDES_FIELD_VERSION, SDES_VERSION);
	sdes_write_text(w, SDES_FIELD_NODE, node);
	if (from != NULL)
		sdes_write_field(w, SDES_FIELD_FROM_JOURNAL,
		                 sdes_bytes(from, SDES_JOURNAL_ID_SIZE));
	if (dropped > 0)
		sdes_write_number(w, SDES_FIELD_DROPPED, dropped);
}

int
sdes_audit_open(SdesJournalFile *file, SdesJournalEnd *end, SdesWriter *w)
{
	uint8 from[SDES_JOURNAL_ID_SIZE];
	uint64 dropped = 0;
	State state;
	bool ours = false;
	int error = read_state(&state, &ours);
	bool known = error == 0;

	sdes_journal_close(file);
	if (error != 0 && error != ENOENT)
		return error;
	if (known)
		read_hex(state.journal, from, sizeof(from));
	if (ours)
		memcpy(file->header.journal, from, sizeof(from));
	else if ((error = new_id(file->header.journal)) != 0)
		return error;
	file->header.system_identifier = GetSystemIdentifier();
	error = name_folder(file, ours);
	if (error == 0)
		error = sdes_journal_find_end(file, end, &dropped);
	if (error == 0)
		describe(w, known && !ours ? from : NULL, dropped);
	return error;
}

int
sdes_audit_remember(const SdesJournalFile *file)
{
	State state;
	State now = {0};
	bool ours = false;
	int error = read_state(&state, &ours);

	if (error == 0 && ours)
		return 0;
	error = read_identity(&now);
	sdes_hex(SDES_BYTES_OF(file->header.journal), now.journal);
	return error == 0 ? write_state(&now) : error;
}
