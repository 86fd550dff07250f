/*
 * config.c
 *		Syntax of the agent's settings and of the PKCS#11 URI.
 *
 * Linked into the server too, hence no PKCS#11 library here. A value that
 * passes its check stands in one line and survives sdes_config_print() and
 * sdes_config_set_line() unchanged: no control character, no blank at an end.
 */
#include "agent/config.h"

#include <stdio.h>
#include <string.h>

#define SOCKET_PATH_MAX 107 /* sun_path of unix(7) without its zero */
#define PERCENT_TRIPLE  3   /* "%41" */
#define VERSION_MAX     254 /* of either number of a library's version */

static bool
refuse(const char **why, const char *reason)
{
	*why = reason;
	return false;
}

/* What holds for every setting. */
static bool
check_line(const char *value, const char **why)
{
	size_t size = strlen(value);

	if (size >= SDES_CONFIG_VALUE_SIZE)
		return refuse(why, "be at most 1023 bytes long");
	for (size_t i = 0; i < size; i++)
	{
		if ((unsigned char) value[i] < 0x20 || value[i] == 0x7f)
			return refuse(why, "not contain a line break or other control character");
	}
	if (size > 0 && (value[0] == ' ' || value[size - 1] == ' '))
		return refuse(why, "not begin or end with a blank");
	return true;
}

bool
sdes_config_check_module(const char *value, const char **why)
{
	if (!check_line(value, why))
		return false;
	if (value[0] != '\0' && value[0] != '/')
		return refuse(why, "be an absolute path");
	return true;
}

bool
sdes_config_check_init_args(const char *value, const char **why)
{
	return check_line(value, why);
}

bool
sdes_config_check_pin_source(const char *value, const char **why)
{
	static const char *const form = "be file:/absolute/path, |command or credential:name";

	if (!check_line(value, why))
		return false;
	if (value[0] == '\0')
		return true;
	if (value[0] == '|')
		return strspn(value + 1, " ") < strlen(value + 1) || refuse(why, form);
	if (strncmp(value, "file:", 5) == 0)
		return value[5] == '/' || refuse(why, form);
	if (strncmp(value, "credential:", 11) == 0)
	{
		const char *name = value + 11;

		if (name[0] == '\0' || strchr(name, '/') != NULL || strcmp(name, ".") == 0 ||
		    strcmp(name, "..") == 0)
			return refuse(why, "name a credential without a slash");
		return true;
	}
	return refuse(why, form);
}

bool
sdes_config_check_socket(const char *value, const char **why)
{
	if (!check_line(value, why))
		return false;
	if (strlen(value) > SOCKET_PATH_MAX)
		return refuse(why, "be at most 107 bytes long");
	return true;
}

/*
 * The path attributes of RFC 7512, section 2.3, that choose a token, with the
 * size of the PKCS#11 field they are compared with (0: not compared as text).
 */
typedef struct UriAttribute
{
	const char *name;
	size_t max;
} UriAttribute;

static const UriAttribute uri_attributes[] = {
    {"token", 32},
    {"serial", 16},
    {"manufacturer", 32},
    {"model", 16},
    {"library-manufacturer", 32},
    {"library-description", 32},
    {"library-version", 0},
    {"slot-manufacturer", 32},
    {"slot-description", 64},
};
#define URI_TOKEN      0
#define URI_SERIAL     1
#define URI_VERSION    6
#define URI_ATTRIBUTES (sizeof(uri_attributes) / sizeof(uri_attributes[0]))

static const char *const pin_refused =
    "not hold a PIN or its source, which has its own setting";

/* ASCII only, whatever the locale. */
static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int
hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* pk11-pchar without pct-encoded: unreserved of RFC 3986 and pk11-path-res-avail. */
static bool
is_path_char(char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c))
		return true;
	return c != '\0' && strchr("-._~:[]@!$'()*+,=&", c) != NULL;
}

/* Decoded length of a percent-encoded value, -1 when it is not in the grammar. */
static int
decoded_length(const char *value, size_t size)
{
	int length = 0;

	for (size_t i = 0; i < size; length++)
	{
		if (value[i] != '%')
		{
			if (!is_path_char(value[i++]))
				return -1;
			continue;
		}
		if (size - i < PERCENT_TRIPLE || hex_value(value[i + 1]) < 0 ||
		    hex_value(value[i + 2]) < 0)
			return -1;
		if (value[i + 1] == '0' && value[i + 2] == '0')
			return -1; /* no PKCS#11 text field holds a zero */
		i += PERCENT_TRIPLE;
	}
	return length;
}

/* One number of a CK_VERSION, a byte of which p11-kit keeps 255 for "any". */
static bool
is_version_number(const char *digits, size_t size)
{
	int value = 0;

	for (size_t i = 0; i < size && value <= VERSION_MAX; i++)
	{
		if (!is_digit(digits[i]))
			return false;
		value = 10 * value + (digits[i] - '0');
	}
	return size > 0 && value <= VERSION_MAX;
}

/* library-version: 1*DIGIT [ "." 1*DIGIT ] */
static bool
is_version(const char *value, size_t size)
{
	const char *dot = memchr(value, '.', size);
	size_t major = dot != NULL ? (size_t) (dot - value) : size;

	return is_version_number(value, major) &&
	       (dot == NULL || is_version_number(dot + 1, size - major - 1));
}

/* The attribute's index in uri_attributes, or -1. */
static int
find_attribute(const char *name, size_t size)
{
	for (size_t i = 0; i < URI_ATTRIBUTES; i++)
	{
		if (strlen(uri_attributes[i].name) == size &&
		    memcmp(uri_attributes[i].name, name, size) == 0)
			return (int) i;
	}
	return -1;
}

static bool
name_is(const char *attribute, size_t size, const char *name)
{
	return strlen(name) == size && memcmp(attribute, name, size) == 0;
}

/* Checks one "name=value" of the path; *seen has a bit for each attribute. */
static bool
check_attribute(const char *attribute, size_t size, unsigned *seen, const char **why)
{
	const char *equals = memchr(attribute, '=', size);
	size_t name_size = equals != NULL ? (size_t) (equals - attribute) : size;
	int found = find_attribute(attribute, name_size);
	int length;

	if (equals == NULL)
		return refuse(why, "consist of name=value pairs separated by semicolons");
	if (name_is(attribute, name_size, "pin-value") ||
	    name_is(attribute, name_size, "pin-source"))
		return refuse(why, pin_refused);
	if (name_is(attribute, name_size, "slot-id"))
		return refuse(why, "not contain slot-id: slot numbers change, name the token");
	if (found < 0)
		return refuse(why, "contain only attributes that choose a token (RFC 7512)");
	if (*seen & (1U << found))
		return refuse(why, "not contain an attribute twice");
	*seen |= 1U << found;

	size -= name_size + 1;
	length = decoded_length(equals + 1, size);
	if (length < 0)
		return refuse(why, "be percent-encoded as in RFC 7512");
	if (length == 0)
		return refuse(why, "not contain an empty attribute");
	if (found == URI_VERSION)
		return is_version(equals + 1, size) || refuse(why, "hold a version as 1 or 1.2");
	if ((size_t) length > uri_attributes[found].max)
		return refuse(why, "not contain an attribute longer than its PKCS#11 field");
	return true;
}

bool
sdes_config_check_token(const char *value, const char **why)
{
	const char *at, *query;
	unsigned seen = 0;

	if (!check_line(value, why))
		return false;
	if (value[0] == '\0')
		return true;
	if (strncmp(value, "pkcs11:", strlen("pkcs11:")) != 0)
		return refuse(why, "be a PKCS#11 URI, which begins with \"pkcs11:\"");
	query = strchr(value, '?');
	if (query != NULL && (strstr(query, "pin-value=") || strstr(query, "pin-source=")))
		return refuse(why, pin_refused);
	if (query != NULL)
		return refuse(why, "not have a query part: the module has its own setting");
	for (at = value + strlen("pkcs11:");;)
	{
		size_t size = strcspn(at, ";");

		if (!check_attribute(at, size, &seen, why))
			return false;
		if (at[size] == '\0')
			break;
		at += size + 1;
	}
	if (!(seen & (1U << URI_TOKEN | 1U << URI_SERIAL)))
		return refuse(why, "name the token by token= or serial=");
	return true;
}

/* One text setting: its name, its place in the struct, its check. */
typedef struct Setting
{
	const char *name;
	size_t offset;
	bool (*check)(const char *value, const char **why);
} Setting;

#define SETTING(field, check_function)                                                     \
	{                                                                                      \
#field, offsetof(SdesAgentConfig, field), check_function                           \
	}

static const Setting settings[] = {
    SETTING(module, sdes_config_check_module),
    SETTING(init_args, sdes_config_check_init_args),
    SETTING(token, sdes_config_check_token),
    SETTING(pin_source, sdes_config_check_pin_source),
    SETTING(socket, sdes_config_check_socket),
    SETTING(state_directory, check_line),
    SETTING(forbidden_directory, check_line),
};
#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

static bool
set_secret(SdesAgentConfig *config, const char *value, const char **why)
{
	/* Looked at as a whole first: a line that is refused sets nothing. */
	if (strlen(value) != 2 * SDES_AGENT_SECRET_SIZE ||
	    strspn(value, "0123456789abcdefABCDEF") != 2 * SDES_AGENT_SECRET_SIZE)
		return refuse(why, "be 64 hexadecimal digits");
	for (size_t i = 0; i < SDES_AGENT_SECRET_SIZE; i++)
		config->secret[i] =
		    (uint8_t) (hex_value(value[2 * i]) << 4 | hex_value(value[2 * i + 1]));
	config->has_secret = true;
	return true;
}

static bool
set_value(SdesAgentConfig *config, const char *name, size_t name_size, const char *value,
          const char **why)
{
	if (name_is(name, name_size, "secret"))
		return set_secret(config, value, why);
	for (size_t i = 0; i < SETTINGS; i++)
	{
		if (!name_is(name, name_size, settings[i].name))
			continue;
		if (!settings[i].check(value, why))
			return false;
		strcpy((char *) config + settings[i].offset, value);
		return true;
	}
	return refuse(why, "have a known name before the equals sign");
}

bool
sdes_config_set_line(SdesAgentConfig *config, const char *line, const char **why)
{
	const char *equals = strchr(line, '=');
	size_t name_size;

	line += strspn(line, " \t");
	if (line[0] == '#')
		return true;
	if (equals == NULL)
		return refuse(why, "stand in a line \"name = value\"");
	name_size = (size_t) (equals - line);
	while (name_size > 0 && line[name_size - 1] == ' ')
		name_size--;
	return set_value(config, line, name_size, equals + 1 + strspn(equals + 1, " "), why);
}

static size_t
print_secret(const SdesAgentConfig *config, char *out, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	static const char name[] = "secret = ";
	size_t used = sizeof(name) - 1;

	if (size < used + 2 * SDES_AGENT_SECRET_SIZE + 1)
		return 0;
	memcpy(out, name, used);
	for (size_t i = 0; i < SDES_AGENT_SECRET_SIZE; i++)
	{
		out[used++] = digits[config->secret[i] >> 4];
		out[used++] = digits[config->secret[i] & 15];
	}
	out[used++] = '\n';
	return used;
}

size_t
sdes_config_print(const SdesAgentConfig *config, char *out, size_t size)
{
	size_t used = 0;
	const char *why;

	for (size_t i = 0; i < SETTINGS; i++)
	{
		const char *value = (const char *) config + settings[i].offset;
		int printed;

		if (value[0] == '\0')
			continue;
		if (!check_line(value, &why))
			return 0;
		printed = snprintf(out + used, size - used, "%s = %s\n", settings[i].name, value);
		if (printed < 0 || (size_t) printed >= size - used)
			return 0;
		used += (size_t) printed;
	}
	if (config->has_secret)
	{
		size_t printed = print_secret(config, out + used, size - used);

		if (printed == 0)
			return 0;
		used += printed;
	}
	if (size - used < 2)
		return 0;
	memcpy(out + used, "\n", 2);
	return used + 1;
}
