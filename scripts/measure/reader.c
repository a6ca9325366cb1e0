// The reader of the benchmark: does one thing to files, as fast as the kernel lets it, and prints
// what it took as one line of JSON. Times only the work itself, not reading the list of paths.
//
//   reader epoch LIST SEED [warm]      open, read whole and close every file, in random order
//   reader stat LIST SEED [warm]       stat every file, in random order
//   reader readdir DIR...              read every entry of the directories, twice: first and again
//   reader sequential FILE [warm]      read a file from start to end, 1 MiB at a time
//   reader mapped FILE [warm]          map a file and look at every word of it
//   reader random FILE THREADS COUNT SEED [warm]    pread COUNT times 4 KiB in each thread
//
// "warm" does it once before the measured time. LIST holds paths, each ended by a NUL.

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { kBlock = 1 << 20, kPage = 4096 };

struct Result {
  uint64_t ns;
  uint64_t count;
  uint64_t bytes;
};

static void Die(const char* what) {
  fprintf(stderr, "reader: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// xorshift64*: the order must be the same for every file system, not good.
static uint64_t Next(uint64_t* state) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * 2685821657736338717u;
}

struct List {
  char** paths;
  size_t count;
};

static struct List ReadList(const char* path, uint64_t seed) {
  int fd = open(path, O_RDONLY);
  struct stat status;
  if (fd < 0 || fstat(fd, &status) != 0) Die(path);
  size_t size = (size_t)status.st_size;
  char* text = malloc(size + 1);
  for (size_t done = 0; done < size;) {
    ssize_t got = read(fd, text + done, size - done);
    if (got <= 0) Die(path);
    done += (size_t)got;
  }
  close(fd);
  struct List list = {NULL, 0};
  for (size_t at = 0; at < size; at++) list.count += text[at] == 0;
  list.paths = malloc((list.count + 1) * sizeof(char*));
  size_t index = 0;
  for (size_t at = 0; at < size; at += strlen(text + at) + 1) list.paths[index++] = text + at;
  uint64_t state = seed * 2 + 1;
  for (size_t left = list.count; left > 1; left--) {
    size_t other = Next(&state) % left;
    char* kept = list.paths[left - 1];
    list.paths[left - 1] = list.paths[other];
    list.paths[other] = kept;
  }
  return list;
}

static struct Result Epoch(struct List list) {
  char* buffer = malloc(kBlock);
  struct Result result = {0, list.count, 0};
  uint64_t start = Now();
  for (size_t index = 0; index < list.count; index++) {
    int fd = open(list.paths[index], O_RDONLY);
    if (fd < 0) Die(list.paths[index]);
    ssize_t got;
    while ((got = read(fd, buffer, kBlock)) > 0) result.bytes += (uint64_t)got;
    if (got < 0) Die(list.paths[index]);
    close(fd);
  }
  result.ns = Now() - start;
  return result;
}

static struct Result Stat(struct List list) {
  struct Result result = {0, list.count, 0};
  uint64_t start = Now();
  for (size_t index = 0; index < list.count; index++) {
    struct stat status;
    if (stat(list.paths[index], &status) != 0) Die(list.paths[index]);
    result.bytes += (uint64_t)status.st_size;
  }
  result.ns = Now() - start;
  return result;
}

static struct Result Readdir(char** dirs, int count) {
  struct Result result = {0, 0, 0};
  uint64_t start = Now();
  for (int index = 0; index < count; index++) {
    DIR* dir = opendir(dirs[index]);
    if (dir == NULL) Die(dirs[index]);
    while (readdir(dir) != NULL) result.count++;
    closedir(dir);
  }
  result.ns = Now() - start;
  return result;
}

static struct Result Sequential(const char* path) {
  char* buffer = malloc(kBlock);
  struct Result result = {0, 1, 0};
  uint64_t start = Now();
  int fd = open(path, O_RDONLY);
  if (fd < 0) Die(path);
  ssize_t got;
  while ((got = read(fd, buffer, kBlock)) > 0) result.bytes += (uint64_t)got;
  if (got < 0) Die(path);
  close(fd);
  result.ns = Now() - start;
  return result;
}

static struct Result Mapped(const char* path) {
  struct Result result = {0, 1, 0};
  uint64_t start = Now();
  int fd = open(path, O_RDONLY);
  struct stat status;
  if (fd < 0 || fstat(fd, &status) != 0) Die(path);
  size_t size = (size_t)status.st_size;
  const uint64_t* words = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
  if (words == MAP_FAILED) Die(path);
  uint64_t sum = 0;
  for (size_t index = 0; index < size / sizeof(uint64_t); index++) sum += words[index];
  // Or the compiler would see that nobody looks at the words.
  *(volatile uint64_t*)&result.count = 1 + (sum == 42);
  munmap((void*)words, size);
  close(fd);
  result.bytes = size;
  result.ns = Now() - start;
  return result;
}

struct Randomly {
  const char* path;
  uint64_t count;
  uint64_t seed;
};

static void* RandomThread(void* argument) {
  const struct Randomly* job = argument;
  char buffer[kPage];
  int fd = open(job->path, O_RDONLY);
  struct stat status;
  if (fd < 0 || fstat(fd, &status) != 0) Die(job->path);
  uint64_t pages = (uint64_t)status.st_size / kPage;
  uint64_t state = job->seed * 2 + 1;
  for (uint64_t index = 0; index < job->count; index++) {
    off_t offset = (off_t)(Next(&state) % pages * kPage);
    if (pread(fd, buffer, kPage, offset) != kPage) Die(job->path);
  }
  close(fd);
  return NULL;
}

static struct Result Randomly(const char* path, int threads, uint64_t count, uint64_t seed) {
  pthread_t* ids = malloc((size_t)threads * sizeof(pthread_t));
  struct Randomly* jobs = malloc((size_t)threads * sizeof(struct Randomly));
  struct Result result = {0, count * (uint64_t)threads, count * (uint64_t)threads * kPage};
  uint64_t start = Now();
  for (int index = 0; index < threads; index++) {
    jobs[index] = (struct Randomly){path, count, seed + (uint64_t)index};
    if (pthread_create(&ids[index], NULL, RandomThread, &jobs[index]) != 0) Die("pthread_create");
  }
  for (int index = 0; index < threads; index++) pthread_join(ids[index], NULL);
  result.ns = Now() - start;
  return result;
}

static void Print(const char* name, struct Result result) {
  printf("{\"pass\":\"%s\",\"ns\":%llu,\"count\":%llu,\"bytes\":%llu}\n", name,
         (unsigned long long)result.ns, (unsigned long long)result.count,
         (unsigned long long)result.bytes);
}

int main(int argc, char** argv) {
  const char* verb = argc > 2 ? argv[1] : "";
  int warm = argc > 3 && strcmp(argv[argc - 1], "warm") == 0;
  if (strcmp(verb, "readdir") == 0) {
    Print("first", Readdir(argv + 2, argc - 2));
    Print("again", Readdir(argv + 2, argc - 2));
    return 0;
  }
  for (int left = warm; left >= 0; left--) {
    struct Result result;
    if (strcmp(verb, "epoch") == 0 && argc > 3) {
      result = Epoch(ReadList(argv[2], strtoull(argv[3], NULL, 10)));
    } else if (strcmp(verb, "stat") == 0 && argc > 3) {
      result = Stat(ReadList(argv[2], strtoull(argv[3], NULL, 10)));
    } else if (strcmp(verb, "sequential") == 0) {
      result = Sequential(argv[2]);
    } else if (strcmp(verb, "mapped") == 0) {
      result = Mapped(argv[2]);
    } else if (strcmp(verb, "random") == 0 && argc > 5) {
      uint64_t seed = strtoull(argv[5], NULL, 10);
      // Other pages than measured would leave the measured ones cold.
      result = Randomly(argv[2], atoi(argv[3]), strtoull(argv[4], NULL, 10), seed);
    } else {
      fprintf(stderr, "usage: see the top of reader.c\n");
      return 2;
    }
    if (left == 0) Print("measured", result);
  }
  return 0;
}
