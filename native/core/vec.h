// A growable array of trivially copyable values over malloc. Core may not use allocating std containers: the guardian
// links without a C++ runtime. A failed allocation aborts: the sizes here are small and there is no way to go on.
#pragma once
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

namespace procgroup {

// Placement new without <new>: new (Place{memory}) T.
struct Place {
  void* at;
};
}  // namespace procgroup

inline void* operator new(size_t, procgroup::Place place) noexcept { return place.at; }

namespace procgroup {

template <typename T>
class Vec {
  static_assert(__is_trivially_copyable(T), "Vec moves its values with memcpy");

 public:
  Vec() = default;
  Vec(const Vec&) = delete;
  Vec& operator=(const Vec&) = delete;
  Vec(Vec&& other) noexcept { swap(other); }
  Vec& operator=(Vec&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Vec() { free(data_); }

  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  T* data() { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T& back() { return data_[size_ - 1]; }

  void push(const T& value) {
    T copy = value;  // `value` may live in this array
    reserve(size_ + 1);
    data_[size_++] = copy;
  }
  void pop() { --size_; }
  void clear() { size_ = 0; }
  void truncate(size_t n) {
    if (n < size_) size_ = n;
  }
  void remove_front(size_t n) {
    if (n == 0) return;
    memmove(static_cast<void*>(data_), data_ + n, (size_ - n) * sizeof(T));
    size_ -= n;
  }
  // Order is not kept.
  void remove_swap(size_t i) { data_[i] = data_[--size_]; }
  void reserve(size_t n) {
    if (n <= capacity_) return;
    size_t capacity = capacity_ == 0 ? 8 : capacity_;
    while (capacity < n) capacity *= 2;
    void* grown = realloc(static_cast<void*>(data_), capacity * sizeof(T));
#ifdef PROCGROUP_GUARDIAN
    if (grown == nullptr) __builtin_trap();
#else
    if (grown == nullptr) abort();
#endif
    data_ = static_cast<T*>(grown);
    capacity_ = capacity;
  }
  void resize(size_t n) {
    reserve(n);
    if (n > size_) memset(static_cast<void*>(data_ + size_), 0, (n - size_) * sizeof(T));
    size_ = n;
  }
  void swap(Vec& other) noexcept {
    T* data = data_;
    size_t size = size_, capacity = capacity_;
    data_ = other.data_, size_ = other.size_, capacity_ = other.capacity_;
    other.data_ = data, other.size_ = size, other.capacity_ = capacity;
  }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace procgroup
