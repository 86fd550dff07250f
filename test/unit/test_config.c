/*
 * test_config.c
 *		Settings of the agent: what a value may look like, and that it survives
 *		the way through lines.
 */
#include "agent/config.h"
#include "tap.h"

#include <stdlib.h>

typedef bool (*Check)(const char *value, const char **why);

static void
accepts(Check check, const char *name, const char *const *values)
{
	for (; *values != NULL; values++)
	{
		const char *why = "nothing";

		if (!ok(check(*values, &why), "%s accepts \"%s\"", name, *values))
			diag("it must %s", why);
	}
}

static void
refuses(Check check, const char *name, const char *const *values)
{
	for (; *values != NULL; values++)
	{
		const char *why = NULL;

		ok(!check(*values, &why) && why != NULL && why[0] != '\0', "%s refuses \"%s\"",
		   name, *values);
	}
}

static const char *const good_tokens[] = {
    "",
    "pkcs11:token=sdes",
    "pkcs11:serial=52f69334cfc9d541",
    "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken",
    "pkcs11:model=SoftHSM%20v2;manufacturer=SoftHSM%20project;serial=52f69334;token=a",
    "pkcs11:token=%c3%A4%3B",
    "pkcs11:token=a:[]@!$'()*+,=&-._~",
    "pkcs11:token=12345678901234567890123456789012",
    "pkcs11:token=%31%32%33%34%35678901234567890123456789012",
    "pkcs11:token=a;library-version=2",
    "pkcs11:token=a;library-version=2.40;slot-description=x;slot-manufacturer=y",
    "pkcs11:token=a;library-version=254.254",
    "pkcs11:library-manufacturer=x;library-description=y;token=z",
    NULL,
};

static const char *const bad_tokens[] = {
    "sdes",
    "token=sdes",
    "PKCS11:token=sdes",
    "pkcs11:",
    "pkcs11",
    "pkcs11:token",
    "pkcs11:token=",
    "pkcs11:=sdes",
    "pkcs11:token=sdes;",
    "pkcs11:;token=sdes",
    "pkcs11:token=a;token=b",
    "pkcs11:token=a;slot-id=0",
    "pkcs11:slot-id=0",
    "pkcs11:manufacturer=x",
    "pkcs11:token=sdes?pin-value=1234",
    "pkcs11:token=sdes?pin-source=file:/etc/pin",
    "pkcs11:token=sdes;pin-value=1234",
    "pkcs11:token=sdes;pin-source=x",
    "pkcs11:token=sdes?module-path=/lib/x.so",
    "pkcs11:token=sdes?",
    "pkcs11:token=sdes;object=key",
    "pkcs11:token=sdes;id=%01",
    "pkcs11:token=sdes;type=secret-key",
    "pkcs11:token=sdes;x-vendor=1",
    "pkcs11:token=a b",
    "pkcs11:token=a%",
    "pkcs11:token=a%2",
    "pkcs11:token=a%2g",
    "pkcs11:token=a%00b",
    "pkcs11:token=a/b",
    "pkcs11:token=a#b",
    "pkcs11:token=\xc3\xa4",
    "pkcs11:token=123456789012345678901234567890123",
    "pkcs11:serial=12345678901234567",
    "pkcs11:token=a;library-version=2.",
    "pkcs11:token=a;library-version=.2",
    "pkcs11:token=a;library-version=2.4.0",
    "pkcs11:token=a;library-version=x",
    "pkcs11:token=a;library-version=255",
    "pkcs11:token=a;library-version=2.255",
    "pkcs11:token=a;library-version=99999999999999999999",
    "pkcs11:token=a\nsecret = 00",
    NULL,
};

static const char *const good_modules[] = {"", "/usr/lib/softhsm/libsofthsm2.so",
                                           "/opt/a module/m.so", NULL};
static const char *const bad_modules[] = {"libsofthsm2.so", "./m.so",    " /m.so", "/m.so ",
                                          "/m\n.so",        "/m\x7f.so", NULL};

static const char *const good_pins[] = {"",
                                        "file:/etc/sdes/pin",
                                        "credential:pin",
                                        "credential:sdes.pin",
                                        "|cat /etc/pin",
                                        "|a \"b\" 'c' | d",
                                        NULL};
static const char *const bad_pins[] = {"1234",          "/etc/sdes/pin", "file:etc/pin",
                                       "file:",         "credential:",   "credential:a/b",
                                       "credential:..", "credential:.",  "|",
                                       "|  x\ny",       "FILE:/etc/pin", NULL};

static const char *const good_lists[] = {
    "",
    "pkcs11:token=a",
    "pkcs11:token=a pkcs11:serial=1",
    "  pkcs11:token=a   pkcs11:token=b pkcs11:token=c pkcs11:token=d ",
    "pkcs11:token=a?module-path=/usr/lib/x.so",
    "pkcs11:token=a?pin-source=file:/etc/pin&module-path=/usr/lib/a%20module.so "
    "pkcs11:token=b",
    "pkcs11:token=a?pin-source=|cat%20/etc/pin",
    "pkcs11:token=a?pin-source=%7ccat",
    NULL,
};
static const char *const bad_lists[] = {
    "?pin-source=file:/etc/pin",
    "pkcs11:token=a ?module-path=/m.so",
    " ",
    "pkcs11:token=a token=b",
    "pkcs11:token=a pkcs11:token=b pkcs11:token=c pkcs11:token=d pkcs11:token=e",
    "pkcs11:token=a?",
    "pkcs11:token=a?module-path=",
    "pkcs11:token=a?module-path=x.so",
    "pkcs11:token=a?module-path=/x.so&",
    "pkcs11:token=a?module-path=/x.so&module-path=/y.so",
    "pkcs11:token=a?module-name=x",
    "pkcs11:token=a?module-path",
    "pkcs11:token=a?pin-value=1234",
    "pkcs11:token=a?module-path=/x.so&pin-value=1234",
    "pkcs11:token=a?pin-source=/etc/pin",
    "pkcs11:token=a?pin-source=file:/etc/pin%0a",
    "pkcs11:token=a?pin-source=file:/etc/pin%00",
    "pkcs11:token=a?pin-source=file:/etc/pin%2",
    "pkcs11:token=a?pin-source=file:/etc/pin#",
    "pkcs11:token=a?module-path=/x.so?pin-value=1",
    "pkcs11:?module-path=/x.so",
    NULL,
};

static const char *const good_sockets[] = {"", "/run/a", "/run/a /run/b", " a ", NULL};
static const char *const bad_sockets[] = {"/a /b /c /d /e", "/run/a\n", NULL};

static void
test_lists(void)
{
	static const char *const list =
	    " pkcs11:token=a  pkcs11:token=b?pin-source=|cat%20x&module-path=/m%2b.so";
	SdesAgentConfig config = {
	    .module = "/default", .init_args = "args", .pin_source = "|d"};
	char item[32];

	accepts(sdes_config_check_tokens, "tokens", good_lists);
	refuses(sdes_config_check_tokens, "tokens", bad_lists);
	accepts(sdes_config_check_sockets, "sockets", good_sockets);
	refuses(sdes_config_check_sockets, "sockets", bad_sockets);
	ok(sdes_config_count("") == 0 && sdes_config_count(" a  b ") == 2, "items are counted");
	ok(sdes_config_item(" a  bc ", 1, item, sizeof(item)) && strcmp(item, "bc") == 0 &&
	       !sdes_config_item(" a  bc ", 2, item, sizeof(item)) &&
	       !sdes_config_item(" a  bc ", 1, item, 2),
	   "and taken one by one");
	sdes_config_take_token(list, 0, &config);
	ok(strcmp(config.token, "pkcs11:token=a") == 0 &&
	       strcmp(config.module, "/default") == 0 &&
	       strcmp(config.init_args, "args") == 0 && strcmp(config.pin_source, "|d") == 0,
	   "a token without query has the settings' module and PIN");
	sdes_config_take_token(list, 1, &config);
	ok(strcmp(config.token, "pkcs11:token=b") == 0 &&
	       strcmp(config.module, "/m+.so") == 0 && config.init_args[0] == '\0' &&
	       strcmp(config.pin_source, "|cat x") == 0,
	   "a token with them has its own, and no arguments of another module");
	sdes_config_take_token(list, 2, &config);
	ok(config.token[0] == '\0', "and there is no third");
}

static void
test_checks(void)
{
	accepts(sdes_config_check_token, "token", good_tokens);
	refuses(sdes_config_check_token, "token", bad_tokens);
	accepts(sdes_config_check_module, "module", good_modules);
	refuses(sdes_config_check_module, "module", bad_modules);
	accepts(sdes_config_check_pin_source, "pin_source", good_pins);
	refuses(sdes_config_check_pin_source, "pin_source", bad_pins);
}

/* The check reads no byte beyond the value's end: exact memory, every prefix. */
static void
test_prefixes(void)
{
	long total = 0, inconsistent = 0;

	for (const char *const *value = good_tokens; *value != NULL; value++)
	{
		for (size_t size = 0; size <= strlen(*value); size++, total++)
		{
			char *exact = malloc(size + 1);
			const char *why = NULL;

			memcpy(exact, *value, size);
			exact[size] = '\0';
			if (!sdes_config_check_token(exact, &why) && why == NULL)
				inconsistent++;
			free(exact);
		}
	}
	none_failed(inconsistent, total, "every prefix of a URI is taken or refused in words");
}

static void
test_sizes(void)
{
	char value[SDES_CONFIG_VALUE_SIZE + 1];
	const char *why;

	memset(value, 'x', sizeof(value));
	value[SDES_CONFIG_VALUE_SIZE] = '\0';
	ok(!sdes_config_check_init_args(value, &why), "a value of 1024 bytes is refused");
	value[SDES_CONFIG_VALUE_SIZE - 1] = '\0';
	ok(sdes_config_check_init_args(value, &why), "a value of 1023 bytes is accepted");
	value[108] = '\0';
	ok(!sdes_config_check_socket(value, &why), "a socket path of 108 bytes is refused");
	value[107] = '\0';
	ok(sdes_config_check_socket(value, &why), "a socket path of 107 bytes is accepted");
}

static SdesAgentConfig
sample(void)
{
	SdesAgentConfig config;

	memset(&config, 0, sizeof(config));
	strcpy(config.module, "/usr/lib/m.so");
	strcpy(config.init_args, "configdir='sql:/d' flags=a,b # = x");
	strcpy(config.token, "pkcs11:token=a%20b");
	strcpy(config.pin_source, "|echo \"a = b\"");
	strcpy(config.socket, "sdes/agent.sock");
	strcpy(config.state_directory, "sdes state");
	strcpy(config.forbidden_directory, ".");
	config.has_secret = true;
	for (int i = 0; i < SDES_AGENT_SECRET_SIZE; i++)
		config.secret[i] = (uint8_t) (i * 37);
	return config;
}

/* Reads lines as the agent does; true when the empty line was last. */
static bool
read_back(const char *text, size_t size, SdesAgentConfig *out)
{
	const char *why;

	memset(out, 0, sizeof(*out));
	while (size > 0)
	{
		const char *end = memchr(text, '\n', size);
		char line[2 * SDES_CONFIG_VALUE_SIZE];

		if (end == NULL)
			return false;
		memcpy(line, text, (size_t) (end - text));
		line[end - text] = '\0';
		size -= (size_t) (end - text) + 1;
		text = end + 1;
		if (line[0] == '\0')
			return size == 0;
		if (!sdes_config_set_line(out, line, &why))
			return false;
	}
	return false;
}

static void
test_round_trip(void)
{
	SdesAgentConfig config = sample(), back;
	char text[8 * SDES_CONFIG_VALUE_SIZE];
	size_t size = sdes_config_print(&config, text, sizeof(text));
	long fitted = 0;

	ok(size > 0 && read_back(text, size, &back) &&
	       memcmp(&config, &back, sizeof(config)) == 0,
	   "all settings survive the way through lines");
	for (size_t room = 0; room <= size; room++)
	{
		char *exact = malloc(room + 1);

		fitted += sdes_config_print(&config, exact, room) != 0;
		free(exact);
	}
	none_failed(fitted, (long) size + 1, "and do not fit into less room");
	memset(&config, 0, sizeof(config));
	ok(sdes_config_print(&config, text, sizeof(text)) == 1 && text[0] == '\n',
	   "no settings are an empty line");
	strcpy(config.init_args, "a\nsecret = 00");
	ok(sdes_config_print(&config, text, sizeof(text)) == 0,
	   "a line break in a value is not printed");
}

static void
test_lines(void)
{
	static const char *const good[] = {
	    "# a comment = x", "module=/m.so",      "module =  /m.so",
	    "module = ",       "init_args = a = b", NULL};
	static const char *const bad[] = {
	    "module",          "modul = /m.so",  "= /m.so",          " = x",
	    "module = m.so",   "secret = 00",    "pin = 1234",       "token = sdes",
	    "module = /m.so ", "Module = /m.so", "module x = /m.so", NULL};
	char secret[128] = "secret = ";
	SdesAgentConfig config = {.has_secret = false};
	const char *why;

	for (const char *const *line = good; *line != NULL; line++)
		ok(sdes_config_set_line(&config, *line, &why), "line \"%s\" is accepted", *line);
	ok(strcmp(config.init_args, "a = b") == 0, "the first equals sign counts");
	for (const char *const *line = bad; *line != NULL; line++)
		ok(!sdes_config_set_line(&config, *line, &why), "line \"%s\" is refused", *line);
	ok(!config.has_secret, "a refused secret is not set");
	memset(secret + strlen(secret), 'f', 63);
	strcat(secret, "g");
	ok(!sdes_config_set_line(&config, secret, &why), "a secret with another letter");
	secret[strlen(secret) - 1] = 'F';
	ok(sdes_config_set_line(&config, secret, &why) && config.has_secret &&
	       all_bytes(config.secret, sizeof(config.secret), 0xff),
	   "a secret of 64 hexadecimal digits");
	strcat(secret, "0");
	ok(!sdes_config_set_line(&config, secret, &why), "a secret of 65");
	memset(secret + strlen("secret = "), '0', 64);
	strcpy(secret + strlen("secret = ") + 63, "g");
	ok(!sdes_config_set_line(&config, secret, &why) &&
	       all_bytes(config.secret, sizeof(config.secret), 0xff),
	   "a refused secret leaves the one before as it is");
}

int
main(void)
{
	test_checks();
	test_lists();
	test_prefixes();
	test_sizes();
	test_round_trip();
	test_lines();
	return done_testing();
}
