/* Preloaded into a process under test. Notes how long a file was, or which names a directory had, when a sync of it began
 * that has succeeded; and keeps what is unlinked or replaced, since a name that was not synced away is there again after a
 * loss of power. A line is written by one call, so that a kill leaves whole lines and at most one torn one:
 *
 *     F inode length
 *     D inode time/inode/name/inode/name/.../
 *
 * The time (ns since the machine started) is when the sync began: they may end in another order. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char notes[PATH_MAX];
static char gone[PATH_MAX];

__attribute__((constructor)) static void begin(void) {
    const char *directory = getenv("SKEP_TEST_SYNC_NOTES");
    if (!directory) return;
    snprintf(notes, sizeof notes, "%s/notes", directory);
    snprintf(gone, sizeof gone, "%s/gone", directory);
}

/* A test must not go on without what it relies on. */
static void fail(const char *what) {
    perror(what);
    abort();
}

static char *describe(int fd, size_t *length) {
    struct stat status;
    char *line = NULL;
    if (!*notes || fstat(fd, &status) != 0) return NULL;
    if (S_ISREG(status.st_mode)) {
        int written = asprintf(&line, "F %ju %jd\n", (uintmax_t)status.st_ino, (intmax_t)status.st_size);
        if (written < 0) fail("noting a file");
        *length = (size_t)written;
    } else if (S_ISDIR(status.st_mode)) {
        FILE *out = open_memstream(&line, length);
        struct timespec now;
        int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *listing = copy < 0 ? NULL : fdopendir(copy);
        struct dirent *entry;
        if (!out || !listing || clock_gettime(CLOCK_MONOTONIC, &now) != 0) fail("noting a directory");
        fprintf(out, "D %ju %jd%09ld/", (uintmax_t)status.st_ino, (intmax_t)now.tv_sec, now.tv_nsec);
        while ((entry = readdir(listing))) {
            struct stat inner;
            if (fstatat(copy, entry->d_name, &inner, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(inner.st_mode))
                fprintf(out, "%ju/%s/", (uintmax_t)inner.st_ino, entry->d_name);
        }
        closedir(listing);
        fprintf(out, "\n");
        if (fclose(out) != 0) fail("noting a directory");
    }
    return line;
}

static int synced(int fd, const char *call) {
    size_t length = 0;
    char *line = describe(fd, &length);
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, call);
    int result = real(fd), error = errno;
    if (result == 0 && line) {
        int to = open(notes, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (to < 0 || write(to, line, length) != (ssize_t)length) fail("noting a sync");
        close(to);
    }
    free(line);
    errno = error;
    return result;
}

static void keep(int at, const char *path) {
    struct stat status;
    char to[PATH_MAX + 32];
    int error = errno;
    if (*gone && fstatat(at, path, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode)) {
        snprintf(to, sizeof to, "%s/%ju", gone, (uintmax_t)status.st_ino);
        /* Another file system is not the one under test. */
        if (linkat(at, path, AT_FDCWD, to, 0) != 0 && errno != EEXIST && errno != ENOENT && errno != EXDEV)
            fail("keeping what is unlinked");
    }
    errno = error;
}

int fsync(int fd) { return synced(fd, "fsync"); }

int fdatasync(int fd) { return synced(fd, "fdatasync"); }

int unlinkat(int at, const char *path, int flags) {
    int (*real)(int, const char *, int) = (int (*)(int, const char *, int))dlsym(RTLD_NEXT, "unlinkat");
    keep(at, path);
    return real(at, path, flags);
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    int (*real)(int, const char *, int, const char *, unsigned) =
        (int (*)(int, const char *, int, const char *, unsigned))dlsym(RTLD_NEXT, "renameat2");
    keep(to_at, to);
    return real(from_at, from, to_at, to, flags);
}

int renameat(int from_at, const char *from, int to_at, const char *to) {
    return renameat2(from_at, from, to_at, to, 0);
}

int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }
