/* The audit trail: what is written is read again after whatever restart, gaps
 * are told, and an independent program agrees with every result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fsm/place.h"
#include "node/replica/core_impl.h"
#include "node/replica/trail_internal.h"
#include "tests/kit/certs.h"
#include "tests/kit/fsm_random.h"

#define VERIFIER "deploy/berth-audit-verify"
#define SIZE (UINT64_C(64) << 20)

static char root[CERTS_PATH_SIZE], file[CERTS_PATH_SIZE + 16];

static int setup(void **state)
{
	(void)state;
	certs_folder(root);
	snprintf(file, sizeof file, "%s/export", root);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	certs_remove(root);
	return 0;
}

static struct trail *open_trail(uint64_t size)
{
	const struct trail_config config = { .directory = root, .id = 7,
					     .cluster = "unit", .size = size };
	struct trail *trail = NULL;
	struct fault fault = { 0 };

	if (trail_open(&trail, &config, &fault))
		fail_msg("%s", fault.text);
	return trail;
}

static void flush(struct trail *trail)
{
	struct fault fault;

	if (trail_flush(trail, &fault))
		fail_msg("%s", fault.text);
}

static struct trail_status status_of(struct trail *trail)
{
	struct trail_status status;

	trail_status(trail, &status);
	return status;
}

/* Everything, page by page, into `file`. Gives how many pages there were. */
static uint32_t export(struct trail *trail, uint64_t since)
{
	struct trail_place place = trail_find(trail, since);
	FILE *out = fopen(file, "wb");
	uint32_t pages = 0;
	bool end = false;

	assert_non_null(out);
	for (; !end; pages++) {
		uint8_t *data = NULL;
		size_t size;

		assert_int_equal(trail_read(trail, &place, &data, &size, &end),
				 0);
		assert_int_equal(fwrite(data, 1, size, out), size);
		free(data);
	}
	fclose(out);
	return pages;
}

/* The verifier's words go to `out`; true: proven. */
static bool verified(char *out, size_t size)
{
	char line[3 * CERTS_PATH_SIZE];
	size_t got;
	FILE *pipe;

	snprintf(line, sizeof line, VERIFIER " %s 2>&1", file);
	pipe = popen(line, "r");
	assert_non_null(pipe);
	got = fread(out, 1, size - 1, pipe);
	out[got] = '\0';
	return pclose(pipe) == 0;
}

static void assert_proven(const char *words)
{
	char out[16384];

	if (!verified(out, sizeof out) || !strstr(out, words))
		fail_msg("expected \"%s\": %s", words, out);
}

/* --- a state machine that is written down ---------------------------------- */

struct walk {
	struct dice dice;
	struct fsm *fsm;
	struct trail *trail;
	uint64_t index, term;
	uint8_t results[64];
	uint32_t count, ok, assigned;
	struct buffer entry;
};

static void note(void *ctx, const struct fsm_result *result)
{
	struct walk *w = ctx;

	w->results[w->count++] = (uint8_t)result->refusal;
	w->ok += result->refusal == FSM_OK;
	w->assigned += result->refusal == FSM_OK && result->type == FSM_ASSIGN;
}

static void walk_open(struct walk *w, struct trail *trail, uint64_t seed)
{
	*w = (struct walk){ .dice = { seed }, .fsm = fsm_open(),
			    .trail = trail, .index = 1, .term = 1 };
}

static void walk_close(struct walk *w)
{
	fsm_close(w->fsm);
	buffer_fini(&w->entry);
}

static void put(struct walk *w, const struct command *c, uint32_t count)
{
	const struct byte_sink sink = { &w->entry, buffer_write };
	uint64_t term = w->term - (w->term > 1 && dice_roll(&w->dice, 60) == 0);

	w->entry.size = 0;
	assert_true(command_entry_begin(&sink, term, count));
	for (uint32_t i = 0; i < count; i++)
		assert_true(command_encode(&sink, &c[i]));
}

static void make(struct walk *w)
{
	const struct fsm_view *view = fsm_live(w->fsm);
	uint32_t roll = dice_roll(&w->dice, 40), cursor = 0, count;
	struct command_assign assigns[4];
	struct command c[4] = { { .type = FSM_CONFIG } };
	struct random_rows rows;
	struct fsm_status status;

	fsm_status(view, &status);
	if (!status.configured || roll == 0) {
		c[0].config = random_config(&w->dice);
		put(w, c, 1);
	} else if (roll == 1 || status.term != w->term) {
		c[0].type = FSM_LEAD;
		c[0].lead = (struct command_lead){ ++w->term, 1 };
		put(w, c, 1);
	} else if (roll < 10) {
		count = place_round(view, NULL, &cursor, 100, assigns, 4);
		for (uint32_t i = 0; i < count; i++)
			c[i] = (struct command){ .type = FSM_ASSIGN,
						 .assign = assigns[i] };
		put(w, c, count);
	} else {
		random_command(&w->dice, view, &c[0], &rows);
		put(w, c, 1);
	}
}

static void step(struct walk *w)
{
	const struct fsm_observer observer = { w, note, NULL };
	struct fault fault;

	/* The engine has entries of its own. */
	w->index += w->index > 2 && dice_roll(&w->dice, 10) == 0 ? 2 : 1;
	make(w);
	w->count = 0;
	fsm_apply(w->fsm, w->index, w->entry.data, w->entry.size, &observer);
	trail_append(w->trail, &(struct trail_entry){
		.index = w->index, .term = w->term, .results = w->results,
		.result_count = w->count, .data = w->entry.data,
		.size = w->entry.size });
	if (trail_wants(w->trail) &&
	    trail_anchor(w->trail, w->index, fsm_live(w->fsm), "left out",
			 &fault))
		fail_msg("%s", fault.text);
}

static void walk(struct walk *w, uint32_t steps)
{
	for (uint32_t i = 0; i < steps; i++)
		step(w);
	flush(w->trail);
}

/* --- tests ------------------------------------------------------------------- */

/* Every kind of command, valid or not: the verifier computes each result by
 * itself, and the states at the anchors. */
static void test_agrees(void **state)
{
	uint32_t ok = 0, assigned = 0;
	struct walk w;

	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		struct trail *trail = open_trail(400000);

		walk_open(&w, trail, seed);
		walk(&w, 3000);
		export(trail, 0);
		assert_proven("proven");
		ok += w.ok;
		assigned += w.assigned;
		walk_close(&w);
		trail_close(trail);
		teardown(NULL);
		setup(NULL);
	}
	print_message("%u commands accepted, %u Assigns\n", ok, assigned);
	assert_true(ok > 8000 && assigned > 150);
}

static void test_reopen(void **state)
{
	struct trail *trail = open_trail(SIZE);
	struct trail_status before, after;
	struct walk w, again;

	(void)state;
	assert_int_equal(export(trail, 0), 1); /* nothing but an end */
	walk_open(&w, trail, 3);
	walk(&w, 200);
	before = status_of(trail);
	assert_int_equal(before.last, w.index);
	trail_close(trail);

	/* The log gives all of it again, and goes on. */
	trail = open_trail(SIZE);
	after = status_of(trail);
	assert_int_equal(after.last, before.last);
	assert_true(hash_equal(&after.head, &before.head));
	walk_open(&again, trail, 3);
	walk(&again, 260);
	assert_false(trail_broken(trail));
	assert_int_equal(status_of(trail).last, again.index);
	assert_int_equal(status_of(trail).segments, 1);
	export(trail, 0);
	assert_proven("from the cluster's first entry");
	walk_close(&w);
	walk_close(&again);
	trail_close(trail);
}

static void segment_path(uint32_t number, char path[2 * CERTS_PATH_SIZE])
{
	snprintf(path, 2 * CERTS_PATH_SIZE, "%s/audit/%016x", root, number);
}

static uint64_t segment_size(uint32_t number)
{
	char path[2 * CERTS_PATH_SIZE];
	struct stat st;

	segment_path(number, path);
	return stat(path, &st) ? 0 : (uint64_t)st.st_size;
}

/* Whatever a crash leaves of the last write: cut at any byte, or with one
 * changed, the whole records before it count, and the log gives the rest. */
static void test_torn(void **state)
{
	char path[2 * CERTS_PATH_SIZE];
	struct trail *trail = open_trail(SIZE);
	struct walk w;
	uint64_t size, last;

	(void)state;
	walk_open(&w, trail, 4);
	walk(&w, 60);
	last = w.index;
	walk_close(&w);
	trail_close(trail);
	size = segment_size(0);
	segment_path(0, path);
	for (uint64_t cut = 1; cut < size; cut += 1 + size / 97) {
		assert_int_equal(truncate(path, (off_t)(size - cut)), 0);
		trail = open_trail(SIZE);
		assert_true(status_of(trail).last < last);
		walk_open(&w, trail, 4);
		walk(&w, 60);
		assert_int_equal(status_of(trail).last, last);
		assert_int_equal(segment_size(0), size);
		walk_close(&w);
		trail_close(trail);
	}
	trail = open_trail(SIZE);
	export(trail, 0);
	assert_proven("from the cluster's first entry");
	trail_close(trail);
}

static void test_changed_byte(void **state)
{
	char path[2 * CERTS_PATH_SIZE];
	struct trail *trail = open_trail(SIZE);
	uint8_t byte;
	struct walk w;
	int fd;

	(void)state;
	walk_open(&w, trail, 5);
	walk(&w, 60);
	trail_close(trail);
	segment_path(0, path);
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, &byte, 1, (off_t)segment_size(0) / 2), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)segment_size(0) / 2), 1);
	close(fd);
	trail = open_trail(SIZE);
	assert_in_range(status_of(trail).last, 2, w.index - 1);
	walk_close(&w);
	trail_close(trail);
}

/* A restart after a snapshot that stands for more than the trail has. */
static void test_gap(void **state)
{
	struct trail *trail = open_trail(SIZE), *none;
	struct fault fault;
	struct walk w;

	(void)state;
	walk_open(&w, trail, 6);
	walk(&w, 200);
	/* These the trail does not get: another one does. */
	teardown(NULL);
	none = trail;
	setup(NULL);
	trail = open_trail(SIZE);
	w.trail = trail;
	assert_int_equal(trail_anchor(trail, w.index, fsm_live(w.fsm),
				      "a snapshot took their place", &fault),
			 0);
	walk(&w, 200);
	export(trail, 0);
	assert_proven("a snapshot took their place");
	/* A state that the trail has gone beyond says nothing new. */
	assert_int_equal(trail_anchor(trail, w.index - 1, fsm_live(w.fsm), "",
				      &fault), 0);
	assert_int_equal(status_of(trail).segments, 1);
	assert_int_equal(trail_anchor(trail, w.index + 7, fsm_live(w.fsm),
				      "the writing did not keep up", &fault),
			 0);
	assert_int_equal(status_of(trail).segments, 2);
	walk_close(&w);
	trail_close(trail);
	trail_close(none);
}

/* An entry that cannot follow, without a state to begin with. */
static void test_begins_late(void **state)
{
	static const uint8_t ok[1] = { FSM_OK };
	struct trail *trail = open_trail(SIZE);
	struct walk w;

	(void)state;
	trail_append(trail, &(struct trail_entry){
		.index = 900, .term = 1, .results = ok, .result_count = 0 });
	flush(trail);
	assert_true(trail_broken(trail) && trail_wants(trail));
	assert_int_equal(status_of(trail).last, 0);
	walk_open(&w, trail, 7);
	w.index = 900;
	walk(&w, 50); /* takes the state that is wanted with its first step */
	assert_false(trail_broken(trail));
	export(trail, 0);
	assert_proven("the trail begins here");
	walk_close(&w);
	trail_close(trail);
}

/* The oldest go whole; what is left begins with a state that is given, and is
 * reached again as one export or from an index on. */
static void test_segments(void **state)
{
	struct trail *trail = open_trail(200000);
	struct trail_status status;
	struct walk w;

	(void)state;
	walk_open(&w, trail, 8);
	walk(&w, 6000);
	status = status_of(trail);
	assert_in_range(status.segments, 3, 12);
	assert_true(status.first > 2 && status.size < 400000);
	assert_int_equal(segment_size(0), 0);
	assert_int_equal(export(trail, 0), status.segments);
	assert_proven("the export begins there");
	assert_int_equal(export(trail, w.index), 1);
	assert_proven("the export begins there");
	trail_close(trail);
	trail = open_trail(200000);
	assert_int_equal(status_of(trail).first, status.first);
	assert_int_equal(status_of(trail).last, w.index);
	assert_int_equal(status_of(trail).segments, status.segments);
	w.trail = trail;
	walk(&w, 100);
	export(trail, 0);
	assert_proven("the export begins there");
	walk_close(&w);
	trail_close(trail);
}

/* The log gives other entries than the trail has: it was restored. */
static void test_other_log(void **state)
{
	struct trail *trail = open_trail(SIZE);
	char out[16384];
	struct walk w;

	(void)state;
	walk_open(&w, trail, 9);
	walk(&w, 300);
	walk_close(&w);
	trail_close(trail);
	trail = open_trail(SIZE);
	walk_open(&w, trail, 10);
	walk(&w, 100);
	assert_false(trail_broken(trail));
	assert_int_equal(status_of(trail).segments, 2);
	export(trail, 0);
	assert_true(verified(out, sizeof out));
	assert_non_null(strstr(out, "another log took this one's place"));
	assert_non_null(strstr(out, "the log went back to it"));
	walk_close(&w);
	trail_close(trail);
}

/* The disk takes nothing for a while: told, and begun anew. */
static void test_disk(void **state)
{
	struct trail *trail = open_trail(SIZE);
	char path[2 * CERTS_PATH_SIZE], aside[2 * CERTS_PATH_SIZE + 8];
	struct fault fault;
	struct walk w;

	(void)state;
	walk_open(&w, trail, 11);
	walk(&w, 50);
	snprintf(path, sizeof path, "%s/audit", root);
	snprintf(aside, sizeof aside, "%s.aside", path);
	trail_break(trail, "for the test");
	assert_int_equal(rename(path, aside), 0);
	assert_int_equal(trail_anchor(trail, w.index, fsm_live(w.fsm), "",
				      &fault), BERTH_IO);
	assert_true(trail_broken(trail));
	assert_int_equal(status_of(trail).segments, 1);
	assert_int_equal(rename(aside, path), 0);
	walk(&w, 50);
	assert_false(trail_broken(trail));
	assert_int_equal(status_of(trail).segments, 2);
	export(trail, 0);
	assert_proven("the disk did not take it");
	walk_close(&w);
	trail_close(trail);
}

/* The disk takes a part of a write: that part is cut, what was there stays. */
static void test_short_write(void **state)
{
	struct trail *trail = open_trail(SIZE);
	struct rlimit limit, old;
	struct fault fault;
	struct walk w;

	(void)state;
	walk_open(&w, trail, 14);
	walk(&w, 50);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = segment_size(0) + 1000;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (int i = 0; i < 60; i++)
		step(&w);
	assert_int_equal(trail_flush(trail, &fault), BERTH_IO);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_true(trail_broken(trail));
	assert_int_equal(segment_size(0), limit.rlim_cur - 1000);
	walk(&w, 50);
	assert_int_equal(status_of(trail).last, w.index);
	export(trail, 0);
	assert_proven("the disk did not take it");
	walk_close(&w);
	trail_close(trail);
}

static void test_foreign(void **state)
{
	const struct trail_config config = { .directory = root, .id = 7,
					     .cluster = "other", .size = SIZE };
	struct trail *trail = open_trail(SIZE);
	struct fault fault;
	struct walk w;

	(void)state;
	walk_open(&w, trail, 12);
	walk(&w, 200);
	walk_close(&w);
	trail_close(trail);
	assert_int_equal(trail_open(&trail, &config, &fault), BERTH_CORRUPT);
	assert_non_null(strstr(fault.text, "other"));
}

/* One byte of a segment rots. */
static void rot(uint32_t number, off_t at)
{
	char path[2 * CERTS_PATH_SIZE];
	uint8_t byte;
	int fd;

	segment_path(number, path);
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static bool set_aside(uint32_t number)
{
	char path[2 * CERTS_PATH_SIZE + 16];

	segment_path(number, path);
	strcat(path, ".damaged");
	return access(path, F_OK) == 0;
}

/* Whatever became of older segments, no replica is lost for it: they are left
 * as they are, and left out; what is exported tells each gap. */
static void test_damaged_older(void **state)
{
	struct trail *trail = open_trail(SIZE);
	struct trail_status before, status;
	char path[2 * CERTS_PATH_SIZE];
	uint32_t first;
	struct walk w;

	(void)state;
	walk_open(&w, trail, 15);
	trail->segment_size = 30000;
	while (status_of(trail).segments < 12)
		walk(&w, 100);
	before = status_of(trail);
	trail_close(trail);
	for (first = 0; !segment_size(first); first++)
		;
	rot(first, 0); /* its magic */
	rot(first + 2, 8 + 5 + 16 + 4); /* its cluster's name */
	rot(first + 3, 8 + 5 + 16 + 4 + 4 + 4); /* how its chain begins */
	segment_path(first + 5, path);
	assert_int_equal(truncate(path, 0), 0);
	segment_path(first + 7, path);
	assert_int_equal(truncate(path, 20), 0);
	segment_path(first + 9, path);
	assert_int_equal(unlink(path), 0);

	trail = open_trail(SIZE);
	status = status_of(trail);
	assert_int_equal(status.segments, 11);
	assert_int_equal(status.last, before.last);
	assert_true(hash_equal(&status.head, &before.head));
	assert_true(status.first > before.first);
	assert_int_equal(trail_find(trail, 0).segment, first + 1);
	w.trail = trail;
	walk(&w, 20);
	assert_int_equal(export(trail, 0), 6);
	snprintf(path, sizeof path, "segments %u to %u are damaged", first + 2,
		 first + 3);
	assert_proven(path);
	snprintf(path, sizeof path, "segments %u to %u are", first + 9,
		 first + 9);
	assert_proven(path);
	/* They go when their turn has come. */
	trail->segment_size = 30000;
	trail->size_max = 200000;
	while (segment_size(first + 3))
		walk(&w, 100);
	export(trail, 0);
	assert_proven("proven");
	walk_close(&w);
	trail_close(trail);
}

/* Before a newest segment that is damaged the chain goes on, by the log. */
static void test_damaged_newest(void **state)
{
	struct trail *trail = open_trail(SIZE);
	struct fault fault;
	struct walk w;

	(void)state;
	walk_open(&w, trail, 16);
	walk(&w, 100);
	trail_break(trail, "for the test");
	walk(&w, 100);
	assert_int_equal(status_of(trail).segments, 2);
	trail_close(trail);
	rot(1, 0);
	trail = open_trail(SIZE);
	assert_int_equal(status_of(trail).segments, 1);
	assert_in_range(status_of(trail).last, 2, w.index - 1);
	assert_false(trail_broken(trail));
	assert_false(set_aside(1)); /* another process may have it */
	w.trail = trail;
	assert_int_equal(trail_anchor(trail, w.index, fsm_live(w.fsm),
				      "a snapshot took their place", &fault),
			 0);
	assert_true(set_aside(1));
	walk(&w, 100);
	export(trail, 0);
	assert_proven("a snapshot took their place");
	trail_close(trail);

	/* All of it: the log gives it again, from the beginning. */
	rot(0, 3);
	rot(1, 3);
	trail = open_trail(SIZE);
	assert_int_equal(status_of(trail).last, 0);
	walk_close(&w);
	walk_open(&w, trail, 16);
	walk(&w, 300);
	assert_true(set_aside(0));
	export(trail, 0);
	assert_proven("from the cluster's first entry");
	walk_close(&w);
	trail_close(trail);
}

static void test_gone_page(void **state)
{
	struct trail *trail = open_trail(SIZE);
	struct trail_place place = { .segment = 99 };
	uint8_t *data;
	struct walk w;
	size_t size;
	bool end;

	(void)state;
	walk_open(&w, trail, 13);
	walk(&w, 10);
	assert_int_equal(trail_read(trail, &place, &data, &size, &end),
			 BERTH_NOTFOUND);
	place = (struct trail_place){ 0, 1u << 30 };
	assert_int_equal(trail_read(trail, &place, &data, &size, &end),
			 BERTH_NOTFOUND);
	walk_close(&w);
	trail_close(trail);
}

/* --- the loop's side ---------------------------------------------------------- */

/* More at once than the queue takes, while the pool is busy: what found no room
 * is told, and the chain begins anew with a later state. */
static void test_overflow(void **state)
{
	struct core *core = calloc(1, sizeof *core);
	struct fault fault = { 0 };
	size_t size = 4u << 20;
	uint8_t *data = calloc(1, size);
	struct trail_status status;

	(void)state;
	uv_loop_init(&core->loop);
	core->config.trail_directory = root;
	core->config.trail_size = SIZE * 16;
	snprintf(core->config.replica.cluster,
		 sizeof core->config.replica.cluster, "unit");
	core->state = core__state_open(fsm_open());
	assert_int_equal(core__trail_open(core, &fault), 0);
	for (uint64_t index = 2; index < 30; index++)
		core__trail_applied(core, index, 1, data, size);
	assert_non_null(core->trail.gap);
	uv_run(&core->loop, UV_RUN_DEFAULT);
	status = status_of(core_trail(core));
	assert_in_range(status.last, 10, 28);
	core__trail_applied(core, 30, 1, data, 1);
	uv_run(&core->loop, UV_RUN_DEFAULT);
	assert_null(core->trail.gap);
	core__trail_applied(core, 31, 1, data, 1);
	uv_run(&core->loop, UV_RUN_DEFAULT);
	status = status_of(core_trail(core));
	assert_int_equal(status.last, 31);
	assert_int_equal(status.segments, 2);
	core__trail_close(core);
	fsm_close(core->state->fsm);
	free(core->state);
	uv_loop_close(&core->loop);
	free(core);
	free(data);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_agrees), TEST(test_reopen), TEST(test_torn),
		TEST(test_changed_byte), TEST(test_gap),
		TEST(test_begins_late), TEST(test_segments),
		TEST(test_other_log), TEST(test_disk), TEST(test_short_write),
		TEST(test_foreign), TEST(test_damaged_older),
		TEST(test_damaged_newest),
		TEST(test_gone_page), TEST(test_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
