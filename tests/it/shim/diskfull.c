/* A disk that is full, or fails, for some files while a test says so.
 *
 * The file named by SHIM_DISK holds lines of a fault and the beginning of a file's name, such as
 * "full log.db", or all of it, "full log.db$", read anew at each call. "full": what would make such a file longer is ENOSPC, as on
 * a real disk, where bytes that are there can be written over; "full log.db-wal 300000" lets it have
 * so many bytes first. "io": writing and synchronising is EIO. "sync": only synchronising is.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int read_text(char *text, size_t room) {
  const char *path = getenv("SHIM_DISK");
  int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return 0;
  ssize_t length = syscall(SYS_read, file, text, room - 1);
  syscall(SYS_close, file);
  if (length <= 0) return 0;
  text[length] = 0;
  return 1;
}

/* Whether that fault is on for the file behind a descriptor, and how many bytes it may have. */
static int fails(const char *fault, int file, long long *room) {
  char text[256], link[64], path[4096];
  int saved = errno;
  if (!read_text(text, sizeof text)) return errno = saved, 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  errno = saved;
  if (length <= 0) return 0;
  path[length] = 0;
  const char *name = strrchr(path, '/');
  char *rest = NULL;
  for (char *line = strtok_r(text, "\n", &rest); name && line; line = strtok_r(NULL, "\n", &rest)) {
    char kind[16], wanted[128];
    *room = 0;
    if (sscanf(line, "%15s %127s %lld", kind, wanted, room) < 2 || strcmp(kind, fault)) continue;
    size_t count = strlen(wanted);
    int whole = wanted[count - 1] == '$';
    if (whole) wanted[--count] = 0;
    if (strncmp(name + 1, wanted, count)) continue;
    if (!whole || strlen(name + 1) == count) return 1;
  }
  return 0;
}

static int write_fault(int file, off_t at, size_t length) {
  struct stat state;
  long long room;
  if (fails("io", file, &room)) return EIO;
  if (!fails("full", file, &room) || fstat(file, &state) != 0 || !S_ISREG(state.st_mode)) return 0;
  if (at < 0) at = lseek(file, 0, SEEK_CUR);
  off_t end = at + (off_t)length;
  return end > state.st_size && end > room ? ENOSPC : 0;
}

static int sync_fault(int file) {
  long long room;
  return fails("io", file, &room) || fails("sync", file, &room);
}

#define REAL(type, name, ...)                                   \
  static type (*real)(__VA_ARGS__);                             \
  if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

ssize_t write(int file, const void *bytes, size_t length) {
  REAL(ssize_t, "write", int, const void *, size_t);
  int fault = write_fault(file, -1, length);
  return fault ? (errno = fault, -1) : real(file, bytes, length);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t at) {
  REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
  int fault = write_fault(file, at, length);
  return fault ? (errno = fault, -1) : real(file, bytes, length, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t at) {
  REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
  int fault = write_fault(file, at, length);
  return fault ? (errno = fault, -1) : real(file, bytes, length, at);
}

int fsync(int file) {
  REAL(int, "fsync", int);
  return sync_fault(file) ? (errno = EIO, -1) : real(file);
}

int fdatasync(int file) {
  REAL(int, "fdatasync", int);
  return sync_fault(file) ? (errno = EIO, -1) : real(file);
}
