/* What no state may be: each invariant (fsm/check.c) and each number that a
 * snapshot may not hold (fsm/snapshot_read.c), broken alone in a good state.
 * The checks are the last that stands between a wrong snapshot and a replica.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "fsm/state.h"
#include "tests/kit/fsm_random.h"
#include "tests/kit/fsm_script.h"

/* Something of everything: a CRN that is gone, a program and an exclusion too,
 * a lineage of three, a REVOKING one, orphans, and one that waits. */
static const char calm[] =
	"config unfenced_ok=1\n"
	"lead\n"
	"ready A\n"
	"ready B fenced=0\n"
	"ready C\n"
	"put free\n"
	"assign free A\n"
	"revoke free cause=start_failed\n"
	"beat A/applied=$now\n"
	"assign free C\n"
	"revoke free cause=start_failed\n"
	"beat C/applied=$now\n"
	"put gone\n"
	"assign gone C\n"
	"revoke gone cause=start_failed\n"
	"beat C/applied=$now\n"
	"fence_confirm C\n"
	"crn_remove C\n"
	"put root\n"
	"put next replaces=root time=1\n"
	"put late replaces=next time=2\n"
	"put runs\n"
	"assign runs A\n"
	"put stops hold=1\n"
	"assign stops A\n"
	"revoke stops request=r1\n"
	"put open\n"
	"assign open B\n"
	"forget gone\n";

/* A restore is under way: LOST ones, and an orphan that may have moved. */
static const char restored[] =
	"config\n"
	"lead\n"
	"ready A\n"
	"ready B\n"
	"put orphan hold=1\n"
	"assign orphan A\n"
	"register A host=other\n"
	"put free\n"
	"new_gen\n"
	"register B\n"
	"put newer\n";

struct world {
	struct fsm *fsm;
	struct fsm_view *s;
};

static slot_t slot(struct world *w, const char *name)
{
	struct hash hash = {{0}};
	slot_t found;

	memcpy(hash.bytes, name, strlen(name));
	found = fsm_program_find(w->s, &hash);
	assert_true(found != SLOT_NONE);
	return found;
}

static struct program *program(struct world *w, const char *name)
{
	return &w->s->programs[slot(w, name)];
}

static struct crn *crn(struct world *w, char name)
{
	struct hash hash = {{(uint8_t)name}};
	slot_t found = fsm_crn_find(w->s, &hash);

	assert_true(found != SLOT_NONE);
	return &w->s->crns[found];
}

static void open_state(struct world *w, const char *lines)
{
	w->fsm = fsm_script_state(lines);
	assert_non_null(w->fsm);
	w->s = &w->fsm->state;
	assert_null(fsm__broken(w->s));
}

/* Breaks one thing in a state of its own; the invariant that has `told` in its
 * text must say so. */
#define BROKEN(lines, told, statement)                                      \
	do {                                                                \
		struct world w;                                             \
		const char *broken;                                         \
		open_state(&w, lines);                                      \
		statement;                                                  \
		broken = fsm__broken(w.s);                                  \
		if (!broken || !strstr(broken, told))                       \
			print_error("%s: %s\n", #statement,                 \
				    broken ? broken : "not noticed");       \
		assert_true(broken && strstr(broken, told));                \
		fsm_close(w.fsm);                                           \
	} while (0)

static void a_program_is_where_its_state_says(void **state)
{
	(void)state;
	BROKEN(calm, "p->crn != SLOT_NONE", program(&w, "free")->crn = 0);
	BROKEN(calm, "p->session != 0", program(&w, "free")->session = 1);
	BROKEN(calm, "p->v_rev != 0", program(&w, "free")->v_rev = 1);
	BROKEN(calm, "|| p->hold", program(&w, "free")->hold = true);
	BROKEN(calm, "|| p->lost", program(&w, "free")->lost = true);
	BROKEN(calm, "PROGRAM_LOST && s->unsurveyed_count == 0",
	       program(&w, "free")->state = PROGRAM_LOST);
	BROKEN(calm, "p->crn == SLOT_NONE",
	       fsm__crn_unlink(w.s, slot(&w, "runs")));
	BROKEN(calm, "!s->crns[p->crn].used",
	       (fsm__crn_unlink(w.s, slot(&w, "runs")),
		program(&w, "runs")->crn = w.s->crn_free));
	BROKEN(calm, "p->session == 0", program(&w, "runs")->session = 0);
	BROKEN(calm, "p->epoch == 0", program(&w, "runs")->epoch = 0);
	BROKEN(calm, "p->gen == 0", program(&w, "runs")->gen = 0);
	BROKEN(calm, "stamp_index(p->session)",
	       program(&w, "runs")->session = stamp_make(w.s->index + 1, 0));
	BROKEN(calm, "p->gen > s->gen", program(&w, "runs")->gen = 2);
	BROKEN(calm, "!= (p->v_rev != 0)", program(&w, "runs")->v_rev = 1);
	BROKEN(calm, "!= (p->v_rev != 0)", program(&w, "stops")->v_rev = 0);
	BROKEN(calm, "p->session > c->session",
	       program(&w, "stops")->session++);
	BROKEN(calm, "!p->hold && (!c->alive", program(&w, "runs")->session--);
	BROKEN(calm, "c->class == CRN_UNFENCED",
	       program(&w, "open")->hold = false);
	BROKEN(calm, "p->lost && (!p->hold", program(&w, "stops")->lost = true);
	BROKEN(restored, "p->lost && (!p->hold",
	       (program(&w, "orphan")->hold = false,
		crn(&w, 'A')->alive = true,
		crn(&w, 'A')->gen = w.s->gen,
		program(&w, "orphan")->session = crn(&w, 'A')->session));
}

static void only_what_is_held_outlives_its_session(void **state)
{
	(void)state;
	BROKEN(calm, "!c->alive",
	       (crn(&w, 'A')->alive = crn(&w, 'A')->established = false));
	BROKEN(restored, "p->session != c->session",
	       (program(&w, "orphan")->hold = false,
		crn(&w, 'A')->alive = true,
		crn(&w, 'A')->gen = w.s->gen));
}

static void a_lineage_runs_once(void **state)
{
	(void)state;
	BROKEN(calm, "!fsm__wanted(p)", program(&w, "runs")->superseded = true);
	BROKEN(calm, "!p->used || steps++",
	       program(&w, "next")->used = false);
	BROKEN(calm, "lineage_prev != m", program(&w, "next")->lineage_prev =
	       program(&w, "next")->lineage_next);
	BROKEN(calm, "p->lineage != s->programs[first].lineage",
	       program(&w, "next")->lineage = program(&w, "runs")->lineage);
	BROKEN(calm, "assigned > 1 || current > 1",
	       (program(&w, "next")->superseded = false,
		fsm__pending_update(w.s, slot(&w, "next"))));
	BROKEN(calm, "heads != 1", program(&w, "next")->lineage_head = true);
	BROKEN(calm, "p->lineage == 0", program(&w, "root")->lineage = 0);
	BROKEN(calm, "p->forgotten && !p->superseded",
	       (program(&w, "free")->forgotten = true,
		fsm__pending_update(w.s, slot(&w, "free"))));
	BROKEN(calm, "p->mark", program(&w, "free")->mark = true);
	BROKEN(calm, "bit != ", w.s->pending[0] ^= UINT64_C(1)
	       << slot(&w, "free"));
}

static void a_session_is_of_its_generation(void **state)
{
	(void)state;
	BROKEN(restored, "c->established && !c->alive",
	       crn(&w, 'A')->established = true);
	BROKEN(restored, "c->session == 0", crn(&w, 'B')->session = 0);
	BROKEN(restored, "c->gen != s->gen", crn(&w, 'B')->gen--);
	BROKEN(calm, "stamp_index(c->session)",
	       crn(&w, 'A')->session = stamp_make(w.s->index + 1, 0));
	BROKEN(calm, "c->k_ms > s->config.k_ms",
	       crn(&w, 'A')->k_ms = w.s->config.k_ms + 1);
}

static void lists_and_counts_agree(void **state)
{
	(void)state;
	BROKEN(calm, "p->crn != slot", crn(&w, 'A')->program_first =
	       crn(&w, 'B')->program_first);
	BROKEN(calm, "count++ > c->program_count",
	       crn(&w, 'A')->program_count = 0);
	BROKEN(calm, "p->crn_prev != previous",
	       program(&w, "stops")->crn_prev = SLOT_NONE);
	BROKEN(calm, "c->program_last != previous",
	       crn(&w, 'A')->program_last = crn(&w, 'A')->program_first);
	BROKEN(calm, "count != c->program_count",
	       crn(&w, 'A')->program_count++);
	BROKEN(calm, "revoking != c->revoking_count",
	       crn(&w, 'A')->revoking_count++);
	BROKEN(calm, "vcpus != c->vcpus_used", crn(&w, 'A')->vcpus_used++);
	BROKEN(calm, "memory_mib != c->memory_mib_used",
	       crn(&w, 'A')->memory_mib_used++);
	BROKEN(calm, "disk_mib != c->disk_mib_used",
	       crn(&w, 'A')->disk_mib_used++);
	BROKEN(calm, "programs != s->program_count", w.s->program_count++);
	BROKEN(calm, "crns != s->crn_count", w.s->crn_count++);
	BROKEN(calm, "pending != s->pending_count", w.s->pending_count++);
	BROKEN(calm, "assigned != s->assigned_count", w.s->assigned_count++);
	BROKEN(restored, "surveys != s->unsurveyed_count",
	       w.s->unsurveyed_count++);
	BROKEN(calm, "s->program_index.count", w.s->program_index.count++);
	BROKEN(calm, "s->crn_index.count", w.s->crn_index.count++);
	BROKEN(calm, "fsm_program_find", program(&w, "free")->hash.bytes[9]++);
	BROKEN(calm, "fsm_crn_find", crn(&w, 'A')->hash.bytes[9]++);
}

static void what_is_free_is_free_once(void **state)
{
	(void)state;
	BROKEN(calm, "s->programs[i].used || count++ > s->program_bound",
	       w.s->program_free = 0);
	BROKEN(calm, "s->programs[i].used || count++ > s->program_bound",
	       w.s->programs[w.s->program_free].crn_next = w.s->program_free);
	BROKEN(calm, "s->program_bound - s->program_count",
	       w.s->program_free = SLOT_NONE);
	BROKEN(calm, "s->crns[i].used || count++ > s->crn_bound",
	       w.s->crn_free = 0);
	BROKEN(calm, "s->crns[i].used || count++ > s->crn_bound",
	       w.s->crns[w.s->crn_free].program_first = w.s->crn_free);
	BROKEN(calm, "s->crn_bound - s->crn_count",
	       w.s->crn_free = SLOT_NONE);
	BROKEN(calm, "s->exclusions[i].used ||",
	       w.s->exclusion_free = program(&w, "free")->exclusion);
	BROKEN(calm, "count++ > s->exclusion_bound",
	       w.s->exclusions[w.s->exclusion_free].next =
	       w.s->exclusion_free);
	BROKEN(calm, "!s->exclusions[id].used",
	       program(&w, "free")->exclusion = w.s->exclusion_free);
	BROKEN(calm, "steps++ > EXCLUSIONS_MAX",
	       w.s->exclusions[program(&w, "free")->exclusion].next =
	       program(&w, "free")->exclusion);
	BROKEN(calm, "s->exclusions[id].crn == SLOT_NONE",
	       w.s->exclusions[program(&w, "free")->exclusion].crn = SLOT_NONE);
}

/* --- snapshots ----------------------------------------------------------- */

static int read_back(const struct fsm_view *s)
{
	struct buffer b = {0};
	struct byte_sink sink = {&b, buffer_write};
	struct byte_source source = {&b, buffer_read};
	struct fsm *out = NULL;
	int error;

	assert_true(fsm_snapshot_write(s, &sink));
	error = fsm_snapshot_read(&out, &source);
	if (error == 0)
		fsm_close(out);
	else
		assert_null(out);
	buffer_fini(&b);
	return error;
}

#define REFUSED(lines, statement)                                           \
	do {                                                                \
		struct world w;                                             \
		int error;                                                  \
		open_state(&w, lines);                                      \
		assert_int_equal(read_back(w.s), 0);                        \
		statement;                                                  \
		error = read_back(w.s);                                     \
		if (error != BERTH_CORRUPT)                                 \
			print_error("%s: taken\n", #statement);             \
		assert_int_equal(error, BERTH_CORRUPT);                     \
		fsm_close(w.fsm);                                           \
	} while (0)

/* Far outside: whoever follows one of these leaves the process's memory. */
#define FAR 0xfffffff0u

static void no_slot_leads_out_of_its_array(void **state)
{
	(void)state;
	REFUSED(calm, w.s->program_free = FAR);
	REFUSED(calm, w.s->crn_free = FAR);
	REFUSED(calm, w.s->exclusion_free = FAR);
	REFUSED(calm, w.s->programs[w.s->program_free].crn_next = FAR);
	REFUSED(calm, w.s->crns[w.s->crn_free].program_first = FAR);
	REFUSED(calm, program(&w, "runs")->crn = FAR);
	REFUSED(calm, program(&w, "free")->last_crn = w.s->crn_bound);
	REFUSED(calm, program(&w, "runs")->crn_next = FAR);
	REFUSED(calm, program(&w, "free")->crn_next = FAR);
	REFUSED(calm, program(&w, "runs")->crn_prev = FAR);
	REFUSED(calm, program(&w, "free")->crn_prev = FAR);
	REFUSED(calm, program(&w, "free")->lineage_next = FAR);
	REFUSED(calm, program(&w, "free")->lineage_prev = FAR);
	REFUSED(calm, program(&w, "free")->lineage = 0);
	REFUSED(calm, program(&w, "free")->exclusion = FAR);
	REFUSED(calm, program(&w, "free")->move_last = w.s->move_count + 1);
	REFUSED(calm, crn(&w, 'A')->program_first = FAR);
	REFUSED(calm, crn(&w, 'A')->program_last = FAR);
	REFUSED(calm, w.s->exclusions[w.s->exclusion_free].next = FAR);
	REFUSED(calm, w.s->exclusions[w.s->exclusion_free].crn =
		w.s->crn_bound);
}

static void no_word_is_of_the_future(void **state)
{
	(void)state;
	REFUSED(calm, program(&w, "free")->state = PROGRAM_LOST + 1);
	REFUSED(calm, program(&w, "free")->guarantee = GUARANTEE_HOLD + 1);
	REFUSED(calm, program(&w, "free")->source = SOURCE_OPERATOR + 1);
	REFUSED(calm, program(&w, "free")->kind = KIND_INSTANCE + 1);
	REFUSED(calm, crn(&w, 'A')->class = CRN_FENCED + 1);
	REFUSED(calm, crn(&w, 'A')->watchdog = WATCHDOG_HARDWARE + 1);
	REFUSED(calm, w.s->requests[0].refusal = FSM_REFUSAL_COUNT);
}

/* What is built anew from a snapshot finds each name once. */
static void no_name_stands_twice(void **state)
{
	(void)state;
	REFUSED(calm, program(&w, "free")->hash = program(&w, "runs")->hash);
	REFUSED(calm, crn(&w, 'A')->hash = crn(&w, 'B')->hash);
	REFUSED(calm, program(&w, "free")->lineage =
		program(&w, "runs")->lineage);
}

/* A broken invariant is refused as well. */
static void no_broken_state_is_read(void **state)
{
	(void)state;
	REFUSED(calm, program(&w, "stops")->v_rev = 0);
	REFUSED(calm, crn(&w, 'A')->k_ms = w.s->config.k_ms + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_is_where_its_state_says),
		cmocka_unit_test(only_what_is_held_outlives_its_session),
		cmocka_unit_test(a_lineage_runs_once),
		cmocka_unit_test(a_session_is_of_its_generation),
		cmocka_unit_test(lists_and_counts_agree),
		cmocka_unit_test(what_is_free_is_free_once),
		cmocka_unit_test(no_slot_leads_out_of_its_array),
		cmocka_unit_test(no_word_is_of_the_future),
		cmocka_unit_test(no_name_stands_twice),
		cmocka_unit_test(no_broken_state_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
