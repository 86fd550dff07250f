/*
 * json.c
 *		A record as JSON.
 */
#include "auditor/json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static json_t *
hex(SdesBytes bytes)
{
	char *text = malloc(2 * bytes.size + 1);
	json_t *value;

	if (text == NULL)
		return NULL;
	sdes_hex(bytes, text);
	value = json_string(text);
	free(text);
	return value;
}

static json_t *
date(int64_t microseconds)
{
	int64_t rest = microseconds % 1000000;
	time_t seconds = (time_t) (microseconds / 1000000);
	struct tm parts;
	char text[64];
	size_t size;

	if (rest < 0)
	{
		rest += 1000000;
		seconds--;
	}
	if (gmtime_r(&seconds, &parts) == NULL)
		return json_integer(microseconds);
	size = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(text + size, sizeof(text) - size, ".%06dZ", (int) rest);
	return json_string(text);
}

/* A text that is not UTF-8, which the format forbids, is shown by its bytes. */
static json_t *
value_of(const SdesField *field)
{
	json_t *text;

	switch (sdes_field_type(field->tag))
	{
		case SDES_FIELD_IS_NUMBER:
			return json_integer((json_int_t) field->number);
		case SDES_FIELD_IS_TEXT:
			text = json_stringn((const char *) field->value.data, field->value.size);
			return text != NULL ? text : hex(field->value);
		default:
			return hex(field->value);
	}
}

static bool
add(json_t *object, const char *name, json_t *value)
{
	return json_object_set_new(object, name, value) == 0;
}

static bool
add_fields(json_t *object, SdesBytes fields)
{
	SdesReader r = sdes_reader(fields);
	SdesField field;
	bool added = true;

	while (added && sdes_read_field(&r, &field))
	{
		char unknown[16];
		const char *name = sdes_field_name(field.tag);

		snprintf(unknown, sizeof(unknown), "field_%d", field.tag);
		added = add(object, name != NULL ? name : unknown, value_of(&field));
	}
	return added;
}

bool
sdes_print_json(const SdesRecord *record, FILE *out)
{
	json_t *object = json_object();
	bool done = object != NULL &&
	            add(object, "sequence", json_integer((json_int_t) record->sequence)) &&
	            add(object, "time", date(record->time)) &&
	            add(object, "kind", json_string(sdes_journal_kind_name(record->kind))) &&
	            add_fields(object, record->fields) &&
	            add(object, "hash", hex(record->hash)) &&
	            json_dumpf(object, out, JSON_COMPACT) == 0 && fputc('\n', out) != EOF;

	json_decref(object);
	return done;
}
