#include "node/lib/config.h"

#include <errno.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NAME_SIZE_MAX 128
#define LIST_COUNT_MAX 65536u

struct reader {
	const char *file;
	struct fault *fault;
};

static int wrong(const struct reader *reader, const config_setting_t *at,
		 int code, const char *path, const char *what)
{
	const char *name = at ? config_setting_source_file(at) : NULL;

	if (!name)
		name = reader->file;
	if (!at)
		return fault_set(reader->fault, code, "%s: %s: %s", name, path,
				 what);
	return fault_set(reader->fault, code, "%s:%u: %s: %s", name,
			 (unsigned)config_setting_source_line(at), path, what);
}

static bool is_number(const config_setting_t *at)
{
	int type = config_setting_type(at);

	return type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
}

static bool is_sequence(const config_setting_t *at)
{
	int type = config_setting_type(at);

	return type == CONFIG_TYPE_ARRAY || type == CONFIG_TYPE_LIST;
}

static int read_string(const struct reader *reader,
		       const struct config_setting *setting,
		       const config_setting_t *at, char **out)
{
	const char *text = setting->fallback;

	if (at && config_setting_type(at) != CONFIG_TYPE_STRING)
		return wrong(reader, at, BERTH_MALFORMED, setting->path,
			     "a string in quotes was expected");
	if (at)
		text = config_setting_get_string(at);
	*out = NULL;
	if (!text)
		return BERTH_OK;
	*out = strdup(text);
	return *out ? BERTH_OK : wrong(reader, at, BERTH_NOMEM, setting->path,
				       "out of memory");
}

static int read_uint(const struct reader *reader,
		     const struct config_setting *setting,
		     const config_setting_t *at, uint64_t *out)
{
	long long value;
	char what[96];

	if (!at)
		return BERTH_OK;
	if (!is_number(at))
		return wrong(reader, at, BERTH_MALFORMED, setting->path,
			     "a whole number was expected");
	value = config_setting_get_int64(at);
	if (value >= 0 && (uint64_t)value >= setting->min &&
	    (setting->max == 0 || (uint64_t)value <= setting->max)) {
		*out = (uint64_t)value;
		return BERTH_OK;
	}
	if (setting->max > 0)
		snprintf(what, sizeof what,
			 "%lld is not between %llu and %llu", value,
			 (unsigned long long)setting->min,
			 (unsigned long long)setting->max);
	else
		snprintf(what, sizeof what, "%lld is below %llu", value,
			 (unsigned long long)setting->min);
	return wrong(reader, at, BERTH_INVALID, setting->path, what);
}

static int read_bool(const struct reader *reader,
		     const struct config_setting *setting,
		     const config_setting_t *at, bool *out)
{
	if (!at)
		return BERTH_OK;
	if (config_setting_type(at) != CONFIG_TYPE_BOOL)
		return wrong(reader, at, BERTH_MALFORMED, setting->path,
			     "true or false was expected");
	*out = config_setting_get_bool(at);
	return BERTH_OK;
}

static int check_count(const struct reader *reader,
		       const struct config_setting *setting,
		       const config_setting_t *at, uint32_t count)
{
	uint64_t max = setting->max ? setting->max : LIST_COUNT_MAX;
	char what[96];

	if (count >= setting->min && count <= max)
		return BERTH_OK;
	snprintf(what, sizeof what, "%u items, but %llu to %llu are allowed",
		 count, (unsigned long long)setting->min,
		 (unsigned long long)max);
	return wrong(reader, at, BERTH_INVALID, setting->path, what);
}

static void strings_free(char **strings)
{
	for (char **s = strings; s && *s; s++)
		free(*s);
	free(strings);
}

static int read_strings(const struct reader *reader,
			const struct config_setting *setting,
			const config_setting_t *at, char ***out)
{
	uint32_t count;
	char **strings;
	int code;

	*out = NULL;
	if (!at)
		return BERTH_OK;
	if (!is_sequence(at))
		return wrong(reader, at, BERTH_MALFORMED, setting->path,
			     "strings in [ ] were expected");
	count = (uint32_t)config_setting_length(at);
	code = check_count(reader, setting, at, count);
	if (code)
		return code;
	strings = calloc((size_t)count + 1, sizeof *strings);
	if (!strings)
		return wrong(reader, at, BERTH_NOMEM, setting->path,
			     "out of memory");
	for (uint32_t i = 0; i < count && !code; i++)
		code = read_string(reader, setting,
				   config_setting_get_elem(at, i), &strings[i]);
	if (code)
		strings_free(strings);
	else
		*out = strings;
	return code;
}

static int read_group(const struct reader *reader, config_setting_t *group,
		      const struct config_setting *settings, uint32_t count,
		      void *out);

static void list_free(const struct config_setting *setting,
		      struct config_list *list)
{
	char *row = list->rows;

	for (uint32_t i = 0; i < list->count; i++, row += setting->row_size)
		config_fini(setting->row, setting->row_settings, row);
	free(list->rows);
	list->rows = NULL;
	list->count = 0;
}

static int read_row(const struct reader *reader,
		    const struct config_setting *setting, config_setting_t *at,
		    void *row)
{
	if (config_setting_type(at) != CONFIG_TYPE_GROUP)
		return wrong(reader, at, BERTH_MALFORMED, setting->path,
			     "a group in { } was expected");
	return read_group(reader, at, setting->row, setting->row_settings, row);
}

static int read_list(const struct reader *reader,
		     const struct config_setting *setting,
		     const config_setting_t *at, struct config_list *out)
{
	struct config_list list = { NULL, 0 };
	uint32_t count;
	int code;

	*out = list;
	if (!at)
		return BERTH_OK;
	if (!is_sequence(at))
		return wrong(reader, at, BERTH_MALFORMED, setting->path,
			     "a list of groups, ( { }, ... ), was expected");
	count = (uint32_t)config_setting_length(at);
	code = check_count(reader, setting, at, count);
	if (code)
		return code;
	list.rows = calloc((size_t)count + 1, setting->row_size);
	if (!list.rows)
		return wrong(reader, at, BERTH_NOMEM, setting->path,
			     "out of memory");
	for (; list.count < count && !code; list.count += !code)
		code = read_row(reader, setting,
				config_setting_get_elem(at, list.count),
				(char *)list.rows +
					list.count * setting->row_size);
	if (code)
		list_free(setting, &list);
	else
		*out = list;
	return code;
}

static int read_setting(const struct reader *reader,
			const struct config_setting *setting,
			const config_setting_t *at, void *member)
{
	switch (setting->kind) {
	case CONFIG_STRING:
		return read_string(reader, setting, at, member);
	case CONFIG_UINT:
		return read_uint(reader, setting, at, member);
	case CONFIG_BOOL:
		return read_bool(reader, setting, at, member);
	case CONFIG_STRINGS:
		return read_strings(reader, setting, at, member);
	case CONFIG_LIST:
		return read_list(reader, setting, at, member);
	}
	berth_panic("a setting of no kind", __FILE__, __LINE__);
}

/* A name in the file is known if it is a setting, or a group that leads to
 * one ("replica" to "replica.id"). */
enum known { KNOWN_NOT, KNOWN_SETTING, KNOWN_GROUP };

static enum known known(const struct config_setting *settings, uint32_t count,
			const char *path)
{
	size_t size = strlen(path);

	for (uint32_t i = 0; i < count; i++) {
		if (strcmp(settings[i].path, path) == 0)
			return KNOWN_SETTING;
		if (strncmp(settings[i].path, path, size) == 0 &&
		    settings[i].path[size] == '.')
			return KNOWN_GROUP;
	}
	return KNOWN_NOT;
}

static int refuse_unknown(const struct reader *reader,
			  const config_setting_t *group,
			  const struct config_setting *settings,
			  uint32_t count, const char *prefix)
{
	int length = config_setting_length(group), code = BERTH_OK;

	for (int i = 0; i < length && !code; i++) {
		const config_setting_t *at =
			config_setting_get_elem(group, (unsigned)i);
		char path[NAME_SIZE_MAX];
		enum known what;

		snprintf(path, sizeof path, "%s%s%s", prefix,
			 *prefix ? "." : "", config_setting_name(at));
		what = known(settings, count, path);
		if (what == KNOWN_NOT)
			code = wrong(reader, at, BERTH_MALFORMED, path,
				     "there is no such setting");
		else if (what == KNOWN_GROUP &&
			 config_setting_type(at) != CONFIG_TYPE_GROUP)
			code = wrong(reader, at, BERTH_MALFORMED, path,
				     "a group in { } was expected");
		else if (what == KNOWN_GROUP)
			code = refuse_unknown(reader, at, settings, count,
					      path);
	}
	return code;
}

static int read_group(const struct reader *reader, config_setting_t *group,
		      const struct config_setting *settings, uint32_t count,
		      void *out)
{
	uint32_t i = 0;
	int code;

	code = refuse_unknown(reader, group, settings, count, "");
	for (; i < count && !code; i++) {
		const struct config_setting *setting = &settings[i];
		config_setting_t *at;

		at = config_setting_lookup(group, setting->path);
		if (!at && setting->required)
			code = wrong(reader,
				     config_setting_is_root(group) ? NULL
								   : group,
				     BERTH_INVALID, setting->path,
				     "this setting is required");
		else
			code = read_setting(reader, setting, at,
					    (char *)out + setting->offset);
	}
	/* The one that failed left nothing behind. */
	if (code && i > 0)
		config_fini(settings, i - 1, out);
	return code;
}

int config_load(const char *file, const struct config_setting *settings,
		uint32_t count, void *out, struct fault *fault)
{
	struct reader reader = { file, fault };
	config_t config;
	int code;

	if (access(file, R_OK) != 0)
		return fault_set(fault, BERTH_NOTFOUND, "%s: %s", file,
				 strerror(errno));
	config_init(&config);
	if (config_read_file(&config, file))
		code = read_group(&reader, config_root_setting(&config),
				  settings, count, out);
	else if (config_error_type(&config) == CONFIG_ERR_FILE_IO)
		code = fault_set(fault, BERTH_IO, "%s: cannot be read", file);
	else
		code = fault_set(fault, BERTH_MALFORMED, "%s:%d: %s", file,
				 config_error_line(&config),
				 config_error_text(&config));
	config_destroy(&config);
	return code;
}

void config_fini(const struct config_setting *settings, uint32_t count,
		 void *out)
{
	for (uint32_t i = 0; i < count; i++) {
		void *member = (char *)out + settings[i].offset;

		switch (settings[i].kind) {
		case CONFIG_STRING:
			free(*(char **)member);
			*(char **)member = NULL;
			break;
		case CONFIG_STRINGS:
			strings_free(*(char ***)member);
			*(char ***)member = NULL;
			break;
		case CONFIG_LIST:
			list_free(&settings[i], member);
			break;
		case CONFIG_UINT:
		case CONFIG_BOOL:
			break;
		}
	}
}
