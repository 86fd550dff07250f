/*
 * fuzz_pin.c
 *		The PIN's source. The input up to its first zero is a setting: what the
 *		check accepts is a line of its own and has an identity of one line. What
 *		follows the zero is a PIN file: it is read as the rule says, or refused.
 *		Commands are checked and never run. The linker wraps open().
 */
#include "fuzz.h"

#include "agent/pin.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIN_FILE "/the/pin" /* what open() below makes of it is in memory */

extern int __wrap_open(const char *path, int flags, ...);
extern int __real_open(const char *path, int flags, ...);

static SdesBytes pin_content;

int
__wrap_open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	int fd;

	if (strcmp(path, PIN_FILE) != 0)
	{
		va_list args;

		va_start(args, flags);
		mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
		va_end(args);
		return __real_open(path, flags, mode);
	}
	REQUIRE((flags & (O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)) ==
	        (O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
	fd = memfd_create("pin", MFD_CLOEXEC);
	REQUIRE(fd >= 0 && fchmod(fd, 0600) == 0);
	REQUIRE(write(fd, pin_content.data, pin_content.size) == (ssize_t) pin_content.size);
	return fd;
}

static void
check_setting(SdesBytes bytes)
{
	static SdesAgentConfig config;
	char *value = fuzz_string(bytes), identity[SDES_PIN_IDENTITY_SIZE];
	char line[SDES_CONFIG_VALUE_SIZE + 64];
	const char *why = NULL;

	if (!sdes_config_check_pin_source(value, &why))
	{
		REQUIRE(why != NULL && value[0] != '\0');
		free(value);
		return;
	}
	memset(&config, 0, sizeof(config));
	snprintf(line, sizeof(line), "pin_source = %s", value);
	REQUIRE(sdes_config_set_line(&config, line, &why));
	REQUIRE(strcmp(config.pin_source, value) == 0);
	if (value[0] != '\0')
	{
		sdes_pin_identity(&config, identity);
		REQUIRE(memchr(identity, 0, sizeof(identity)) != NULL);
		REQUIRE(strchr(identity, '\n') == NULL);
		REQUIRE((value[0] == '|') == (strncmp(identity, "command ", 8) == 0));
	}
	free(value);
}

/* The rule of pin.h in other words: one line end is cut, 1 to 255 bytes, no zero. */
static bool
expect_pin(SdesBytes content, SdesBytes *pin)
{
	size_t size = content.size;

	if (size > 0 && content.data[size - 1] == '\n')
		size -= size > 1 && content.data[size - 2] == '\r' ? 2 : 1;
	*pin = sdes_bytes(content.data, size);
	return size >= 1 && size <= SDES_PIN_MAX && memchr(content.data, 0, size) == NULL;
}

static void
check_content(SdesBytes content)
{
	static SdesAgentConfig config;
	SdesHsmFault fault = {.detail = ""};
	SdesPinSource source;
	SdesSecret buffer;
	SdesBytes want, got;
	bool good = expect_pin(content, &want);
	SdesStatus status;

	pin_content = content;
	strcpy(config.pin_source, "file:" PIN_FILE);
	status = sdes_pin_open(&config, &source, &fault);
	if (status == SDES_OK)
	{
		status = sdes_pin_read(&source, &buffer, &got, &fault);
		REQUIRE((status == SDES_OK) == (buffer.data != NULL));
		sdes_pin_close(&source);
	}
	REQUIRE(status == (good ? SDES_OK : SDES_ERR_HSM_PIN_SOURCE));
	if (status == SDES_OK)
	{
		REQUIRE(fuzz_same(got, want));
		sdes_secret_free(&buffer);
	}
	else
		REQUIRE(strncmp(fault.detail, "the PIN source ", 15) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *zero = size > 0 ? memchr(data, 0, size) : NULL;
	size_t setting = zero != NULL ? (size_t) (zero - data) : size;

	check_setting(sdes_bytes(data, setting));
	if (zero != NULL)
		check_content(sdes_bytes(zero + 1, size - setting - 1));
	return 0;
}
