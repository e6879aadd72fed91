/* Copies of single records, made on the consensus loop: memory copies and one
 * placement look-up, nothing that waits. */
#include <stdlib.h>

#include "node/replica/api_internal.h"

/* All texts of a program, a CRN and eight moves fit in this. */
#define TEXTS_SIZE ((2u + 5u + 8u) * FSM_TEXT_SIZE_MAX + \
		    2u * FSM_TOKENS_MAX * FSM_TOKEN_SIZE_MAX)

static void keep(struct api_copy *copy, struct text *text)
{
	char *at = copy->texts + copy->text_size;

	if (text->size > copy->text_capacity - copy->text_size)
		text->size = 0;
	if (text->size)
		memcpy(at, text->data, text->size);
	copy->text_size += text->size;
	text->data = at;
}

static void copy_crn(struct api_copy *copy, const struct fsm_view *view,
		     slot_t slot)
{
	struct fsm_crn *crn = &copy->crn;

	copy->has_crn = slot != SLOT_NONE && fsm_crn_read(view, slot, crn);
	if (!copy->has_crn)
		return;
	keep(copy, &crn->name);
	keep(copy, &crn->owner);
	keep(copy, &crn->url);
	keep(copy, &crn->unfenced_reason);
	for (uint32_t i = 0; i < crn->token_count; i++)
		keep(copy, &crn->tokens[i]);
}

static void copy_program(struct api_request *request,
			 const struct fsm_view *view)
{
	struct api_copy *copy = &request->copy;
	struct fsm_program *p = &copy->program;
	slot_t slot = fsm_program_find(view, &request->hash);

	copy->found = slot != SLOT_NONE && fsm_program_read(view, slot, p);
	if (!copy->found)
		return;
	keep(copy, &p->owner);
	keep(copy, &p->name);
	for (uint32_t i = 0; i < p->token_count; i++)
		keep(copy, &p->tokens[i]);
	if (p->state == PROGRAM_ASSIGNED || p->state == PROGRAM_REVOKING ||
	    (p->state == PROGRAM_LOST && p->crn != SLOT_NONE))
		copy_crn(copy, view, p->crn);
	copy->move_count = fsm_program_moves(view, slot, copy->moves,
					     API_MOVES_MAX);
	if (copy->move_count > API_MOVES_MAX)
		copy->move_count = API_MOVES_MAX;
	for (uint32_t i = 0; i < copy->move_count; i++)
		keep(copy, &copy->moves[i].reason);
	if (request->route->copy & COPY_REASON)
		copy->has_verdict = api_reason(view, request->api, slot, p,
					       &copy->reason, copy->explained,
					       sizeof copy->explained);
}

void api_rows_run(struct core *core, struct core_call *call)
{
	struct api_request *request = (struct api_request *)(void *)
		((char *)call - offsetof(struct api_request, call));
	const struct driver *driver = core_driver(core);
	struct agent_run run;

	for (uint32_t i = 0; i < request->row_count; i++) {
		struct api_run_row *row = &request->rows[i];

		if (driver_run_status(driver, &row->program, &run) &&
		    run.epoch == row->epoch && run.gen == row->gen)
			row->status = run.status;
	}
}

void api_copy_run(struct core *core, struct core_call *call)
{
	struct api_request *request = (struct api_request *)(void *)
		((char *)call - offsetof(struct api_request, call));
	struct api_copy *copy = &request->copy;
	const struct fsm_view *view = core_view(core);
	unsigned what = request->route->copy;

	request->index = core_applied(core);
	request->age_ms = core_applied_age_ms(core);
	fsm_status(view, &copy->status);
	if (what & COPY_REPLICA) {
		replica_status(core_replica(core), &copy->replica);
		driver_status(core_driver(core), &copy->driver);
		core_audit_counts(core, &copy->audit);
	}
	if (!(what & (COPY_PROGRAM | COPY_CRN)))
		return;
	copy->text_size = 0;
	copy->text_capacity = TEXTS_SIZE;
	if (!copy->texts)
		copy->texts = malloc(TEXTS_SIZE);
	if (!copy->texts) {
		call->code = BERTH_NOMEM;
		return;
	}
	if (what & COPY_PROGRAM)
		copy_program(request, view);
	else
		copy_crn(copy, view, fsm_crn_find(view, &request->hash));
}
