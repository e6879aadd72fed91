/* Config: the numbers and the formula of lease.md 2.5. */
#include "fsm/state.h"

#define QUANTISATION_MS 20u
#define RHO_PPM_MAX 200000u

static uint64_t divide_up(uint64_t a, uint64_t b)
{
	return (a + b - 1) / b;
}

/* ttl_s >= (1 + rho) (ttl_a / (1 - rho) + K) + q, each division rounded up. */
static bool ttl_s_long_enough(const struct fsm_config *c)
{
	uint64_t million = 1000000, rho = c->rho_ppm, sum;

	sum = divide_up(c->ttl_a_ms * million, million - rho) + c->k_ms;
	sum = divide_up(sum * (million + rho), million) + QUANTISATION_MS;
	return c->ttl_s_ms >= sum;
}

static bool numbers_fit(const struct fsm_config *c)
{
	return c->heartbeat_ms > 0 && c->heartbeat_ms < c->ttl_a_ms &&
	       c->dt_max_ms > 0 && c->beat_ms > 0 && c->k_ms > 0 &&
	       c->programs_max > 0 && c->crns_max > 0 &&
	       c->rho_ppm <= RHO_PPM_MAX && ttl_s_long_enough(c);
}

/* 2.6: k rises only together with ttl_s, and never falls below what an alive
 * fenced CRN was admitted with. */
static bool k_fits(const struct fsm_view *s, const struct fsm_config *c)
{
	if (c->k_ms > s->config.k_ms && c->ttl_s_ms <= s->config.ttl_s_ms)
		return false;
	for (slot_t i = 0; i < s->crn_bound; i++) {
		const struct crn *crn = &s->crns[i];

		if (crn->used && crn->alive && crn->class == CRN_FENCED &&
		    crn->k_ms > c->k_ms)
			return false;
	}
	return true;
}

APPLY(config, fsm_config)
{
	struct fsm_view *s = &f->state;
	uint64_t floor_ms = c->ttl_s_ms;

	if (!numbers_fit(c) || (s->configured && !k_fits(s, c)))
		return FSM_REFUSED_CONFIG;
	if (!s->configured) {
		s->configured = true;
		s->gen = 1;
		s->hash_seed = fsm__mix(f->stamp, "berth", 5);
	}
	/* A session that was not renewed yet counts from its Register, which
	 * no time travelled with (R5), and by the ttl_a of that time. */
#ifndef MUTANT_config_lowered
	if (c->ttl_s_ms < s->config.ttl_s_ms)
		floor_ms = (uint64_t)s->config.ttl_s_ms + c->dt_max_ms;
#endif
	s->config = *c;
	if (c->ttl_s_ms > s->ttl_s_max_ms)
		s->ttl_s_max_ms = c->ttl_s_ms;
	/* An acknowledgement of an older Beat may carry the new ttl_a. */
	for (slot_t i = 0; i < s->crn_bound; i++) {
		struct crn *crn = &s->crns[i];

		if (crn->used && crn->alive &&
		    crn->exp_ms < s->c_ms + floor_ms)
			crn->exp_ms = s->c_ms + floor_ms;
	}
	fsm__effect(f, EFFECT_CONFIG, SLOT_NONE, SLOT_NONE, fsm__text(""));
	return FSM_OK;
}
