/* SPDX-License-Identifier: Apache-2.0 */
/* One line of JSON a result, and one for the machine. */
#include "bench.h"
#include "floor.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static bool
goal_holds(const struct bench_result *result, double median, double ratio)
{
    switch (result->goal_kind) {
    case BENCH_RATIO_AT_MOST:
        return ratio <= result->goal;
    case BENCH_RATIO_AT_LEAST:
        return ratio >= result->goal;
    case BENCH_MEDIAN_AT_MOST:
        return median <= result->goal;
    case BENCH_NO_GOAL:
        break;
    }
    return true;
}

static void
print_goal(const struct bench_result *result, bool holds)
{
    static const char *const kinds[] = {
        [BENCH_RATIO_AT_MOST] = "ratio at most",
        [BENCH_RATIO_AT_LEAST] = "ratio at least",
        [BENCH_MEDIAN_AT_MOST] = "median at most",
    };
    if (result->goal_kind == BENCH_NO_GOAL)
        printf("\"goal\":null,\"goal_kind\":null,\"holds\":null");
    else
        printf("\"goal\":%g,\"goal_kind\":\"%s\",\"holds\":%s", result->goal,
               kinds[result->goal_kind], holds ? "true" : "false");
}

bool
bench_print(const struct bench_result *result)
{
    double median = bench_median(&result->library), floor = bench_median(&result->floor);
    double ratio = result->more_is_better ? floor / median : median / floor;
    bool holds = goal_holds(result, median, ratio);

    printf("{\"name\":\"%s\",\"unit\":\"%s\",\"n\":%zu,\"median\":%.3f,\"p99\":%.3f,"
           "\"floor\":%.3f,\"ratio\":%.4f,\"better\":\"%s\",",
           result->name, result->unit, result->library.count, median,
           bench_percentile(&result->library, 99), floor, ratio,
           result->more_is_better ? "higher" : "lower");
    print_goal(result, holds);
    for (size_t i = 0; i < result->extra_count; i++)
        printf(",\"%s\":%.3f", result->extras[i].name, result->extras[i].value);
    puts("}");
    fflush(stdout);
    return holds;
}

/* The value of the first line of /proc/cpuinfo that is named "model name", without what JSON would
 * have to escape. */
static void
read_cpu_model(char *model, size_t size)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");
    snprintf(model, size, "unknown");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || value == NULL)
            continue;
        snprintf(model, size, "%.*s", (int)strcspn(value + 2, "\n\"\\"), value + 2);
        break;
    }
    if (file != NULL)
        fclose(file);
}

void
bench_print_machine(void)
{
    char model[128];
    struct utsname system;
    read_cpu_model(model, sizeof model);
    uname(&system);
    double instruction = floor_supervisor_instruction_ns();
    printf("{\"name\":\"machine\",\"cpu\":\"%s\",\"kernel\":\"%s\",\"cores\":%ld,"
           "\"supervisor_mode\":\"%s\",\"supervisor_instruction_ns\":%.1f}\n",
           model, system.release, sysconf(_SC_NPROCESSORS_ONLN),
           instruction > FLOOR_INTERPRETED_NS ? "interpreted" : "native", instruction);
    fflush(stdout);
}
