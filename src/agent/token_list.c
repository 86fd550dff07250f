/*
 * token_list.c
 *		The tokens and sockets of a server with more than one of them.
 *
 * Items are separated by blanks, which neither a PKCS#11 URI nor the path of a socket
 * holds here. A URI may carry a module and a PIN source of its own as query
 * attributes (RFC 7512, section 2.3): module-path and pin-source. Once they are taken
 * out of it they are held to the same rules as the settings of that name.
 */
#include "agent/config.h"

#include <string.h>

static bool
refuse(const char **why, const char *reason)
{
	*why = reason;
	return false;
}

/* The first item, and what follows it; size 0 when there is none. */
static const char *
next_item(const char **list, size_t *size)
{
	const char *item = *list + strspn(*list, " ");

	*size = strcspn(item, " ");
	*list = item + *size;
	return item;
}

int
sdes_config_count(const char *list)
{
	size_t size;
	int count = -1;

	do
	{
		(void) next_item(&list, &size);
		count++;
	} while (size > 0);
	return count;
}

bool
sdes_config_item(const char *list, int number, char *out, size_t room)
{
	const char *item;
	size_t size;

	do
		item = next_item(&list, &size);
	while (size > 0 && number-- > 0);
	if (size == 0 || size >= room)
		return false;
	memcpy(out, item, size);
	out[size] = '\0';
	return true;
}

static int
hex_value(char c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *at = c != '\0' ? strchr(digits, c) : NULL;

	return at == NULL ? -1 : (int) ((at - digits) % 16);
}

/*
 * pk11-qchar without pct-encoded, the "&" that separates attributes, and "?": a second
 * one would be a slip.
 */
static bool
is_query_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("-._~:[]@!$'()*+,=/|", c) != NULL);
}

/* The percent-decoded value in out, which holds SDES_CONFIG_VALUE_SIZE bytes. */
static bool
decode(const char *value, size_t size, char *out)
{
	size_t used = 0;

	for (size_t i = 0; i < size && used < SDES_CONFIG_VALUE_SIZE - 1; i++)
	{
		if (value[i] != '%' && !is_query_char(value[i]))
			return false;
		out[used] = value[i];
		if (value[i] == '%')
		{
			if (size - i < 3 || hex_value(value[i + 1]) < 0 || hex_value(value[i + 2]) < 0)
				return false;
			out[used] = (char) (hex_value(value[i + 1]) << 4 | hex_value(value[i + 2]));
			if (out[used] == '\0')
				return false;
			i += 2;
		}
		used++;
	}
	out[used] = '\0';
	return size > 0;
}

/* One "name=value" of the query, into module or pin_source of config. */
static bool
take_attribute(const char *attribute, size_t size, SdesAgentConfig *config,
               const char **why)
{
	static const char module[] = "module-path=", pin[] = "pin-source=";
	bool is_module = strncmp(attribute, module, sizeof(module) - 1) == 0;
	size_t name = is_module ? sizeof(module) - 1 : sizeof(pin) - 1;
	char *out = is_module ? config->module : config->pin_source;

	if (strncmp(attribute, "pin-value=", strlen("pin-value=")) == 0)
		return refuse(why, "not hold a PIN");
	if (size < name || (!is_module && strncmp(attribute, pin, name) != 0))
		return refuse(why, "have no query attributes but module-path and pin-source");
	if (out[0] != '\0')
		return refuse(why, "not contain an attribute twice");
	if (!decode(attribute + name, size - name, out))
		return refuse(why, "be percent-encoded as in RFC 7512");
	return is_module ? sdes_config_check_module(out, why)
	                 : sdes_config_check_pin_source(out, why);
}

/* A URI with its query; module and pin_source stay empty where it has none. */
static bool
take_uri(char *uri, SdesAgentConfig *config, const char **why)
{
	char *query = strchr(uri, '?');

	config->module[0] = config->pin_source[0] = '\0';
	if (query != NULL)
		*query++ = '\0';
	while (query != NULL)
	{
		size_t size = strcspn(query, "&");

		if (!take_attribute(query, size, config, why))
			return false;
		query = query[size] == '&' ? query + size + 1 : NULL;
	}
	strcpy(config->token, uri);
	/* The setting may be empty, one of its items may not. */
	if (uri[0] == '\0')
		return refuse(why, "begin each item with \"pkcs11:\"");
	return sdes_config_check_token(uri, why);
}

bool
sdes_config_check_tokens(const char *list, const char **why)
{
	static SdesAgentConfig config; /* large; the server has one thread */
	int count = sdes_config_count(list);
	char uri[SDES_CONFIG_VALUE_SIZE];

	if (count > SDES_MAX_TOKENS)
		return refuse(why, "name at most four tokens");
	/* Nothing but blanks: refused for that, or empty and fine. */
	if (count == 0)
		return sdes_config_check_token(list, why);
	for (int i = 0; i < count; i++)
	{
		if (!sdes_config_item(list, i, uri, sizeof(uri)))
			return refuse(why, "have no item longer than 1023 bytes");
		if (!take_uri(uri, &config, why))
			return false;
	}
	return true;
}

bool
sdes_config_check_sockets(const char *list, const char **why)
{
	int count = sdes_config_count(list);
	char path[SDES_CONFIG_VALUE_SIZE];

	if (count > SDES_MAX_TOKENS)
		return refuse(why, "name at most four sockets");
	if (count == 0)
		return sdes_config_check_socket(list, why);
	for (int i = 0; i < count; i++)
	{
		if (!sdes_config_item(list, i, path, sizeof(path)))
			return refuse(why, "have no item longer than 1023 bytes");
		if (!sdes_config_check_socket(path, why))
			return false;
	}
	return true;
}

void
sdes_config_take_token(const char *list, int number, SdesAgentConfig *config)
{
	char uri[SDES_CONFIG_VALUE_SIZE], module[SDES_CONFIG_VALUE_SIZE],
	    pin_source[SDES_CONFIG_VALUE_SIZE];
	const char *why;

	config->token[0] = '\0';
	if (!sdes_config_item(list, number, uri, sizeof(uri)))
		return;
	memcpy(module, config->module, sizeof(module));
	memcpy(pin_source, config->pin_source, sizeof(pin_source));
	if (!take_uri(uri, config, &why))
		config->token[0] = '\0';
	if (config->module[0] != '\0')
		config->init_args[0] = '\0';
	else
		memcpy(config->module, module, sizeof(module));
	if (config->pin_source[0] == '\0')
		memcpy(config->pin_source, pin_source, sizeof(pin_source));
}
