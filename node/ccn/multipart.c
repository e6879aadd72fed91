#include "node/ccn/multipart.h"

#include <stdio.h>
#include <strings.h>

#define BOUNDARY_SIZE_MAX 70

bool multipart_is(const char *content_type)
{
	return content_type &&
	       strncasecmp(content_type, "multipart/form-data", 19) == 0;
}

/* The value of `name=` among parameters, quoted or not. */
static bool parameter(const char *text, size_t size, const char *name,
		      char *out, size_t out_size)
{
	size_t name_size = strlen(name), n = 0;
	bool quoted;

	for (size_t i = 1; i + name_size < size; i++) {
		if (strncasecmp(text + i, name, name_size) != 0 ||
		    text[i + name_size] != '=' ||
		    !strchr("; \t", text[i - 1]))
			continue;
		i += name_size + 1;
		quoted = i < size && text[i] == '"';
		for (i += quoted; i < size; i++) {
			if (quoted ? text[i] == '"' : !!strchr("; \t", text[i]))
				break;
			if (n + 1 >= out_size)
				return false;
			out[n++] = text[i];
		}
		out[n] = '\0';
		return n > 0;
	}
	return false;
}

/* Reads a part's headers; gives where its data begins. */
static const char *part_begin(const char *at, const char *end,
			      struct multipart_part *part)
{
	static const char wanted[] = "content-disposition:";
	const char *line_end;

	part->name[0] = '\0';
	for (;; at = line_end + 2) {
		line_end = memmem(at, (size_t)(end - at), "\r\n", 2);
		if (!line_end)
			return NULL;
		if (line_end == at)
			return at + 2;
		if ((size_t)(line_end - at) > sizeof wanted - 1 &&
		    strncasecmp(at, wanted, sizeof wanted - 1) == 0 &&
		    !parameter(at, (size_t)(line_end - at), "name", part->name,
			       sizeof part->name))
			return NULL;
	}
}

static int bad(struct fault *fault, const char *what)
{
	return fault_set(fault, BERTH_MALFORMED, "multipart body: %s", what);
}

int multipart_parse(const char *content_type, const void *body, size_t size,
		    struct multipart *out, struct fault *fault)
{
	char boundary[BOUNDARY_SIZE_MAX + 1], mark[sizeof boundary + 4];
	const char *at = body, *end = at + size, *next;
	struct multipart parts = { .count = 0 };
	struct multipart_part *part;
	size_t mark_size;

	if (!parameter(content_type, strlen(content_type), "boundary",
		       boundary, sizeof boundary))
		return bad(fault, "no boundary");
	mark_size = (size_t)snprintf(mark, sizeof mark, "\r\n--%s", boundary);
	/* The first boundary has no line before it. */
	if (size < mark_size || memcmp(at, mark + 2, mark_size - 2) != 0)
		return bad(fault, "does not begin with its boundary");
	at += mark_size - 2;
	while (end - at < 2 || memcmp(at, "--", 2) != 0) {
		if (end - at < 2 || memcmp(at, "\r\n", 2) != 0)
			return bad(fault, "cut off");
		if (parts.count == MULTIPART_PARTS_MAX)
			return fault_set(fault, BERTH_TOOBIG, "multipart body: "
					 "more than %d parts",
					 MULTIPART_PARTS_MAX);
		part = &parts.parts[parts.count++];
		part->data = part_begin(at + 2, end, part);
		next = part->data ? memmem(part->data,
					   (size_t)(end - part->data), mark,
					   mark_size) : NULL;
		if (!next)
			return bad(fault, "a part has no end");
		part->size = (size_t)(next - part->data);
		at = next + mark_size;
	}
	*out = parts;
	return BERTH_OK;
}

const struct multipart_part *multipart_find(const struct multipart *parts,
					    const char *name)
{
	for (uint32_t i = 0; i < parts->count; i++)
		if (strcmp(parts->parts[i].name, name) == 0)
			return &parts->parts[i];
	return NULL;
}
