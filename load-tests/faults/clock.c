// Preloaded: a clock that is put forward from outside, as when a machine was asleep. CLOCK names a file of eight bytes:
// the nanoseconds by which all clocks of the process are ahead; with CLOCK_WALL those that tell the time of day alone. Whoever waits for events is woken every few
// milliseconds to look at the time again; nothing runs faster than it would.

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 5

static volatile int64_t *ahead;
static int wall_only;

__attribute__((constructor)) static void open_clock(void) {
    const char *path = getenv("CLOCK");
    wall_only = getenv("CLOCK_WALL") != NULL;
    int fd = path ? open(path, O_RDONLY) : -1;
    if (fd < 0) return;
    void *memory = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, fd, 0);
    if (memory != MAP_FAILED) ahead = memory;
    close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    int is_cpu = clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
    int is_wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    if (result != 0 || !ahead || is_cpu || (wall_only && !is_wall)) return result;
    int64_t nanoseconds = now->tv_sec * INT64_C(1000000000) + now->tv_nsec + *ahead;
    now->tv_sec = nanoseconds / 1000000000;
    now->tv_nsec = nanoseconds % 1000000000;
    return 0;
}

int gettimeofday(struct timeval *now, void *zone) {
    (void)zone;
    struct timespec exact;
    int result = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return result;
}

int epoll_wait(int set, struct epoll_event *events, int size, int timeout_ms) {
    int bounded = timeout_ms < 0 || timeout_ms > LOOK_MS ? LOOK_MS : timeout_ms;
    return syscall(SYS_epoll_wait, set, events, size, ahead ? bounded : timeout_ms);
}
