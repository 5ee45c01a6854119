/* A system that lets a process have few threads.
 *
 * SHIM_THREADS is how many may live at a time beside the first one, or a file that holds that number
 * as text, read anew at each call; above it pthread_create fails with EAGAIN, as it does at
 * RLIMIT_NPROC or a cgroup's pids.max. A thread that has ended makes room.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int alive;

static int most(void) {
  char text[32];
  const char *given = getenv("SHIM_THREADS");
  if (!given) return 1 << 20;
  if (*given != '/') return atoi(given);
  int file = (int)syscall(SYS_openat, AT_FDCWD, given, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 1 << 20;
  ssize_t length = syscall(SYS_read, file, text, sizeof text - 1);
  syscall(SYS_close, file);
  text[length > 0 ? length : 0] = 0;
  return atoi(text);
}

struct start {
  void *(*run)(void *);
  void *argument;
};

static void ended(void *unused) {
  (void)unused;
  __atomic_sub_fetch(&alive, 1, __ATOMIC_SEQ_CST);
}

static void *begin(void *given) {
  struct start start = *(struct start *)given;
  void *result;
  free(given);
  pthread_cleanup_push(ended, NULL);
  result = start.run(start.argument);
  pthread_cleanup_pop(1);
  return result;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *argument) {
  static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  if (!real)
    real = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(
        RTLD_NEXT, "pthread_create");
  struct start *start = malloc(sizeof *start);
  if (!start) return EAGAIN;
  *start = (struct start){run, argument};
  if (__atomic_add_fetch(&alive, 1, __ATOMIC_SEQ_CST) > most()) {
    ended(NULL);
    free(start);
    return EAGAIN;
  }
  int result = real(thread, attributes, begin, start);
  if (result != 0) {
    ended(NULL);
    free(start);
  }
  return result;
}
