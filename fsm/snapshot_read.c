/* Snapshots in. The store has checked the bytes; what they say is checked
 * here, so that a wrong snapshot is refused and never becomes a state. */
#include <stdlib.h>

#include "fsm/columns.h"

struct in {
	struct fsm_view *s;
	const struct byte_source *source;
	bool failed;
};

static void get(struct in *in, void *data, size_t size)
{
	if (in->failed || size == 0)
		return;
	if (!in->source->read(in->source->ctx, data, size))
		in->failed = true;
}

static uint64_t get_number(struct in *in, size_t size)
{
	uint8_t bytes[8] = {0};
	uint64_t number = 0;

	get(in, bytes, size);
	for (size_t i = 0; i < size; i++)
		number |= (uint64_t)bytes[i] << (8 * i);
	return in->failed ? 0 : number;
}

/* Into `text`, which holds FSM_TEXT_SIZE_MAX bytes. */
static uint32_t get_text(struct in *in, char *text)
{
	uint64_t size = get_number(in, 4);

	if (size > FSM_TEXT_SIZE_MAX)
		in->failed = true;
	get(in, text, in->failed ? 0 : (size_t)size);
	return in->failed ? 0 : (uint32_t)size;
}

static uint32_t get_tokens(struct in *in)
{
	char bytes[FSM_TOKENS_MAX][FSM_TEXT_SIZE_MAX];
	struct text tokens[FSM_TOKENS_MAX];
	uint64_t count = get_number(in, 1);

	if (count > FSM_TOKENS_MAX)
		in->failed = true;
	for (uint64_t i = 0; i < count && !in->failed; i++) {
		tokens[i].data = bytes[i];
		tokens[i].size = get_text(in, bytes[i]);
	}
	return in->failed ? 0
			  : fsm__tokens_take(in->s, tokens, (uint32_t)count);
}

static uint32_t get_id(struct in *in, enum column_kind kind)
{
	char bytes[FSM_TEXT_SIZE_MAX];
	struct hash hash = {{0}};
	struct text text = {bytes, 0};

	if (kind == COLUMN_TOKENS)
		return get_tokens(in);
	if (kind == COLUMN_HASH_ID) {
		get(in, hash.bytes, sizeof hash.bytes);
		return fsm__hash_take(in->s, &hash);
	}
	text.size = get_text(in, bytes);
	return fsm__text_take(in->s, &text);
}

static void get_value(struct in *in, const struct column *c, uint8_t *row)
{
	uint8_t *at = row + c->offset;
	uint64_t number;
	uint32_t small;
	bool flag;

	switch (c->kind) {
	case COLUMN_BOOL:
		number = get_number(in, 1);
		in->failed = in->failed || number > 1;
		flag = number == 1;
		memcpy(at, &flag, sizeof flag);
		break;
	case COLUMN_U8:
	case COLUMN_BYTES:
		get(in, at, c->size);
		break;
	case COLUMN_U32:
		small = (uint32_t)get_number(in, 4);
		memcpy(at, &small, sizeof small);
		break;
	case COLUMN_U64:
		number = get_number(in, 8);
		memcpy(at, &number, sizeof number);
		break;
	case COLUMN_HASH_ID:
	case COLUMN_TEXT:
	case COLUMN_TOKENS:
		small = get_id(in, c->kind);
		memcpy(at, &small, sizeof small);
		break;
	case COLUMN_END:
	default:
		NEVER("a column of this kind");
	}
}

static void get_table(struct in *in, uint32_t index)
{
	const struct table *t = &fsm__tables[index];
	uint32_t bound = fsm__table_bound(in->s, index), capacity = 0;
	uint8_t *base = (uint8_t *)in->s;
	void *rows;

	if (in->failed || bound > t->bound_max) {
		in->failed = true;
		return;
	}
	rows = fsm__grow(NULL, &capacity, bound, t->row_size);
	memcpy(base + t->array, &rows, sizeof rows);
	memcpy(base + t->capacity, &capacity, sizeof capacity);
	for (const struct column *c = t->columns; c->kind != COLUMN_END; c++)
		for (uint32_t i = 0; i < bound && !in->failed; i++)
			get_value(in, c, (uint8_t *)rows + i * t->row_size);
}

/* --- what the numbers may be, before anything follows them --------------- */

static bool slot_ok(slot_t slot, uint32_t bound)
{
	return slot == SLOT_NONE || slot < bound;
}

static bool program_ok(const struct fsm_view *s, const struct program *p)
{
	if (!p->used)
		return slot_ok(p->crn_next, s->program_bound);
	return p->state <= PROGRAM_LOST && p->guarantee <= GUARANTEE_HOLD &&
	       p->source <= SOURCE_OPERATOR && p->kind <= KIND_INSTANCE &&
	       slot_ok(p->crn, s->crn_bound) &&
	       slot_ok(p->last_crn, s->crn_bound) &&
	       slot_ok(p->crn_next, s->program_bound) &&
	       slot_ok(p->crn_prev, s->program_bound) &&
	       p->lineage_next < s->program_bound &&
	       p->lineage_prev < s->program_bound &&
	       slot_ok(p->exclusion, s->exclusion_bound) &&
	       p->lineage != 0 && p->move_last <= s->move_count;
}

static bool crn_ok(const struct fsm_view *s, const struct crn *c)
{
	if (!c->used)
		return slot_ok(c->program_first, s->crn_bound);
	return slot_ok(c->program_first, s->program_bound) &&
	       slot_ok(c->program_last, s->program_bound) &&
	       c->class <= CRN_FENCED && c->watchdog <= WATCHDOG_HARDWARE;
}

/* A move names an earlier one: so the way back ends, inside the ring. */
static bool moves_ok(const struct fsm_view *s)
{
	uint64_t serial = s->move_count;

	if (s->move_count > UINT64_MAX / 2 || s->request_count > UINT64_MAX / 2)
		return false;
	for (; serial > 0 && serial + MOVES_MAX > s->move_count; serial--) {
		const struct move *m = &s->moves[(serial - 1) % MOVES_MAX];

		if (m->prev >= serial)
			return false;
	}
	return true;
}

static bool numbers_ok(const struct fsm_view *s)
{
	bool ok = slot_ok(s->program_free, s->program_bound) &&
		  slot_ok(s->crn_free, s->crn_bound) &&
		  slot_ok(s->exclusion_free, s->exclusion_bound);

	for (uint32_t i = 0; ok && i < s->program_bound; i++)
		ok = program_ok(s, &s->programs[i]);
	for (uint32_t i = 0; ok && i < s->crn_bound; i++)
		ok = crn_ok(s, &s->crns[i]);
	for (uint32_t i = 0; ok && i < s->exclusion_bound; i++)
		ok = slot_ok(s->exclusions[i].next, s->exclusion_bound) &&
		     slot_ok(s->exclusions[i].crn, s->crn_bound);
	ok = ok && moves_ok(s);
	for (uint32_t i = 0; ok && i < fsm__table_bound(s, 4); i++)
		ok = s->requests[i].refusal < FSM_REFUSAL_COUNT;
	return ok;
}

static int read_state(struct in *in)
{
	char magic[8] = {0};
	uint64_t version;

	get(in, magic, sizeof magic);
	version = get_number(in, 4);
	if (in->failed || memcmp(magic, "BRTHFSM", 8) != 0)
		return BERTH_CORRUPT;
	if (version != SNAPSHOT_VERSION)
		return BERTH_VERSION;
	for (const struct column *c = fsm__head_columns; c->kind; c++)
		get_value(in, c, (uint8_t *)in->s);
	for (uint32_t i = 0; i < TABLE_COUNT; i++)
		get_table(in, i);
	if (get_number(in, 4) != UINT64_C(0x444e4542) || in->failed ||
	    !numbers_ok(in->s) || !fsm__derive(in->s) || fsm__broken(in->s))
		return BERTH_CORRUPT;
	return 0;
}

int fsm_snapshot_read(struct fsm **out, const struct byte_source *source)
{
	struct fsm *f = fsm_open();
	struct in in = {&f->state, source, false};
	int error = read_state(&in);

	if (error) {
		fsm_close(f);
		return error;
	}
	*out = f;
	return 0;
}
