// For scripts/test-musl.mjs alone: lets a libstdc++ that was built for glibc load under musl. It stands in libstdc++'s
// place and needs the real one. Of locales there is what a C locale needs.
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

const unsigned short** __ctype_b_loc(void);
const int** __ctype_tolower_loc(void);
const int** __ctype_toupper_loc(void);

char __libc_single_threaded = 0;
unsigned int __cpu_model[8];
int __cpu_indicator_init(void) { return 0; }

// -1: nothing found. The unwinder then asks dl_iterate_phdr.
int _dl_find_object(void* address, void* result) {
  (void)address;
  (void)result;
  return -1;
}

unsigned int arc4random(void) {
  unsigned int value = 0;
  if (getrandom(&value, sizeof value, 0) != sizeof value) abort();
  return value;
}

unsigned long __isoc23_strtoul(const char* text, char** end, int base) { return strtoul(text, end, base); }

size_t __strftime_l(char* out, size_t size, const char* format, const struct tm* tm, locale_t locale) {
  return strftime_l(out, size, format, tm, locale);
}

__float128 strtof128(const char* text, char** end) { return strtold(text, end); }

int strfromf128(char* out, size_t size, const char* format, __float128 value) {
  (void)format;
  return snprintf(out, size, "%Lg", (long double)value);
}

// glibc's locale: pointers to the categories first, as in musl, then the tables of ctype at these words.
enum { CATEGORIES = 6, WORDS = 32, CTYPE_B = 13, CTYPE_LOWER = 14, CTYPE_UPPER = 15 };

static locale_t shaped(locale_t from) {
  void** words = calloc(WORDS, sizeof *words);
  if (words == NULL || from == NULL) return from;
  memcpy(words, (void*)from, CATEGORIES * sizeof *words);
  words[CTYPE_B] = (void*)*__ctype_b_loc();
  words[CTYPE_LOWER] = (void*)*__ctype_tolower_loc();
  words[CTYPE_UPPER] = (void*)*__ctype_toupper_loc();
  return (locale_t)words;
}

// The base is ours, and is changed in place.
locale_t __newlocale(int mask, const char* name, locale_t base) {
  locale_t made = newlocale(mask, name, base);
  return made == NULL || made == base ? made : shaped(made);
}

locale_t __duplocale(locale_t locale) { return shaped(locale == LC_GLOBAL_LOCALE ? duplocale(locale) : locale); }

// Destructors of a thread's objects, last one first.
struct entry {
  void (*destroy)(void*);
  void* object;
  struct entry* next;
};

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void run_all(void* list) {
  for (struct entry* entry = list; entry != NULL;) {
    struct entry* next = entry->next;
    entry->destroy(entry->object);
    free(entry);
    entry = next;
  }
}

static void make_key(void) { pthread_key_create(&key, run_all); }

int __cxa_thread_atexit_impl(void (*destroy)(void*), void* object, void* library) {
  (void)library;
  pthread_once(&once, make_key);
  struct entry* entry = malloc(sizeof *entry);
  if (entry == NULL) return -1;
  *entry = (struct entry){destroy, object, pthread_getspecific(key)};
  return pthread_setspecific(key, entry);
}
