/*
 * pin.c
 *		The PIN's file or credential: found, judged, read.
 *
 * The rules for who may own and read the file are PostgreSQL's for a server's
 * SSL key (be-secure-common.c): ours and for us alone, or root's and readable
 * by a group at the most.
 */
#include "agent/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The PIN, its line end, and one byte more to see that it is too long. */
#define PIN_BUFFER_SIZE (SDES_PIN_MAX + 3)

static SdesStatus
bad_source(SdesHsmFault *fault, const char *what)
{
	return sdes_hsm_fault(fault, SDES_ERR_HSM_PIN_SOURCE, "the PIN source %s", what);
}

/* The file behind file: or credential:; false when there is no such place. */
static bool
source_path(const char *pin_source, char out[SDES_CONFIG_VALUE_SIZE])
{
	const char *directory;
	int n;

	if (strncmp(pin_source, "file:", 5) == 0)
		n = snprintf(out, SDES_CONFIG_VALUE_SIZE, "%s", pin_source + 5);
	else
	{
		directory = getenv("CREDENTIALS_DIRECTORY"); /* systemd.exec(5) */
		if (directory == NULL || directory[0] != '/')
			return false;
		n = snprintf(out, SDES_CONFIG_VALUE_SIZE, "%s/%s", directory,
		             pin_source + strlen("credential:"));
	}
	return n > 0 && n < SDES_CONFIG_VALUE_SIZE;
}

static void
file_identity(char out[SDES_PIN_IDENTITY_SIZE], const char *path, const struct stat *st)
{
	snprintf(out, SDES_PIN_IDENTITY_SIZE, "file %ju %ju %jd %jd.%09ld %jd.%09ld %s",
	         (uintmax_t) st->st_dev, (uintmax_t) st->st_ino, (intmax_t) st->st_size,
	         (intmax_t) st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
	         (intmax_t) st->st_ctim.tv_sec, st->st_ctim.tv_nsec, path);
}

void
sdes_pin_identity(const SdesAgentConfig *config, char out[SDES_PIN_IDENTITY_SIZE])
{
	char path[SDES_CONFIG_VALUE_SIZE];
	struct stat st;

	out[0] = '\0';
	if (config->pin_source[0] == '|')
		snprintf(out, SDES_PIN_IDENTITY_SIZE, "command %s", config->pin_source + 1);
	else if (source_path(config->pin_source, path) && lstat(path, &st) == 0)
		file_identity(out, path, &st);
}

/* True when path lies in or below directory; both are real paths. */
static bool
is_below(const char *path, const char *directory)
{
	size_t length = strlen(directory);

	if (strcmp(directory, "/") == 0)
		return true;
	return strncmp(path, directory, length) == 0 &&
	       (path[length] == '/' || path[length] == '\0');
}

/* The data directory is in every base backup: the PIN must not be. */
static SdesStatus
check_place(const SdesPinSource *source, const char *forbidden, const struct stat *opened,
            SdesHsmFault *fault)
{
	char path[PATH_MAX], directory[PATH_MAX];
	struct stat st;

	if (forbidden[0] == '\0')
		return SDES_OK;
	if (realpath(source->path, path) == NULL || realpath(forbidden, directory) == NULL)
		return bad_source(fault, "cannot be placed: its real path is unknown");
	/* realpath() went by the name, so make sure that it still names the open file. */
	if (stat(path, &st) != 0 || st.st_dev != opened->st_dev || st.st_ino != opened->st_ino)
		return bad_source(fault, "changed while it was opened");
	if (is_below(path, directory))
		return bad_source(fault, "lies in the data directory, which is backed up");
	return SDES_OK;
}

static SdesStatus
check_file(const struct stat *st, SdesHsmFault *fault)
{
	bool ours = st->st_uid == geteuid() && (st->st_mode & (S_IRWXG | S_IRWXO)) == 0;
	bool roots = st->st_uid == 0 && (st->st_mode & (S_IWGRP | S_IXGRP | S_IRWXO)) == 0;

	if (!S_ISREG(st->st_mode))
		return bad_source(fault, "is not a regular file");
	if (!ours && !roots)
		return bad_source(fault, "is unsafe: its file must be owned by the agent's user "
		                         "with mode 0600 or less, or by root with mode 0640 or "
		                         "less");
	if (st->st_size < 1 || st->st_size > SDES_PIN_MAX + 2)
		return bad_source(fault, "must hold 1 to 255 bytes");
	return SDES_OK;
}

static SdesStatus
open_file(const SdesAgentConfig *config, SdesPinSource *out, SdesHsmFault *fault)
{
	struct stat st;
	SdesStatus status;

	if (!source_path(config->pin_source, out->path))
		return bad_source(fault, "needs CREDENTIALS_DIRECTORY, which systemd sets");
	/* O_NONBLOCK: a FIFO must not hold us up; a regular file does not mind. */
	out->fd = open(out->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (out->fd < 0)
		return sdes_hsm_fault(fault, SDES_ERR_HSM_PIN_SOURCE,
		                      "the PIN source cannot be opened: %s",
		                      errno == ELOOP ? "it is a symbolic link" : strerror(errno));
	if (fstat(out->fd, &st) != 0)
		status = bad_source(fault, "cannot be looked at");
	else
		status = check_file(&st, fault);
	if (status == SDES_OK)
		status = check_place(out, config->forbidden_directory, &st, fault);
	if (status == SDES_OK)
		file_identity(out->identity, out->path, &st);
	else
		sdes_pin_close(out);
	return status;
}

SdesStatus
sdes_pin_open(const SdesAgentConfig *config, SdesPinSource *out, SdesHsmFault *fault)
{
	memset(out, 0, sizeof(*out));
	out->fd = -1;
	if (config->pin_source[0] != '|')
		return open_file(config, out, fault);
	out->command = config->pin_source + 1;
	sdes_pin_identity(config, out->identity);
	return SDES_OK;
}

static SdesStatus
read_file(SdesPinSource *source, uint8_t *out, size_t size, size_t *used,
          SdesHsmFault *fault)
{
	char identity[SDES_PIN_IDENTITY_SIZE];
	struct stat st;

	*used = 0;
	while (*used < size)
	{
		ssize_t n = pread(source->fd, out + *used, size - *used, (off_t) *used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return bad_source(fault, "cannot be read");
		if (n == 0)
			break;
		*used += (size_t) n;
	}
	/* What was read must be what the latch will know it by. */
	if (fstat(source->fd, &st) != 0)
		return bad_source(fault, "cannot be looked at");
	file_identity(identity, source->path, &st);
	return strcmp(identity, source->identity) == 0
	           ? SDES_OK
	           : bad_source(fault, "changed while it was read");
}

/* Cuts one line end off and checks what remains. */
static SdesStatus
trim(const uint8_t *data, size_t size, SdesBytes *pin, SdesHsmFault *fault)
{
	if (size > 0 && data[size - 1] == '\n')
	{
		size--;
		if (size > 0 && data[size - 1] == '\r')
			size--;
	}
	if (size < 1 || size > SDES_PIN_MAX)
		return bad_source(fault, "must hold 1 to 255 bytes");
	if (memchr(data, 0, size) != NULL)
		return bad_source(fault, "holds a zero byte");
	*pin = sdes_bytes(data, size);
	return SDES_OK;
}

SdesStatus
sdes_pin_read(SdesPinSource *source, SdesSecret *buffer, SdesBytes *pin,
              SdesHsmFault *fault)
{
	SdesStatus status = sdes_secret_new(buffer, PIN_BUFFER_SIZE);
	size_t used = 0;

	if (status != SDES_OK)
		return sdes_hsm_fault(fault, status, "no locked memory for the PIN");
	if (source->command != NULL)
		status =
		    sdes_pin_command(source->command, buffer->data, buffer->size, &used, fault);
	else
		status = read_file(source, buffer->data, buffer->size, &used, fault);
	if (status == SDES_OK)
		status = trim(buffer->data, used, pin, fault);
	if (status != SDES_OK)
		sdes_secret_free(buffer);
	return status;
}

void
sdes_pin_close(SdesPinSource *source)
{
	if (source->fd >= 0)
		close(source->fd);
	source->fd = -1;
}
