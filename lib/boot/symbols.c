/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over the symbol table fills an array of entries and a hash table of their names, so that
 * a lookup costs next to nothing. The file may be made to cost much instead: names that overlap in
 * the string table, or that share their hash. Both are counted, and refused beyond what any linker
 * writes.
 */
#include "boot/symbols.h"

#include "util/checked.h"
#include "util/error.h"

#include <elf.h>
#include <errno.h>
#include <glib.h>
#include <stdatomic.h>
#include <string.h>
#include <strings.h>

#define SECTIONS_AT_ONCE 64
#define MAX_SECTIONS (UINT64_C(1) << 20)
#define MAX_TABLE (UINT64_C(64) << 20)
#define MAX_SUGGESTION 128

#define BAD(file, ret_error, format, ...)                                                 \
    vmk_error_set(ret_error, ENOEXEC, VMKIT_ERROR_BAD_IMAGE, "%s: " format, (file)->name, \
                  ##__VA_ARGS__)

struct entry {
    struct vmk_symbol symbol;
    uint32_t name; /* Offset in the strings. */
    uint8_t rank;  /* A global name hides a weak one, and that one a local one. */
};

struct vmk_symbols {
    atomic_uint references;
    char *strings;
    struct entry *entries;
    size_t count;
    uint32_t *slots; /* Index of an entry + 1, or 0; at least half of them are 0. */
    size_t slot_count;
};

struct reader {
    const struct vmk_boot_file *file;
    const struct vmk_elf *elf;
    Elf64_Ehdr header;
    uint64_t section_count;
    Elf64_Shdr table;
    Elf64_Shdr strings;
    struct vmk_symbols *symbols;
    size_t characters; /* Of all names up to now, */
    size_t probes;     /* and steps in the hash table. */
};

static int
read_part(const struct reader *reader, void *buffer, size_t size, uint64_t offset, const char *what,
          vmkit_error **ret_error)
{
    int r = vmk_boot_file_read(reader->file, buffer, size, offset);
    if (r == -ENODATA)
        return BAD(reader->file, ret_error, "the file ends inside of its %s", what);
    if (r < 0)
        return vmk_error_set_known(ret_error, -r, VMK_ERRNO(ENOMEM), VMKIT_ERROR_IO,
                                   "%s: reading the %s", reader->file->name, what);
    return 0;
}

static int
read_header(struct reader *reader, vmkit_error **ret_error)
{
    Elf64_Ehdr *header = &reader->header;
    int r = read_part(reader, header, sizeof *header, 0, "ELF header", ret_error);
    if (r < 0 || header->e_shoff == 0)
        return r;
    if (header->e_shentsize != sizeof(Elf64_Shdr))
        return BAD(reader->file, ret_error, "section headers of %u bytes instead of %zu",
                   header->e_shentsize, sizeof(Elf64_Shdr));
    reader->section_count = header->e_shnum;
    if (header->e_shnum == 0) {
        /* More than the field can say: the first section says it. */
        Elf64_Shdr first;
        r = read_part(reader, &first, sizeof first, header->e_shoff, "section headers", ret_error);
        if (r < 0)
            return r;
        reader->section_count = first.sh_size;
    }
    if (reader->section_count > MAX_SECTIONS)
        return BAD(reader->file, ret_error, "%llu sections, more than %llu",
                   (unsigned long long)reader->section_count, (unsigned long long)MAX_SECTIONS);
    return 0;
}

/* The symbol table, or else the one for dynamic linking. Its type stays SHT_NULL when there is
 * none. */
static int
find_table(struct reader *reader, vmkit_error **ret_error)
{
    Elf64_Shdr sections[SECTIONS_AT_ONCE];
    for (uint64_t i = 0; i < reader->section_count; i++) {
        if (i % SECTIONS_AT_ONCE == 0) {
            uint64_t count = MIN(reader->section_count - i, SECTIONS_AT_ONCE), offset;
            if (!vmk_add_u64(reader->header.e_shoff, i * sizeof sections[0], &offset))
                return BAD(reader->file, ret_error, "the file ends inside of its section headers");
            int r = read_part(reader, sections, count * sizeof sections[0], offset,
                              "section headers", ret_error);
            if (r < 0)
                return r;
        }
        const Elf64_Shdr *section = &sections[i % SECTIONS_AT_ONCE];
        if (section->sh_type == SHT_SYMTAB ||
            (section->sh_type == SHT_DYNSYM && reader->table.sh_type == SHT_NULL))
            reader->table = *section;
        if (section->sh_type == SHT_SYMTAB)
            break;
    }
    return 0;
}

static int
check_section(const struct reader *reader, const Elf64_Shdr *section, const char *what,
              vmkit_error **ret_error)
{
    uint64_t end;
    if (!vmk_add_u64(section->sh_offset, section->sh_size, &end) || end > reader->file->size)
        return BAD(reader->file, ret_error,
                   "a %s of %llu bytes at offset %llu is beyond the file's %llu bytes", what,
                   (unsigned long long)section->sh_size, (unsigned long long)section->sh_offset,
                   (unsigned long long)reader->file->size);
    if (section->sh_size > MAX_TABLE)
        return BAD(reader->file, ret_error, "a %s of %llu bytes, more than %llu", what,
                   (unsigned long long)section->sh_size, (unsigned long long)MAX_TABLE);
    return 0;
}

static int
check_table(struct reader *reader, vmkit_error **ret_error)
{
    const Elf64_Shdr *table = &reader->table;
    int r = check_section(reader, table, "symbol table", ret_error);
    if (r < 0)
        return r;
    if (table->sh_entsize != sizeof(Elf64_Sym))
        return BAD(reader->file, ret_error, "symbols of %llu bytes instead of %zu",
                   (unsigned long long)table->sh_entsize, sizeof(Elf64_Sym));
    if (table->sh_link >= reader->section_count)
        return BAD(reader->file, ret_error, "the symbols' names are in section %u of %llu",
                   table->sh_link, (unsigned long long)reader->section_count);
    uint64_t offset;
    if (!vmk_add_u64(reader->header.e_shoff, table->sh_link * sizeof reader->strings, &offset))
        return BAD(reader->file, ret_error, "the file ends inside of its section headers");
    r = read_part(reader, &reader->strings, sizeof reader->strings, offset, "section headers",
                  ret_error);
    if (r < 0)
        return r;
    if (reader->strings.sh_type != SHT_STRTAB)
        return BAD(reader->file, ret_error, "the symbols' names are in a section of type %u",
                   reader->strings.sh_type);
    return check_section(reader, &reader->strings, "string table", ret_error);
}

static uint64_t
hash(const char *name, size_t length)
{
    uint64_t value = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < length; i++)
        value = (value ^ (uint8_t)name[i]) * UINT64_C(0x100000001b3);
    return value ^ value >> 32;
}

/* Where the name is, or the empty slot where it belongs. */
static size_t
find_slot(const struct vmk_symbols *symbols, const char *name, size_t *probes)
{
    size_t at = hash(name, strlen(name)) & (symbols->slot_count - 1);
    for (; symbols->slots[at] != 0; at = (at + 1) & (symbols->slot_count - 1)) {
        if (strcmp(symbols->strings + symbols->entries[symbols->slots[at] - 1].name, name) == 0)
            break;
        *probes += 1;
    }
    return at;
}

static void
add_entry(struct reader *reader, const struct entry *entry)
{
    struct vmk_symbols *symbols = reader->symbols;
    size_t at = find_slot(symbols, symbols->strings + entry->name, &reader->probes);
    if (symbols->slots[at] == 0) {
        symbols->entries[symbols->count++] = *entry;
        symbols->slots[at] = (uint32_t)symbols->count;
        return;
    }
    struct entry *old = &symbols->entries[symbols->slots[at] - 1];
    if (entry->rank > old->rank)
        *old = *entry;
    else if (entry->rank == old->rank &&
             (entry->symbol.va != old->symbol.va || entry->symbol.kind != old->symbol.kind))
        old->symbol.is_ambiguous = true;
}

static const struct vmk_elf_segment *
find_segment(const struct vmk_elf *elf, uint64_t va)
{
    for (unsigned i = 0; i < elf->segment_count; i++) {
        if (va - elf->segments[i].va < elf->segments[i].memory_size)
            return &elf->segments[i];
    }
    return NULL;
}

/* What a symbol stands for. False for what has no use here: sections, files, what is elsewhere. */
static bool
classify(const struct vmk_elf *elf, const Elf64_Sym *symbol, enum vmk_symbol_kind *ret_kind)
{
    const struct vmk_elf_segment *segment = find_segment(elf, symbol->st_value);
    if (symbol->st_shndx == SHN_UNDEF || symbol->st_shndx == SHN_ABS)
        return false;
    bool is_code = segment != NULL && (segment->rights & VMK_ELF_EXECUTE) != 0;
    switch (ELF64_ST_TYPE(symbol->st_info)) {
    case STT_FUNC:
        *ret_kind = VMK_SYMBOL_FUNCTION;
        return is_code;
    case STT_GNU_IFUNC:
        *ret_kind = VMK_SYMBOL_INDIRECT;
        return is_code;
    case STT_OBJECT:
        *ret_kind = VMK_SYMBOL_OBJECT;
        return segment != NULL;
    case STT_NOTYPE: /* A label of an assembly file. */
        *ret_kind = is_code ? VMK_SYMBOL_FUNCTION : VMK_SYMBOL_OBJECT;
        return segment != NULL;
    case STT_TLS:
        *ret_kind = VMK_SYMBOL_THREAD_LOCAL;
        return true;
    default:
        return false;
    }
}

static uint8_t
rank_of(unsigned binding)
{
    return binding == STB_LOCAL ? 0 : binding == STB_WEAK ? 1 : 2;
}

static int
add_symbol(struct reader *reader, const Elf64_Sym *symbol, vmkit_error **ret_error)
{
    struct entry entry = {
        .symbol = {.va = symbol->st_value, .size = symbol->st_size},
        .name = symbol->st_name,
        .rank = rank_of(ELF64_ST_BIND(symbol->st_info)),
    };
    if (symbol->st_name >= reader->strings.sh_size)
        return BAD(reader->file, ret_error, "a symbol's name is at %u of %llu bytes of names",
                   symbol->st_name, (unsigned long long)reader->strings.sh_size);
    if (!classify(reader->elf, symbol, &entry.symbol.kind))
        return 0;
    size_t length = strlen(reader->symbols->strings + entry.name);
    if (length == 0)
        return 0;

    reader->characters += length;
    if (reader->characters > 8 * reader->strings.sh_size + 4096)
        return BAD(reader->file, ret_error, "the symbols' names overlap without end");
    add_entry(reader, &entry);
    return 0;
}

static int
add_symbols(struct reader *reader, const Elf64_Sym *table, size_t count, vmkit_error **ret_error)
{
    for (size_t i = 0; i < count; i++) {
        int r = add_symbol(reader, &table[i], ret_error);
        if (r < 0)
            return r;
        if (reader->probes > 16 * count + 4096)
            return BAD(reader->file, ret_error, "the symbols' names are made to collide");
    }
    return 0;
}

static int
read_strings(struct reader *reader, vmkit_error **ret_error)
{
    size_t size = (size_t)reader->strings.sh_size;
    reader->symbols->strings = g_try_malloc(size + 1);
    if (reader->symbols->strings == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for %zu bytes of names", size);
    reader->symbols->strings[size] = '\0';
    return read_part(reader, reader->symbols->strings, size, reader->strings.sh_offset,
                     "string table", ret_error);
}

static int
read_table(struct reader *reader, vmkit_error **ret_error)
{
    struct vmk_symbols *symbols = reader->symbols;
    size_t count = (size_t)reader->table.sh_size / sizeof(Elf64_Sym);
    symbols->slot_count = 16;
    while (symbols->slot_count < 2 * count)
        symbols->slot_count *= 2;
    g_autofree Elf64_Sym *table = g_try_malloc(count * sizeof *table + 1);
    symbols->entries = g_try_malloc(count * sizeof *symbols->entries + 1);
    symbols->slots = g_try_malloc0(symbols->slot_count * sizeof *symbols->slots);
    if (table == NULL || symbols->entries == NULL || symbols->slots == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY,
                             "no memory for %zu symbols", count);
    int r = read_part(reader, table, count * sizeof *table, reader->table.sh_offset, "symbol table",
                      ret_error);
    return r < 0 ? r : add_symbols(reader, table, count, ret_error);
}

static int
read_symbols(struct reader *reader, vmkit_error **ret_error)
{
    int r = read_header(reader, ret_error);
    if (r == 0)
        r = find_table(reader, ret_error);
    if (r < 0 || reader->table.sh_type == SHT_NULL)
        return r;
    r = check_table(reader, ret_error);
    if (r == 0)
        r = read_strings(reader, ret_error);
    return r < 0 ? r : read_table(reader, ret_error);
}

int
vmk_symbols_read(const struct vmk_boot_file *file, const struct vmk_elf *elf,
                 struct vmk_symbols **ret_symbols, vmkit_error **ret_error)
{
    struct reader reader = {.file = file, .elf = elf};
    reader.symbols = g_try_malloc0(sizeof *reader.symbols);
    if (reader.symbols == NULL)
        return vmk_error_set(ret_error, ENOMEM, VMKIT_ERROR_OUT_OF_MEMORY, "out of memory");
    atomic_init(&reader.symbols->references, 1);

    int r = read_symbols(&reader, ret_error);
    if (r < 0) {
        vmk_symbols_unref(reader.symbols);
        return r;
    }
    *ret_symbols = reader.symbols;
    return 0;
}

struct vmk_symbols *
vmk_symbols_ref(struct vmk_symbols *symbols)
{
    atomic_fetch_add_explicit(&symbols->references, 1, memory_order_relaxed);
    return symbols;
}

void
vmk_symbols_unref(struct vmk_symbols *symbols)
{
    if (symbols == NULL ||
        atomic_fetch_sub_explicit(&symbols->references, 1, memory_order_acq_rel) != 1)
        return;
    g_free(symbols->strings);
    g_free(symbols->entries);
    g_free(symbols->slots);
    g_free(symbols);
}

size_t
vmk_symbols_get_count(const struct vmk_symbols *symbols)
{
    return symbols->count;
}

const struct vmk_symbol *
vmk_symbols_find(const struct vmk_symbols *symbols, const char *name)
{
    size_t probes = 0;
    if (symbols->count == 0)
        return NULL;
    uint32_t index = symbols->slots[find_slot(symbols, name, &probes)];
    return index == 0 ? NULL : &symbols->entries[index - 1].symbol;
}

static bool
can_be_shown(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < length; i++) {
        if (!g_ascii_isgraph(name[i]))
            return false;
    }
    return length <= MAX_SUGGESTION;
}

const char *
vmk_symbols_suggest(const struct vmk_symbols *symbols, const char *name)
{
    const char *best = NULL;
    for (size_t i = 0; i < symbols->count && name[0] != '\0'; i++) {
        const char *other = symbols->strings + symbols->entries[i].name;
        bool resembles = strstr(other, name) != NULL || strcasecmp(other, name) == 0;
        if (resembles && symbols->entries[i].symbol.kind == VMK_SYMBOL_FUNCTION &&
            can_be_shown(other) && (best == NULL || strlen(other) < strlen(best)))
            best = other;
    }
    return best;
}
