/* SPDX-License-Identifier: Apache-2.0 */
/* The ACPI tables by field, and what iasl, ACPICA's compiler, says to them: each table is taken
 * apart, put together again without a complaint, and comes out with the same bytes. */
#include "acpi.h"

#include "aml.h"
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GPA 0xe0000
#define HEAD 36

static const struct vmk_acpi_virtio virtio[] = {
    {0xd0000000, 0x1000, 5},
    {0xd0001000, 0x200, 6},
    {0xd0002000, 0x1000, 23},
};

static const struct vmk_acpi_options full = {
    .vcpu_count = 3,
    .has_pic = true,
    .serial_port = 0x3f8,
    .serial_gsi = 4,
    .clock_port = 0x70,
    .panic_port = 0x505,
    .power_button_gsi = 3,
    .sleep_control_port = 0x600,
    .sleep_status_port = 0x601,
    .sleep_type_off = 5,
    .reset_port = 0x602,
    .reset_value = 1,
    .virtio = virtio,
    .virtio_count = 3,
};

static struct vmk_bytes tables;

static void
teardown(void)
{
    vmk_bytes_clear(&tables);
}

static void
build(const struct vmk_acpi_options *options)
{
    vmk_bytes_clear(&tables);
    ck_assert_int_eq(vmk_acpi_build(options, GPA, &tables, NULL), 0);
}

static uint64_t
get(uint64_t gpa, unsigned size)
{
    uint64_t value = 0;
    ck_assert_uint_ge(gpa, GPA);
    ck_assert_uint_le(gpa - GPA + size, tables.size);
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)tables.data[gpa - GPA + i] << (8 * i);
    return value;
}

static void
check_sum(uint64_t gpa, uint64_t size)
{
    uint8_t sum = 0;
    for (uint64_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + get(gpa + i, 1));
    ck_assert_uint_eq(sum, 0);
}

static bool
has_signature(uint64_t gpa, const char *signature)
{
    return memcmp(tables.data + (gpa - GPA), signature, 4) == 0;
}

/* By way of the RSDP and the XSDT, as a kernel finds it; 0 when it is not there. */
static uint64_t
find(const char *signature)
{
    uint64_t xsdt = get(GPA + 24, 8);
    for (uint64_t at = xsdt + HEAD; at < xsdt + get(xsdt + 4, 4); at += 8) {
        uint64_t table = get(at, 8);
        if (has_signature(table, signature))
            return table;
    }
    return 0;
}

START_TEST(the_root_leads_to_every_table)
{
    build(&full);
    ck_assert_mem_eq(tables.data, "RSD PTR ", 8);
    ck_assert_uint_eq(get(GPA + 15, 1), 2);
    ck_assert_uint_eq(get(GPA + 16, 4), 0);
    ck_assert_uint_eq(get(GPA + 20, 4), 36);
    check_sum(GPA, 20);
    check_sum(GPA, 36);
    uint64_t xsdt = get(GPA + 24, 8);
    ck_assert(has_signature(xsdt, "XSDT"));
    ck_assert_uint_eq(get(xsdt + 4, 4), HEAD + 3 * 8);
    static const struct {
        const char *signature;
        unsigned revision;
    } expected[] = {{"FACP", 6}, {"APIC", 5}, {"SPCR", 2}};
    for (unsigned i = 0; i < 3; i++) {
        uint64_t table = find(expected[i].signature);
        ck_assert_uint_ne(table, 0);
        ck_assert_uint_eq(table % 16, 0);
        ck_assert_uint_eq(get(table + 8, 1), expected[i].revision);
        check_sum(table, get(table + 4, 4));
        ck_assert_mem_eq(tables.data + (table - GPA) + 10, "VMKIT VMKITPC ", 14);
    }
    check_sum(xsdt, get(xsdt + 4, 4));
    uint64_t dsdt = get(find("FACP") + 140, 8);
    ck_assert(has_signature(dsdt, "DSDT"));
    ck_assert_uint_eq(get(dsdt + 8, 1), 2);
    check_sum(dsdt, get(dsdt + 4, 4));
}
END_TEST

static void
check_port(uint64_t at, uint64_t port)
{
    ck_assert_uint_eq(get(at, 1), 1);
    ck_assert_uint_eq(get(at + 1, 1), 8);
    ck_assert_uint_eq(get(at + 2, 1), 0);
    ck_assert_uint_eq(get(at + 3, 1), 1);
    ck_assert_uint_eq(get(at + 4, 8), port);
}

START_TEST(the_platform_is_hardware_reduced)
{
    build(&full);
    uint64_t fadt = find("FACP");
    ck_assert_uint_eq(get(fadt + 4, 4), 276);
    ck_assert_uint_eq(get(fadt + 131, 1), 4);
    ck_assert_uint_eq(get(fadt + 40, 4), get(fadt + 140, 8));
    ck_assert_uint_eq(get(fadt + 112, 4), 1u << 20 | 1u << 10 | 1u << 5 | 1u << 4 | 1);
    check_port(fadt + 116, 0x602);
    ck_assert_uint_eq(get(fadt + 128, 1), 1);
    check_port(fadt + 244, 0x600);
    check_port(fadt + 256, 0x601);
    /* No VGA, no keyboard controller; the clock is there. */
    ck_assert_uint_eq(get(fadt + 109, 2), 4);
    /* No fixed hardware. */
    for (unsigned at = 44; at < 109; at++)
        ck_assert_uint_eq(get(fadt + at, 1), 0);
    for (unsigned at = 148; at < 244; at++)
        ck_assert_uint_eq(get(fadt + at, 1), 0);

    struct vmk_acpi_options options = full;
    options.clock_port = 0;
    build(&options);
    ck_assert_uint_eq(get(find("FACP") + 109, 2), 0x24);
}
END_TEST

START_TEST(processors_and_their_controllers_are_named)
{
    for (unsigned vcpus = 1; vcpus <= 254; vcpus += 253) {
        struct vmk_acpi_options options = full;
        options.vcpu_count = vcpus;
        options.has_pic = vcpus == 1;
        build(&options);
        uint64_t madt = find("APIC");
        ck_assert_uint_eq(get(madt + 36, 4), 0xfee00000);
        ck_assert_uint_eq(get(madt + 40, 4), vcpus == 1);
        uint64_t at = madt + 44;
        for (unsigned i = 0; i < vcpus; i++, at += 8) {
            ck_assert_uint_eq(get(at, 2), 0x0800);
            ck_assert_uint_eq(get(at + 2, 1), i);
            ck_assert_uint_eq(get(at + 3, 1), i);
            ck_assert_uint_eq(get(at + 4, 4), 1);
        }
        ck_assert_uint_eq(get(at, 4), 0x0c01);
        ck_assert_uint_eq(get(at + 4, 4), 0xfec00000);
        ck_assert_uint_eq(get(at + 8, 4), 0);
        at += 12;
        ck_assert_uint_eq(get(at, 6), UINT64_C(0x010000ff0604));
        ck_assert_uint_eq(at + 6, madt + get(madt + 4, 4));
    }
}
END_TEST

START_TEST(the_serial_console_is_named_where_there_is_one)
{
    build(&full);
    uint64_t spcr = find("SPCR");
    ck_assert_uint_eq(get(spcr + 4, 4), 80);
    ck_assert_uint_eq(get(spcr + 36, 1), 0);
    check_port(spcr + 40, 0x3f8);
    ck_assert_uint_eq(get(spcr + 52, 1), 2);
    ck_assert_uint_eq(get(spcr + 54, 4), 4);
    ck_assert_uint_eq(get(spcr + 58, 1), 7);
    ck_assert_uint_eq(get(spcr + 60, 1), 1);
    ck_assert_uint_eq(get(spcr + 64, 4), UINT32_MAX);
    struct vmk_acpi_options options = full;
    options.serial_port = 0;
    build(&options);
    ck_assert_uint_eq(find("SPCR"), 0);
    ck_assert_uint_eq(get(get(GPA + 24, 8) + 4, 4), HEAD + 2 * 8);
}
END_TEST

/* ACPI 6.5, 20.2.4: the length in one, two and three bytes. */
START_TEST(a_length_takes_as_many_bytes_as_it_needs)
{
    static const struct {
        size_t content;
        size_t bytes;
        uint8_t first[3];
    } expected[] = {
        {58, 1, {0x3f}},
        {59, 2, {0x41, 0x04}},
        {4089, 2, {0x4f, 0xff}},
        {4090, 3, {0x81, 0x00, 0x01}},
        {70000, 3, {0x87, 0x17, 0x11}},
    };
    for (unsigned i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct vmk_bytes aml = {0};
        size_t at = vmk_aml_begin_scope(&aml, "TEST");
        memset(vmk_bytes_append(&aml, expected[i].content), 0xa3, expected[i].content);
        vmk_aml_end(&aml, at);
        ck_assert_uint_eq(aml.size, 1 + expected[i].bytes + 4 + expected[i].content);
        ck_assert_mem_eq(aml.data + 1, expected[i].first, expected[i].bytes);
        ck_assert_mem_eq(aml.data + 1 + expected[i].bytes, "TEST\xa3", 5);
        vmk_bytes_clear(&aml);
    }
}
END_TEST

START_TEST(numbers_take_their_shortest_form)
{
    static const struct {
        uint64_t value;
        size_t size;
        uint8_t bytes[9];
    } expected[] = {
        {0, 1, {0x00}},
        {1, 1, {0x01}},
        {2, 2, {0x0a, 2}},
        {0xff, 2, {0x0a, 0xff}},
        {0x100, 3, {0x0b, 0, 1}},
        {0x10000, 5, {0x0c, 0, 0, 1, 0}},
        {UINT64_C(1) << 32, 9, {0x0e, 0, 0, 0, 0, 1, 0, 0, 0}},
    };
    for (unsigned i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct vmk_bytes aml = {0};
        vmk_aml_put_integer(&aml, "_UID", expected[i].value);
        ck_assert_uint_eq(aml.size, 5 + expected[i].size);
        ck_assert_mem_eq(aml.data, "\x08_UID", 5);
        ck_assert_mem_eq(aml.data + 5, expected[i].bytes, expected[i].size);
        vmk_bytes_clear(&aml);
    }
}
END_TEST

static char folder[] = "/tmp/vmkit-acpi-XXXXXX";

static void
setup_folder(void)
{
    strcpy(folder, "/tmp/vmkit-acpi-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void
run(const char *command)
{
    char line[512];
    snprintf(line, sizeof line, "cd %s && %s", folder, command);
    ck_assert_msg(system(line) == 0, "%s failed", command);
}

static void
teardown_folder(void)
{
    run("rm -f table.aml table.dsl again.aml log && rmdir \"$PWD\"");
    teardown();
}

static size_t
read_file(const char *name, char *buffer, size_t capacity)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "there is no %s", path);
    size_t size = fread(buffer, 1, capacity, file);
    fclose(file);
    return size;
}

/* The table's text is left in `text`. Complaints go into the test's output. */
static void
go_through_iasl(uint64_t table, char *text, size_t capacity)
{
    static char again[65536];
    char path[64];
    size_t size = get(table + 4, 4);
    snprintf(path, sizeof path, "%s/table.aml", folder);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(tables.data + (table - GPA), 1, size, file), size);
    fclose(file);
    run("iasl -d table.aml >log 2>&1 || { sed 's/^/# /' log; false; }");
    run("iasl -we -p again table.dsl >log 2>&1 || { sed 's/^/# /' log; false; }");
    run("grep -q ' 0 Errors, 0 Warnings, 0 Remarks' log || { sed 's/^/# /' log; false; }");
    /* The head names who made the table. */
    ck_assert_uint_eq(read_file("again.aml", again, sizeof again), size);
    ck_assert_mem_eq(again + HEAD, tables.data + (table - GPA) + HEAD, size - HEAD);
    size_t length = read_file("table.dsl", text, capacity - 1);
    text[length] = '\0';
}

static void
check_text(const char *text, const char *words)
{
    ck_assert_msg(strstr(text, words) != NULL, "the table lacks \"%s\":\n%s", words, text);
}

START_TEST(iasl_takes_every_table)
{
    static char text[65536];
    static const char *const signatures[] = {"FACP", "APIC", "SPCR"};
    build(&full);
    for (unsigned i = 0; i < 3; i++)
        go_through_iasl(find(signatures[i]), text, sizeof text);
    go_through_iasl(get(GPA + 24, 8), text, sizeof text);
}
END_TEST

START_TEST(iasl_sees_the_devices)
{
    static char text[65536];
    build(&full);
    go_through_iasl(get(find("FACP") + 140, 8), text, sizeof text);
    static const char *const expected[] = {
        "Device (COM1)",
        "EisaId (\"PNP0501\")",
        "0x03F8,",
        "Device (RTC)",
        "EisaId (\"PNP0B00\")",
        "0x0070,",
        "Device (PEVT)",
        "\"QEMU0001\"",
        "0x0505,",
        "Device (PWRB)",
        "EisaId (\"PNP0C0C\")",
        "Device (GED)",
        "\"ACPI0013\"",
        "Method (_EVT, 1, Serialized)",
        "If ((Arg0 == 0x03))",
        "Notify (PWRB, 0x80)",
        "Device (V000)",
        "Device (V001)",
        "Device (V002)",
        "\"LNRO0005\"",
        "0xD0000000,",
        "0x00000200,",
        "0x00000017,",
        "Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive",
        "Memory32Fixed (ReadWrite,",
        "Name (_S5, Package (0x04)",
    };
    for (unsigned i = 0; i < sizeof expected / sizeof *expected; i++)
        check_text(text, expected[i]);
}
END_TEST

START_TEST(iasl_takes_a_machine_without_devices_and_one_with_many)
{
    static char text[262144];
    static struct vmk_acpi_virtio many[40];
    struct vmk_acpi_options options = {.vcpu_count = 1};
    build(&options);
    go_through_iasl(get(find("FACP") + 140, 8), text, sizeof text);
    ck_assert_ptr_null(strstr(text, "Device"));
    for (unsigned i = 0; i < 40; i++)
        many[i] = (struct vmk_acpi_virtio){0xd0000000 + i * 0x1000, 0x1000, 5 + i};
    options = full;
    options.virtio = many;
    options.virtio_count = 40;
    build(&options);
    go_through_iasl(get(find("FACP") + 140, 8), text, sizeof text);
    check_text(text, "Device (V027)");
    ck_assert_uint_lt(tables.size, 0x20000);
}
END_TEST

Suite *
make_suite(void)
{
    Suite *suite = suite_create("arch_acpi");
    TCase *tests = tcase_create("acpi");
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_add_test(tests, the_root_leads_to_every_table);
    tcase_add_test(tests, the_platform_is_hardware_reduced);
    tcase_add_test(tests, processors_and_their_controllers_are_named);
    tcase_add_test(tests, the_serial_console_is_named_where_there_is_one);
    tcase_add_test(tests, a_length_takes_as_many_bytes_as_it_needs);
    tcase_add_test(tests, numbers_take_their_shortest_form);
    suite_add_tcase(suite, tests);
    TCase *compiler = tcase_create("iasl");
    tcase_set_timeout(compiler, 60);
    tcase_add_checked_fixture(compiler, setup_folder, teardown_folder);
    tcase_add_test(compiler, iasl_takes_every_table);
    tcase_add_test(compiler, iasl_sees_the_devices);
    tcase_add_test(compiler, iasl_takes_a_machine_without_devices_and_one_with_many);
    suite_add_tcase(suite, compiler);
    return suite;
}
