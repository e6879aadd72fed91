/* The queue between threads and a loop: nothing lost, order kept, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/replica/queue.h"

#define PRODUCERS 4
#define ITEMS 20000

struct number {
	struct queue_item item;
	uint32_t producer, value;
};

struct taker {
	struct queue queue;
	uint32_t next[PRODUCERS], taken, wanted;
	bool finished;
};

static void take(void *ctx, struct queue_item *item)
{
	struct number *n = (struct number *)item;
	struct taker *t = ctx;

	assert_int_equal(n->value, t->next[n->producer]);
	t->next[n->producer]++;
	t->taken++;
	free(n);
}

static struct number *number_new(uint32_t producer, uint32_t value,
				 size_t size)
{
	struct number *n = calloc(1, sizeof *n);

	n->item.take = take;
	n->item.size = size;
	n->producer = producer;
	n->value = value;
	return n;
}

struct producer {
	uv_thread_t thread;
	struct taker *taker;
	uint32_t id;
};

static void produce(void *arg)
{
	struct producer *p = arg;

	for (uint32_t i = 0; i < ITEMS; i++)
		queue_must_put(&p->taker->queue,
			       &number_new(p->id, i, 1)->item);
}

static void on_fini(void *ctx)
{
	((struct taker *)ctx)->finished = true;
}

static void test_many_threads_lose_nothing(void **state)
{
	struct producer producers[PRODUCERS];
	struct taker t = { .taken = 0 };
	uv_loop_t loop;

	(void)state;
	uv_loop_init(&loop);
	assert_int_equal(queue_init(&t.queue, &loop, &t, 1, 1), 0);
	for (uint32_t i = 0; i < PRODUCERS; i++) {
		producers[i].taker = &t;
		producers[i].id = i;
		uv_thread_create(&producers[i].thread, produce, &producers[i]);
	}
	while (t.taken < PRODUCERS * ITEMS)
		uv_run(&loop, UV_RUN_ONCE);
	for (uint32_t i = 0; i < PRODUCERS; i++)
		uv_thread_join(&producers[i].thread);
	queue_fini(&t.queue, on_fini);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_true(t.finished);
	assert_int_equal(t.taken, PRODUCERS * ITEMS);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_full_queue_refuses(void **state)
{
	struct taker t = { .taken = 0 };
	struct number *n;
	uv_loop_t loop;

	(void)state;
	uv_loop_init(&loop);
	assert_int_equal(queue_init(&t.queue, &loop, &t, 3, 100), 0);
	assert_int_equal(queue_put(&t.queue, &number_new(0, 0, 10)->item), 0);
	n = number_new(0, 1, 91);
	assert_int_equal(queue_put(&t.queue, &n->item), BERTH_BUSY); /* bytes */
	n->item.size = 90;
	assert_int_equal(queue_put(&t.queue, &n->item), 0);
	assert_int_equal(queue_put(&t.queue, &number_new(0, 2, 0)->item), 0);
	n = number_new(0, 3, 0);
	assert_int_equal(queue_put(&t.queue, &n->item), BERTH_BUSY); /* count */
	assert_int_equal(t.queue.refused, 2);
	queue_must_put(&t.queue, &n->item);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(t.taken, 4);
	assert_int_equal(queue_put(&t.queue, &number_new(0, 4, 100)->item), 0);
	queue_fini(&t.queue, on_fini); /* what is there is given first */
	assert_int_equal(t.taken, 5);
	n = number_new(0, 5, 1);
	assert_int_equal(queue_put(&t.queue, &n->item), BERTH_CLOSED);
	free(n);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_true(t.finished);
	uv_loop_close(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_threads_lose_nothing),
		cmocka_unit_test(test_full_queue_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
