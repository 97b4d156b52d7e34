# The lab's machine: QEMU, the streams, and the watch over both. Read by `run`.
#
# Reads base, command, cpus, dir, memory, one_sink, outs, pass_stdin, timeout, timeout_us, verbose
# and the limits. Sets qemu_pid, out_follower, followers and helpers.
# shellcheck shell=bash disable=SC2154

qemu_pid=
out_follower=
# The tails, and all that is to be ended.
followers=()
helpers=()

clean_up() {
    # The shell would tell of each that it saw killed.
    {
        kill -KILL $qemu_pid "${helpers[@]}" || true
        wait || true
    } 2>/dev/null
    rm -rf "$dir"
}

end_on_signal() {
    trap - EXIT "$1"
    clean_up
    kill -s "$1" $$
}

# Copies a file to a stream of ours as it grows, until QEMU has ended.
follow() {
    tail -c +1 -s 0.05 -f --pid="$qemu_pid" "$dir/$1" </dev/null >&"$2" 2>/dev/null 8<&- &
    followers+=($!)
    helpers+=($!)
}

port() {
    qemu+=(-device "virtserialport,chardev=$1,name=lab.$1")
}

file_port() {
    : >"$dir/$1"
    qemu+=(-chardev "file,id=$1,path=$dir/$1,append=on")
    port "$1"
}

# Descriptor 8 is the input of every machine that is booted: one that does not come up takes none of it.
open_input() {
    exec 8</dev/null
    if [ $pass_stdin = yes ]; then
        exec 8< <(exec cat)
        helpers+=($!)
    fi
}

# One thread of QEMU for all processors: with one each, an interrupt is lost now and then while a
# guest of the inner KVM leaves (about once in 100,000 exits), and Linux waits for it for ever.
#
# A q35 and not a microvm, though that is smaller: on a busy machine Linux fails to measure the TSC
# against the PIT of software emulation now and then, and then needs an HPET to go on.
start_machine() {
    local quiet=quiet
    [ $verbose = no ] || quiet='ignore_loglevel'
    qemu=(
        qemu-system-x86_64 -M q35,i8042=off,usb=off,vmport=off -accel tcg,thread=single -cpu max,+svm -smp "$cpus" -m "$memory"
        -nodefaults -no-user-config -display none -no-reboot
        -kernel "$base/vmlinuz" -initrd "$dir/initrd"
        -append "console=ttyS0 $quiet rdinit=/lab/init panic=-1 reboot=t nokaslr mitigations=off random.trust_cpu=on"
        -chardev "file,id=console,path=$dir/console,append=on" -serial chardev:console
        -device "virtio-serial-pci"
    )
    : >"$dir/console"
    file_port out
    [ $one_sink = yes ] || file_port err
    [ ${#outs[@]} = 0 ] || file_port files
    if [ $pass_stdin = yes ]; then
        qemu+=(-chardev stdio,id=in,signal=off)
        port in
    fi
    file_port status
    # Should this script be killed, QEMU is not left behind.
    setpriv --pdeathsig KILL -- "${qemu[@]}" <&8 >"$dir/qemu" 2>&1 8<&- &
    qemu_pid=$!
    followers=()
    follow out 1
    out_follower=$!
    [ $one_sink = yes ] || follow err 2
    [ $verbose = no ] || follow console 2
}

# Ends the machine when it has to be, and leaves the reason in $dir/why ("STATUS SENTENCE").
watch() {
    local now began=${EPOCHREALTIME/[.,]/} up= size last_size=-1 silent=0
    local limit_us=$((boot_limit * 1000000))
    while sleep 0.2 && kill -0 "$qemu_pid" 2>/dev/null; do
        now=${EPOCHREALTIME/[.,]/}
        if [ -z "$up" ] && [ -s "$dir/status" ]; then
            up=$now
        fi
        if [ -z "$up" ] && [ $((now - began)) -gt $limit_us ]; then
            stop_machine "125 the guest did not come up within $boot_limit s"
        fi
        if [ -n "$up" ] && [ -n "$timeout" ] && [ $((now - up)) -ge "$timeout_us" ]; then
            stop_machine "124 ${command[0]} was ended after $timeout s"
        fi
        # Counted in turns, not in time: a stopped process group is no silent guest.
        size=$(stat -c %s "$dir/status" 2>/dev/null) || break
        if [ "$size" = "$last_size" ]; then silent=$((silent + 1)); else silent=0; fi
        last_size=$size
        if [ -n "$up" ] && [ $silent -ge $((silence_limit * 5)) ]; then
            stop_machine "125 the guest gave no sign of life for $silence_limit s"
        fi
        if ! kill -0 "$out_follower" 2>/dev/null; then
            stop_machine "141 nobody reads the output any more"
        fi
        size=$(find "$dir/out" "$dir"/err* -printf '%s+' 2>/dev/null || true)
        if [ $((${size}0)) -gt "$output_limit" ]; then
            stop_machine "125 the output is over $((output_limit >> 30)) GiB"
        fi
    done
    # Nobody else is left to do so.
    kill -0 $$ 2>/dev/null || rm -rf "$dir"
}

stop_machine() {
    printf '%s\n' "$1" >"$dir/why"
    kill -KILL "$qemu_pid"
    exit 0
}

