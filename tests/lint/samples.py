# SPDX-License-Identifier: Apache-2.0
"""Samples for the rules' own test: rule, path, content, and whether the rule has to object."""

_HEADER = """#ifndef VMKIT_A_H
#define VMKIT_A_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
%s
#ifdef __cplusplus
}
#endif
#endif
"""

_FUNCTION = """
/**
 * @brief Add.
 * @param one A number.
 * @param two Another.
 * @return The sum.
 * @since 0.1
 */
int
vmkit_add(int one, int two);
"""

_A = "include/vmkit/a.h"
_LEFT = "TO" + "DO"

SAMPLES = [
    ("ranks", "lib/util/a.c", '#include "mem/memory.h"', True),
    ("ranks", "lib/kvm/a.c", '#include "mem/memory.h"', True),
    ("ranks", "lib/mem/a.c", '#include "../util/error.h"', True),
    ("ranks", "lib/cellar/a.c", "int a;", True),
    ("ranks", "lib/vm/a.c", '#include "nowhere/a.h"', True),
    ("ranks", "lib/mem/a.c", '#include "util/error.h"\n#include "mem/memory.h"\n', False),
    ("ranks", "lib/mem/a.c", '/* #include "vm/vm.h" */', False),
    ("ranks", "lib/sandbox/a.c", '#include "usermode_regs.h"', False),
    ("ranks", "lib/mem/a.c", '#include "usermode_regs.h"', True),
    ("fence", "lib/vm/a.c", "#ifdef __x86_64__\n#endif", True),
    ("fence", "lib/vm/a.c", "#if defined(__aarch64__)\n#endif", True),
    ("fence", "lib/sandbox/a.c", '#include "arch/x86_64/gdt.h"', True),
    ("fence", "lib/arch/aarch64/a.c", '#include "arch/x86_64/gdt.h"', True),
    ("fence", "lib/arch/x86_64/a.c", '#include "arch/x86_64/gdt.h"', False),
    ("fence", "lib/kvm/kvm_x86_64.c", "#ifdef __x86_64__\n#endif", False),
    ("fence", "lib/vm/a.c", "/* not on __x86_64__ */", False),
    ("homes", "lib/vm/a.c", "#include <linux/kvm.h>", True),
    ("homes", "lib/disk/a.c", "#include <zlib.h>", True),
    ("homes", "lib/boot/a.c", "#include <libfdt.h>", True),
    ("homes", "lib/vm/a.c", "int r = ioctl(fd, 1, 2);", True),
    ("homes", "lib/kvm/a.c", "#include <linux/kvm.h>\nint r = ioctl(fd, 1, 2);", False),
    ("homes", "lib/sandbox/stream_fd.c", "#include <sys/ioctl.h>\nint r = ioctl(fd, 1, 2);", False),
    ("homes", "lib/sandbox/a.c", "int r = vmk_sys_ioctl(fd, 1, 2);", False),
    ("calls", "lib/vm/a.c", 'printf("x");', True),
    ("calls", "lib/vm/a.c", "fputc('a', stderr);", True),
    ("calls", "lib/vm/a.c", "exit(1);", True),
    ("calls", "lib/vm/a.c", "abort();", True),
    ("calls", "lib/vm/a.c", "signal(2, h);", True),
    ("calls", "lib/vm/a.c", "sigaction(2, &a, 0);", True),
    ("calls", "lib/vm/a.c", 'g_warning("x");', True),
    ("calls", "lib/vm/a.c", "if (fork() == 0)", True),
    ("calls", "lib/vm/a.c", 'snprintf(a, 1, "exit(1)"); /* abort() */', False),
    ("calls", "lib/sandbox/a.c", "vmk_sys_exit(1); ops->kill(vm); p.exit(1);", False),
    ("threads", "lib/vm/vcpu.c", "int r = vmk_thread_start(&thread, run, vcpu);", True),
    ("threads", "lib/vm/machine.c", "int r = vmk_loop_start(loop, name, ret_error);", True),
    ("threads", "lib/io/a.c", "pthread_create(&thread, NULL, run, NULL);", True),
    ("threads", "lib/archive/a.c", "int r = vmk_thread_start(&thread, run, NULL);", False),
    ("threads", "lib/vm/a.c", "/* not vmk_thread_start() */ pthread_join(thread, NULL);", False),
    ("allocation", "lib/vm/a.c", "a = g_malloc(size);", True),
    ("allocation", "lib/vm/a.c", "a = g_new0(struct a, count);", True),
    ("allocation", "lib/vm/a.c", "a = g_renew(struct a, a, 2 * count);", True),
    ("allocation", "lib/vm/a.c", "a = g_strdup(name);", True),
    ("allocation", "lib/vm/a.c", 'g_string_append_printf(a, "%s", name);', True),
    ("allocation", "lib/vm/a.c", "g_autoptr(GHashTable) a = NULL;\ng_hash_table_insert(a, k, v);",
     True),
    ("allocation", "lib/vm/a.c", "g_array_append_val(a, b);", True),
    ("allocation", "lib/vm/a.h", "#define NEW(size) g_slice_alloc(size)", True),
    ("allocation", "lib/vm/a.c", "a = g_ascii_strdown(name, -1);", True),
    ("allocation", "lib/vm/a.c", "a = alloca(size);", True),
    ("allocation", "lib/vm/a.c", "g_autofree char *a = g_try_malloc(size);\ng_free(b);", False),
    ("allocation", "lib/vm/a.c", "a = g_try_new0(struct a, count); g_strlcpy(a, b, c);", False),
    ("allocation", "lib/vm/a.c", "/* not g_malloc() */ a.g_new = 1; b->g_new = 2; big_new();", False),
    ("allocation", "tests/kvm/a.c", "a = g_malloc(size);", False),
    ("contents", _A, _HEADER % "#include <glib.h>", True),
    ("contents", _A, _HEADER % "#include <linux/kvm.h>", True),
    ("contents", _A, _HEADER % "int vmkit_a(off_t offset);", True),
    ("contents", _A, _HEADER % "int vmkit_a(unsigned long offset);", True),
    ("contents", _A, _HEADER % "int vmkit_a(gboolean yes);", True),
    ("contents", _A, _HEADER % "static inline int a(void) { return 1; }", True),
    ("contents", "include/vmkit/guest.h",
     _HEADER.replace("_A_", "_GUEST_") % "static inline int a(void) { return 1; }", False),
    ("contents", "include/vmkit/guest.h",
     _HEADER.replace("_A_", "_GUEST_") % "int vmkit_a(bool yes);", True),
    ("contents", _A, _HEADER % "int vmkit_a(const char *format, ...);", True),
    ("contents", _A, _HEADER % "struct vmkit_a {\n    uint32_t one : 1;\n};", True),
    ("contents", _A, _HEADER % "int vmkit_a(struct vmkit_b b);", True),
    ("contents", _A, "int vmkit_a(void);\n", True),
    ("contents", _A, _HEADER.replace('extern "C" {', "") % "\nint\nvmkit_a(void);", True),
    ("contents", _A, _HEADER % "/* as long as it is inline ... */\nint vmkit_a(uint64_t a);", False),
    ("comments", _A, _HEADER % "\nint\nvmkit_add(int one, int two);", True),
    ("comments", _A, _HEADER % _FUNCTION.replace(" * @since 0.1\n", ""), True),
    ("comments", _A, _HEADER % _FUNCTION.replace(" * @return The sum.\n", ""), True),
    ("comments", _A, _HEADER % _FUNCTION.replace("@param two", "@param three"), True),
    ("comments", _A, _HEADER % _FUNCTION.replace("@brief", ""), True),
    ("comments", _A, _HEADER % _FUNCTION, False),
    ("formatting", "lib/vm/a.c", "int a( void )\n{\n}\n", True),
    ("formatting", "lib/vm/a.c", "int\na(void)\n{\n}\n", False),
    ("whitespace", "lib/vm/a.c", "int a; \n", True),
    ("whitespace", "lib/vm/a.c", "\tint a;\n", True),
    ("whitespace", "lib/vm/a.c", "int a;", True),
    ("whitespace", "lib/vm/a.c", "int a;\n", False),
    ("length", "lib/vm/a.c", "int a;\n" * 701, True),
    ("length", "lib/vm/a.c", "int a;\n" * 700, False),
    ("words", "lib/vm/a.c", f"/* {_LEFT}: more */", True),
    ("words", "tests/run", f"# see {_LEFT}", True),
    ("words", "lib/vm/a.c", "/* the hackers' method */", False),
    ("licence", "lib/vm/a.c", "int a;\n", True),
    ("licence", "lib/vm/a.c", "/* SPDX-License-Identifier: Apache-2.0 */\n", False),
    ("errors", "examples/a.c", "check(vmkit_a(&error),\n      error);", True),
    ("errors", "doc/a.md", "ok = good(vmkit_a(1, &error), error, 2);", True),
    ("errors", "examples/a.c", "check(vmkit_a(&error), &error);", False),
    ("errors", "lib/vm/a.c", "result = vmk_a(b, error);\ncheck(&error); f(error);", False),
    ("shell", "tests/a", "#!/bin/bash\ncd $1\n", True),
    ("shell", "tests/a", '#!/bin/bash\nread -r a\necho "$a"\n', False),
]
