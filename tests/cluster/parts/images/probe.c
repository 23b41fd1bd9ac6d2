// What the cluster's own test does from inside of a pod.
//   probe network      resolves a name, and shows that nothing outside is reached
//   probe say WORD     prints the word
//   probe serve PORT   answers every connection with "hello" until it is ended
//   probe fetch HOST PORT  prints what such a server answers
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int fail(const char *what) { perror(what); return 1; }

static int resolve(const char *host, struct sockaddr_in *address) {
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
  int error = getaddrinfo(host, NULL, &hints, &found);
  if (error != 0) {
    fprintf(stderr, "%s: %s\n", host, gai_strerror(error));
    return 1;
  }
  *address = *(struct sockaddr_in *)found->ai_addr;
  return 0;
}

static int network(void) {
  struct sockaddr_in address;
  const char *name = "kubernetes.default.svc.cluster.local";
  if (resolve(name, &address) != 0) return 1;
  printf("%s %s\n", name, inet_ntoa(address.sin_addr));
  // An address from documentation: no machine has it, and no route may lead there.
  inet_aton("192.0.2.1", &address.sin_addr);
  address.sin_port = htons(80);
  errno = 0;
  connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address);
  printf("outside: %s\n", strerror(errno));
  return errno == ENETUNREACH ? 0 : 1;
}

static int serve(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0) return fail("bind");
  if (listen(listener, 16) != 0) return fail("listen");
  signal(SIGTERM, exit);
  for (;;) {
    int caller = accept(listener, NULL, NULL);
    if (caller < 0 || write(caller, "hello\n", 6) != 6) return fail("answer");
    close(caller);
  }
}

static int fetch(const char *host, int port) {
  struct sockaddr_in address;
  char answer[64];
  ssize_t size;
  int server = socket(AF_INET, SOCK_STREAM, 0);
  if (resolve(host, &address) != 0) return 1;
  address.sin_port = htons(port);
  if (connect(server, (struct sockaddr *)&address, sizeof address) != 0) return fail("connect");
  while ((size = read(server, answer, sizeof answer)) > 0) fwrite(answer, 1, size, stdout);
  return 0;
}

int main(int count, char **words) {
  const char *task = count > 1 ? words[1] : "";
  if (strcmp(task, "network") == 0) return network();
  if (strcmp(task, "say") == 0 && count > 2) return puts(words[2]) < 0;
  if (strcmp(task, "serve") == 0 && count > 2) return serve(atoi(words[2]));
  if (strcmp(task, "fetch") == 0 && count > 3) return fetch(words[2], atoi(words[3]));
  fprintf(stderr, "usage: probe network | say WORD | serve PORT | fetch HOST PORT\n");
  return 2;
}
