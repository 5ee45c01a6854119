/* A record of what would have reached the disk, for rebuilding a folder as a power cut leaves it.
 *
 * Every write, truncation, creation, removal and synchronisation of the databases in the folder
 * SHIM_FOLDER is appended to the file SHIM_RECORD, in the order in which they were made: a
 * synchronisation is recorded before it is made, all else after it. What SQLite's locks keep apart
 * in time is apart in the record, for a lock is given up only after the call has returned. The -shm
 * is left out, as a cut throws it away; so is what Rust's rustix does, which is no call of the C
 * library. One record: operation, length of the name, two numbers, the name, the data.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 4096
#define NAME 120

static char names[FILES][NAME]; /* by descriptor; "." is the folder itself */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *folder;
static int record = -1;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
  folder = getenv("SHIM_FOLDER");
  const char *path = getenv("SHIM_RECORD");
  if (!folder || !path) return;
  record = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  /* So that sqlite3 answers each statement at once. */
  setvbuf(stdout, NULL, _IOLBF, 0);
}

/* The name of a path in the folder that is recorded, or nothing. */
static const char *known(const char *path) {
  if (record < 0 || !path) return NULL;
  size_t length = strlen(folder);
  if (strncmp(path, folder, length) != 0) return NULL;
  if (path[length] == 0 || strcmp(path + length, "/") == 0 || strcmp(path + length, "/.") == 0) return ".";
  if (path[length] != '/') return NULL;
  const char *name = path + length + 1;
  size_t end = strlen(name);
  if (strchr(name, '/') || end >= NAME || !strstr(name, ".db")) return NULL;
  if (end > 4 && strcmp(name + end - 4, "-shm") == 0) return NULL;
  if (end > 5 && strcmp(name + end - 5, ".lock") == 0) return NULL;
  return name;
}

static const char *of(int file) {
  return record >= 0 && file >= 0 && file < FILES && names[file][0] ? names[file] : NULL;
}

static void note(char operation, const char *name, uint64_t first, uint64_t second, const struct iovec *data,
                 int count) {
  struct iovec parts[2 + 16];
  unsigned char head[18];
  head[0] = (unsigned char)operation;
  head[1] = (unsigned char)strlen(name);
  memcpy(head + 2, &first, 8);
  memcpy(head + 10, &second, 8);
  parts[0] = (struct iovec){head, sizeof head};
  parts[1] = (struct iovec){(void *)name, head[1]};
  size_t length = sizeof head + head[1];
  for (int at = 0; at < count; at++) parts[2 + at] = data[at], length += data[at].iov_len;
  /* Whole or not at all: a record with a hole in it would prove nothing. */
  if (syscall(SYS_writev, record, parts, 2 + count) != (ssize_t)length) abort();
}

static int opened(int file, const char *name, int is_new) {
  if (file >= 0 && file < FILES) {
    strcpy(names[file], name ? name : "");
    if (name && is_new) note('C', name, 0, 0, NULL, 0);
  }
  return file;
}

static int open_known(int at, const char *path, int flags, mode_t mode) {
  const char *name = known(path);
  pthread_mutex_lock(&lock);
  int is_new = name && (flags & O_CREAT) && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0;
  int file = opened((int)syscall(SYS_openat, at, path, flags, mode), name, is_new);
  if (file >= 0 && name && (flags & O_TRUNC)) note('T', name, 0, 0, NULL, 0);
  pthread_mutex_unlock(&lock);
  return file;
}

#define MODE(flags)                                                            \
  mode_t mode = 0;                                                             \
  if ((flags) & (O_CREAT | O_TMPFILE)) {                                       \
    va_list rest;                                                              \
    va_start(rest, flags);                                                     \
    mode = va_arg(rest, mode_t);                                               \
    va_end(rest);                                                              \
  }

int open(const char *path, int flags, ...) {
  MODE(flags);
  return open_known(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  MODE(flags);
  return open_known(AT_FDCWD, path, flags, mode);
}
int openat(int at, const char *path, int flags, ...) {
  MODE(flags);
  return open_known(at, path, flags, mode);
}
int openat64(int at, const char *path, int flags, ...) {
  MODE(flags);
  return open_known(at, path, flags, mode);
}

int close(int file) {
  if (of(file)) {
    pthread_mutex_lock(&lock);
    names[file][0] = 0;
    pthread_mutex_unlock(&lock);
  }
  return (int)syscall(SYS_close, file);
}

/* Writes `data` where the descriptor is, or at an offset, and records what was written of it. */
static ssize_t put(int file, const struct iovec *data, int count, off_t offset) {
  const char *name = of(file);
  if (name && count > 16) abort();
  if (name) pthread_mutex_lock(&lock);
  off_t at = offset >= 0 || !name ? offset : lseek(file, 0, SEEK_CUR);
  ssize_t done = offset >= 0 ? syscall(SYS_pwritev, file, data, count, offset, 0)
                             : syscall(SYS_writev, file, data, count);
  if (name && done > 0) {
    struct iovec parts[16];
    size_t left = (size_t)done;
    int used = 0;
    for (; used < count && left > 0; used++) {
      size_t length = data[used].iov_len < left ? data[used].iov_len : left;
      parts[used] = (struct iovec){data[used].iov_base, length};
      left -= length;
    }
    note('W', name, (uint64_t)at, (uint64_t)done, parts, used);
  }
  if (name) pthread_mutex_unlock(&lock);
  return done;
}

ssize_t write(int file, const void *data, size_t length) {
  if (!of(file)) return syscall(SYS_write, file, data, length);
  return put(file, &(struct iovec){(void *)data, length}, 1, -1);
}
ssize_t pwrite(int file, const void *data, size_t length, off_t offset) {
  return put(file, &(struct iovec){(void *)data, length}, 1, offset);
}
ssize_t pwrite64(int file, const void *data, size_t length, off64_t offset) {
  return put(file, &(struct iovec){(void *)data, length}, 1, offset);
}
ssize_t writev(int file, const struct iovec *data, int count) {
  if (!of(file)) return syscall(SYS_writev, file, data, count);
  return put(file, data, count, -1);
}
ssize_t pwritev(int file, const struct iovec *data, int count, off_t offset) {
  return put(file, data, count, offset);
}
ssize_t pwritev64(int file, const struct iovec *data, int count, off64_t offset) {
  return put(file, data, count, offset);
}

static int cut_to(int file, off_t length) {
  const char *name = of(file);
  if (name) pthread_mutex_lock(&lock);
  int result = (int)syscall(SYS_ftruncate, file, length);
  if (name && result == 0) note('T', name, (uint64_t)length, 0, NULL, 0);
  if (name) pthread_mutex_unlock(&lock);
  return result;
}
int ftruncate(int file, off_t length) { return cut_to(file, length); }
int ftruncate64(int file, off64_t length) { return cut_to(file, length); }

static void synchronising(int file) {
  const char *name = of(file);
  if (!name) return;
  pthread_mutex_lock(&lock);
  note('S', name, 0, 0, NULL, 0);
  pthread_mutex_unlock(&lock);
}
int fsync(int file) {
  synchronising(file);
  return (int)syscall(SYS_fsync, file);
}
int fdatasync(int file) {
  synchronising(file);
  return (int)syscall(SYS_fdatasync, file);
}

int unlink(const char *path) {
  const char *name = known(path);
  if (name) pthread_mutex_lock(&lock);
  int result = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
  if (name && result == 0) note('U', name, 0, 0, NULL, 0);
  if (name) pthread_mutex_unlock(&lock);
  return result;
}

/* Nothing here renames a database, or reserves space for one: who begins to must be recorded too. */
int rename(const char *from, const char *to) {
  if (known(from) || known(to)) abort();
  return (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}
int posix_fallocate(int file, off_t offset, off_t length) {
  if (of(file)) abort();
  return REAL(posix_fallocate)(file, offset, length);
}
