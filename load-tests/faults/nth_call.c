// Preloaded: kills the process at the Nth point by which its state leaves it or an answer reaches it. Points are, over
// all threads, before and after each write to a file or to a connection, before and after each sync, truncation and
// deletion, and after each receipt. FAULT_AT names the point; the last line on standard error says which it was.
//
// strace could inject the signal, too, but it counts the calls of each thread apart, so that its Nth is not one place.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long passed;
static long fault_at;

__attribute__((constructor)) static void read_settings(void) {
    const char *at = getenv("FAULT_AT");
    fault_at = at ? atol(at) : 0;
}

// What a descriptor leads to: a file's name or the port at the other end. Zero when it is neither.
static int describe(int fd, char *text, size_t size) {
    struct stat about;
    if (fd <= 2 || fstat(fd, &about) != 0) return 0;
    if (S_ISREG(about.st_mode)) {
        char link[64], path[512];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, sizeof path - 1);
        if (length <= 0) return 0;
        path[length] = 0;
        const char *name = strrchr(path, '/');
        snprintf(text, size, "%s", name ? name + 1 : path);
        return 1;
    }
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    if (!S_ISSOCK(about.st_mode) || getpeername(fd, (struct sockaddr *)&peer, &length) != 0) return 0;
    if (peer.sin_family != AF_INET) return 0;
    int local_port = 0;
    struct sockaddr_in local;
    length = sizeof local;
    if (getsockname(fd, (struct sockaddr *)&local, &length) == 0) local_port = ntohs(local.sin_port);
    snprintf(text, size, "%d-%d", local_port, ntohs(peer.sin_port));
    return 1;
}

static void point(const char *edge, const char *call, const char *target) {
    if (atomic_fetch_add(&passed, 1) + 1 != fault_at) return;
    char line[700];
    int length = snprintf(line, sizeof line, "\nfault %s %s %s\n", edge, call, target);
    syscall(SYS_write, 2, line, length);
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

#define AROUND(call, fd, result, expression)                 \
    char target[600];                                        \
    int counts = fault_at && describe(fd, target, sizeof target); \
    if (counts) point("before", call, target);               \
    result = (expression);                                   \
    if (counts) point("after", call, target);                \
    return result

ssize_t write(int fd, const void *bytes, size_t size) {
    ssize_t result;
    AROUND("write", fd, result, syscall(SYS_write, fd, bytes, size));
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
    ssize_t result;
    AROUND("write", fd, result, syscall(SYS_pwrite64, fd, bytes, size, at));
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    ssize_t result;
    AROUND("write", fd, result, syscall(SYS_writev, fd, parts, count));
}

ssize_t send(int fd, const void *bytes, size_t size, int flags) {
    ssize_t result;
    AROUND("write", fd, result, syscall(SYS_sendto, fd, bytes, size, flags, NULL, 0));
}

int fsync(int fd) {
    int result;
    AROUND("sync", fd, result, syscall(SYS_fsync, fd));
}

int fdatasync(int fd) {
    int result;
    AROUND("sync", fd, result, syscall(SYS_fdatasync, fd));
}

int ftruncate64(int fd, off64_t size) {
    int result;
    AROUND("truncate", fd, result, syscall(SYS_ftruncate, fd, size));
}

int unlink(const char *path) {
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    if (fault_at) point("before", "unlink", name);
    int result = syscall(SYS_unlink, path);
    if (fault_at) point("after", "unlink", name);
    return result;
}

ssize_t recv(int fd, void *bytes, size_t size, int flags) {
    ssize_t result = syscall(SYS_recvfrom, fd, bytes, size, flags, NULL, NULL);
    char target[600];
    if (result > 0 && fault_at && describe(fd, target, sizeof target)) point("after", "read", target);
    return result;
}
