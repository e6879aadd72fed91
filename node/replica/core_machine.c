/* The state machine as the engine sees it: apply, frozen views, restore. */
#include <stdlib.h>

#include "node/lib/log.h"
#include "node/replica/core_impl.h"

struct core_state *core__state_open(struct fsm *fsm)
{
	struct core_state *state = calloc(1, sizeof *state);

	REQUIRE(state != NULL && fsm != NULL);
	state->fsm = fsm;
	return state;
}

void core__state_release(struct core *core, struct core_state *state)
{
	if (state == core->state || state->views != 0)
		return;
	fsm_close(state->fsm);
	free(state);
}

struct fsm_view *core_view_open(struct core *core)
{
	struct fsm_view *view;

	for (uint32_t i = 0; i < CORE_VIEWS_MAX; i++) {
		if (core->views[i].view != NULL)
			continue;
		view = fsm_view_open(core->state->fsm);
		if (view == NULL)
			return NULL;
		core->views[i].view = view;
		core->views[i].state = core->state;
		core->state->views++;
		return view;
	}
	return NULL;
}

void core_view_close(struct core *core, struct fsm_view *view)
{
	struct core_state *state;

	for (uint32_t i = 0; i < CORE_VIEWS_MAX; i++) {
		if (core->views[i].view != view)
			continue;
		state = core->views[i].state;
		core->views[i].view = NULL;
		fsm_view_close(state->fsm, view);
		state->views--;
		core__state_release(core, state);
		return;
	}
	berth_panic("close of a view that is not open", __FILE__, __LINE__);
}

/* --- apply ---------------------------------------------------------------- */

static void *more(void *data, uint32_t *capacity, size_t size)
{
	*capacity = *capacity == 0 ? 64 : *capacity * 2;
	data = realloc(data, *capacity * size);
	REQUIRE(data != NULL);
	return data;
}

static void on_result(void *ctx, const struct fsm_result *result)
{
	struct core *core = ctx;

	if (core->result_count == core->result_capacity)
		core->results = more(core->results, &core->result_capacity,
				     sizeof *core->results);
	core->results[core->result_count++] = *result;
}

static uint32_t keep_text(struct core *core, const struct text *text)
{
	size_t offset = core->text_size;

	while (core->text_capacity < offset + text->size) {
		core->text_capacity = core->text_capacity == 0
					      ? 4096 : core->text_capacity * 2;
		core->texts = realloc(core->texts, core->text_capacity);
		REQUIRE(core->texts != NULL);
	}
	if (text->size != 0)
		memcpy(core->texts + offset, text->data, text->size);
	core->text_size += text->size;
	return (uint32_t)offset;
}

static void on_effect(void *ctx, const struct fsm_effect *effect)
{
	struct core *core = ctx;

	if (core->effect_count == core->effect_capacity) {
		core->effects = more(core->effects, &core->effect_capacity,
				     sizeof *core->effects);
		core->text_offsets = realloc(core->text_offsets,
					     core->effect_capacity *
						     sizeof(uint32_t));
		REQUIRE(core->text_offsets != NULL);
	}
	core->text_offsets[core->effect_count] =
		keep_text(core, &effect->reason);
	core->effects[core->effect_count++] = *effect;
}

void core__scratch_free(struct core *core)
{
	free(core->results);
	free(core->effects);
	free(core->text_offsets);
	free(core->texts);
	core->results = NULL;
	core->effects = NULL;
	core->text_offsets = NULL;
	core->texts = NULL;
	core->result_capacity = core->effect_capacity = 0;
	core->text_capacity = 0;
}

static void applied(struct core *core, uint64_t index)
{
	core->applied = index;
	core->applied_ms = clock_monotonic_ms();
	core->moved = true;
	log_set_index(index);
}

static void on_apply(void *ctx, uint64_t index, uint64_t term,
		     const void *data, size_t size)
{
	struct core *core = ctx;
	const struct fsm_observer observer = { core, on_result, on_effect };

	core->result_count = core->effect_count = 0;
	core->text_size = 0;
	fsm_apply(core->state->fsm, index, data, size, &observer);
	applied(core, index);
	core__audit_applied(core, index);
	core__trail_applied(core, index, term, data, size);
	driver_applied(core->driver, core_view(core), index, core->results,
		       core->result_count);
	if (core->effect_count != 0)
		core__tell_effects(core);
	if (core->result_capacity > CORE_SCRATCH_KEPT ||
	    core->effect_capacity > CORE_SCRATCH_KEPT)
		core__scratch_free(core);
}

/* --- snapshots ------------------------------------------------------------ */

static void *on_snapshot_begin(void *ctx)
{
	core__trail_sync(ctx); /* what it stands for is not applied again */
	return core_view_open(ctx);
}

static void on_snapshot_end(void *ctx, void *view)
{
	core_view_close(ctx, view);
}

static bool on_snapshot_write(void *view,
			      bool (*sink)(void *sink_ctx, const void *data,
					   size_t size),
			      void *sink_ctx)
{
	struct byte_sink out = { sink_ctx, sink };

	return fsm_snapshot_write(view, &out);
}

/* What the entries that it stands for did is not known here. */
static void tell_gap(struct core *core, uint64_t index)
{
	const struct fsm_effect gap = { .type = CORE_EFFECT_GAP,
					.stamp = stamp_make(index + 1, 0) - 1 };

	core->effect_count = 0;
	core->text_size = 0;
	on_effect(core, &gap);
	core__tell_effects(core);
}

static int on_restore(void *ctx,
		      bool (*source)(void *source_ctx, void *data, size_t size),
		      void *source_ctx)
{
	struct core *core = ctx;
	struct byte_source in = { source_ctx, source };
	struct core_state *old = core->state;
	struct fsm_status status;
	struct fsm *fsm = NULL;
	int code = fsm_snapshot_read(&fsm, &in);

	if (code != 0)
		return code;
	core->state = core__state_open(fsm);
	core__state_release(core, old);
	fsm_status(core_view(core), &status);
	applied(core, status.index);
	core__trail_restored(core, status.index);
	if (core->replica != NULL) /* not our own one at the start */
		tell_gap(core, status.index);
	return 0;
}

static void on_leadership(void *ctx, bool leader, uint64_t term)
{
	struct core *core = ctx;

	log_info("raft", "%s, term %llu",
		 leader ? "this replica leads" : "leadership lost",
		 (unsigned long long)term);
	driver_leader(core->driver, leader, term);
}

static void on_fatal(void *ctx, const struct fault *fault)
{
	struct core *core = ctx;

	core->failed = true;
	core__tell_fatal(core, fault);
}

void core__machine(struct core *core, struct replica_machine *out)
{
	*out = (struct replica_machine){
		.ctx = core,
		.apply = on_apply,
		.snapshot_begin = on_snapshot_begin,
		.snapshot_write = on_snapshot_write,
		.snapshot_end = on_snapshot_end,
		.restore = on_restore,
		.leadership = on_leadership,
		.fatal = on_fatal,
	};
}
