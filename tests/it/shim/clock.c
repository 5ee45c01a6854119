/* A wall clock that a test steps while the program runs.
 *
 * CLOCK_REALTIME is moved by the milliseconds that the file named by SHIM_CLOCK holds as text, read
 * anew at each call; the monotonic clocks stay true, as they do when a person or NTP sets the time.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long long step_ms(void) {
  char text[32];
  const char *path = getenv("SHIM_CLOCK");
  int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return 0;
  ssize_t length = syscall(SYS_read, file, text, sizeof text - 1);
  syscall(SYS_close, file);
  if (length <= 0) return 0;
  text[length] = 0;
  return atoll(text);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, time);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    long long ms = step_ms();
    time->tv_sec += ms / 1000;
    time->tv_nsec += (ms % 1000) * 1000000;
    while (time->tv_nsec < 0) time->tv_nsec += 1000000000, time->tv_sec--;
    while (time->tv_nsec >= 1000000000) time->tv_nsec -= 1000000000, time->tv_sec++;
  }
  return result;
}
