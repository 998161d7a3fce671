/* Makes the nth call of one kind on files below a folder fail: for tests of disks that break.
 *
 * Loaded with LD_PRELOAD. The environment says what fails, and is read at every call, so that a process that forks can
 * be told anew: FAIL_CALL (write, pwrite, fsync, fdatasync, rename, open, unlink, mkdir), FAIL_NTH (from 1), FAIL_COUNT
 * (how many from there on; 0: all), FAIL_ERRNO (a number), FAIL_BELOW (a folder). Each process counts for itself.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_int reached;

static int is_below(const char *path, const char *folder) {
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static int fails(const char *call, const char *path) {
    const char *wanted = getenv("FAIL_CALL"), *below = getenv("FAIL_BELOW");
    if (wanted == NULL || below == NULL || strcmp(wanted, call) != 0 || !is_below(path, below)) return 0;
    const char *nth = getenv("FAIL_NTH"), *count = getenv("FAIL_COUNT"), *number = getenv("FAIL_ERRNO");
    int first = nth ? atoi(nth) : 1, times = count ? atoi(count) : 1;
    int now = atomic_fetch_add(&reached, 1) + 1;
    if (now < first || (times && now >= first + times)) return 0;
    errno = number ? atoi(number) : EIO;
    return 1;
}

/* The path of an open file or folder; 0 if it has none. */
static int path_of(int descriptor, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, size - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

static int fails_at(const char *call, int descriptor) {
    char path[PATH_MAX];
    return getenv("FAIL_CALL") != NULL && path_of(descriptor, path, sizeof path) && fails(call, path);
}

/* The same for a path that may be relative to an open folder. */
static int fails_in(const char *call, int folder, const char *name) {
    char path[PATH_MAX], whole[2 * PATH_MAX];
    if (getenv("FAIL_CALL") == NULL) return 0;
    if (name[0] == '/' || folder == AT_FDCWD) return fails(call, name);
    if (!path_of(folder, path, sizeof path)) return 0;
    snprintf(whole, sizeof whole, "%s/%s", path, name);
    return fails(call, whole);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int descriptor, const void *data, size_t size) {
    return fails_at("write", descriptor) ? -1 : REAL(write)(descriptor, data, size);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t at) {
    return fails_at("pwrite", descriptor) ? -1 : REAL(pwrite)(descriptor, data, size, at);
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t at) {
    return fails_at("pwrite", descriptor) ? -1 : REAL(pwrite64)(descriptor, data, size, at);
}

int fsync(int descriptor) { return fails_at("fsync", descriptor) ? -1 : REAL(fsync)(descriptor); }

int fdatasync(int descriptor) { return fails_at("fdatasync", descriptor) ? -1 : REAL(fdatasync)(descriptor); }

int rename(const char *from, const char *to) { return fails("rename", to) ? -1 : REAL(rename)(from, to); }

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    return fails_in("rename", to_folder, to) ? -1 : REAL(renameat)(from_folder, from, to_folder, to);
}

int unlinkat(int folder, const char *name, int flags) {
    return !(flags & AT_REMOVEDIR) && fails_in("unlink", folder, name) ? -1 : REAL(unlinkat)(folder, name, flags);
}

int unlink(const char *path) { return fails("unlink", path) ? -1 : REAL(unlink)(path); }

int mkdir(const char *path, mode_t mode) { return fails("mkdir", path) ? -1 : REAL(mkdir)(path, mode); }

/* Only what is opened for writing: what is read is another matter. */
static int open_fails(const char *path, int flags) {
    return (flags & O_ACCMODE) != O_RDONLY && fails("open", path);
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    return open_fails(path, flags) ? -1 : REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    return open_fails(path, flags) ? -1 : REAL(open64)(path, flags, mode);
}

static int open_fails_in(int folder, const char *name, int flags) {
    return (flags & O_ACCMODE) != O_RDONLY && fails_in("open", folder, name);
}

int openat(int folder, const char *name, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    return open_fails_in(folder, name, flags) ? -1 : REAL(openat)(folder, name, flags, mode);
}

int openat64(int folder, const char *name, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    return open_fails_in(folder, name, flags) ? -1 : REAL(openat64)(folder, name, flags, mode);
}
