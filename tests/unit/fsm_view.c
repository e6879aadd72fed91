/* Frozen views, and the figures of ten thousand programs. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fsm/overlay.h"
#include "fsm/place.h"
#include "fsm/state.h"
#include "tests/kit/fsm_random.h"

#define PROGRAMS 10000u
#define CRNS 100u
#define BATCH 2000u

static struct hash name(char kind, uint32_t number)
{
	struct hash hash = {{0}};

	hash.bytes[0] = (uint8_t)kind;
	for (unsigned i = 0; i < 4; i++)
		hash.bytes[1 + i] = (uint8_t)(number >> (24 - 8 * i));
	/* as spread as a SHA-256 would be */
	for (unsigned i = 5; i < 32; i++)
		hash.bytes[i] = (uint8_t)(number * 2654435761u >> (i % 4 * 8));
	return hash;
}

static struct text words(const char *string)
{
	return (struct text){string, (uint32_t)strlen(string)};
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

struct world {
	struct fsm *fsm;
	struct buffer entry;
	uint64_t index;
};

static void begin(struct world *w, uint32_t count)
{
	struct byte_sink sink = {&w->entry, buffer_write};

	w->entry.size = 0;
	assert_true(command_entry_begin(&sink, 1, count));
}

static void add(struct world *w, const struct command *c)
{
	struct byte_sink sink = {&w->entry, buffer_write};

	assert_true(command_encode(&sink, c));
}

static void only_ok(void *ctx, const struct fsm_result *result)
{
	(void)ctx;
	assert_int_equal(result->refusal, FSM_OK);
}

static void end(struct world *w)
{
	struct fsm_observer observer = {NULL, only_ok, NULL};

	fsm_apply(w->fsm, ++w->index, w->entry.data, w->entry.size, &observer);
}

static void apply(struct world *w, const struct command *c)
{
	begin(w, 1);
	add(w, c);
	end(w);
}

static void add_crn(struct world *w, uint32_t number)
{
	struct command put = {.type = FSM_CRN_PUT};
	struct command reg = {.type = FSM_REGISTER};
	struct command report = {.type = FSM_CRN_REPORT};
	struct command beat = {.type = FSM_BEAT};
	struct command_renewal renewal = {.gen = 1, .got_ack = true};

	put.crn_put = (struct command_crn_put){name('c', number), words("crn"),
					       words("owner"), true};
	apply(w, &put);
	reg.reg = (struct command_register){
		.gen = 1, .crn = name('c', number), .host = name('h', number),
		.boot = name('b', number), .nonce = {1, (uint8_t)number},
		.k_ms = 1000, .watchdog = WATCHDOG_HARDWARE,
		.class = CRN_FENCED};
	apply(w, &reg);
	renewal.crn = name('c', number);
	renewal.session = stamp_make(w->index, 0);
	report.report = (struct command_crn_report){
		.crn = renewal.crn, .session = renewal.session, .vcpus = 400,
		.memory_mib = 1 << 20, .disk_mib = 1 << 20,
		.url = words("http://crn"), .token_count = 3,
		.tokens = {words("arch:x86_64"), words("vendor:AuthenticAMD"),
			   words("runner:program")}};
	apply(w, &report);
	beat.beat = (struct command_beat){0, 0, 1, &renewal};
	apply(w, &beat);
}

static void add_programs(struct world *w, uint32_t from, uint32_t count)
{
	begin(w, count);
	for (uint32_t i = from; i < from + count; i++) {
		struct command c = {.type = FSM_PROGRAM_PUT};
		char owner[32], own[32];

		snprintf(owner, sizeof owner, "0xowner%u", (unsigned)i % 500);
		snprintf(own, sizeof own, "program %u", (unsigned)i);
		c.program_put = (struct command_program_put){
			.program = name('p', i), .source = SOURCE_OPERATOR,
			.amendable = true, .persistent = true,
			.owner = words(owner), .name = words(own),
			.vcpus = 1 + i % 4, .memory_mib = 128u << i % 4,
			.token_count = 1 + i % 2,
			.tokens = {words("arch:x86_64"),
				   words("runner:program")}};
		add(w, &c);
	}
	end(w);
}

static uint32_t place_all(struct world *w, uint64_t *round_us,
			  uint64_t *apply_us)
{
	static struct command_assign assigns[BATCH];
	uint32_t cursor = 0, placed = 0, count;

	do {
		uint64_t start = now_us();

		count = place_round(fsm_live(w->fsm), NULL, &cursor, PROGRAMS,
				    assigns, BATCH);
		*round_us += now_us() - start;
		begin(w, count);
		for (uint32_t i = 0; i < count; i++) {
			struct command c = {.type = FSM_ASSIGN,
					    .assign = assigns[i]};

			add(w, &c);
		}
		start = now_us();
		end(w);
		*apply_us += now_us() - start;
		placed += count;
	} while (count > 0);
	return placed;
}

static void open_world(struct world *w)
{
	struct command c = {.type = FSM_CONFIG};

	*w = (struct world){.fsm = fsm_open()};
	c.config = (struct fsm_config){
		.heartbeat_ms = 500, .ttl_a_ms = 4000, .ttl_s_ms = 5200,
		.k_ms = 1000, .dt_max_ms = 2000, .beat_ms = 250,
		.sticky_ms = 8000, .start_failures_max = 3,
		.start_timeout_ms = 60000, .exclude_ms = 600000,
		.rho_ppm = 10000, .programs_max = 100000, .crns_max = 1000};
	apply(w, &c);
	c.type = FSM_LEAD;
	c.lead = (struct command_lead){1, 1};
	apply(w, &c);
}

static void close_world(struct world *w)
{
	buffer_fini(&w->entry);
	fsm_close(w->fsm);
}

static long resident_kib(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long size = 0, resident = 0;

	if (file && fscanf(file, "%ld %ld", &size, &resident) != 2)
		resident = 0;
	if (file)
		fclose(file);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void ten_thousand_programs_on_a_hundred_crns(void **state)
{
	uint64_t round_us = 0, apply_us = 0, start, hash_us, view_us;
	long before = resident_kib();
	struct fsm_view *view;
	struct world w;

	(void)state;
	open_world(&w);
	for (uint32_t i = 0; i < CRNS; i++)
		add_crn(&w, i);
	start = now_us();
	for (uint32_t i = 0; i < PROGRAMS; i += BATCH)
		add_programs(&w, i, BATCH);
	printf("put %u programs: %llu us\n", PROGRAMS,
	       (unsigned long long)(now_us() - start));
	assert_int_equal(place_all(&w, &round_us, &apply_us), PROGRAMS);
	fsm_check(w.fsm);
	start = now_us();
	(void)fsm_hash(w.fsm);
	hash_us = now_us() - start;
	start = now_us();
	view = fsm_view_open(w.fsm);
	view_us = now_us() - start;
	assert_non_null(view);
	fsm_view_close(w.fsm, view);
	printf("totals: rounds %llu us, apply %llu us, hash %llu us, view "
	       "%llu us, %ld KiB more resident\n",
	       (unsigned long long)round_us, (unsigned long long)apply_us,
	       (unsigned long long)hash_us, (unsigned long long)view_us,
	       resident_kib() - before);
	close_world(&w);
}

/* --- views --------------------------------------------------------------- */

struct reading {
	const struct fsm_view *view;
	uint64_t first, last;
	uint32_t rounds;
};

static bool sum_write(void *ctx, const void *data, size_t size)
{
	uint64_t *sum = ctx;

	for (size_t i = 0; i < size; i++)
		*sum = *sum * 1099511628211u + ((const uint8_t *)data)[i];
	return true;
}

static uint64_t sum_of(const struct fsm_view *view)
{
	uint64_t sum = 0;
	struct byte_sink sink = {&sum, sum_write};

	assert_true(fsm_snapshot_write(view, &sink));
	return sum;
}

static void *read_all(void *data)
{
	struct reading *r = data;

	for (uint32_t i = 0; i < r->rounds; i++) {
		struct fsm_program p;
		struct hash hash = name('p', i);

		r->last = sum_of(r->view);
		if (!fsm_program_read(r->view,
				      fsm_program_find(r->view, &hash), &p))
			r->last = 0;
	}
	return NULL;
}

static void a_view_stays_while_apply_goes_on(void **state)
{
	struct reading r = {.rounds = 20};
	uint64_t round_us = 0, apply_us = 0;
	struct fsm_view *view;
	pthread_t thread;
	struct world w;

	(void)state;
	open_world(&w);
	for (uint32_t i = 0; i < 10; i++)
		add_crn(&w, i);
	add_programs(&w, 0, 200);
	view = fsm_view_open(w.fsm);
	r.view = view;
	r.first = sum_of(view);
	assert_int_equal(pthread_create(&thread, NULL, read_all, &r), 0);
	(void)place_all(&w, &round_us, &apply_us);
	for (uint32_t i = 200; i < 2000; i += 100)
		add_programs(&w, i, 100);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(r.last == r.first);
	assert_true(sum_of(fsm_live(w.fsm)) != r.first);
	fsm_view_close(w.fsm, view);
	close_world(&w);
}

static void two_views_at_most_more_share(void **state)
{
	struct fsm_view *a, *b, *c;
	struct world w;

	(void)state;
	open_world(&w);
	a = fsm_view_open(w.fsm);
	assert_ptr_equal(fsm_view_open(w.fsm), a);
	add_crn(&w, 1);
	b = fsm_view_open(w.fsm);
	assert_true(b && b != a);
	assert_true(fsm_view_hash(b) != fsm_view_hash(a));
	assert_true(fsm_view_hash(b) == fsm_hash(w.fsm));
	add_crn(&w, 2);
	assert_null(fsm_view_open(w.fsm));
	assert_int_equal(fsm_crn_bound(a), 0);
	assert_int_equal(fsm_crn_bound(b), 1);
	fsm_view_close(w.fsm, a);
	assert_null(fsm_view_open(w.fsm)); /* one of two uses is left */
	fsm_view_close(w.fsm, a);
	c = fsm_view_open(w.fsm);
	assert_int_equal(fsm_crn_bound(c), 2);
	fsm_view_close(w.fsm, b);
	fsm_view_close(w.fsm, c);
	close_world(&w);
}

/* A snapshot of this state, read back: the error. */
static int read_back(const struct world *w)
{
	struct buffer b = {0};
	struct byte_sink sink = {&b, buffer_write};
	struct byte_source source = {&b, buffer_read};
	struct fsm *out = NULL;
	int error;

	assert_true(fsm_snapshot_write(fsm_live(w->fsm), &sink));
	error = fsm_snapshot_read(&out, &source);
	if (error == 0)
		fsm_close(out);
	buffer_fini(&b);
	return error;
}

/* A move names an older one of its program, by its serial: one that leads out
 * of the ring, or round in it, is no state. */
static void a_snapshot_whose_moves_lead_astray_is_refused(void **state)
{
	uint64_t round_us = 0, apply_us = 0, count;
	struct move *moves;
	struct world w;

	(void)state;
	open_world(&w);
	add_crn(&w, 1);
	add_programs(&w, 0, 3);
	assert_int_equal(place_all(&w, &round_us, &apply_us), 3);
	moves = w.fsm->state.moves;
	count = w.fsm->state.move_count;
	assert_true(count >= 3);
	assert_int_equal(read_back(&w), 0);
	moves[0].prev = 1; /* itself */
	assert_int_equal(read_back(&w), BERTH_CORRUPT);
	moves[0].prev = count + 1; /* none yet */
	assert_int_equal(read_back(&w), BERTH_CORRUPT);
	moves[0].prev = UINT64_MAX; /* overflows */
	assert_int_equal(read_back(&w), BERTH_CORRUPT);
	moves[0].prev = 0;
	moves[2].prev = 1;
	assert_int_equal(read_back(&w), 0);
	close_world(&w);
}

/* What is proposed and not yet applied counts. */
static void the_overlay_fills_a_gap_once(void **state)
{
	struct place_overlay *overlay = place_overlay_open();
	struct command_assign assigns[8];
	struct place_verdict verdict;
	uint32_t cursor = 0;
	struct world w;
	struct command report = {.type = FSM_CRN_REPORT};

	(void)state;
	open_world(&w);
	add_crn(&w, 1);
	report.report = (struct command_crn_report){
		.crn = name('c', 1), .session = stamp_make(w.index - 2, 0),
		.vcpus = 3, .memory_mib = 4096, .token_count = 2,
		.tokens = {words("arch:x86_64"), words("runner:program")}};
	apply(&w, &report);
	add_programs(&w, 0, 3); /* 1, 2 and 3 vcpus */
	assert_int_equal(place_round(fsm_live(w.fsm), overlay, &cursor, 9,
				     assigns, 8), 2);
	assert_int_equal(cursor, 0);
	place_overlay_add(overlay, fsm_live(w.fsm), &assigns[0]);
	place_overlay_add(overlay, fsm_live(w.fsm), &assigns[1]);
	place_overlay_add(overlay, fsm_live(w.fsm), &assigns[1]);
	assert_int_equal(place_round(fsm_live(w.fsm), overlay, &cursor, 9,
				     assigns, 8), 0);
	place_choose(fsm_live(w.fsm), overlay, 0, &verdict);
	assert_int_equal(verdict.reason, PLACE_IN_FLIGHT);
	place_choose(fsm_live(w.fsm), overlay, 2, &verdict);
	assert_int_equal(verdict.reason, PLACE_VCPUS);
	place_overlay_forget(overlay, &assigns[0].program);
	place_overlay_forget(overlay, &assigns[0].program);
	place_choose(fsm_live(w.fsm), overlay, 0, &verdict);
	assert_int_equal(verdict.reason, PLACE_OK);
	place_overlay_reset(overlay);
	place_choose(fsm_live(w.fsm), overlay, 2, &verdict);
	assert_int_equal(verdict.reason, PLACE_OK);
	/* a budget of one looks at one, and goes on from there */
	assert_int_equal(place_round(fsm_live(w.fsm), overlay, &cursor, 1,
				     assigns, 8), 1);
	assert_int_equal(cursor, 1);
	place_overlay_close(overlay);
	close_world(&w);
}

/* What is in flight, kept so that nobody can mistake it: CRN by program. */
struct flights {
	uint32_t crn[8]; /* 0: not in flight; 3: a CRN that is not known */
};

static void overlay_agrees(const struct place_overlay *overlay,
			   const struct fsm_view *s, const struct flights *want)
{
	struct crn_use uses[2] = {{0}}, sums[2] = {{0}};

	place__uses(overlay, s, uses);
	for (uint32_t i = 0; i < 8; i++) {
		struct hash program = name('p', i);
		slot_t slot = fsm_program_find(s, &program);
		const struct program *p = &s->programs[slot];
		struct crn_use *sum;

		assert_int_equal(place__in_flight(overlay, &program),
				 want->crn[i] != 0);
		if (want->crn[i] == 0 || want->crn[i] == 3)
			continue;
		sum = &sums[want->crn[i] - 1];
		sum->vcpus += p->vcpus;
		sum->memory_mib += p->memory_mib;
		sum->disk_mib += p->disk_mib;
		sum->programs++;
	}
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(uses[i].vcpus, sums[i].vcpus);
		assert_int_equal(uses[i].memory_mib, sums[i].memory_mib);
		assert_int_equal(uses[i].disk_mib, sums[i].disk_mib);
		assert_int_equal(uses[i].programs, sums[i].programs);
	}
}

static void the_overlay_tells_what_is_in_flight(void **state)
{
	struct place_overlay *overlay = place_overlay_open();
	struct flights flights = {{0}};
	struct dice d = {7};
	struct world w;

	(void)state;
	open_world(&w);
	add_crn(&w, 1);
	add_crn(&w, 2);
	add_programs(&w, 0, 8);
	for (uint32_t i = 0; i < 8; i++)
		w.fsm->state.programs[i].disk_mib = 10 + i;
	for (uint32_t i = 0; i < 3000; i++) {
		uint32_t at = dice_roll(&d, 8), crn = dice_roll(&d, 4);
		struct command_assign assign = {.program = name('p', at),
						.crn = name('c', crn)};

		if (crn != 0)
			place_overlay_add(overlay, fsm_live(w.fsm), &assign);
		else
			place_overlay_forget(overlay, &assign.program);
		flights.crn[at] = crn;
		if (dice_roll(&d, 100) == 0) {
			place_overlay_reset(overlay);
			flights = (struct flights){{0}};
		}
		overlay_agrees(overlay, fsm_live(w.fsm), &flights);
	}
	/* one that was dropped meanwhile uses nothing */
	place_overlay_add(overlay, fsm_live(w.fsm),
			  &(struct command_assign){.program = name('p', 99),
						   .crn = name('c', 1)});
	overlay_agrees(overlay, fsm_live(w.fsm), &flights);
	place_overlay_close(overlay);
	close_world(&w);
}

/* An assertion fires: an entry that nobody can read ends the process. */
static void an_unreadable_entry_panics(void **state)
{
	pid_t child = fork();
	int status = 0;

	(void)state;
	if (child == 0) {
		struct fsm *fsm = fsm_open();

		if (!freopen("/dev/null", "w", stderr))
			_exit(1);
		fsm_apply(fsm, 1, "\xc1", 1, NULL);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_thousand_programs_on_a_hundred_crns),
		cmocka_unit_test(a_view_stays_while_apply_goes_on),
		cmocka_unit_test(a_snapshot_whose_moves_lead_astray_is_refused),
		cmocka_unit_test(two_views_at_most_more_share),
		cmocka_unit_test(the_overlay_fills_a_gap_once),
		cmocka_unit_test(the_overlay_tells_what_is_in_flight),
		cmocka_unit_test(an_unreadable_entry_panics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
