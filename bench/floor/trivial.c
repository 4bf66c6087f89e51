/*
 * The smallest program there is: exit(0) by a raw system call, no libc start-up.
 * cc -O2 -static -nostdlib -nostartfiles; where that does not link, cc -O2 -static -DWITH_LIBC.
 */
#ifdef WITH_LIBC
int main(void) { return 0; }
#elif defined(__x86_64__)
__attribute__((noreturn)) void _start(void) {
  __asm__ volatile("mov $231, %eax\n\txor %edi, %edi\n\tsyscall\n\thlt");
  __builtin_unreachable();
}
#elif defined(__aarch64__)
__attribute__((noreturn)) void _start(void) {
  __asm__ volatile("mov x8, #94\n\tmov x0, #0\n\tsvc #0\n\tbrk #0");
  __builtin_unreachable();
}
#else
#error "build with -DWITH_LIBC"
#endif
