/*
 * fuzz_settings.c
 *		Settings as lines: a line that is refused changes nothing, and what was
 *		taken survives sdes_config_print() and the way back.
 */
#include "fuzz.h"

#define TEXT_SIZE (8 * SDES_CONFIG_VALUE_SIZE)

/* Sets one line, from memory of its exact size. */
static bool
set_line(SdesAgentConfig *config, SdesBytes line)
{
	SdesAgentConfig before = *config;
	char *text = fuzz_string(line);
	const char *why = NULL;
	bool taken = sdes_config_set_line(config, text, &why);

	if (!taken)
	{
		REQUIRE(why != NULL && why[0] != '\0');
		REQUIRE(memcmp(config, &before, sizeof(before)) == 0);
	}
	free(text);
	return taken;
}

/* Sets line after line; with all of them taken, as print() must have made them. */
static void
set_lines(SdesAgentConfig *config, SdesBytes text, bool all)
{
	while (text.size > 0)
	{
		const uint8_t *end = memchr(text.data, '\n', text.size);
		size_t size = end != NULL ? (size_t) (end - text.data) : text.size;
		size_t skip = end != NULL ? size + 1 : size;

		if (size > 0 && memchr(text.data, 0, size) == NULL)
		{
			bool taken = set_line(config, sdes_bytes(text.data, size));

			REQUIRE(taken || !all);
		}
		text = sdes_bytes(text.data + skip, text.size - skip);
	}
}

/* Each setting's zero is in its own field. */
static void
check_fields(const SdesAgentConfig *config)
{
	const char *const fields[] = {config->module,
	                              config->init_args,
	                              config->token,
	                              config->pin_source,
	                              config->socket,
	                              config->state_directory,
	                              config->forbidden_directory};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		REQUIRE(memchr(fields[i], 0, SDES_CONFIG_VALUE_SIZE) != NULL);
}

static void
check_print(const SdesAgentConfig *config)
{
	static char text[TEXT_SIZE], again[TEXT_SIZE];
	SdesAgentConfig back;
	size_t size = sdes_config_print(config, text, sizeof(text));
	char *tight;

	REQUIRE(size > 0 && text[size - 1] == '\n');
	REQUIRE(size == 1 || text[size - 2] == '\n');
	memset(&back, 0, sizeof(back));
	set_lines(&back, sdes_bytes(text, size - 1), true);
	REQUIRE(back.has_secret == config->has_secret);
	REQUIRE(memcmp(back.secret, config->secret, sizeof(back.secret)) == 0);
	REQUIRE(sdes_config_print(&back, again, sizeof(again)) == size);
	REQUIRE(memcmp(text, again, size) == 0);
	/* The zero that snprintf() appends needs room as well. */
	tight = fuzz_room(size);
	REQUIRE(sdes_config_print(config, tight, size) == 0);
	free(tight);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SdesAgentConfig config;

	memset(&config, 0, sizeof(config));
	set_lines(&config, sdes_bytes(data, size), false);
	check_fields(&config);
	check_print(&config);
	return 0;
}
