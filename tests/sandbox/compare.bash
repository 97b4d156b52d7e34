# Compares native runs with runs in a sandbox, byte for byte. Read by the scripts next to this one.
#
# Both runs of a case start from the same folder with the same content, the same arguments, the same
# environment and the same standard input, and have to give the same standard output, standard error
# and exit status, and to leave the folder with the same content.
# shellcheck shell=bash

# The cases run elsewhere: what was named from here gets its whole path. This sets the script's own
# arguments.
absolute=()
for argument; do
    [[ $argument = /* || ! -e $argument ]] || argument=$(realpath "$argument")
    absolute+=("$argument")
done
set -- "${absolute[@]}"

run=$1
case_number=0
failures=0
work=$(mktemp -d /tmp/vmkit-compare.XXXXXX)
data=$work/data
trap 'rm -rf "$work"' EXIT
ulimit -c 0
# What both runs have for an environment, as words of NAME=VALUE.
environment=(TZ=UTC0 LC_ALL=C)
# Further options of vmkit-run.
run_options=()
# What both runs read.
input=/dev/null

# Whether the cases leave the folder alone, so that one filling serves for all.
leaves_data_alone=no

# Of all that is in the folder.
data_time='2020-02-02 02:02:02'

# Fills the folder that both runs start from.
make_data() {
    [ $leaves_data_alone = no ] || [ ! -e "$data" ] || return 0
    if [ -e "$work/template" ]; then
        rm -rf "$data"
        cp -a "$work/template" "$data"
        # Not every cp gives a link its time.
        touch -h -d "$data_time" "$data/link"
        return
    fi
    mkdir -p "$data/folder/inner"
    printf '%s\n' pear apple fig banana cherry apple date >"$data/fruits"
    printf '%s\n' 10 9 2 33 1 100 >"$data/numbers"
    printf 'name:kind:count\nann:b:3\nbob:a:20\ncid:c:1\n' >"$data/table"
    printf 'The quick brown fox\njumps over\tthe lazy dog.\n\nThe end\n' >"$data/text"
    printf '\000\001\002\377binary\n\200\000' >"$data/bytes"
    : >"$data/empty"
    printf 'inside\n' >"$data/folder/one"
    printf 'deeper\n' >"$data/folder/inner/two"
    ln -s folder/one "$data/link"
    awk 'BEGIN { for (i = 0; i < 3000; i++) print "row", i, i * i % 997 }' >"$data/rows"
    chmod 755 "$data" "$data/folder" "$data/folder/inner"
    chmod 644 "$data"/{fruits,numbers,table,text,bytes,empty,rows,folder/one,folder/inner/two}
    find "$data" -exec touch -h -d "$data_time" {} +
    cp -a "$data" "$work/template"
}

# What the folder holds: types, modes, sizes, targets of links, contents. Times of what a case made
# are its own.
list_data() {
    [ $leaves_data_alone = no ] || return 0
    (
        # Few processes: in the lab, each takes its time.
        cd "$data" || exit
        find . -print0 | sort -z | xargs -0 stat -c '%N %a %F'
        find . -type f -print0 | sort -z | xargs -0 -r md5sum
    ) 2>&1
}

run_natively() {
    # In braces, so that the shell tells nobody which signal ended it.
    {
        (
            cd "$data" || exit
            exec env -i "${environment[@]}" "$@" <"$input" >"$work/native.out" 2>"$work/native.err"
        )
    } 2>/dev/null
    echo "status $?" >"$work/native.status"
}

run_inside() {
    local -a options=(--quiet --rw "$data:$data" --cwd "$data" --timeout 600
        --user "$(id -u):$(id -g)")
    local name
    for name in "${environment[@]}"; do options+=(--env "$name"); done
    "$run" "${options[@]}" "${run_options[@]}" -- "$@" <"$input" >"$work/inside.out" \
        2>"$work/inside.err"
    echo "status $?" >"$work/inside.status"
}

report() {
    local good=$1 name=$2
    case_number=$((case_number + 1))
    if [ "$good" = yes ]; then
        echo "ok $case_number - $name"
    else
        echo "not ok $case_number - $name"
        failures=$((failures + 1))
    fi
}

# Prints how two files differ, as TAP comments.
explain() {
    diff -u "$1" "$2" 2>&1 | head -n 12 | tr -c '\11\12\40-\176' '?' | cut -c1-160 | sed 's/^/# /'
}

# same NAME CMD...: one case.
same() {
    local name=$1 part good=yes
    shift
    make_data
    run_natively "$@"
    list_data >"$work/native.data"
    make_data
    run_inside "$@"
    list_data >"$work/inside.data"
    for part in out err status data; do
        cmp -s "$work/native.$part" "$work/inside.$part" || good=no
    done
    report $good "$name"
    [ $good = yes ] && return
    for part in out err status data; do
        explain "$work/native.$part" "$work/inside.$part"
    done
}

# inside STATUS PATTERN NAME CMD...: a case that runs inside alone, and has to end with the status
# and to print a line, on either stream, that matches the pattern.
inside() {
    local status=$1 pattern=$2 name=$3 good=yes
    shift 3
    make_data
    run_inside "$@"
    [ "$(cat "$work/inside.status")" = "status $status" ] || good=no
    [ -z "$pattern" ] || grep -q -e "$pattern" "$work/inside.out" "$work/inside.err" || good=no
    report $good "$name"
    [ $good = yes ] && return
    echo "# wanted: status $status and '$pattern'"
    cat "$work"/inside.{status,out,err} | tr -c '\11\12\40-\176' '?' | head -n 12 | sed 's/^/# /'
}

finish() {
    echo "1..$case_number"
    exit $((failures > 0))
}
