// Text for paths, without stdio.
#pragma once
#include <stdint.h>

#include "vec.h"

namespace procgroup {

inline void append(const char* text, Vec<char>* out) {
  for (; *text != 0; text++) out->push(*text);
}

inline void append_number(uint64_t number, Vec<char>* out) {
  char digits[20];
  int n = 0;
  do digits[n++] = static_cast<char>('0' + number % 10);
  while ((number /= 10) != 0);
  while (n > 0) out->push(digits[--n]);
}

}  // namespace procgroup
