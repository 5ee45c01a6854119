/* A resolver that a test scripts by the names it asks for.
 *
 * Names that end in the suffix in SHIM_NAMES are answered here, by their first label: "ok" is
 * 127.0.0.1; "slow" is the same after 1 s; "never" (or "never-7") waits for ever; "none" does not
 * exist; "again" is a name server that does not answer; "crowd" has a thousand addresses of
 * loopback, 127.1.0.1 on; "empty" has none. All other names go to the C library. Each address is one
 * allocation, as glibc makes it, so that its freeaddrinfo can be used.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int starts(const char *name, const char *label) {
  size_t length = strlen(label);
  return strncmp(name, label, length) == 0 && strchr(".-", name[length]) != NULL;
}

static struct addrinfo *address(unsigned host) {
  struct addrinfo *info = calloc(1, sizeof *info + sizeof(struct sockaddr_in));
  if (!info) return NULL;
  struct sockaddr_in *to = (struct sockaddr_in *)(info + 1);
  to->sin_family = AF_INET;
  to->sin_addr.s_addr = htonl(host);
  info->ai_family = AF_INET;
  info->ai_socktype = SOCK_STREAM;
  info->ai_addrlen = sizeof *to;
  info->ai_addr = (struct sockaddr *)to;
  return info;
}

static int answer(const char *name, struct addrinfo **found) {
  if (starts(name, "never")) for (;;) pause();
  if (starts(name, "none")) return EAI_NONAME;
  if (starts(name, "again")) return EAI_AGAIN;
  if (starts(name, "slow")) sleep(1);
  unsigned first = starts(name, "crowd") ? 0x7f010001 : INADDR_LOOPBACK;
  unsigned count = starts(name, "crowd") ? 1000 : starts(name, "empty") ? 0 : 1;
  struct addrinfo **end = found;
  *end = NULL;
  for (unsigned n = 0; n < count; n++) {
    if (!(*end = address(first + n))) return EAI_MEMORY;
    end = &(*end)->ai_next;
  }
  return 0;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
  static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
  const char *suffix = getenv("SHIM_NAMES");
  size_t length = name ? strlen(name) : 0, tail = suffix ? strlen(suffix) : 0;
  if (tail > 0 && length > tail && strcmp(name + length - tail, suffix) == 0)
    return answer(name, found);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
  return real(name, service, hints, found);
}
