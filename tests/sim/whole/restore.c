/* Backups and disasters (R17). A disaster: every replica is off for good; as
 * many new ones begin from a backup, in a new generation. The state is restored
 * as a snapshot on a fresh log; NewGen goes into the log with the first Lead,
 * behind it, so that no Beat and no Register comes before.
 *
 * Operators know three things that no backup holds: the newest generation that
 * ever was, the longest ttl_s that ever was in force, and the machines. */
#include <stdlib.h>

#include "raft/meta.h"
#include "raft/snapshot.h"
#include "tests/sim/whole/oracle.h"

/* --- backups --------------------------------------------------------------- */

static void backup_take(struct world *world)
{
	uint32_t at = (uint32_t)chance_below(&world->chance, BACKUPS_MAX);
	struct node *node = node_any(world);
	struct memory memory = { 0 };
	const struct byte_sink sink = { &memory, oracle_write };
	struct fsm_status status;

	if (!node->alive)
		return;
	fsm_status(fsm_live(node->fsm), &status);
	/* Before the first Lead, or between a restore and its NewGen, there is
	 * nothing to keep. */
	if (status.term == 0 || status.gen != world->gen)
		return;
	REQUIRE(fsm_snapshot_write(fsm_live(node->fsm), &sink));
	free(world->backups[at].data);
	world->backups[at] = (struct backup){ memory.data, memory.size,
					      world->now_us };
	story(world, "a backup of replica %" PRIu64 " at index %" PRIu64
	      ", generation %" PRIu64, node->id, status.index, status.gen);
}

static const struct backup *backup_choose(struct world *world)
{
	const struct backup *chosen = NULL;
	bool newest = chance_percent(&world->chance, 50);

	for (uint32_t i = 0; i < BACKUPS_MAX; i++) {
		const struct backup *b = &world->backups[i];

		if (b->data && (!chosen ||
				(newest ? b->at_us > chosen->at_us :
					  chance_percent(&world->chance, 40))))
			chosen = b;
	}
	return chosen;
}

static struct fsm *backup_open(const struct backup *backup)
{
	struct memory memory = { backup->data, backup->size, 0, 0 };
	const struct byte_source source = { &memory, oracle_read };
	struct fsm *fsm = NULL;
	int code = fsm_snapshot_read(&fsm, &source);

	REQUIRE(code == 0);
	return fsm;
}

/* --- the new cluster --------------------------------------------------------- */

/* A fresh directory, the state as its snapshot, and a term that its log may
 * have reached. */
static int directory_make(struct node *node, struct fsm *fsm,
			  struct fault *fault)
{
	const struct replica_files *files = &node->io.files;
	struct snapshot_meta meta = { .conf_index = 1 };
	struct replica_config config;
	struct fsm_status status;
	struct vote_file vote;
	int code;

	fsm_status(fsm_live(fsm), &status);
	meta.index = status.index;
	meta.term = status.term;
	meta.members.count = node->world->options.replicas;
	for (uint32_t i = 0; i < meta.members.count; i++) {
		meta.members.list[i].id = i + 1;
		meta.members.list[i].role = ROLE_VOTER;
	}
	node_config(node, &config);
	code = replica_bootstrap(&node->io, &config, NULL, 0, NULL, 0, fault);
	if (code == 0)
		code = snapshot_store(files, &meta, &node->machine,
				      (void *)(uintptr_t)fsm_live(fsm), fault);
	if (code == 0)
		code = vote_open(&vote, files, fault);
	if (code == 0) {
		code = vote_store(&vote, files, status.term, 0);
		vote_close(&vote, files);
	}
	return code;
}

static void reborn(struct node *node, struct fsm *fsm, uint64_t restart_us)
{
	struct fault fault = { 0 };

	node_crash(node, "it is off for good");
	disk_free(node->disk);
	node->disk = disk_new(&node->world->chance);
	disk_files(node->disk, &node->io.files);
	if (directory_make(node, fsm, &fault) != 0)
		world_fail(node->world, "restore: %s", fault.text);
	node->restart_us = restart_us;
}

static uint32_t machines(const struct world *world, uint32_t crn)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < world->host_count; i++)
		count += world->hosts[i]->crn == crn && !world->hosts[i]->gone;
	return count;
}

/* The Register of one machine surveys the CRN. Where its identity is on more
 * than one, another may have registered in the lost tail, and may hold a run:
 * these are seen off. */
static void see_others_off(struct world *world)
{
	const struct fsm_view *view = oracle_view(world);

	if (world->options.mutation == MUTATE_TWIN_LEFT)
		return;
	for (uint32_t i = 0; i < world->host_count; i++) {
		struct host *host = world->hosts[i];
		slot_t slot = fsm_crn_find(view, &host->crn_hash);
		struct hash known;

		if (machines(world, host->crn) > 1 &&
		    state_survey_host(view, slot, &known) &&
		    !hash_equal(&known, &host->host_hash))
			host_off(host, "an operator sees it off");
	}
}

bool restore_backup(struct world *world)
{
	const struct backup *backup = backup_choose(world);
	uint64_t us = world->now_us + chance_between(&world->chance, 50000,
		chance_percent(&world->chance, 60) ? 1000000 : 30000000);
	struct fsm_status status;
	struct fsm *fsm;

	if (!backup)
		return false;
	fsm = backup_open(backup);
	fsm_status(fsm_live(fsm), &status);
	world->restored = true;
	world->gen++;
	if (world->options.mutation == MUTATE_SAME_GEN)
		world->gen = status.gen + 1;
	story(world, "DISASTER: all replicas are off for good at index %" PRIu64
	      "; the backup of %.3f s (index %" PRIu64 ", generation %" PRIu64
	      ") is restored, generation %" PRIu64 " begins", oracle_max(world),
	      (double)backup->at_us / 1e6, status.index, status.gen,
	      world->gen);
	members_restart(world);
	for (uint32_t i = 0; i < world->options.replicas; i++)
		reborn(&world->nodes[i], fsm,
		       us + chance_below(&world->chance, 500000));
	oracle_rewind(world, fsm);
	see_others_off(world);
	world->next_people_us = us + chance_below(&world->chance, 20000000);
	return true;
}

/* --- the first command after Lead ---------------------------------------------- */

struct writing {
	uint8_t *data;
	size_t size, size_max;
};

static bool writing_put(void *ctx, const void *data, size_t size)
{
	struct writing *w = ctx;

	if (size > w->size_max - w->size)
		return false;
	memcpy(w->data + w->size, data, size);
	w->size += size;
	return true;
}

static bool is_lead(const void *data, size_t size, struct command *lead,
		    uint64_t *term)
{
	struct command_cursor cursor = { 0 };
	bool is = command_cursor_open(&cursor, data, size) == 0 &&
		  command_cursor_next(&cursor, lead) == 0 &&
		  lead->type == FSM_LEAD;

	*term = cursor.term;
	command_cursor_close(&cursor);
	return is;
}

static struct command new_gen(struct world *world, uint64_t gen)
{
	struct command command = { .type = FSM_NEW_GEN };

	command.new_gen.gen = gen;
	command.new_gen.no_holds = world->options.hold == 0 && world->seed % 2;
	command.new_gen.universe_count = world->options.crns;
	command.new_gen.universe = world->crns;
	command.new_gen.who = (struct text){ "operator", 8 };
	return command;
}

/* As many generations further as there ever were: a second restore of an old
 * backup would else begin one that is in use already. */
bool restore_first(struct node *node, const void *data, size_t size,
		   uint8_t *out, size_t *out_size)
{
	struct world *world = node->world;
	struct writing writing = { out, 0, *out_size };
	const struct byte_sink sink = { &writing, writing_put };
	struct command lead, command = { .type = FSM_CONFIG };
	struct fsm_status status;
	uint64_t term;
	bool longer;

	fsm_status(fsm_live(node->fsm), &status);
	if (status.gen == world->gen || !is_lead(data, size, &lead, &term))
		return false;
	longer = status.config.ttl_s_ms < world->longest.ttl_s_ms &&
		 world->options.mutation != MUTATE_CONFIG_LOST;
	REQUIRE(command_entry_begin(&sink, term, 1 + longer +
				    (uint32_t)(world->gen - status.gen)) &&
		command_encode(&sink, &lead));
	command.config = world->longest;
	REQUIRE(!longer || command_encode(&sink, &command));
	for (uint64_t gen = status.gen + 1; gen <= world->gen; gen++) {
		command = new_gen(world, gen);
		REQUIRE(command_encode(&sink, &command));
	}
	*out_size = writing.size;
	return true;
}

void restore_done(struct world *world, uint64_t gen)
{
	world->totals.new_gens++;
	story(world, "committed: generation %" PRIu64 " begins", gen);
}

void restore_config(struct world *world)
{
	struct fsm_status status;

	fsm_status(oracle_view(world), &status);
	if (status.config.ttl_s_ms > world->longest.ttl_s_ms)
		world->longest = status.config;
}

/* --- as time goes -------------------------------------------------------------- */

void restore_keep(struct world *world)
{
	uint64_t us = world->options.restore_ms * 300ull;

	if (us == 0)
		return;
	if (world->now_us >= world->next_backup_us && !world->healed) {
		world->next_backup_us = world->now_us +
					chance_below(&world->chance, us);
		backup_take(world);
	}
	if (!world->restored || world->now_us < world->next_people_us)
		return;
	world->next_people_us = world->now_us + 10000000;
	people_remember(world);
}

void restore_close(struct world *world)
{
	for (uint32_t i = 0; i < BACKUPS_MAX; i++)
		free(world->backups[i].data);
}
