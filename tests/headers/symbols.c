/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a binding does: opens the shared library by its soname and looks every function up. The
 * arguments are the library's path, its soname and the names, which the build reads off the
 * headers.
 */
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

static int number;

static int
report(int good, const char *what, const char *name)
{
    printf("%sok %d - %s %s\n", good ? "" : "not ", ++number, what, name);
    return good;
}

/* Whether a symbol comes from the library itself: dlsym() also looks through what it depends on. */
static int
is_inside(void *symbol, const char *soname)
{
    Dl_info info;

    return symbol != NULL && dladdr(symbol, &info) != 0 && strstr(info.dli_fname, soname) != NULL;
}

int
main(int argc, char **argv)
{
    int good = 1;
    void *library;
    uint32_t (*get_version)(void);

    if (argc < 4) {
        fputs("usage: symbols LIBRARY SONAME NAME...\n", stderr);
        return 2;
    }
    printf("1..%d\n", argc);
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        printf("not ok 1 - dlopen: %s\n", dlerror());
        return 1;
    }
    good &= report(1, "dlopen opens", argv[2]);
    for (int i = 3; i < argc; i++)
        good &= report(is_inside(dlsym(library, argv[i]), argv[2]), "resolves", argv[i]);

    *(void **)&get_version = dlsym(library, "vmkit_get_version");
    good &= report(get_version != NULL && get_version() != 0, "calls", "vmkit_get_version");
    /* Internal names stay inside. */
    good &= report(dlsym(library, "vmk_error_set") == NULL, "hides", "vmk_error_set");
    return good ? 0 : 1;
}
