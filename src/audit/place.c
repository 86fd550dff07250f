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

/* Whether there is a state, of this data directory or of the one that it is a copy of. */
static bool
read_state(State *state)
{
	char text[128];
	int fd = open(STATE_FILE, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[Max(size, 0)] = '\0';
	return sscanf(text, "%32[0-9a-f] %llu %llu", state->journal, &state->device,
	              &state->inode) == 3 &&
	       strlen(state->journal) == 2 * SDES_JOURNAL_ID_SIZE;
}

static int
write_state(const State *state)
{
	char text[128];
	int size = snprintf(text, sizeof(text), "%s %llu %llu\n", state->journal, state->device,
	                    state->inode);
	int fd, error = 0;

	if (mkdir(SDES_STATE_DIRECTORY, 0700) != 0 && errno != EEXIST)
		return errno;
	fd = open(NEW_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return errno;
	if (write(fd, text, size) != size || fsync(fd) != 0)
		error = errno != 0 ? errno : ENOSPC;
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

static int
new_journal(State *state, uint8 id[SDES_JOURNAL_ID_SIZE])
{
	int error = read_identity(state);

	if (error == 0 && sdes_random(id, SDES_JOURNAL_ID_SIZE) != SDES_OK)
		error = EIO;
	sdes_hex(sdes_bytes(id, SDES_JOURNAL_ID_SIZE), state->journal);
	return error;
}

static void
name_folder(SdesJournalFile *file, const char *directory, const char *journal)
{
	snprintf(file->folder, sizeof(file->folder), "%s/%s", directory, journal);
}

/* Whether the state is of this data directory, and its journal is where it was. */
static bool
is_ours(const State *state, const char *directory, SdesJournalFile *file)
{
	State now = {0};
	struct stat status;

	if (read_identity(&now) != 0 || now.device != state->device ||
	    now.inode != state->inode)
		return false;
	name_folder(file, directory, state->journal);
	return stat(file->folder, &status) == 0 && S_ISDIR(status.st_mode);
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
	char directory[MAXPGPATH];
	uint8 from[SDES_JOURNAL_ID_SIZE];
	uint64 dropped = 0;
	State state;
	bool known = read_state(&state);
	bool ours;
	int error = 0;

	sdes_journal_close(file);
	sdes_audit_directory_path(directory);
	if (strlen(directory) + 2 * SDES_JOURNAL_ID_SIZE + 2 > sizeof(file->folder))
		return ENAMETOOLONG;
	ours = known && is_ours(&state, directory, file);
	if (known)
		read_hex(state.journal, from, sizeof(from));
	if (ours)
		memcpy(file->header.journal, from, sizeof(from));
	else
		error = new_journal(&state, file->header.journal);
	if (error == 0 && mkdir(directory, 0700) != 0 && errno != EEXIST)
		error = errno;
	name_folder(file, directory, state.journal);
	file->header.system_identifier = GetSystemIdentifier();
	if (error == 0)
		error = sdes_journal_find_end(file, end, &dropped);
	if (error == 0 && !ours)
		error = write_state(&state);
	if (error == 0)
		describe(w, known && !ours ? from : NULL, dropped);
	return error;
}
