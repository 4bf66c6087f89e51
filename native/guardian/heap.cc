// malloc(3) for one thread and a few growing arrays, in place of musl's: a sixth of the code, and fewer pages touched.
// Small blocks come from lists by size, large ones are mappings of their own, which free() gives back. Built with musl
// only: other libcs and the sanitizers keep their own.
#include <features.h>
#ifndef __GLIBC__

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

namespace {

struct Block {
  size_t size;  // with this header: a power of two, or the length of a mapping
  Block* next;  // while it is free; keeps what follows aligned as malloc promises
};

constexpr size_t kSmallest = 32, kLargestSmall = 1024, kChunk = 8192, kPage = 4096, kClasses = 6;

Block* unused[kClasses];
alignas(Block) char first_chunk[2048];  // beside the other variables, in the page that is written anyway
char* fresh = first_chunk;
size_t fresh_size = sizeof first_chunk;

size_t round_up(size_t size, size_t unit) { return (size + unit - 1) & ~(unit - 1); }

void* map(size_t size) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

Block* small(size_t size, size_t list) {
  Block* block = unused[list];
  if (block != nullptr) {
    unused[list] = block->next;
    return block;
  }
  if (fresh_size < size) {  // what is left of the last chunk is lost
    fresh = static_cast<char*>(map(kChunk));
    fresh_size = fresh == nullptr ? 0 : kChunk;
    if (fresh == nullptr) return nullptr;
  }
  block = reinterpret_cast<Block*>(fresh);
  fresh += size, fresh_size -= size;
  return block;
}

Block* block_of(void* memory) { return static_cast<Block*>(memory) - 1; }

}  // namespace

extern "C" void* malloc(size_t wanted) {
  if (wanted > PTRDIFF_MAX - kPage) {
    errno = ENOMEM;
    return nullptr;
  }
  size_t size = kSmallest, list = 0;
  while (size < wanted + sizeof(Block) && size <= kLargestSmall) size *= 2, list++;
  if (size > kLargestSmall) size = round_up(wanted + sizeof(Block), kPage);
  Block* block = size > kLargestSmall ? static_cast<Block*>(map(size)) : small(size, list);
  if (block == nullptr) return nullptr;
  block->size = size;
  return block + 1;
}

extern "C" void free(void* memory) {
  if (memory == nullptr) return;
  Block* block = block_of(memory);
  if (block->size > kLargestSmall) {
    munmap(block, block->size);
    return;
  }
  size_t list = 0;
  for (size_t size = kSmallest; size < block->size; size *= 2) list++;
  block->next = unused[list];
  unused[list] = block;
}

extern "C" void* realloc(void* memory, size_t wanted) {
  if (memory == nullptr) return malloc(wanted);
  size_t held = block_of(memory)->size - sizeof(Block);
  if (wanted <= held) return memory;
  void* moved = malloc(wanted);
  if (moved == nullptr) return nullptr;
  memcpy(moved, memory, held);
  free(memory);
  return moved;
}

#endif
