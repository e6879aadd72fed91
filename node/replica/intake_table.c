#include <stdio.h>
#include <stdlib.h>

#include "node/lib/clock.h"
#include "node/lib/crypto.h"
#include "node/replica/intake_internal.h"

#define BUCKETS_MIN 1024u

/* Keys are SHA-256: eight of their bytes, from where nobody knows, spread. */
static uint32_t bucket_of(const struct intake_table *table,
			  const struct hash *key)
{
	uint64_t word;

	memcpy(&word, key->bytes + table->offset, sizeof word);
	return (uint32_t)(word & (table->bucket_count - 1));
}

int intake_table_init(struct intake_table *table)
{
	uint8_t random;

	crypto_random(&random, sizeof random);
	table->offset = random % 24;
	table->bucket_count = BUCKETS_MIN;
	table->buckets = calloc(BUCKETS_MIN, sizeof *table->buckets);
	if (!table->buckets)
		return BERTH_NOMEM;
	uv_mutex_init(&table->mutex);
	return 0;
}

void intake_entry_clear(struct intake_entry *entry)
{
	free(entry->texts);
	free(entry->code_ref);
	free(entry->why);
	entry->texts = NULL;
	entry->code_ref = NULL;
	entry->why = NULL;
}

void intake_table_fini(struct intake_table *table)
{
	struct intake_entry *entry, *next;

	for (uint32_t i = 0; i < table->bucket_count; i++)
		for (entry = table->buckets[i]; entry; entry = next) {
			next = entry->next;
			intake_entry_clear(entry);
			free(entry);
		}
	free(table->buckets);
	uv_mutex_destroy(&table->mutex);
}

struct intake_entry *intake_table_find(const struct intake_table *table,
				const struct hash *key)
{
	struct intake_entry *entry = table->buckets[bucket_of(table, key)];

	while (entry && !hash_equal(&entry->key, key))
		entry = entry->next;
	return entry;
}

static void grow(struct intake_table *table)
{
	struct intake_entry **old = table->buckets, *entry, *next;
	uint32_t old_count = table->bucket_count, bucket;

	table->buckets = calloc(old_count * 2u, sizeof *old);
	if (!table->buckets) {
		table->buckets = old;
		return;
	}
	table->bucket_count = old_count * 2;
	for (uint32_t i = 0; i < old_count; i++)
		for (entry = old[i]; entry; entry = next) {
			next = entry->next;
			bucket = bucket_of(table, &entry->key);
			entry->next = table->buckets[bucket];
			table->buckets[bucket] = entry;
		}
	free(old);
}

struct intake_entry *intake_table_add(struct intake_table *table,
			       const struct hash *key)
{
	struct intake_entry *entry = intake_table_find(table, key);
	uint32_t bucket;

	if (entry)
		return entry;
	if (table->count >= INTAKE_ENTRIES_MAX)
		return NULL;
	entry = calloc(1, sizeof *entry);
	if (!entry)
		return NULL;
	if (table->count > table->bucket_count)
		grow(table);
	entry->key = *key;
	bucket = bucket_of(table, key);
	entry->next = table->buckets[bucket];
	table->buckets[bucket] = entry;
	table->count++;
	return entry;
}

static void move_text(char **at, struct text *text)
{
	if (text->size)
		memcpy(*at, text->data, text->size);
	text->data = *at;
	*at += text->size;
}

bool intake_entry_take(struct intake_entry *entry,
		const struct command_program_put *put, const char *code_ref)
{
	size_t size = (size_t)put->owner.size + put->name.size + 1;
	char *texts, *ref = NULL, *at;

	for (uint32_t i = 0; i < put->token_count; i++)
		size += put->tokens[i].size;
	texts = malloc(size);
	if (code_ref)
		ref = strdup(code_ref);
	if (!texts || (code_ref && !ref)) {
		free(texts);
		free(ref);
		return false;
	}
	intake_entry_clear(entry);
	entry->kind = ENTRY_TAKEN;
	entry->put = *put;
	entry->texts = at = texts;
	entry->code_ref = ref;
	move_text(&at, &entry->put.owner);
	move_text(&at, &entry->put.name);
	for (uint32_t i = 0; i < put->token_count; i++)
		move_text(&at, &entry->put.tokens[i]);
	return true;
}

void intake_entry_wait(struct intake_entry *entry, const char *why)
{
	char text[65];

	if (entry->why && why && !strcmp(entry->why, why))
		return;
	free(entry->why);
	entry->why = why ? strdup(why) : NULL;
	hash_text(&entry->key, text);
	if (why)
		log_warn("intake", "program %.16s waits: %s", text, why);
}

void intake_table_refuse(struct intake_table *table, const char *hash,
		  const char *reason)
{
	struct intake_refusal *r =
		&table->refusals[table->refused++ % INTAKE_REFUSALS];

	snprintf(r->hash, sizeof r->hash, "%.96s", *hash ? hash : "(none)");
	snprintf(r->reason, sizeof r->reason, "%.300s", reason);
	r->wall_ms = clock_wall_ms();
	log_warn("intake", "message %.64s refused: %s", r->hash, r->reason);
}
