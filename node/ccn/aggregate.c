/* Aggregates: what is posted under a key, merged; and the two that the stock
 * client asks of the network itself (aleph.md 2.1, 3.4). */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "node/ccn/render.h"

#define SETTINGS_ADDRESS "0xFba561a84A537fCaa567bb7A2257e7142701ae2A"

/* Everything costs what a test can pay: holdings and credits never run out
 * here, and prices are for the sake of their shape. */
static const char *const priced[] = { "program", "program_persistent",
	"instance", "instance_confidential", "instance_gpu_standard",
	"instance_gpu_premium" };

static json_t *pricing(void)
{
	static const int units[] = { 1, 2, 4, 6, 8, 12 };
	json_t *all = json_object(), *tiers = json_array(), *entity;
	char id[24];

	for (size_t i = 0; i < COUNT_OF(units); i++) {
		snprintf(id, sizeof id, "tier-%zu", i + 1);
		json_array_append_new(tiers, json_pack("{ss si}", "id", id,
						       "compute_units",
						       units[i]));
	}
	for (size_t i = 0; i < COUNT_OF(priced); i++) {
		entity = json_pack(
			"{s{s{ssssss} s{ssssss}} sO s{si si si}}", "price",
			"storage", "payg", "0", "holding", "0", "credit", "0",
			"compute_unit", "payg", "0", "holding", "0", "credit",
			"0", "tiers", tiers, "compute_unit", "vcpus", 1,
			"disk_mib", 20480, "memory_mib", 2048);
		json_object_set_new(all, priced[i], entity);
	}
	json_object_set_new(all, "storage",
			    json_pack("{s{s{ssssss}}}", "price", "storage",
				      "payg", "0", "holding", "0", "credit",
				      "0"));
	json_object_set_new(all, "web3_hosting",
			    json_pack("{s{sis{ssss}}}", "price", "fixed", 0,
				      "storage", "payg", "0", "holding", "0"));
	json_decref(tiers);
	return all;
}

static json_t *builtin(const char *address)
{
	if (strcasecmp(address, SETTINGS_ADDRESS) != 0)
		return json_object();
	return json_pack("{so s{s[] ss si s[]}}", "pricing", pricing(),
			 "settings", "compatible_gpus",
			 "community_wallet_address", "",
			 "community_wallet_timestamp", 0,
			 "authorized_allocation_signers");
}

static const char *key_of(const struct ccn_record *r)
{
	const json_t *key = json_object_get(r->message.content, "key");
	const char *text = json_string_value(key);

	return text ? text : json_string_value(json_object_get(key, "name"));
}

static bool wanted(const char *keys, const char *key)
{
	size_t size = strlen(key);
	const char *at = keys;

	if (!keys || !*keys)
		return true;
	for (;;) {
		if (strncmp(at, key, size) == 0 &&
		    (at[size] == ',' || at[size] == '\0'))
			return true;
		at = strchr(at, ',');
		if (!at)
			return false;
		at++;
	}
}

static void merge(json_t *data, const char *key, const json_t *content)
{
	json_t *into = json_object_get(data, key);

	if (!into) {
		into = json_object();
		json_object_set_new(data, key, into);
	}
	json_object_update(into, (json_t *)content);
}

static void keep_wanted(json_t *data, const char *keys)
{
	const char *key;
	json_t *value;
	void *next;

	json_object_foreach_safe(data, next, key, value)
		if (!wanted(keys, key))
			json_object_del(data, key);
}

json_t *render_aggregates(const struct ccn *ccn, const char *address,
			  const char *keys)
{
	struct query all = { .types = "AGGREGATE", .owners = address,
			     .oldest_first = true, .page = 1 };
	const struct ccn_record **found;
	uint32_t count, total;
	json_t *data;
	bool more;

	if (strchr(address, ',') ||
	    query_run(ccn, &all, &found, &count, &total, &more) != BERTH_OK)
		return NULL;
	data = builtin(address);
	for (uint32_t i = 0; i < count; i++)
		merge(data, key_of(found[i]),
		      json_object_get(found[i]->message.content, "content"));
	free(found);
	keep_wanted(data, keys);
	if (json_object_size(data) > 0)
		return data;
	json_decref(data);
	return NULL;
}
