/* What the shipped fencer asks of its kernel, answered by kernel.c.
 *
 * Each of tests/sim/whole/fencer*.c includes this and then a file of
 * node/agent, as it is: system calls and clocks become those of the machine
 * that kernel_enter named. They take time by kernel_takes, which the fencer
 * sees at once and the world afterwards: the fencer sleeps until then.
 */
#ifndef TESTS_SIM_WHOLE_KERNEL_H
#define TESTS_SIM_WHOLE_KERNEL_H

#include <errno.h>
#include <fcntl.h>
#include <linux/watchdog.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "node/lib/log.h"
#include "tests/sim/whole/whole.h"

void kernel_enter(struct host *host);
void kernel_leave(struct host *host);
void kernel_takes(uint64_t us);
/* The answer of the last question is in memory as a file. */
void kernel_bytes(const void *bytes, size_t size);
bool kernel_told(const struct host *host, uint32_t slot); /* at its socket */
bool kernel_lives(const struct live *live); /* any part of it */

/* fencer_loop's turn in two: what a descriptor tells; what follows. */
void fencer_turn(struct fencer *f, enum fencer_source source, uint32_t index);
void fencer_rest(struct fencer *f);
enum fencer_code fencer_obey(struct fencer *f,
			     const struct fencer_request *request,
			     struct fencer_answer *answer);

/* --- clocks --------------------------------------------------------------- */
uint64_t kernel_ms(void);
#define lease_clock_init(clock) ((void)(clock))
#define lease_clock_agent_ms(clock) (lease_clock_init(clock), kernel_ms())
#define clock_monotonic_ms() kernel_ms()
#define clock_boottime_ns() (kernel_ms() * 1000000u)

/* --- files ---------------------------------------------------------------- */
int kernel_stat(int fd, struct stat *st);
int kernel_allocate(int fd, off_t from, off_t size);
int kernel_sync(int fd);
ssize_t kernel_pread(int fd, void *data, size_t size, off_t at);
ssize_t kernel_pwrite(int fd, const void *data, size_t size, off_t at);
int kernel_file(void);
#define KERNEL_TABLE 3
#define KERNEL_MEMORY 4
#define openat(...) KERNEL_TABLE
#define fstat(fd, st) kernel_stat((fd), (st))
#define posix_fallocate(fd, from, size) kernel_allocate((fd), (from), (size))
#define fsync(fd) kernel_sync(fd)
#define fdatasync(fd) kernel_sync(fd)
#define pread(...) kernel_pread(__VA_ARGS__)
#define pwrite(...) kernel_pwrite(__VA_ARGS__)
#define memfd_create(...) kernel_file()
#define fcntl(fd, what) ((void)(fd), kernel_fine())
#define close(fd) ((void)(fd))
#define unlink(path) ((void)(path))
#define umask(mask) kernel_mask(mask)
mode_t kernel_mask(mode_t mask);

/* --- what always works ---------------------------------------------------- */
int kernel_fine(void);
int kernel_descriptor(void);
void *kernel_page(void);
int kernel_limit(struct rlimit *limit);
ssize_t kernel_fetch(void *data, size_t size);
ssize_t kernel_random(void *data, size_t size);
#define sigprocmask(...) kernel_fine()
#define signal(number, what) ((void)(what))
#define signalfd(...) kernel_descriptor()
#define epoll_create1(...) kernel_descriptor()
#define epoll_ctl(efd, what, fd, event) \
	((void)(efd), (void)(fd), (void)(event), kernel_fine())
#define epoll_wait(efd, events, count, ms) \
	((void)(events), (void)(ms), kernel_fine())
#define timerfd_create(...) kernel_descriptor()
#define mmap(...) kernel_page()
#define prctl(...) ((void)0)
#define getrlimit(what, limit) kernel_limit(limit)
#define setrlimit(what, limit) ((void)(limit))
#define getrandom(data, size, flags) kernel_random((data), (size))
#define ioctl(...) kernel_fine()
#define open(...) kernel_descriptor()
#define read(fd, data, size) kernel_fetch((data), (size))
#define write(fd, data, size) ((ssize_t)(size))

/* --- processes and sockets ------------------------------------------------ */
int kernel_timer(int fd, uint64_t at_ns);
int kernel_pidfd(pid_t pid, unsigned flags);
int kernel_signal(int fd, int number, siginfo_t *info, unsigned flags);
int kernel_pair(int pair[2]);
ssize_t kernel_receive(int fd, struct msghdr *head);
ssize_t kernel_send(int fd, const void *data, size_t size);
ssize_t kernel_answer(const struct msghdr *head);
#define timerfd_settime(fd, flags, at, old)                        \
	kernel_timer((fd), (uint64_t)(at)->it_value.tv_sec * 1000000000u + \
		     (uint64_t)(at)->it_value.tv_nsec)
/* sys/pidfd.h may be read again: these fit its prototypes. */
#define pidfd_open(...) kernel_pidfd(__VA_ARGS__)
#define pidfd_send_signal(...) kernel_signal(__VA_ARGS__)
#define waitpid(...) 0
#define usleep(us) kernel_takes(us)
#define socket(...) kernel_descriptor()
#define socketpair(family, type, protocol, pair) kernel_pair(pair)
#define setsockopt(fd, level, what, value, size) \
	((void)(value), kernel_fine())
#define getsockopt(fd, level, what, value, size) \
	((void)(fd), (void)(value), (void)(size), kernel_fine())
#define bind(fd, address, size) ((void)(address), kernel_fine())
#define listen(...) kernel_fine()
#define accept4(fd, address, size, flags) ((void)(fd), -1)
#define recvmsg(fd, head, flags) kernel_receive((fd), (head))
#define sendmsg(fd, head, flags) ((void)(fd), kernel_answer(head))
#define send(fd, data, size, flags) kernel_send((fd), (data), (size))

/* --- the log -------------------------------------------------------------- */
void kernel_log(enum log_level level, const char *area, const char *format,
		...) PRINTF_LIKE(3, 4);
#define log_line kernel_log

#endif
