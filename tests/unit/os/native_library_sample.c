/* A library for native_library_test.cc. */
extern int given(int);
extern int missing(int) __attribute__((weak));
__attribute__((visibility("default"))) int shadowed(int value) { return value + 1; }

static int counter = 40;
static int zeros[2000];

static int add(int value) {
  counter += value;
  zeros[1999] += counter;
  return zeros[1999];
}

struct sample {
  int magic;
  int (*add)(int);
  int (*given)(int);
  int (*missing)(int);
  int (*shadowed)(int);
  const int* counter;
};

__attribute__((visibility("default"))) const struct sample sample_entry = {
    0x5A4D504C, add, given, missing, shadowed, &counter};
