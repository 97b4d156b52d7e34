/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of processor features, as Linux writes them in /proc/cpuinfo where it has one: bits of
 * CPUID (Intel SDM 2A, CPUID; AMD APM 3, appendix E; Linux, cpuid.rst of KVM), parts of the
 * extended state (Intel SDM 1, 13.1) and MSRs (Intel SDM 4; AMD APM 2, appendix A).
 */
#include "vcpu_state_private.h"

#include <stddef.h>

enum { EAX, EBX, ECX, EDX };
enum { USER, SUPERVISOR };

/* What is before the name of a feature that user mode has nothing of: it is for the kernel alone,
 * or tells of what only a kernel could change. Others, those without a name too, are user mode's.
 */
#define SUPERVISOR_MARK '!'

struct word {
    uint32_t leaf;
    uint32_t subleaf;
    uint32_t reg;
    int mode; /* SUPERVISOR: all of its bits are */
    const char *names[32];
};

/* clang-format off */
static const struct word words[] = {
    {0x1, 0, ECX, USER, {"pni", "pclmulqdq", "!dtes64", "!monitor", "!ds_cpl", "!vmx", "!smx",
        "!est", "!tm2", "ssse3", "!cid", "!sdbg", "fma", "cx16", "!xtpr", "!pdcm", NULL, "!pcid",
        "!dca", "sse4_1", "sse4_2", "!x2apic", "movbe", "popcnt", "!tsc_deadline_timer", "aes",
        "xsave", "!osxsave", "avx", "f16c", "rdrand", "!hypervisor"}},
    {0x1, 0, EDX, USER, {"fpu", "!vme", "!de", "!pse", "tsc", "!msr", "!pae", "!mce", "cx8",
        "!apic", NULL, "sep", "!mtrr", "!pge", "!mca", "cmov", "!pat", "!pse36", "!pn", "clflush",
        NULL, "!dts", "!acpi", "mmx", "fxsr", "sse", "sse2", "!ss", "!ht", "!tm", "!ia64", "!pbe"}},
    {0x6, 0, EAX, SUPERVISOR, {"dtherm", "ida", "arat"}},
    {0x7, 0, EBX, USER, {"fsgsbase", "!tsc_adjust", "sgx", "bmi1", "hle", "avx2", "fdp_excptn_only",
        "!smep", "bmi2", "erms", "!invpcid", "rtm", "!cqm", "zero_fcs_fds", "mpx", "!rdt_a",
        "avx512f", "avx512dq", "rdseed", "adx", "!smap", "avx512ifma", "pcommit", "clflushopt",
        "clwb", "!intel_pt", "avx512pf", "avx512er", "avx512cd", "sha_ni", "avx512bw", "avx512vl"}},
    {0x7, 0, ECX, USER, {"prefetchwt1", "avx512vbmi", "!umip", "pku", "!ospke", "waitpkg",
        "avx512_vbmi2", "shstk", "gfni", "vaes", "vpclmulqdq", "avx512_vnni", "avx512_bitalg",
        "!tme", "avx512_vpopcntdq", NULL, "!la57", NULL, NULL, NULL, NULL, NULL, "rdpid", NULL,
        "!bus_lock_detect", "cldemote", NULL, "movdiri", "movdir64b", "enqcmd", "!sgx_lc", "!pks"}},
    {0x7, 0, EDX, USER, {NULL, "!sgx_keys", "avx512_4vnniw", "avx512_4fmaps", "fsrm", "uintr", NULL,
        NULL, "avx512_vp2intersect", "!srbds_ctrl", "!md_clear", "!rtm_always_abort", NULL,
        "!tsx_force_abort", "serialize", "!hybrid_cpu", "tsxldtrk", NULL, "!pconfig", "!arch_lbr",
        "ibt", NULL, "amx_bf16", "avx512_fp16", "amx_tile", "amx_int8", "!spec_ctrl",
        "!intel_stibp", "!flush_l1d", "!arch_capabilities", "!core_capabilities",
        "!spec_ctrl_ssbd"}},
    {0x7, 1, EAX, USER, {"sha512", "sm3", "sm4", NULL, "avx_vnni", "avx512_bf16", "!lass",
        "cmpccxadd", NULL, NULL, "fzrm", "fsrs", "fsrc", NULL, NULL, NULL, NULL, "!fred", "!lkgs",
        "!wrmsrns", NULL, "amx_fp16", "!hreset", "avx_ifma", NULL, NULL, "!lam", NULL, NULL, NULL,
        "!invd_disable", "movrs"}},
    {0x7, 1, EDX, USER, {NULL, NULL, NULL, NULL, "avx_vnni_int8", "avx_ne_convert", NULL, NULL,
        "amx_complex", NULL, "avx_vnni_int16", NULL, NULL, NULL, "prefetchiti", "user_msr", NULL,
        NULL, "!cet_sss", "avx10", NULL, "apx_f"}},
    {0x7, 2, EDX, SUPERVISOR, {"psfd", "ipred_ctrl", "rrsba_ctrl", "ddpd_u", "bhi_ctrl",
        "mcdt_no"}},
    {0xd, 1, EAX, USER, {"xsaveopt", "xsavec", "xgetbv1", "!xsaves", "!xfd"}},
    {0x14, 0, EBX, USER, {"!pt_cr3_filter", "!pt_psb", "!pt_ip_filter", "!pt_mtc", "pt_ptwrite",
        "!pt_power_events"}},
    {0x19, 0, EBX, USER, {"aeskle", NULL, "aeskle_wide"}},
    {0x80000001, 0, ECX, USER, {"lahf_lm", "!cmp_legacy", "!svm", "!extapic", "!cr8_legacy", "abm",
        "sse4a", "misalignsse", "3dnowprefetch", "!osvw", "!ibs", "xop", "!skinit", "!wdt", NULL,
        "lwp", "fma4", "!tce", NULL, "!nodeid_msr", NULL, "tbm", "!topoext", "!perfctr_core",
        "!perfctr_nb", NULL, "!bpext", "!ptsc", "!perfctr_llc", "mwaitx"}},
    {0x80000001, 0, EDX, USER, {"fpu", "!vme", "!de", "!pse", "tsc", "!msr", "!pae", "!mce", "cx8",
        "!apic", NULL, "syscall", "!mtrr", "!pge", "!mca", "cmov", "!pat", "!pse36", NULL, "!mp",
        "!nx", NULL, "mmxext", "mmx", "fxsr", "!fxsr_opt", "!pdpe1gb", "rdtscp", NULL, "lm",
        "3dnowext", "3dnow"}},
    {0x80000007, 0, EDX, USER, {NULL, NULL, NULL, NULL, NULL, NULL, NULL, "!hw_pstate",
        "constant_tsc", "!cpb"}},
    {0x80000008, 0, EBX, USER, {"clzero", "!irperf", "xsaveerptr", NULL, "rdpru", NULL, NULL, NULL,
        NULL, "!wbnoinvd", NULL, NULL, "!amd_ibpb", NULL, "!amd_ibrs", "!amd_stibp", NULL,
        "!amd_stibp_always_on", NULL, NULL, NULL, NULL, NULL, "!amd_ppin", "!amd_ssbd",
        "!virt_ssbd", "!amd_ssb_no", "!cppc", "!amd_psfd", "!btc_no", "!amd_ibpb_ret", "!brs"}},
    {0x8000000a, 0, EDX, SUPERVISOR, {"npt", "lbrv", "svm_lock", "nrip_save", "tsc_scale",
        "vmcb_clean", "flushbyasid", "decodeassists", NULL, NULL, "pausefilter", NULL,
        "pfthreshold", "avic", NULL, "v_vmsave_vmload", "vgif", "x2avic", NULL, NULL, "v_spec_ctrl",
        NULL, NULL, NULL, NULL, "vnmi"}},
    {0x80000021, 0, EAX, USER, {"!no_nested_data_bp", NULL, "lfence_rdtsc", NULL, NULL, NULL,
        "!null_sel_clr_base", NULL, "!autoibrs", "!no_smm_ctl_msr", NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, "!sbpb",
        "!ibpb_brtype", "!srso_no"}},
    {0x40000001, 0, EAX, SUPERVISOR, {"kvm_clocksource", "kvm_nop_io_delay", "kvm_mmu_op",
        "kvm_clocksource2", "kvm_async_pf", "kvm_steal_time", "kvm_pv_eoi", "kvm_pv_unhalt", NULL,
        "kvm_pv_tlb_flush", "kvm_async_pf_vmexit", "kvm_pv_send_ipi", "kvm_poll_control",
        "kvm_pv_sched_yield", "kvm_async_pf_int", "kvm_msi_ext_dest_id", "kvm_hc_map_gpa_range",
        "kvm_migration_control", NULL, NULL, NULL, NULL, NULL, NULL, "kvm_clocksource_stable"}},
};

static const char *const components[] = {
    "x87 state", "SSE state", "AVX state", "MPX bounds registers", "MPX configuration",
    "AVX-512 mask registers", "AVX-512 upper halves of ZMM0 to ZMM15", "AVX-512 ZMM16 to ZMM31",
    "processor trace state", "protection keys", "PASID state", "user shadow stack state",
    "supervisor shadow stack state", "hardware duty cycle state", "user interrupt state",
    "last branch records", "hardware P-state requests", "AMX tile configuration", "AMX tile data",
    "APX registers",
};

static const struct {
    uint32_t index;
    const char *name;
} msrs[] = {
    {0x10, "tsc"}, {0x34, "smi_count"}, {0x3a, "feature_control"}, {0x3b, "tsc_adjust"},
    {0x48, "spec_ctrl"}, {0x8b, "ucode_rev"}, {0xce, "platform_info"}, {0xe1, "umwait_control"},
    {0xfe, "mtrr_cap"}, {0x10a, "arch_capabilities"}, {0x122, "tsx_ctrl"},
    {0x140, "misc_features_enables"}, {0x174, "sysenter_cs"}, {0x175, "sysenter_esp"},
    {0x176, "sysenter_eip"}, {0x17a, "mcg_status"}, {0x17b, "mcg_ctl"}, {0x1a0, "misc_enable"},
    {0x1c4, "xfd"}, {0x1c5, "xfd_err"}, {0x1d9, "debugctl"}, {0x1fc, "power_ctl"},
    {0x277, "pat"}, {0x2ff, "mtrr_def_type"}, {0x345, "perf_capabilities"},
    {0x38d, "fixed_ctr_ctrl"}, {0x38f, "perf_global_ctrl"}, {0x6a0, "u_cet"}, {0x6a2, "s_cet"},
    {0x6e0, "tsc_deadline"}, {0xd90, "bndcfgs"}, {0xda0, "xss"}, {0xc0000081, "star"},
    {0xc0000082, "lstar"}, {0xc0000083, "cstar"}, {0xc0000084, "syscall_mask"},
    {0xc0000102, "kernel_gs_base"}, {0xc0000103, "tsc_aux"}, {0xc0000104, "tsc_ratio"},
    {0xc0010015, "hwcr"}, {0xc0010117, "vm_hsave_pa"}, {0xc001011f, "virt_spec_ctrl"},
    {0x4b564d00, "kvm_wall_clock"}, {0x4b564d01, "kvm_system_time"},
    {0x4b564d02, "kvm_async_pf_en"}, {0x4b564d03, "kvm_steal_time"}, {0x4b564d04, "kvm_pv_eoi"},
    {0x4b564d05, "kvm_poll_control"}, {0x4b564d06, "kvm_async_pf_int"},
};
/* clang-format on */

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

_Static_assert(COUNT(words) <= VMK_X86_STATE_WORD_LIMIT, "the words that a state has room for");

static const struct word *
find_word(uint32_t leaf, uint32_t subleaf, uint32_t reg)
{
    for (size_t i = 0; i < COUNT(words); i++) {
        if (words[i].leaf == leaf && words[i].subleaf == subleaf && words[i].reg == reg)
            return &words[i];
    }
    return NULL;
}

const char *
vmk_x86_feature_get_name(uint32_t leaf, uint32_t subleaf, uint32_t reg, uint32_t bit)
{
    const struct word *word = find_word(leaf, subleaf, reg);
    const char *name = word == NULL ? NULL : word->names[bit % 32];
    return name != NULL && name[0] == SUPERVISOR_MARK ? name + 1 : name;
}

uint32_t
vmk_x86_feature_get_user_bits(uint32_t leaf, uint32_t subleaf, uint32_t reg)
{
    const struct word *word = find_word(leaf, subleaf, reg);
    uint32_t bits = UINT32_MAX;
    if (word == NULL)
        return bits;
    if (word->mode == SUPERVISOR)
        return 0;
    for (uint32_t bit = 0; bit < 32; bit++) {
        if (word->names[bit] != NULL && word->names[bit][0] == SUPERVISOR_MARK)
            bits &= ~(UINT32_C(1) << bit);
    }
    return bits;
}

uint32_t
vmk_x86_feature_list_words(struct vmk_x86_feature_word list[VMK_X86_STATE_WORD_LIMIT])
{
    for (size_t i = 0; i < COUNT(words); i++) {
        list[i] = (struct vmk_x86_feature_word){
            .leaf = words[i].leaf, .subleaf = words[i].subleaf, .reg = words[i].reg};
    }
    return COUNT(words);
}

const char *
vmk_x86_xstate_get_name(uint32_t component)
{
    return component < COUNT(components) ? components[component] : NULL;
}

const char *
vmk_x86_msr_get_name(uint32_t index)
{
    for (size_t i = 0; i < COUNT(msrs); i++) {
        if (msrs[i].index == index)
            return msrs[i].name;
    }
    return NULL;
}
