/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that does with signals what programs do, and prints what it sees. Run natively and in a
 * sandbox it prints the same.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile int handled;
static volatile int fresh;
static sigjmp_buf recovery;
static char alternate[65536];

static void
tell(int signal, siginfo_t *info, void *context)
{
    int here;
    int on_alternate = (char *)&here >= alternate && (char *)&here < alternate + sizeof alternate;
    handled++;
    printf("signal %d code %d value %d alternate %d\n", signal, info->si_code,
           info->si_code == SI_QUEUE ? info->si_value.sival_int : 0, on_alternate);
}

static void
recover(int signal, siginfo_t *info, void *context)
{
    const greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    printf("fault %d code %d address %p trap %lld error %lld cr2 %#llx\n", signal, info->si_code,
           info->si_addr, (long long)regs[REG_TRAPNO], (long long)regs[REG_ERR],
           (unsigned long long)regs[REG_CR2]);
    siglongjmp(recovery, 1);
}

/* Skips the DIV of two bytes that divided by zero. */
static void
skip(int signal, siginfo_t *info, void *context)
{
    printf("skip %d code %d\n", signal, info->si_code);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

static void
clobber(int signal)
{
    uint64_t found;
    __asm__ volatile("movq %%xmm7, %0" : "=r"(found));
    fresh += found == 0;
    __asm__ volatile("pxor %%xmm0, %%xmm0\n pxor %%xmm1, %%xmm1\n pxor %%xmm7, %%xmm7\n"
                     "pxor %%xmm15, %%xmm15\n fninit" ::
                         : "xmm0", "xmm1", "xmm7", "xmm15");
    handled++;
}

static void catch (int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigaction(signal, &action, NULL);
}

static void
send_and_queue(void)
{
    sigset_t all, old;
    raise(SIGUSR1);
    kill(getpid(), SIGUSR1);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    for (int i = 0; i < 3; i++)
        sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = i});
    kill(getpid(), SIGRTMIN);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR1);
    puts("unblock");
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static void
alarm_in_us(long microseconds)
{
    const struct itimerval timer = {.it_value.tv_usec = microseconds};
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void
be_interrupted(void)
{
    struct timespec time = {.tv_sec = 20};
    sigset_t mask;
    alarm_in_us(20000);
    int r = pause();
    printf("pause %d %s\n", r, strerror(errno));
    alarm_in_us(20000);
    r = nanosleep(&time, &time);
    printf("nanosleep %d %s, seconds left %d\n", r, strerror(errno), (int)time.tv_sec);
    sigfillset(&mask);
    sigdelset(&mask, SIGALRM);
    alarm_in_us(20000);
    r = sigsuspend(&mask);
    printf("sigsuspend %d %s\n", r, strerror(errno));
    int before = handled;
    alarm_in_us(20000);
    while (handled == before)
        continue;
    puts("spin interrupted");
}

static void
fault(void)
{
    const stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    sigaltstack(&stack, NULL);
    catch (SIGUSR2, tell, SA_ONSTACK);
    raise(SIGUSR2);
    catch (SIGSEGV, recover, SA_ONSTACK);
    catch (SIGILL, recover, SA_ONSTACK);
    catch (SIGFPE, skip, 0);
    if (sigsetjmp(recovery, 1) == 0)
        *(volatile int *)(uintptr_t)0x1234 = 1;
    if (sigsetjmp(recovery, 1) == 0)
        *(volatile int *)(uintptr_t)0x8000000000000000 = 1;
    __asm__ volatile("xor %%edx, %%edx\n mov $1, %%eax\n xor %%ecx, %%ecx\n div %%ecx" ::
                         : "eax", "ecx", "edx");
    puts("behind the division");
}

/* A register of the extended state, held across a signal that comes from nowhere: the handler
 * starts with a fresh one and destroys it, and the interrupted code does not notice. */
static void
keep_the_extended_state(void)
{
    const uint64_t value = 0x1122334455667788;
    const struct itimerval once = {{0, 0}, {0, 2000}};
    int right = 0;
    signal(SIGVTALRM, clobber);
    for (int i = 0; i < 20; i++) {
        uint64_t after;
        handled = 0;
        setitimer(ITIMER_VIRTUAL, &once, NULL);
        __asm__ volatile("movq %1, %%xmm7\n"
                         "1: cmpl $0, %2\n"
                         "je 1b\n"
                         "movq %%xmm7, %0"
                         : "=r"(after)
                         : "r"(value), "m"(handled)
                         : "xmm7", "cc");
        right += after == value;
    }
    printf("kept %d, fresh %d\n", right, fresh);
}

static void
wait_for_timers(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2};
    const struct itimerspec often = {{0, 5000000}, {0, 5000000}};
    struct timespec brief = {.tv_nsec = 20000000};
    siginfo_t info;
    sigset_t set;
    timer_t timer;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int r = sigtimedwait(&set, &info, &brief);
    printf("sigtimedwait %d %s\n", r, strerror(errno));
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &often, NULL);
    for (int i = 0; i < 3; i++) {
        r = sigwaitinfo(&set, &info);
        printf("sigwaitinfo %d code %d\n", r - SIGRTMIN, info.si_code);
    }
    nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    sigwaitinfo(&set, &info);
    printf("overrun %d\n", info.si_overrun >= 3);
    timer_delete(timer);
}

int
main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    catch (SIGUSR1, tell, 0);
    catch (SIGALRM, tell, 0);
    catch (SIGRTMIN, tell, 0);
    catch (SIGRTMIN + 1, tell, 0);
    send_and_queue();
    be_interrupted();
    fault();
    keep_the_extended_state();
    wait_for_timers();
    abort();
}
